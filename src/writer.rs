//! Rows to parts: pages of records go in, finished files (or a stream) come out.
//!
//! Synchronous, for a thread of its own. A part is a function of the records alone: neither the
//! clock, nor chance, nor the way the records were cut into pages reaches its bytes. Nothing here
//! knows the ledger; a staged part is visible to nobody until a commit says so.

mod arrow;
mod encoder;
mod gathering;
mod ndjson;
mod parquet;
mod part;
mod pipe;

use std::path::PathBuf;

use ::arrow::record_batch::RecordBatch;

use crate::compression::Compression;
use crate::config::Format;
use crate::crash::{Point, point};
use crate::error::Result;
use crate::folder;
use crate::record::Provenance;
use crate::table::Table;

use part::OpenPart;

pub use part::StagedPart;
pub use pipe::PipeWriter;

/// What parts look like and when they are closed.
#[derive(Clone, Debug)]
pub struct PartOptions {
    /// Format of the parts.
    pub format: Format,
    /// How they are compressed.
    pub compression: Compression,
    /// Where the records come from; kept in the parts that can keep it.
    pub provenance: Provenance,
    /// The part that meetings share is closed at this many records.
    pub part_rows: u64,
    /// The part that meetings share is closed at this size.
    pub part_bytes: u64,
}

impl PartOptions {
    /// The parts' file name extension, without the first dot.
    pub const fn extension(&self) -> &'static str {
        extension(self.format, self.compression)
    }
}

/// The file name extension of a format, without the first dot.
pub(crate) const fn extension(format: Format, compression: Compression) -> &'static str {
    match (format, compression) {
        (Format::Parquet, _) => "parquet",
        (Format::Arrow, _) => "arrow",
        (Format::Ndjson, Compression::Zstd(_)) => "ndjson.zst",
        (Format::Ndjson, Compression::Gzip) => "ndjson.gz",
        (Format::Ndjson, _) => "ndjson",
    }
}

/// The format and compression that a file name extension tells.
pub(crate) fn form_of(extension: &str) -> Option<(Format, Compression)> {
    Some(match extension {
        "parquet" => (Format::Parquet, Compression::of(Format::Parquet)),
        "arrow" => (Format::Arrow, Compression::of(Format::Arrow)),
        "ndjson" => (Format::Ndjson, Compression::None),
        "ndjson.zst" => (Format::Ndjson, Compression::ZSTD),
        "ndjson.gz" => (Format::Ndjson, Compression::Gzip),
        _ => return None,
    })
}

/// Encodes whole meetings into staged parts.
///
/// No meeting is ever in two parts: parts get their final names one after the other, so only then
/// does nobody ever see half a meeting. At most two parts are open: the one that small meetings
/// share, and that of a large meeting.
#[derive(Debug)]
pub struct BatchWriter {
    options: PartOptions,
    staging: PathBuf,
    /// Number of the next staged file; never reused, so that a name means one content.
    series: u32,
    next_file: u64,
    shared: Option<OpenPart>,
    large: Option<OpenPart>,
}

impl BatchWriter {
    /// A writer of parts in an existing local folder that nobody else writes to.
    pub fn new(options: PartOptions, staging: PathBuf) -> Self {
        Self {
            options,
            staging,
            series: 0,
            next_file: 0,
            shared: None,
            large: None,
        }
    }

    /// The writer for a further series of parts in the same folder: no two have a name in
    /// common.
    #[must_use]
    pub fn in_series(mut self, series: u32) -> Self {
        self.series = series;
        self
    }

    /// Adds one whole meeting to the shared part.
    pub fn whole(&mut self, pages: &[RecordBatch]) -> Result<()> {
        for page in pages {
            if page.num_rows() == 0 {
                continue;
            }
            let part = match self.shared.take() {
                Some(part) => part,
                None => self.open(Table::Records)?,
            };
            self.shared.insert(part).push(page)?;
        }
        Ok(())
    }

    /// Adds the next records of a large meeting to a part of its own.
    pub fn slice(&mut self, page: &RecordBatch) -> Result<()> {
        let part = match self.large.take() {
            Some(part) => part,
            None => self.open(Table::Records)?,
        };
        self.large.insert(part).push(page)
    }

    /// The large meeting is whole: closes its part and makes it durable.
    pub fn keep_slices(&mut self) -> Result<Option<StagedPart>> {
        let part = self.large.take();
        self.close(part)
    }

    /// The large meeting could not be had whole: its part is removed.
    pub fn discard_slices(&mut self) -> Result<()> {
        self.large.take().map_or(Ok(()), OpenPart::discard)
    }

    /// Opens the shared part even though there is no record for it, so that a reader finds the
    /// schema.
    pub fn empty_part(&mut self) -> Result<()> {
        if self.shared.is_none() {
            self.shared = Some(self.open(Table::Records)?);
        }
        Ok(())
    }

    /// Writes these rows of the meetings table into a part of their own, even where there are none.
    pub fn meetings(&mut self, rows: &RecordBatch) -> Result<Option<StagedPart>> {
        let mut part = self.open(Table::Meetings)?;
        if rows.num_rows() > 0 {
            part.push(rows)?;
        }
        self.close(Some(part))
    }

    /// Whether the shared part reached its target: time to commit.
    pub fn is_full(&self) -> bool {
        self.shared.as_ref().is_some_and(|part| {
            part.rows() >= self.options.part_rows || part.size() >= self.options.part_bytes
        })
    }

    /// Records in the shared part.
    pub fn rows(&self) -> u64 {
        self.shared.as_ref().map_or(0, OpenPart::rows)
    }

    /// Closes the shared part and makes it durable. A large meeting that is not whole yet stays
    /// open.
    pub fn finish(&mut self) -> Result<Option<StagedPart>> {
        let part = self.shared.take();
        self.close(part)
    }

    fn open(&mut self, table: Table) -> Result<OpenPart> {
        let name = format!(
            "{}-{:08}.{}",
            self.series,
            self.next_file,
            self.options.extension()
        );
        self.next_file += 1;
        OpenPart::create(&self.options, table, self.staging.join(name))
    }

    fn close(&self, part: Option<OpenPart>) -> Result<Option<StagedPart>> {
        let Some(part) = part else {
            return Ok(None);
        };
        let part = part.finish()?;
        folder::sync(&self.staging)?;
        point(Point::PartStaged);
        Ok(Some(part))
    }
}

#[cfg(test)]
pub(crate) mod tests;
