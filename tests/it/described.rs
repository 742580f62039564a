//! The meetings table as a reader of any format finds it.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use arrow::ipc::reader::FileReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rollbook::{MeetingColumn, Table};
use serde_json::{Map, Value, json};

/// One row: its columns by name; times are RFC 3339.
pub(crate) type Described = Map<String, Value>;

/// The rows of all that `meetings/part-*` finds in a dataset, in the order of the names.
pub(crate) fn described(out: &Path) -> Vec<Described> {
    let Ok(entries) = fs::read_dir(out.join("meetings")) else {
        return vec![];
    };
    let mut parts: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    parts.retain(|path| name(path).starts_with("part-"));
    parts.sort();
    parts.iter().flat_map(|part| rows(part)).collect()
}

/// The meetings that have a row, in order, each as often as it has one.
pub(crate) fn uuids(out: &Path) -> Vec<String> {
    let rows = described(out).into_iter();
    let mut uuids: Vec<_> = rows
        .map(|row| row["conf_uuid"].as_str().unwrap().to_owned())
        .collect();
    uuids.sort();
    uuids
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn rows(part: &Path) -> Vec<Described> {
    let file = File::open(part).unwrap();
    match name(part).split_once('.').unwrap().1 {
        "parquet" => {
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            assert_eq!(reader.schema().fields(), Table::Meetings.schema().fields());
            let batches = reader.build().unwrap();
            batches.flat_map(|batch| columns(&batch.unwrap())).collect()
        }
        "arrow" => {
            let reader = FileReader::try_new_buffered(file, None).unwrap();
            assert_eq!(reader.schema().fields(), Table::Meetings.schema().fields());
            reader.flat_map(|batch| columns(&batch.unwrap())).collect()
        }
        "ndjson" => lines(file),
        "ndjson.zst" => lines(zstd::Decoder::new(file).unwrap()),
        _ => lines(flate2::read::GzDecoder::new(file)),
    }
}

fn lines(mut part: impl Read) -> Vec<Described> {
    let mut text = String::new();
    part.read_to_string(&mut text).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn columns(batch: &RecordBatch) -> Vec<Described> {
    let row = |row: usize| {
        let value = |column: MeetingColumn| {
            let values = batch.column(column.index());
            if values.is_null(row) {
                return Value::Null;
            }
            match column {
                MeetingColumn::StartTime | MeetingColumn::EndTime => {
                    let ms = values.as_primitive::<TimestampMillisecondType>().value(row);
                    let time = chrono::DateTime::from_timestamp_millis(ms).unwrap();
                    json!(time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
                }
                MeetingColumn::Size => json!(values.as_primitive::<Int64Type>().value(row)),
                MeetingColumn::Webinar => json!(values.as_boolean().value(row)),
                _ => json!(values.as_string::<i32>().value(row)),
            }
        };
        let named = MeetingColumn::ALL.map(|column| (column.name().to_owned(), value(column)));
        named.into_iter().collect()
    };
    (0..batch.num_rows()).map(row).collect()
}
