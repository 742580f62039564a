//! The records of one page as bytes, and back: Arrow's own stream, compressed.

use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;

use crate::record::schema;

/// The cheapest level: a page lives for minutes.
const LEVEL: i32 = 1;

/// Why bytes are no records.
pub(super) type Unreadable = Box<dyn std::error::Error + Send + Sync>;

pub(super) fn pack(records: &RecordBatch) -> Result<Vec<u8>, Unreadable> {
    let mut writer = StreamWriter::try_new(zstd::Encoder::new(Vec::new(), LEVEL)?, &schema())?;
    writer.write(records)?;
    Ok(writer.into_inner()?.finish()?)
}

pub(super) fn unpack(bytes: &[u8]) -> Result<RecordBatch, Unreadable> {
    let mut reader = StreamReader::try_new(zstd::Decoder::new(bytes)?, None)?;
    let records = reader.next().ok_or("no batch of records")??;
    if records.schema() != schema() || reader.next().is_some() {
        return Err(ArrowError::SchemaError("not one batch of records".to_owned()).into());
    }
    Ok(records)
}
