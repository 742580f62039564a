//! A panic of a library, wherever it happens: the run ends with its report, its metrics and exit 1,
//! and nothing that the panic says is shown.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use rollbook::{FailureKind, MeetingStatus, Outcome, Report};
use rstest::rstest;

use crate::stage::{Ended, Stage, ended};

const EXPORT: [&str; 9] = [
    "export",
    "--meetings",
    "list.txt",
    "--out",
    "out",
    "--report",
    "report.json",
    "--metrics-file",
    "rollbook.prom",
];

fn panicking(stage: &Stage, args: &[&str], point: &str) -> Command {
    let mut command = stage.command(args);
    command.env("ROLLBOOK_PANIC_AT", point);
    command
}

/// It ended in good order, and said where it happened and not what was said.
#[track_caller]
fn assert_in_order(stage: &Stage, run: &Ended, code: i32) {
    assert_eq!(run.code, Some(code), "{}", run.stderr);
    assert!(
        run.stderr.contains("internal error at src/failpoint.rs:"),
        "{}",
        run.stderr
    );
    let report = fs::read_to_string(stage.path("report.json")).unwrap();
    let metrics = fs::read_to_string(stage.path("rollbook.prom")).unwrap();
    for text in [&run.stderr, &report, &metrics] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[rstest]
#[case::opening("DatasetMade:1", &[], 0)]
#[case::the_encoder("PartMade:1", &[], 0)]
#[case::the_encoder_later("PartGrown:2", &[], 0)]
#[case::a_commit("EntryReady:1", &[], 0)]
#[case::a_commit_that_is_there("EntryPut:1", &[], 0)]
#[case::a_later_commit("EntryReady:2", &["--commit-every", "1ms", "--rate", "20/s"], 1)]
#[case::the_end("ReportReady:1", &[], 3)]
#[case::the_very_end("StagingRemoved:1", &[], 3)]
fn a_run_that_panics_ends_with_its_report_its_metrics_and_1(
    #[case] point: &str,
    #[case] args: &[&str],
    #[case] committed: u64,
) {
    let stage = Stage::of(&[10, 700, 0]);
    let run = ended(&mut panicking(&stage, &[&EXPORT[..], args].concat(), point));
    assert_in_order(&stage, &run, 1);
    assert!(run.stderr.contains("defect of rollbook"), "{}", run.stderr);
    let metrics = fs::read_to_string(stage.path("rollbook.prom")).unwrap();
    assert!(metrics.contains("\nrollbook_exit_code 1\n"), "{metrics}");
    let internal = "\nrollbook_failures{cause=\"internal\"} 1\n";
    if committed < 3 {
        let report = stage.report();
        assert_eq!(report.outcome, Outcome::Failed);
        assert_eq!(report.failures[&FailureKind::Internal], 1);
        assert_eq!(report.meetings.requested, 3);
        assert_eq!(report.per_meeting.len(), 3);
        let whole = report.per_meeting.iter();
        let whole = whole.filter(|meeting| meeting.status == MeetingStatus::Complete);
        let whole = whole.count() as u64;
        assert!((committed..3).contains(&whole), "{report:?}");
        assert!(metrics.contains(internal), "{metrics}");
    }
    // Nothing is by halves, and the next run finishes it.
    stage.export(&["--report", "report.json"]).silently(0);
    assert_eq!(stage.assert_no_halves("out"), 2);
    stage.verified().with(0);
}

#[test]
fn a_panic_beside_the_run_is_told_and_the_run_goes_on() {
    let stage = Stage::of(&[10, 700, 0]);
    let args = [&EXPORT[..], &["--spool", "always"]].concat();
    let run = ended(&mut panicking(&stage, &args, "FrameWritten:1"));
    assert_in_order(&stage, &run, 0);
    assert_eq!(stage.report().outcome, Outcome::Complete);
}

#[test]
fn of_several_tenants_the_one_that_panics_has_a_report_as_well() {
    let stage = Stage::of(&[10]);
    fs::write(stage.path("token"), rollbook::simulator::TOKEN).unwrap();
    let mut config = "access_token_env = \"TOKEN\"\nmeetings = \"list.txt\"\n".to_owned();
    for name in ["a", "b"] {
        let url = stage.simulator.base_url();
        writeln!(
            config,
            "[[tenant]]\nname = \"{name}\"\nbase_url = \"{url}\""
        )
        .unwrap();
    }
    fs::write(stage.path("my.toml"), config).unwrap();
    let args = ["export", "--config", "my.toml", "--out", "out"];
    let mut command = stage.bare(&[&args[..], &EXPORT[5..]].concat());
    command
        .env_remove("ROLLBOOK_BASE_URL")
        .env("TOKEN", rollbook::simulator::TOKEN)
        .env("ROLLBOOK_PANIC_AT", "EntryReady:1");
    let run = ended(&mut command);
    assert_in_order(&stage, &run, 1);
    let overall: serde_json::Value =
        serde_json::from_slice(&fs::read(stage.path("report.json")).unwrap()).unwrap();
    let tenants = overall["tenants"].as_array().unwrap();
    let mut codes: Vec<_> = tenants
        .iter()
        .map(|tenant| {
            let report: Report = serde_json::from_value(tenant["report"].clone()).unwrap();
            let code = tenant["exit_code"].as_u64().unwrap();
            assert_eq!(report.outcome == Outcome::Complete, code == 0);
            code
        })
        .collect();
    codes.sort_unstable();
    assert_eq!(codes, [0, 1]);
}

#[test]
fn any_other_command_that_panics_ends_with_1_as_well() {
    let stage = Stage::of(&[10, 700, 0]);
    stage.export(&[]).silently(0);
    let args = ["purge", "out", "--meetings", "list.txt"];
    let run = ended(&mut panicking(&stage, &args, "EntryReady:1"));
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("internal error at"), "{}", run.stderr);
    assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
}
