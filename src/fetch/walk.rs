//! One walk over a meeting: what to ask next, and whether what came is the whole.
//!
//! A pure state machine: it takes each answer and returns what to ask next. It sends nothing, waits
//! for nothing and knows no clock. Answers may come in any order.
//!
//! 1. Pages overlap by one record, the seam, which must be the same in both.
//! 2. Every answer must have the same `count`, echo its offset, and hold no more than was asked.
//! 3. A short answer is completed from the last record that came.
//! 4. The end is seen, not assumed: the last answer must have room to spare at the limit that the
//!    server used. Where it is full, one more answer from the last record on must bring nothing new.
//! 5. Every record is digested. A record that came in two answers, the seam apart, is a doubt that
//!    the walk's user must settle.
//!
//! An answer that breaks a rule ends the walk with a [`Drift`]. A record that changes in place
//! between two answers is not seen by one walk.

use std::collections::VecDeque;

use arrow::record_batch::RecordBatch;

use super::drift::Drift;
use super::equal_records::{EqualRecords, Multiset, WalkDigests};
use super::segment::{Stretch, UNKNOWN};
use crate::api::check_page;
use crate::record::decode::Page;
use crate::values::CountPolicy;

/// Answers without a new record at one place, after which that place is the end.
pub(super) const IDLE_ANSWERS: u32 = 3;

/// Below this a page has no room for a seam.
pub(super) const SMALLEST_LIMIT: u64 = 2;

/// One request: the records from `offset` on, `limit` at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Where to begin.
    pub(crate) offset: u64,
    /// How many records at most.
    pub(crate) limit: u64,
    /// The stretch it belongs to, by its first offset; none is a look at doubtful records.
    pub(super) stretch: Option<u64>,
}

/// How a walk is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Records a request.
    pub(crate) limit: u64,
    /// Records of the first request: fewer, where the pages are to end elsewhere than those of
    /// the walk before.
    pub(crate) first_limit: u64,
    /// Stretches asked for or held at once.
    pub(crate) window: usize,
    /// What a steadily wrong `count` means.
    pub(crate) count_policy: CountPolicy,
}

/// One walk over a meeting.
#[derive(Debug)]
pub(crate) struct Walk {
    manner: Manner,
    limit: u64,
    first_limit: u64,
    /// The least records that filled an answer at the limit that it echoed.
    smallest_page: u64,
    count: Option<u64>,
    /// From the first that is not released yet.
    stretches: VecDeque<Stretch>,
    /// First offset behind all stretches planned so far; known once the first is filled.
    planned: Option<u64>,
    /// The last stretch planned reaches `count`, and its answer shows the end.
    is_planned: bool,
    /// Where the records were seen to end, if not at `count`.
    seen_end: Option<u64>,
    /// Digest of the last record released, which the next page begins with.
    seam: Option<u64>,
    ready: Vec<RecordBatch>,
    ready_rows: u64,
    released: u64,
    replaced: u64,
    answers: u64,
    /// Answers whose records were released, and seams that held between them.
    pages: u64,
    seams: u64,
    digests: WalkDigests,
}

impl Walk {
    /// A walk that has not begun.
    pub(crate) fn new(manner: Manner) -> Self {
        let limit = manner.limit.max(SMALLEST_LIMIT);
        Self {
            limit,
            first_limit: manner.first_limit.clamp(SMALLEST_LIMIT, limit),
            manner,
            smallest_page: limit,
            count: None,
            stretches: VecDeque::from([Stretch::new(0, UNKNOWN)]),
            planned: None,
            is_planned: false,
            seen_end: None,
            seam: None,
            ready: vec![],
            ready_rows: 0,
            released: 0,
            replaced: 0,
            answers: 0,
            pages: 0,
            seams: 0,
            digests: WalkDigests::default(),
        }
    }

    /// The API's `count`, once an answer told it.
    pub(crate) fn count(&self) -> Option<u64> {
        self.count
    }

    /// Records a page, as far as the server has shown.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// The least records of a full page, as far as the server has shown.
    pub(crate) fn smallest_page(&self) -> u64 {
        self.smallest_page
    }

    /// Records held here: received and not taken.
    pub(crate) fn held(&self) -> u64 {
        self.ready_rows
            + self
                .stretches
                .iter()
                .map(|stretch| stretch.received)
                .sum::<u64>()
    }

    /// Records released so far.
    pub(crate) fn released(&self) -> u64 {
        self.released
    }

    /// Lone surrogates replaced in the released records.
    pub(crate) fn replaced(&self) -> u64 {
        self.replaced
    }

    /// Answers that the released records came with.
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    /// Seams between those answers: each was compared, and each held.
    pub(crate) fn seams(&self) -> u64 {
        self.seams
    }

    /// The multiset of the released records.
    pub(crate) fn multiset(&self) -> Multiset {
        self.digests.multiset()
    }

    /// The equal records among the released ones, and the doubts that they raise.
    pub(crate) fn equal_records(&self) -> EqualRecords {
        self.digests.equal_records()
    }

    /// The digests of the released records.
    pub(super) fn digests(&self) -> &WalkDigests {
        &self.digests
    }

    /// Whether one page was enough.
    pub(crate) fn is_single_page(&self) -> bool {
        self.answers == 1
    }

    /// Whether every record has been released: as many as `count` says, or, where the policy
    /// allows it, as many as were seen.
    pub(crate) fn is_whole(&self) -> bool {
        let end = self.seen_end.or(self.count.filter(|_| self.is_planned));
        self.stretches.is_empty() && end == Some(self.released)
    }

    /// Whether the records were seen to end elsewhere than at `count`.
    pub(crate) fn has_seen_end(&self) -> bool {
        self.seen_end.is_some()
    }

    /// Takes the records that stand in order, each once.
    pub(crate) fn take_ready(&mut self) -> Vec<RecordBatch> {
        self.ready_rows = 0;
        std::mem::take(&mut self.ready)
    }

    /// What to ask now, if anything: what came short first, then new pages.
    pub(crate) fn next(&mut self) -> Option<Ask> {
        if self.seen_end.is_some() {
            return None;
        }
        let limit = self.limit;
        // A stretch that brought nothing new waits for those before it: they may show the end.
        let mut is_reached = true;
        let short = self.stretches.iter_mut().find(|stretch| {
            let is_due = stretch.idle == 0 || is_reached;
            is_reached &= stretch.is_filled();
            is_due && !stretch.is_asked && !stretch.is_filled()
        });
        if let Some(stretch) = short {
            stretch.is_asked = true;
            let is_first = stretch.offset == 0 && stretch.received == 0;
            return Some(Ask {
                offset: stretch.next_offset(),
                limit: if is_first { self.first_limit } else { limit },
                stretch: Some(stretch.offset),
            });
        }
        if self.is_planned || self.stretches.len() >= self.manner.window {
            return None;
        }
        let (planned, count) = self.planned.zip(self.count)?;
        let offset = planned - 1;
        let end = (offset + limit).min(count);
        self.planned = Some(end);
        self.is_planned = end == count && end - offset < limit;
        let mut stretch = Stretch::new(offset, end);
        stretch.is_asked = true;
        self.stretches.push_back(stretch);
        Some(Ask {
            offset,
            limit,
            stretch: Some(offset),
        })
    }

    /// Takes the answer to an ask.
    ///
    /// # Errors
    ///
    /// What the answer shows about the list; the walk is then over.
    pub(crate) fn answer(&mut self, ask: Ask, mut page: Page) -> Result<(), Drift> {
        self.answers += 1;
        check_page(ask.offset, ask.limit, &page)?;
        let got = page.records.num_rows() as u64;
        let count = *self.count.get_or_insert(page.count);
        check_count(count, &page)?;
        let position = self
            .stretches
            .iter()
            .position(|stretch| Some(stretch.offset) == ask.stretch);
        let Some(position) = position else {
            return Ok(());
        };
        let clamp = echoed_limit(&page, ask.limit);
        let is_full = got > 0 && got >= clamp.unwrap_or(ask.limit);
        if is_full && got >= SMALLEST_LIMIT {
            self.smallest_page = self.smallest_page.min(got);
        }
        if self.planned.is_none() && self.stretches[position].end == UNKNOWN && self.answers == 1 {
            // A server may echo the number of records it gives: where that is all there are, it
            // says nothing about the size of a page.
            if let Some(limit) = clamp.filter(|&limit| limit < count) {
                if limit < SMALLEST_LIMIT {
                    return Err(Drift::OneRecordPages);
                }
                self.limit = limit;
                self.first_limit = limit;
            }
            self.stretches[position].end = self.first_limit.min(count);
        }
        // The first stretch is the last one, too, where it reaches `count` with room to spare.
        let is_last = position + 1 == self.stretches.len()
            && (self.is_planned
                || self.stretches[position].end == count && count < self.first_limit);
        let stretch = &mut self.stretches[position];
        stretch.is_asked = false;
        if got > 0
            && let Some(before) = stretch.pages.last()
        {
            check_seam(before.digests.last(), &page, ask.offset)?;
        }
        let overlap = stretch.received.min(1);
        let fresh = got.saturating_sub(overlap);
        if let Some(end) = self.seen_end {
            if fresh > 0 {
                return Err(Drift::Hole { offset: end });
            }
            self.stretches.remove(position);
            return Ok(());
        }
        if fresh == 0 && !stretch.is_filled() {
            stretch.idle += 1;
            if stretch.idle >= IDLE_ANSWERS {
                self.end_at(position, count)?;
            }
            return self.release();
        }
        let mut room = stretch.end - stretch.offset - stretch.received;
        if fresh > room && is_last {
            let shown = stretch.offset + stretch.received + fresh;
            if self.manner.count_policy == CountPolicy::Fail {
                return Err(Drift::CountTooLow { count, shown });
            }
            stretch.end = UNKNOWN;
            room = fresh;
        }
        if fresh > room {
            let rows = usize_of(overlap + room);
            page.records = page.records.slice(0, rows);
            page.digests.truncate(rows);
        }
        // A page that is full at the limit that the server used is no end, wherever `count` is. Of
        // the look behind it one record is known, and a full page of it alone is the end.
        let is_end = !is_full || stretch.end - stretch.offset == 1 && self.planned.is_some();
        stretch.received += fresh.min(room);
        stretch.idle = 0;
        stretch.pages.push(page);
        let is_filled = stretch.is_filled();
        if self.planned.is_none() {
            self.learn_page_size(count);
        }
        if is_last && is_filled && !is_end {
            self.is_planned = false;
        }
        self.release()
    }

    /// Settles how many records a page holds once the first stretch is filled, or once two short
    /// answers of the same size show that the server gives no more a page without saying so.
    fn learn_page_size(&mut self, count: u64) {
        let Some(first) = self.stretches.front_mut() else {
            return;
        };
        if first.end == UNKNOWN {
            return;
        }
        if let [one, two] = first.pages.as_slice()
            && !first.is_filled()
            && one.records.num_rows() == two.records.num_rows()
            && one.records.num_rows() as u64 >= SMALLEST_LIMIT
        {
            self.limit = one.records.num_rows() as u64;
            first.end = first.offset + first.received;
        }
        if first.is_filled() {
            self.planned = Some(first.end);
            self.is_planned = first.end == count && first.end < self.first_limit;
        }
    }

    /// Nothing follows the records of a stretch, however often it is asked.
    fn end_at(&mut self, position: usize, count: u64) -> Result<(), Drift> {
        let stretch = &mut self.stretches[position];
        let end = stretch.offset + stretch.received;
        if stretch.received == 0 && stretch.offset > 0 {
            // The page before holds a record at this very offset.
            return Err(Drift::SeamBroken {
                offset: stretch.offset,
            });
        }
        if self.manner.count_policy == CountPolicy::Fail {
            return Err(Drift::CountTooHigh { count, shown: end });
        }
        stretch.end = end;
        self.seen_end = Some(end);
        let mut behind = self
            .stretches
            .drain(position + 1..)
            .collect::<VecDeque<_>>();
        if behind.iter().any(|stretch| stretch.received > 0) {
            return Err(Drift::Hole { offset: end });
        }
        behind.retain(|stretch| stretch.is_asked);
        self.stretches.append(&mut behind);
        Ok(())
    }

    /// Moves filled stretches to the records that stand in order, as far as their seams hold.
    fn release(&mut self) -> Result<(), Drift> {
        while self.stretches.front().is_some_and(Stretch::is_filled) {
            let Some(stretch) = self.stretches.pop_front() else {
                break;
            };
            if let (Some(before), Some(after)) = (&self.seam, stretch.pages.first()) {
                check_seam(Some(before), after, stretch.offset)?;
                self.seams += 1;
            }
            // Those inside the stretch were compared when their answers came.
            self.pages += stretch.pages.len() as u64;
            self.seams += stretch.pages.len().saturating_sub(1) as u64;
            for page in stretch.pages {
                let rows = page.records.num_rows();
                let seam = usize::from(self.seam.is_some()).min(rows);
                let replaced = page
                    .replaced
                    .iter()
                    .filter(|row| (seam..rows).contains(row));
                self.replaced += replaced.count() as u64;
                if rows > seam {
                    let records = page.records.slice(seam, rows - seam);
                    self.ready_rows += records.num_rows() as u64;
                    self.released += records.num_rows() as u64;
                    self.ready.push(records);
                }
                if let Some(last) = page.digests.last() {
                    self.seam = Some(*last);
                    self.digests.push(page.digests);
                }
            }
        }
        Ok(())
    }
}

/// Checks that an answer has the `count` of the answers before it.
pub(super) fn check_count(count: u64, page: &Page) -> Result<(), Drift> {
    if page.count == count {
        Ok(())
    } else {
        Err(Drift::CountChanged {
            from: count,
            to: page.count,
        })
    }
}

/// Checks that a page begins with the last record of the one before.
fn check_seam(before: Option<&u64>, after: &Page, offset: u64) -> Result<(), Drift> {
    if before.is_some() && before == after.digests.first() {
        Ok(())
    } else {
        Err(Drift::SeamBroken { offset })
    }
}

/// The limit that the server says it used, where that is less than was asked for.
fn echoed_limit(page: &Page, asked: u64) -> Option<u64> {
    let limit = page.limit.and_then(|limit| u64::try_from(limit).ok());
    limit.filter(|&limit| 0 < limit && limit < asked)
}

/// A number of records of one page, which fits in memory.
pub(super) fn usize_of(rows: u64) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}
