//! Whole meetings to a stream: NDJSON or Arrow IPC, no files, no ledger.
//!
//! What has gone down a pipe cannot be called back, so a large meeting waits in an unnamed
//! temporary file until it is whole.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;

use crate::error::{Error, Result};
use crate::record::pieces;
use crate::record::schema::schema;
use crate::record::table::Table;
use crate::values::Format;

use super::PartOptions;
use super::batch_buffer::Gathering;
use super::encoder::{Fault, Outlet};

/// Writes whole meetings to a stream.
#[derive(Debug)]
pub struct PipeWriter<W: Write> {
    format: Format,
    records: Gathering<W>,
    spill: Option<Spill>,
}

impl<W: Write + Send + 'static> PipeWriter<W> {
    /// A writer of one stream.
    ///
    /// # Errors
    ///
    /// Parquet: its readers need to seek.
    pub fn new(options: &PartOptions, out: W) -> Result<Self> {
        let format = options.format;
        if format == Format::Parquet {
            return Err(Error::Config(
                "parquet cannot be read from a pipe; use ndjson or arrow".to_owned(),
            ));
        }
        let records = Gathering::new(options, Table::Records, Outlet::Pipe, out)
            .map_err(|fault| at_pipe(fault, format))?;
        Ok(Self {
            format,
            records,
            spill: None,
        })
    }

    /// Writes one whole meeting.
    pub fn whole(&mut self, pages: &[RecordBatch]) -> Result<()> {
        pages.iter().try_for_each(|page| self.push(page))
    }

    /// Holds the next records of a large meeting back.
    pub fn slice(&mut self, page: &RecordBatch) -> Result<()> {
        let spill = match self.spill.take() {
            Some(spill) => spill,
            None => Spill::new()?,
        };
        self.spill.insert(spill).push(page)
    }

    /// The large meeting is whole: it is written.
    pub fn keep_slices(&mut self) -> Result<()> {
        let Some(spill) = self.spill.take() else {
            return Ok(());
        };
        for page in spill.read_back()? {
            let page = page.map_err(|error| at_spill("read", error.into()))?;
            self.push(&page)?;
        }
        Ok(())
    }

    /// The large meeting could not be had whole: it is forgotten.
    pub fn discard_slices(&mut self) -> Result<()> {
        self.spill = None;
        Ok(())
    }

    /// Records of whole meetings so far.
    pub fn rows(&self) -> u64 {
        self.records.rows()
    }

    /// Hands what is gathered to the reader now.
    pub fn flush(&mut self) -> Result<()> {
        self.records
            .flush()
            .map_err(|fault| at_pipe(fault, self.format))
    }

    /// Ends the stream.
    pub fn finish(self) -> Result<W> {
        let mut out = self
            .records
            .finish()
            .map_err(|fault| at_pipe(fault, self.format))?;
        out.flush()
            .map_err(|error| at_pipe(error.into(), self.format))?;
        Ok(out)
    }

    fn push(&mut self, page: &RecordBatch) -> Result<()> {
        self.records
            .push(page)
            .map_err(|fault| at_pipe(fault, self.format))
    }
}

fn at_pipe(fault: Fault, format: Format) -> Error {
    fault.at(Path::new("the output stream"), format)
}

fn at_spill(action: &'static str, fault: Fault) -> Error {
    match fault {
        Fault::Sink(source) => spill_error(action)(source),
        Fault::Encode(source) => Error::Encode {
            format: "a large meeting that waits to be whole",
            source,
        },
    }
}

fn spill_error(action: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::File {
        action,
        path: PathBuf::from("a temporary file"),
        source,
    }
}

/// Bytes of the records of one batch of a spill.
const SPILL_BYTES: u64 = 1 << 20;

type SpillReader = StreamReader<BufReader<zstd::Decoder<'static, BufReader<File>>>>;

/// A meeting on its way to be whole, compressed in a file that the system forgets with us.
struct Spill {
    writer: StreamWriter<BufWriter<zstd::Encoder<'static, File>>>,
}

impl Spill {
    fn new() -> Result<Self> {
        let file = tempfile::tempfile().map_err(spill_error("create"))?;
        let packed = zstd::Encoder::new(file, 1).map_err(spill_error("write"))?;
        let writer = StreamWriter::try_new_buffered(packed, &schema())
            .map_err(|error| at_spill("write", error.into()))?;
        Ok(Self { writer })
    }

    fn push(&mut self, page: &RecordBatch) -> Result<()> {
        pieces(page, SPILL_BYTES)
            .try_for_each(|piece| self.writer.write(&piece))
            .map_err(|error| at_spill("write", error.into()))
    }

    fn read_back(self) -> Result<SpillReader> {
        let buffer = self
            .writer
            .into_inner()
            .map_err(|error| at_spill("write", error.into()))?;
        let packed = buffer
            .into_inner()
            .map_err(|error| spill_error("write")(error.into_error()))?;
        let mut file = packed.finish().map_err(spill_error("write"))?;
        file.rewind().map_err(spill_error("read"))?;
        let unpacked = zstd::Decoder::new(file).map_err(spill_error("read"))?;
        StreamReader::try_new_buffered(unpacked, None)
            .map_err(|error| at_spill("read", error.into()))
    }
}

impl std::fmt::Debug for Spill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spill").finish_non_exhaustive()
    }
}
