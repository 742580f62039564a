//! One run: every meeting of a list from the API into a dataset or a pipe.
//!
//! The run is a line of three: the pager hands out meetings, a thread of its own encodes them
//! (`sink`), and what is encoded is committed here, while the other two go on. Each is held back
//! by the next one through a bounded channel. It ends when all meetings are settled, when it is
//! asked to stop, or when it cannot go on; what is whole by then is committed in any case.

use std::fmt;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt as _;
use secrecy::SecretString;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::destination::{self, Destination, Opening};
use super::meeting_rows::Described;
use super::pipeline::Line;
use super::recheck::Recheck;
use super::report_builder::Account;
use super::spool_lifecycle;
use super::window_planner::{Discovered, Discovery};
use crate::api::auth::Credentials;
use crate::api::throttle::Throttle;
use crate::api::{Client, ServerClock};
use crate::config::Config;
use crate::config::meeting_list::Meetings;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::fetch::{Deadline, SpooledClient, history_bounds};
use crate::record::decode::PageDecoder;
use crate::record::pii::Pii;
use crate::record::table::Table;
use crate::record::{DigestKey, Meeting};
use crate::report::{Event, MeetingStatus, Observer, Report};
use crate::values::run_id::run_id;
use crate::values::{ConfUuid, PartitionBy, new_run_id};

/// What one run needs.
pub struct Export {
    /// The settings.
    pub config: Config,
    /// Who asks.
    pub credentials: Credentials,
    /// The meetings, in order, each once; none where the settings have a window instead.
    pub meetings: Vec<ConfUuid>,
    /// Where the records go when the destination is `-`.
    pub pipe: Option<Box<dyn Write + Send>>,
    /// What columns are hashed with, where the settings say so.
    pub pii_key: Option<SecretString>,
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Finished {
    /// What was done, also where the run could not go on.
    pub report: Report,
    /// What stopped it, where something did.
    pub error: Option<Error>,
}

impl Export {
    /// Exports the meetings that the dataset does not hold yet; ends early, but in good order,
    /// when `cancel` is cancelled or the deadline passes.
    ///
    /// # Errors
    ///
    /// Settings or a destination that cannot be used, found before the first request. Whatever
    /// goes wrong later is in [`Finished`], beside what was done.
    pub async fn run(self, observer: Observer, cancel: CancellationToken) -> Result<Finished> {
        self.run_as(&new_run_id(), observer, cancel).await
    }

    /// As [`Export::run`], under a name of the caller's; no other run of the dataset may have it.
    ///
    /// # Errors
    ///
    /// As [`Export::run`].
    pub async fn run_as(
        self,
        run_id: &str,
        observer: Observer,
        cancel: CancellationToken,
    ) -> Result<Finished> {
        let run = Run::new(run_id.to_owned(), Utc::now(), ServerClock::default());
        self.perform(run, observer, cancel).await
    }

    /// As [`Export::run`], at a time that the caller vouches for: it decides what is asked in place
    /// of the server's clock, and the report has it as the run's beginning.
    ///
    /// # Errors
    ///
    /// As [`Export::run`].
    pub async fn run_at(
        self,
        started: DateTime<Utc>,
        observer: Observer,
        cancel: CancellationToken,
    ) -> Result<Finished> {
        let run = Run::new(run_id(started), started, ServerClock::given(started));
        self.perform(run, observer, cancel).await
    }

    /// As [`Export::run`], on a machine whose clock shows `machine`, rightly or wrongly.
    ///
    /// # Errors
    ///
    /// As [`Export::run`].
    pub async fn run_beside(
        self,
        machine: DateTime<Utc>,
        observer: Observer,
        cancel: CancellationToken,
    ) -> Result<Finished> {
        let clock = ServerClock::beside(machine);
        let run = Run::new(run_id(machine), machine, clock);
        self.perform(run, observer, cancel).await
    }

    /// A panic, of a library or of ours, ends the run as any failure does: with a report.
    async fn perform(
        mut self,
        run: Run,
        observer: Observer,
        cancel: CancellationToken,
    ) -> Result<Finished> {
        let pii = self.pii()?.as_ref().map(Pii::note);
        let (config, spare) = (self.config.clone(), run.spare());
        let meetings = Meetings::from(std::mem::take(&mut self.meetings));
        let asked = meetings.clone();
        let work = AssertUnwindSafe(Box::pin(self.carry_out(asked, run, observer, cancel)));
        let done = work.catch_unwind().await;
        match done.unwrap_or(Err(Error::Task { what: "the run" })) {
            Err(error @ Error::Task { .. }) => Ok(Finished {
                report: Account::new(&config, spare, &meetings, None, pii).died(meetings, &error),
                error: Some(error),
            }),
            done => done,
        }
    }

    async fn carry_out(
        mut self,
        meetings: Meetings,
        run: Run,
        observer: Observer,
        cancel: CancellationToken,
    ) -> Result<Finished> {
        self.config.check()?;
        if self.config.since.is_some() && !meetings.is_empty() {
            return Err(Error::Config(
                "since: a run takes its meetings from a window or from a list".to_owned(),
            ));
        }
        if self.config.with_meetings && self.pipe.is_some() {
            return Err(Error::Config(
                "with_meetings: a pipe carries records alone; it needs a folder".to_owned(),
            ));
        }
        let partitioning = self.config.partition_by;
        if self.pipe.is_some() && partitioning.is_some_and(|by| by != PartitionBy::None) {
            return Err(Error::Config(
                "partition_by: a pipe has no folders; leave it out, or give a destination that has"
                    .to_owned(),
            ));
        }
        history_bounds::check_dates(&self.config)?;
        let pipe = self.pipe.take();
        let deadline = Deadline::begin(self.config.deadline, &cancel);
        let stop = deadline.stop.clone();
        let pii = self.pii()?;
        let pii = pii.as_ref();
        match destination::open(&self.config, &run.id, pipe, pii, &observer, &stop).await? {
            Opening::Open(mut destination) => {
                let into = &mut destination;
                let stops = (stop, cancel);
                let done = Box::pin(self.run_into(into, meetings, run, observer, stops)).await;
                if done.is_err() {
                    destination.abandon().await;
                }
                done
            }
            Opening::Taken(runs) => {
                let pii = pii.map(Pii::note);
                let account = Account::new(&self.config, run, &meetings, None, pii);
                let report = account.turned_away(meetings, &runs, stop.is_cancelled());
                let error = None;
                Ok(Finished { report, error })
            }
        }
    }

    fn pii(&self) -> Result<Option<Pii>> {
        Pii::new(&self.config.pii, self.pii_key.as_ref())
    }

    fn page_decoder(&self, destination: &Destination) -> Result<PageDecoder> {
        Ok(PageDecoder {
            digest_key: DigestKey::of(&destination.salt()?),
            pii: self.pii()?,
        })
    }

    async fn run_into(
        self,
        destination: &mut Destination,
        meetings: Meetings,
        mut run: Run,
        observer: Observer,
        (stop, signal): (CancellationToken, CancellationToken),
    ) -> Result<Finished> {
        let who = self.credentials.who_digest(&destination.salt()?);
        let (time, dataset) = ((run.started, run.clock.is_given()), destination.dataset());
        let discovery = Discovery::plan(&self.config, time, dataset, who).await?;
        let decoder = self.page_decoder(destination)?;
        let pii = decoder.pii.clone();
        let asker = self.credentials.who();
        let question = destination.question(&self.config, pii.as_ref(), asker)?;
        let Self {
            config,
            credentials,
            ..
        } = self;
        let spool = spool_lifecycle::open(&config, question, &run.id, &observer).await?;
        destination.tell_of_opening(&observer);
        let throttle = Throttle::new(config.rate, config.burst, Arc::clone(&observer));
        let throttle = Arc::new(throttle);
        let client = Client::new(
            &config,
            credentials,
            Arc::clone(&throttle),
            decoder,
            Arc::clone(&observer),
            stop.clone(),
        )?;
        let client = Arc::new(client.with_clock(std::mem::take(&mut run.clock)));
        let pages = SpooledClient::new(Arc::clone(&client), spool.clone(), Arc::clone(&observer));
        let pages = Arc::new(pages);
        let begun = Instant::now();
        let terms = (&config, destination.dataset(), pii.as_ref());
        let found = Found::by(discovery, meetings, terms, &client, &observer).await;
        let Found {
            meetings,
            discovered,
            described,
            mut outcome,
        } = found;
        let is_listed = outcome.is_ok() && discovered.as_ref().is_none_or(Discovered::is_listed);
        let ends = discovered.as_ref().map(|found| &found.ends);
        let now = client.clock().now();
        let recheck = Recheck::plan(&config, destination.dataset(), &meetings, ends, now);
        let named = discovered.is_none().then(|| meetings.clone());
        let pii = pii.as_ref().map(Pii::note);
        let mut account = Account::new(&config, run, &meetings, discovered, pii.clone());
        account.writes_to(destination);
        let work = account.wanting(meetings, destination);
        account.rechecks(&recheck);
        (observer)(Event::Started {
            meetings: account.requested(),
            already: account.held(),
        });
        if let Some(spool) = &spool {
            let wanted = work.iter().chain(&recheck.meetings);
            spool_lifecycle::outdate(spool, &recheck.held, now);
            spool_lifecycle::forget_unwanted(spool, &config, wanted, is_listed, &observer);
        }
        if destination.is_single_writer() {
            account.has_single_writer();
        }
        destination.announce(&observer);

        let line = Line {
            config: &config,
            pii,
            described,
            client: &pages,
            observer: &observer,
            stop: &stop,
        };
        if outcome.is_ok() {
            outcome = line.run(work, recheck, destination, &mut account).await;
        }
        // A commit may be half done: then all is left to the next run, as after a kill, and requests
        // that are under way are stopped.
        let is_cut_off = matches!(outcome, Err(Error::Task { what: "the run" }));
        if is_cut_off {
            stop.cancel();
        }
        // A deadline may have ended it; a signal and requests that are used up are told instead.
        if !signal.is_cancelled() && !client.is_used_up() {
            outcome = outcome.and(client.outage().map_or(Ok(()), Err));
        }
        account.report_overtaken(&observer);
        let mut error = outcome.err();
        let mut report = account.close(
            &pages,
            &throttle,
            begun.elapsed(),
            error.as_ref(),
            stop.is_cancelled(),
        );
        report.without_records = without_records(named, destination, &report);
        report.ledger = destination.dataset().and_then(Dataset::head);
        if !is_cut_off && let Err(failed) = finish(destination, &report).await {
            error.get_or_insert(failed);
        }
        destination.tell_of_checkpoints(&observer);
        if let Some(spool) = spool {
            let is_through = error.is_none() && is_listed && report.meetings.unfinished == 0;
            spool_lifecycle::close(spool, is_through, &observer).await;
        }
        client.close().await;
        Ok(Finished { report, error })
    }
}

/// The meetings to bring, and what is known of them.
struct Found {
    meetings: Meetings,
    discovered: Option<Discovered>,
    /// What to write of the meetings, where they are to be written.
    described: Option<Arc<Described>>,
    outcome: Result<()>,
}

impl Found {
    /// What the discovery finds; without one, these meetings, of which nothing more is known.
    async fn by(
        discovery: Option<Discovery>,
        meetings: Meetings,
        (config, dataset, pii): (&Config, Option<&Dataset>, Option<&Pii>),
        client: &Arc<Client>,
        observer: &Observer,
    ) -> Self {
        let mut told = vec![];
        let mut found = Self {
            meetings,
            discovered: None,
            described: None,
            outcome: Ok(()),
        };
        if let Some(discovery) = discovery {
            let work = discovery.run(config, dataset, client, observer).await;
            found.meetings = work.meetings.into();
            found.discovered = work.window;
            found.outcome = work.listed;
            told = work.told;
        }
        if is_told(config, dataset) {
            let is_held = |meeting: &Meeting| {
                dataset.is_some_and(|dataset| dataset.holds(&meeting.conf_uuid))
            };
            told.retain(|meeting| !is_held(meeting));
            match Described::new(&told, pii) {
                Ok(described) => found.described = Some(Arc::new(described)),
                Err(error) => found.outcome = found.outcome.and(Err(error)),
            }
        }
        found
    }
}

/// Writes the report of a run into its dataset; a panic is an error.
async fn finish(destination: &mut Destination, report: &Report) -> Result<()> {
    match destination {
        Destination::Dataset(dataset) => {
            Error::unless_it_panics("the end of the run", dataset.finish(report)).await
        }
        Destination::Pipe(_) => Ok(()),
    }
}

/// Of meetings that a list named, those that are there and have no record.
fn without_records(
    named: Option<Meetings>,
    destination: &Destination,
    report: &Report,
) -> Vec<ConfUuid> {
    let Some(named) = named else {
        return vec![];
    };
    let is_empty = if let Some(dataset) = destination.dataset() {
        dataset.without_records()
    } else {
        let read = report.per_meeting.iter();
        let empty = read
            .filter(|meeting| meeting.status == MeetingStatus::Complete && meeting.records == 0);
        empty.map(|meeting| &meeting.conf_uuid).collect()
    };
    let empty = named.iter().filter(|meeting| is_empty.contains(*meeting));
    empty.cloned().collect()
}

/// Whether what the list tells of meetings is written as well: where the run is told so, and where
/// the dataset has the table, whose readers would miss a row for each meeting without one.
pub(super) fn is_told(config: &Config, dataset: Option<&Dataset>) -> bool {
    config.with_meetings || dataset.is_some_and(|dataset| dataset.has_parts_of(Table::Meetings))
}

/// A run's name and time.
pub(super) struct Run {
    pub(super) id: String,
    pub(super) started: DateTime<Utc>,
    /// How far the time that the run was given is ahead of our clock.
    pub(super) ahead: TimeDelta,
    clock: ServerClock,
}

impl Run {
    fn new(id: String, started: DateTime<Utc>, clock: ServerClock) -> Self {
        let ahead = started - Utc::now();
        Self {
            id,
            started,
            ahead,
            clock,
        }
    }

    /// The same run for a report without its clock.
    fn spare(&self) -> Self {
        Self {
            id: self.id.clone(),
            clock: ServerClock::default(),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests;
