//! What a run has done so far, kept until it becomes the report.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::destination::Destination;
use super::encoder_thread::Batch;
use super::recheck::Recheck;
use super::run::Run;
use super::same_records::SameRecords;
use super::window_planner::Discovered;
use crate::api::throttle::Throttle;
use crate::config::Config;
use crate::config::meeting_list::Meetings;
use crate::dataset::Dataset;
use crate::dataset::ledger::{CommittedMeeting, Rechecked};
use crate::error::Error;
use crate::fetch::{Absent, SpooledClient, Unchanged, Whole, minimum_requests};
use crate::record::partition::Partition;
use crate::report::{
    Event, MeetingCounts, MeetingReport, MeetingStatus, Observer, Outcome, Quota, REPORT_VERSION,
    Replaced, Report, Requests,
};
use crate::values::{ConfUuid, Span};

/// Unfinished meetings of a list that have a row in the report; the others are counted.
const MOST_UNFINISHED: usize = 1_000;

/// The books of one run.
pub(super) struct Account {
    report: Report,
    /// The meetings asked for that no earlier run had committed, in order.
    work: Meetings,
    /// Those that are asked for again, behind them.
    again: Vec<ConfUuid>,
    settled: HashMap<ConfUuid, MeetingReport>,
    /// Unfinished meetings among these.
    named: usize,
    /// The days on which the meetings of the window were found.
    days: HashMap<ConfUuid, Span>,
    /// Of them, those that the list has no more.
    delisted: HashSet<ConfUuid>,
    same_records: SameRecords,
    burst: u32,
    page_size: u64,
    overtaken: u64,
    /// Meetings that are asked for again, as the dataset holds them.
    held: HashMap<ConfUuid, CommittedMeeting>,
    /// Meetings among these that have not changed.
    unchanged: HashSet<ConfUuid>,
    rechecked: Vec<Rechecked>,
    /// Those that records were written to.
    partitions: BTreeSet<Partition>,
    /// How far the time that the run was given is ahead of our clock.
    ahead: TimeDelta,
}

impl Account {
    pub(super) fn new(
        config: &Config,
        run: Run,
        meetings: &Meetings,
        discovered: Option<Discovered>,
        pii: Option<String>,
    ) -> Self {
        let Run {
            id, started, ahead, ..
        } = run;
        let (mut window, mut days, mut delisted) = (None, HashMap::new(), HashSet::new());
        if let Some(found) = discovered {
            (days, delisted) = (found.days, found.delisted);
            window = Some(found.window);
        }
        let report = Report {
            version: REPORT_VERSION,
            rollbook: env!("CARGO_PKG_VERSION").to_owned(),
            run_id: id,
            started,
            finished: started,
            outcome: Outcome::Failed,
            error: None,
            out: config.out.clone().unwrap_or_default(),
            format: config.format,
            base_url: config.base_url.origin().ascii_serialization(),
            language: config.language,
            pii,
            beside: vec![],
            single_writer: false,
            clock: None,
            window,
            meetings: MeetingCounts {
                requested: meetings.len() as u64,
                ..MeetingCounts::default()
            },
            records: 0,
            parts: 0,
            bytes: 0,
            partitioning: None,
            partitions: 0,
            requests: Requests::default(),
            quota: Quota {
                asked: config.rate,
                rate: config.rate,
                bound_ms: 0,
                elapsed_ms: 0,
                paused_ms: 0,
            },
            anomalies: [].into(),
            failures: [].into(),
            replaced_surrogates: 0,
            ledger: None,
            without_records: vec![],
            same_records: vec![],
            per_meeting: vec![],
            unfinished_left_out: 0,
        };
        Self {
            report,
            work: Meetings::default(),
            again: vec![],
            settled: HashMap::new(),
            named: 0,
            days,
            delisted,
            same_records: SameRecords::default(),
            burst: config.burst.get(),
            page_size: config.page_size.get().into(),
            overtaken: 0,
            held: HashMap::new(),
            unchanged: HashSet::new(),
            rechecked: vec![],
            partitions: BTreeSet::new(),
            ahead,
        }
    }

    /// What of these meetings is to be fetched: neither in the dataset, nor erased from it.
    pub(super) fn wanting(
        &mut self,
        mut meetings: Meetings,
        destination: &Destination,
    ) -> Meetings {
        meetings.retain(|meeting| !destination.is_purged(meeting));
        self.report.meetings.purged = self.requested() - meetings.len() as u64;
        meetings.retain(|meeting| !destination.holds(meeting));
        self.already(meetings.clone());
        meetings
    }

    /// Of those that were not erased, all but these were committed by earlier runs.
    fn already(&mut self, work: Meetings) {
        let meetings = &mut self.report.meetings;
        meetings.already = meetings.requested - meetings.purged - work.len() as u64;
        self.work = work;
    }

    /// Meetings that earlier runs committed are asked for again, behind the others.
    pub(super) fn rechecks(&mut self, recheck: &Recheck) {
        self.report.meetings.already -= recheck.meetings.len() as u64;
        self.held.clone_from(&recheck.held);
        self.again.extend_from_slice(&recheck.meetings);
        // They are there: no later run owes them.
        for meeting in &recheck.meetings {
            self.days.remove(meeting);
        }
    }

    /// A meeting is as the dataset holds it.
    pub(super) fn unchanged(&mut self, unchanged: Unchanged) {
        let Unchanged { meeting, at } = unchanged;
        self.report.meetings.already += 1;
        self.report.meetings.rechecked += 1;
        self.report.requests.minimum += 1;
        self.unchanged.insert(meeting.clone());
        let conf_uuid = meeting;
        self.rechecked.push(Rechecked { conf_uuid, at });
    }

    /// Takes the looks at unchanged meetings, which the ledger is to keep.
    pub(super) fn take_rechecked(&mut self) -> Vec<Rechecked> {
        std::mem::take(&mut self.rechecked)
    }

    /// The store refuses no second writer.
    pub(super) fn has_single_writer(&mut self) {
        self.report.single_writer = true;
    }

    pub(super) fn requested(&self) -> u64 {
        self.report.meetings.requested
    }

    pub(super) fn held(&self) -> u64 {
        self.report.meetings.already
    }

    /// Another run committed these meetings in the meantime.
    pub(super) fn found(&mut self, meetings: &[ConfUuid]) {
        let found: HashSet<_> = meetings.iter().collect();
        let before = self.work.len() + self.again.len();
        self.work.retain(|meeting| !found.contains(meeting));
        self.again.retain(|meeting| !found.contains(meeting));
        let overtaken = (before - self.work.len() - self.again.len()) as u64;
        self.report.meetings.already += overtaken;
        self.overtaken += overtaken;
    }

    /// Reports meetings that other runs committed since the beginning, if there are any.
    pub(super) fn report_overtaken(&self, observer: &Observer) {
        let meetings = self.overtaken;
        if meetings > 0 {
            (observer)(Event::Overtaken { meetings });
        }
    }

    /// A batch is in the dataset.
    pub(super) fn committed(&mut self, batch: Batch) {
        for part in &batch.parts {
            self.report.parts += 1;
            self.report.bytes += part.bytes;
            self.partitions.extend(part.partition);
        }
        self.report.partitions = self.partitions.len() as u64;
        self.piped(batch);
    }

    /// A batch is down the pipe.
    pub(super) fn piped(&mut self, batch: Batch) {
        for (anomaly, records) in batch.anomalies {
            *self.report.anomalies.entry(anomaly).or_default() += records;
        }
        for whole in batch.meetings {
            self.report.records += whole.records;
            self.report.replaced_surrogates += whole.replaced;
            self.report.requests.minimum += whole.minimum;
            self.report.requests.restarts += whole.restarts;
            let counts = &mut self.report.meetings;
            let before = self.held.get(&whole.meeting);
            *(if before.is_some() {
                &mut counts.replaced
            } else if whole.records == 0 {
                &mut counts.empty
            } else {
                &mut counts.complete
            }) += 1;
            let replaced = before.map(|before| Replaced {
                count: before.count,
                records: before.rows,
                fetched: before.last_fetch,
            });
            self.same_records.add(&whole.meeting, whole.multiset);
            self.settle(MeetingReport {
                conf_uuid: whole.meeting,
                status: MeetingStatus::Complete,
                count: Some(whole.count),
                records: whole.records,
                requests: whole.requests,
                proof: Some(whole.proof),
                pages: Some(whole.pages),
                seams: Some(whole.seams),
                equal_records: Some(whole.equal_records),
                doubtful: whole.doubtful,
                replaced,
                is_kept: false,
                day: None,
                cause: None,
                request_id: None,
            });
        }
    }

    /// A meeting could not be had whole.
    pub(super) fn absent(&mut self, mut absent: Absent) {
        if absent.status == MeetingStatus::Unfinished {
            if absent.requests == 0 && self.may_leave_out(&absent.meeting) {
                // Counted at the end, as those that the run did not get to.
                return;
            }
            self.named += 1;
        }
        if absent.is_gone && self.delisted.contains(&absent.meeting) {
            // Nobody owes it any more.
            self.days.remove(&absent.meeting);
            if let Some(window) = &mut self.report.window {
                window.forgotten += 1;
            }
            absent.cause = format!(
                "not asked for again, as the list has it no more either: {}",
                absent.cause
            );
        }
        let held = self.held.get(&absent.meeting).map(|held| held.rows);
        let counts = &mut self.report.meetings;
        *(match absent.status {
            MeetingStatus::Unfinished => &mut counts.unfinished,
            _ => &mut counts.incomplete,
        }) += 1;
        self.report.requests.restarts += absent.restarts;
        if let Some(kind) = absent.kind {
            *self.report.failures.entry(kind).or_default() += 1;
        }
        self.settle(MeetingReport {
            conf_uuid: absent.meeting,
            status: absent.status,
            count: absent.count,
            records: held.unwrap_or(0),
            requests: absent.requests,
            proof: None,
            pages: None,
            seams: None,
            equal_records: None,
            doubtful: 0,
            replaced: None,
            is_kept: held.is_some(),
            day: None,
            cause: Some(absent.cause),
            request_id: absent.request_id,
        });
    }

    /// Whether an unfinished meeting needs no row of its own: a list has it, which may have millions
    /// of them, and no request for it came to anything. Of a window each has one, since the next run
    /// asks for it by its row.
    fn may_leave_out(&self, meeting: &ConfUuid) -> bool {
        self.named >= MOST_UNFINISHED && !self.days.contains_key(meeting)
    }

    fn settle(&mut self, meeting: MeetingReport) {
        self.settled.insert(meeting.conf_uuid.clone(), meeting);
    }

    /// What there is to say of the destination.
    pub(super) fn writes_to(&mut self, destination: &Destination) {
        self.report.beside = destination.beside().to_vec();
        let dataset = destination.dataset();
        self.report.partitioning = dataset.and_then(Dataset::partitioning);
    }

    /// The report of a run that did not begin, since these are at work on the dataset; or that
    /// was stopped while it waited for them.
    pub(super) fn turned_away(
        mut self,
        meetings: Meetings,
        runs: &[String],
        is_stopped: bool,
    ) -> Report {
        self.report.beside = runs.to_vec();
        self.report.outcome = Outcome::Skipped;
        if is_stopped {
            self.already(meetings);
            self.settle_all("another run was at work on the dataset");
            self.report.outcome = Outcome::Interrupted;
        }
        self.report.finished = self.now();
        self.report
    }

    /// The report of a run that panicked before it had books.
    pub(super) fn died(mut self, meetings: Meetings, error: &Error) -> Report {
        self.already(meetings);
        self.settle_all("the run stopped first");
        *self.report.failures.entry(error.kind()).or_default() += 1;
        self.report.error = Some(error.chain());
        self.report.outcome = Outcome::Failed;
        self.report.finished = self.now();
        self.report
    }

    /// Puts every meeting into the report; what nothing came of is unfinished, and beyond
    /// [`MOST_UNFINISHED`] only counted.
    fn settle_all(&mut self, cause: &str) {
        let work = std::mem::take(&mut self.work).into_iter();
        for meeting in work.chain(std::mem::take(&mut self.again)) {
            if self.unchanged.contains(&meeting) {
                continue;
            }
            if !self.settled.contains_key(&meeting) {
                if self.may_leave_out(&meeting) {
                    self.report.meetings.unfinished += 1;
                    self.report.unfinished_left_out += 1;
                    self.report.requests.remaining += 1;
                    continue;
                }
                self.named += 1;
            }
            let report = &mut self.report;
            let held = self.held.get(&meeting).map(|held| held.rows);
            let is_held = self
                .settled
                .get(&meeting)
                .is_some_and(|settled| settled.status == MeetingStatus::Complete);
            // The next run asks for what is not held, and looks again at the day it began.
            let day = self.days.get(&meeting).filter(|_| !is_held).copied();
            if let (Some(window), Some(day)) = (&mut report.window, day) {
                window.owe(day);
            }
            let mut settled = self.settled.remove(&meeting).unwrap_or_else(|| {
                report.meetings.unfinished += 1;
                MeetingReport {
                    conf_uuid: meeting,
                    status: MeetingStatus::Unfinished,
                    count: None,
                    records: held.unwrap_or(0),
                    requests: 0,
                    proof: None,
                    pages: None,
                    seams: None,
                    equal_records: None,
                    doubtful: 0,
                    replaced: None,
                    is_kept: held.is_some(),
                    day: None,
                    cause: Some(cause.to_owned()),
                    request_id: None,
                }
            });
            settled.day = day.map(|day| day.since);
            if settled.status == MeetingStatus::Unfinished {
                let needed = settled
                    .count
                    .map(|count| minimum_requests(count, self.page_size));
                let to_come = needed.unwrap_or(1).saturating_sub(settled.requests).max(1);
                report.requests.remaining += to_come;
            }
            report.per_meeting.push(settled);
        }
    }

    /// The report of the run, which is over.
    pub(super) fn close(
        mut self,
        client: &SpooledClient,
        throttle: &Throttle,
        elapsed: Duration,
        error: Option<&Error>,
        is_stopped: bool,
    ) -> Report {
        self.settle_all("the run stopped first");
        let finished = self.now();
        self.report.same_records = self.same_records.groups();
        let mut report = self.report;
        let tally = client.api().tally();
        if let Some(window) = &mut report.window {
            window.requests = tally.listed.load(Ordering::Relaxed);
        }
        report.clock = Some(client.api().clock().report(report.window.is_some()));
        report.requests.sent = tally.sent.load(Ordering::Relaxed);
        report.requests.retried = tally.retried.load(Ordering::Relaxed);
        report.requests.throttled = tally.throttled.load(Ordering::Relaxed);
        report.requests.spooled = client.pages_from_spool();
        report.quota.rate = throttle.rate();
        let paced = report
            .requests
            .minimum
            .saturating_add(report.window.as_ref().map_or(0, |window| window.requests))
            .saturating_sub(report.requests.spooled)
            .saturating_sub(u64::from(self.burst) - 1);
        report.quota.bound_ms = millis(report.quota.asked.bound(paced));
        report.quota.elapsed_ms = millis(elapsed);
        report.quota.paused_ms = millis(throttle.paused());
        if let Some(error) = error.filter(|error| !error.is_closed_pipe()) {
            *report.failures.entry(error.kind()).or_default() += 1;
        }
        report.error = error.map(Error::chain);
        let unlisted = report
            .window
            .as_ref()
            .map_or(0, |window| window.unlisted.len() as u64);
        report.outcome = match error {
            Some(Error::Quota { .. }) => Outcome::Incomplete,
            Some(error) if error.is_closed_pipe() => Outcome::Interrupted,
            Some(_) => Outcome::Failed,
            None if report.meetings.unfinished + unlisted > 0 && is_stopped => Outcome::Interrupted,
            None if report.meetings.unfinished + report.meetings.incomplete + unlisted > 0 => {
                Outcome::Incomplete
            }
            None => Outcome::Complete,
        };
        report.finished = finished;
        report
    }

    fn now(&self) -> DateTime<Utc> {
        Utc::now()
            .checked_add_signed(self.ahead)
            .unwrap_or(self.report.started)
    }
}

/// The meeting as the ledger keeps it.
pub(super) fn committed(whole: &Whole) -> CommittedMeeting {
    CommittedMeeting {
        conf_uuid: whole.meeting.clone(),
        count: whole.count,
        rows: whole.records,
        requests: whole.requests,
        first_fetch: whole.first_fetch,
        last_fetch: whole.last_fetch,
        status: MeetingStatus::Complete,
        proof: whole.proof,
        pages: Some(whole.pages),
        seams: Some(whole.seams),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
