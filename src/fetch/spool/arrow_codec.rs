//! The records of one page and their digests as bytes, and back: one Arrow stream, compressed. Long
//! records are in several batches, since each is copied on its way.

use std::sync::{Arc, LazyLock};

use arrow::array::{AsArray, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;

use crate::record::schema::schema;
use crate::record::{batch_bytes, buffer_capacity, pieces};

/// Bytes of the records of one batch: usual pages are one.
const BATCH_BYTES: u64 = 1 << 20;

/// The cheapest level: a page lives for minutes.
const LEVEL: i32 = 1;

/// Why bytes are no records.
pub(super) type Unreadable = Box<dyn std::error::Error + Send + Sync>;

/// The columns of a record, and its digest behind them.
fn spool_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let digest = Arc::new(Field::new("digest", DataType::UInt64, false));
        let mut fields = schema().fields().to_vec();
        fields.push(digest);
        Arc::new(Schema::new(fields))
    });
    Arc::clone(&SCHEMA)
}

pub(super) fn pack(records: &RecordBatch, digests: &[u64]) -> Result<Vec<u8>, Unreadable> {
    let mut columns = records.columns().to_vec();
    columns.push(Arc::new(UInt64Array::from(digests.to_vec())));
    let rows = RecordBatch::try_new(spool_schema(), columns)?;
    let most = usize::try_from(batch_bytes(records)).unwrap_or(0);
    let packed = Vec::with_capacity(buffer_capacity(most));
    let encoder = zstd::Encoder::new(packed, LEVEL)?;
    let mut writer = StreamWriter::try_new(encoder, &spool_schema())?;
    for piece in pieces(&rows, BATCH_BYTES) {
        writer.write(&piece)?;
    }
    Ok(writer.into_inner()?.finish()?)
}

pub(super) fn unpack(bytes: &[u8]) -> Result<(RecordBatch, Vec<u64>), Unreadable> {
    let reader = StreamReader::try_new(zstd::Decoder::new(bytes)?, None)?;
    if reader.schema() != spool_schema() {
        return Err("other columns than those of records".into());
    }
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    let rows = concat_batches(&spool_schema(), &batches)?;
    let (_, mut columns, _) = rows.into_parts();
    let digests = columns.pop().ok_or("no digests")?;
    let digests = digests.as_primitive::<UInt64Type>().values().to_vec();
    Ok((RecordBatch::try_new(schema(), columns)?, digests))
}
