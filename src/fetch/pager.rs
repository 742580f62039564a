//! Many meetings at once, each page by page, in one bounded set of requests.
//!
//! The pager decides what is asked next and hands out what is whole, meeting by meeting in the
//! order of the list: the same list and the same answers give the same output. Requests run in
//! tasks of their own, so that a slow taker never starves one. What it holds in memory is
//! bounded by its options, not by any `count`: a meeting that is too large to hold is handed
//! out page by page while it is first in line, and taken back if it turns out not to be whole.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::buffer::{Buffer, Load};
use super::meeting_reader::{Policy, Progress, Request};
use super::open_meeting::{Loss, OpenMeeting};
use super::output::{Output, Outputs};
use super::spooled_client::SpooledClient;
use crate::api::{Failure, Fetched, Wanted};
use crate::config::Config;
use crate::config::meeting_list::{Meetings, Waiting};
use crate::dataset::FirstPage;
use crate::error::{Error, FailureKind, Result};
use crate::report::{Event, MeetingStatus, Observer};
use crate::values::ConfUuid;

/// Meetings at hand at once, those that wait for one before them included.
const LONGEST_DESK: usize = 2048;

/// How long the answers that are on their way are waited for when the run is to stop. Whoever
/// stops it does not wait for ever either: what is whole must be committed before that.
const GRACE: Duration = Duration::from_secs(5);

/// Records of a meeting above which the memory of their digests is reported: 128 MiB.
const LARGE_MEETING: u64 = 16 << 20;

/// Bytes of memory for the digest of one record.
const DIGEST_BYTES: u64 = 8;

/// Requests under way at once, those that wait for another try included.
const MOST_TASKS: usize = 1024;

/// Reads meetings through a client.
pub(crate) struct Pager {
    pub(super) client: Arc<SpooledClient>,
    policy: Policy,
    tasks_at_once: usize,
    pub(super) buffer: Buffer,
    fail_fast: bool,
    pub(super) observer: Observer,
    cancel: CancellationToken,
    waiting: Waiting,
    /// First pages as the dataset holds them: where a page is the same, nothing more is asked.
    known: HashMap<ConfUuid, FirstPage>,
    /// The meetings at hand, in the order of the list.
    pub(super) desk: VecDeque<OpenMeeting>,
    /// Number of the meeting at the front of the desk.
    pub(super) front: usize,
    tasks: JoinSet<Answer>,
    /// Meetings whose pages up to a walk came to nothing.
    void: Vec<(ConfUuid, u32)>,
    /// No request is begun any more.
    is_stopping: bool,
}

struct Answer {
    number: usize,
    request: Request,
    outcome: Result<Fetched, Failure>,
}

impl Pager {
    pub(crate) fn new(
        config: &Config,
        client: Arc<SpooledClient>,
        meetings: Meetings,
        observer: Observer,
        cancel: CancellationToken,
    ) -> Self {
        // Twice as many tasks as slots, so that a slot never waits for its next user.
        let tasks_at_once = config.concurrency.get() as usize * 2;
        let policy = Policy {
            page_size: config.page_size.get().into(),
            window: tasks_at_once + 2,
            verify: config.verify,
            count_policy: config.count_policy,
            duplicates: config.duplicates,
            restarts: config.restarts,
            restart_delay: config.restart_delay,
        };
        Self {
            client,
            policy,
            tasks_at_once,
            buffer: Buffer::new(config),
            fail_fast: config.fail_fast,
            observer,
            cancel,
            waiting: meetings.into_iter(),
            known: HashMap::new(),
            desk: VecDeque::new(),
            front: 0,
            tasks: JoinSet::new(),
            void: vec![],
            is_stopping: false,
        }
    }

    /// Reads on only where the first page of a meeting is not this one.
    pub(crate) fn knowing(self, known: HashMap<ConfUuid, FirstPage>) -> Self {
        Self { known, ..self }
    }

    /// Reads until every meeting is handed out, or the run stops; meetings that are not handed
    /// out then are unfinished.
    ///
    /// # Errors
    ///
    /// What makes further requests pointless. What was whole before is handed out all the same.
    pub(crate) async fn run(mut self, out: Outputs) -> Result<()> {
        let mut outcome = Ok(());
        let mut leaves = None;
        loop {
            // Who asks for them again wants to know how they are by then.
            for (meeting, walk) in std::mem::take(&mut self.void) {
                self.client.void(meeting, walk).await;
            }
            // First: what is settled no longer takes room from the meetings behind it.
            if !self.hand_out(&out).await {
                return outcome;
            }
            if !self.is_stopping {
                self.fill();
            }
            let wakes = self.desk.iter().filter_map(|open| open.wakes).min();
            if self.tasks.is_empty() && (self.is_stopping || wakes.is_none()) {
                break;
            }
            tokio::select! {
                Some(done) = self.tasks.join_next() => {
                    if let Err(error) = self.take(done) {
                        self.stop();
                        outcome = outcome.and(Err(error));
                    }
                }
                () = tokio::time::sleep_until(wakes.unwrap_or_else(Instant::now)), if wakes.is_some() => {
                    self.wake();
                }
                () = self.client.api().naps().begun(), if !self.is_stopping => {}
                () = self.client.api().throttle().moved(), if !self.is_stopping => {}
                () = self.cancel.cancelled(), if leaves.is_none() => {
                    self.is_stopping = true;
                    leaves = Some(Instant::now() + GRACE);
                }
                () = tokio::time::sleep_until(leaves.unwrap_or_else(Instant::now)), if leaves.is_some() => {
                    self.stop();
                    // Not again: the tasks need a moment to be gone.
                    leaves = Some(Instant::now() + GRACE);
                }
            }
        }
        if let Some(error) = self.client.api().take_untold() {
            outcome = outcome.and(Err(error));
        }
        // What became whole behind a meeting that did not is not lost.
        while let Some(open) = self.desk.pop_front() {
            let is_void = open.is_void || open.has_slices && open.reading.proof().is_none();
            if is_void && !out.send(Output::Void).await || !self.close(open, &out).await {
                break;
            }
        }
        outcome
    }

    /// Begins requests as long as there is something to ask: meetings at hand first.
    fn fill(&mut self) {
        if self.client.api().is_used_up() {
            // Nothing is gained by waiting.
            self.desk.iter_mut().for_each(|open| open.wakes = None);
        }
        let held: Load = self.desk.iter().map(OpenMeeting::held).sum();
        let mut position = 0;
        let places = (self.tasks_at_once + self.client.api().naps().count()).min(MOST_TASKS);
        // Under a quota, what is asked next is decided when its turn comes: the oldest meeting
        // goes on as soon as its first page is known.
        let places = places.min(
            self.tasks
                .len()
                .saturating_add(self.client.api().throttle().room()),
        );
        while self.tasks.len() < places {
            // Each request in flight may bring a full page.
            let open = self.desk.get(position);
            let page_bytes = open.map_or(0, |open| open.record_bytes() * self.policy.page_size);
            // One that waits to be tried again must not hold up meetings that are answered.
            let requests = self
                .tasks
                .len()
                .saturating_sub(self.client.api().naps().count());
            if position > 0 && !self.buffer.has_room(held, requests, page_bytes) {
                break;
            }
            if position == self.desk.len() {
                if position >= LONGEST_DESK {
                    break;
                }
                let Some(meeting) = self.waiting.next() else {
                    break;
                };
                self.desk.push_back(OpenMeeting::new(meeting, self.policy));
            }
            let must_wait = if position > 0 {
                self.is_large(position)
            } else {
                // One request is under way in any case, or its meeting would never be whole.
                self.desk[0].is_asked()
                    && !self.buffer.has_room_for_first(held, requests, page_bytes)
            };
            let open = &mut self.desk[position];
            if must_wait || open.wakes.is_some() || open.is_settled() {
                position += 1;
                continue;
            }
            let Some(request) = open.reading.next() else {
                position += 1;
                continue;
            };
            let (client, meeting) = (Arc::clone(&self.client), open.meeting.clone());
            let (number, sent) = (self.front + position, Arc::clone(&open.sent));
            open.tasks.retain(|task| !task.is_finished());
            open.tasks.push(self.tasks.spawn(async move {
                let wanted = Wanted {
                    meeting: &meeting,
                    walk: request.walk,
                    offset: request.ask.offset,
                    limit: request.ask.limit,
                    sent: &sent,
                };
                let outcome = client.page(wanted).await;
                Answer {
                    number,
                    request,
                    outcome,
                }
            }));
        }
    }

    /// Whether a meeting is too large to be held: it is read on when it is first in line.
    pub(super) fn is_large(&self, position: usize) -> bool {
        self.desk[position].is_large(&self.buffer)
    }

    /// Meetings whose delay is over may be asked again.
    fn wake(&mut self) {
        let now = Instant::now();
        for open in &mut self.desk {
            open.wakes.take_if(|wakes| *wakes <= now);
        }
    }

    fn stop(&mut self) {
        self.is_stopping = true;
        self.tasks.abort_all();
    }

    fn take(&mut self, done: Result<Answer, JoinError>) -> Result<()> {
        let answer = match done {
            Ok(answer) => answer,
            Err(error) if error.is_cancelled() => return Ok(()),
            Err(died) => return Err(Error::task("a request")(died)),
        };
        let outcome = match answer.outcome {
            // Whatever became of the meeting it was for.
            Err(Failure::Run(error)) => return Err(error),
            outcome => outcome,
        };
        let position = answer.number.checked_sub(self.front);
        let Some(open) = position.and_then(|position| self.desk.get_mut(position)) else {
            return Ok(());
        };
        if open.is_settled() || !open.reading.expects(&answer.request) {
            return Ok(());
        }
        let Fetched {
            page,
            at,
            request_id,
        } = match outcome {
            Ok(fetched) => fetched,
            Err(Failure::Cancelled) => {
                self.is_stopping = true;
                return Ok(());
            }
            // What is on its way for it is paid for and goes into the spool; meetings behind it
            // may have all of theirs there already.
            Err(failure @ Failure::UsedUp) => {
                open.leave(failure.to_string());
                return Ok(());
            }
            Err(failure) => {
                let loss = Loss {
                    status: MeetingStatus::Failed,
                    kind: failure.kind(),
                    is_gone: failure.is_no_meeting(),
                    cause: format!("at offset {}: {failure}", answer.request.ask.offset),
                    request_id: failure.request_id().map(str::to_owned),
                };
                self.give_up(answer.number, loss);
                return Ok(());
            }
        };
        self.buffer.learn(open.weigh(&page.records));
        let (first, last) = open.fetched.unwrap_or((at, at));
        open.fetched = Some((first.min(at), last.max(at)));
        let known = self.known.remove(&open.meeting);
        if known.is_some_and(|known| answer.request.ask.offset == 0 && known.is(&page)) {
            open.is_unchanged = true;
            return Ok(());
        }
        // All pages but the first begin with a record that is here already; a look at doubtful
        // records brings none that is new.
        let seam = u64::from(answer.request.ask.offset > 0);
        let rows = match answer.request.ask.stretch {
            Some(_) => (page.records.num_rows() as u64).saturating_sub(seam),
            None => 0,
        };
        let count = page.count;
        if !std::mem::replace(&mut open.is_counted, true) {
            report_count(&self.observer, &open.meeting, count);
        }
        open.arrived += rows;
        (self.observer)(Event::Page { rows });
        match open.reading.answer(answer.request, page) {
            Progress::On => open.pages.extend(open.reading.take_ready()),
            Progress::Again { cause, delay } => {
                let delay = delay.mul_f64(0.75 + fastrand::f64() / 2.0);
                open.wakes = Some(Instant::now() + delay);
                let rows = open.drop_records();
                let meeting = open.meeting.clone();
                if open.reading.is_anew() {
                    self.void.push((meeting.clone(), answer.request.walk));
                }
                (self.observer)(Event::Restarted {
                    meeting,
                    rows,
                    cause,
                    delay,
                });
            }
            // Of the answers that contradict each other, the one that showed it.
            Progress::Absent(status, cause) => {
                let cause = match &request_id {
                    Some(id) => format!("{cause} (request id {id})"),
                    None => cause,
                };
                let loss = Loss {
                    status,
                    kind: Some(FailureKind::Drift),
                    is_gone: false,
                    cause,
                    request_id,
                };
                self.give_up(answer.number, loss);
            }
        }
        Ok(())
    }

    fn give_up(&mut self, number: usize, loss: Loss) {
        let open = &mut self.desk[number - self.front];
        let (meeting, rows) = (open.meeting.clone(), open.drop_records());
        self.void.push((meeting.clone(), open.reading.walk()));
        (self.observer)(Event::Incomplete {
            meeting,
            rows,
            cause: loss.cause.clone(),
        });
        open.absent = Some(loss);
        if self.fail_fast {
            self.stop();
        }
    }
}

/// Reports the `count` of a meeting, and the memory of its digests where that is much.
fn report_count(observer: &Observer, meeting: &ConfUuid, count: u64) {
    let meeting = meeting.clone();
    if count > LARGE_MEETING {
        let meeting = meeting.clone();
        let bytes = count.saturating_mul(DIGEST_BYTES);
        (observer)(Event::LargeMeeting {
            meeting,
            count,
            bytes,
        });
    }
    (observer)(Event::Counted { meeting, count });
}
