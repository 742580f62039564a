//! File systems that cannot sync folders.

use std::fs;

use rollbook::simulator::TOKEN;
use rstest::rstest;

use super::{EXPORT, errors, run, with_store, without};
use crate::fake_store::FakeStore;
use crate::stage::{Stage, ended};

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
