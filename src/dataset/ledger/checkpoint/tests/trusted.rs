//! Which checkpoints are read in the place of entries, and which are passed over.

use super::*;

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
    let schema = checkpoint_columns::schema();
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

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_the_store_does_not_give_is_told_where_the_one_before_is_believed() {
    let (scene, _) = Scene::summed_up().await;
    let next = entry(7, &[]).to_bytes().unwrap();
    fs::write(scene.path(&entry_path(7)), next).unwrap();
    scene.forge(7, b"of seven entries");
    let mut refused = None;
    let faulty = Faulty::new(scene.home.path(), move |call| {
        let is_hit = call.operation == Operation::Get && call.path.starts_with(CHECKPOINTS);
        if !is_hit {
            return None;
        }
        let first = refused.get_or_insert_with(|| call.path.clone());
        (*first == call.path).then_some(Fault::Denied)
    });
    let store = faulty.store(scene.home.path());
    let read = Ledger::read(&store).await.unwrap();
    assert_eq!(read.summed, ENTRIES);
    assert!(read.checkpoint_fault.is_some());
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
            assert_eq!(read.checkpoint_fault.is_none(), listed);
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
