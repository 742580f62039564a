//! Killed at every step of an export into a bucket: what readers see, and what the next run makes
//! of it.

use std::collections::BTreeSet;
use std::process::Command;
use std::thread;

use rollbook::failpoint::Point;

use crate::dying::{Saved, die, everywhere, first_and_last, slowly};
use crate::stage::ended;

use super::server::{Server, moto, seaweedfs};
use super::site::Site;

/// Small and empty meetings, some of several pages, and one that gets a part of its own.
const SIZES: [u64; 7] = [3, 0, 250, 1_400, 100, 101, 40];

/// An export whose steps are many.
fn export(site: &Site) -> Command {
    let mut command = slowly(site.exporting("out"));
    command.arg("-q");
    command
}

/// What is done to a dataset.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doing {
    Export,
    /// Its commits are merged.
    Compact,
    /// A meeting is erased that the compaction wrote again.
    Purge,
}

impl Doing {
    fn command(self, site: &Site) -> Command {
        let gone = site.stage.meeting(4);
        let args: &[&str] = match self {
            Self::Export => return export(site),
            Self::Compact => &["compact", "--target-size", "100KiB"],
            Self::Purge => &["purge", "--meeting", &gone],
        };
        let mut command = site.command(args);
        command.arg(site.place("out"));
        command
    }
}

#[track_caller]
fn finish(site: &Site) {
    let output = export(site).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    site.assert_complete("out");
}

type Before = fn(&Site);

fn unpublished(site: &Site) {
    die(export(site), "EntryPut", 2);
}

fn merged(site: &Site) {
    finish(site);
    let output = Doing::Compact.command(site).output().unwrap();
    assert!(output.stdout.starts_with(b"merged "), "{output:?}");
}

/// As many entries without a meeting as call for a checkpoint.
fn grown(site: &Site) {
    for sequence in 1..=256 {
        let entry = format!(
            r#"{{"version":1,"sequence":{sequence},"run_id":"hourly","committed_at":"2026-01-02T03:04:05Z","parts":[],"meetings":[],"retracts":[]}}"#
        );
        let path = format!("_rollbook/ledger/{sequence:020}.json");
        site.server.put(&site.key("out", &path), entry);
    }
}

fn damaged(site: &Site) {
    finish(site);
    let objects = site.server.objects(&site.key("out", ""));
    let parts = objects.keys().filter(|name| name.starts_with("part-"));
    for part in parts.take(2) {
        site.server.put(&site.key("out", part), "damaged");
    }
}

/// Dies at these hits of each point that is passed from this state, or only of some; the points.
fn at_every_point(
    server: &'static Server,
    (begin, doing): (Before, Doing),
    only: Option<&[Point]>,
    is_readable: bool,
) -> BTreeSet<String> {
    let site = Site::new(server, &SIZES);
    begin(&site);
    let objects = server.contents(&site.key("out", ""));
    let here = Saved::of(&site.stage, &["state"]);
    let put_back = || {
        here.put_back();
        server.replace(&site.key("out", ""), &objects);
    };
    let wanted = |point: &str, hits| match only {
        Some(points) if !is_one_of(points, point) => BTreeSet::new(),
        None if !is_one_of(&OF_THIS_MACHINE, point) => first_and_last(point, hits),
        // Where a run died before, what was to be fetched is chance, and with it the last hit; and
        // what only this machine has is tried more often with a folder.
        _ => BTreeSet::from([1]),
    };
    let command = || doing.command(&site);
    everywhere(command, put_back, wanted, |_, _| {
        if is_readable {
            site.assert_no_halves("out");
        }
        if doing == Doing::Purge {
            ended(&mut command()).with(0);
            site.assert_sound("out");
            let there = site.assert_no_halves("out");
            assert_eq!(there, SIZES.iter().filter(|&&size| size > 0).count() - 1);
        } else {
            finish(&site);
        }
    })
}

fn is_one_of(points: &[Point], name: &str) -> bool {
    points.iter().any(|point| format!("{point:?}") == name)
}

const OF_THIS_MACHINE: [Point; 10] = [
    Point::DatasetMade,
    Point::SpoolMade,
    Point::FrameTorn,
    Point::FrameWritten,
    Point::PartMade,
    Point::PartGrown,
    Point::PartWritten,
    Point::PartSynced,
    Point::PartStaged,
    Point::SpoolRemoved,
];

const OF_RECOVERY: [Point; 8] = [
    Point::PulseBegun,
    Point::PartRecovered,
    Point::PartCopied,
    Point::Retracted,
    Point::VoidRemoved,
    Point::Cleared,
    Point::EntryPut,
    Point::PulseEnded,
];

const OF_REWRITES: [Point; 6] = [
    Point::PartUploaded,
    Point::EntryPut,
    Point::VoidRemoved,
    Point::ReplacedRemoved,
    Point::PartCopied,
    Point::PartPublished,
];

const OF_CHECKPOINTS: [Point; 2] = [Point::CheckpointReady, Point::CheckpointPut];

#[test]
fn a_run_that_dies_at_any_step_in_a_bucket_shows_no_half_and_the_next_one_finishes() {
    let nothing: Before = |_| {};
    let hit = thread::scope(|scope| {
        let begun = [
            scope.spawn(move || at_every_point(moto(), (nothing, Doing::Export), None, true)),
            scope.spawn(|| {
                at_every_point(
                    moto(),
                    (unpublished, Doing::Export),
                    Some(&OF_RECOVERY),
                    true,
                )
            }),
            scope.spawn(|| {
                at_every_point(moto(), (damaged, Doing::Export), Some(&OF_RECOVERY), false)
            }),
            scope.spawn(|| {
                at_every_point(moto(), (finish, Doing::Compact), Some(&OF_REWRITES), true)
            }),
            scope
                .spawn(|| at_every_point(moto(), (merged, Doing::Purge), Some(&OF_REWRITES), true)),
            scope.spawn(|| {
                at_every_point(moto(), (grown, Doing::Export), Some(&OF_CHECKPOINTS), true)
            }),
        ];
        begun
            .into_iter()
            .flat_map(|tried| tried.join().unwrap())
            .collect::<BTreeSet<_>>()
    });
    // Of Delta tables, the tests of those tell.
    let elsewhere = [
        Point::CheckpointRemoved,
        Point::DeltaReady,
        Point::DeltaPut,
        Point::DeltaCheckpointPut,
    ];
    let every = Point::ALL.iter().filter(|point| !elsewhere.contains(point));
    let every = every.map(|point| format!("{point:?}"));
    assert_eq!(hit, every.collect(), "a point that no test passes");
}

#[test]
fn the_steps_of_a_commit_hold_in_a_store_that_keeps_what_it_is_given() {
    const STEPS: [Point; 6] = [
        Point::PulseBegun,
        Point::PieceSent,
        Point::PartUploaded,
        Point::EntryPut,
        Point::PartCopied,
        Point::PulseEnded,
    ];
    let hit = at_every_point(seaweedfs(), (|_| {}, Doing::Export), Some(&STEPS), true);
    assert!(hit.contains("PartCopied"));
}

#[test]
fn an_upload_that_was_cut_off_between_two_pieces_is_aborted_by_the_next_run() {
    let site = Site::new(moto(), &[32_000]);
    let export = || {
        let mut command = site.exporting("out");
        command.args(["--format", "ndjson"]);
        command
    };
    die(export(), "PieceSent", 1);
    assert_eq!(site.server.unfinished_uploads(&site.folder), 1);
    let output = export().output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(site.server.unfinished_uploads(&site.folder), 0);
    site.assert_sound("out");
    site.assert_tidy("out");
}
