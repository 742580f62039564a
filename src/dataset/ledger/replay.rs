//! The ledger as it lies in the store: read as a whole, caught up with, put entry by entry.

use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::task::AbortOnDropHandle;

use crate::dataset::store::{Object, Store};
use crate::error::{Error, Result};
use crate::record::table::SchemaVersions;

use super::chain::Read;
use super::{Entry, FOLDER, Ledger, Seen, chain, checkpoint, damaged, entry_path, sequence_of};

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
        let is_summed = !ledger.entries.is_empty();
        match ledger.read_on(store, objects).await {
            // The entry behind a checkpoint may not be that of its entries: they decide.
            Err(Error::Dataset { .. }) if is_summed => {
                Self::read_entries(store, SchemaVersions::KNOWN).await
            }
            read => read,
        }
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
                    Ok(read.map(|mut read| {
                        // As it was before it was read.
                        read.seen.modified = Some(object.modified);
                        read
                    }))
                };
                AbortOnDropHandle::new(tokio::spawn(read))
            })
            .buffered(READS)
            .map(|read| {
                let died = Error::task("the reading of a ledger entry");
                read.map_err(died).flatten()
            });
        while let Some(read) = entries.try_next().await? {
            // Where it is gone since, the next one tells.
            if let Some(read) = read {
                self.follow(read)?;
            }
        }
        Ok(self)
    }

    /// Reads the entries that others put since.
    pub(crate) async fn catch_up(&mut self, store: &Store) -> Result<()> {
        while let Some(read) = read_entry(store, &entry_path(self.next_sequence())).await? {
            self.follow(read)?;
        }
        Ok(())
    }

    /// Puts an entry under its number, behind the last one; returns whether it stands there now. If
    /// it does not, another run's does.
    pub(crate) async fn put(&mut self, store: &Store, entry: Entry) -> Result<bool> {
        let entry = self.linked(entry);
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
        self.head = Some(chain::sha256(&bytes));
        Ok(true)
    }
}

/// The objects of the entries, in their order.
pub(super) async fn objects(store: &Store) -> Result<Vec<Object>> {
    let mut objects = store.list(FOLDER).await?;
    objects.retain(|object| sequence_of(&object.path).is_some());
    Ok(objects)
}

async fn read_entry(store: &Store, path: &str) -> Result<Option<Read>> {
    let Some(bytes) = store.read(path).await? else {
        return Ok(None);
    };
    Ok(Some(Read {
        entry: Entry::parse(path, &bytes)?,
        seen: Seen::unlisted(&bytes),
        sha256: chain::sha256(&bytes),
    }))
}
