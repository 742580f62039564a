//! File systems that lack a call, played by a library that answers in their stead.

mod links;
mod locks;
mod syncs;

use std::path::PathBuf;
use std::process::Command;

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
