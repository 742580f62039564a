//! Sums of the ledger's first entries, so that opening need not read each of them.
//!
//! The entries stay the truth. A checkpoint is believed where its bytes have the digest in its
//! name, its form is known, and every entry that it sums up lies there with the size and the time
//! of change that it had when it was read; any other is passed over, and the entries are read one
//! by one. So nobody needs a checkpoint, and any of them may be removed at any moment. An entry that
//! was changed without leaving a new size or time is found by `verify`, which reads them all.

use std::io::Cursor;

use arrow::datatypes::Schema;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use bytes::Bytes;
use futures::{StreamExt, stream};
use sha2::{Digest, Sha256};
use tokio_util::task::AbortOnDropHandle;

use super::checkpoint_columns::{BATCH_MEETINGS, VERSION, VERSION_KEY};
use super::validate::is_sha256;
use super::{Entry, Ledger, Seen, checkpoint_columns, entry_path, objects};
use crate::dataset::store::{Object, Store};
use crate::error::Result;
use crate::failpoint::{Point, point};
use crate::values::hex::hex;

/// The end of the file has the SHA-256 of the last entry under this key.
const HEAD_KEY: &str = "rollbook.last_entry_sha256";

/// Where the checkpoints lie.
pub(crate) const CHECKPOINTS: &str = "_rollbook/checkpoints";

/// Entries that are quick to read one by one.
pub(crate) const FEW: usize = 256;

/// Of all entries, the part that may be without a checkpoint: so what all checkpoints of a ledger
/// took to write stays in proportion to the ledger.
const SHARE: usize = 8;

/// The quickest: UUIDs become half as long by any, and times no shorter by a better one.
const ZSTD_LEVEL: i32 = 1;

/// Batches read at once.
const READS: usize = 4;

/// A checkpoint's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    /// The entries from the first that it sums up.
    entries: usize,
    sha256: String,
}

impl Name {
    fn of(entries: usize, bytes: &[u8]) -> Self {
        Self {
            entries,
            sha256: hex(&Sha256::digest(bytes)),
        }
    }

    /// The checkpoint that lies at a path.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let name = path.strip_prefix(CHECKPOINTS)?.strip_prefix('/')?;
        let (entries, sha256) = name.strip_suffix(".arrow")?.split_once('-')?;
        let name = Self {
            entries: entries.parse().ok()?,
            sha256: sha256.to_owned(),
        };
        (is_sha256(sha256) && name.path() == path).then_some(name)
    }

    pub(crate) fn path(&self) -> String {
        format!("{CHECKPOINTS}/{:020}-{}.arrow", self.entries, self.sha256)
    }
}

/// The checkpoints that lie there, newest first.
pub(crate) async fn listed(store: &Store) -> Result<Vec<Name>> {
    let objects = store.list(CHECKPOINTS).await?.into_iter();
    let mut names: Vec<_> = objects
        .filter_map(|object| Name::parse(&object.path))
        .collect();
    names.sort_unstable_by(|one, other| other.cmp(one));
    Ok(names)
}

/// The ledger of the newest of these checkpoints that can be believed of these entries, or an empty
/// one.
pub(super) async fn believed(store: &Store, names: Vec<Name>, objects: &[Object]) -> Ledger {
    let mut checkpoint_fault = None;
    for name in names {
        let Some(objects) = objects.get(..name.entries) else {
            continue;
        };
        match store.read(&name.path()).await {
            Ok(Some(bytes)) => {
                if let Some(ledger) = restored(&name, bytes, objects).await {
                    return Ledger {
                        checkpoint_fault,
                        ..ledger
                    };
                }
            }
            // Replaced since.
            Ok(None) => {}
            Err(error) => checkpoint_fault = Some(error),
        }
    }
    Ledger {
        checkpoint_fault,
        ..Ledger::default()
    }
}

async fn restored(name: &Name, bytes: Bytes, objects: &[Object]) -> Option<Ledger> {
    let Form::Known {
        batches: count,
        head,
    } = Form::told(name, &bytes).await
    else {
        return None;
    };
    let mut batches = stream::iter(0..count)
        .map(|number| {
            let bytes = bytes.clone();
            // Tasks, so that they are read on all cores.
            AbortOnDropHandle::new(tokio::spawn(async move { batch(bytes, number) }))
        })
        .buffered(READS);
    let mut ledger = Ledger::default();
    // Growing step by step would hash each of them twice.
    ledger.held.reserve(count.saturating_mul(BATCH_MEETINGS));
    while let Some(read) = batches.next().await {
        for (entry, seen) in read.ok()?? {
            let object = objects.get(ledger.entries.len())?;
            if !seen.is(object, entry.sequence) {
                return None;
            }
            ledger.accept(entry, seen).ok()?;
        }
    }
    ledger.head = Some(head);
    ledger.summed = ledger.entries.len();
    (ledger.summed == name.entries).then_some(ledger)
}

/// What can be said of a checkpoint by itself.
#[derive(Debug, PartialEq, Eq)]
enum Form {
    /// A checkpoint as it was written, in so many batches, with the SHA-256 of the last entry.
    Known { batches: usize, head: String },
    /// A checkpoint of a newer rollbook.
    Newer,
    /// Anything else.
    Damaged,
}

impl Form {
    fn of(name: &Name, bytes: Bytes) -> Self {
        if Name::of(name.entries, &bytes) != *name {
            return Self::Damaged;
        }
        let Some(reader) = open(bytes) else {
            return Self::Damaged;
        };
        let head = reader.custom_metadata().get(HEAD_KEY);
        match head.filter(|head| is_sha256(head)) {
            Some(head) if reader.schema() == checkpoint_columns::schema() => Self::Known {
                batches: reader.num_batches(),
                head: head.clone(),
            },
            _ if is_newer(&reader.schema()) => Self::Newer,
            _ => Self::Damaged,
        }
    }

    /// The same beside other work.
    async fn told(name: &Name, bytes: &Bytes) -> Self {
        let (name, bytes) = (name.clone(), bytes.clone());
        let told = tokio::task::spawn_blocking(move || Self::of(&name, bytes));
        told.await.unwrap_or(Self::Damaged)
    }
}

fn open(bytes: Bytes) -> Option<FileReader<Cursor<Bytes>>> {
    FileReader::try_new(Cursor::new(bytes), None).ok()
}

fn batch(bytes: Bytes, number: usize) -> Option<Vec<(Entry, Seen)>> {
    let mut reader = open(bytes)?;
    reader.set_index(number).ok()?;
    checkpoint_columns::entries(&reader.next()?.ok()?)
}

/// What is wrong with a checkpoint, if anything; one that is gone, or of a newer rollbook, is not
/// judged.
pub(crate) async fn fault(store: &Store, name: &Name, ledger: &Ledger) -> Result<Option<String>> {
    let Some(bytes) = store.read(&name.path()).await? else {
        return Ok(None);
    };
    let there = ledger.entries.len();
    if name.entries > there {
        let entries = name.entries;
        let fault = format!("sums up {entries} entries, and there are {there}");
        return Ok(Some(fault));
    }
    let damaged = || Ok(Some("is damaged".to_owned()));
    let (batches, head) = match Form::told(name, &bytes).await {
        Form::Known { batches, head } => (batches, head),
        Form::Newer => return Ok(None),
        Form::Damaged => return damaged(),
    };
    let mut entries = ledger.entries.iter().take(name.entries);
    for number in 0..batches {
        let bytes = bytes.clone();
        let read = tokio::task::spawn_blocking(move || batch(bytes, number));
        let Ok(Some(read)) = read.await else {
            return damaged();
        };
        for (summed, _) in read {
            if entries.next() != Some(&summed) {
                let fault = format!("is not what entry {} says", summed.sequence);
                return Ok(Some(fault));
            }
        }
    }
    if let Some(left_out) = entries.next() {
        return Ok(Some(format!("leaves out entry {}", left_out.sequence)));
    }
    let last = ledger.sha256_of(name.entries as u64);
    Ok(last
        .is_some_and(|last| last != head)
        .then(|| format!("has not the SHA-256 of entry {}", name.entries)))
}

fn is_newer(schema: &Schema) -> bool {
    let version = schema.metadata.get(VERSION_KEY);
    version
        .and_then(|version| version.parse::<u32>().ok())
        .is_some_and(|version| version > VERSION)
}

impl Ledger {
    /// Writes a checkpoint where many entries are without one, more than `few` of them, and removes
    /// those before it.
    ///
    /// # Errors
    ///
    /// Those of the store. Whatever it was at, the dataset is as whole as before.
    pub(crate) async fn sum_up(&mut self, store: &Store, few: usize) -> Result<()> {
        let entries = self.entries.len();
        if entries - self.summed < few.max(entries / SHARE) {
            return Ok(());
        }
        let is_as_read = self.look_again(store).await?;
        let Some(bytes) = self.to_checkpoint().await.filter(|_| is_as_read) else {
            return Ok(());
        };
        let name = Name::of(entries, &bytes);
        let path = name.path();
        point(Point::CheckpointReady);
        if !store.create(&path, bytes.clone()).await? {
            // It was there and not believed, so it is damaged; or another run has just put it.
            store.remove(&path).await?;
            store.create(&path, bytes).await?;
        }
        point(Point::CheckpointPut);
        for other in listed(store).await? {
            if other != name && other.entries <= entries {
                store.remove(&other.path()).await?;
                point(Point::CheckpointRemoved);
            }
        }
        self.summed = entries;
        Ok(())
    }

    /// Finds out when the entries were written that were not listed yet; says whether all lie there
    /// as they were read.
    async fn look_again(&mut self, store: &Store) -> Result<bool> {
        let objects = objects(store).await?;
        for (seen, object) in self.seen.iter_mut().zip(&objects) {
            seen.modified.get_or_insert(object.modified);
        }
        let mut seen = (1..).zip(&self.seen).zip(&objects);
        let are_there = objects.len() >= self.seen.len();
        Ok(are_there && seen.all(|((sequence, seen), object)| seen.is(object, sequence)))
    }

    /// The bytes of a checkpoint of all entries; nothing where its form has no place for one.
    async fn to_checkpoint(&self) -> Option<Bytes> {
        let schema = checkpoint_columns::schema();
        let options = IpcWriteOptions::default()
            .try_with_compression(Some(CompressionType::ZSTD))
            .and_then(|options| options.try_with_compression_level(Some(ZSTD_LEVEL)))
            .ok()?;
        let mut writer = FileWriter::try_new_with_options(Vec::new(), &schema, options).ok()?;
        let mut done = 0;
        while done < self.entries.len() {
            let rest = self.entries.iter().zip(self.seen.iter().copied());
            let (batch, rows) = checkpoint_columns::batch(rest.skip(done))?;
            writer.write(&batch).ok()?;
            done += rows;
            // A batch takes a while.
            tokio::task::yield_now().await;
        }
        writer.write_metadata(HEAD_KEY, self.head.clone()?);
        Some(writer.into_inner().ok()?.into())
    }
}

impl Seen {
    /// Whether an object is still the one that was seen of an entry.
    fn is(self, object: &Object, sequence: u64) -> bool {
        self.bytes == object.bytes
            && self.modified == Some(object.modified)
            && object.path == entry_path(sequence)
    }
}

#[cfg(test)]
mod tests;
