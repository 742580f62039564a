//! Pages into batches into the encoder of one format, chosen in one place.
//!
//! Pages are small and most encoders like large batches, so records are collected until a batch is
//! worth encoding. Batches are cut at fixed counts of records: where the pages ended does not show
//! in the output.

use std::fmt;
use std::io::Write;

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;

use crate::config::Format;
use crate::table::Table;

use super::PartOptions;
use super::arrow::ArrowEncoder;
use super::encoder::{Encoder, Fault, Outlet};
use super::ndjson::NdjsonEncoder;
use super::parquet::ParquetEncoder;

/// Pages that are kept as they came. A page has some kilobytes of its own beside its records, which
/// are more than those where meetings are small: so many of them become one.
const LOOSE_PAGES: usize = 256;

/// An encoder that is fed pages.
pub(super) struct Gathering<W> {
    encoder: Box<dyn Encoder<W>>,
    table: Table,
    pages: Vec<RecordBatch>,
    /// How many of them, from the first on, are made of many pages.
    bundles: usize,
    gathered: usize,
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
            self.pages.push(if rows == page.num_rows() {
                page.clone()
            } else {
                page.slice(offset, rows)
            });
            self.gathered += rows;
            self.rows += rows as u64;
            offset += rows;
            if self.gathered == batch_rows {
                self.encode()?;
            } else if self.pages.len() - self.bundles == LOOSE_PAGES {
                let loose = self.pages.split_off(self.bundles);
                let bundle = concat_batches(&self.table.schema(), &loose)?;
                self.pages.push(bundle);
                self.bundles += 1;
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
            [page] => self.encoder.write(page)?,
            pages => {
                let batch = concat_batches(&self.table.schema(), pages)?;
                self.encoder.write(&batch)?;
            }
        }
        self.pages.clear();
        self.bundles = 0;
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
