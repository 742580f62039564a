//! What every format is to the rest: batches in, bytes out, and why that failed.

use std::io;

use ::parquet::errors::ParquetError;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::values::{Compression, Format};

/// Records encoded at once: large enough to cost no more than larger ones, small enough to hold
/// two of them (measured on batches of 500 to 65,536).
pub(super) const BATCH_ROWS: usize = 16_384;

/// Bytes of records that are encoded at once: [`BATCH_ROWS`] of a usual size are less than half.
pub(super) const BATCH_BYTES: u64 = 8 << 20;

/// Destination of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlet {
    /// A part: a file that readers open by its name.
    Part,
    /// A pipe: a stream without an end to begin at.
    Pipe,
}

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

    /// Where the bytes go, once there are any.
    fn sink(&self) -> Option<&W>;

    /// Writes what the format needs at its end and gives the sink back.
    fn finish(self: Box<Self>) -> Result<W, Fault>;
}

/// Why encoding failed: the sink or the encoder. The caller knows the path.
pub(super) enum Fault {
    /// The sink took no more.
    Sink(io::Error),
    /// The records do not fit the format.
    Encode(Box<dyn std::error::Error + Send + Sync>),
}

impl Fault {
    /// A compression that the format does not take; settings are checked long before.
    pub(super) fn unsuited(compression: Compression, format: Format) -> Self {
        let choices = Compression::choices(format);
        Self::Encode(format!("{compression} does not suit {format}; it takes {choices}").into())
    }
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
