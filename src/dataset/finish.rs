//! How a run leaves a dataset.

use std::collections::HashMap;

use bytes::Bytes;

use super::ledger::Entry;
use crate::durable_fs;
use crate::error::{Error, Result};
use crate::failpoint::{Point, point};
use crate::report::Report;

use super::Dataset;
use super::layout::report_path;
use super::staging_lock::Gate;

impl Dataset {
    /// Ends the run: sums up the ledger where it has grown, writes the report and removes the
    /// staging folder.
    ///
    /// # Errors
    ///
    /// Those of the store. What was committed stays so.
    pub async fn finish(&mut self, report: &Report) -> Result<()> {
        let done = self.report(report).await;
        if done.is_err() {
            self.abandon().await;
        }
        done
    }

    async fn report(&mut self, report: &Report) -> Result<()> {
        if !self.is_published {
            let ours = |entry: &&Entry| entry.run_id == self.run_id;
            let entries: Vec<_> = self.ledger.standing().filter(ours).cloned().collect();
            for entry in &entries {
                self.publish(entry).await?;
            }
        }
        let is_dropped = |entry: &Entry| self.ledger.rewrite_of(entry.sequence).is_none();
        if self.ledger.void().any(is_dropped) {
            // What is kept of a commit that was dropped may be there again now.
            self.remove_void(&HashMap::new(), &[]).await?;
        }
        self.project_at_last().await?;
        self.sum_up().await;
        let path = report_path(&self.run_id);
        let mut text = serde_json::to_vec_pretty(report).map_err(|error| Error::Encode {
            format: "a report",
            source: error.into(),
        })?;
        text.push(b'\n');
        let text = Bytes::from(text);
        point(Point::ReportReady);
        if !self.store.create(&path, text.clone()).await?
            && self.store.read(&path).await? != Some(text)
        {
            return Err(Error::Dataset {
                path,
                reason: "another run of this name has reported".to_owned(),
            });
        }
        point(Point::ReportPut);
        self.leave().await?;
        point(Point::StagingRemoved);
        Ok(())
    }

    /// Ends a run that has nothing to report, as it went.
    pub(crate) async fn end<T>(&mut self, went: Result<T>) -> Result<T> {
        let done = match went {
            Ok(done) => self.close().await.map(|()| done),
            failed => failed,
        };
        if done.is_err() {
            self.abandon().await;
        }
        done
    }

    async fn close(&mut self) -> Result<()> {
        self.project_at_last().await?;
        self.sum_up().await;
        self.leave().await
    }

    /// Sums up the ledger where it has grown. A checkpoint that cannot be written fails no run.
    async fn sum_up(&mut self) {
        let summed_up = self.ledger.sum_up(&self.store, self.few_entries).await;
        self.checkpoint_faults.extend(summed_up.err());
    }

    /// Ends a run that failed: it does not look alive any more. What it staged may be committed, and
    /// stays for the next opening.
    pub(crate) async fn abandon(&mut self) {
        if let Some(pulse) = self.pulse.take() {
            // One that cannot be removed fades.
            drop(pulse.stop(&self.store).await);
        }
    }

    /// Ends a run that has nothing to report.
    pub(crate) async fn leave(&mut self) -> Result<()> {
        if let Some(pulse) = self.pulse.take() {
            pulse.end(&self.store).await?;
        }
        if let Some(staging) = self.staging.take() {
            let (root, origin) = (self.store.local(""), self.store.origin());
            durable_fs::blocking("remove", &self.staging_path, move || {
                staging.remove(&Gate::enter(&root, origin)?)
            })
            .await?;
        }
        Ok(())
    }
}
