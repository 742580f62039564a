//! How a run gets into a dataset, and repairs it on its way.
//!
//! Nobody clears up after a run between its coming and its being seen: a gate on this machine, and
//! in a bucket a sign of life, come first. The ledger is read after that.

use std::collections::HashSet;

use crate::compression::Compression;
use crate::config::Format;
use crate::crash::{Point, point};
use crate::error::{Error, Result};
use crate::folder;
use crate::ledger::checkpoint;
use crate::ledger::{self, Ledger};
use crate::place::Place;
use crate::store::Store;
use crate::writer::extension;

use super::layout::{HOME, PROBE, RUNS, STAGING};
use super::pulse::Pulse;
use super::staging::{Gate, Staging};
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
        mut store: Store,
        run_id: &str,
        format: Format,
        compression: Compression,
        is_alone: bool,
    ) -> Result<Self> {
        let root = store.local("");
        let (place, own, is_remote) = (root.clone(), run_id.to_owned(), store.is_remote());
        let (gate, (abandoned, mut beside), mut staging) =
            folder::blocking("open", &root, move || {
                let folders = [STAGING, ledger::FOLDER, RUNS];
                // Of a bucket, this machine has what is not uploaded yet, and the locks.
                for folder in folders.iter().take(if is_remote { 1 } else { 3 }) {
                    folder::create(&place.join(folder))?;
                }
                point(Point::DatasetMade);
                let gate = Gate::enter(&place)?;
                let found = Staging::sort(&place, &gate)?;
                // Whoever finds this run's sign of life in the bucket knows then whether it lives.
                let staging = is_remote
                    .then(|| Staging::create(place.join(STAGING).join(own), &gate))
                    .transpose()?;
                Ok((gate, found, staging))
            })
            .await?;
        let (mut pulse, mut left) = (None, Vec::new());
        if is_remote {
            let dead: Vec<_> = abandoned.iter().map(Staging::run_id).collect();
            let (begun, others) = Pulse::begin(&store, run_id, &dead).await?;
            pulse = Some(begun);
            left = others.abandoned;
            beside.extend(others.live);
            beside.sort_unstable();
            beside.dedup();
        }
        // Nobody joins them before this one gives the gate back.
        if is_alone && !beside.is_empty() {
            if let Some(pulse) = pulse {
                pulse.end(&store).await?;
            }
            if let Some(staging) = staging {
                staging.remove(&gate)?;
            }
            return Err(Error::Busy { runs: beside });
        }
        store.probe(&format!("{PROBE}{run_id}")).await?;
        if let Some(other) = beside.first().filter(|_| store.is_single_writer()) {
            return Err(Error::Dataset {
                path: store.shown(""),
                reason: format!(
                    "run {other} goes on here, and this store would not notice if both wrote the \
                     same ledger entry; wait until it has ended"
                ),
            });
        }
        let dead = abandoned.iter().map(Staging::run_id);
        let dead = dead.chain(left.iter().map(|trace| trace.run_id.clone()));
        clear_probes(&store, &beside, &dead.collect()).await?;
        let visible = visible(&store).await?;
        // Read after the locks of the dead were had: nothing they committed can be missed.
        let ledger = Ledger::read(&store).await?;
        let mut dataset = Self {
            partitioning: ledger.last_standing().and_then(|last| last.partitioning),
            store,
            ledger,
            run_id: run_id.to_owned(),
            staging: None,
            staging_path: root.join(STAGING).join(run_id),
            pulse,
            recovery: Recovery::default(),
            beside,
            asked: None,
            delta: None,
            is_published: true,
            few_entries: checkpoint::FEW,
        };
        dataset.refuse_other_formats(extension(format, compression))?;
        dataset.room_for_tables().await?;
        let restorable = dataset.recover(&visible).await?;
        let path = dataset.staging_path.clone();
        let mut cleared: HashSet<_> = abandoned.iter().map(Staging::run_id).collect();
        for trace in left {
            cleared.insert(trace.run_id.clone());
            trace.clear(&dataset.store).await?;
            point(Point::Cleared);
        }
        dataset.recovery.cleared = cleared.len() as u64;
        let staging = folder::blocking("create", &root, move || {
            let mut abandoned = abandoned.into_iter();
            abandoned.try_for_each(|staging| {
                staging.remove(&gate)?;
                point(Point::Cleared);
                Ok(())
            })?;
            let staging = match staging.take() {
                Some(staging) => staging,
                None => Staging::create(path, &gate)?,
            };
            point(Point::StagingMade);
            Ok(staging)
        })
        .await?;
        dataset.staging = Some(staging);
        dataset.restore(&restorable, format).await?;
        // Last, so that no version of the table names a part that is lost.
        dataset.open_table().await?;
        Ok(dataset)
    }
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
