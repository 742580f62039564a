//! File systems without file locks.

use rstest::rstest;
use serde_json::Value;

use super::{EXPORT, errors, run, with_store, without};
use crate::dying::die;
use crate::fake_store::FakeStore;
use crate::stage::{Stage, ended};

#[rstest]
#[case::none_left(errors::NOLCK)]
#[case::not_supported(errors::OPNOTSUPP)]
#[case::unknown(errors::NOSYS)]
fn without_file_locks_the_message_names_them_and_the_way_out(#[case] number: i32) {
    let stage = Stage::of(&[3]);
    let said = run(&stage, &EXPORT, "SHIM_FLOCK", number).silently(3);
    let last = said.trim_end().lines().last().unwrap();
    for words in ["file locks", "/out", "another file system", "a bucket"] {
        assert!(last.contains(words), "{said}");
    }
}

#[rstest]
#[case::none_left(errors::NOLCK)]
#[case::not_supported(errors::OPNOTSUPP)]
#[case::unknown(errors::NOSYS)]
fn a_state_directory_without_file_locks_is_named_with_its_setting(#[case] number: i32) {
    let (stage, store) = (Stage::of(&[3]), FakeStore::start());
    let dest = "s3://lake/x";
    let export = ["export", "--meetings", "list.txt", "--out", dest];
    ended(&mut with_store(&stage, &store, &export)).silently(0);
    // So that the repair has something to do.
    let mut names = store.names().into_iter();
    let part = names.find(|name| name.starts_with("x/part-")).unwrap();
    store.put(&part, b"damaged");
    for args in [
        &export[..],
        &["compact", dest],
        &["purge", dest, "--meeting", &stage.meeting(0)],
        &["verify", "--repair", dest],
    ] {
        let command = with_store(&stage, &store, args);
        let said = ended(&mut without(&stage, command, "SHIM_FLOCK", number)).silently(3);
        let last = said.trim_end().lines().last().unwrap();
        for words in [
            "file locks",
            "/state/",
            "--state-dir",
            "another file system",
        ] {
            assert!(last.contains(words), "{args:?}: {said}");
        }
        assert!(!last.contains("a bucket"), "{said}");
    }
}

#[test]
fn pages_that_cannot_be_locked_are_not_kept_and_the_warning_names_the_state_directory() {
    let stage = Stage::of(&[3, 40]);
    let mut command = without(&stage, stage.command(&EXPORT), "SHIM_FLOCK", errors::NOLCK);
    command.env("SHIM_IN", stage.path("state"));
    let said = ended(command.env("ROLLBOOK_RATE", "1000/s")).silently(0);
    assert!(said.contains("complete: 2 of 2 meetings"), "{said}");
    let lines = said.lines().filter(|line| line.contains("file locks"));
    let [line] = lines.collect::<Vec<_>>().try_into().unwrap();
    for words in ["/state/", "--state-dir", "another file system"] {
        assert!(line.contains(words), "{said}");
    }
    assert!(!line.contains("a bucket"), "{said}");
}

#[rstest]
#[case::none_left(errors::NOLCK)]
#[case::not_supported(errors::OPNOTSUPP)]
#[case::unknown(errors::NOSYS)]
fn without_file_locks_status_still_shows_a_dataset_and_what_it_cannot_know(#[case] number: i32) {
    let stage = Stage::of(&[3, 40]);
    stage.export(&[]).silently(0);
    let seen = || run(&stage, &["status", "out"], "SHIM_FLOCK", number);
    let shown = seen();
    assert!(!shown.answer().contains("unfinished"), "{shown:?}");
    assert_eq!(shown.with(0), "");

    die(
        stage.command(&[&EXPORT[..], &["--again"]].concat()),
        "PartStaged",
        1,
    );
    let shown = seen();
    assert!(shown.answer().contains("no file locks"), "{shown:?}");
    assert!(!shown.answer().contains("was cut off"), "{shown:?}");
    assert_eq!(shown.with(0), "");
    let json = run(&stage, &["status", "out", "--json"], "SHIM_FLOCK", number);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["unfinished"][0]["is_live"], Value::Null);
    let with_locks = stage.run(&["status", "out"]);
    assert!(
        with_locks.answer().contains("was cut off"),
        "{with_locks:?}"
    );
}

#[test]
fn of_a_bucket_status_knows_without_file_locks_whether_a_run_goes_on() {
    let (stage, store) = (Stage::of(&[3, 40]), FakeStore::start());
    let dest = "s3://lake/x";
    let export = ["export", "--meetings", "list.txt", "--out", dest];
    die(with_store(&stage, &store, &export), "PartUploaded", 1);
    let command = with_store(&stage, &store, &["status", dest, "--json"]);
    let json = ended(&mut without(&stage, command, "SHIM_FLOCK", errors::NOLCK));
    let found: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(found["unfinished"][0]["is_live"].is_boolean(), "{found}");
    assert_eq!(json.with(0), "");
}
