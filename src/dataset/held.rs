//! A dataset that one repair has for itself.
//!
//! While it is held, no run goes on and none begins: what the ledger says and what lies there do
//! not change under the repair's hands. It decides nothing: what is damaged, it is told.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::folder;
use crate::ledger::{Ledger, checkpoint};
use crate::store::Store;

use super::layout::{SET_ASIDE, STAGING};
use super::staging::{Gate, Staging};
use super::status::must_be_dataset;
use super::{Dataset, Recovery, visible};

/// A dataset, closed to all others until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    store: Store,
    _gate: Gate,
    _abandoned: Vec<Staging>,
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
    pub(crate) async fn open(store: Store, dest: &str) -> Result<Self> {
        must_be_dataset(&store, dest)?;
        let root = store.local("");
        let place = root.clone();
        let (gate, abandoned, live) = folder::blocking("open", &root, move || {
            let gate = Gate::enter(&place)?;
            let (abandoned, live) = Staging::sort(&place, &gate)?;
            Ok((gate, abandoned, live))
        })
        .await?;
        if let Some(run) = live.first() {
            return Err(Error::Dataset {
                path: dest.to_owned(),
                reason: format!(
                    "run {run} goes on in this dataset; let it end, or stop it, and repair then"
                ),
            });
        }
        Ok(Self {
            store,
            _gate: gate,
            _abandoned: abandoned,
        })
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
            store: self.store.clone(),
            ledger,
            run_id: run_id.to_owned(),
            staging: None,
            staging_path: self.store.local(STAGING).join(run_id),
            recovery: Recovery::default(),
            beside: Vec::new(),
            asked: None,
            is_published: true,
            few_entries: checkpoint::FEW,
        };
        // First of all: one may stand in the place of a folder that a part is to be moved to.
        let mut moved = self.set_aside(unreferenced).await?;
        dataset.remove_void(&visible(&self.store).await?).await?;
        dataset.publish_staged(&damaged).await?;
        dataset.retract(damaged.into_iter().collect()).await?;
        dataset.remove_void(&visible(&self.store).await?).await?;
        // A folder or a dead link in the place of a part is no object of the store.
        let void = dataset.ledger.void().flat_map(|entry| &entry.parts);
        let void = void.map(|part| OsString::from(&part.path)).collect();
        moved.extend(self.set_aside(void).await?);
        Ok((dataset.recovery, moved))
    }

    /// Moves those of these that are there out of the readers' sight.
    async fn set_aside(&self, names: Vec<OsString>) -> Result<Vec<SetAside>> {
        let root = self.store.local("");
        let place = root.clone();
        folder::blocking("rename", &root, move || {
            let is_there = |name: &&OsString| fs::symlink_metadata(place.join(name)).is_ok();
            let there = names.iter().filter(is_there);
            there.map(|name| set_aside(&place, name)).collect()
        })
        .await
    }
}

/// Moves something out of the dataset's folder, under a name that is free.
fn set_aside(root: &Path, name: &OsStr) -> Result<SetAside> {
    let folder = root.join(SET_ASIDE);
    folder::create(&folder)?;
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
    folder::sync(&folder)?;
    folder::sync(from.parent().unwrap_or(root))?;
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
