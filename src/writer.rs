//! Records to parts: pages go in, finished files (or a stream) come out.
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

use crate::config::{Compress, Format};
use crate::error::Result;
use crate::folder;
use crate::record::Provenance;

use part::OpenPart;

pub use part::StagedPart;
pub use pipe::PipeWriter;

/// What parts look like and when they are closed.
#[derive(Clone, Debug)]
pub struct PartOptions {
    /// Format of the parts.
    pub format: Format,
    /// Compression of NDJSON.
    pub compress: Compress,
    /// Where the records come from; kept in the parts that can keep it.
    pub provenance: Provenance,
    /// A part is closed at this many records.
    pub part_rows: u64,
    /// A part is closed at this size.
    pub part_bytes: u64,
}

impl PartOptions {
    /// The parts' file name extension, without the first dot.
    pub const fn extension(&self) -> &'static str {
        extension(self.format, self.compress)
    }
}

/// The file name extension of a format, without the first dot.
pub(crate) const fn extension(format: Format, compress: Compress) -> &'static str {
    match (format, compress) {
        (Format::Parquet, _) => "parquet",
        (Format::Arrow, _) => "arrow",
        (Format::Ndjson, Compress::None) => "ndjson",
        (Format::Ndjson, Compress::Zstd) => "ndjson.zst",
        (Format::Ndjson, Compress::Gzip) => "ndjson.gz",
    }
}

/// Encodes whole meetings into staged parts.
///
/// At most two parts are open: the one that small meetings share, and that of a large meeting.
#[derive(Debug)]
pub struct BatchWriter {
    options: PartOptions,
    staging: PathBuf,
    /// Number of the next staged file; never reused, so that a name means one content.
    series: u32,
    next_file: u64,
    shared: Option<OpenPart>,
    slice: Option<OpenPart>,
    /// Closed parts of the large meeting that is not whole yet.
    slices: Vec<StagedPart>,
    /// Closed parts of large meetings that are whole.
    kept: Vec<StagedPart>,
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
            slice: None,
            slices: Vec::new(),
            kept: Vec::new(),
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
                None => self.open()?,
            };
            self.shared.insert(part).push(page)?;
        }
        Ok(())
    }

    /// Adds the next records of a large meeting to parts of its own.
    pub fn slice(&mut self, page: &RecordBatch) -> Result<()> {
        let mut offset = 0;
        while offset < page.num_rows() {
            let part = match self.slice.take() {
                Some(part) => part,
                None => self.open()?,
            };
            let part = self.slice.insert(part);
            let room = self.options.part_rows.saturating_sub(part.rows()).max(1);
            let rows = usize::try_from(room)
                .unwrap_or(usize::MAX)
                .min(page.num_rows() - offset);
            part.push(&page.slice(offset, rows))?;
            offset += rows;
            if part.rows() >= self.options.part_rows || part.size() >= self.options.part_bytes {
                self.close_slice()?;
            }
        }
        Ok(())
    }

    /// The large meeting is whole: its parts join the batch.
    pub fn keep_slices(&mut self) -> Result<()> {
        self.close_slice()?;
        self.kept.append(&mut self.slices);
        Ok(())
    }

    /// The large meeting could not be had whole: its parts are removed.
    pub fn discard_slices(&mut self) -> Result<()> {
        let open = self.slice.take().map(OpenPart::discard);
        let closed: Vec<_> = self.slices.drain(..).map(StagedPart::discard).collect();
        open.into_iter().chain(closed).collect()
    }

    /// Opens the shared part even though there is no record for it, so that a reader finds the
    /// schema.
    pub fn empty_part(&mut self) -> Result<()> {
        if self.shared.is_none() {
            self.shared = Some(self.open()?);
        }
        Ok(())
    }

    /// Whether the shared part reached its target: time to commit.
    pub fn is_full(&self) -> bool {
        self.shared.as_ref().is_some_and(|part| {
            part.rows() >= self.options.part_rows || part.size() >= self.options.part_bytes
        })
    }

    /// Records of whole meetings in this batch.
    pub fn rows(&self) -> u64 {
        let kept: u64 = self.kept.iter().map(|part| part.rows).sum();
        kept + self.shared.as_ref().map_or(0, OpenPart::rows)
    }

    /// Closes the batch and makes its parts durable: the shared part first, then those of large
    /// meetings in order. A large meeting that is not whole yet stays open for the next batch.
    pub fn finish(&mut self) -> Result<Vec<StagedPart>> {
        let shared = self.shared.take().map(OpenPart::finish).transpose()?;
        let mut parts: Vec<_> = shared.into_iter().collect();
        parts.append(&mut self.kept);
        if !parts.is_empty() {
            folder::sync(&self.staging)?;
        }
        Ok(parts)
    }

    fn open(&mut self) -> Result<OpenPart> {
        let name = format!(
            "{}-{:08}.{}",
            self.series,
            self.next_file,
            self.options.extension()
        );
        self.next_file += 1;
        OpenPart::create(&self.options, self.staging.join(name))
    }

    fn close_slice(&mut self) -> Result<()> {
        if let Some(part) = self.slice.take() {
            self.slices.push(part.finish()?);
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
