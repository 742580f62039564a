//! A stretch of a meeting's list, and how much of it is here.

use crate::record::decode::Page;

/// The end of a stretch whose end is still to be seen.
pub(super) const UNKNOWN: u64 = u64::MAX;

/// Consecutive records that are asked for together and completed where they come short.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) offset: u64,
    /// First offset behind it, or [`UNKNOWN`].
    pub(super) end: u64,
    /// Records received, from `offset` on without a gap.
    pub(super) received: u64,
    /// Answers, each but the first beginning with the last record of the one before.
    pub(super) pages: Vec<Page>,
    pub(super) is_asked: bool,
    pub(super) idle: u32,
}

impl Stretch {
    pub(super) fn new(offset: u64, end: u64) -> Self {
        Self {
            offset,
            end,
            received: 0,
            pages: vec![],
            is_asked: false,
            idle: 0,
        }
    }

    pub(super) fn is_filled(&self) -> bool {
        self.received == self.end - self.offset
    }

    /// Where to go on: at the last record that is here, so that a seam holds the two together.
    pub(super) fn next_offset(&self) -> u64 {
        self.offset + self.received.saturating_sub(1)
    }
}
