//! Meetings that the dataset holds, asked for again and replaced where they have changed.

use std::collections::{HashMap, HashSet};

use super::destination::Destination;
use super::encoder_thread::Batch;
use super::pipeline::{Line, PASSES, Round};
use super::recheck::Recheck;
use super::report_builder::{self, Account};
use crate::dataset::ledger::CommittedMeeting;
use crate::dataset::{Dataset, FirstPage, Form, Replacement};
use crate::error::Result;
use crate::report::Event;
use crate::values::ConfUuid;

/// Staged files of the first pass are in this series; those of each further pass in the next one.
const FIRST_SERIES: u32 = PASSES + 1;

impl Line<'_> {
    /// Asks for the first pages of these meetings, reads those again that have changed, and commits
    /// them in the place of what the dataset holds. The ledger keeps which have not changed.
    pub(super) async fn recheck(
        &self,
        recheck: Recheck,
        destination: &mut Destination,
        account: &mut Account,
    ) -> Result<()> {
        let read = self.read_again(recheck, destination, account).await;
        let Destination::Dataset(dataset) = destination else {
            return read;
        };
        // Whatever stopped the reading, what was seen before needs no second look.
        let kept = dataset.recheck(account.take_rechecked()).await;
        read.and(kept)
    }

    async fn read_again(
        &self,
        recheck: Recheck,
        destination: &mut Destination,
        account: &mut Account,
    ) -> Result<()> {
        let Destination::Dataset(dataset) = destination else {
            return Ok(());
        };
        let mut series = FIRST_SERIES;
        for mut meetings in dataset.alike(&recheck.meetings) {
            let mut known = HashMap::new();
            if !recheck.is_forced {
                known = self.first_pages(&meetings, &recheck, destination).await?;
            }
            for _ in 0..PASSES {
                if meetings.is_empty() || self.stop.is_cancelled() {
                    break;
                }
                let round = Round {
                    series,
                    meetings: meetings.into(),
                    known: std::mem::take(&mut known),
                    before: Some(&recheck.held),
                };
                series += 1;
                let dropped = self.pass(round, destination, account).await?;
                let (same, changed) = Self::sort(dropped, &recheck.held, destination);
                account.found(&changed);
                meetings = same;
            }
        }
        Ok(())
    }

    async fn first_pages(
        &self,
        meetings: &[ConfUuid],
        recheck: &Recheck,
        destination: &mut Destination,
    ) -> Result<HashMap<ConfUuid, FirstPage>> {
        let Destination::Dataset(dataset) = destination else {
            return Ok(HashMap::new());
        };
        let held = meetings.iter().filter_map(|meeting| {
            let held = recheck.held.get(meeting)?;
            Some((meeting.clone(), held.clone()))
        });
        let limit = usize::try_from(self.config.page_size.get()).unwrap_or(usize::MAX);
        dataset.first_pages(&held.collect(), limit).await
    }

    /// Sorts meetings of batches that were not committed into those that are held as before, and
    /// those that another run changed.
    fn sort(
        dropped: Vec<ConfUuid>,
        before: &HashMap<ConfUuid, CommittedMeeting>,
        destination: &Destination,
    ) -> (Vec<ConfUuid>, Vec<ConfUuid>) {
        let wanted: HashSet<_> = dropped.iter().collect();
        let held = destination.dataset();
        let held = held.map_or_else(HashMap::new, |dataset| dataset.committed(&wanted));
        let is_same = |meeting: &ConfUuid| held.get(meeting) == before.get(meeting);
        dropped.into_iter().partition(is_same)
    }

    /// Commits a batch in the place of what is held of its meetings; returns its meetings if another
    /// run changed some of them.
    pub(super) async fn replace(
        &self,
        dataset: &mut Dataset,
        account: &mut Account,
        mut batch: Batch,
        before: &HashMap<ConfUuid, CommittedMeeting>,
    ) -> Result<Vec<ConfUuid>> {
        let settled: Vec<_> = batch
            .meetings
            .iter()
            .map(|whole| whole.meeting.clone())
            .collect();
        let meetings = batch
            .meetings
            .iter()
            .map(report_builder::committed)
            .collect();
        let form = Form {
            parquet_encodings: Some(self.config.parquet_encodings),
            ..Form::as_it_is(self.config.format)
        };
        let replaced = dataset.replace(batch.parts.clone(), meetings, before, form);
        let Replacement::Done { sequence, kept } = replaced.await? else {
            return Ok(settled);
        };
        batch.parts.extend(kept);
        let committed = Event::Committed {
            sequence,
            parts: batch.parts.len() as u64,
            meetings: settled.len() as u64,
            records: batch.meetings.iter().map(|whole| whole.records).sum(),
            bytes: batch.parts.iter().map(|part| part.bytes).sum(),
        };
        self.client.settle(settled).await;
        account.committed(batch);
        (self.observer)(committed);
        Ok(Vec::new())
    }
}
