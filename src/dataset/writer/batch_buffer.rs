//! Pages into batches into the encoder of one format, chosen in one place.
//!
//! Pages are small and most encoders like large batches, so records are collected until a batch is
//! worth encoding. Batches are cut at fixed counts of records, and before the record that would make
//! them too large: where the pages ended does not show in the output.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;

use crate::record::table::Table;
use crate::record::{batch_bytes, piece};
use crate::values::Format;

use super::PartOptions;
use super::arrow::ArrowEncoder;
use super::encoder::{BATCH_BYTES, Encoder, Fault, Outlet};
use super::ndjson::NdjsonEncoder;
use super::parquet::ParquetEncoder;

/// Pages that are kept as they came. A page has some kilobytes of its own beside its records, which
/// are more than those where meetings are small: so many of them become one.
const LOOSE_PAGES: usize = 256;

/// Bytes of a slice that is worth its copy.
const LONG_SLICE: u64 = 1 << 20;

/// An encoder that is fed pages.
pub(super) struct Gathering<W> {
    encoder: Box<dyn Encoder<W>>,
    table: Table,
    pages: Vec<RecordBatch>,
    /// How many of them, from the first on, are made of many pages.
    bundles: usize,
    /// Whether one of them is a part of a page.
    has_slice: bool,
    gathered: usize,
    gathered_bytes: u64,
    rows: u64,
}

impl<W: Write + Send + 'static> Gathering<W> {
    pub(super) fn new(
        options: &PartOptions,
        table: Table,
        outlet: Outlet,
        sink: W,
    ) -> Result<Self, Fault> {
        Ok(Self {
            encoder: encoder(options, table, outlet, sink)?,
            table,
            pages: Vec::new(),
            bundles: 0,
            has_slice: false,
            gathered: 0,
            gathered_bytes: 0,
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
            let wanted = (batch_rows - self.gathered).min(page.num_rows() - offset);
            let room = BATCH_BYTES.saturating_sub(self.gathered_bytes);
            // A record that is larger than a batch is a batch of its own.
            let least = usize::from(self.gathered == 0);
            let mut piece = piece(page, offset, wanted, room, least);
            let rows = piece.num_rows();
            offset += rows;
            if rows > 0 {
                let is_rest = offset == page.num_rows() && rows < page.num_rows();
                if is_rest && batch_bytes(&piece) > LONG_SLICE {
                    // The whole page would stay in memory.
                    piece = self.copied(&[piece])?;
                }
                self.has_slice |= rows < page.num_rows();
                self.gather(piece)?;
            }
            if self.gathered == batch_rows || rows < wanted {
                self.encode()?;
            }
        }
        Ok(())
    }

    /// Adds records to the batch that they fit into.
    fn gather(&mut self, piece: RecordBatch) -> Result<(), Fault> {
        self.gathered += piece.num_rows();
        self.gathered_bytes += batch_bytes(&piece);
        self.rows += piece.num_rows() as u64;
        self.pages.push(piece);
        if self.pages.len() - self.bundles == LOOSE_PAGES {
            let loose = self.pages.split_off(self.bundles);
            let bundle = concat_batches(&self.table.schema(), &loose)?;
            self.pages.push(bundle);
            self.bundles += 1;
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

    /// Bytes in memory, about: those and the records that are gathered.
    pub(super) fn held(&self) -> u64 {
        self.buffered() + self.gathered_bytes
    }

    pub(super) fn sink(&self) -> Option<&W> {
        self.encoder.sink()
    }

    pub(super) fn finish(mut self) -> Result<W, Fault> {
        self.encode()?;
        self.encoder.finish()
    }

    fn encode(&mut self) -> Result<(), Fault> {
        match self.pages.as_slice() {
            [] => {}
            [page] if !self.has_slice => self.encoder.write(page)?,
            pages => {
                let batch = self.copied(pages)?;
                self.pages.clear();
                self.encoder.write(&batch)?;
            }
        }
        self.pages.clear();
        self.bundles = 0;
        self.has_slice = false;
        self.gathered = 0;
        self.gathered_bytes = 0;
        Ok(())
    }
}

impl<W> Gathering<W> {
    /// Returns one batch of these rows alone: of a slice, an Arrow stream would have the whole.
    fn copied(&self, pages: &[RecordBatch]) -> Result<RecordBatch, Fault> {
        let schema = self.table.schema();
        // A single batch would not be copied.
        let empty = RecordBatch::new_empty(Arc::clone(&schema));
        Ok(concat_batches(&schema, pages.iter().chain([&empty]))?)
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

/// The encoder of a format.
fn encoder<W: Write + Send + 'static>(
    options: &PartOptions,
    table: Table,
    outlet: Outlet,
    sink: W,
) -> Result<Box<dyn Encoder<W>>, Fault> {
    Ok(match options.format {
        Format::Parquet => Box::new(ParquetEncoder::new(options, table, sink)?),
        Format::Ndjson => Box::new(NdjsonEncoder::new(options.compression, sink)?),
        Format::Arrow => Box::new(ArrowEncoder::new(options, table, outlet, sink)?),
    })
}
