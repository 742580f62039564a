//! Killed at every step, and at any moment: what readers see in between, what the next run makes of
//! it, and what it costs.
//!
//! FAULTS.md, lines 22 and 23. Each step is tried at its first and its last time, and from nothing
//! in between as well.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rollbook::failpoint::Point;
use rollbook::simulator::{Drift, Effect, Fault};

use crate::described::uuids;
use crate::dying::{Saved, die, everywhere, first_and_last, slowly};
use crate::stage::{Stage, sha256_hex, until};

/// Records a request in these tests.
const PAGE: u64 = 100;

/// Requests at once in these tests.
const AT_ONCE: usize = 4;

/// Small and empty meetings, some of several pages, and two that get parts of their own.
const SIZES: [u64; 12] = [3, 0, 250, 1_400, 99, 100, 101, 7, 900, 0, 320, 40];

fn minimum(sizes: &[u64], page: u64) -> usize {
    let requests = sizes.iter().map(|&records| match records {
        few if few < page => 1,
        many => many.div_ceil(page - 1),
    });
    usize::try_from(requests.sum::<u64>()).unwrap()
}

/// An export whose steps are many.
fn export(stage: &Stage, out: &str) -> Command {
    let args = ["-q", "export", "--meetings", "list.txt", "--out", out];
    let mut command = slowly(stage.command(&args));
    command.env("ROLLBOOK_STATE_DIR", stage.path(&format!("state-{out}")));
    if has_meetings_table(stage) {
        command.env("ROLLBOOK_WITH_MEETINGS", "true");
    }
    command.stdout(Stdio::null());
    command
}

/// The exports of a stage with this file in its folder write the meetings as well.
const MEETINGS: &str = "with-meetings";

fn has_meetings_table(stage: &Stage) -> bool {
    stage.path(MEETINGS).exists()
}

/// No half of a meeting is seen, and where the meetings are written: no record without the row of
/// its meeting, and no row twice.
#[track_caller]
fn assert_nothing_by_halves(stage: &Stage, out: &str) {
    stage.assert_no_halves(out);
    if !has_meetings_table(stage) || !stage.path(out).exists() {
        return;
    }
    let described = uuids(&stage.path(out));
    assert!(described.is_sorted_by(|one, other| one < other));
    let rows = stage.rows(out);
    assert!(
        rows.iter()
            .all(|(meeting, ..)| described.binary_search(meeting).is_ok())
    );
}

/// Runs an export that is to die at this hit of this point.
#[track_caller]
fn crash(stage: &Stage, point: &str, hit: usize) {
    die(export(stage, "out"), point, hit);
}

/// Exports to the end; all is there, nothing else is, and nothing is left lying about.
#[track_caller]
fn finish(stage: &Stage, out: &str) {
    let output = export(stage, out).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let there = stage.assert_no_halves(out);
    let with_records = stage.simulator.meetings();
    let with_records = with_records
        .iter()
        .filter(|meeting| stage.simulator.count(meeting) > 0);
    assert_eq!(there, with_records.count());
    if has_meetings_table(stage) {
        assert_nothing_by_halves(stage, out);
        assert_eq!(uuids(&stage.path(out)).len(), SIZES.len());
    }
    stage.run(&["verify", out]).with(0);
    assert_eq!(
        names(&stage.path(&format!("{out}/_rollbook/staging"))),
        [""; 0]
    );
    assert_eq!(names(&stage.path(&format!("state-{out}/spool"))), [""; 0]);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// A state of a dataset from which an export is begun, and dies.
type Before = fn(&Stage);

const BEFORE: [(&str, Before); 3] = [
    ("nothing", |_| {}),
    ("a commit that was not published", |stage| {
        crash(stage, "EntryPut", 2);
    }),
    ("damaged parts", |stage| {
        finish(stage, "out");
        for part in stage.parts("out").keys().take(2) {
            fs::write(stage.path("out").join(part), "damaged").unwrap();
        }
        if has_meetings_table(stage) {
            let folder = stage.path("out/meetings");
            let last = names(&folder).into_iter().max().unwrap();
            fs::write(folder.join(last), "damaged").unwrap();
        }
    }),
];

/// What no export into a dataset without a Delta table passes; the tests of such tables do.
const ELSEWHERE: [Point; 3] = [
    Point::DeltaReady,
    Point::DeltaPut,
    Point::DeltaCheckpointPut,
];

/// A ledger that has grown since its last checkpoint, so that the next run writes another.
const GROWN: (&str, Before) = ("a ledger that has grown", |stage| {
    grow(stage);
    crash(stage, "CheckpointPut", 1);
    grow(stage);
});

/// Puts as many entries without a meeting as call for a checkpoint.
fn grow(stage: &Stage) {
    let ledger = stage.path("out/_rollbook/ledger");
    fs::create_dir_all(&ledger).unwrap();
    let path = |sequence: usize| ledger.join(format!("{sequence:020}.json"));
    let there = names(&ledger).len();
    for sequence in there + 1..=there + 256 {
        let link = fs::read(path(sequence - 1)).map_or(String::new(), |before| {
            let digest = sha256_hex(before);
            format!(r#""previous_sha256":"{digest}","#)
        });
        let entry = format!(
            r#"{{"version":1,"sequence":{sequence},"run_id":"hourly","committed_at":"2026-01-02T03:04:05Z",{link}"parts":[],"meetings":[],"retracts":[]}}"#
        );
        fs::write(path(sequence), entry).unwrap();
    }
}

/// What there is in buckets alone.
const OF_BUCKETS: [Point; 5] = [
    Point::PulseBegun,
    Point::PieceSent,
    Point::PartUploaded,
    Point::PartCopied,
    Point::PulseEnded,
];

/// What the meetings table adds something to.
const OF_COMMITS: [Point; 7] = [
    Point::PartRecovered,
    Point::Retracted,
    Point::VoidRemoved,
    Point::PartStaged,
    Point::EntryReady,
    Point::EntryPut,
    Point::PartPublished,
];

/// At which hits of a point an export is to die; with the meetings table, only at those of commits.
fn wanted(before: &str, meetings: bool, point: &str, hits: usize) -> BTreeSet<usize> {
    let is_wanted = match before {
        _ if meetings => OF_COMMITS
            .iter()
            .any(|known| format!("{known:?}") == *point),
        "nothing" => true,
        _ if before == GROWN.0 => point.starts_with("Checkpoint"),
        // How many pages are still to be fetched is chance where a run died before.
        _ => !["SpoolMade", "FrameTorn", "FrameWritten"].contains(&point),
    };
    match (is_wanted, before) {
        (false, _) => BTreeSet::new(),
        (true, "nothing") => BTreeSet::from([1, hits.div_ceil(2), hits]),
        (true, _) => first_and_last(point, hits),
    }
}

/// Dies at every point from this state; tells the points, and how often it died.
fn at_every_point((before, begin): (&str, Before), meetings: bool) -> (BTreeSet<String>, usize) {
    let stage = Stage::of(&SIZES);
    if meetings {
        fs::write(stage.path(MEETINGS), "").unwrap();
    }
    begin(&stage);
    let saved = Saved::of(&stage, &["out", "state-out"]);
    let mut tried = 0;
    let points = everywhere(
        || export(&stage, "out"),
        || {
            saved.put_back();
            stage.simulator.clear_requests();
        },
        |point, hits| wanted(before, meetings, point, hits),
        |point, hit| {
            // Until the damage is removed, its readers cannot read it.
            if before != "damaged parts" {
                assert_nothing_by_halves(&stage, "out");
            }
            finish(&stage, "out");
            if before == "nothing" {
                let most = minimum(&SIZES, PAGE) + AT_ONCE;
                assert!(stage.requests() <= most, "{point}:{hit}");
            }
            tried += 1;
        },
    );
    (points, tried)
}

#[test]
fn a_run_that_dies_at_any_step_shows_no_half_and_the_next_one_finishes() {
    let mut hit = BTreeSet::new();
    let mut all = 0;
    thread::scope(|scope| {
        let begun: Vec<_> = BEFORE
            .into_iter()
            .chain([GROWN])
            .map(|before| scope.spawn(move || at_every_point(before, false)))
            .collect();
        for tried in begun {
            let (points, tried) = tried.join().unwrap();
            hit.extend(points);
            all += tried;
        }
    });
    println!("{all} crashes");
    let every: BTreeSet<_> = Point::ALL
        .iter()
        .filter(|point| !ELSEWHERE.contains(point) && !OF_BUCKETS.contains(point))
        .map(|point| format!("{point:?}"))
        .collect();
    assert_eq!(hit, every, "a point that no test passes");
}

#[test]
fn a_run_that_dies_at_any_step_of_a_commit_never_parts_records_from_their_meetings() {
    thread::scope(|scope| {
        let begun = BEFORE.map(|before| scope.spawn(move || at_every_point(before, true)));
        for tried in begun {
            let (hit, tried) = tried.join().unwrap();
            assert!(hit.contains("PartPublished") && tried > 0);
        }
    });
}

/// Kills an export at random moments until it was killed so often, lets it finish, and holds the
/// cost against what was in flight; tells the requests and the least possible.
fn killed_at_random(sizes: &[u64], kills: usize) -> (usize, usize) {
    const PAGE: u64 = 10;
    let stage = Stage::of(sizes);
    let export = || {
        let mut command = export(&stage, "out");
        command.args(["--page-size", "10", "--commit-every", "20ms"]);
        command
    };
    let requests = || stage.simulator.requests().len();
    let mut chance = fastrand::Rng::with_seed(7);
    for kill in 0..kills {
        let wanted = requests() + chance.usize(1..10);
        let mut child = export().spawn().unwrap();
        until("requests", || {
            requests() >= wanted || child.try_wait().unwrap().is_some()
        });
        // Anywhere between two requests, and in the middle of a commit.
        thread::sleep(Duration::from_micros(chance.u64(..3_000)));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "too quick for kill {kill}");
        stage.assert_no_halves("out");
    }
    assert!(export().status().unwrap().success());
    let seen = stage.simulator.requests();
    let asked: BTreeSet<_> = seen
        .iter()
        .map(|seen| (&seen.meeting, seen.offset, seen.limit))
        .collect();
    let (sent, least) = (seen.len(), minimum(sizes, PAGE));
    assert_eq!(asked.len(), least);
    assert!(sent <= least + kills * AT_ONCE);
    finish(&stage, "out");
    (sent, least)
}

#[test]
fn a_hundred_kills_lose_nothing_double_nothing_and_cost_what_was_in_flight() {
    let sizes: Vec<_> = (0..150)
        .map(|n| n * 37 % 90)
        .chain([1_900, 3_000])
        .collect();
    let (sent, least) = killed_at_random(&sizes, 100);
    println!("100 kills: {sent} requests, {least} is the least possible");
}

#[test]
fn a_large_meeting_that_is_killed_twenty_times_is_fetched_once() {
    let (sent, least) = killed_at_random(&[4_000], 20);
    println!("20 kills: {sent} requests, {least} is the least possible");
}

#[test]
fn a_reader_that_looks_all_the_time_never_sees_half_a_meeting() {
    let stage = Stage::of(&SIZES);
    for round in 0..5 {
        let out = format!("out-{round}");
        fs::create_dir(stage.path(&out)).unwrap();
        let mut child = export(&stage, &out).spawn().unwrap();
        while child.try_wait().unwrap().is_none() {
            stage.assert_no_halves(&out);
        }
        finish(&stage, &out);
    }
}

#[test]
fn a_reader_that_looks_all_the_time_never_sees_a_record_without_its_meeting() {
    let stage = Stage::of(&SIZES);
    fs::write(stage.path(MEETINGS), "").unwrap();
    for round in 0..5 {
        let out = format!("out-{round}");
        fs::create_dir(stage.path(&out)).unwrap();
        let mut child = export(&stage, &out).spawn().unwrap();
        while child.try_wait().unwrap().is_none() {
            // What was there before, so that what comes in between is no record without its row.
            let rows = stage.rows(&out);
            let described = uuids(&stage.path(&out));
            assert!(
                rows.iter()
                    .all(|(meeting, ..)| described.binary_search(meeting).is_ok())
            );
        }
        finish(&stage, &out);
    }
}

#[test]
fn a_staged_part_that_a_power_loss_tore_is_fetched_again() {
    let stage = Stage::of(&SIZES);
    crash(&stage, "EntryPut", 2);
    let staging = stage.path("out/_rollbook/staging");
    let [run] = names(&staging).try_into().unwrap();
    let mut torn = 0;
    for name in names(&staging.join(&run))
        .into_iter()
        .filter(|name| name != "lock")
    {
        fs::write(staging.join(&run).join(name), "").unwrap();
        torn += 1;
    }
    assert!(torn > 0);
    finish(&stage, "out");
}

#[test]
fn a_spool_that_is_lost_or_torn_costs_requests_and_nothing_else() {
    for damage in [
        |path: &Path| fs::remove_file(path).unwrap(),
        |path: &Path| fs::write(path, "").unwrap(),
        |path: &Path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() * 2 / 3]).unwrap();
        },
        |path: &Path| {
            let mut bytes = fs::read(path).unwrap();
            bytes
                .iter_mut()
                .skip(300)
                .step_by(1_000)
                .for_each(|byte| *byte ^= 0x55);
            fs::write(path, bytes).unwrap();
        },
    ] {
        let stage = Stage::of(&SIZES);
        crash(&stage, "FrameWritten", 30);
        let spools = stage.path("state-out/spool");
        let [question] = names(&spools).try_into().unwrap();
        let [run] = names(&spools.join(&question)).try_into().unwrap();
        damage(&spools.join(question).join(run));
        finish(&stage, "out");
        assert!(stage.requests() <= 2 * minimum(&SIZES, PAGE));
    }
}

#[test]
fn what_drifted_before_a_kill_uses_up_no_patience_after_it() {
    let stage = Stage::of(&[450]);
    let drift = Drift {
        insert_front: 1,
        ..Drift::default()
    };
    stage.simulator.add_fault(Fault::new(Effect::Drift(drift)));
    let mut moving = export(&stage, "out");
    moving.env("ROLLBOOK_RESTARTS", "9");
    die(moving, "FrameWritten", 12);
    stage.simulator.clear_faults();
    // The walk that was cut off may cost one more; those before it are history.
    let mut settled = export(&stage, "out");
    let output = settled.env("ROLLBOOK_RESTARTS", "1").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    finish(&stage, "out");
}
