//! The line from the pager to the commit, pass after pass.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::destination::Destination;
use super::encoder_thread::{Batch, Sink, Word};
use super::meeting_rows::Described;
use super::recheck::Recheck;
use super::report_builder::{self, Account};
use crate::config::Config;
use crate::config::meeting_list::Meetings;
use crate::dataset::ledger::CommittedMeeting;
use crate::dataset::writer::{BatchWriter, PartOptions, PipeWriter};
use crate::dataset::{Commit, FirstPage};
use crate::error::{Error, Result};
use crate::fetch::{Outputs, Pager, SpooledClient};
use crate::record::Provenance;
use crate::record::table::Table;
use crate::report::{Event, Observer};
use crate::values::ConfUuid;

/// Batches on their way to their commit.
const BATCHES_AHEAD: usize = 2;

/// Passes over meetings that another run of the same dataset got in the way of.
pub(super) const PASSES: u32 = 3;

/// The line from the pager to the commit.
pub(super) struct Line<'a> {
    pub(super) config: &'a Config,
    pub(super) pii: Option<String>,
    /// What to write of the meetings, where they are to be written.
    pub(super) described: Option<Arc<Described>>,
    pub(super) client: &'a Arc<SpooledClient>,
    pub(super) observer: &'a Observer,
    pub(super) stop: &'a CancellationToken,
}

/// Work of one pass.
pub(super) struct Round<'a> {
    /// Number of the staged files; one that no other writer of the run has.
    pub(super) series: u32,
    pub(super) meetings: Meetings,
    /// First pages as the dataset holds them: where a page is the same, no more is read.
    pub(super) known: HashMap<ConfUuid, FirstPage>,
    /// Committed meetings that these take the place of.
    pub(super) before: Option<&'a HashMap<ConfUuid, CommittedMeeting>>,
}

impl Line<'_> {
    /// Exports the meetings, leaves the dataset readable, and asks again for those to recheck. A
    /// panic is an error.
    pub(super) async fn run(
        &self,
        work: Meetings,
        recheck: Recheck,
        destination: &mut Destination,
        account: &mut Account,
    ) -> Result<()> {
        let passes = self.passes(work, destination, account);
        Error::unless_it_panics("the run", passes).await?;
        let last = self.leave_readable(destination, account);
        Error::unless_it_panics("the run", last).await?;
        let again = self.recheck(recheck, destination, account);
        Error::unless_it_panics("the run", again).await
    }

    /// Reads and commits the meetings; those of batches that another run of the same dataset got
    /// in the way of are read again, unless that run has them.
    pub(super) async fn passes(
        &self,
        mut work: Meetings,
        destination: &mut Destination,
        account: &mut Account,
    ) -> Result<()> {
        for number in 0..PASSES {
            let round = Round {
                series: number,
                meetings: work,
                known: HashMap::new(),
                before: None,
            };
            let dropped = self.pass(round, destination, account).await?;
            let (held, missing): (Vec<_>, Vec<_>) = dropped
                .into_iter()
                .partition(|meeting| destination.holds(meeting));
            account.found(&held);
            work = missing.into();
            if work.is_empty() || self.stop.is_cancelled() {
                break;
            }
        }
        Ok(())
    }

    /// Reads meetings, encodes and commits them; returns those of batches that another run got
    /// in the way of.
    pub(super) async fn pass(
        &self,
        round: Round<'_>,
        destination: &mut Destination,
        account: &mut Account,
    ) -> Result<Vec<ConfUuid>> {
        let pager = Pager::new(
            self.config,
            Arc::clone(self.client),
            round.meetings,
            Arc::clone(self.observer),
            self.stop.clone(),
        )
        .knowing(round.known);
        // What the meetings table has of a meeting that is replaced stays.
        let described = self.described.clone().filter(|_| round.before.is_none());
        let sink = self.sink(round.series, destination, described)?;
        let (outputs, taken) = Outputs::new();
        let (words, mut heard) = mpsc::channel(BATCHES_AHEAD);
        let mut reading = JoinSet::new();
        reading.spawn(pager.run(outputs));
        let writing = tokio::task::spawn_blocking(move || sink.run(taken, &words));
        let mut dropped = vec![];
        let mut failed = None;
        while let Some(word) = heard.recv().await {
            match word {
                Word::Absent(absent) => account.absent(absent),
                Word::Unchanged(unchanged) => {
                    self.client.settle(vec![unchanged.meeting.clone()]).await;
                    account.unchanged(unchanged);
                }
                Word::Batch(batch) => {
                    match self.commit(destination, account, batch, round.before).await {
                        Ok(conflicting) => dropped.extend(conflicting),
                        Err(error) => {
                            failed = Some(error);
                            break;
                        }
                    }
                }
            }
        }
        // Where the end comes from this side, nobody needs more pages.
        drop(heard);
        if failed.is_some() {
            self.abandon(&mut reading);
        }
        let written = writing.await.map_err(Error::task("the encoder")).flatten();
        if written.is_err() {
            self.abandon(&mut reading);
        }
        let read = match reading.join_next().await {
            Some(Err(error)) if error.is_cancelled() => Ok(()),
            Some(read) => read.map_err(Error::task("the pager")).flatten(),
            None => Ok(()),
        };
        failed.map_or(Ok(()), Err).and(written).and(read)?;
        Ok(dropped)
    }

    /// Ends the reading where it is. Requests under way must not say that they try again, so they
    /// are told as well.
    pub(super) fn abandon(&self, reading: &mut JoinSet<Result<()>>) {
        self.stop.cancel();
        reading.abort_all();
    }

    pub(super) fn sink(
        &self,
        series: u32,
        destination: &mut Destination,
        described: Option<Arc<Described>>,
    ) -> Result<Sink> {
        let options = PartOptions {
            format: self.config.format,
            compression: self.config.compression(),
            parquet_encodings: self.config.parquet_encodings,
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
                BatchWriter::new(options, dataset.staging().to_owned())
                    .in_series(series)
                    .partitioned(dataset.partitioning()),
                self.config.commit_every,
                dataset.has_parts() || !self.config.format.has_empty_parts(),
                described,
            ),
            Destination::Pipe(pipe) => {
                let used = || Error::Config("the pipe is used up".to_owned());
                let pipe = pipe.take().ok_or_else(used)?;
                Sink::pipe(PipeWriter::new(&options, pipe)?)
            }
        })
    }

    /// Commits a batch, in the place of what was held before where its meetings are replaced; returns
    /// its meetings if another run holds or changed some of them.
    pub(super) async fn commit(
        &self,
        destination: &mut Destination,
        account: &mut Account,
        batch: Batch,
        before: Option<&HashMap<ConfUuid, CommittedMeeting>>,
    ) -> Result<Vec<ConfUuid>> {
        let Destination::Dataset(dataset) = destination else {
            account.piped(batch);
            return Ok(vec![]);
        };
        if let Some(before) = before {
            return self.replace(dataset, account, batch, before).await;
        }
        let meetings = batch
            .meetings
            .iter()
            .map(report_builder::committed)
            .collect();
        match dataset.commit(batch.parts.clone(), meetings).await? {
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

    /// A table without a part would fail its readers: an empty night leaves an empty part, in formats
    /// that have such.
    pub(super) async fn leave_readable(
        &self,
        destination: &mut Destination,
        account: &mut Account,
    ) -> Result<()> {
        let is_readable = match &*destination {
            Destination::Dataset(dataset) => {
                !self.config.format.has_empty_parts()
                    || dataset.has_parts()
                        && (self.described.is_none() || dataset.has_parts_of(Table::Meetings))
            }
            Destination::Pipe(_) => true,
        };
        if !is_readable {
            let sink = self.sink(PASSES, destination, self.described.clone())?;
            let batch = tokio::task::spawn_blocking(move || sink.empty())
                .await
                .map_err(Error::task("the encoder"))??;
            self.commit(destination, account, batch, None).await?;
        }
        Ok(())
    }
}
