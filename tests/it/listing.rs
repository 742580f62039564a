//! `rollbook meetings`, and `rollbook export` with a window, as their user sees them.

use std::fs;

use rollbook::Report;
use rollbook::simulator::{Answer, Effect, Endpoint, Fault, RecordEdit, Throttled};
use rstest::rstest;

use crate::stage::Stage;

/// The first meetings of the simulator begin in this month.
const WINDOW: [&str; 4] = ["--since", "2026-01-01", "--until", "2026-01-31"];

fn list(stage: &Stage, args: &[&str]) -> (i32, String, String) {
    let ended = stage.run(&[&["meetings"], &WINDOW[..], args].concat());
    let stdout = String::from_utf8(ended.stdout).unwrap();
    (ended.code.unwrap(), stdout, ended.stderr)
}

#[test]
fn the_list_comes_in_each_form_and_shows_no_way_in() {
    let stage = Stage::of(&[1, 2, 3]);
    for (form, lines) in [("table", 6), ("ndjson", 3), ("uuids", 3)] {
        let (code, stdout, stderr) = list(&stage, &["--format", form, "-vv"]);
        assert_eq!(code, 0, "{stderr}");
        assert_eq!(stdout.lines().count(), lines, "{stdout}");
        assert!(stdout.contains(&stage.meeting(2)), "{stdout}");
        for secret in ["join.example", "assword", "JoinUri"] {
            assert!(!format!("{stdout}{stderr}").contains(secret), "{form}");
        }
    }
}

#[test]
fn what_is_listed_can_be_exported() {
    let stage = Stage::of(&[1, 2, 3]);
    let (_, stdout, _) = list(&stage, &["--format", "ndjson"]);
    fs::write(stage.path("found.ndjson"), stdout).unwrap();
    let ended = stage.run(&["export", "--meetings", "found.ndjson", "--out", "out"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(stage.assert_no_halves("out"), 3);
}

#[test]
fn a_window_is_exported_and_a_second_run_asks_for_no_record() {
    let stage = Stage::of(&[1, 2, 3]);
    let window = ["export", "--out", "out", "--report", "report.json"];
    let window = [&window, &WINDOW[..]].concat();
    let ended = stage.run(&window);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(stage.assert_no_halves("out"), 3);
    let ended = stage.run(&window);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report: Report = stage.report();
    assert_eq!((report.requests.sent, report.meetings.already), (0, 3));
}

#[test]
fn a_day_that_cannot_be_listed_is_told_and_sets_the_exit_code() {
    let stage = Stage::of(&[1, 2, 3]);
    let fault = Fault::new(Effect::Status(400)).on(Endpoint::History);
    let stage = stage.fault(fault.nth(3));
    let (code, stdout, stderr) = list(&stage, &["--format", "uuids"]);
    assert_eq!(code, 4, "{stdout}{stderr}");
    assert!(
        stderr.contains("could not be listed: at offset 0: HTTP 400"),
        "{stderr}"
    );
    stage.simulator.clear_faults();
    stage
        .simulator
        .add_fault(Fault::new(Effect::Status(400)).on(Endpoint::History).nth(3));
    let args = [&["export", "--out", "out"], &WINDOW[..]].concat();
    let ended = stage.run(&args);
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    let told = "not listed, so that none of their meetings are there";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
}

#[test]
fn a_row_that_cannot_be_read_is_named_with_its_offset_and_the_others_are_exported() {
    let stage = Stage::of(&[1, 2, 3]);
    let edit = Effect::Record(RecordEdit::unset(1, "confUUID"));
    let stage = stage.fault(Fault::new(edit).on(Endpoint::History));
    let (code, stdout, stderr) = list(&stage, &["--format", "uuids"]);
    assert_eq!((code, stdout.lines().count()), (4, 2), "{stderr}");
    let named = "row at offset 1: it has no readable confUUID";
    assert!(stderr.contains(named), "{stderr}");
    let args = [
        &["export", "--out", "out", "--report", "report.json"],
        &WINDOW[..],
    ]
    .concat();
    let said = stage.run(&args).silently(4);
    // In the log when it is found, and in the summary.
    assert_eq!(said.matches(named).count(), 2, "{said}");
    assert_eq!(stage.assert_no_halves("out"), 2);
    let unlisted = &stage.report().window.unwrap().unlisted;
    assert_eq!((unlisted.len(), &unlisted[0].rows[..]), (1, &[1][..]));
}

#[test]
fn a_meeting_that_the_list_has_twice_costs_no_other_one() {
    let stage = Stage::of(&[1, 2, 3]);
    let twice = format!("\"{}\"", stage.meeting(0));
    let edit = Effect::Record(RecordEdit::set(2, "confUUID", &twice));
    let stage = stage.fault(Fault::new(edit).on(Endpoint::History));
    let args = [&["export", "--out", "out"], &WINDOW[..]].concat();
    let said = stage.run(&args).silently(4);
    let named = "row at offset 2: it has the confUUID of a row before it";
    assert!(said.contains(named), "{said}");
    assert_eq!(stage.assert_no_halves("out"), 2);
}

#[test]
fn an_error_code_of_zero_beside_data_is_no_error() {
    let stage = Stage::of(&[1]);
    let meeting = stage.meeting(0);
    for (endpoint, row) in [
        (Endpoint::Records, r#"{"displayName":"Li Wei"}"#.to_owned()),
        (Endpoint::History, format!(r#"{{"confUUID":"{meeting}"}}"#)),
    ] {
        let body = format!(
            r#"{{"error_code":0,"errorCode":"0","error_msg":"","offset":0,"limit":500,"count":1,"data":[{row}]}}"#
        );
        let answer = Answer {
            body,
            ..Answer::default()
        };
        stage
            .simulator
            .add_fault(Fault::new(Effect::Answer(answer)).on(endpoint));
    }
    let day = ["--since", "2026-01-05", "--until", "2026-01-05"];
    let args = [
        &["export", "--out", "out", "--report", "report.json"],
        &day[..],
    ]
    .concat();
    stage.run(&args).silently(0);
    let report = stage.report();
    assert_eq!((report.records, report.meetings.complete), (1, 1));
}

#[test]
fn what_is_not_listed_at_the_deadline_is_told_and_the_rest_is_there() {
    let stage = Stage::of(&[1, 2, 3]);
    let config = "deadline = \"1s\"\n";
    fs::write(stage.path("nightly.toml"), config).unwrap();
    // Six days a minute.
    let args = ["--rate", "6/min", "--config", "nightly.toml"];
    let (code, stdout, stderr) = list(&stage, &[&args[..], &["--format", "uuids"]].concat());
    assert_eq!(code, 4, "{stdout}{stderr}");
    assert_eq!(stage.requests(), 1);
    let told = "could not be listed: the run stopped first";
    assert_eq!(stderr.matches(told).count(), 30, "{stderr}");
}

#[rstest]
#[case::of_the_list(Endpoint::History)]
#[case::of_records(Endpoint::Records)]
fn a_request_that_the_quota_refuses_is_one_line_of_the_log(#[case] endpoint: Endpoint) {
    let throttled = Effect::Throttled(Throttled {
        retry_after: Some(1),
        ..Throttled::default()
    });
    let stage = Stage::of(&[3]).fault(Fault::new(throttled).on(endpoint).first(1));
    let window = ["--since", "2026-01-05", "--until", "2026-01-05"];
    let ended = stage.run(&[&["export", "--out", "out", "-vv"], &window[..]].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(
        ended.stderr.matches("HTTP 429").count(),
        1,
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("nobody sends for 1"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_window_and_a_list_at_once_are_refused_where_both_are_said() {
    let stage = Stage::of(&[1, 2]);
    let both = [
        "export",
        "--since",
        "7d",
        "--meetings",
        "list.txt",
        "--out",
        "out",
    ];
    let named = ["export", "--since", "7d", "a1", "--out", "out"];
    for args in [&both[..], &named] {
        let ended = stage.run(args);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("window (--since)"),
            "{}",
            ended.stderr
        );
    }
    // What is said here and now wins over what stands in the environment.
    let settings = |args: &[&str], name: &str, value: &str| {
        let all = [&["export", "--print-config"], args].concat();
        let output = stage.command(&all).env(name, value).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let text = settings(&["--meetings", "list.txt"], "ROLLBOOK_SINCE", "7d");
    assert!(!text.contains("since ="), "{text}");
    let text = settings(&["--since", "7d"], "ROLLBOOK_MEETINGS", "list.txt");
    assert!(!text.contains("\nmeetings ="), "{text}");
    // Two that stand contradict each other.
    let ended = stage.command(&["export", "--out", "out"]);
    let mut ended = ended;
    ended
        .env("ROLLBOOK_SINCE", "7d")
        .env("ROLLBOOK_MEETINGS", "list.txt");
    assert_eq!(ended.output().unwrap().status.code(), Some(3));
    assert_eq!(stage.requests(), 0);
}

#[test]
fn a_time_that_is_none_is_a_usage_error_that_says_what_is_one() {
    let stage = Stage::of(&[1]);
    for args in [
        &["meetings"][..],
        &["meetings", "--since", "tomorrow"],
        &["export", "--out", "out", "--since", "2026-11-01T08:00"],
        &[
            "export",
            "--out",
            "out",
            "--since",
            "7d",
            "--timezone",
            "CST",
        ],
    ] {
        let ended = stage.run(args);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    }
    let ended = stage.run(&["meetings", "--since", "tomorrow"]);
    assert!(ended.stderr.contains("yesterday"), "{}", ended.stderr);
}
