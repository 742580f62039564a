//! One run: every meeting of a list from the API into a dataset or a pipe.
//!
//! The run is a line of three: the pager hands out meetings, a thread of its own encodes them
//! (`sink`), and what is encoded is committed here, while the other two go on. Each is held back
//! by the next one through a bounded channel. It ends when all meetings are settled, when it is
//! asked to stop, or when it cannot go on; what is whole by then is committed in any case.

mod account;
mod discovery;
mod opening;
mod sink;

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::account::Account;
use self::discovery::{Discovered, Discovery};
use self::opening::Opening;
use self::sink::{Batch, Sink, Word};
use crate::auth::Credentials;
use crate::client::Client;
use crate::config::{Config, When};
use crate::dataset::{Commit, Dataset};
use crate::error::{Error, Result};
use crate::event::{Event, Observer};
use crate::folder;
use crate::history;
use crate::ledger::Asked;
use crate::pager::Pager;
use crate::pii::Pii;
use crate::record::Provenance;
use crate::report::Report;
use crate::spool::{Question, Spool};
use crate::throttle::Throttle;
use crate::uuid::ConfUuid;
use crate::writer::{BatchWriter, PartOptions, PipeWriter};

/// Pages on their way to the encoder.
const PAGES_AHEAD: usize = 64;

/// Batches on their way to their commit.
const BATCHES_AHEAD: usize = 2;

/// Passes over meetings that another run of the same dataset got in the way of.
const PASSES: u32 = 3;

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
        let run = Run::new(run_id.to_owned(), Utc::now());
        self.perform(run, observer, cancel).await
    }

    /// As [`Export::run`], at another time than now: `yesterday` is the day before that, and the
    /// report has it as the run's beginning.
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
        let run = Run::new(run_id(started), started);
        self.perform(run, observer, cancel).await
    }

    async fn perform(
        mut self,
        run: Run,
        observer: Observer,
        cancel: CancellationToken,
    ) -> Result<Finished> {
        self.config.check()?;
        if self.config.since.is_some() && !self.meetings.is_empty() {
            return Err(Error::Config(
                "since: a run takes its meetings from a window or from a list".to_owned(),
            ));
        }
        let window = history::window(&self.config, run.started)?;
        let pipe = self.pipe.take();
        let stop = cancel.child_token();
        // Dropped, and with it its timer, at the end of the run.
        let mut timer = JoinSet::new();
        if let Some(deadline) = self.config.deadline {
            let stop = stop.clone();
            timer.spawn(async move {
                tokio::time::sleep(deadline).await;
                stop.cancel();
            });
        }
        let asked = Asked::of(&self.config, self.pii()?.as_ref());
        let pii = asked.pii.clone();
        match opening::open(&self.config, &run.id, pipe, asked, &observer, &stop).await? {
            Opening::Open(destination) => {
                let discovery = match window {
                    Some(window) => {
                        let dataset = destination.dataset();
                        Some(Discovery::plan(&self.config, run.started, window, dataset).await?)
                    }
                    None => None,
                };
                self.run_into(destination, run, discovery, observer, stop)
                    .await
            }
            Opening::Taken(runs) => {
                let account = Account::new(&self.config, run, &self.meetings, None, pii);
                let report = account.turned_away(&self.meetings, &runs, stop.is_cancelled());
                let error = None;
                Ok(Finished { report, error })
            }
        }
    }

    fn pii(&self) -> Result<Option<Pii>> {
        Pii::new(&self.config.pii, self.pii_key.as_ref())
    }

    async fn run_into(
        self,
        mut destination: Destination,
        run: Run,
        discovery: Option<Discovery>,
        observer: Observer,
        stop: CancellationToken,
    ) -> Result<Finished> {
        let pii = self.pii()?;
        let asked = Asked::of(&self.config, pii.as_ref());
        let who = self.credentials.who();
        let question = destination
            .place()
            .map(|place| Question::new(&(place, self.config.base_url.as_str(), &asked, who)))
            .transpose()?;
        let Self {
            config,
            credentials,
            mut meetings,
            ..
        } = self;
        let spool = open_spool(&config, question, &run.id, &observer).await?;
        let beside = destination.beside();
        if !beside.is_empty() {
            let runs = beside.to_vec();
            (observer)(Event::Beside { runs });
        }
        let throttle = Arc::new(Throttle::new(
            config.rate,
            config.burst,
            Arc::clone(&observer),
        ));
        let client = Arc::new(Client::new(
            &config,
            credentials,
            Arc::clone(&throttle),
            pii,
            spool.clone(),
            Arc::clone(&observer),
            stop.clone(),
        )?);
        let begun = Instant::now();
        let mut outcome = Ok(());
        let mut discovered = None;
        if let Some(discovery) = discovery {
            let found = discovery.run(&config, &client, &observer).await;
            outcome = found.listed;
            meetings = found.meetings;
            discovered = Some(found.window);
        }
        let is_listed = discovered.as_ref().is_none_or(Discovered::is_listed);
        let pii = asked.pii;
        let mut account = Account::new(&config, run, &meetings, discovered, pii.clone());
        account.beside(destination.beside());
        let mut work: Vec<_> = meetings;
        work.retain(|meeting| !destination.holds(meeting));
        account.already(&work);
        (observer)(Event::Started {
            meetings: account.requested(),
            already: account.held(),
        });
        if let Some(spool) = &spool {
            forget_unwanted(spool, &config, &work, is_listed, &observer);
        }
        if destination.is_single_writer() {
            account.has_single_writer();
            (observer)(Event::SingleWriter);
        }

        let line = Line {
            config: &config,
            pii,
            client: &client,
            observer: &observer,
            stop: &stop,
        };
        if outcome.is_ok() {
            outcome = line.passes(work, &mut destination, &mut account).await;
        }
        if outcome.is_ok() {
            outcome = line.leave_readable(&mut destination, &mut account).await;
        }
        if account.overtaken() > 0 {
            let meetings = account.overtaken();
            (observer)(Event::Overtaken { meetings });
        }
        let mut error = outcome.err();
        let elapsed = begun.elapsed();
        let report = account.close(
            &client,
            &throttle,
            elapsed,
            error.as_ref(),
            stop.is_cancelled(),
        );
        if let Destination::Dataset(dataset) = &mut destination
            && let Err(failed) = dataset.finish(&report).await
        {
            error.get_or_insert(failed);
        }
        if let Some(spool) = spool {
            let is_through = error.is_none() && is_listed && report.meetings.unfinished == 0;
            close_spool(spool, is_through, &observer).await;
        }
        client.close().await;
        Ok(Finished { report, error })
    }
}

/// The spool for the questions of this run, where there is a place for it.
async fn open_spool(
    config: &Config,
    question: Option<Question>,
    run_id: &str,
    observer: &Observer,
) -> Result<Option<Arc<Spool>>> {
    let (Some(state_dir), Some(question)) = (&config.state_dir, question) else {
        return Ok(None);
    };
    let (state_dir, run_id, keeps) = (state_dir.clone(), run_id.to_owned(), config.keeps_pages());
    let place = state_dir.clone();
    let opened = folder::blocking("open", &place, move || {
        Spool::open(&state_dir, question, &run_id, keeps)
    });
    match opened.await {
        Ok((spool, left)) => {
            for error in left {
                let cause = error.chain();
                (observer)(Event::SpoolLeft { cause });
            }
            Ok(Some(Arc::new(spool)))
        }
        Err(error) => {
            let cause = error.chain();
            (observer)(Event::SpoolLost { cause });
            Ok(None)
        }
    }
}

/// Drops the pages that this run does not need; tells how many are left.
fn forget_unwanted(
    spool: &Spool,
    config: &Config,
    work: &[ConfUuid],
    is_listed: bool,
    observer: &Observer,
) {
    // Who says never wants no page of an earlier run either; but what an incomplete list does not
    // name may be asked for by the next run.
    let wanted = match config.spool {
        When::Never => &[],
        _ if !is_listed => return,
        _ => work,
    };
    let pages = spool.only(wanted);
    if pages > 0 {
        (observer)(Event::Spooled { pages });
    }
}

/// Removes the spool, or leaves it to the next run. What was exported is whole either way.
async fn close_spool(spool: Arc<Spool>, is_through: bool, observer: &Observer) {
    let closing = folder::blocking("remove", Path::new("the spool"), move || {
        spool.close(is_through)
    });
    if let Err(error) = closing.await {
        let cause = error.chain();
        (observer)(Event::SpoolLeft { cause });
    }
}

/// A name for a run that begins now.
pub fn new_run_id() -> String {
    run_id(Utc::now())
}

/// A name for a run: its start, and enough chance to tell it from another of the same second.
fn run_id(started: DateTime<Utc>) -> String {
    let suffix: String = std::iter::repeat_with(|| fastrand::char('a'..='z'))
        .take(6)
        .collect();
    format!("{}-{suffix}", started.format("%Y%m%dT%H%M%SZ"))
}

/// A run's name and time.
struct Run {
    id: String,
    started: DateTime<Utc>,
    /// How far the time that the run was given is ahead of our clock.
    ahead: TimeDelta,
}

impl Run {
    fn new(id: String, started: DateTime<Utc>) -> Self {
        let ahead = started - Utc::now();
        Self { id, started, ahead }
    }
}

enum Destination {
    Dataset(Box<Dataset>),
    /// Taken by the one sink that writes to it.
    Pipe(Option<Box<dyn Write + Send>>),
}

impl Destination {
    /// The dataset's one name.
    fn place(&self) -> Option<PathBuf> {
        match self {
            Self::Dataset(dataset) => Some(dataset.place()),
            Self::Pipe(_) => None,
        }
    }

    fn dataset(&self) -> Option<&Dataset> {
        match self {
            Self::Dataset(dataset) => Some(dataset),
            Self::Pipe(_) => None,
        }
    }

    /// Runs that were at work on it when this one began.
    fn beside(&self) -> &[String] {
        self.dataset().map_or(&[], Dataset::beside)
    }

    fn holds(&self, meeting: &ConfUuid) -> bool {
        match self {
            Self::Dataset(dataset) => dataset.holds(meeting),
            Self::Pipe(_) => false,
        }
    }

    fn is_single_writer(&self) -> bool {
        matches!(self, Self::Dataset(dataset) if dataset.is_single_writer())
    }
}

/// The line from the pager to the commit.
struct Line<'a> {
    config: &'a Config,
    pii: Option<String>,
    client: &'a Arc<Client>,
    observer: &'a Observer,
    stop: &'a CancellationToken,
}

impl Line<'_> {
    /// Reads and commits the meetings; those of batches that another run of the same dataset got
    /// in the way of are read again, unless that run has them.
    async fn passes(
        &self,
        mut work: Vec<ConfUuid>,
        destination: &mut Destination,
        account: &mut Account,
    ) -> Result<()> {
        for number in 0..PASSES {
            let dropped = self.pass(number, work, destination, account).await?;
            let (held, missing): (Vec<_>, _) = dropped
                .into_iter()
                .partition(|meeting| destination.holds(meeting));
            account.found(&held);
            work = missing;
            if work.is_empty() || self.stop.is_cancelled() {
                break;
            }
        }
        Ok(())
    }

    /// Reads meetings, encodes and commits them; returns those of batches that another run got
    /// in the way of.
    async fn pass(
        &self,
        number: u32,
        meetings: Vec<ConfUuid>,
        destination: &mut Destination,
        account: &mut Account,
    ) -> Result<Vec<ConfUuid>> {
        let pager = Pager::new(
            self.config,
            Arc::clone(self.client),
            meetings,
            Arc::clone(self.observer),
            self.stop.clone(),
        );
        let sink = self.sink(number, destination)?;
        let (outputs, taken) = mpsc::channel(PAGES_AHEAD);
        let (words, mut heard) = mpsc::channel(BATCHES_AHEAD);
        let mut reading = JoinSet::new();
        reading.spawn(pager.run(outputs));
        let writing = tokio::task::spawn_blocking(move || sink.run(taken, &words));
        let mut dropped = vec![];
        let mut failed = None;
        while let Some(word) = heard.recv().await {
            match word {
                Word::Absent(absent) => account.absent(absent),
                Word::Batch(batch) => match self.commit(destination, account, batch).await {
                    Ok(conflicting) => dropped.extend(conflicting),
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                },
            }
        }
        // Where the end comes from this side, nobody needs more pages.
        drop(heard);
        if failed.is_some() {
            self.abandon(&mut reading);
        }
        let died = |what| move |source| Error::Task { what, source };
        let written = writing.await.map_err(died("the encoder")).flatten();
        if written.is_err() {
            self.abandon(&mut reading);
        }
        let read = match reading.join_next().await {
            Some(Err(error)) if error.is_cancelled() => Ok(()),
            Some(read) => read.map_err(died("the pager")).flatten(),
            None => Ok(()),
        };
        failed.map_or(Ok(()), Err).and(written).and(read)?;
        Ok(dropped)
    }

    /// Ends the reading where it is. Requests under way must not say that they try again, so they
    /// are told as well.
    fn abandon(&self, reading: &mut JoinSet<Result<()>>) {
        self.stop.cancel();
        reading.abort_all();
    }

    fn sink(&self, series: u32, destination: &mut Destination) -> Result<Sink> {
        let options = PartOptions {
            format: self.config.format,
            compress: self.config.compress,
            provenance: Provenance {
                base_url: self.config.base_url.origin().ascii_serialization(),
                language: self.config.language,
                pii: self.pii.clone(),
            },
            part_rows: self.config.part_rows,
            part_bytes: self.config.part_size.as_u64(),
        };
        Ok(match destination {
            Destination::Dataset(dataset) => Sink::dataset(
                BatchWriter::new(options, dataset.staging().to_owned()).in_series(series),
                self.config.part_rows,
                self.config.commit_every,
                dataset.has_parts(),
            ),
            Destination::Pipe(pipe) => {
                let used = || Error::Config("the pipe is used up".to_owned());
                let pipe = pipe.take().ok_or_else(used)?;
                Sink::pipe(PipeWriter::new(&options, pipe)?)
            }
        })
    }

    /// Commits a batch; returns its meetings if another run holds some of them.
    async fn commit(
        &self,
        destination: &mut Destination,
        account: &mut Account,
        batch: Batch,
    ) -> Result<Vec<ConfUuid>> {
        let Destination::Dataset(dataset) = destination else {
            account.piped(batch);
            return Ok(vec![]);
        };
        let meetings = batch.meetings.iter().map(account::committed).collect();
        let parts = batch.part.clone().into_iter().collect();
        match dataset.commit(parts, meetings).await? {
            Commit::Done {
                sequence,
                parts,
                meetings,
                records,
                bytes,
            } => {
                let settled = batch.meetings.iter().map(|whole| whole.meeting.clone());
                self.client.settle(settled.collect()).await;
                account.committed(batch);
                (self.observer)(Event::Committed {
                    sequence,
                    parts,
                    meetings,
                    records,
                    bytes,
                });
                Ok(vec![])
            }
            Commit::Conflict { already } => {
                account.found(&already);
                Ok(batch
                    .meetings
                    .into_iter()
                    .map(|whole| whole.meeting)
                    .collect())
            }
        }
    }

    /// A dataset without a part would fail its readers: an empty night leaves an empty part.
    async fn leave_readable(
        &self,
        destination: &mut Destination,
        account: &mut Account,
    ) -> Result<()> {
        if matches!(destination, Destination::Dataset(dataset) if !dataset.has_parts()) {
            let sink = self.sink(PASSES, destination)?;
            let batch = tokio::task::spawn_blocking(move || sink.empty())
                .await
                .map_err(|source| Error::Task {
                    what: "the encoder",
                    source,
                })??;
            self.commit(destination, account, batch).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
