//! Whatever lies in the folder of the checkpoints, the ledger is that of its entries.

mod chained;
mod trusted;
mod version;
mod written;

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use arrow::array::RecordBatch;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::dataset::ledger::properties::committed_as;
use crate::dataset::ledger::tests::{entry, meeting};
use crate::dataset::store::{Fault, Faulty, Operation};
use crate::record::table::SchemaVersions;
use crate::report::Proof;

/// Entries 1 to 6, of which the fourth retracts the second.
const ENTRIES: usize = 6;

fn entries() -> Vec<Entry> {
    let entries = [
        entry(1, &["m1", "m2"]),
        entry(2, &["m3"]),
        entry(3, &[]),
        entry(4, &[]),
        entry(5, &["m3", "m4"]),
        entry(6, &["m5"]),
    ];
    let mut entries = Vec::from(entries);
    entries[3].retracts = vec![2];
    entries
}

struct Scene {
    home: TempDir,
    store: Store,
}

impl Scene {
    /// A ledger of these entries.
    async fn of(entries: &[Entry]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open_at(&home.path().to_str().unwrap().into())
            .await
            .unwrap();
        let scene = Self { home, store };
        fs::create_dir_all(scene.path(crate::dataset::ledger::FOLDER)).unwrap();
        for entry in entries {
            let bytes = entry.to_bytes().unwrap();
            fs::write(scene.path(&entry_path(entry.sequence)), bytes).unwrap();
        }
        scene
    }

    /// The ledger of [`entries`] with a checkpoint of all of them, and its file.
    async fn summed_up() -> (Self, PathBuf) {
        let scene = Self::of(&entries()).await;
        scene.sum_up().await;
        let path = scene.path(&scene.names().await[0].path());
        (scene, path)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    async fn sum_up(&self) {
        let mut ledger = Ledger::read(&self.store).await.unwrap();
        ledger.sum_up(&self.store, 1).await.unwrap();
    }

    async fn names(&self) -> Vec<Name> {
        listed(&self.store).await.unwrap()
    }

    /// Reads the ledger, which must be that of its entries, or be refused as they are; says how many
    /// of them a checkpoint told.
    #[track_caller]
    fn read(&self, what: &str) -> impl Future<Output = Option<usize>> {
        let caller = std::panic::Location::caller();
        async move {
            let alone = Ledger::read_entries(&self.store, SchemaVersions::KNOWN).await;
            match (Ledger::read(&self.store).await, alone) {
                (Ok(read), Ok(alone)) => {
                    assert_same(&read, &alone);
                    Some(read.summed)
                }
                (Err(read), Err(alone)) => {
                    assert_eq!(read.to_string(), alone.to_string(), "{what}, {caller}");
                    None
                }
                (read, alone) => panic!("{what}, {caller}: {read:?}, and alone {alone:?}"),
            }
        }
    }

    /// What `verify` says of the only checkpoint.
    async fn fault(&self) -> Option<String> {
        let ledger = Ledger::read_entries(&self.store, SchemaVersions::KNOWN)
            .await
            .unwrap();
        let [name] = self.names().await.try_into().unwrap();
        fault(&self.store, &name, &ledger).await.unwrap()
    }

    /// Puts these bytes as a checkpoint of so many entries, whatever they are.
    fn forge(&self, entries: usize, bytes: &[u8]) -> Name {
        let name = Name::of(entries, bytes);
        fs::create_dir_all(self.path(CHECKPOINTS)).unwrap();
        fs::write(self.path(&name.path()), bytes).unwrap();
        name
    }
}

#[track_caller]
fn assert_same(one: &Ledger, other: &Ledger) {
    assert_eq!(one.entries, other.entries);
    assert_eq!(one.held, other.held);
    assert_eq!(one.retracted, other.retracted);
    assert_eq!(one.seen, other.seen);
}

/// A file of this schema, and of these batches after a change.
fn file(
    bytes: Vec<u8>,
    schema: Schema,
    change: impl Fn(RecordBatch) -> Option<RecordBatch>,
) -> Vec<u8> {
    let schema = Arc::new(schema);
    let mut writer = FileWriter::try_new(Vec::new(), &schema).unwrap();
    let reader = open(bytes.into()).unwrap();
    for (key, value) in reader.custom_metadata() {
        writer.write_metadata(key, value);
    }
    for batch in reader {
        let Some(batch) = change(batch.unwrap()) else {
            continue;
        };
        let batch = RecordBatch::try_new(schema.clone(), batch.columns().to_vec()).unwrap();
        writer.write(&batch).unwrap();
    }
    writer.into_inner().unwrap()
}

/// The checkpoint of a ledger of these entries.
async fn checkpoint_of(entries: &[Entry]) -> (Vec<Seen>, Option<Bytes>) {
    let scene = Scene::of(entries).await;
    let ledger = Ledger::read(&scene.store).await.unwrap();
    (ledger.seen.clone(), ledger.to_checkpoint().await)
}

/// What is in the batches of a checkpoint.
fn told(bytes: &Bytes) -> Vec<(Entry, Seen)> {
    let batches = open(bytes.clone()).unwrap().num_batches();
    let batches = (0..batches).map(|number| batch(bytes.clone(), number).unwrap());
    batches.flatten().collect()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(work)
}
