//! Arrow IPC: the batches as they are, with the provenance as the schema's metadata.
//!
//! A part is a *file* (`.arrow`), which readers open by name and may read from its end. What goes
//! through a pipe is a *stream* (`.arrows`). Both are written from front to back.

use std::io::{BufWriter, IntoInnerError, Write};

use arrow::ipc::CompressionType;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow::record_batch::RecordBatch;

use crate::record::table::Table;
use crate::values::{Compression, Format};

use super::PartOptions;
use super::encoder::{BATCH_ROWS, Encoder, Fault, Outlet};

pub(super) enum ArrowEncoder<W: Write> {
    File(FileWriter<BufWriter<W>>),
    Stream(StreamWriter<BufWriter<W>>),
}

impl<W: Write> ArrowEncoder<W> {
    pub(super) fn new(
        options: &PartOptions,
        table: Table,
        outlet: Outlet,
        sink: W,
    ) -> Result<Self, Fault> {
        let compression = options.compression;
        let (codec, level) = match compression {
            Compression::None => (None, None),
            Compression::Lz4 => (Some(CompressionType::LZ4_FRAME), None),
            Compression::Zstd(level) => (Some(CompressionType::ZSTD), Some(level.get().into())),
            Compression::Snappy | Compression::Gzip => {
                return Err(Fault::unsuited(compression, Format::Arrow));
            }
        };
        let ipc = IpcWriteOptions::default()
            .try_with_compression(codec)?
            .try_with_compression_level(level)?;
        let schema = table.schema_with(&options.provenance);
        let sink = BufWriter::new(sink);
        Ok(match outlet {
            Outlet::Part => Self::File(FileWriter::try_new_with_options(sink, &schema, ipc)?),
            Outlet::Pipe => Self::Stream(StreamWriter::try_new_with_options(sink, &schema, ipc)?),
        })
    }

    fn buffer(&self) -> &BufWriter<W> {
        match self {
            Self::File(writer) => writer.get_ref(),
            Self::Stream(writer) => writer.get_ref(),
        }
    }
}

impl<W: Write + Send> Encoder<W> for ArrowEncoder<W> {
    fn batch_rows(&self) -> Option<usize> {
        Some(BATCH_ROWS)
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), Fault> {
        Ok(match self {
            Self::File(writer) => writer.write(batch),
            Self::Stream(writer) => writer.write(batch),
        }?)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        Ok(match self {
            Self::File(writer) => writer.flush(),
            Self::Stream(writer) => writer.flush(),
        }?)
    }

    fn buffered(&self) -> u64 {
        self.buffer().buffer().len() as u64
    }

    fn sink(&self) -> Option<&W> {
        Some(self.buffer().get_ref())
    }

    fn finish(self: Box<Self>) -> Result<W, Fault> {
        let buffer = match *self {
            Self::File(writer) => writer.into_inner(),
            Self::Stream(writer) => writer.into_inner(),
        }?;
        Ok(buffer.into_inner().map_err(IntoInnerError::into_error)?)
    }
}
