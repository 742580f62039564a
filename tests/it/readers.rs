//! Other people's readers see exactly what was committed, with times in UTC.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use rollbook::{
    BatchWriter, Commit, CommittedMeeting, Compression, Dataset, Format, Language, MeetingStatus,
    ParquetEncodings, PartOptions, Proof, Provenance, Stay, TIME_ZONE, schema,
};
use serde_json::{Value, json};

use crate::venv;

pub(crate) const FIRST_JOIN: i64 = 1_574_119_877_872;

/// What the readers must find.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) rows: u64,
    pub(crate) duration_ms: i64,
}

impl Truth {
    /// The figures that every reader counts.
    pub(crate) fn counted(&self) -> Value {
        json!({
            "rows": self.rows,
            "keys": self.rows,
            "duration_ms": self.duration_ms,
            "first_join": FIRST_JOIN,
            "names": 6,
        })
    }
}

/// A page of a meeting with every kind of time, and names that need care.
fn page(meeting: &str, from: i64, rows: i64, truth: &mut Truth) -> RecordBatch {
    let stays: Vec<Stay> = (from..from + rows)
        .map(|i| {
            let join = FIRST_JOIN + i * 1_001;
            match i % 10 {
                7 => Stay::new(Some(join), None),
                8 => Stay::new(Some(join), Some(join - 1)),
                9 => Stay::new(Some(0), Some(join)),
                _ => Stay::new(Some(join), Some(join + i)),
            }
        })
        .collect();
    truth.rows += stays.len() as u64;
    truth.duration_ms += stays.iter().filter_map(|stay| stay.duration).sum::<i64>();
    let names = [
        "王伟",
        "O\"Hara\\",
        "line\nbreak\u{b}\u{c}\u{85}\u{2028}\u{2029}.",
        "\u{202e}עברית",
        "😀",
        "",
    ];
    let text =
        |value: Option<&str>| -> ArrayRef { Arc::new(StringArray::from(vec![value; stays.len()])) };
    let times = |of: fn(&Stay) -> Option<i64>| -> ArrayRef {
        let array: TimestampMillisecondArray = stays.iter().map(of).collect();
        Arc::new(array.with_timezone(TIME_ZONE))
    };
    let names: StringArray = names.iter().cycle().take(stays.len()).map(Some).collect();
    let anomalies: StringArray = stays
        .iter()
        .map(|stay| stay.anomaly.map(rollbook::Anomaly::as_str))
        .collect();
    let columns: Vec<ArrayRef> = vec![
        text(Some(meeting)),
        Arc::new((from..from + rows).collect::<Int64Array>()),
        Arc::new(names),
        text(Some("+991117")),
        text(Some("Windows client")),
        text(Some("Video")),
        text(None),
        times(|stay| stay.join),
        times(|stay| stay.left),
        Arc::new(
            stays
                .iter()
                .map(|stay| stay.duration)
                .collect::<Int64Array>(),
        ),
        Arc::new(anomalies),
        text(Some("{\"new\":[1,null]}")),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// A dataset of a large meeting in two parts, a small one, and one without records.
pub(crate) async fn dataset(dest: &Path, format: Format) -> Truth {
    encoded(dest, format, ParquetEncodings::Modern).await
}

/// The same, with these encodings where it is Parquet.
pub(crate) async fn encoded(
    dest: &Path,
    format: Format,
    parquet_encodings: ParquetEncodings,
) -> Truth {
    let dest = dest.to_str().unwrap();
    let mut dataset = Dataset::open(dest, "run", format, Compression::None)
        .await
        .unwrap();
    let options = PartOptions {
        format,
        compression: Compression::None,
        parquet_encodings,
        provenance: Provenance {
            base_url: "https://meeting.example.com".to_owned(),
            language: Language::EnUs,
            pii: None,
        },
        part_rows: 1 << 20,
        part_bytes: 1 << 30,
    };
    let mut truth = Truth::default();
    let mut writer = BatchWriter::new(options, dataset.staging().to_owned());
    let mut parts = vec![];
    for from in (0..5_000).step_by(500) {
        writer.slice(&page("large", from, 500, &mut truth)).unwrap();
    }
    parts.extend(writer.keep_slices().unwrap());
    writer.whole(&[page("small", 0, 60, &mut truth)]).unwrap();
    let meetings = [("large", 5_000), ("small", 60), ("empty", 0)].map(|(name, rows)| {
        let at = chrono::DateTime::UNIX_EPOCH;
        CommittedMeeting {
            conf_uuid: name.parse().unwrap(),
            count: rows,
            rows,
            requests: 1,
            first_fetch: at,
            last_fetch: at,
            status: MeetingStatus::Complete,
            proof: Proof::Seams,
            pages: None,
            seams: None,
        }
    });
    parts.extend(writer.finish().unwrap());
    let done = dataset.commit(parts, meetings.to_vec()).await.unwrap();
    assert!(matches!(done, Commit::Done { parts: 2, .. }), "{done:?}");
    truth
}

async fn read_back(format: Format, readers: &[(&str, &str)]) {
    read_encoded(format, ParquetEncodings::Modern, readers).await;
}

async fn read_encoded(format: Format, encodings: ParquetEncodings, readers: &[(&str, &str)]) {
    let home = tempfile::tempdir().unwrap();
    let truth = encoded(home.path(), format, encodings).await;
    let output = Command::new(venv::python())
        .arg(venv::script("read_back.py"))
        .arg(home.path())
        .arg(format.as_str())
        .args(readers.iter().map(|(reader, _)| reader))
        // Far from UTC: a reader that takes the times for local ones is found out.
        .env("TZ", "Asia/Shanghai")
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (reader, time) in readers {
        let mut expected = truth.counted();
        expected["types"] = json!([time, time]);
        assert_eq!(seen[reader], expected, "{reader}");
    }
}

#[tokio::test]
async fn parquet_is_read_by_duckdb_polars_and_pyarrow() {
    let readers = [
        ("duckdb", "TIMESTAMP WITH TIME ZONE"),
        ("polars", "Datetime(time_unit='ms', time_zone='UTC')"),
        ("pyarrow", "timestamp[ms, tz=UTC]"),
    ];
    read_back(Format::Parquet, &readers).await;
    read_encoded(Format::Parquet, ParquetEncodings::Classic, &readers).await;
}

#[tokio::test]
async fn arrow_files_are_read_by_name_by_duckdb_polars_pyarrow_and_pandas() {
    let readers = [
        ("duckdb", "TIMESTAMP WITH TIME ZONE"),
        ("polars", "Datetime(time_unit='ms', time_zone='UTC')"),
        ("pyarrow", "timestamp[ms, tz=UTC]"),
        ("pandas", "datetime64[ms, UTC]"),
    ];
    read_back(Format::Arrow, &readers).await;
}

#[tokio::test]
async fn ndjson_is_read_by_duckdb_polars_and_pyarrow() {
    let readers = [
        ("duckdb", "TIMESTAMP WITH TIME ZONE"),
        ("polars", "Datetime(time_unit='ms', time_zone='UTC')"),
        ("pyarrow", "timestamp[ms, tz=UTC]"),
    ];
    read_back(Format::Ndjson, &readers).await;
}
