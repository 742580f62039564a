//! File systems that lack a call, played by a library that answers in their stead.

use std::path::PathBuf;
use std::process::Command;

use rstest::rstest;

use crate::stage::{Ended, Stage, ended};

const EXPORT: [&str; 5] = ["export", "--meetings", "list.txt", "--out", "out"];

/// Compiles the library into the stage's folder.
fn shim(stage: &Stage) -> PathBuf {
    let library = stage.path("shim.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/file_systems.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library);
    let built = compiler.args([source, "-ldl"]).status().unwrap();
    assert!(built.success());
    library
}

/// Runs a command on a file system that answers a call with an error number.
fn run(stage: &Stage, args: &[&str], call: &str, number: i32) -> Ended {
    let mut command = stage.command(args);
    command.env("LD_PRELOAD", shim(stage));
    ended(command.env(call, number.to_string()))
}

#[rstest]
#[case::not_for_folders(errors::INVAL)]
#[case::not_supported(errors::OPNOTSUPP)]
#[case::unknown(errors::NOSYS)]
fn folders_that_cannot_be_synced_are_told_of_once_and_the_export_is_whole(#[case] number: i32) {
    let stage = Stage::of(&[3, 40]);
    let said = run(&stage, &EXPORT, "SHIM_FSYNC", number).silently(0);
    assert_eq!(said.matches("cannot sync folders").count(), 1, "{said}");
    assert!(said.contains("complete: 2 of 2 meetings"), "{said}");
    let said = run(&stage, &["verify", "out"], "SHIM_FSYNC", number);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
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
