//! A dataset that one repair has for itself.
//!
//! While it is held, no run goes on and none begins: what the ledger says and what lies there do
//! not change under the repair's hands. It decides nothing: what is damaged, it is told.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Serialize;

use super::delta;
use super::delta::DeltaLog;
use super::ledger::Ledger;
use super::store::Store;
use crate::durable_fs;
use crate::error::{Error, Result};
use crate::record::DatasetSalt;
use crate::record::table::SchemaVersions;
use crate::values::new_run_id;

use super::layout::{PROBE, SET_ASIDE, STAGING};
use super::lease::Pulse;
use super::rewrite::form_of;
use super::staging_lock::{Gate, Staging};
use super::status::must_be_dataset;
use super::{Dataset, Recovery, visible};

/// A dataset, closed to all others until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    store: Store,
    gate: Gate,
    _abandoned: Vec<Staging>,
    /// In a bucket, what shows the repair to others.
    staging: Option<Staging>,
    pulse: Option<Pulse>,
}

/// Something that was moved out of the readers' sight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetAside {
    /// What it was called.
    pub path: String,
    /// What it is called now.
    pub to: String,
}

impl Held {
    /// Closes a dataset; waits while others come and go.
    ///
    /// # Errors
    ///
    /// No dataset there, or a run that goes on.
    pub(crate) async fn open(mut store: Store, dest: &str) -> Result<Self> {
        must_be_dataset(&store, dest).await?;
        let root = store.local("");
        let (place, is_remote, origin) = (root.clone(), store.is_remote(), store.origin());
        let name = format!("repair-{}", new_run_id());
        let own = name.clone();
        let (gate, abandoned, mut live, staging) = durable_fs::blocking("open", &root, move || {
            if is_remote {
                durable_fs::create(&place.join(STAGING))?;
            }
            let gate = Gate::enter(&place, origin)?;
            let (abandoned, live) = Staging::sort(&place, &gate)?;
            let folder = place.join(STAGING).join(own);
            let staging = is_remote.then(|| Staging::create(folder, &gate));
            Ok((gate, abandoned, live, staging.transpose()?))
        })
        .await?;
        let mut pulse = None;
        if is_remote {
            let dead: Vec<_> = abandoned.iter().map(Staging::run_id).collect();
            let (begun, others) = Pulse::begin(&store, &name, &dead).await?;
            pulse = Some(begun);
            live.extend(others.live);
        }
        // Its entries, too, must be seen to be put once.
        let probed = store.probe(&format!("{PROBE}{name}")).await;
        let held = Self {
            store,
            gate,
            _abandoned: abandoned,
            staging,
            pulse,
        };
        if let Err(error) = probed {
            drop(held.release().await);
            return Err(error);
        }
        if let Some(run) = live.first() {
            let reason = format!(
                "run {run} goes on in this dataset; let it end, or stop it, and repair then"
            );
            held.release().await?;
            let path = dest.to_owned();
            return Err(Error::Dataset { path, reason });
        }
        Ok(held)
    }

    /// Opens the dataset to others again.
    pub(crate) async fn release(self) -> Result<()> {
        if let Some(pulse) = self.pulse {
            pulse.end(&self.store).await?;
        }
        self.staging
            .map_or(Ok(()), |staging| staging.remove(&self.gate))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Publishes what is sound, retracts these commits and removes their parts. Things with these
    /// names, of which no entry knows, leave before that: a later run must not meet them.
    pub(crate) async fn mend(
        &self,
        run_id: &str,
        ledger: Ledger,
        damaged: BTreeSet<u64>,
        unreferenced: Vec<OsString>,
    ) -> Result<(Recovery, Vec<SetAside>)> {
        let mut dataset = Dataset {
            partitioning: ledger.partitioning(),
            ledger,
            ..Dataset::on(self.store.clone(), run_id, DatasetSalt::random()?)
        };
        // First of all: one may stand in the place of a folder that a part is to be moved to.
        let mut moved = self.set_aside(unreferenced).await?;
        let (mut restorable, mut lost) = (Vec::new(), Vec::new());
        for &sequence in &damaged {
            let entry = dataset.ledger.entry(sequence).cloned();
            match entry {
                Some(entry) if dataset.can_be_restored(&entry).await? => restorable.push(sequence),
                _ => lost.push(sequence),
            }
        }
        let there = visible(&self.store).await?;
        dataset.remove_void(&there, &restorable).await?;
        dataset.publish_staged(&damaged).await?;
        dataset.retract(lost).await?;
        if !restorable.is_empty() {
            let staging = Staging::create(dataset.staging_path.clone(), &self.gate)?;
            let restored = match form_of(&dataset.ledger) {
                Some((format, _)) => dataset.restore(&restorable, format).await,
                None => Ok(()),
            };
            staging.remove(&self.gate)?;
            restored?;
        }
        let there = visible(&self.store).await?;
        dataset.remove_void(&there, &[]).await?;
        // A folder or a dead link in the place of a part is no object of the store.
        let void = dataset.ledger.void().flat_map(|entry| &entry.parts);
        let void = void.map(|part| OsString::from(&part.path)).collect();
        moved.extend(self.set_aside(void).await?);
        dataset.remove_emptied().await?;
        Ok((dataset.recovery, moved))
    }

    /// Makes the Delta log what the ledger says, where there is one; says whether it had to. One
    /// that cannot be mended moves aside, and another takes its place.
    pub(crate) async fn mend_table(&self) -> Result<(bool, Vec<SetAside>)> {
        if !delta::is_table(&self.store).await? {
            return Ok((false, Vec::new()));
        }
        let ledger = Ledger::read_entries(&self.store, SchemaVersions::KNOWN).await?;
        match self.level(&ledger).await {
            Err(Error::Dataset { .. }) => {}
            done => return Ok((done?, Vec::new())),
        }
        let names: Vec<OsString> = if self.store.is_remote() {
            let objects = self.store.list(delta::FOLDER).await?.into_iter();
            objects.map(|object| object.path.into()).collect()
        } else {
            vec![delta::FOLDER.into()]
        };
        let moved = self.set_aside(names).await?;
        DeltaLog::create(&self.store, &ledger, ledger.partitioning()).await?;
        Ok((true, moved))
    }

    /// Rolls the log forward, and makes good what is not as the ledger says.
    async fn level(&self, ledger: &Ledger) -> Result<bool> {
        let Some(mut log) = DeltaLog::open(&self.store, ledger).await? else {
            return Ok(false);
        };
        let before = log.sequence();
        let behind = ledger.entries().iter();
        for entry in behind.filter(|entry| entry.sequence > before) {
            log.project(ledger, entry).await?;
        }
        Ok(log.mend(ledger).await? || log.sequence() > before)
    }

    /// Moves those of these that are there out of the readers' sight.
    async fn set_aside(&self, names: Vec<OsString>) -> Result<Vec<SetAside>> {
        if self.store.is_remote() {
            return self.set_objects_aside(names).await;
        }
        let root = self.store.local("");
        let place = root.clone();
        durable_fs::blocking("rename", &root, move || {
            let is_there = |name: &&OsString| fs::symlink_metadata(place.join(name)).is_ok();
            let there = names.iter().filter(is_there);
            there.map(|name| set_aside(&place, name)).collect()
        })
        .await
    }

    async fn set_objects_aside(&self, names: Vec<OsString>) -> Result<Vec<SetAside>> {
        let mut moved = Vec::new();
        for name in names {
            let path = name.to_string_lossy().into_owned();
            let Some(bytes) = self.store.size(&path).await? else {
                continue;
            };
            let flat = format!("{SET_ASIDE}/{}", path.replace('/', "-"));
            let (mut to, mut number) = (flat.clone(), 0_u32);
            while self.store.size(&to).await?.is_some() {
                number += 1;
                to = format!("{flat}.{number}");
            }
            if self.store.publish(&path, &to, bytes).await? {
                moved.push(SetAside { path, to });
            }
        }
        Ok(moved)
    }
}

/// Moves something out of the dataset's folder, under a name that is free.
fn set_aside(root: &Path, name: &OsStr) -> Result<SetAside> {
    let folder = root.join(SET_ASIDE);
    durable_fs::create(&folder)?;
    let from = root.join(name);
    // The name tells what it was: `meetings-part-...` lay in the folder `meetings`.
    let mut flat = OsString::new();
    for piece in Path::new(name) {
        if !flat.is_empty() {
            flat.push("-");
        }
        flat.push(piece);
    }
    let to = free_name(&folder, &flat)?;
    fs::rename(&from, &to).map_err(Error::file("rename", &from))?;
    durable_fs::sync(&folder)?;
    durable_fs::sync(from.parent().unwrap_or(root))?;
    let to = to.file_name().unwrap_or(name);
    Ok(SetAside {
        path: name.to_string_lossy().into_owned(),
        to: format!("{SET_ASIDE}/{}", to.to_string_lossy()),
    })
}

/// The name, or with a number behind it where that is taken.
fn free_name(folder: &Path, name: &OsStr) -> Result<PathBuf> {
    let mut number = 0_u32;
    loop {
        let mut free = name.to_owned();
        if number > 0 {
            free.push(format!(".{number}"));
        }
        let path = folder.join(free);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
            Err(error) => return Err(Error::file("read", &path)(error)),
            Ok(_) => number += 1,
        }
    }
}
