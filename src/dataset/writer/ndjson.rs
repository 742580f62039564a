//! NDJSON: one object a line, every column on each line in order, nulls told.
//!
//! This is where the lines go; how they are made is [`row_encoder`]'s business.

mod row_encoder;

use std::io::Write;

use arrow::record_batch::RecordBatch;
use flate2::write::GzEncoder;

use crate::values::{Compression, Format};

use self::row_encoder::{Lines, Pattern};
use super::encoder::{Encoder, Fault};

/// Bytes collected before they are compressed, hashed and written.
const CHUNK: usize = 256 << 10;

pub(super) struct NdjsonEncoder<W: Write> {
    sink: Compressed<W>,
    lines: Lines,
}

impl<W: Write> NdjsonEncoder<W> {
    pub(super) fn new(compression: Compression, sink: W) -> Result<Self, Fault> {
        let sink = match compression {
            Compression::None => Compressed::Not(sink),
            Compression::Zstd(level) => {
                Compressed::Zstd(zstd::Encoder::new(sink, level.get().into())?)
            }
            Compression::Gzip => {
                Compressed::Gzip(GzEncoder::new(sink, flate2::Compression::fast()))
            }
            Compression::Snappy | Compression::Lz4 => {
                return Err(Fault::unsuited(compression, Format::Ndjson));
            }
        };
        Ok(Self {
            sink,
            lines: Lines::with_capacity(CHUNK + (CHUNK >> 2)),
        })
    }

    fn push_out(&mut self) -> Result<(), Fault> {
        self.sink.as_write().write_all(&self.lines.text)?;
        self.lines.text.clear();
        Ok(())
    }
}

impl<W: Write + Send> Encoder<W> for NdjsonEncoder<W> {
    fn batch_rows(&self) -> Option<usize> {
        None
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), Fault> {
        let pattern = Pattern::of(batch)?;
        for row in 0..batch.num_rows() {
            self.lines.push(&pattern, row)?;
            // Only here, never at the end of a batch: a compressor may show where it was fed.
            if self.lines.text.len() >= CHUNK {
                self.push_out()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.push_out()?;
        Ok(self.sink.as_write().flush()?)
    }

    fn buffered(&self) -> u64 {
        self.lines.text.len() as u64
    }

    fn sink(&self) -> Option<&W> {
        Some(match &self.sink {
            Compressed::Not(sink) => sink,
            Compressed::Zstd(encoder) => encoder.get_ref(),
            Compressed::Gzip(encoder) => encoder.get_ref(),
        })
    }

    fn finish(mut self: Box<Self>) -> Result<W, Fault> {
        self.push_out()?;
        Ok(match self.sink {
            Compressed::Not(sink) => sink,
            Compressed::Zstd(encoder) => encoder.finish()?,
            Compressed::Gzip(encoder) => encoder.finish()?,
        })
    }
}

enum Compressed<W: Write> {
    Not(W),
    Zstd(zstd::Encoder<'static, W>),
    Gzip(GzEncoder<W>),
}

impl<W: Write> Compressed<W> {
    fn as_write(&mut self) -> &mut dyn Write {
        match self {
            Self::Not(sink) => sink,
            Self::Zstd(encoder) => encoder,
            Self::Gzip(encoder) => encoder,
        }
    }
}
