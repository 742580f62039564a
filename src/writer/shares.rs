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

use super::encoder::BATCH_ROWS;
use super::files::Files;
use super::part::{OpenPart, StagedPart};
use crate::error::{Error, Result};
use crate::partition::Partition;
use crate::record::schema;
use crate::table::Table;

/// Encoders at once.
const MOST_OPEN: usize = 16;

/// What they may hold of what is encoded, in bytes.
const MOST_BUFFERED: u64 = 128 << 20;

/// Records that wait for an encoder: as many as those that fill the row group of one part cost.
const MOST_WAITING: usize = 1 << 18;

/// A batch has some kilobytes of its own beside its records: smaller neighbours become one.
const LOOSE_ROWS: usize = 512;

/// Parts of several partitions, or one of none.
#[derive(Debug, Default)]
pub(super) struct Shares {
    growing: BTreeMap<Option<Partition>, Share>,
    /// Parts that had to make room before all their partition's records were there.
    closed: Vec<StagedPart>,
    rows: u64,
    waiting: usize,
}

/// The records of one partition.
#[derive(Debug, Default)]
struct Share {
    pages: Vec<RecordBatch>,
    waiting: usize,
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
        let rows = page.num_rows();
        self.rows += rows as u64;
        let share = self.growing.entry(partition).or_default();
        if let Some(part) = &mut share.part {
            return part.push(&page);
        }
        share.wait(page)?;
        self.waiting += rows;
        if partition.is_none() || share.waiting >= BATCH_ROWS {
            self.waiting -= share.start(files)?;
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
        let (open, buffered) = self.open_parts();
        self.waiting > MOST_WAITING || open > MOST_OPEN || buffered > MOST_BUFFERED
    }

    /// Whether more is open or waits than a batch that cannot be closed yet may have.
    #[cfg(test)]
    pub(super) fn is_beyond(&self) -> bool {
        let (open, buffered) = self.open_parts();
        let waiting = MOST_WAITING + MOST_OPEN * BATCH_ROWS;
        self.waiting > waiting || open > 2 * MOST_OPEN || buffered > 2 * MOST_BUFFERED
    }

    /// Encoders, and what is in them.
    fn open_parts(&self) -> (usize, u64) {
        let parts = || {
            self.growing
                .values()
                .filter_map(|share| share.part.as_ref())
        };
        // The one part of an unpartitioned batch bounds itself.
        let buffered = match self.growing.len() {
            1 => 0,
            _ => parts().map(OpenPart::buffered).sum(),
        };
        (parts().count(), buffered)
    }

    /// Makes room where no batch can be closed yet: what waits longest in an encoder becomes a part
    /// of its own. Its partition gets a further one if more comes.
    pub(super) fn relieve(&mut self, files: &mut Files) -> Result<()> {
        while self.waiting > MOST_WAITING {
            let most = self.growing.values_mut().max_by_key(|share| share.waiting);
            let Some(share) = most else { break };
            self.waiting -= share.start(files)?;
        }
        loop {
            let (open, buffered) = self.open_parts();
            if open <= MOST_OPEN && buffered <= MOST_BUFFERED {
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
            if share.waiting > 0 {
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

impl Share {
    fn rows(&self) -> u64 {
        self.waiting as u64 + self.part.as_ref().map_or(0, OpenPart::rows)
    }

    fn bytes(&self) -> u64 {
        self.part.as_ref().map_or(0, OpenPart::size)
    }

    fn wait(&mut self, page: RecordBatch) -> Result<()> {
        self.waiting += page.num_rows();
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

    /// Gives what waits to an encoder; tells how many records that were.
    fn start(&mut self, files: &mut Files) -> Result<usize> {
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
