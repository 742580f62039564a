//! Settles doubts about equal records: each by one answer that holds all of them.
//!
//! Pure like the walk that raised them. An answer that holds the stretch from the first to the last
//! of the equal records exactly as the walk has it settles the doubt: one snapshot shows them all.
//! Anything else is a [`Drift`], and the meeting is walked again.

use std::collections::VecDeque;

use super::drift::Drift;
use super::equal_records::{Doubt, EqualRecords, WalkDigests};
use super::walk::{IDLE_ANSWERS, check_count, usize_of};
use crate::api::check_page;
use crate::record::decode::Page;

/// More doubts than this are not settled one by one.
const MOST_DOUBTS: u64 = 3;

/// Equal records at more places than this are not settled.
const MOST_PLACES: u64 = 3;

/// Doubts that one answer each can settle, until it has.
#[derive(Debug)]
pub(super) struct Doubts {
    count: u64,
    limit: u64,
    open: VecDeque<Stretch>,
    is_asked: bool,
    /// Answers in a row that were too short.
    idle: u32,
}

/// Records from the first to the last of equal ones, as the walk has them.
#[derive(Debug)]
struct Stretch {
    offset: u64,
    digests: Vec<u64>,
}

impl Doubts {
    /// Returns the doubts of a walk, if they are few and each fits into one page.
    pub(super) fn new(
        equal: &EqualRecords,
        walk: &WalkDigests,
        count: u64,
        limit: u64,
    ) -> Option<Self> {
        let fits = |doubt: &Doubt| doubt.places <= MOST_PLACES && doubt.last - doubt.first < limit;
        if equal.all_doubts > MOST_DOUBTS || !equal.doubts.iter().all(fits) {
            return None;
        }
        let stretch = |doubt: &Doubt| Stretch {
            offset: doubt.first,
            digests: walk.between(doubt.first, doubt.last),
        };
        Some(Self {
            count,
            limit,
            open: equal.doubts.iter().map(stretch).collect(),
            is_asked: false,
            idle: 0,
        })
    }

    /// Whether every doubt is settled.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Returns the offset and the limit to ask with, if an answer is wanted.
    pub(super) fn next(&mut self) -> Option<(u64, u64)> {
        if self.is_asked {
            return None;
        }
        let stretch = self.open.front()?;
        self.is_asked = true;
        Some((stretch.offset, self.limit))
    }

    /// Takes the answer to what was asked.
    ///
    /// # Errors
    ///
    /// The answer shows the list in another state than the walk.
    pub(super) fn answer(&mut self, offset: u64, limit: u64, page: &Page) -> Result<(), Drift> {
        self.is_asked = false;
        check_page(offset, limit, page)?;
        check_count(self.count, page)?;
        let got = page.digests.as_slice();
        let open = self.open.len();
        let mut changed = None;
        self.open.retain(|stretch| {
            let from = stretch.offset.checked_sub(offset).map(usize_of);
            let shown = from.and_then(|from| got.get(from..)?.get(..stretch.digests.len()));
            if shown.is_some_and(|shown| shown != stretch.digests) {
                changed = Some(stretch.offset);
            }
            shown.is_none()
        });
        if let Some(offset) = changed {
            return Err(Drift::OrderChanged { offset });
        }
        self.idle = if self.open.len() < open {
            0
        } else {
            self.idle + 1
        };
        if self.idle >= IDLE_ANSWERS {
            return Err(Drift::OrderChanged { offset });
        }
        Ok(())
    }
}
