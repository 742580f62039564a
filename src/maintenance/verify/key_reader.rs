//! Reads the keys of the rows of a part, and its columns, whatever its format.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use arrow::ipc::reader::FileReader;
use chrono::DateTime;
use flate2::bufread::GzDecoder;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::record::Column;
use crate::record::table::Table;

use super::schema_check::PartSchema;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// What is read of each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// Of a record its meeting and its index.
    Records,
    /// And its `join_time`, in milliseconds since 1970.
    DatedRecords,
    /// Of a row of the meetings table the meeting; its index is 0.
    Meetings,
}

impl Keys {
    /// What is to be read of a table, and whether its days matter.
    pub(super) const fn of(table: Table, are_dated: bool) -> Self {
        match table {
            Table::Meetings => Self::Meetings,
            Table::Records if are_dated => Self::DatedRecords,
            Table::Records => Self::Records,
        }
    }
}

/// Calls `row` with the meeting, the index and the time of each row in a part, whose name tells its
/// format. Gives what the part tells of its columns.
pub(super) fn read(
    file: File,
    path: &Path,
    keys: Keys,
    row: impl FnMut(&str, i64, Option<i64>),
) -> Result<PartSchema, Fault> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match name.split_once('.').map(|(_, extension)| extension) {
        Some("parquet") => parquet(file, keys, row),
        Some("arrow") => arrow(file, keys, row),
        Some("ndjson") => ndjson(BufReader::with_capacity(1 << 18, file), keys, row),
        Some("ndjson.zst") => ndjson(BufReader::new(zstd::Decoder::new(file)?), keys, row),
        Some("ndjson.gz") => ndjson(
            BufReader::new(GzDecoder::new(BufReader::new(file))),
            keys,
            row,
        ),
        _ => Err("its name tells no known format".into()),
    }
}

fn parquet(
    file: File,
    keys: Keys,
    mut row: impl FnMut(&str, i64, Option<i64>),
) -> Result<PartSchema, Fault> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let schema = Arc::clone(reader.schema());
    let mut columns = vec![Column::ConfUuid.name(), Column::RecordIndex.name()];
    if keys == Keys::DatedRecords {
        columns.push(Column::JoinTime.name());
    }
    // A meeting has no index, and a column that is not there is not asked for.
    let mask = ProjectionMask::columns(reader.parquet_schema(), columns);
    for batch in reader
        .with_projection(mask)
        .with_batch_size(8_192)
        .build()?
    {
        batch_keys(&batch?, keys, &mut row)?;
    }
    Ok(PartSchema::Typed(schema))
}

fn arrow(
    file: File,
    keys: Keys,
    mut row: impl FnMut(&str, i64, Option<i64>),
) -> Result<PartSchema, Fault> {
    let reader = FileReader::try_new_buffered(file, None)?;
    let schema = reader.schema();
    for batch in reader {
        batch_keys(&batch?, keys, &mut row)?;
    }
    Ok(PartSchema::Typed(schema))
}

fn batch_keys(
    batch: &RecordBatch,
    keys: Keys,
    row: &mut impl FnMut(&str, i64, Option<i64>),
) -> Result<(), Fault> {
    let column = |column: Column| {
        batch
            .column_by_name(column.name())
            .filter(|array| array.null_count() == 0)
            .ok_or_else(|| Fault::from(format!("{} is missing or null", column.name())))
    };
    let meetings = column(Column::ConfUuid)?
        .as_string_opt::<i32>()
        .ok_or("conf_uuid is no text")?;
    if keys == Keys::Meetings {
        (0..batch.num_rows()).for_each(|at| row(meetings.value(at), 0, None));
        return Ok(());
    }
    let indices = column(Column::RecordIndex)?
        .as_primitive_opt::<Int64Type>()
        .ok_or("record_index is no number")?;
    // One that has no times, or others, is not by its schema: that is told anyway.
    let joins = batch
        .column_by_name(Column::JoinTime.name())
        .filter(|_| keys == Keys::DatedRecords)
        .and_then(|joins| joins.as_primitive_opt::<TimestampMillisecondType>());
    for at in 0..batch.num_rows() {
        let join = joins.filter(|joins| joins.is_valid(at));
        let join = join.map(|joins| joins.value(at));
        row(meetings.value(at), indices.value(at), join);
    }
    Ok(())
}

fn ndjson(
    mut lines: impl BufRead,
    keys: Keys,
    mut row: impl FnMut(&str, i64, Option<i64>),
) -> Result<PartSchema, Fault> {
    #[derive(Deserialize)]
    struct Key<'a> {
        #[serde(borrow)]
        conf_uuid: Cow<'a, str>,
        record_index: Option<i64>,
        #[serde(borrow)]
        join_time: Option<Cow<'a, str>>,
    }
    let mut line = Vec::new();
    let mut number = 0_u64;
    let mut schema = PartSchema::Silent;
    loop {
        line.clear();
        number += 1;
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(schema);
        }
        // The cause is told without the line: a record is personal data.
        let broken = |error| format!("line {number}: {error}");
        let key: Key<'_> = serde_json::from_slice(&line).map_err(broken)?;
        if number == 1 {
            let members: Map<String, Value> = serde_json::from_slice(&line).map_err(broken)?;
            schema = PartSchema::Named(members.into_iter().map(|(name, _)| name).collect());
        }
        let index = match (keys, key.record_index) {
            (Keys::Meetings, _) => 0,
            (_, Some(index)) => index,
            (_, None) => {
                return Err(format!("line {number}: missing field `record_index`").into());
            }
        };
        let join = match key.join_time.filter(|_| keys == Keys::DatedRecords) {
            Some(time) => Some(
                DateTime::parse_from_rfc3339(&time)
                    .map_err(|_| format!("line {number}: `join_time` is no time"))?
                    .timestamp_millis(),
            ),
            None => None,
        };
        row(&key.conf_uuid, index, join);
    }
}
