//! What lies in a dataset beside its parts and its ledger.
//!
//! Whatever a reader's glob may take for data makes a dataset unsound; anything else is only
//! told. Nothing is followed or opened: folders and links count by their names.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::Path;
use std::{fs, io};

use serde::Serialize;

use crate::dataset::ledger::{CHECKPOINTS, Ledger, Part};
use crate::dataset::store::Store;
use crate::dataset::writer::extension;
use crate::dataset::{REPLACED, RUNS, SET_ASIDE, STAGING, delta, is_ours, ledger, visible};
use crate::durable_fs;
use crate::error::{Error, Result};
use crate::record::partition;
use crate::record::table::{MEETINGS, Table};
use crate::values::{Compression, Format};

use super::Finding;

/// The folders whose names are looked at, beside the dataset's own.
const FOLDERS: [&str; 5] = ["_rollbook", ledger::FOLDER, CHECKPOINTS, RUNS, STAGING];

/// Every form that a part may have.
const KINDS: [(Format, Compression); 5] = [
    (Format::Parquet, Compression::None),
    (Format::Arrow, Compression::None),
    (Format::Ndjson, Compression::None),
    (Format::Ndjson, Compression::ZSTD),
    (Format::Ndjson, Compression::Gzip),
];

/// Something in a dataset that is not rollbook's and does no harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What it is called.
    pub path: String,
    /// What is to be said of it.
    pub what: String,
}

/// The names in a dataset's folders.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// In the dataset's own folder, in that of the meetings table, and in those of partitions.
    shown: Vec<OsString>,
    /// Of those in the dataset's own folder, the folders.
    folders: HashSet<OsString>,
    /// In `_rollbook` and its folders, those that are not rollbook's.
    inside: Vec<String>,
    set_aside: usize,
    replaced: usize,
}

/// What the names of the dataset's own folder mean.
pub(super) struct Strangers {
    /// Names of parts that no standing entry names, and of anything in their place.
    pub(super) unreferenced: Vec<OsString>,
    pub(super) findings: Vec<Finding>,
    pub(super) notes: Vec<Note>,
}

impl Names {
    /// Lists them.
    pub(super) async fn of(store: &Store) -> Result<Self> {
        if store.is_remote() {
            return Self::of_bucket(store).await;
        }
        let root = store.local("");
        let place = root.clone();
        durable_fs::blocking("read", &root, move || Self::read(&place)).await
    }

    /// A bucket has objects alone; what is in folders of others is theirs.
    async fn of_bucket(store: &Store) -> Result<Self> {
        let mut names = Self::default();
        let visible = visible(store).await?.into_keys();
        names.shown = visible.map(OsString::from).collect();
        names.shown.sort_unstable();
        for folder in FOLDERS {
            let objects = store.list(folder).await?.into_iter();
            let objects = objects.map(|object| (object.path, false));
            let folders = store.folders(folder).await?.into_iter();
            let folders = folders.map(|folder| (folder, true));
            let strange = |(path, is_folder): &(String, bool)| !is_ours(path, *is_folder);
            let strange = objects.chain(folders).filter(strange);
            names.inside.extend(strange.map(|(path, _)| path));
        }
        names.set_aside = store.list(SET_ASIDE).await?.len();
        names.replaced = store.list(REPLACED).await?.len();
        Ok(names)
    }

    fn read(root: &Path) -> Result<Self> {
        let mut names = Self::default();
        for (name, _) in list(root, "")? {
            // Links to folders count as such, as they do for readers.
            let is_seen = name.to_str().is_some_and(is_of_parts);
            if root.join(&name).is_dir() {
                names.folders.insert(name.clone());
                if is_seen {
                    let found = list(root, Path::new(&name))?.into_iter();
                    let place = |(file, _)| Path::new(&name).join(file).into_os_string();
                    names.shown.extend(found.map(place));
                }
            }
            names.shown.push(name);
        }
        for folder in FOLDERS {
            for (name, is_folder) in list(root, folder)? {
                let path = format!("{folder}/{}", name.to_string_lossy());
                if !is_ours(&path, is_folder) {
                    names.inside.push(path);
                }
            }
        }
        names.set_aside = list(root, SET_ASIDE)?.len();
        names.replaced = list(root, REPLACED)?.len();
        Ok(names)
    }

    /// Whether readers see something of this name.
    pub(super) fn shows(&self, path: &str) -> bool {
        self.shown.iter().any(|name| name == path)
    }

    /// Tells what is not as it should be from what only is there.
    pub(super) fn judge(self, ledger: &Ledger) -> Strangers {
        let paths = |part: &Part| OsString::from(&part.path);
        let standing: HashSet<_> = ledger
            .standing()
            .flat_map(|e| &e.parts)
            .map(paths)
            .collect();
        let void: HashSet<_> = ledger.void().flat_map(|e| &e.parts).map(paths).collect();
        let endings = endings(ledger);
        let mut entries = ledger.entries().iter();
        let has_meetings = entries.any(|entry| entry.parts_of(Table::Meetings).next().is_some());
        let mut entries = ledger.entries().iter();
        let is_partitioned = entries.any(|entry| entry.partitioning.is_some());
        // Where no part ever lay in such a folder, one of that name is somebody else's.
        let has_parts = |folder: &str| match folder {
            MEETINGS => has_meetings,
            folder => is_partitioned && partition::is_folder(folder),
        };
        let mut strangers = Strangers {
            unreferenced: vec![],
            findings: vec![],
            notes: vec![],
        };
        for name in self.shown {
            let path = name.to_string_lossy().into_owned();
            let (folder, file) = path.rsplit_once('/').unwrap_or(("", &path));
            let is_folder = has_parts(&path);
            let is_beyond = !folder.is_empty() && !has_parts(folder);
            if standing.contains(&name)
                || path == "_rollbook"
                || path == delta::FOLDER
                || is_beyond
                || is_folder && self.folders.contains(&name)
            {
                continue;
            }
            if void.contains(&name) {
                strangers.findings.push(Finding::Retracted { path });
            } else if file.starts_with("part-") || is_folder {
                strangers.unreferenced.push(name);
                strangers.findings.push(Finding::Unreferenced { path });
            } else if endings.iter().any(|ending| path.ends_with(ending)) {
                strangers.findings.push(Finding::Foreign { path });
            } else {
                strangers.notes.push(not_ours(path));
            }
        }
        strangers
            .notes
            .extend(self.inside.into_iter().map(not_ours));
        if self.set_aside > 0 {
            strangers.notes.push(Note {
                path: SET_ASIDE.to_owned(),
                what: format!("holds {} that a repair set aside", self.set_aside),
            });
        }
        if self.replaced > 0 {
            strangers.notes.push(Note {
                path: REPLACED.to_owned(),
                what: format!(
                    "holds {} that others replaced, or whose commits were dropped; a run removes \
                     them when their time is over or their meetings are there again",
                    self.replaced
                ),
            });
        }
        strangers
    }
}

fn not_ours(path: String) -> Note {
    Note {
        path,
        what: "is not rollbook's".to_owned(),
    }
}

/// How the names of the dataset's parts end; before the first part, how any may.
fn endings(ledger: &Ledger) -> HashSet<String> {
    let known: HashSet<_> = ledger
        .entries()
        .iter()
        .flat_map(|entry| &entry.parts)
        .filter_map(|part| part.path.split_once('.'))
        .map(|(_, extension)| format!(".{extension}"))
        .collect();
    if known.is_empty() {
        let any = KINDS.map(|(format, compression)| format!(".{}", extension(format, compression)));
        return any.into();
    }
    known
}

/// Whether parts may lie in a folder of this name.
fn is_of_parts(name: &str) -> bool {
    name == MEETINGS || partition::is_folder(name)
}

/// The names in a folder, and which of them are folders.
fn list(root: &Path, folder: impl AsRef<Path>) -> Result<Vec<(OsString, bool)>> {
    let path = root.join(folder);
    let listing = match fs::read_dir(&path) {
        Ok(listing) => listing,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(vec![]);
        }
        Err(error) => return Err(Error::file("read", &path)(error)),
    };
    let mut names = listing
        .map(|entry| {
            let entry = entry.map_err(Error::file("read", &path))?;
            let kind = entry.file_type().map_err(Error::file("read", &path))?;
            Ok((entry.file_name(), kind.is_dir()))
        })
        .collect::<Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}
