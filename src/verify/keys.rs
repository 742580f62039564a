//! Reads the keys of the records of a part, whatever its format.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::ipc::reader::StreamReader;
use flate2::bufread::GzDecoder;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;

use crate::record::Column;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Calls `record` with the meeting and the index of each record in a part.
pub(super) fn read(path: &Path, record: impl FnMut(&str, i64)) -> Result<(), Fault> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let file = File::open(path)?;
    match name.split_once('.').map(|(_, extension)| extension) {
        Some("parquet") => parquet(file, record),
        Some("arrow") => arrow(file, record),
        Some("ndjson") => ndjson(BufReader::with_capacity(1 << 18, file), record),
        Some("ndjson.zst") => ndjson(BufReader::new(zstd::Decoder::new(file)?), record),
        Some("ndjson.gz") => ndjson(BufReader::new(GzDecoder::new(BufReader::new(file))), record),
        _ => Err("its name tells no known format".into()),
    }
}

fn parquet(file: File, mut record: impl FnMut(&str, i64)) -> Result<(), Fault> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let keys = [Column::ConfUuid.name(), Column::RecordIndex.name()];
    let mask = ProjectionMask::columns(reader.parquet_schema(), keys);
    for batch in reader
        .with_projection(mask)
        .with_batch_size(8_192)
        .build()?
    {
        batch_keys(&batch?, &mut record)?;
    }
    Ok(())
}

fn arrow(file: File, mut record: impl FnMut(&str, i64)) -> Result<(), Fault> {
    for batch in StreamReader::try_new_buffered(file, None)? {
        batch_keys(&batch?, &mut record)?;
    }
    Ok(())
}

fn batch_keys(batch: &RecordBatch, record: &mut impl FnMut(&str, i64)) -> Result<(), Fault> {
    let column = |column: Column| {
        batch
            .column_by_name(column.name())
            .filter(|array| array.null_count() == 0)
            .ok_or_else(|| Fault::from(format!("{} is missing or null", column.name())))
    };
    let (meetings, indices) = (column(Column::ConfUuid)?, column(Column::RecordIndex)?);
    let meetings = meetings
        .as_string_opt::<i32>()
        .ok_or("conf_uuid is no text")?;
    let indices = indices
        .as_primitive_opt::<Int64Type>()
        .ok_or("record_index is no number")?;
    for row in 0..batch.num_rows() {
        record(meetings.value(row), indices.value(row));
    }
    Ok(())
}

fn ndjson(mut lines: impl BufRead, mut record: impl FnMut(&str, i64)) -> Result<(), Fault> {
    #[derive(Deserialize)]
    struct Key<'a> {
        #[serde(borrow)]
        conf_uuid: Cow<'a, str>,
        record_index: i64,
    }
    let mut line = Vec::new();
    let mut number = 0_u64;
    loop {
        line.clear();
        number += 1;
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        // The cause is told without the line: a record is personal data.
        let key: Key<'_> =
            serde_json::from_slice(&line).map_err(|error| format!("line {number}: {error}"))?;
        record(&key.conf_uuid, key.record_index);
    }
}
