//! One meeting read to its end, in virtual time.

use std::time::Duration;

use arrow::record_batch::RecordBatch;

use super::pages::{Pages, numbers};
use super::server::{Rows, Server, Time};
use crate::fetch::meeting_reader::{Policy, Progress, Reading, Request, minimum_requests};
use crate::report::MeetingStatus;
use crate::values::{CountPolicy, DuplicatePolicy, Verify};

/// Records a page.
pub(super) const PAGE_SIZE: u64 = 5;

/// When reading begins; lists may change before.
pub(super) const START: Time = 1_000_000;

/// Time between two answers.
pub(super) const STEP: Time = 100;

/// Requests under way at once.
const WINDOW: usize = 5;

/// How meetings are read.
pub(super) fn policy(verify: Verify) -> Policy {
    Policy {
        page_size: PAGE_SIZE,
        window: WINDOW,
        verify,
        count_policy: CountPolicy::Fail,
        duplicates: DuplicatePolicy::Fail,
        restarts: 5,
        restart_delay: Duration::from_secs(1),
    }
}

/// What became of a meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    /// Called whole, and it is not.
    Silent(Rows),
    Absent(MeetingStatus, String),
}

/// A meeting that is over.
#[derive(Debug)]
pub(super) struct Meeting {
    pub(super) verdict: Verdict,
    pub(super) requests: u64,
    /// The least number of requests for what was read, or for what there was.
    pub(super) minimum: u64,
}

/// Reads a meeting to its end. Answers arrive in random order; `trace` is called with each step.
pub(super) fn read(
    policy: Policy,
    server: &mut Server,
    arrival: &mut fastrand::Rng,
    pages: &mut Pages,
    trace: &mut dyn FnMut(&dyn Fn() -> String),
) -> Meeting {
    let mut reading = Reading::new(policy);
    let mut open: Vec<Request> = vec![];
    let mut taken: Vec<RecordBatch> = vec![];
    let mut requests = 0;
    let mut now = START;
    let verdict = loop {
        while open.len() < WINDOW
            && let Some(request) = reading.next()
        {
            requests += 1;
            open.push(request);
        }
        assert!(
            !open.is_empty(),
            "the reading asks for nothing and is not settled: {reading:?}"
        );
        assert!(requests < 10_000, "the reading does not end");
        let request = open.swap_remove(arrival.usize(..open.len()));
        let (offset, limit) = (request.ask.offset, request.ask.limit);
        let answer = server.answer(offset, limit, now);
        trace(&|| {
            format!(
                "{now} walk {} offset {offset} limit {limit}: {:?} of {}",
                request.walk, answer.rows, answer.count
            )
        });
        let page = pages.page(offset, limit, &answer);
        let progress = reading.answer(request, page);
        if progress != Progress::On {
            trace(&|| format!("{now} {progress:?}"));
        }
        match progress {
            Progress::On => taken.extend(reading.take_ready()),
            Progress::Again { delay, .. } => {
                taken.clear();
                open.clear();
                now += Time::try_from(delay.as_millis()).unwrap();
            }
            Progress::Absent(status, cause) => break Verdict::Absent(status, cause),
        }
        if reading.proof().is_some() {
            let rows = numbers(&taken);
            if server.is_right(&rows, now) {
                break Verdict::Right;
            }
            break Verdict::Silent(rows);
        }
        now += STEP;
    };
    let records = match &verdict {
        Verdict::Absent(..) => server.size() as u64,
        _ => taken.iter().map(|batch| batch.num_rows() as u64).sum(),
    };
    Meeting {
        verdict,
        requests,
        minimum: minimum_requests(records, policy.page_size),
    }
}
