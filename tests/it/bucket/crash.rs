//! Killed at every step of an export into a bucket: what readers see, and what the next run makes
//! of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::thread;

use rollbook::crash::Point;

use super::server::{Server, moto, seaweedfs};
use super::site::Site;

/// Small and empty meetings, some of several pages, and one that gets a part of its own.
const SIZES: [u64; 7] = [3, 0, 250, 1_400, 100, 101, 40];

/// An export whose steps are many: small parts, slow enough to have a spool.
fn export(site: &Site, out: &str) -> Command {
    let mut command = site.exporting(out);
    command.arg("-q");
    for (name, value) in [
        ("RATE", "5000/s"),
        ("BURST", "1000"),
        ("CONCURRENCY", "4"),
        ("PAGE_SIZE", "100"),
        ("BUFFER_ROWS", "1000"),
        ("PART_ROWS", "300"),
    ] {
        command.env(format!("ROLLBOOK_{name}"), value);
    }
    command.env(
        "ROLLBOOK_STATE_DIR",
        site.stage.path(&format!("state-{out}")),
    );
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
    fn command(self, site: &Site, out: &str) -> Command {
        match self {
            Self::Export => export(site, out),
            Self::Compact => at_place(site, out, &["compact", "--target-size", "100KiB"]),
            Self::Purge => at_place(site, out, &["purge", "--meeting", &site.stage.meeting(4)]),
        }
    }
}

fn at_place(site: &Site, out: &str, args: &[&str]) -> Command {
    let mut command = site.command(args);
    command.arg(site.place(out));
    let state = site.stage.path(&format!("state-{out}"));
    command.env("ROLLBOOK_STATE_DIR", state);
    command
}

#[track_caller]
fn crash(site: &Site, doing: Doing, out: &str, point: &str, hit: usize) {
    let mut command = doing.command(site, out);
    let output = command
        .env("ROLLBOOK_CRASH_AT", format!("{point}:{hit}"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(6), "{point}:{hit} {said}");
}

#[track_caller]
fn finish(site: &Site, out: &str) {
    let output = export(site, out).output().unwrap();
    assert!(output.status.success(), "{out}: {output:?}");
    site.assert_complete(out);
}

/// How often each point is passed.
fn hits(site: &Site, doing: Doing, out: &str) -> BTreeMap<String, usize> {
    let trace = site.stage.path(&format!("trace-{out}"));
    let mut command = doing.command(site, out);
    let output = command
        .env("ROLLBOOK_CRASH_TRACE", &trace)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut hits = BTreeMap::new();
    for point in fs::read_to_string(trace).unwrap().lines() {
        *hits.entry(point.to_owned()).or_default() += 1;
    }
    hits
}

type Before = fn(&Site, &str);

fn unpublished(site: &Site, out: &str) {
    crash(site, Doing::Export, out, "EntryPut", 2);
}

fn merged(site: &Site, out: &str) {
    finish(site, out);
    let output = Doing::Compact.command(site, out).output().unwrap();
    assert!(output.stdout.starts_with(b"merged "), "{output:?}");
}

/// As many entries without a meeting as call for a checkpoint.
fn grown(site: &Site, out: &str) {
    for sequence in 1..=256 {
        let entry = format!(
            r#"{{"version":1,"sequence":{sequence},"run_id":"hourly","committed_at":"2026-01-02T03:04:05Z","parts":[],"meetings":[],"retracts":[]}}"#
        );
        let path = format!("_rollbook/ledger/{sequence:020}.json");
        site.server.put(&site.key(out, &path), entry);
    }
}

fn damaged(site: &Site, out: &str) {
    finish(site, out);
    let objects = site.server.objects(&site.key(out, ""));
    let parts = objects.keys().filter(|name| name.starts_with("part-"));
    for part in parts.take(2) {
        site.server.put(&site.key(out, part), "damaged");
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
    begin(&site, "traced");
    let hits = hits(&site, doing, "traced");
    for (point, &last) in &hits {
        if !only.is_none_or(|points| is_one_of(points, point)) {
            continue;
        }
        // Where a run died before, what was to be fetched is chance, and with it the last hit; and
        // what only this machine has is tried more often with a folder.
        let hits = match only {
            None if !is_one_of(&OF_THIS_MACHINE, point) => BTreeSet::from([1, last]),
            _ => BTreeSet::from([1]),
        };
        for hit in hits {
            let out = format!("{point}-{hit}");
            begin(&site, &out);
            crash(&site, doing, &out, point, hit);
            if is_readable {
                site.assert_no_halves(&out);
            }
            if doing == Doing::Purge {
                assert!(
                    Doing::Purge
                        .command(&site, &out)
                        .output()
                        .unwrap()
                        .status
                        .success()
                );
                site.assert_sound(&out);
                let there = site.assert_no_halves(&out);
                assert_eq!(there, SIZES.iter().filter(|&&size| size > 0).count() - 1);
                continue;
            }
            finish(&site, &out);
        }
    }
    hits.into_keys().collect()
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
    let nothing: Before = |_, _| {};
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
    let hit = at_every_point(seaweedfs(), (|_, _| {}, Doing::Export), Some(&STEPS), true);
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
    let mut killed = export();
    killed.env("ROLLBOOK_CRASH_AT", "PieceSent:1");
    assert_eq!(killed.output().unwrap().status.signal(), Some(6));
    assert_eq!(site.server.unfinished_uploads(&site.folder), 1);
    let output = export().output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(site.server.unfinished_uploads(&site.folder), 0);
    site.assert_sound("out");
    site.assert_tidy("out");
}
