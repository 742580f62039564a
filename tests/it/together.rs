//! Two runs on one dataset at the same time, each a process of its own.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use rollbook::Outcome;
use rollbook::simulator::{Effect, Fault};
use rstest::rstest;

use crate::stage::{Ended, Running, Stage, until};

const MEETINGS: usize = 60;

/// The names of what is in a folder.
fn names(stage: &Stage, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(stage.path(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[rstest]
#[case::one_list(0..MEETINGS, 0..MEETINGS)]
#[case::the_other_way_round(0..MEETINGS, (0..MEETINGS).rev())]
#[case::lists_that_overlap(0..40, 20..MEETINGS)]
#[case::a_list_in_the_other(0..MEETINGS, 25..35)]
fn two_runs_at_once_commit_each_meeting_once(
    #[case] first: impl IntoIterator<Item = usize>,
    #[case] second: impl IntoIterator<Item = usize>,
) {
    // Slow enough to meet, quick enough to do so over and over.
    let sizes: Vec<_> = (0..MEETINGS as u64).map(|at| at % 7 * 100).collect();
    let stage = Stage::of(&sizes).fault(Fault::new(Effect::Delay(Duration::from_millis(3))));
    stage.list("first.txt", first);
    stage.list("second.txt", second);
    for round in 0..3 {
        let out = format!("out{round}");
        let start = |list: &str| {
            let args = [
                "export",
                "--out",
                &out,
                "--meetings",
                list,
                "--part-rows",
                "900",
            ];
            let mut command = stage.command(&args);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        let runs = [start("first.txt"), start("second.txt")];
        for run in runs {
            Ended::new(run.wait_with_output().unwrap()).silently(0);
        }
        // Each record of each meeting once, whoever brought it.
        let mut rows = stage.rows(&out);
        let meetings = stage.simulator.meetings();
        rows.sort_by_cached_key(|(meeting, index, _)| {
            let at = meetings.iter().position(|known| known.as_str() == meeting);
            (at, *index)
        });
        let all: Vec<_> = (0..MEETINGS).collect();
        stage.assert_rows(&rows, &all);
        let sound = stage.run(&["verify", &out]);
        assert_eq!(sound.code, Some(0), "{}", sound.answer());
        assert!(names(&stage, &format!("{out}/_rollbook/staging")).is_empty());
        assert_eq!(names(&stage, &format!("{out}/_rollbook/runs")).len(), 2);
    }
}

#[test]
fn a_run_says_who_else_is_at_work_and_what_was_done_in_the_meantime() {
    let stage = Stage::of(&[10, 20, 700]).fault(Fault::new(Effect::Hang).meeting(0).first(1));
    let args = [
        "export",
        "--meetings",
        "list.txt",
        "--out",
        "out",
        "--report",
    ];
    let mut slow = stage.command(&args);
    let slow = Running::start(slow.args(["slow.json", "--timeout", "1500ms"]));
    until("the run that waits", || {
        stage.simulator.request_count() == 4
    });
    let run_id = names(&stage, "out/_rollbook/staging").remove(0);

    let said = stage
        .run(&[&args[..], &["report.json"]].concat())
        .silently(0);
    let words = format!("another run is at work on this dataset: {run_id}");
    assert!(said.contains(&words), "{said}");
    assert!(!said.contains("in the meantime"), "{said}");

    let (code, said) = slow.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("another run is at work"), "{said}");
    let words = "3 meetings were committed by another run in the meantime";
    assert!(said.contains(words), "{said}");
    assert!(said.contains("complete: 3 of 3 meetings"), "{said}");

    // Who comes after both has nobody beside it.
    let said = stage.export(&[]).silently(0);
    assert!(!said.contains("another run"), "{said}");
    stage.assert_rows(&stage.rows("out"), &[0, 1, 2]);
    assert_eq!(stage.verified().code, Some(0));
}

/// A run that hangs at its first request, and its name.
fn hanging(stage: &Stage) -> (Running, String) {
    let args = ["export", "--meetings", "list.txt", "--out", "out"];
    let mut slow = stage.command(&args);
    let slow = Running::start(slow.args(["--timeout", "1500ms"]));
    until("the run that waits", || stage.simulator.request_count() > 0);
    let run_id = names(stage, "out/_rollbook/staging").remove(0);
    (slow, run_id)
}

#[test]
fn a_run_that_is_to_skip_another_says_whose_turn_it_is_and_ends_with_0() {
    let stage = Stage::of(&[10]).fault(Fault::new(Effect::Hang).first(1));
    let (slow, run_id) = hanging(&stage);
    let said = stage
        .export(&["--if-running", "skip", "--report", "report.json"])
        .silently(0);
    let words = format!("another run is at work on this dataset: {run_id}");
    assert!(said.contains(&words), "{said}");
    let report = stage.report();
    assert_eq!(report.outcome, Outcome::Skipped);
    assert_eq!(report.beside, [run_id]);
    assert_eq!(report.requests.sent, 0);
    let (code, said) = slow.end();
    assert_eq!(code, Some(0), "{said}");
    // Alone, it works.
    stage.requests();
    stage
        .export(&["--if-running", "skip", "--report", "report.json"])
        .silently(0);
    assert_eq!(stage.report().outcome, Outcome::Complete);
    assert_eq!(names(&stage, "out/_rollbook/runs").len(), 2);
}

#[test]
fn a_run_that_is_to_wait_for_another_begins_when_that_one_has_ended() {
    let stage = Stage::of(&[10; 4]).fault(Fault::new(Effect::Hang).first(1));
    stage.list("first.txt", 0..1);
    let (slow, run_id) = hanging(&stage);
    let args = ["export", "--meetings", "list.txt", "--out", "out"];
    let mut second = stage.command(&args);
    let mut second = Running::start(second.args(["--if-running", "wait"]));
    second.hear(&format!(
        "waiting until the run at work on this dataset has ended: {run_id}"
    ));
    slow.signal(rustix::process::Signal::KILL);
    assert_eq!(slow.end().0, None);
    let (code, said) = second.end();
    assert_eq!(code, Some(0), "{said}");
    stage.assert_rows(&stage.rows("out"), &[0, 1, 2, 3]);
}

#[test]
fn waiting_for_another_run_ends_with_the_deadline() {
    let stage = Stage::of(&[10; 3]).fault(Fault::new(Effect::Hang).first(1));
    let (slow, run_id) = hanging(&stage);
    let args = [
        "--if-running",
        "wait",
        "--deadline",
        "1ms",
        "--report",
        "report.json",
    ];
    let said = stage.export(&args).silently(4);
    assert!(said.contains("waiting until"), "{said}");
    let report = stage.report();
    assert_eq!(report.outcome, Outcome::Interrupted);
    assert_eq!(report.meetings.unfinished, 3);
    assert_eq!(report.beside, [run_id]);
    slow.signal(rustix::process::Signal::KILL);
}
