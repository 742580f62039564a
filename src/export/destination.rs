//! Where a run writes, and whether it may begin while another one is at work there.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::{Config, location};
use crate::dataset::Dataset;
use crate::dataset::ledger::Asked;
use crate::dataset::store::unsynced_by_run;
use crate::durable_fs;
use crate::error::{Error, Result};
use crate::fetch::spool::Question;
use crate::record::DatasetSalt;
use crate::record::pii::Pii;
use crate::report::{Event, Observer};
use crate::values::{ConfUuid, IfRunning};

/// Between two looks at whether the others have ended.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The same where a look costs requests; and up to as much again, so that two that wait do not
/// step back from each other for ever.
const LOOK_FAR_EVERY: Duration = Duration::from_secs(5);

/// Where a run writes.
pub(super) enum Destination {
    Dataset(Box<Dataset>),
    /// Taken by the one sink that writes to it.
    Pipe(Option<Box<dyn Write + Send>>),
}

impl Destination {
    /// The question that pages of the spool answer; a pipe has no spool.
    pub(super) fn question(
        &self,
        config: &Config,
        pii: Option<&Pii>,
        who: Option<[&str; 3]>,
    ) -> Result<Option<Question>> {
        let Some(dataset) = self.dataset() else {
            return Ok(None);
        };
        let salt = dataset.salt();
        let asked = Asked::of(config, pii, salt);
        let of = (dataset.place(), config.base_url.as_str(), asked, who);
        Question::new(salt, &of).map(Some)
    }

    /// The salt of the dataset; a pipe leaves nothing that a later run could compare, so that a
    /// new one serves.
    pub(super) fn salt(&self) -> Result<DatasetSalt> {
        match self {
            Self::Dataset(dataset) => Ok(dataset.salt().clone()),
            Self::Pipe(_) => DatasetSalt::random(),
        }
    }

    pub(super) fn dataset(&self) -> Option<&Dataset> {
        match self {
            Self::Dataset(dataset) => Some(dataset),
            Self::Pipe(_) => None,
        }
    }

    /// Ends a run that has nothing to report, since it failed.
    pub(super) async fn abandon(&mut self) {
        if let Self::Dataset(dataset) = self {
            dataset.abandon().await;
        }
    }

    /// Tells who else is at work on it, and what was not as it should be.
    pub(super) fn tell_of_opening(&mut self, observer: &Observer) {
        if !self.beside().is_empty() {
            let runs = self.beside().to_vec();
            (observer)(Event::Beside { runs });
        }
        self.tell_of_checkpoints(observer);
    }

    /// Tells what went wrong with checkpoints of the ledger since it was told last.
    pub(super) fn tell_of_checkpoints(&mut self, observer: &Observer) {
        if let Self::Dataset(dataset) = self {
            for cause in dataset.checkpoint_faults() {
                (observer)(Event::CheckpointsLost { cause });
            }
        }
    }

    /// Runs that were at work on it when this one began.
    pub(super) fn beside(&self) -> &[String] {
        self.dataset().map_or(&[], Dataset::beside)
    }

    pub(super) fn is_purged(&self, meeting: &ConfUuid) -> bool {
        let dataset = self.dataset();
        dataset.is_some_and(|dataset| dataset.is_purged(meeting))
    }

    pub(super) fn holds(&self, meeting: &ConfUuid) -> bool {
        match self {
            Self::Dataset(dataset) => dataset.holds(meeting),
            Self::Pipe(_) => false,
        }
    }

    pub(super) fn is_single_writer(&self) -> bool {
        matches!(self, Self::Dataset(dataset) if dataset.is_single_writer())
    }

    /// Reports the safeguards that the destination lacks.
    pub(super) fn announce(&self, observer: &Observer) {
        let Self::Dataset(dataset) = self else {
            return;
        };
        if dataset.is_single_writer() {
            (observer)(Event::SingleWriter);
        }
    }
}

/// What came of opening the destination.
pub(super) enum Opening {
    Open(Destination),
    /// These runs are at work on it, and this one was not to begin, or was stopped first.
    Taken(Vec<String>),
}

/// Opens the destination, as soon as the settings permit it.
pub(super) async fn open(
    config: &Config,
    run_id: &str,
    pipe: Option<Box<dyn Write + Send>>,
    pii: Option<&Pii>,
    observer: &Observer,
    stop: &CancellationToken,
) -> Result<Opening> {
    if pipe.is_some() {
        return Ok(Opening::Open(Destination::Pipe(pipe)));
    }
    let Some(out) = config
        .out
        .as_deref()
        .filter(|out| !out.is_empty() && *out != "-")
    else {
        return Err(Error::Config("out: no destination".to_owned()));
    };
    let mut is_waiting = false;
    let is_remote = location::is_remote(out);
    let mut dataset = loop {
        let (format, compression) = (config.format, config.compression());
        let place = config.place(out);
        let opened = match config.if_running {
            IfRunning::Proceed => Dataset::open(place, run_id, format, compression).await,
            IfRunning::Skip | IfRunning::Wait => {
                Dataset::open_alone(place, run_id, format, compression).await
            }
        };
        let runs = match opened {
            Err(Error::Busy { runs }) => runs,
            opened => break opened?,
        };
        if config.if_running == IfRunning::Skip {
            (observer)(Event::Skipped { runs: runs.clone() });
            return Ok(Opening::Taken(runs));
        }
        if !std::mem::replace(&mut is_waiting, true) {
            (observer)(Event::Waiting { runs: runs.clone() });
        }
        let pause = if is_remote {
            LOOK_FAR_EVERY.mul_f64(1. + fastrand::f64())
        } else {
            LOOK_EVERY
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(Opening::Taken(runs)),
            () = tokio::time::sleep(pause) => {}
        }
    };
    let ready = match agree(&mut dataset, config, pii).await {
        Ok(()) => warn_of_unsynced(config, out, observer).await,
        Err(error) => Err(error),
    };
    match ready {
        Ok(()) => Ok(Opening::Open(Destination::Dataset(Box::new(dataset)))),
        Err(error) => {
            dataset.abandon().await;
            Err(error)
        }
    }
}

/// Reports folders of this machine that the run writes to and that cannot be synced.
async fn warn_of_unsynced(config: &Config, out: &str, observer: &Observer) -> Result<()> {
    let (place, keeps_pages) = (config.place(out), config.keeps_pages());
    let look = move || unsynced_by_run(&place, keeps_pages);
    if let Some(folders) = durable_fs::blocking("sync", Path::new(out), look).await? {
        (observer)(Event::Unsynced { folders });
    }
    Ok(())
}

/// Makes sure that what the run brings is like what is there.
async fn agree(dataset: &mut Dataset, config: &Config, pii: Option<&Pii>) -> Result<()> {
    dataset.ask(Asked::of(config, pii, dataset.salt()))?;
    if let Some(by) = config.partition_by {
        dataset.partition(by, config.timezone)?;
    }
    dataset.become_table(config.table).await?;
    if config.with_meetings {
        dataset.room_for_meetings().await?;
    }
    Ok(())
}
