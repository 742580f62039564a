//! Rows to parts: pages of records go in, finished files (or a stream) come out.
//!
//! Synchronous, for a thread of its own. A part is a function of the records alone: neither the
//! clock, nor chance, nor the way the records were cut into pages reaches its bytes. Nothing here
//! knows the ledger; a staged part is visible to nobody until a commit says so.

mod arrow;
mod batch_buffer;
mod encoder;
pub(crate) mod ndjson;
mod parquet;
mod part_file;
mod partition_split;
mod partition_writers;
mod staged_files;
mod stream_writer;

use std::path::PathBuf;

use ::arrow::record_batch::RecordBatch;

use crate::error::Result;
use crate::record::partition::{Calendar, DateOf, Partition, Partitioning};
use crate::record::table::Table;
use crate::record::{Provenance, batch_bytes, piece};
use crate::values::{Compression, Format, ParquetEncodings, Zone};

use self::partition_writers::Shares;
use self::staged_files::Files;

pub(crate) use self::parquet::ENCODINGS as PARQUET_ENCODINGS;
pub use self::part_file::StagedPart;
pub use self::stream_writer::PipeWriter;

/// Records of a large meeting between two looks at what its parts need, and their bytes.
const RELIEVE_EVERY: u64 = 8_192;
const RELIEVE_BYTES: u64 = 8 << 20;

/// What parts look like and when they are closed.
#[derive(Clone, Debug)]
pub struct PartOptions {
    /// Format of the parts.
    pub format: Format,
    /// How they are compressed.
    pub compression: Compression,
    /// Encodings of the columns, in Parquet.
    pub parquet_encodings: ParquetEncodings,
    /// Where the records come from; kept in the parts that can keep it.
    pub provenance: Provenance,
    /// The parts that meetings share are closed when one has this many records.
    pub part_rows: u64,
    /// The parts that meetings share are closed when one has this size.
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
/// Without partitions no meeting is ever in two parts: parts get their final names one after the
/// other, so only then does nobody ever see half a meeting. Small meetings share a part, one for
/// each partition; a large meeting has parts of its own.
#[derive(Debug)]
pub struct BatchWriter {
    files: Files,
    partitioning: Option<Partitioning>,
    calendar: Calendar,
    shared: Shares,
    large: Shares,
    /// Records of the meeting at hand whose partition its end tells.
    held: Vec<RecordBatch>,
    /// The earliest `join_time` of the meeting at hand, in milliseconds since 1970.
    earliest: Option<i64>,
    /// The same of the large one.
    earliest_of_large: Option<i64>,
    /// Bytes of its records since the last look at what its parts need.
    since_relief: u64,
}

impl BatchWriter {
    /// A writer of parts in an existing local folder that nobody else writes to.
    pub fn new(options: PartOptions, staging: PathBuf) -> Self {
        Self {
            files: Files::new(options, staging),
            partitioning: None,
            calendar: Calendar::new(Zone::UTC),
            shared: Shares::default(),
            large: Shares::default(),
            held: Vec::new(),
            earliest: None,
            earliest_of_large: None,
            since_relief: 0,
        }
    }

    /// The writer for a further series of parts in the same folder: no two have a name in
    /// common.
    #[must_use]
    pub fn in_series(mut self, series: u32) -> Self {
        self.files.series = series;
        self
    }

    /// The writer of a dataset whose records are told apart so, or not at all.
    #[must_use]
    pub fn partitioned(mut self, partitioning: Option<Partitioning>) -> Self {
        self.calendar = Calendar::new(partitioning.map_or(Zone::UTC, |of| of.timezone));
        self.partitioning = partitioning;
        self
    }

    /// Adds one whole meeting to the shared parts.
    pub fn whole(&mut self, pages: &[RecordBatch]) -> Result<()> {
        pages.iter().try_for_each(|page| self.page(page))?;
        self.end_meeting()
    }

    /// Adds records of a whole meeting to the shared parts; those of no other may come until its
    /// end.
    pub fn page(&mut self, page: &RecordBatch) -> Result<()> {
        if page.num_rows() == 0 {
            return Ok(());
        }
        match self.date() {
            None => self.shared.push(None, page.clone(), &mut self.files)?,
            Some(DateOf::Join) => {
                for (partition, rows, _) in partition_split::by_join_date(page, &mut self.calendar)?
                {
                    self.shared.push(Some(partition), rows, &mut self.files)?;
                }
            }
            Some(DateOf::Meeting) => {
                self.earliest = earlier(self.earliest, partition_split::earliest(page));
                self.held.push(page.clone());
            }
        }
        Ok(())
    }

    /// The whole meeting at hand has no more records.
    pub fn end_meeting(&mut self) -> Result<()> {
        let partition = self.calendar.partition(self.earliest.take());
        for page in std::mem::take(&mut self.held) {
            self.shared.push(Some(partition), page, &mut self.files)?;
        }
        Ok(())
    }

    /// Adds records to the shared part of a partition that somebody else told, or of none.
    pub(crate) fn within(&mut self, partition: Option<Partition>, page: RecordBatch) -> Result<()> {
        if page.num_rows() == 0 {
            return Ok(());
        }
        self.shared.push(partition, page, &mut self.files)
    }

    /// Adds the next records of a large meeting to parts of its own.
    pub fn slice(&mut self, page: &RecordBatch) -> Result<()> {
        let Self { files, large, .. } = self;
        match self.partitioning.map(|of| of.by) {
            None => large.push(None, page.clone(), files),
            Some(DateOf::Meeting) => {
                let earliest = partition_split::earliest(page);
                self.earliest_of_large = earlier(self.earliest_of_large, earliest);
                large.push(None, page.clone(), files)
            }
            Some(DateOf::Join) => self.slice_by_date(page),
        }
    }

    /// Adds records of a large meeting to the parts of their days. Room is made at fixed counts of
    /// records and before the record that would be too much: where pages ended does not show.
    fn slice_by_date(&mut self, page: &RecordBatch) -> Result<()> {
        let Self { files, large, .. } = self;
        let mut offset = 0;
        while offset < page.num_rows() {
            let until = RELIEVE_EVERY - large.rows() % RELIEVE_EVERY;
            let rest = page.num_rows() - offset;
            let wanted = usize::try_from(until).map_or(rest, |until| until.min(rest));
            let room = RELIEVE_BYTES.saturating_sub(self.since_relief);
            let least = usize::from(self.since_relief == 0);
            let piece = piece(page, offset, wanted, room, least);
            let before = large.rows();
            for (partition, rows, last) in
                partition_split::by_join_date(&piece, &mut self.calendar)?
            {
                large.push(Some(partition), rows, files)?;
                large.reached(partition, before + u64::from(last));
            }
            self.since_relief += batch_bytes(&piece);
            offset += piece.num_rows();
            if large.rows().is_multiple_of(RELIEVE_EVERY) || piece.num_rows() < wanted {
                large.relieve(files)?;
                self.since_relief = 0;
            }
        }
        Ok(())
    }

    /// The large meeting is whole: closes its parts and makes them durable.
    pub fn keep_slices(&mut self) -> Result<Vec<StagedPart>> {
        self.since_relief = 0;
        let earliest = self.earliest_of_large.take();
        let mut parts = self.large.finish(&mut self.files)?;
        if self.date() == Some(DateOf::Meeting) {
            let partition = self.calendar.partition(earliest);
            for part in &mut parts {
                part.partition = Some(partition);
            }
        }
        Ok(parts)
    }

    /// The large meeting could not be had whole: its parts are removed.
    pub fn discard_slices(&mut self) -> Result<()> {
        self.earliest_of_large = None;
        self.since_relief = 0;
        self.large.discard()
    }

    /// Opens a shared part even though there is no record for it, so that a reader finds the
    /// schema.
    pub fn empty_part(&mut self) -> Result<()> {
        if self.shared.is_empty() {
            let partition = self.partitioning.map(|_| Partition::Dateless);
            self.shared.open(partition, &mut self.files)?;
        }
        Ok(())
    }

    /// Writes these rows of the meetings table into a part of their own, even where there are none.
    pub fn meetings(&mut self, rows: &RecordBatch) -> Result<StagedPart> {
        let mut part = self.files.open(Table::Meetings)?;
        if rows.num_rows() > 0 {
            part.push(rows)?;
        }
        self.files.close(part, None)
    }

    /// Whether a shared part reached its target, or all of them need as much memory as they may:
    /// time to commit.
    pub fn is_full(&self) -> bool {
        let PartOptions {
            part_rows,
            part_bytes,
            ..
        } = self.files.options;
        self.shared.is_full(part_rows, part_bytes)
    }

    /// Records in the shared parts.
    pub fn rows(&self) -> u64 {
        self.shared.rows()
    }

    /// Closes the shared parts and makes them durable, in the order of their partitions. A large
    /// meeting that is not whole yet stays open.
    pub fn finish(&mut self) -> Result<Vec<StagedPart>> {
        self.shared.finish(&mut self.files)
    }

    fn date(&self) -> Option<DateOf> {
        self.partitioning.map(|of| of.by)
    }
}

/// The earlier of two times, where either is known.
fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod partition_tests;
#[cfg(test)]
pub(crate) mod tests;
