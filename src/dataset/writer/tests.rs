use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use ::arrow::array::{
    ArrayRef, Int64Array, StringArray, TimestampMillisecondArray, new_null_array,
};
use ::arrow::ipc::reader::{FileReader, StreamReader};
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ::parquet::basic;
use serde_json::Value;

use super::*;
use crate::record::schema::schema;
use crate::record::{Anomaly, Column, Language, Stay, TIME_ZONE};
use crate::values::hex::hex;

const JOIN: i64 = 1_574_119_877_872;

/// Records `from..from + rows` of a meeting, with what real ones have: odd times, CJK, escapes.
pub(crate) fn page(meeting: &str, from: usize, rows: usize) -> RecordBatch {
    let label = |i: usize, all: &[&str]| all[i % all.len()].to_owned();
    let indices = from..from + rows;
    let text = |value: &dyn Fn(usize) -> Option<String>| -> ArrayRef {
        Arc::new(indices.clone().map(value).collect::<StringArray>())
    };
    let stays: Vec<_> = indices
        .clone()
        .map(|i| {
            let join = JOIN + i64::try_from(i * 7_919 % 3_600_000).unwrap();
            let stay = i64::try_from(i * 31_337 % 5_400_000).unwrap();
            match i % 101 {
                100 => Stay::new(Some(join), None),
                50 => Stay::new(Some(join), Some(join - 1)),
                _ => Stay::new(Some(join), Some(join + stay)),
            }
        })
        .collect();
    let times = |of: &dyn Fn(&Stay) -> Option<i64>| -> ArrayRef {
        let array: TimestampMillisecondArray = stays.iter().map(of).collect();
        Arc::new(array.with_timezone(TIME_ZONE))
    };
    RecordBatch::try_new(
        schema(),
        vec![
            text(&|_| Some(meeting.to_owned())),
            Arc::new(
                indices
                    .clone()
                    .map(|i| i64::try_from(i).unwrap())
                    .collect::<Int64Array>(),
            ),
            text(&|i| {
                Some(match i * 7_919 % 70_000 {
                    n if n % 40 == 0 => format!("\"王\\{n}\"\n"),
                    n if n % 5 == 0 => format!("张伟 {n}"),
                    n => format!("Participant {n}"),
                })
            }),
            text(&|i| Some(format!("+99{:011}", i * 104_729 % 1_000_000_007))),
            text(&|i| {
                Some(label(
                    i,
                    &["Windows client", "Mac client", "Mobile", "TE20", ""],
                ))
            }),
            text(&|i| Some(label(i / 3, &["Video", "Voice", "Data"]))),
            text(&|i| (i % 9 != 0).then(|| format!("Department {}", i % 40))),
            times(&|stay| stay.join),
            times(&|stay| stay.left),
            Arc::new(
                stays
                    .iter()
                    .map(|stay| stay.duration)
                    .collect::<Int64Array>(),
            ),
            Arc::new(
                stays
                    .iter()
                    .map(|stay| stay.anomaly.map(Anomaly::as_str))
                    .collect::<StringArray>(),
            ),
            text(&|i| (i % 1_000 == 7).then(|| format!("{{\"new\":{i}}}"))),
        ],
    )
    .unwrap()
}

/// Rows of the meetings table that have nothing but their UUID.
pub(crate) fn meetings(names: &[&str]) -> RecordBatch {
    let schema = crate::record::table::Table::Meetings.schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "conf_uuid" => Arc::new(StringArray::from(names.to_vec())),
            _ => new_null_array(field.data_type(), names.len()),
        }
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}

/// The same with a text of `bytes` bytes in each record.
pub(crate) fn long_page(meeting: &str, from: usize, rows: usize, bytes: usize) -> RecordBatch {
    let page = page(meeting, from, rows);
    let text = |row: usize| Some((from + row).to_string() + &"x".repeat(bytes));
    let mut columns = page.columns().to_vec();
    columns[Column::Extra.index()] = Arc::new((0..rows).map(text).collect::<StringArray>());
    RecordBatch::try_new(schema(), columns).unwrap()
}

pub(crate) fn options(format: Format, compression: Compression) -> PartOptions {
    PartOptions {
        format,
        compression,
        parquet_encodings: ParquetEncodings::default(),
        provenance: Provenance {
            base_url: "https://meeting.example.com".to_owned(),
            language: Language::EnUs,
            pii: None,
        },
        part_rows: 8_000_000,
        part_bytes: 128 << 20,
    }
}

const KINDS: [(Format, Compression); 10] = [
    (Format::Parquet, Compression::ZSTD),
    (Format::Arrow, Compression::None),
    (Format::Ndjson, Compression::None),
    (Format::Ndjson, Compression::ZSTD),
    (Format::Ndjson, Compression::Gzip),
    (Format::Arrow, Compression::Lz4),
    (Format::Arrow, Compression::ZSTD),
    (Format::Parquet, Compression::Lz4),
    (Format::Parquet, Compression::Snappy),
    (Format::Parquet, Compression::None),
];

/// Those that a pipe carries.
const PIPED: [(Format, Compression); 6] = {
    let [_, one, two, three, four, five, six, ..] = KINDS;
    [one, two, three, four, five, six]
};

fn write(kind: (Format, Compression), pages: &[RecordBatch], staging: &Path) -> StagedPart {
    let mut writer = BatchWriter::new(options(kind.0, kind.1), staging.to_owned());
    writer.whole(pages).unwrap();
    writer.empty_part().unwrap();
    writer.finish().unwrap().remove(0)
}

/// The records of a part as NDJSON values, whatever its format.
fn read(part: &StagedPart) -> Vec<Value> {
    let bytes = fs::read(&part.path).unwrap();
    let batches: Vec<RecordBatch> = match part.extension {
        "parquet" => ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes))
            .unwrap()
            .build()
            .unwrap()
            .map(Result::unwrap)
            .collect(),
        "arrow" => FileReader::try_new(std::io::Cursor::new(bytes), None)
            .unwrap()
            .map(Result::unwrap)
            .collect(),
        "arrows" => StreamReader::try_new(bytes.as_slice(), None)
            .unwrap()
            .map(Result::unwrap)
            .collect(),
        "ndjson.zst" => return lines(&zstd::decode_all(bytes.as_slice()).unwrap()),
        "ndjson.gz" => {
            let mut text = Vec::new();
            let mut reader = flate2::read::GzDecoder::new(bytes.as_slice());
            reader.read_to_end(&mut text).unwrap();
            return lines(&text);
        }
        _ => return lines(&bytes),
    };
    let home = tempfile::tempdir().unwrap();
    let batches: Vec<_> = batches
        .into_iter()
        .map(|batch| RecordBatch::try_new(schema(), batch.columns().to_vec()).unwrap())
        .collect();
    let part = write((Format::Ndjson, Compression::None), &batches, home.path());
    lines(&fs::read(part.path).unwrap())
}

pub(super) fn lines(text: &[u8]) -> Vec<Value> {
    std::str::from_utf8(text)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn every_format_gives_back_the_same_records() {
    let home = tempfile::tempdir().unwrap();
    let pages: Vec<_> = (0..3).map(|n| page("m1", n * 500, 500)).collect();
    let truth = read(&write(KINDS[2], &pages, home.path()));
    assert_eq!(truth.len(), 1_500);
    for kind in KINDS {
        let home = tempfile::tempdir().unwrap();
        let part = write(kind, &pages, home.path());
        assert_eq!(part.rows, 1_500);
        assert_eq!(read(&part), truth, "{}", part.extension);
    }
}

#[test]
fn a_line_has_every_column_in_order_with_nulls_told() {
    let home = tempfile::tempdir().unwrap();
    let part = write(KINDS[2], &[page("m1", 0, 101)], home.path());
    let text = fs::read_to_string(part.path).unwrap();
    let expected = [
        r#"{"conf_uuid":"m1","record_index":1,"display_name":"Participant 7919","call_number":"+9900000104729","device_type":"Mac client","media_type":"Video","dept_name":"Department 1","join_time":"2019-11-18T23:31:25.791Z","left_time":"2019-11-18T23:31:57.128Z","duration_ms":31337,"anomaly":null,"extra":null}"#,
        r#"{"conf_uuid":"m1","record_index":7,"display_name":"Participant 55433","call_number":"+9900000733103","device_type":"Mobile","media_type":"Data","dept_name":"Department 7","join_time":"2019-11-18T23:32:13.305Z","left_time":"2019-11-18T23:35:52.664Z","duration_ms":219359,"anomaly":null,"extra":"{\"new\":7}"}"#,
    ];
    assert_eq!(text.lines().nth(1), Some(expected[0]));
    assert_eq!(text.lines().nth(7), Some(expected[1]));
    assert!(
        text.lines()
            .next()
            .unwrap()
            .contains(r#""display_name":"\"王\\0\"\n""#)
    );
    assert!(
        text.lines()
            .nth(100)
            .unwrap()
            .contains(r#""left_time":null,"duration_ms":null,"anomaly":"missing_left""#)
    );
}

#[test]
fn the_bytes_do_not_depend_on_where_pages_ended() {
    for kind in KINDS {
        let bytes = |size: usize| {
            let home = tempfile::tempdir().unwrap();
            let pages: Vec<_> = (0..40_000)
                .step_by(size)
                .map(|from| page("m1", from, size.min(40_000 - from)))
                .collect();
            let part = write(kind, &pages, home.path());
            (
                part.sha256.clone(),
                part.bytes,
                fs::read(part.path).unwrap(),
            )
        };
        let expected = bytes(500);
        for size in [499, 20] {
            assert!(bytes(size) == expected, "{kind:?} from pages of {size}");
        }
    }
}

#[test]
fn the_bytes_do_not_depend_on_where_pages_of_long_records_ended() {
    for kind in KINDS {
        // Three batches; one record is larger than a batch.
        let bytes = |size: usize| {
            let home = tempfile::tempdir().unwrap();
            let mut pages: Vec<_> = (0..600)
                .step_by(size)
                .map(|from| long_page("m1", from, size.min(600 - from), 25_000))
                .collect();
            pages.insert(300 / size, long_page("m1", 900, 1, 9 << 20));
            let part = write(kind, &pages, home.path());
            assert_eq!(part.rows, 601);
            part.sha256
        };
        assert_eq!(bytes(300), bytes(20), "{kind:?}");
    }
}

#[test]
fn a_part_knows_its_length_and_hash() {
    use sha2::{Digest, Sha256};
    for kind in KINDS {
        let home = tempfile::tempdir().unwrap();
        let part = write(kind, &[page("m1", 0, 500)], home.path());
        let bytes = fs::read(&part.path).unwrap();
        assert_eq!(part.bytes, bytes.len() as u64);
        assert_eq!(part.sha256, hex(&Sha256::digest(&bytes)));
    }
}

#[test]
fn an_empty_part_has_the_schema() {
    let home = tempfile::tempdir().unwrap();
    let part = write(KINDS[0], &[], home.path());
    let bytes = bytes::Bytes::from(fs::read(part.path).unwrap());
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    assert_eq!(reader.schema().fields(), schema().fields());
    assert_eq!(
        (part.rows, reader.metadata().file_metadata().num_rows()),
        (0, 0)
    );
}

#[test]
fn a_parquet_part_tells_where_it_comes_from_and_is_compressed() {
    let home = tempfile::tempdir().unwrap();
    let part = write(KINDS[0], &[page("m1", 0, 500)], home.path());
    let bytes = bytes::Bytes::from(fs::read(part.path).unwrap());
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let file = reader.metadata().file_metadata();
    let keys: Vec<_> = file
        .key_value_metadata()
        .unwrap()
        .iter()
        .map(|pair| pair.key.as_str())
        .collect();
    assert_eq!(
        keys,
        [
            "rollbook.version",
            "rollbook.schema_version",
            "rollbook.base_url",
            "rollbook.language",
            "rollbook.parquet_encodings",
            "ARROW:schema"
        ]
    );
    assert!(file.created_by().unwrap().starts_with("rollbook version "));
    for (column, chunk) in crate::record::Column::ALL
        .into_iter()
        .zip(reader.metadata().row_group(0).columns())
    {
        assert!(matches!(chunk.compression(), basic::Compression::ZSTD(_)));
        let measured = !matches!(column.data_type(), ::arrow::datatypes::DataType::Utf8)
            || column == crate::record::Column::ConfUuid;
        assert_eq!(chunk.statistics().is_some(), measured, "{}", column.name());
    }
}

#[test]
fn names_have_a_dictionary_where_they_repeat() {
    let names = page("m1", 0, 1_000);
    for (pages, repeats) in [(vec![names.clone()], false), (vec![names; 2], true)] {
        let home = tempfile::tempdir().unwrap();
        let part = write(KINDS[0], &pages, home.path());
        let bytes = bytes::Bytes::from(fs::read(part.path).unwrap());
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        let column = crate::record::Column::DisplayName.index();
        let chunk = reader.metadata().row_group(0).column(column);
        assert_eq!(chunk.dictionary_page_offset().is_some(), repeats);
    }
}

#[test]
fn classic_parts_have_dictionaries_and_plain_values_alone() {
    let encodings = |parquet_encodings| {
        let home = tempfile::tempdir().unwrap();
        let options = PartOptions {
            parquet_encodings,
            ..options(Format::Parquet, Compression::Snappy)
        };
        let mut writer = BatchWriter::new(options, home.path().to_owned());
        writer.whole(&[page("m", 0, 40_000)]).unwrap();
        let mut parts = writer.finish().unwrap();
        parts.push(writer.meetings(&meetings(&["m"])).unwrap());
        let mut found = BTreeSet::new();
        for part in parts {
            let file = fs::File::open(part.path).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            let told = reader.schema().metadata()["rollbook.parquet_encodings"].clone();
            assert_eq!(told, parquet_encodings.as_str());
            for group in reader.metadata().row_groups() {
                let columns = group.columns().iter();
                found.extend(
                    columns.flat_map(|column| column.encodings().map(|one| one.to_string())),
                );
            }
        }
        found.into_iter().collect::<Vec<_>>().join(" ")
    };
    let modern = encodings(ParquetEncodings::Modern);
    assert!(modern.contains("DELTA_BINARY_PACKED"), "{modern}");
    // RLE is that of the definition levels, which every version of the format has.
    let classic = encodings(ParquetEncodings::Classic);
    assert_eq!(classic, "PLAIN RLE RLE_DICTIONARY");
}

#[test]
fn a_large_meeting_gets_one_part_of_its_own_however_small_parts_should_be() {
    let home = tempfile::tempdir().unwrap();
    let mut writer = BatchWriter::new(
        PartOptions {
            part_rows: 700,
            ..options(Format::Parquet, Compression::None)
        },
        home.path().to_owned(),
    );
    writer.slice(&page("large", 0, 500)).unwrap();
    writer.whole(&[page("small", 0, 3)]).unwrap();
    writer.slice(&page("large", 500, 500)).unwrap();
    assert_eq!(writer.rows(), 3);
    let large = writer.keep_slices().unwrap().remove(0);
    let shared = writer.finish().unwrap().remove(0);
    assert_eq!((large.rows, shared.rows), (1_000, 3));
    assert_eq!(writer.rows(), 0);
}

#[test]
fn a_large_meeting_that_is_not_whole_leaves_no_file() {
    let home = tempfile::tempdir().unwrap();
    let options = options(Format::Parquet, Compression::None);
    let mut writer = BatchWriter::new(options, home.path().to_owned());
    writer.slice(&page("large", 0, 500)).unwrap();
    assert_eq!(files(home.path()), 1);
    writer.discard_slices().unwrap();
    assert_eq!(files(home.path()), 0);
    assert!(writer.keep_slices().unwrap().is_empty());
}

#[test]
fn a_large_meeting_stays_open_while_the_shared_part_is_closed() {
    let home = tempfile::tempdir().unwrap();
    let options = options(Format::Ndjson, Compression::None);
    let mut writer = BatchWriter::new(options, home.path().to_owned());
    writer.slice(&page("large", 0, 500)).unwrap();
    writer.whole(&[page("small", 0, 3)]).unwrap();
    assert_eq!(writer.finish().unwrap().remove(0).rows, 3);
    writer.slice(&page("large", 500, 10)).unwrap();
    assert_eq!(writer.keep_slices().unwrap().remove(0).rows, 510);
}

#[test]
fn the_shared_part_is_full_at_its_rows_or_bytes() {
    let home = tempfile::tempdir().unwrap();
    let small = PartOptions {
        part_rows: 600,
        ..options(Format::Parquet, Compression::None)
    };
    let mut writer = BatchWriter::new(small, home.path().to_owned());
    writer.whole(&[page("m1", 0, 500)]).unwrap();
    assert!(!writer.is_full());
    writer.whole(&[page("m2", 0, 100)]).unwrap();
    assert!(writer.is_full());
    writer.finish().unwrap();
    assert!(!writer.is_full());
}

#[test]
fn a_full_disk_is_told_with_the_path() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    for (format, compression) in PIPED {
        let out = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let mut pipe = PipeWriter::new(&options(format, compression), out).unwrap();
        let error = pipe
            .whole(&[page("m1", 0, 40_000)])
            .and_then(|()| pipe.finish().map(drop))
            .unwrap_err();
        assert!(
            matches!(error, crate::error::Error::File { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("the output stream"));
    }
}

#[test]
fn a_reader_that_has_gone_is_told_from_a_fault() {
    let (reader, out) = std::io::pipe().unwrap();
    drop(reader);
    let mut pipe = PipeWriter::new(&options(Format::Ndjson, Compression::None), out).unwrap();
    pipe.whole(&[page("m1", 0, 10)]).unwrap();
    assert!(pipe.finish().unwrap_err().is_closed_pipe());
}

#[test]
fn a_pipe_carries_whole_meetings_only() {
    for (format, compression) in PIPED {
        let mut pipe = PipeWriter::new(&options(format, compression), Vec::new()).unwrap();
        pipe.slice(&page("torn", 0, 500)).unwrap();
        pipe.discard_slices().unwrap();
        pipe.slice(&page("large", 0, 500)).unwrap();
        pipe.whole(&[page("small", 0, 10)]).unwrap();
        pipe.slice(&page("large", 500, 500)).unwrap();
        pipe.keep_slices().unwrap();
        let bytes = pipe.finish().unwrap();
        let home = tempfile::tempdir().unwrap();
        let pages = [page("small", 0, 10), page("large", 0, 1_000)];
        let part = write((format, compression), &pages, home.path());
        if format == Format::Arrow {
            let path = home.path().join("out.arrows");
            fs::write(&path, bytes).unwrap();
            let streamed = StagedPart {
                path,
                extension: "arrows",
                ..part.clone()
            };
            assert_eq!(read(&streamed), read(&part));
        } else {
            assert!(bytes == fs::read(part.path).unwrap(), "{}", part.extension);
        }
    }
}

#[test]
fn parquet_does_not_go_through_a_pipe() {
    let error =
        PipeWriter::new(&options(Format::Parquet, Compression::None), Vec::new()).unwrap_err();
    assert!(error.to_string().contains("use ndjson or arrow"));
}

#[test]
fn parts_are_the_same_in_every_process() {
    const CHILD: &str = "ROLLBOOK_TEST_PRINTS_HASHES";
    if std::env::var_os(CHILD).is_some() {
        for kind in KINDS {
            let home = tempfile::tempdir().unwrap();
            let part = write(kind, &[page("m1", 0, 2_000)], home.path());
            println!("sha256 {} {}", part.extension, part.sha256);
        }
        return;
    }
    // A process of its own has hash seeds of its own.
    let hashes = || {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("dataset::writer::tests::parts_are_the_same_in_every_process")
            .env(CHILD, "1")
            .output()
            .unwrap();
        let text = String::from_utf8(child.stdout).unwrap();
        let hashes: Vec<_> = text
            .lines()
            .filter_map(|line| line.split_once("sha256 ").map(|(_, hash)| hash.to_owned()))
            .collect();
        assert_eq!(hashes.len(), KINDS.len(), "{text}");
        hashes
    };
    let first = hashes();
    for _ in 0..3 {
        assert_eq!(hashes(), first);
    }
}
