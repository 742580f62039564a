//! A dataset that a newer rollbook extends, played by one whose records have one column more.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::FileWriter;
use parquet::arrow::ArrowWriter;
use serde_json::json;
use tempfile::TempDir;

use super::tests::dataset;
use super::*;
use crate::dataset::ledger::entry_path;
use crate::dataset::ledger::tests::meeting;
use crate::dataset::writer::StagedPart;
use crate::dataset::writer::tests::page;
use crate::dataset::{Commit, Dataset, fingerprint, status};
use crate::maintenance::repair::repair;
use crate::record::table::SchemaVersions;
use crate::record::table::schema_versions::tests::next;
use crate::values::{Compression, Format};

const KINDS: [(Format, Compression); 3] = [
    (Format::Parquet, Compression::ZSTD),
    (Format::Arrow, Compression::None),
    (Format::Ndjson, Compression::None),
];

const NEXT: u32 = SchemaVersions::KNOWN.table(Table::Records) + 1;

/// Commits a meeting of five records with these columns; `told` is what the part says of its
/// version, and `committed` what its commit does.
async fn extend(
    dest: &str,
    (format, compression): (Format, Compression),
    schema: SchemaRef,
    told: u32,
    committed: u32,
) {
    let mut dataset = Dataset::open(dest, "newer", format, compression)
        .await
        .unwrap();
    let records = page("new", 0, 5);
    let mut columns = records.columns().to_vec();
    let more = schema.fields().iter().skip(columns.len());
    columns.extend(more.map(|_| Arc::new(StringArray::from(vec!["link"; 5])) as ArrayRef));
    columns.truncate(schema.fields().len());
    let metadata = [("rollbook.schema_version".to_owned(), told.to_string())];
    let schema = Schema::clone(&schema).with_metadata(HashMap::from(metadata));
    let records = RecordBatch::try_new(Arc::new(schema), columns).unwrap();

    let extension = crate::dataset::writer::extension(format, compression);
    let path = dataset.staging().join(format!("newer.{extension}"));
    let mut file = File::create(&path).unwrap();
    match format {
        Format::Parquet => {
            let mut writer = ArrowWriter::try_new(&file, records.schema(), None).unwrap();
            writer.write(&records).unwrap();
            writer.close().unwrap();
        }
        Format::Arrow => {
            let mut writer = FileWriter::try_new(&file, &records.schema()).unwrap();
            writer.write(&records).unwrap();
            writer.finish().unwrap();
        }
        Format::Ndjson => {
            for index in 0..5 {
                let schema = records.schema();
                let names = schema.fields().iter().map(|field| field.name().clone());
                let mut line: BTreeMap<_, _> = names.map(|name| (name, json!(null))).collect();
                line.insert("conf_uuid".to_owned(), json!("new"));
                line.insert("record_index".to_owned(), json!(index));
                writeln!(file, "{}", serde_json::to_string(&line).unwrap()).unwrap();
            }
        }
    }
    let (bytes, sha256) = fingerprint(&mut fs::File::open(&path).unwrap(), &path).unwrap();
    let part = StagedPart {
        path,
        table: Table::Records,
        schema_version: committed,
        partition: None,
        rows: 5,
        bytes,
        sha256,
        extension,
    };
    let done = dataset.commit(vec![part], vec![meeting("new", 5)]).await;
    assert!(matches!(done.unwrap(), Commit::Done { sequence: 2, .. }));
}

/// What the older rollbook wrote: its parts and its ledger entry.
fn older(home: &TempDir) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.to_string_lossy()
                .contains("/part-00000000000000000001-")
        })
        .collect();
    paths.sort();
    assert_eq!(paths.len(), 3);
    paths.push(home.path().join(entry_path(1)));
    paths
        .into_iter()
        .map(|path| fs::read(path).unwrap())
        .collect()
}

async fn seen_by(dest: &str, schemas: &Schemas) -> Result<Verification> {
    let store = Store::open_at(&dest.into()).await.unwrap();
    Ok(survey(&store, dest, schemas).await?.found)
}

#[tokio::test]
async fn a_newer_rollbook_extends_a_dataset_without_touching_it_and_an_older_one_refuses_it() {
    for kind in KINDS {
        let (home, dest) = dataset(kind).await;
        let before = older(&home);
        let schema = next().schema(Table::Records, NEXT);
        extend(&dest, kind, schema, NEXT, NEXT).await;

        assert!(before == older(&home), "{kind:?}");
        let found = seen_by(&dest, &next()).await.unwrap();
        assert!(found.is_sound(), "{kind:?}: {:?}", found.findings);
        assert_eq!((found.meetings, found.parts, found.records), (5, 4, 1_515));

        let refusals = [
            verify(&dest).await.unwrap_err(),
            repair(&dest).await.unwrap_err(),
            status(&dest).await.unwrap_err(),
            Dataset::open(&dest, "older", kind.0, kind.1)
                .await
                .unwrap_err(),
        ];
        for error in refusals {
            assert_eq!(
                error.to_string(),
                "_rollbook/ledger/00000000000000000002.json: has version 2 of the schema of \
                 records, and this rollbook knows 1; use a newer rollbook"
            );
        }
    }
}

#[tokio::test]
async fn the_entry_tells_the_versions_where_they_are_not_the_first() {
    let (home, dest) = dataset(KINDS[0]).await;
    extend(
        &dest,
        KINDS[0],
        next().schema(Table::Records, NEXT),
        NEXT,
        NEXT,
    )
    .await;
    let entry = |sequence| -> serde_json::Value {
        let path = home.path().join(entry_path(sequence));
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    assert_eq!(entry(1)["version"], 1);
    assert_eq!(entry(1).get("schema_versions"), None);
    // A rollbook from before there were any knows no entries of the third form.
    assert_eq!(entry(2)["version"], 3);
    let versions = json!({"records": 2, "meetings": 1});
    assert_eq!(entry(2)["schema_versions"], versions);
}

#[tokio::test]
async fn a_part_that_is_not_by_the_schema_of_its_commit_is_a_finding() {
    let known = Schemas::known();
    let (old, new) = (
        known.schema(Table::Records, NEXT - 1),
        next().schema(Table::Records, NEXT),
    );
    let cases = [
        (&old, NEXT, NEXT - 1, "is of version 2, its commit says 1"),
        (&new, NEXT - 1, NEXT - 1, "has the column join_source"),
        (&old, NEXT, NEXT, "lacks the column join_source"),
    ];
    for kind in KINDS {
        for (schema, told, committed, reason) in cases {
            // Lines tell no version.
            if kind.0 == Format::Ndjson && told != committed {
                continue;
            }
            let (_home, dest) = dataset(kind).await;
            extend(&dest, kind, Arc::clone(schema), told, committed).await;
            let found = seen_by(&dest, &next()).await.unwrap();
            let [
                Finding::Schema {
                    sequence: 2,
                    reason: told,
                    ..
                },
            ] = &found.findings[..]
            else {
                panic!("{kind:?}, {reason}: {:?}", found.findings);
            };
            assert!(told.contains(reason), "{told}");
        }
    }
}

#[tokio::test]
async fn a_column_of_another_type_or_place_is_a_finding() {
    let known = Schemas::known().schema(Table::Records, NEXT - 1);
    let fields = known.fields();
    let mut swapped = fields.to_vec();
    swapped.swap(3, 4);
    let not_null = |at: usize| {
        let mut fields = fields.to_vec();
        fields[at] = Arc::new(fields[at].as_ref().clone().with_nullable(false));
        fields
    };
    for (fields, reason) in [
        (swapped, "has the column device_type (Utf8) where version 1"),
        (not_null(3), "call_number (Utf8, not null)"),
    ] {
        let (_home, dest) = dataset(KINDS[0]).await;
        extend(&dest, KINDS[0], Arc::new(Schema::new(fields)), 1, 1).await;
        let findings = verify(&dest).await.unwrap().findings;
        let [Finding::Schema { reason: told, .. }] = &findings[..] else {
            panic!("{reason}: {findings:?}");
        };
        assert!(told.contains(reason), "{told}");
    }
}
