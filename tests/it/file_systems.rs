//! File systems that lack a call, played by a library that answers in their stead.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rollbook::simulator::TOKEN;
use rstest::rstest;
use serde_json::Value;

use crate::dying::die;
use crate::fake_store::FakeStore;
use crate::stage::{Ended, Stage, ended};

const EXPORT: [&str; 5] = ["export", "--meetings", "list.txt", "--out", "out"];

/// Compiles the library into the stage's folder, once.
fn shim(stage: &Stage) -> PathBuf {
    let library = stage.path("shim.so");
    if library.exists() {
        return library;
    }
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/file_systems.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library);
    let built = compiler.args([source, "-ldl"]).status().unwrap();
    assert!(built.success());
    library
}

/// Has a command run on file systems that answer a call with an error number.
fn without(stage: &Stage, mut command: Command, call: &str, number: i32) -> Command {
    command.env("LD_PRELOAD", shim(stage));
    command.env(call, number.to_string());
    command
}

fn run(stage: &Stage, args: &[&str], call: &str, number: i32) -> Ended {
    ended(&mut without(stage, stage.command(args), call, number))
}

/// A command with credentials of a store.
fn with_store(stage: &Stage, store: &FakeStore, args: &[&str]) -> Command {
    let mut command = stage.command(args);
    for (name, value) in [
        ("AWS_ENDPOINT_URL", store.url.as_str()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "ak"),
        ("AWS_SECRET_ACCESS_KEY", "sk"),
    ] {
        command.env(name, value);
    }
    command
}

/// One warning names this folder.
#[track_caller]
fn assert_warned(stage: &Stage, said: &str, folder: &str) {
    assert_eq!(said.matches("cannot sync folders").count(), 1, "{said}");
    let line = said.lines().find(|line| line.contains("cannot sync"));
    let folder = format!("{} ", stage.path(folder).display());
    assert!(line.unwrap().contains(&folder), "{said}");
}

#[rstest]
#[case::not_for_folders(errors::INVAL)]
#[case::not_supported(errors::OPNOTSUPP)]
#[case::unknown(errors::NOSYS)]
fn folders_that_cannot_be_synced_are_told_of_once_and_the_export_is_whole(#[case] number: i32) {
    let stage = Stage::of(&[3, 40]);
    let said = run(&stage, &EXPORT, "SHIM_FSYNC", number).silently(0);
    assert_warned(&stage, &said, "out");
    assert!(said.contains("complete: 2 of 2 meetings"), "{said}");
    for looking in [
        &["verify", "out"][..],
        &["status", "out"],
        &["compact", "out", "--dry-run"],
    ] {
        let said = run(&stage, looking, "SHIM_FSYNC", number);
        assert_eq!(
            (said.code, said.stderr.as_str()),
            (Some(0), ""),
            "{looking:?}"
        );
    }
}

#[rstest]
#[case::compaction(&["compact", "out"])]
#[case::erasure(&["purge", "out", "--meetings", "first.txt"])]
#[case::repair(&["verify", "--repair", "out"])]
fn each_command_that_writes_warns_once_of_folders_that_cannot_be_synced(#[case] args: &[&str]) {
    let stage = Stage::of(&[3, 40]);
    stage.list("first.txt", 0..1);
    let first = ["export", "--meetings", "first.txt", "--out", "out"];
    stage.run(&first).silently(0);
    stage.export(&[]).silently(0);
    let said = run(&stage, args, "SHIM_FSYNC", errors::INVAL).with(0);
    assert_warned(&stage, &said, "out");
    let quiet = run(
        &stage,
        &[args, &["-q"]].concat(),
        "SHIM_FSYNC",
        errors::INVAL,
    );
    assert_eq!(quiet.with(0), "");
    assert_eq!(stage.verified().with(0), "");
}

#[test]
fn a_repair_that_fails_still_warns_of_folders_that_cannot_be_synced() {
    let stage = Stage::of(&[3]);
    stage.export(&[]).silently(0);
    let entry = stage.path("out/_rollbook/ledger/00000000000000000001.json");
    fs::write(entry, "damaged").unwrap();
    let said = run(
        &stage,
        &["verify", "--repair", "out"],
        "SHIM_FSYNC",
        errors::INVAL,
    )
    .with(1);
    assert_warned(&stage, &said, "out");
}

#[test]
fn a_command_with_several_tenants_warns_once_of_folders_that_cannot_be_synced() {
    let stage = Stage::of(&[3, 40]);
    let tenants = ["one", "other"].map(|name| {
        format!(
            "[[tenant]]\nname = \"{name}\"\nbase_url = \"{}\"\nmeetings = \"list.txt\"\n\
             access_token_env = \"TOKEN\"\n",
            stage.simulator.base_url()
        )
    });
    fs::write(stage.path("tenants.toml"), tenants.concat()).unwrap();
    let args = ["export", "--config", "tenants.toml", "--out", "out"];
    let mut command = without(&stage, stage.bare(&args), "SHIM_FSYNC", errors::INVAL);
    command.env_remove("ROLLBOOK_BASE_URL");
    let said = ended(command.env("TOKEN", TOKEN)).with(0);
    assert_eq!(said.matches("cannot sync folders").count(), 1, "{said}");
    assert!(said.contains("/out/tenant="), "{said}");
}

#[test]
fn an_export_whose_pages_lie_where_folders_cannot_be_synced_names_the_state_directory() {
    let stage = Stage::of(&[3, 40]);
    let mut command = without(&stage, stage.command(&EXPORT), "SHIM_FSYNC", errors::INVAL);
    command.env("SHIM_IN", stage.path("state"));
    fs::create_dir(stage.path("state")).unwrap();
    // Without a limit, no page is kept.
    let said = ended(&mut command).silently(0);
    assert!(!said.contains("cannot sync folders"), "{said}");
    fs::remove_dir_all(stage.path("out")).unwrap();
    let said = ended(command.env("ROLLBOOK_RATE", "1000/s")).silently(0);
    assert_warned(&stage, &said, "state");
    assert!(said.contains("state directory"), "{said}");
}

#[test]
fn commands_into_a_bucket_warn_once_of_a_state_directory_that_cannot_be_synced() {
    let (stage, store) = (Stage::of(&[3, 40]), FakeStore::start());
    let dest = "s3://lake/x";
    let export = ["export", "--meetings", "list.txt", "--out", dest];
    let meeting = stage.meeting(0);
    for args in [
        &export[..],
        &["compact", dest],
        &["purge", dest, "--meeting", &meeting],
        &["verify", "--repair", dest],
    ] {
        let command = with_store(&stage, &store, args);
        let said = ended(&mut without(&stage, command, "SHIM_FSYNC", errors::INVAL)).with(0);
        assert_warned(&stage, &said, "state");
    }
    let command = with_store(&stage, &store, &["status", dest]);
    let said = ended(&mut without(&stage, command, "SHIM_FSYNC", errors::INVAL));
    assert_eq!(said.with(0), "");
}

#[test]
fn a_disk_that_fails_to_sync_a_folder_fails_the_export() {
    let stage = Stage::of(&[3]);
    let said = run(&stage, &EXPORT, "SHIM_FSYNC", errors::IO).silently(1);
    assert!(said.contains("os error 5"), "{said}");
}

#[rstest]
#[case::not_permitted(errors::PERM)]
#[case::not_supported(errors::OPNOTSUPP)]
#[case::unknown(errors::NOSYS)]
#[case::too_many(errors::MLINK)]
fn without_hard_links_an_export_is_whole_and_goes_on(#[case] number: i32) {
    let stage = Stage::of(&[3, 40]);
    let said = run(&stage, &EXPORT, "SHIM_LINK", number).silently(0);
    assert!(said.contains("complete: 2 of 2 meetings"), "{said}");
    run(&stage, &EXPORT, "SHIM_LINK", number).silently(0);
    run(&stage, &["verify", "out"], "SHIM_LINK", number).with(0);
}

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

/// Error numbers of Linux.
mod errors {
    use rustix::io::Errno;

    pub(super) const PERM: i32 = Errno::PERM.raw_os_error();
    pub(super) const IO: i32 = Errno::IO.raw_os_error();
    pub(super) const INVAL: i32 = Errno::INVAL.raw_os_error();
    pub(super) const MLINK: i32 = Errno::MLINK.raw_os_error();
    pub(super) const NOLCK: i32 = Errno::NOLCK.raw_os_error();
    pub(super) const NOSYS: i32 = Errno::NOSYS.raw_os_error();
    pub(super) const OPNOTSUPP: i32 = Errno::OPNOTSUPP.raw_os_error();
}
