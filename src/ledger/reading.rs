//! The ledger as it lies in the store: read as a whole, caught up with, put entry by entry.

use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::task::AbortOnDropHandle;

use crate::error::{Error, Result};
use crate::store::{Object, Store};
use crate::table::versions::SchemaVersions;

use super::{Entry, FOLDER, Ledger, Seen, checkpoint, damaged, entry_path, sequence_of};

/// Entries read at once: a cold disk or a bucket answers many questions in the time of one. Each is
/// an open file, of which a process may have no more than 64.
const READS: usize = 32;

impl Ledger {
    /// Reads every entry, those that a checkpoint sums up from there.
    ///
    /// # Errors
    ///
    /// A missing, unreadable or contradictory entry, or one of a newer rollbook: without all of
    /// them nothing is proven.
    pub(crate) async fn read(store: &Store) -> Result<Self> {
        // Before the entries, so that each that one of them sums up is in the listing.
        let checkpoints = checkpoint::listed(store).await;
        let objects = objects(store).await?;
        let ledger = match checkpoints {
            Ok(checkpoints) => checkpoint::believed(store, checkpoints, &objects).await,
            Err(error) => Self {
                checkpoint_fault: Some(error),
                ..Self::default()
            },
        };
        ledger.read_on(store, objects).await
    }

    /// Reads every entry from its own object, as a rollbook that knows these schema versions does.
    ///
    /// # Errors
    ///
    /// Those of [`Ledger::read`].
    pub(crate) async fn read_entries(store: &Store, known: SchemaVersions) -> Result<Self> {
        let objects = objects(store).await?;
        Self::knowing(known).read_on(store, objects).await
    }

    /// Reads the entries behind those that it has.
    async fn read_on(mut self, store: &Store, objects: Vec<Object>) -> Result<Self> {
        let rest = objects.into_iter().skip(self.entries.len());
        let mut entries = stream::iter(rest)
            .map(|object| {
                let store = store.clone();
                // Tasks, so that they are parsed on all cores.
                let read = async move {
                    let read = read_entry(&store, &object.path).await?;
                    Ok(read.map(|(entry, seen)| {
                        // As it was before it was read.
                        let modified = Some(object.modified);
                        (entry, Seen { modified, ..seen })
                    }))
                };
                AbortOnDropHandle::new(tokio::spawn(read))
            })
            .buffered(READS)
            .map(|read| {
                let what = "the reading of a ledger entry";
                read.unwrap_or_else(|source| Err(Error::Task { what, source }))
            });
        while let Some(read) = entries.try_next().await? {
            // Where it is gone since, the next one tells.
            if let Some((entry, seen)) = read {
                self.accept(entry, seen)?;
            }
        }
        Ok(self)
    }

    /// Reads the entries that others put since.
    pub(crate) async fn catch_up(&mut self, store: &Store) -> Result<()> {
        while let Some((entry, seen)) = read_entry(store, &entry_path(self.next_sequence())).await?
        {
            self.accept(entry, seen)?;
        }
        Ok(())
    }

    /// Puts an entry under its number; says whether it stands there now. If it does not, somebody
    /// else's does.
    pub(crate) async fn put(&mut self, store: &Store, entry: Entry) -> Result<bool> {
        let path = entry_path(entry.sequence);
        let bytes = entry.to_bytes()?;
        let put = store.create(&path, bytes.clone()).await;
        if !matches!(put, Ok(true)) || store.is_single_writer() {
            // The answer may have been lost on the way, here or inside the store, or somebody may
            // have written over it: what stands there decides.
            match (store.read(&path).await?, put) {
                (Some(found), _) if found == bytes => {}
                (Some(_), _) => return Ok(false),
                (None, Err(error)) => return Err(error),
                (None, Ok(_)) => return Err(damaged(&path, "was there and is gone".to_owned())),
            }
        }
        self.apply(entry, Seen::unlisted(&bytes))?;
        Ok(true)
    }
}

/// The objects of the entries, in their order.
pub(super) async fn objects(store: &Store) -> Result<Vec<Object>> {
    let mut objects = store.list(FOLDER).await?;
    objects.retain(|object| sequence_of(&object.path).is_some());
    Ok(objects)
}

async fn read_entry(store: &Store, path: &str) -> Result<Option<(Entry, Seen)>> {
    match store.read(path).await? {
        Some(bytes) => Ok(Some((Entry::parse(path, &bytes)?, Seen::unlisted(&bytes)))),
        None => Ok(None),
    }
}
