//! Arrow IPC streams: the batches as they are, with the provenance as the schema's metadata.
//!
//! The stream form, not the file form: it can also be sent through a pipe, and it is read by the
//! same readers.

use std::io::{BufWriter, IntoInnerError, Write};

use arrow::ipc::CompressionType;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow::record_batch::RecordBatch;

use crate::compression::Compression;
use crate::config::Format;
use crate::record::Provenance;
use crate::table::Table;

use super::encoder::{BATCH_ROWS, Encoder, Fault};

pub(super) struct ArrowEncoder<W: Write> {
    writer: StreamWriter<BufWriter<W>>,
}

impl<W: Write> ArrowEncoder<W> {
    pub(super) fn new(
        compression: Compression,
        table: Table,
        provenance: &Provenance,
        sink: W,
    ) -> Result<Self, Fault> {
        let (codec, level) = match compression {
            Compression::None => (None, None),
            Compression::Lz4 => (Some(CompressionType::LZ4_FRAME), None),
            Compression::Zstd(level) => (Some(CompressionType::ZSTD), Some(level.get().into())),
            Compression::Snappy | Compression::Gzip => {
                return Err(Fault::unsuited(compression, Format::Arrow));
            }
        };
        let options = IpcWriteOptions::default()
            .try_with_compression(codec)?
            .try_with_compression_level(level)?;
        let sink = BufWriter::new(sink);
        let writer =
            StreamWriter::try_new_with_options(sink, &table.schema_with(provenance), options)?;
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

    fn sink(&self) -> Option<&W> {
        Some(self.writer.get_ref().get_ref())
    }

    fn finish(self: Box<Self>) -> Result<W, Fault> {
        let buffer = self.writer.into_inner()?;
        Ok(buffer.into_inner().map_err(IntoInnerError::into_error)?)
    }
}
