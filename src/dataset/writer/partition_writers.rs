//! The parts that grow side by side, one for each partition of what is being written.
//!
//! An encoder costs megabytes, a few waiting records do not. So the records of a partition wait as
//! they came until they are worth an encoder, and a batch of many small partitions opens its files
//! one after the other, when it is closed. How many encoders there are and how much waits is
//! bounded; without partitions there is one part, and nothing waits.

use std::collections::BTreeMap;
use std::fs;

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;

use super::encoder::{BATCH_BYTES, BATCH_ROWS};
use super::part_file::{OpenPart, StagedPart};
use super::staged_files::Files;
use crate::error::{Error, Result};
use crate::record::batch_bytes;
use crate::record::partition::Partition;
use crate::record::schema::schema;
use crate::record::table::Table;

/// Encoders at once.
const MOST_OPEN: usize = 16;

/// Bytes that they and the records that wait for one may hold in memory.
const MOST_HELD: u64 = 96 << 20;

/// Records that wait for an encoder: as many as those that fill the row group of one part cost.
const MOST_WAITING: usize = 1 << 18;

/// Bytes of those records.
const MOST_WAITING_BYTES: u64 = 48 << 20;

/// A batch has some kilobytes of its own beside its records: smaller neighbours become one.
const LOOSE_ROWS: usize = 512;

/// Parts of several partitions, or one of none.
#[derive(Debug, Default)]
pub(super) struct Shares {
    growing: BTreeMap<Option<Partition>, Share>,
    /// Parts that had to make room before all their partition's records were there.
    closed: Vec<StagedPart>,
    rows: u64,
    waiting: Waiting,
}

/// Records that wait for an encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    rows: usize,
    bytes: u64,
}

/// The records of one partition.
#[derive(Debug, Default)]
struct Share {
    pages: Vec<RecordBatch>,
    waiting: Waiting,
    part: Option<OpenPart>,
    /// Where the last of these is among all records.
    last: u64,
}

impl Shares {
    /// Adds records of one partition.
    pub(super) fn push(
        &mut self,
        partition: Option<Partition>,
        page: RecordBatch,
        files: &mut Files,
    ) -> Result<()> {
        self.rows += page.num_rows() as u64;
        let share = self.growing.entry(partition).or_default();
        if let Some(part) = &mut share.part {
            return part.push(&page);
        }
        self.waiting.add(Waiting::of(&page));
        share.wait(page)?;
        if partition.is_none() || share.waiting.is_batch() {
            self.waiting.take(share.start(files)?);
        }
        Ok(())
    }

    /// Says where among all records the last one of a partition is.
    pub(super) fn reached(&mut self, partition: Partition, last: u64) {
        if let Some(share) = self.growing.get_mut(&Some(partition)) {
            share.last = last;
        }
    }

    /// Opens the part of a partition that there is no record of.
    pub(super) fn open(&mut self, partition: Option<Partition>, files: &mut Files) -> Result<()> {
        self.growing.entry(partition).or_default().start(files)?;
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.growing.is_empty()
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether a part has one of these sizes, or all of them need more memory than they should.
    pub(super) fn is_full(&self, rows: u64, bytes: u64) -> bool {
        let mut shares = self.growing.values();
        self.is_crowded() || shares.any(|share| share.rows() >= rows || share.bytes() >= bytes)
    }

    fn is_crowded(&self) -> bool {
        let (open, held) = self.open_parts();
        self.waiting.is_much() || open > MOST_OPEN || held + self.waiting.bytes > MOST_HELD
    }

    /// Whether more is open or waits than a batch that cannot be closed yet may have.
    #[cfg(test)]
    pub(super) fn is_beyond(&self) -> bool {
        let (open, held) = self.open_parts();
        let waiting = MOST_WAITING + MOST_OPEN * BATCH_ROWS;
        self.waiting.rows > waiting || open > 2 * MOST_OPEN || held > 2 * MOST_HELD
    }

    /// Encoders, and what is in them.
    fn open_parts(&self) -> (usize, u64) {
        let parts = || {
            self.growing
                .values()
                .filter_map(|share| share.part.as_ref())
        };
        // The one part of an unpartitioned batch bounds itself.
        let held = match self.growing.len() {
            1 => 0,
            _ => parts().map(OpenPart::held).sum(),
        };
        (parts().count(), held)
    }

    /// Makes room where no batch can be closed yet: what waits longest in an encoder becomes a part
    /// of its own. Its partition gets a further one if more comes.
    pub(super) fn relieve(&mut self, files: &mut Files) -> Result<()> {
        while self.waiting.is_much() {
            let most = self.growing.values_mut().max_by_key(|share| share.waiting);
            let Some(share) = most else { break };
            self.waiting.take(share.start(files)?);
        }
        loop {
            let (open, held) = self.open_parts();
            if open <= MOST_OPEN && held + self.waiting.bytes <= MOST_HELD {
                return Ok(());
            }
            let open = self.growing.iter_mut();
            let open = open.filter(|(_, share)| share.part.is_some());
            let Some((partition, share)) = open.min_by_key(|(_, share)| share.last) else {
                return Ok(());
            };
            if let Some(part) = share.part.take() {
                self.closed.push(files.close(part, *partition)?);
            }
        }
    }

    /// Closes all parts, in the order of their partitions.
    pub(super) fn finish(&mut self, files: &mut Files) -> Result<Vec<StagedPart>> {
        let Self {
            growing,
            mut closed,
            ..
        } = std::mem::take(self);
        for (partition, mut share) in growing {
            if share.waiting.rows > 0 {
                share.start(files)?;
            }
            if let Some(part) = share.part {
                closed.push(files.close(part, partition)?);
            }
        }
        closed.sort_by_key(|part| part.partition);
        Ok(closed)
    }

    /// Removes all of it.
    pub(super) fn discard(&mut self) -> Result<()> {
        let Self {
            growing, closed, ..
        } = std::mem::take(self);
        let mut parts = growing.into_values().filter_map(|share| share.part);
        parts.try_for_each(OpenPart::discard)?;
        closed.into_iter().try_for_each(|part| {
            fs::remove_file(&part.path).map_err(Error::file("remove", &part.path))
        })
    }
}

impl Waiting {
    fn of(page: &RecordBatch) -> Self {
        Self {
            rows: page.num_rows(),
            bytes: batch_bytes(page),
        }
    }

    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
    }

    fn take(&mut self, other: Self) {
        self.rows -= other.rows;
        self.bytes -= other.bytes;
    }

    /// Whether they are worth an encoder.
    fn is_batch(self) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    /// Whether so many may not wait.
    fn is_much(self) -> bool {
        self.rows > MOST_WAITING || self.bytes > MOST_WAITING_BYTES
    }
}

impl Share {
    fn rows(&self) -> u64 {
        self.waiting.rows as u64 + self.part.as_ref().map_or(0, OpenPart::rows)
    }

    fn bytes(&self) -> u64 {
        self.part.as_ref().map_or(0, OpenPart::size)
    }

    fn wait(&mut self, page: RecordBatch) -> Result<()> {
        self.waiting.add(Waiting::of(&page));
        self.pages.push(page);
        while let [.., one, other] = self.pages.as_slice()
            && one.num_rows() + other.num_rows() <= LOOSE_ROWS
        {
            let both = concat_batches(&schema(), [one, other]).map_err(|error| Error::Encode {
                format: "the records of a partition",
                source: error.into(),
            })?;
            self.pages.truncate(self.pages.len() - 2);
            self.pages.push(both);
        }
        Ok(())
    }

    /// Gives what waits to an encoder; returns how much that was.
    fn start(&mut self, files: &mut Files) -> Result<Waiting> {
        let mut part = match self.part.take() {
            Some(part) => part,
            None => files.open(Table::Records)?,
        };
        for page in std::mem::take(&mut self.pages) {
            part.push(&page)?;
        }
        self.part = Some(part);
        Ok(std::mem::take(&mut self.waiting))
    }
}
