//! The reading of one meeting: walk after walk, until one proves the meeting whole or the
//! patience for it is used up.
//!
//! Pure like the [`Walk`]: the pager tells it the answers, and sends what it asks for.

use std::time::Duration;

use arrow::record_batch::RecordBatch;

use super::doubts::Doubts;
use super::drift::Drift;
use super::equal_records::{EqualRecords, Multiset};
use super::walk::{Ask, Manner, SMALLEST_LIMIT, Walk};
use crate::record::decode::Page;
use crate::report::{MeetingStatus, Proof};
use crate::values::{CountPolicy, DuplicatePolicy, Verify};

/// Walks of a meeting whose `count` is wrong in the same way, after which it is not read again.
const SAME_WRONG_COUNTS: u32 = 2;

/// How meetings are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Records a request.
    pub(crate) page_size: u64,
    /// Pages of one meeting asked for or held out of order at once.
    pub(crate) window: usize,
    /// How a meeting of several pages is proven whole.
    pub(crate) verify: Verify,
    /// What a steadily wrong `count` means.
    #[expect(clippy::struct_field_names, reason = "the setting's name")]
    pub(crate) count_policy: CountPolicy,
    /// What equal records mean that no single answer shows together.
    pub(crate) duplicates: DuplicatePolicy,
    /// Walks after the first, for a meeting that moves.
    pub(crate) restarts: u32,
    /// Before the first restart; doubles with each.
    pub(crate) restart_delay: Duration,
}

impl Policy {
    fn manner(&self, limit: u64, first_limit: u64) -> Manner {
        Manner {
            limit,
            first_limit,
            window: self.window,
            count_policy: self.count_policy,
        }
    }
}

/// One request of a reading. An answer to a walk that is over is recognised by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// What is asked.
    pub(crate) ask: Ask,
    /// How often the meeting had been begun again.
    pub(crate) walk: u32,
}

/// What an answer led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The walk goes on, or is whole.
    On,
    /// The records so far are void: the meeting is to be walked again after the delay.
    Again {
        /// Why.
        cause: String,
        /// How long to wait first.
        delay: Duration,
    },
    /// The meeting cannot be had whole.
    Absent(MeetingStatus, String),
}

/// One meeting while it is read.
#[derive(Debug)]
pub(crate) struct Reading {
    policy: Policy,
    limit: u64,
    /// The least records of a full page in any walk.
    smallest_page: u64,
    walk: Walk,
    /// Equal records of the walk under way, once it is whole, while they are in doubt.
    doubts: Option<Doubts>,
    /// Equal records of the last walk that no single answer could show together.
    duplicates: Option<EqualRecords>,
    /// What the last walk that was whole shows about equal records.
    equal: EqualRecords,
    number: u32,
    restarts: u32,
    pages_asked: u64,
    /// The most records that the meeting was said or seen to have.
    largest: u64,
    /// The meeting has shown that seams alone do not prove it.
    is_doubted: bool,
    previous: Option<Multiset>,
    /// The walk that `previous` is of needed one page.
    is_single_page: bool,
    wrong_count: Option<(Drift, u32)>,
    is_settled: bool,
}

impl Reading {
    /// A meeting of which nothing is known.
    pub(crate) fn new(policy: Policy) -> Self {
        let is_doubted = policy.verify == Verify::Twice;
        Self {
            policy,
            limit: policy.page_size,
            smallest_page: policy.page_size.max(SMALLEST_LIMIT),
            walk: Walk::new(policy.manner(policy.page_size, policy.page_size)),
            doubts: None,
            duplicates: None,
            equal: EqualRecords::default(),
            number: 0,
            restarts: 0,
            pages_asked: 0,
            largest: 0,
            is_doubted,
            previous: None,
            is_single_page: false,
            wrong_count: None,
            is_settled: false,
        }
    }

    /// The API's `count`, once an answer told it.
    pub(crate) fn count(&self) -> Option<u64> {
        self.walk.count()
    }

    /// The number of the walk under way.
    pub(crate) fn walk(&self) -> u32 {
        self.number
    }

    /// Whether the walk under way has nothing to do with those before it.
    pub(crate) fn is_anew(&self) -> bool {
        self.previous.is_none()
    }

    /// Walks begun again.
    pub(crate) fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Records held in memory.
    pub(crate) fn held(&self) -> u64 {
        self.walk.held()
    }

    /// Records of the meeting, once it is whole.
    pub(crate) fn records(&self) -> u64 {
        self.walk.released()
    }

    /// Answers that brought those.
    pub(crate) fn pages(&self) -> u64 {
        self.walk.pages()
    }

    /// Seams between those answers, all of which held.
    pub(crate) fn seams(&self) -> u64 {
        self.walk.seams()
    }

    /// The records as a multiset, once the meeting is whole.
    pub(crate) fn multiset(&self) -> Multiset {
        self.walk.multiset()
    }

    /// Records that equal another one at a lower offset, once the meeting is whole.
    pub(crate) fn equal_records(&self) -> u64 {
        self.equal.repeats
    }

    /// Equal records that no single answer showed together, and that the policy accepts.
    pub(crate) fn doubtful(&self) -> u64 {
        self.duplicates.as_ref().map_or(0, |equal| equal.all_doubts)
    }

    /// Lone surrogates replaced in those.
    pub(crate) fn replaced(&self) -> u64 {
        self.walk.replaced()
    }

    /// The least number of requests that could have brought these records.
    pub(crate) fn minimum(&self) -> u64 {
        minimum_requests(self.records(), self.policy.page_size)
    }

    /// How the meeting was proven whole, once it was.
    pub(crate) fn proof(&self) -> Option<Proof> {
        self.is_settled.then(|| {
            if self.is_doubted {
                Proof::Twice
            } else if self.walk.is_single_page() {
                Proof::SinglePage
            } else {
                Proof::Seams
            }
        })
    }

    /// Takes records that are part of the proof: in order, each once, void after
    /// [`Progress::Again`] and [`Progress::Absent`].
    pub(crate) fn take_ready(&mut self) -> Vec<RecordBatch> {
        let ready = self.walk.take_ready();
        // Of two walks, the second one's records count.
        if self.is_doubted && self.previous.is_none() {
            vec![]
        } else {
            ready
        }
    }

    /// What to ask now, if anything.
    pub(crate) fn next(&mut self) -> Option<Request> {
        if self.is_settled {
            return None;
        }
        let ask = match &mut self.doubts {
            None => self.walk.next()?,
            Some(doubts) => {
                let (offset, limit) = doubts.next()?;
                Ask {
                    offset,
                    limit,
                    stretch: None,
                }
            }
        };
        self.pages_asked += 1;
        Some(Request {
            ask,
            walk: self.number,
        })
    }

    /// Whether the answer to a request still matters.
    pub(crate) fn expects(&self, request: &Request) -> bool {
        request.walk == self.number && !self.is_settled
    }

    /// Takes the answer to a request.
    pub(crate) fn answer(&mut self, request: Request, page: Page) -> Progress {
        if !self.expects(&request) {
            return Progress::On;
        }
        let seen = request.ask.offset + page.records.num_rows() as u64;
        self.largest = self.largest.max(page.count).max(seen);
        let progress = match self.take(request.ask, page) {
            Ok(true) => self.settle(),
            Ok(false) => Progress::On,
            Err(drift) => self.restart_after(drift),
        };
        self.smallest_page = self.smallest_page.min(self.walk.smallest_page());
        let budget = self.budget();
        if self.is_settled || self.pages_asked < budget {
            return progress;
        }
        let cause = match progress {
            Progress::Again { cause, .. } => cause,
            _ => "pages keep coming short".to_owned(),
        };
        let status = match self.duplicates {
            Some(_) => MeetingStatus::Duplicates,
            None => MeetingStatus::Failed,
        };
        self.give_up(status, format!("{cause}; {budget} requests are used up"))
    }

    /// Hands an answer to the walk, or to the doubts that the walk left; returns whether the walk is
    /// whole and without a doubt.
    fn take(&mut self, ask: Ask, page: Page) -> Result<bool, Drift> {
        if let Some(doubts) = &mut self.doubts {
            doubts.answer(ask.offset, ask.limit, &page)?;
            return Ok(doubts.is_empty());
        }
        self.walk.answer(ask, page)?;
        if !self.walk.is_whole() {
            return Ok(false);
        }
        self.equal = self.walk.equal_records();
        if self.equal.doubts.is_empty() {
            return Ok(true);
        }
        let (count, limit) = (self.walk.count().unwrap_or(0), self.walk.limit());
        self.doubts = Doubts::new(&self.equal, self.walk.digests(), count, limit);
        match self.doubts {
            Some(_) => Ok(false),
            None => Err(Drift::Duplicates(self.equal.clone())),
        }
    }

    /// Requests for one meeting, all walks together, after which it is given up: four walks and
    /// some more.
    fn budget(&self) -> u64 {
        minimum_requests(self.largest, self.smallest_page)
            .saturating_mul(4)
            .saturating_add(10)
    }

    fn give_up(&mut self, status: MeetingStatus, cause: String) -> Progress {
        self.is_settled = true;
        Progress::Absent(status, cause)
    }

    /// The walk is whole and without a doubt; is that enough?
    fn settle(&mut self) -> Progress {
        self.duplicates = None;
        self.conclude()
    }

    fn conclude(&mut self) -> Progress {
        if self.walk.has_seen_end() && !self.is_doubted {
            // The server is wrong about the count; one look at the end does not outweigh it.
            return self.doubt("walked a second time, since count is wrong".to_owned());
        }
        let records = Some(self.walk.multiset());
        if !self.is_doubted || self.previous == records {
            self.is_settled = true;
            return Progress::On;
        }
        let is_first = self.previous.is_none();
        self.previous = records;
        self.is_single_page = self.walk.is_single_page();
        if is_first {
            self.begin_walk();
            let cause = "walked a second time to compare".to_owned();
            return Progress::Again {
                cause,
                delay: Duration::ZERO,
            };
        }
        self.restart("two walks brought different records".to_owned())
    }

    fn restart_after(&mut self, drift: Drift) -> Progress {
        let cause = drift.to_string();
        if drift == Drift::OneRecordPages {
            return self.give_up(MeetingStatus::Failed, cause);
        }
        if let Drift::Duplicates(equal) = drift {
            return self.judge_duplicates(equal, cause);
        }
        if matches!(drift, Drift::SeamBroken { .. }) {
            self.is_doubted = true;
            self.previous = None;
        }
        if drift.is_wrong_count() {
            let times = match self.wrong_count.take() {
                Some((before, times)) if before == drift => times + 1,
                _ => 1,
            };
            self.wrong_count = Some((drift, times));
            if times >= SAME_WRONG_COUNTS {
                return self.give_up(MeetingStatus::Failed, cause);
            }
        }
        self.restart(cause)
    }

    /// Walks the meeting again, cut at other places, unless a second walk shows the same.
    fn judge_duplicates(&mut self, equal: EqualRecords, cause: String) -> Progress {
        let is_again = self.duplicates.as_ref() == Some(&equal);
        self.duplicates = Some(equal);
        if !is_again && self.restarts < self.policy.restarts {
            return self.restart(cause);
        }
        match self.policy.duplicates {
            DuplicatePolicy::Keep => self.conclude(),
            DuplicatePolicy::Fail => self.give_up(MeetingStatus::Duplicates, cause),
        }
    }

    /// From now on, only two equal walks prove the meeting.
    fn doubt(&mut self, cause: String) -> Progress {
        self.is_doubted = true;
        self.previous = None;
        self.begin_walk();
        Progress::Again {
            cause,
            delay: Duration::ZERO,
        }
    }

    fn restart(&mut self, cause: String) -> Progress {
        if self.restarts >= self.policy.restarts {
            let cause = format!("{cause}; it did not settle in {} walks", self.restarts + 1);
            return self.give_up(MeetingStatus::Unstable, cause);
        }
        let delay = self
            .policy
            .restart_delay
            .saturating_mul(1 << self.restarts.min(10));
        self.restarts += 1;
        self.begin_walk();
        Progress::Again { cause, delay }
    }

    fn begin_walk(&mut self) {
        self.limit = self.limit.min(self.walk.limit());
        // What is compared must not be cut at the same places: a server that puts ties in another
        // order each time could err in the same way twice.
        let is_compared = self.previous.is_some() && !self.is_single_page;
        let first_limit = match self.number % 4 {
            _ if !is_compared && self.duplicates.is_none() => self.limit,
            0 => self.limit / 2,
            1 => self.limit - self.limit / 3,
            2 => self.limit / 3,
            _ => self.limit - self.limit / 4,
        };
        self.walk = Walk::new(self.policy.manner(self.limit, first_limit));
        self.doubts = None;
        self.number += 1;
    }
}

/// The least number of requests that brings `records` records and shows their end.
pub(crate) fn minimum_requests(records: u64, page_size: u64) -> u64 {
    let page_size = page_size.max(SMALLEST_LIMIT);
    if records < page_size {
        1
    } else {
        records.div_ceil(page_size - 1)
    }
}
