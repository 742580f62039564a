//! What opening a dataset repairs.
//!
//! The ledger says what should be there. A part that is not, but lies in staging, is published; a
//! part that is lost takes its whole commit with it, so that the commit's meetings are fetched
//! again. Leftovers of dead runs must stay until this is done.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::Path;

use chrono::Utc;
use sha2::{Digest, Sha256};

use super::ledger::{Entry, Part};
use super::store::Object;
use crate::durable_fs;
use crate::error::{Error, Result};
use crate::failpoint::{Point, point};
use crate::record::table::SchemaVersions;
use crate::values::hex::hex;

use super::layout::replaced_path;
use super::{Dataset, SetAside};

/// What was repaired when a dataset was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Parts that were committed and now have their final names.
    pub published: Vec<String>,
    /// Numbers of the commits that were retracted, since parts of them were lost.
    pub retracted: Vec<u64>,
    /// Meetings of those commits: they are not in the dataset any more.
    pub lost_meetings: u64,
    /// Parts that were removed, since their commits are retracted.
    pub removed: Vec<String>,
    /// Parts of such commits that readers do not see any more, and where they are kept.
    pub kept: Vec<SetAside>,
    /// Numbers of the commits that were put anew, from the parts that they had replaced.
    pub restored: Vec<u64>,
    /// Parts that others replaced, and that were kept for long enough.
    pub expired: u64,
    /// Staging folders of dead runs that were removed.
    pub cleared: u64,
}

impl Dataset {
    /// Makes the parts what the ledger says they are. `visible` was listed before the ledger was
    /// read, so that whatever is in it is in the ledger, too. Gives the commits that are to be
    /// restored, of which nothing is touched.
    pub(super) async fn recover(&mut self, visible: &HashMap<String, Object>) -> Result<Vec<u64>> {
        self.refuse_unknown_parts(visible)?;
        let altered = self.altered(visible).await?;
        let is_there = |part: &Part| {
            let found = visible.get(&part.path);
            found.is_some_and(|found| found.bytes == part.bytes) && !altered.contains(&part.path)
        };
        let unsure: Vec<_> = self
            .ledger
            .standing()
            .filter(|entry| !entry.parts.iter().all(is_there))
            .cloned()
            .collect();
        let (mut lost, mut restorable, mut publishable) = (Vec::new(), Vec::new(), Vec::new());
        for entry in unsure {
            // All of a commit or nothing: only then is any part of it shown.
            let mut staged = Vec::new();
            let mut is_lost = false;
            for part in entry.parts.iter().filter(|part| !is_there(part)) {
                let aside = replaced_path(&part.path);
                if self.is_staged(part).await? {
                    staged.push((part.clone(), part.staged.clone()));
                } else if self.is_as_written(part, &aside).await? {
                    // A ledger from before it was replaced was put in the place of a later one.
                    staged.push((part.clone(), aside));
                } else if altered.contains(&part.path)
                    || self.store.size(&part.path).await? != Some(part.bytes)
                {
                    is_lost = true;
                }
            }
            if !is_lost {
                publishable.push((entry, staged));
            } else if self.can_be_restored(&entry).await? {
                restorable.push(entry.sequence);
            } else {
                lost.push(entry.sequence);
            }
        }
        // What replaces a part enters when that one has left.
        self.remove_void(visible, &restorable).await?;
        for (entry, parts) in publishable {
            for (part, from) in parts {
                // The run that committed it may live and be quicker.
                if self.store.publish(&from, &part.path, part.bytes).await? {
                    self.recovery.published.push(part.path);
                    point(Point::PartRecovered);
                }
            }
            self.withdraw_void(&entry).await?;
        }
        if !lost.is_empty() {
            self.retract(lost).await?;
            let visible = super::visible(&self.store).await?;
            self.remove_void(&visible, &restorable).await?;
        }
        self.remove_emptied().await?;
        Ok(restorable)
    }

    /// Gives what is committed and lies sound in staging its final name, but for these commits.
    pub(super) async fn publish_staged(&mut self, damaged: &BTreeSet<u64>) -> Result<()> {
        let standing = self.ledger.standing();
        let parts: Vec<_> = standing
            .filter(|entry| !damaged.contains(&entry.sequence))
            .flat_map(|entry| entry.parts.clone())
            .collect();
        for part in parts {
            if self.store.size(&part.path).await?.is_none()
                && self.is_staged(&part).await?
                && self.publish_part(&part).await?
            {
                self.recovery.published.push(part.path);
                point(Point::PartRecovered);
            }
        }
        Ok(())
    }

    /// Parts that have their size but not the bytes that were committed.
    ///
    /// A part is written before its commit, so only what changed later is read again: a dataset
    /// that nobody touched costs nothing. Decay that leaves no date is found by `verify` alone.
    async fn altered(&self, visible: &HashMap<String, Object>) -> Result<HashSet<String>> {
        let mut altered = HashSet::new();
        // In a bucket a part is as old as its final name, which came after the commit.
        if self.store.is_remote() {
            return Ok(altered);
        }
        for entry in self.ledger.standing() {
            for part in &entry.parts {
                let is_suspect = visible.get(&part.path).is_some_and(|found| {
                    found.bytes == part.bytes && found.modified > entry.committed_at
                });
                if is_suspect && !self.is_as_written(part, &part.path).await? {
                    altered.insert(part.path.clone());
                }
            }
        }
        Ok(altered)
    }

    /// Whether a part lies in staging as it was written.
    async fn is_staged(&self, part: &Part) -> Result<bool> {
        self.is_as_written(part, &part.staged).await
    }

    /// Whether the bytes under this path are those of the part.
    pub(super) async fn is_as_written(&self, part: &Part, path: &str) -> Result<bool> {
        // What has another size is not brought here to be read.
        if self.store.is_remote() && self.store.size(path).await? != Some(part.bytes) {
            return Ok(false);
        }
        let Some(mut file) = self.store.fetch(path).await? else {
            return Ok(false);
        };
        let place = self.store.local(path);
        let shown = place.clone();
        let found = durable_fs::blocking("read", &shown, move || fingerprint(&mut file, &place));
        Ok(found.await? == (part.bytes, part.sha256.clone()))
    }

    /// Puts an entry after which these commits do not stand any more.
    pub(super) async fn retract(&mut self, mut lost: Vec<u64>) -> Result<()> {
        loop {
            // Others may have done it.
            lost.retain(|&sequence| !self.ledger.is_retracted(sequence));
            if lost.is_empty() {
                break;
            }
            let entry = Entry {
                version: 0,
                sequence: self.ledger.next_sequence(),
                run_id: self.run_id.clone(),
                committed_at: Utc::now(),
                previous_sha256: None,
                parts: Vec::new(),
                meetings: Vec::new(),
                retracts: lost.clone(),
                rewrite: None,
                rechecked: Vec::new(),
                asked: None,
                schema_versions: SchemaVersions::FIRST,
                partitioning: None,
            };
            if self.put(&entry.versioned()).await? {
                point(Point::Retracted);
                let meetings = self
                    .ledger
                    .void()
                    .filter(|entry| lost.contains(&entry.sequence));
                self.recovery.lost_meetings =
                    meetings.map(|entry| entry.meetings.len() as u64).sum();
                self.recovery.retracted = lost;
                break;
            }
            self.ledger.catch_up(&self.store).await?;
        }
        Ok(())
    }

    /// A part with a number that the ledger has yet to give out was committed by a ledger that is
    /// gone; going on would show its rows twice, or overwrite them.
    fn refuse_unknown_parts(&self, visible: &HashMap<String, Object>) -> Result<()> {
        let next = self.ledger.next_sequence();
        let unknown = visible.keys().find(|path| {
            let name = path
                .rsplit_once('/')
                .map_or(path.as_str(), |(_, name)| name);
            name.strip_prefix("part-")
                .and_then(|rest| rest.split('-').next())
                // In a folder of such a name that is somebody else's, others may count as well.
                .filter(|digits| digits.len() == 20 || !path.contains('/'))
                .and_then(|sequence| sequence.parse::<u64>().ok())
                .is_some_and(|sequence| sequence >= next)
        });
        match unknown {
            Some(path) => Err(Error::Dataset {
                path: self.store.shown(path),
                reason: "the ledger does not know this part; was _rollbook removed? restore it, \
                         or choose another destination"
                    .to_owned(),
            }),
            None => Ok(()),
        }
    }
}

/// Length and SHA-256 of a file from here on; its path is for messages.
pub(crate) fn fingerprint(file: &mut File, path: &Path) -> Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut block = vec![0; 256 << 10];
    let mut bytes = 0;
    loop {
        match io::Read::read(file, &mut block).map_err(Error::file("read", path))? {
            0 => return Ok((bytes, hex(&hash.finalize()))),
            read => {
                hash.update(&block[..read]);
                bytes += read as u64;
            }
        }
    }
}
