//! `--metrics-file`, read by Prometheus' own parser.

use std::collections::BTreeMap;
use std::fs;

use rollbook::FailureKind;
use rollbook::simulator::{Effect, Endpoint, Fault, TOKEN, Throttled};
use rstest::rstest;
use serde_json::Value;

use crate::stage::{Stage, ended, gone};
use crate::venv;

const ARGS: [&str; 2] = ["--metrics-file", "rollbook.prom"];
const LAST_SUCCESS: &str = "last_success_timestamp_seconds";

/// Each sample by its name without the prefix, and its labels' values.
fn samples(stage: &Stage) -> BTreeMap<String, f64> {
    let path = stage.path("rollbook.prom");
    let told = venv::run("metrics.py", &[path.to_str().unwrap()]);
    let samples: Vec<(String, BTreeMap<String, String>, f64)> =
        serde_json::from_str(&told).unwrap();
    let all = samples.len();
    let named: BTreeMap<_, _> = samples
        .into_iter()
        .map(|(name, labels, value)| {
            let labels = labels.into_values().map(|label| format!(" {label}"));
            let name = name.strip_prefix("rollbook_").unwrap();
            (name.to_owned() + &labels.collect::<String>(), value)
        })
        .collect();
    assert_eq!(named.len(), all, "a sample is there twice");
    named
}

/// A count, which the format writes as any number.
fn whole(value: f64) -> u64 {
    format!("{value:.0}").parse().unwrap()
}

#[test]
fn the_figures_of_a_run_are_those_of_its_report() {
    let throttled = Throttled {
        limit: 1_000_000,
        per: "1 second".to_owned(),
        retry_after: Some(1),
        ..Throttled::default()
    };
    let stage = Stage::of(&[10, 1_200, 0, 30])
        .fault(Fault::new(gone()).meeting(3))
        .fault(Fault::new(Effect::Throttled(throttled)).first(1));
    let all = [
        &ARGS[..],
        &["--report", "report.json", "--concurrency", "1"],
    ]
    .concat();
    stage.export(&all).silently(4);
    let (told, report) = (samples(&stage), stage.report());
    let figure = |name: &str| whole(told[name]);
    assert_eq!(figure("records"), report.records);
    assert_eq!(figure("meetings requested"), 4);
    assert_eq!(figure("meetings complete"), 2);
    assert_eq!(figure("meetings empty"), 1);
    assert_eq!(figure("meetings incomplete"), 1);
    assert_eq!(figure("meetings unfinished"), 0);
    assert_eq!(figure("requests sent"), report.requests.sent);
    assert_eq!(figure("requests minimum"), report.requests.minimum);
    assert_eq!(
        (figure("requests throttled"), figure("requests retried")),
        (1, 1)
    );
    assert!((told["paused_seconds"] - 1.0).abs() < 0.1, "{told:?}");
    assert!(told["run_duration_seconds"] >= 1.0);
    assert_eq!(figure("exit_code"), 4);
    assert_eq!(figure("failures http_4xx"), 1);
    for kind in FailureKind::ALL {
        assert!(told.contains_key(&format!("failures {}", kind.as_str())));
    }
    let failures: f64 = told
        .iter()
        .filter(|(name, _)| name.starts_with("failures"))
        .map(|(_, value)| value)
        .sum();
    assert_eq!(whole(failures), 1);
    assert_eq!(
        figure("last_run_timestamp_seconds"),
        report.finished.timestamp().cast_unsigned()
    );
    assert_eq!(figure(LAST_SUCCESS), 0);
    let text = fs::read_to_string(stage.path("rollbook.prom")).unwrap();
    for meeting in 0..4 {
        assert!(!text.contains(&stage.meeting(meeting)));
    }
}

#[test]
fn what_the_list_cost_and_its_days_that_are_missing_are_told_of_a_window_alone() {
    let stage = Stage::of(&[10; 4])
        .fault(
            Fault::new(Effect::Status(503))
                .on(Endpoint::History)
                .first(1),
        )
        .fault(Fault::new(gone()).on(Endpoint::History).nth(3));
    let window = [
        "--since",
        "2026-01-05",
        "--until",
        "2026-01-07",
        "--report",
        "report.json",
    ];
    let mut command = stage.bare(&["export", "--out", "nights", "--concurrency", "1"]);
    command
        .args(ARGS)
        .args(window)
        .env("ROLLBOOK_ACCESS_TOKEN", TOKEN);
    ended(&mut command).silently(4);
    let told = samples(&stage);
    assert_eq!(stage.report().window.unwrap().requests, 4);
    assert_eq!(whole(told["list_requests"]), 4);
    assert_eq!(whole(told["unlisted_days"]), 1);
    stage.export(&ARGS).silently(0);
    let told = samples(&stage);
    assert!(!told.contains_key("list_requests") && !told.contains_key("unlisted_days"));
}

#[test]
fn a_failed_run_keeps_the_time_of_the_last_success_and_says_why() {
    let stage = Stage::of(&[10; 4]);
    stage.export(&ARGS).silently(0);
    let success = samples(&stage);
    assert!(success[LAST_SUCCESS] > 0.0);
    assert_eq!(whole(success["exit_code"]), 0);
    // Before there is a run, in it, and in its settings.
    let refused = |envs: &[(&str, &str)], args: &[&str], code: u8, kind: &str| {
        let mut command = stage.bare(&["export", "--out", "other"]);
        command.args(ARGS).args(args).envs(envs.iter().copied());
        ended(&mut command).silently(code.into());
        let told = samples(&stage);
        assert_eq!(whole(told[LAST_SUCCESS]), whole(success[LAST_SUCCESS]));
        assert_eq!(whole(told["exit_code"]), u64::from(code));
        assert_eq!(whole(told[&format!("failures {kind}")]), 1, "{told:?}");
    };
    let list = ["--meetings", "list.txt"];
    refused(&[], &list, 3, "token");
    let old = ("ROLLBOOK_ACCESS_TOKEN", "an-old-one");
    refused(&[old], &list, 3, "token");
    refused(&[old], &[], 2, "config");
    refused(&[old], &["--config", "none.toml"], 3, "config");
    refused(&[old], &["--meetings", "none.txt"], 1, "storage");
}

#[rstest]
#[case::broken(Effect::Status(500), "http_5xx")]
#[case::away(Effect::Reset, "transport")]
#[case::odd(Effect::Bytes(b"<html>".to_vec()), "decode")]
#[case::redirected(Effect::Redirect("https://example.com/".to_owned()), "http_3xx")]
#[case::changing(Effect::Short(1), "drift")]
fn what_went_wrong_is_told_by_its_kind(#[case] effect: Effect, #[case] kind: &str) {
    let stage = Stage::of(&[10, 20]).fault(Fault::new(effect).meeting(0).on(Endpoint::Records));
    let all = [&ARGS[..], &["--retries", "1", "--restarts", "1"]].concat();
    stage.export(&all).silently(4);
    let told = samples(&stage);
    assert_eq!(whole(told[&format!("failures {kind}")]), 1, "{told:?}");
}

#[test]
fn a_metrics_file_that_cannot_be_written_is_found_out_before_the_run() {
    let stage = Stage::of(&[10]);
    let said = stage
        .export(&["--metrics-file", "none/rollbook.prom"])
        .silently(1);
    assert!(
        said.contains("cannot write the metrics none/rollbook.prom"),
        "{said}"
    );
    assert_eq!(stage.requests(), 0);
}

#[test]
fn the_file_keeps_its_mode_unless_another_one_is_given() {
    use std::os::unix::fs::PermissionsExt as _;
    let stage = Stage::of(&[10]);
    let path = stage.path("rollbook.prom");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
    stage.export(&ARGS).silently(0);
    // Nothing in it is personal, and another user collects it.
    assert_eq!(mode(), 0o644);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
    stage
        .export(&[&ARGS[..], &["--mode", "640"]].concat())
        .silently(0);
    assert_eq!(mode(), 0o660);
    // Also where the run fails before it has its settings.
    stage
        .export(&[&ARGS[..], &["--config", "none.toml"]].concat())
        .silently(3);
    assert_eq!(mode(), 0o660);
    let given = [&ARGS[..], &["--metrics-mode", "604"]].concat();
    stage.export(&given).silently(0);
    assert_eq!(mode(), 0o604);
}

#[test]
fn the_figures_go_to_standard_output_where_that_is_asked() {
    let stage = Stage::of(&[10]);
    let run = stage.export(&["--metrics-file", "-"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.answer().contains("\nrollbook_records 10\n"), "{run:?}");
    assert!(!stage.path("-").exists());
}

#[rstest]
#[case::json(&["--log-format", "json"])]
#[case::json_with_more(&["--log-format", "json", "-vv"])]
#[case::text(&["-v"])]
fn each_line_of_the_log_names_the_run(#[case] args: &[&str]) {
    let stage = Stage::of(&[10; 3]).fault(Fault::new(gone()).meeting(1));
    let all = [args, &["--report", "report.json"]].concat();
    let said = stage.export(&all).silently(4);
    let run_id = stage.report().run_id;
    let is_json = args.contains(&"json");
    let mut lines = 0;
    for line in said.lines() {
        if is_json {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["run_id"], run_id, "{line}");
        } else if line.contains(" WARN ") || line.contains("DEBUG ") || line.contains(" INFO ") {
            assert!(line.starts_with(&format!("{run_id} ")), "{line}");
        } else {
            continue;
        }
        lines += 1;
    }
    assert!(lines > 1, "{said}");
}
