//! How a run gets into a dataset, and repairs it on its way.
//!
//! Nobody clears up after a run between its coming and its being seen: a gate on this machine, and
//! in a bucket a sign of life, come first. The ledger is read after that.

use std::collections::HashSet;

use super::ledger;
use super::ledger::{Ledger, checkpoint};
use super::store::Store;
use super::writer::extension;
use crate::config::location::Place;
use crate::durable_fs;
use crate::error::{Error, Result};
use crate::failpoint::{Point, point};
use crate::record::DatasetSalt;
use crate::values::{Compression, Format};

use super::layout::{HOME, PROBE, RUNS, STAGING};
use super::lease::{Pulse, Trace};
use super::staging_lock::{Gate, Staging};
use super::{Dataset, Recovery, visible};

impl Dataset {
    /// Opens a dataset for a run, makes it if it does not exist, and repairs it where an earlier
    /// run was cut off.
    ///
    /// # Errors
    ///
    /// A dataset of another format or of a newer rollbook, a ledger with holes, parts that no
    /// ledger knows, a run of the same name.
    pub async fn open(
        dest: impl Into<Place>,
        run_id: &str,
        format: Format,
        compression: Compression,
    ) -> Result<Self> {
        plain_run_id(run_id)?;
        let store = Store::create_at(&dest.into()).await?;
        Self::open_on(store, run_id, format, compression).await
    }

    /// Opens a dataset as [`Dataset::open`] does, unless another run is at work on it. Of two that
    /// do so at the same moment, one gets it; of two on different machines, in a bucket, one or
    /// none.
    ///
    /// # Errors
    ///
    /// Those of [`Dataset::open`]; [`Error::Busy`] names the runs.
    pub async fn open_alone(
        dest: impl Into<Place>,
        run_id: &str,
        format: Format,
        compression: Compression,
    ) -> Result<Self> {
        plain_run_id(run_id)?;
        let store = Store::create_at(&dest.into()).await?;
        Self::enter(store, run_id, format, compression, true).await
    }

    /// Opens the dataset on a store, as [`Dataset::open`] does at a destination.
    pub(crate) async fn open_on(
        store: Store,
        run_id: &str,
        format: Format,
        compression: Compression,
    ) -> Result<Self> {
        Self::enter(store, run_id, format, compression, false).await
    }

    pub(super) async fn enter(
        store: Store,
        run_id: &str,
        format: Format,
        compression: Compression,
        is_alone: bool,
    ) -> Result<Self> {
        let (mut dataset, arrival) = Self::arrive(store, run_id, DatasetSalt::random()?).await?;
        let form = (format, compression);
        match dataset.settle(arrival, form, is_alone).await {
            Ok(()) => Ok(dataset),
            Err(error) => {
                dataset.abandon().await;
                Err(error)
            }
        }
    }

    /// A dataset that no run has opened yet, and the salt for one that has none.
    pub(super) fn on(store: Store, run_id: &str, salt: DatasetSalt) -> Self {
        Self {
            staging_path: store.local(STAGING).join(run_id),
            store,
            ledger: Ledger::default(),
            run_id: run_id.to_owned(),
            staging: None,
            pulse: None,
            recovery: Recovery::default(),
            checkpoint_faults: Vec::new(),
            beside: Vec::new(),
            asked: None,
            salt,
            delta: None,
            partitioning: None,
            is_published: true,
            few_entries: checkpoint::FEW,
            rewritten: 0,
        }
    }

    /// Shows a run to the others, and looks who they are.
    async fn arrive(store: Store, run_id: &str, salt: DatasetSalt) -> Result<(Self, Arrival)> {
        let mut dataset = Self::on(store, run_id, salt);
        let store = &dataset.store;
        let root = store.local("");
        let (place, own, is_remote) = (root.clone(), run_id.to_owned(), store.is_remote());
        let origin = store.origin();
        let (gate, (abandoned, mut beside), staging) =
            durable_fs::blocking("open", &root, move || {
                let folders = [STAGING, ledger::FOLDER, RUNS];
                // Of a bucket, this machine has what is not uploaded yet, and the locks.
                for folder in folders.iter().take(if is_remote { 1 } else { 3 }) {
                    durable_fs::create(&place.join(folder))?;
                }
                point(Point::DatasetMade);
                let gate = Gate::enter(&place, origin)?;
                let found = Staging::sort(&place, &gate)?;
                // Whoever finds this run's sign of life in the bucket knows then whether it lives.
                let staging = is_remote
                    .then(|| Staging::create(place.join(STAGING).join(own), &gate))
                    .transpose()?;
                Ok((gate, found, staging))
            })
            .await?;
        let mut left = Vec::new();
        if is_remote {
            let dead: Vec<_> = abandoned.iter().map(Staging::run_id).collect();
            let (begun, others) = Pulse::begin(store, run_id, &dead).await?;
            dataset.pulse = Some(begun);
            left = others.abandoned;
            beside.extend(others.live);
            beside.sort_unstable();
            beside.dedup();
        }
        dataset.beside = beside;
        let arrival = Arrival {
            gate,
            abandoned,
            left,
            staging,
        };
        Ok((dataset, arrival))
    }

    /// Reads the ledger, and repairs what runs before left.
    async fn settle(
        &mut self,
        arrival: Arrival,
        (format, compression): (Format, Compression),
        is_alone: bool,
    ) -> Result<()> {
        let Arrival {
            gate,
            abandoned,
            left,
            staging,
        } = arrival;
        // Nobody joins them before this one gives the gate back.
        if is_alone && !self.beside.is_empty() {
            if let Some(pulse) = self.pulse.take() {
                pulse.end(&self.store).await?;
            }
            if let Some(staging) = staging {
                staging.remove(&gate)?;
            }
            let runs = std::mem::take(&mut self.beside);
            return Err(Error::Busy { runs });
        }
        self.store.probe(&format!("{PROBE}{}", self.run_id)).await?;
        if let Some(other) = self.beside.first().filter(|_| self.is_single_writer()) {
            return Err(self.is_not_alone(other));
        }
        let dead = abandoned.iter().map(Staging::run_id);
        let dead = dead.chain(left.iter().map(|trace| trace.run_id.clone()));
        clear_probes(&self.store, &self.beside, &dead.collect()).await?;
        self.settle_salt().await?;
        let visible = visible(&self.store).await?;
        // Read after the locks of the dead were had: nothing they committed can be missed.
        self.ledger = Ledger::read(&self.store).await?;
        self.partitioning = self.ledger.partitioning();
        let fault = self.ledger.checkpoint_fault.take();
        self.checkpoint_faults.extend(fault);
        self.refuse_other_formats(extension(format, compression))?;
        self.room_for_tables().await?;
        let restorable = self.recover(&visible).await?;
        let path = self.staging_path.clone();
        let mut cleared: HashSet<_> = abandoned.iter().map(Staging::run_id).collect();
        for trace in left {
            cleared.insert(trace.run_id.clone());
            trace.clear(&self.store).await?;
            point(Point::Cleared);
        }
        self.recovery.cleared = cleared.len() as u64;
        let root = self.store.local("");
        let staging = durable_fs::blocking("create", &root, move || {
            let mut abandoned = abandoned.into_iter();
            abandoned.try_for_each(|staging| {
                staging.remove(&gate)?;
                point(Point::Cleared);
                Ok(())
            })?;
            let staging = match staging {
                Some(staging) => staging,
                None => Staging::create(path, &gate)?,
            };
            point(Point::StagingMade);
            Ok(staging)
        })
        .await?;
        self.staging = Some(staging);
        self.restore(&restorable, format).await?;
        // Last, so that no version of the table names a part that is lost.
        self.open_table().await
    }

    pub(super) fn is_not_alone(&self, other: &str) -> Error {
        Error::Dataset {
            path: self.store.shown(""),
            reason: format!(
                "run {other} goes on here, and this store would not notice if both wrote the \
                 same ledger entry; wait until it has ended"
            ),
        }
    }
}

/// A run that has come, with the gate in its hand.
struct Arrival {
    gate: Gate,
    /// What runs of this machine left, and runs in the bucket.
    abandoned: Vec<Staging>,
    left: Vec<Trace>,
    /// In a bucket, what shows this machine's others that the run lives.
    staging: Option<Staging>,
}

/// Removes what runs that were cut off while they tried out the store left. In a bucket one that
/// is not known may have begun just now: without its probe it would take the store for one that
/// puts an entry twice.
async fn clear_probes(store: &Store, live: &[String], dead: &HashSet<String>) -> Result<()> {
    for object in store.list(HOME).await? {
        let Some(run) = object.path.strip_prefix(PROBE) else {
            continue;
        };
        let is_over = if store.is_remote() {
            dead.contains(run)
        } else {
            !live.iter().any(|live| live == run)
        };
        if is_over {
            store.remove(&object.path).await?;
        }
    }
    Ok(())
}

/// A run's name is a folder's.
pub(super) fn plain_run_id(run_id: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if run_id.is_empty() || run_id.len() > 128 || !run_id.bytes().all(plain) {
        return Err(Error::Config(format!(
            "run id {run_id:?}: expected letters, digits, dashes"
        )));
    }
    Ok(())
}
