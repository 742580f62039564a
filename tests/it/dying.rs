//! Commands that die at their steps, which are the points of `rollbook::failpoint` that debug builds
//! carry, each time from the same state.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use crate::stage::Stage;

/// Has an export take many steps: small parts, slow enough to have a spool.
pub(crate) fn slowly(mut export: Command) -> Command {
    for (name, value) in [
        ("RATE", "5000/s"),
        ("BURST", "1000"),
        ("CONCURRENCY", "4"),
        ("PAGE_SIZE", "100"),
        ("BUFFER_ROWS", "1000"),
        ("PART_ROWS", "300"),
    ] {
        export.env(format!("ROLLBOOK_{name}"), value);
    }
    export
}

/// Runs a command that is to die at this hit of this point.
#[track_caller]
pub(crate) fn die(mut command: Command, point: &str, hit: usize) {
    command.env("ROLLBOOK_CRASH_AT", format!("{point}:{hit}"));
    let output = command.output().unwrap();
    assert_eq!(
        output.status.signal(),
        Some(6),
        "{point}:{hit} {:?} {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// How often a command that ends well passes each point.
#[track_caller]
fn hits(mut command: Command) -> BTreeMap<String, usize> {
    let trace = tempfile::NamedTempFile::new().unwrap();
    let output = command.env("ROLLBOOK_CRASH_TRACE", trace.path()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut hits = BTreeMap::new();
    for point in fs::read_to_string(trace).unwrap().lines() {
        *hits.entry(point.to_owned()).or_default() += 1;
    }
    hits
}

/// Has a command die at the points that it passes, and looks at what is left; tells at which it did.
///
/// `before` puts everything back; `wanted` says at which of so many hits of a point to die.
#[track_caller]
pub(crate) fn everywhere(
    command: impl Fn() -> Command,
    before: impl Fn(),
    wanted: impl Fn(&str, usize) -> BTreeSet<usize>,
    mut check: impl FnMut(&str, usize),
) -> BTreeSet<String> {
    before();
    let mut tried = BTreeSet::new();
    for (point, hits) in hits(command()) {
        for hit in wanted(&point, hits) {
            before();
            die(command(), &point, hit);
            check(&point, hit);
            tried.insert(point.clone());
        }
    }
    tried
}

/// The first and the last of so many hits of any point.
pub(crate) fn first_and_last(_: &str, hits: usize) -> BTreeSet<usize> {
    BTreeSet::from([1, hits])
}

/// Folders of a stage, those that are there, as they can be put back with all their dates.
pub(crate) struct Saved<'a> {
    stage: &'a Stage,
    folders: &'a [&'a str],
}

impl<'a> Saved<'a> {
    pub(crate) fn of(stage: &'a Stage, folders: &'a [&'a str]) -> Self {
        let saved = Self { stage, folders };
        for folder in folders {
            saved.copy(folder, &format!("saved-{folder}"));
        }
        saved
    }

    pub(crate) fn put_back(&self) {
        for folder in self.folders {
            self.copy(&format!("saved-{folder}"), folder);
        }
    }

    fn copy(&self, from: &str, to: &str) {
        let _new = fs::remove_dir_all(self.stage.path(to));
        if self.stage.path(from).exists() {
            let (from, to) = (self.stage.path(from), self.stage.path(to));
            let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
            assert!(copied.unwrap().success());
        }
    }
}
