//! Reads the keys of the rows of a part, and its columns, whatever its format.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::ipc::reader::StreamReader;
use flate2::bufread::GzDecoder;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::record::Column;
use crate::table::Table;

use super::columns::PartSchema;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Calls `row` with the meeting and the index of each record in a part, whose name tells its
/// format; a row of the meetings table has the index 0. Gives what the part tells of its columns.
pub(super) fn read(
    file: File,
    path: &Path,
    table: Table,
    row: impl FnMut(&str, i64),
) -> Result<PartSchema, Fault> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match name.split_once('.').map(|(_, extension)| extension) {
        Some("parquet") => parquet(file, table, row),
        Some("arrow") => arrow(file, table, row),
        Some("ndjson") => ndjson(BufReader::with_capacity(1 << 18, file), table, row),
        Some("ndjson.zst") => ndjson(BufReader::new(zstd::Decoder::new(file)?), table, row),
        Some("ndjson.gz") => ndjson(
            BufReader::new(GzDecoder::new(BufReader::new(file))),
            table,
            row,
        ),
        _ => Err("its name tells no known format".into()),
    }
}

fn parquet(file: File, table: Table, mut row: impl FnMut(&str, i64)) -> Result<PartSchema, Fault> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let schema = Arc::clone(reader.schema());
    let keys = [Column::ConfUuid.name(), Column::RecordIndex.name()];
    // A meeting has no index, and a column that is not there is not asked for.
    let mask = ProjectionMask::columns(reader.parquet_schema(), keys);
    for batch in reader
        .with_projection(mask)
        .with_batch_size(8_192)
        .build()?
    {
        batch_keys(&batch?, table, &mut row)?;
    }
    Ok(PartSchema::Typed(schema))
}

fn arrow(file: File, table: Table, mut row: impl FnMut(&str, i64)) -> Result<PartSchema, Fault> {
    let reader = StreamReader::try_new_buffered(file, None)?;
    let schema = reader.schema();
    for batch in reader {
        batch_keys(&batch?, table, &mut row)?;
    }
    Ok(PartSchema::Typed(schema))
}

fn batch_keys(
    batch: &RecordBatch,
    table: Table,
    row: &mut impl FnMut(&str, i64),
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
    if table == Table::Meetings {
        (0..batch.num_rows()).for_each(|at| row(meetings.value(at), 0));
        return Ok(());
    }
    let indices = column(Column::RecordIndex)?
        .as_primitive_opt::<Int64Type>()
        .ok_or("record_index is no number")?;
    for at in 0..batch.num_rows() {
        row(meetings.value(at), indices.value(at));
    }
    Ok(())
}

fn ndjson(
    mut lines: impl BufRead,
    table: Table,
    mut row: impl FnMut(&str, i64),
) -> Result<PartSchema, Fault> {
    #[derive(Deserialize)]
    struct Key<'a> {
        #[serde(borrow)]
        conf_uuid: Cow<'a, str>,
        record_index: Option<i64>,
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
        let index = match (table, key.record_index) {
            (Table::Meetings, _) => 0,
            (Table::Records, Some(index)) => index,
            (Table::Records, None) => {
                return Err(format!("line {number}: missing field `record_index`").into());
            }
        };
        row(&key.conf_uuid, index);
    }
}
