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

#[track_caller]
fn crash(site: &Site, out: &str, point: &str, hit: usize) {
    let mut command = export(site, out);
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
fn hits(site: &Site, out: &str) -> BTreeMap<String, usize> {
    let trace = site.stage.path(&format!("trace-{out}"));
    let mut command = export(site, out);
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
    crash(site, out, "EntryPut", 2);
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
    begin: Before,
    only: Option<&[Point]>,
    is_readable: bool,
) -> BTreeSet<String> {
    let site = Site::new(server, &SIZES);
    begin(&site, "traced");
    let hits = hits(&site, "traced");
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
            crash(&site, &out, point, hit);
            if is_readable {
                site.assert_no_halves(&out);
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

#[test]
fn a_run_that_dies_at_any_step_in_a_bucket_shows_no_half_and_the_next_one_finishes() {
    let nothing: Before = |_, _| {};
    let hit = thread::scope(|scope| {
        let begun = [
            scope.spawn(move || at_every_point(moto(), nothing, None, true)),
            scope.spawn(|| at_every_point(moto(), unpublished, Some(&OF_RECOVERY), true)),
            scope.spawn(|| at_every_point(moto(), damaged, Some(&OF_RECOVERY), false)),
        ];
        begun
            .into_iter()
            .flat_map(|tried| tried.join().unwrap())
            .collect::<BTreeSet<_>>()
    });
    let every = Point::ALL.iter().map(|point| format!("{point:?}"));
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
    let hit = at_every_point(seaweedfs(), |_, _| {}, Some(&STEPS), true);
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
