//! Whatever lies in the folder of the checkpoints, the ledger is that of its entries.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use arrow::array::RecordBatch;
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::laws::committed_as;
use super::super::tests::{entry, meeting};
use super::*;
use crate::report::Proof;
use crate::store::{Fault, Faulty, Operation};
use crate::table::versions::SchemaVersions;

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
        fs::create_dir_all(scene.path(super::super::FOLDER)).unwrap();
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
    for batch in open(bytes.into()).unwrap() {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn entries_come_back_from_a_checkpoint_as_they_were(
        entries in (1..9_u64).prop_map(|last| (1..=last).map(committed_as).collect::<Vec<_>>())
            .prop_flat_map(|entries| entries),
        few in 1..9_usize,
    ) {
        block_on(async {
            let scene = Scene::of(&entries).await;
            let mut ledger = Ledger::read(&scene.store).await.unwrap();
            ledger.sum_up(&scene.store, few).await.unwrap();
            let is_summed = entries.len() >= few;
            let summed = if is_summed { entries.len() } else { 0 };
            assert_eq!(scene.read("as it was").await, Some(summed));
            if is_summed {
                assert_eq!(scene.fault().await, None);
                let bytes = fs::read(scene.path(&scene.names().await[0].path())).unwrap();
                let expected: Vec<_> = entries.iter().cloned().zip(ledger.seen).collect();
                assert_eq!(told(&bytes.into()), expected);
            }
        });
    }

    #[test]
    fn no_instant_is_written_that_would_come_back_as_another(
        seconds in prop_oneof![any::<i32>().prop_map(i64::from), -9_999_999_999..99_999_999_999_i64],
        nanos in 0..2_000_000_000_u32,
    ) {
        let Some(at) = chrono::DateTime::from_timestamp(seconds, nanos) else {
            return Ok(());
        };
        let first = crate::ledger::CommittedMeeting { first_fetch: at, ..meeting("m1", 3) };
        let entry = Entry { meetings: vec![first], ..entry(1, &["m1"]) };
        let seen = Seen { bytes: 1, modified: Some(chrono::DateTime::UNIX_EPOCH) };
        if let Some((batch, 1)) = columns::batch([(&entry, seen)].into_iter()) {
            prop_assert_eq!(columns::entries(&batch), Some(vec![(entry, seen)]));
        } else {
            prop_assert!(nanos >= 1_000_000_000 || at.timestamp_nanos_opt().is_none());
        }
    }
}

#[tokio::test]
async fn what_has_no_place_in_a_checkpoint_is_read_from_its_entry() {
    for at in ["2016-12-31T23:59:60Z", "2300-01-01T00:00:00Z"] {
        let mut entries = entries();
        entries[0].meetings[1].last_fetch = at.parse().unwrap();
        let scene = Scene::of(&entries).await;
        scene.sum_up().await;
        assert_eq!(scene.names().await, []);
        assert_eq!(scene.read(at).await, Some(0));
    }
}

#[tokio::test]
async fn many_entries_are_cut_into_batches_and_come_back_in_order() {
    let names: Vec<_> = (0..3 * BATCH_MEETINGS).map(|n| format!("m{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut cut = names.chunks(BATCH_MEETINGS * 2 / 3);
    let mut entries: Vec<_> = (1..=5)
        .map(|sequence| entry(sequence, cut.next().unwrap()))
        .collect();
    for meeting in entries.iter_mut().flat_map(|entry| &mut entry.meetings) {
        meeting.proof = Proof::Twice;
    }
    let (seen, bytes) = checkpoint_of(&entries).await;
    let bytes = bytes.unwrap();
    assert_eq!(open(bytes.clone()).unwrap().num_batches(), 3);
    assert!(told(&bytes) == entries.into_iter().zip(seen).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_checkpoint_is_read_in_the_place_of_its_entries() {
    let (scene, _) = Scene::summed_up().await;
    let bytes = entry(7, &["m6"]).to_bytes().unwrap();
    fs::write(scene.path(&entry_path(7)), bytes).unwrap();
    let reads = Arc::<Mutex<Vec<String>>>::default();
    let noted = Arc::clone(&reads);
    let faulty = Faulty::new(scene.home.path(), move |call| {
        if call.operation == Operation::Get {
            noted.lock().unwrap().push(call.path.clone());
        }
        None
    });
    let store = faulty.store(scene.home.path());
    let ledger = Ledger::read(&store).await.unwrap();
    assert_eq!((ledger.summed, ledger.entries.len()), (6, 7));
    let name = scene.names().await.remove(0);
    assert_eq!(*reads.lock().unwrap(), [name.path(), entry_path(7)]);
}

#[tokio::test]
async fn a_checkpoint_with_any_bit_turned_is_passed_over() {
    let (scene, path) = Scene::summed_up().await;
    assert_eq!(scene.read("sound").await, Some(ENTRIES));
    let sound = fs::read(&path).unwrap();
    let name = scene.names().await.remove(0);
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << (at % 8);
        if at % 97 == 0 {
            fs::write(&path, &bytes).unwrap();
            assert_eq!(scene.read("turned").await, Some(0), "{at}");
            assert_eq!(scene.fault().await.unwrap(), "is damaged");
        }
        assert_eq!(Form::of(&name, bytes.into()), Form::Damaged, "{at}");
    }
    for length in [0, 1, 8, sound.len() / 2, sound.len() - 1] {
        fs::write(&path, &sound[..length]).unwrap();
        assert_eq!(scene.read("cut off").await, Some(0), "{length}");
        assert_eq!(scene.fault().await.unwrap(), "is damaged");
    }
    fs::write(&path, [sound.clone(), sound.clone()].concat()).unwrap();
    assert_eq!(scene.read("twice as long").await, Some(0));
    // The next run puts another in its place, under the very same name.
    scene.sum_up().await;
    assert!(fs::read(&path).unwrap() == sound);
    assert_eq!(scene.read("mended").await, Some(ENTRIES));
}

#[tokio::test]
async fn bytes_of_another_kind_under_their_own_digest_are_passed_over() {
    let (scene, path) = Scene::summed_up().await;
    let sound = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    let schema = columns::schema();
    let all = |batch| Some(batch);
    let named = |version: &str| {
        let version = (VERSION_KEY.to_owned(), version.to_owned());
        Schema::new_with_metadata(schema.fields().clone(), [version])
    };
    let own = Schema::clone(&schema);
    for (what, entries, bytes, fault) in [
        ("empty", 6, vec![], "is damaged"),
        ("no file of Arrow's", 6, vec![b'x'; 4_000], "is damaged"),
        (
            "no batch",
            6,
            file(sound.clone(), own.clone(), |_| None),
            "leaves out entry 1",
        ),
        (
            "one entry less",
            6,
            file(sound.clone(), own.clone(), |batch| Some(batch.slice(0, 5))),
            "leaves out entry 6",
        ),
        (
            "one entry that it does not name",
            5,
            file(sound.clone(), own, all),
            "is not what entry 6 says",
        ),
        (
            "more than there is",
            7,
            sound.clone(),
            "sums up 7 entries, and there are 6",
        ),
        ("a newer form", 6, file(sound.clone(), named("2"), all), ""),
        (
            "a form of no version",
            6,
            file(sound.clone(), named("?"), all),
            "is damaged",
        ),
    ] {
        let name = scene.forge(entries, &bytes);
        assert_eq!(scene.read(what).await, Some(0), "{what}");
        assert_eq!(scene.fault().await.unwrap_or_default(), fault, "{what}");
        fs::remove_file(scene.path(&name.path())).unwrap();
    }
}

#[tokio::test]
async fn what_has_not_the_name_of_a_checkpoint_is_none() {
    let (scene, path) = Scene::summed_up().await;
    let sound = fs::read(&path).unwrap();
    let own = path.file_name().unwrap().to_str().unwrap().to_owned();
    fs::remove_file(&path).unwrap();
    let upper = own.to_uppercase().replace("ARROW", "arrow");
    assert_ne!(upper, own);
    for name in [
        &own[1..],
        &own[..own.len() - 6],
        &upper,
        "notes.txt",
        &format!("{own}#1"),
    ] {
        fs::write(path.with_file_name(name), &sound).unwrap();
    }
    fs::create_dir(&path).unwrap();
    assert_eq!(scene.names().await, []);
    assert_eq!(scene.read("other names").await, Some(0));
    fs::remove_dir_all(scene.path(CHECKPOINTS)).unwrap();
    fs::write(scene.path(CHECKPOINTS), "in the way").unwrap();
    assert_eq!(scene.read("no folder").await, Some(0));
}

#[tokio::test]
async fn an_entry_that_is_missing_is_missed_whatever_a_checkpoint_says() {
    for sequence in [1, 3, 5] {
        let (scene, _) = Scene::summed_up().await;
        fs::remove_file(scene.path(&entry_path(sequence))).unwrap();
        assert_eq!(scene.read("missing").await, None, "{sequence}");
    }
    // Those behind move up, and none of them looks different from the one before.
    let alike: Vec<_> = (1..=4).map(|sequence| entry(sequence, &[])).collect();
    let scene = Scene::of(&alike).await;
    let at = SystemTime::UNIX_EPOCH;
    for entry in &alike {
        let file = File::options()
            .append(true)
            .open(scene.path(&entry_path(entry.sequence)));
        file.unwrap().set_modified(at).unwrap();
    }
    scene.sum_up().await;
    assert_eq!(scene.read("alike").await, Some(4));
    fs::remove_file(scene.path(&entry_path(2))).unwrap();
    let beyond = entry(5, &[]).to_bytes().unwrap();
    fs::write(scene.path(&entry_path(5)), beyond).unwrap();
    File::options()
        .append(true)
        .open(scene.path(&entry_path(5)))
        .unwrap()
        .set_modified(at)
        .unwrap();
    assert_eq!(scene.read("a gap").await, None);

    let (scene, _) = Scene::summed_up().await;
    fs::remove_file(scene.path(&entry_path(6))).unwrap();
    assert_eq!(scene.read("the last").await, Some(0));
    assert_eq!(
        scene.fault().await.unwrap(),
        "sums up 6 entries, and there are 5"
    );
    fs::write(scene.path(&entry_path(0)), entries()[0].to_bytes().unwrap()).unwrap();
    assert_eq!(scene.read("one before the first").await, None);
}

#[tokio::test]
async fn an_entry_that_changed_since_is_read_again() {
    let other = |text: &str, from: &str, to: &str| text.replacen(from, to, 1);
    let second = Duration::from_secs(1);
    for (what, from, to, moved, is_believed) in [
        ("nothing", "", "", None, true),
        ("longer", "\n", " \n", None, false),
        ("shorter", "\n", "", None, false),
        ("broken", "\"sequence\"", "\"sequel\"", None, false),
        (
            "later",
            "\"m3\"",
            "\"mX\"",
            Some(SystemTime::now() + second),
            false,
        ),
        (
            "restored",
            "\"m3\"",
            "\"mX\"",
            Some(SystemTime::now() - second),
            false,
        ),
        ("copied", "", "", Some(SystemTime::now() + second), false),
    ] {
        let (scene, _) = Scene::summed_up().await;
        let path = scene.path(&entry_path(5));
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, other(&text, from, to)).unwrap();
        let file = File::options().append(true).open(&path).unwrap();
        file.set_modified(moved.unwrap_or(before)).unwrap();
        let read = scene.read(what).await;
        assert_eq!(read == Some(ENTRIES), is_believed, "{what}: {read:?}");
        if what == "later" {
            assert_eq!(scene.fault().await.unwrap(), "is not what entry 5 says");
        }
        if what == "copied" {
            // It contradicts nothing, and the next run has one that can be believed.
            assert_eq!(scene.fault().await, None);
            scene.sum_up().await;
            assert_eq!(scene.read(what).await, Some(ENTRIES));
            assert_eq!(scene.names().await.len(), 1);
        }
    }
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_believed_does_not_hide_the_one_before() {
    let (scene, _) = Scene::summed_up().await;
    scene.forge(6, b"not this one");
    scene.forge(usize::MAX, b"nor this one");
    fs::write(
        scene.path(&entry_path(7)),
        entry(7, &[]).to_bytes().unwrap(),
    )
    .unwrap();
    scene.forge(7, b"nor that one");
    assert_eq!(scene.read("three in front").await, Some(ENTRIES));
}

#[tokio::test]
async fn a_checkpoint_is_written_as_the_ledger_has_grown_by_a_share_and_replaces_those_before() {
    let scene = Scene::of(&[]).await;
    let mut ledger = Ledger::read(&scene.store).await.unwrap();
    let mut written = Vec::new();
    for sequence in 1..=60 {
        assert!(
            ledger
                .put(&scene.store, entry(sequence, &[]))
                .await
                .unwrap()
        );
        ledger.sum_up(&scene.store, 4).await.unwrap();
        let names = scene.names().await;
        assert!(names.len() <= 1);
        written.extend(names.first().map(|name| name.entries));
        assert_eq!(
            scene.read("grown").await,
            names.first().map_or(Some(0), |name| Some(name.entries))
        );
    }
    written.dedup();
    assert_eq!(written, [4, 8, 12, 16, 20, 24, 28, 32, 36, 41, 46, 52, 59]);
}

#[tokio::test]
async fn of_two_that_sum_up_at_once_both_are_right() {
    let scene = Scene::of(&entries()).await;
    let mut one = Ledger::read(&scene.store).await.unwrap();
    let mut two = Ledger::read(&scene.store).await.unwrap();
    let (first, second) = tokio::join!(one.sum_up(&scene.store, 1), two.sum_up(&scene.store, 1));
    first.unwrap();
    second.unwrap();
    assert_eq!(scene.read("the same").await, Some(6));

    assert!(two.put(&scene.store, entry(7, &["m6"])).await.unwrap());
    (one.summed, two.summed) = (0, 0);
    let (first, second) = tokio::join!(two.sum_up(&scene.store, 1), one.sum_up(&scene.store, 1));
    first.unwrap();
    second.unwrap();
    assert_eq!(scene.read("one is further").await, Some(7));
    // Who comes later with less leaves what is ahead of it alone.
    one.summed = 0;
    one.sum_up(&scene.store, 1).await.unwrap();
    assert_eq!(scene.read("one is behind").await, Some(7));
}

#[tokio::test]
async fn entries_that_changed_under_a_run_are_not_summed_up() {
    for remove in [false, true] {
        let scene = Scene::of(&entries()).await;
        let mut ledger = Ledger::read(&scene.store).await.unwrap();
        let path = scene.path(&entry_path(2));
        if remove {
            fs::remove_file(&path).unwrap();
        } else {
            let file = File::options().append(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        ledger.sum_up(&scene.store, 1).await.unwrap();
        assert_eq!(scene.names().await, []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_give_the_checkpoints_gives_the_entries() {
    let (scene, _) = Scene::summed_up().await;
    for operation in [Operation::List, Operation::Get] {
        for fault in [Fault::Before, Fault::Denied, Fault::Short] {
            let faulty = Faulty::new(scene.home.path(), move |call| {
                let is_hit = call.operation == operation && call.path.starts_with(CHECKPOINTS);
                is_hit.then_some(fault)
            });
            let read = Ledger::read(&faulty.store(scene.home.path()))
                .await
                .unwrap();
            let listed = operation == Operation::List && matches!(fault, Fault::Short);
            assert_eq!(read.summed, if listed { ENTRIES } else { 0 });
            assert_same(
                &read,
                &Ledger::read_entries(&scene.store, SchemaVersions::KNOWN)
                    .await
                    .unwrap(),
            );
            assert!(faulty.faults() > 0);
        }
    }
}
