//! The seam between records and formats: one [`Encoder`] for each, chosen in one place.
//!
//! Pages are small and most encoders like large batches, so [`Gathering`] collects records until
//! a batch is worth encoding. Batches are cut at fixed counts of records: where the pages ended
//! does not show in the output.

use std::fmt;
use std::io::{self, Write};

use ::parquet::errors::ParquetError;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::config::Format;
use crate::error::Result;
use crate::record::schema;

use super::PartOptions;
use super::arrow::ArrowEncoder;
use super::ndjson::NdjsonEncoder;
use super::parquet::ParquetEncoder;

/// Records encoded at once: large enough to cost no more than larger ones, small enough to hold
/// two of them (measured on batches of 500 to 65,536).
pub(super) const BATCH_ROWS: usize = 32_768;

/// Turns batches into the bytes of one format.
pub(super) trait Encoder<W>: Send {
    /// The records that it wants at once; less only at the end. An encoder that works record by
    /// record, so that no cut shows, wants none and is given pages as they come.
    fn batch_rows(&self) -> Option<usize>;

    /// Encodes a batch of the record schema.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Fault>;

    /// Pushes what can be pushed to the sink.
    fn flush(&mut self) -> Result<(), Fault>;

    /// Bytes that are encoded but not in the sink yet, about.
    fn buffered(&self) -> u64;

    /// Where the bytes go.
    fn sink(&self) -> &W;

    /// Writes what the format needs at its end and gives the sink back.
    fn finish(self: Box<Self>) -> Result<W, Fault>;
}

/// The encoder of a format.
fn encoder<W: Write + Send + 'static>(
    options: &PartOptions,
    sink: W,
) -> Result<Box<dyn Encoder<W>>, Fault> {
    Ok(match options.format {
        Format::Parquet => Box::new(ParquetEncoder::new(&options.provenance, sink)?),
        Format::Ndjson => Box::new(NdjsonEncoder::new(options.compress, sink)?),
        Format::Arrow => Box::new(ArrowEncoder::new(&options.provenance, sink)?),
    })
}

/// Why encoding failed: the sink or the encoder. The caller knows the path.
pub(super) enum Fault {
    /// The sink took no more.
    Sink(io::Error),
    /// The records do not fit the format.
    Encode(Box<dyn std::error::Error + Send + Sync>),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Sink(error)
    }
}

impl From<ArrowError> for Fault {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::IoError(_, error) => Self::Sink(error),
            other => Self::Encode(other.into()),
        }
    }
}

impl From<ParquetError> for Fault {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(cause) => match cause.downcast::<io::Error>() {
                Ok(error) => Self::Sink(*error),
                Err(cause) => Self::Encode(cause),
            },
            other => Self::Encode(other.into()),
        }
    }
}

/// An encoder that is fed pages.
pub(super) struct Gathering<W> {
    encoder: Box<dyn Encoder<W>>,
    pages: Vec<RecordBatch>,
    gathered: usize,
    rows: u64,
}

impl<W: Write + Send + 'static> Gathering<W> {
    pub(super) fn new(options: &PartOptions, sink: W) -> Result<Self, Fault> {
        Ok(Self {
            encoder: encoder(options, sink)?,
            pages: Vec::new(),
            gathered: 0,
            rows: 0,
        })
    }

    /// Adds the records of a page.
    pub(super) fn push(&mut self, page: &RecordBatch) -> Result<(), Fault> {
        let Some(batch_rows) = self.encoder.batch_rows() else {
            self.rows += page.num_rows() as u64;
            return self.encoder.write(page);
        };
        let mut offset = 0;
        while offset < page.num_rows() {
            let rows = (batch_rows - self.gathered).min(page.num_rows() - offset);
            self.pages.push(page.slice(offset, rows));
            self.gathered += rows;
            self.rows += rows as u64;
            offset += rows;
            if self.gathered == batch_rows {
                self.encode()?;
            }
        }
        Ok(())
    }

    /// Encodes what is gathered and pushes it to the sink. Moves the cuts between batches, so it
    /// is for streams, not for parts.
    pub(super) fn flush(&mut self) -> Result<(), Fault> {
        self.encode()?;
        self.encoder.flush()
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes that are encoded but not in the sink yet, about.
    pub(super) fn buffered(&self) -> u64 {
        self.encoder.buffered()
    }

    pub(super) fn sink(&self) -> &W {
        self.encoder.sink()
    }

    pub(super) fn finish(mut self) -> Result<W, Fault> {
        self.encode()?;
        self.encoder.finish()
    }

    fn encode(&mut self) -> Result<(), Fault> {
        match self.pages.as_slice() {
            [] => {}
            [page] => self.encoder.write(page)?,
            pages => {
                let batch = concat_batches(&schema(), pages)?;
                self.encoder.write(&batch)?;
            }
        }
        self.pages.clear();
        self.gathered = 0;
        Ok(())
    }
}

impl<W> fmt::Debug for Gathering<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathering")
            .field("gathered", &self.gathered)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}
