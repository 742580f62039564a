//! Arrow IPC streams: the batches as they are, with the provenance as the schema's metadata.
//!
//! The stream form, not the file form: it can also be sent through a pipe, and it is read by the
//! same readers.

use std::io::{BufWriter, IntoInnerError, Write};

use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;

use crate::record::Provenance;
use crate::table::Table;

use super::encoder::{BATCH_ROWS, Encoder, Fault};

pub(super) struct ArrowEncoder<W: Write> {
    writer: StreamWriter<BufWriter<W>>,
}

impl<W: Write> ArrowEncoder<W> {
    pub(super) fn new(table: Table, provenance: &Provenance, sink: W) -> Result<Self, Fault> {
        let writer = StreamWriter::try_new_buffered(sink, &table.schema_with(provenance))?;
        Ok(Self { writer })
    }
}

impl<W: Write + Send> Encoder<W> for ArrowEncoder<W> {
    fn batch_rows(&self) -> Option<usize> {
        Some(BATCH_ROWS)
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), Fault> {
        Ok(self.writer.write(batch)?)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        Ok(self.writer.flush()?)
    }

    fn buffered(&self) -> u64 {
        self.writer.get_ref().buffer().len() as u64
    }

    fn sink(&self) -> &W {
        self.writer.get_ref().get_ref()
    }

    fn finish(self: Box<Self>) -> Result<W, Fault> {
        let buffer = self.writer.into_inner()?;
        Ok(buffer.into_inner().map_err(IntoInnerError::into_error)?)
    }
}
