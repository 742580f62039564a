//! The command as its user and a scheduler see it: the binary against the embedded API, by its
//! exit code, by what it says where, and by what it leaves behind.

use std::fs;
use std::io::{Cursor, Read, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

use arrow::ipc::reader::StreamReader;
use rollbook::simulator::{APP_ID, APP_KEY, Effect, Endpoint, Fault};
use rollbook::{MeetingStatus, Outcome, Report};
use rstest::rstest;
use rustix::process::Signal;
use serde_json::Value;

use crate::stage::{Ended, PATIENCE, Running, Stage, ended, gone, lines, rows, until};

// A run that goes well.

#[test]
fn a_complete_run_exits_with_0_a_summary_and_a_report() {
    let stage = Stage::of(&[10, 1_200, 0]);
    let said = stage.export(&["--report", "report.json"]).silently(0);
    assert!(
        said.contains("complete: 3 of 3 meetings are in out"),
        "{said}"
    );
    assert!(said.contains("1,210"), "{said}");
    let report = stage.report();
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(report.records, 1_210);
    assert_eq!(report.meetings.empty, 1);
    assert_eq!(report.requests.sent, report.requests.minimum);
    assert_eq!(stage.requests() as u64, report.requests.sent);
    let sound = stage.verified();
    assert!(sound.answer().starts_with("sound: out"), "{sound:?}");
    assert_eq!(sound.with(0), "");
}

#[test]
fn a_rerun_asks_nothing_and_says_so() {
    let stage = Stage::of(&[10, 600]);
    stage.export(&[]).silently(0);
    let parts = stage.parts("out");
    stage.requests();
    let said = stage.export(&["--report", "report.json"]).silently(0);
    assert_eq!(stage.requests(), 0);
    assert!(
        said.contains("2 of 2 meetings are in the dataset already"),
        "{said}"
    );
    assert!(said.contains("not asked again"), "{said}");
    assert_eq!(stage.report().meetings.already, 2);
    assert_eq!(stage.parts("out"), parts);
}

#[rstest]
#[case::text(&["-vv"])]
#[case::json(&["-vv", "--log-format", "json"])]
fn the_token_is_shown_nowhere(#[case] args: &[&str]) {
    const SECRET: &str = "hunter2-hunter2-hunter2";
    let stage = Stage::of(&[10]);
    stage.simulator.accept_token(SECRET);
    for code in [0, 3] {
        let all = ["export", "--meetings", "list.txt", "--out", "out"];
        let all = [&all, args, &["--report", "report.json"]].concat();
        let mut command = stage.bare(&all);
        let said = ended(command.env("ROLLBOOK_ACCESS_TOKEN", SECRET)).silently(code);
        assert!(!said.contains(SECRET), "{said}");
        let report = fs::read_to_string(stage.path("report.json")).unwrap();
        assert!(!report.contains(SECRET), "{report}");
        stage
            .simulator
            .expire_tokens(rollbook::simulator::Refusal::TimedOut);
        fs::remove_dir_all(stage.path("out")).unwrap();
    }
}

#[test]
fn a_log_of_json_is_json_to_the_last_line() {
    let stage = Stage::of(&[10; 3]).fault(Fault::new(gone()).meeting(1));
    let said = stage.export(&["-vv", "--log-format", "json"]).silently(4);
    let lines = said.lines().map(serde_json::from_str::<Value>);
    let lines: Vec<_> = lines.collect::<Result<_, _>>().expect(&said);
    assert_eq!(lines.last().unwrap()["message"], "finished");
    assert_eq!(lines.last().unwrap()["incomplete"], 1);
}

#[test]
fn a_quiet_run_says_nothing_unless_something_is_absent() {
    let stage = Stage::of(&[10; 3]);
    assert_eq!(stage.export(&["-q"]).silently(0), "");
    let stage = stage.fault(Fault::new(gone()).meeting(1));
    let all = ["export", "-q", "--meetings", "list.txt", "--out", "other"];
    let said = stage.run(&all).silently(4);
    assert!(
        said.contains("incomplete: 2 of 3 meetings are in other"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn the_rate_is_kept() {
    let stage = Stage::of(&[10; 5]);
    let args = ["--rate", "10/s", "--report", "report.json"];
    stage.export(&args).silently(0);
    let quota = stage.report().quota;
    assert_eq!(quota.bound_ms, 400);
    assert!(quota.elapsed_ms >= 400, "{quota:?}");
}

// What goes wrong with a meeting.

#[test]
fn a_broken_meeting_is_named_with_its_cause_and_the_others_are_complete() {
    let stage = Stage::of(&[10, 1_200, 20]).fault(Fault::new(gone()).meeting(1).offset(499));
    let said = stage.export(&["--report", "report.json"]).silently(4);
    let uuid = stage.meeting(1);
    let named = said
        .lines()
        .find(|line| line.trim_start().starts_with(&uuid));
    assert!(
        named.is_some_and(|line| line.contains("HTTP 404")),
        "{said}"
    );
    let report = stage.report();
    assert_eq!(report.outcome, Outcome::Incomplete);
    let meeting = &report.per_meeting[1];
    assert_eq!(meeting.conf_uuid.as_str(), uuid);
    assert_eq!(meeting.status, MeetingStatus::Failed);
    assert!(meeting.cause.as_ref().unwrap().contains("MMC.111072074"));
    assert_eq!(report.records, 30);
    assert_eq!(stage.verified().code, Some(0));
    // The next run asks for that one alone.
    stage.simulator.clear_faults();
    stage.requests();
    stage.export(&[]).silently(0);
    assert_eq!(stage.requests(), 3);
}

#[rstest]
#[case::text(&[])]
#[case::verbose(&["-vv"])]
#[case::json(&["--log-format", "json"])]
#[case::quiet(&["-q", "--fail-fast"])]
fn nothing_that_the_server_says_steers_the_terminal(#[case] args: &[&str]) {
    let stage = Stage::of(&[10; 2]).fault(Fault::new(gone()));
    let said = stage.export(args).silently(4);
    let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!said.contains(steers), "{said:?}");
    // A line that the server made up would begin with its words.
    assert!(
        !said
            .lines()
            .any(|line| line.contains("conference") && !line.contains("no such"))
    );
}

#[test]
fn nothing_that_the_server_says_steers_the_terminal_beside_a_bar() {
    let stage = Stage::of(&[10; 2]).fault(Fault::new(gone()));
    let said = stage.export(&["--progress", "always"]).silently(4);
    assert!(said.contains("no such"), "{said:?}");
    for steering in ["such\u{1b}", "\u{9b}", "\u{7}", "\u{202e}"] {
        assert!(!said.contains(steering), "{said:?}");
    }
}

#[test]
fn fail_fast_stops_at_the_first_broken_meeting_and_keeps_what_is_whole() {
    let stage = Stage::of(&[10; 40]).fault(Fault::new(gone()).meeting(2));
    let args = [
        "--fail-fast",
        "--concurrency",
        "1",
        "--report",
        "report.json",
    ];
    stage.export(&args).silently(4);
    let meetings = stage.report().meetings;
    assert_eq!(meetings.incomplete, 1);
    assert!(meetings.unfinished > 0, "{meetings:?}");
    assert!(stage.requests() < 40);
    assert_eq!(stage.verified().code, Some(0));
    stage.simulator.clear_faults();
    stage.export(&[]).silently(0);
}

// Credentials.

#[test]
fn a_refused_token_exits_with_3_and_says_what_to_do() {
    let stage = Stage::of(&[10; 40]);
    let mut command = stage.bare(&["export", "--meetings", "list.txt", "--out", "out"]);
    let command = command.env("ROLLBOOK_ACCESS_TOKEN", "an-old-one");
    let command = command.args(["--report", "report.json"]);
    let said = ended(command).silently(3);
    assert!(said.contains("ROLLBOOK_ACCESS_TOKEN"), "{said}");
    assert!(!said.contains("an-old-one"), "{said}");
    assert_eq!(stage.report().outcome, Outcome::Failed);
    stage.export(&[]).silently(0);
}

#[test]
fn an_app_id_logs_in_once() {
    let stage = Stage::of(&[10, 1_200]);
    let mut command = stage.bare(&["export", "--meetings", "list.txt", "--out", "out", "-vv"]);
    command.env("ROLLBOOK_APP_ID", APP_ID);
    let said = ended(command.env("ROLLBOOK_APP_KEY", APP_KEY)).silently(0);
    assert!(!said.contains(APP_KEY), "{said}");
    assert_eq!(stage.simulator.logins(), 1);
}

#[test]
fn a_wrong_app_key_exits_with_3_after_one_login() {
    let stage = Stage::of(&[10; 40]);
    let mut command = stage.bare(&["export", "--meetings", "list.txt", "--out", "out", "-vv"]);
    command.env("ROLLBOOK_APP_ID", APP_ID);
    let said = ended(command.env("ROLLBOOK_APP_KEY", "hunter2")).silently(3);
    assert!(!said.contains("hunter2"), "{said}");
    assert!(said.contains("App"), "{said}");
    let seen = stage.simulator.requests();
    let endpoints: Vec<_> = seen.iter().map(|seen| seen.endpoint).collect();
    assert_eq!(endpoints, [Endpoint::Login]);
}

// Signals and the deadline.

#[rstest]
#[case::interrupt(Signal::INT)]
#[case::terminate(Signal::TERM)]
#[case::hang_up(Signal::HUP)]
fn a_signal_commits_what_is_whole_and_the_rerun_finishes(#[case] signal: Signal) {
    let stage = Stage::of(&[10; 6]).fault(Fault::new(Effect::Hang).meeting(3));
    let hanging = stage.simulator.meetings()[3].clone();
    let args = ["export", "--meetings", "list.txt", "--out", "out"];
    let args = [&args[..], &["--concurrency", "1", "--timeout", "3s"]].concat();
    let mut run = Running::start(stage.command(&args).args(["--report", "report.json"]));
    until("a hanging request", || {
        let seen = stage.simulator.requests();
        seen.iter()
            .any(|seen| seen.meeting.as_deref() == Some(hanging.as_str()))
    });
    run.signal(signal);
    run.hear("once more stops at once");
    let (code, said) = run.end();
    assert_eq!(code, Some(130), "{said}");
    let report = stage.report();
    assert_eq!(report.outcome, Outcome::Interrupted);
    let (whole, missing) = (report.meetings.complete, report.meetings.unfinished);
    // With one slot, those before the hanging one are whole; a late signal may let others pass.
    assert!(whole >= 2 && missing >= 1 && whole + missing == 6, "{said}");
    let sentence = format!("interrupted: {whole} of 6 meetings are in out");
    assert!(said.contains(&sentence), "{said}");
    assert_eq!(stage.verified().code, Some(0));
    stage.simulator.clear_faults();
    stage.requests();
    stage.export(&[]).silently(0);
    assert_eq!(stage.requests() as u64, missing);
    assert_eq!(stage.verified().code, Some(0));
}

#[test]
fn a_signal_does_not_wait_for_an_answer_that_may_never_come() {
    let stage = Stage::of(&[10; 3]).fault(Fault::new(Effect::Hang));
    let args = ["export", "--meetings", "list.txt", "--out", "out"];
    let mut run = Running::start(stage.command(&args).args(["--timeout", "1h"]));
    until("a hanging request", || stage.simulator.request_count() == 3);
    run.signal(Signal::TERM);
    run.hear("once more stops at once");
    let begun = Instant::now();
    let (code, said) = run.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(begun.elapsed() < PATIENCE);
}

#[cfg(target_os = "linux")]
#[test]
fn a_hangup_that_nohup_has_ignored_ends_nothing() {
    let stage = Stage::of(&[10; 3]).fault(Fault::new(Effect::Hang).meeting(2));
    let script = r#"trap '' HUP; exec "$BIN" export --meetings list.txt --out out --timeout 1h"#;
    let mut run = Running::start(&mut stage.script(&[], script));
    until("a hanging request", || stage.simulator.request_count() == 3);
    run.signal(Signal::HUP);
    run.signal(Signal::INT);
    run.hear("once more stops at once");
    let (code, said) = run.end();
    // A hangup that counted would have made the interrupt the second signal.
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("interrupted:"), "{said}");
}

#[test]
fn a_second_signal_ends_the_run_at_once() {
    let stage = Stage::of(&[10; 3]).fault(Fault::new(Effect::Hang));
    let args = ["export", "--meetings", "list.txt", "--out", "out"];
    let mut run = Running::start(&mut stage.command(&args));
    until("a hanging request", || stage.simulator.request_count() == 3);
    run.signal(Signal::INT);
    run.hear("once more stops at once");
    run.signal(Signal::TERM);
    let (code, said) = run.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(!said.contains("interrupted:"), "{said}");
    stage.simulator.clear_faults();
    stage.export(&[]).silently(0);
}

#[test]
fn a_deadline_exits_with_4_and_keeps_what_is_whole() {
    let stage = Stage::of(&[10; 4]).fault(Fault::new(Effect::Hang).meeting(2));
    let args = ["--deadline", "400ms", "--report", "report.json"];
    let said = stage.export(&args).silently(4);
    assert!(
        said.contains("the same command goes on from here"),
        "{said}"
    );
    let report = stage.report();
    assert_eq!(report.outcome, Outcome::Interrupted);
    assert!(report.meetings.unfinished > 0, "{report:?}");
    assert_eq!(stage.verified().code, Some(0));
    stage.simulator.clear_faults();
    stage.export(&[]).silently(0);
}

// Into a pipe.

#[test]
fn ndjson_into_a_pipe_is_whole_meetings_and_nothing_else() {
    let stage = Stage::of(&[10, 1_200, 0, 700]).fault(Fault::new(gone()).meeting(1).offset(998));
    let args = ["--out", "-", "--format", "ndjson", "--buffer-rows", "600"];
    let run = stage.run(&[&["export", "--meetings", "list.txt"], &args[..]].concat());
    stage.assert_rows(&lines(&run.stdout), &[0, 2, 3]);
    let said = run.with(4);
    assert!(
        said.contains("3 of 4 meetings are written to standard output"),
        "{said}"
    );
    assert!(said.contains(&stage.meeting(1)), "{said}");
    // Nothing is kept, so nothing goes on from anywhere.
    assert!(!said.contains("the same command"), "{said}");
}

#[test]
fn arrow_into_a_pipe_is_a_stream_of_whole_meetings() {
    let stage = Stage::of(&[10, 1_200, 0]).fault(Fault::new(gone()).meeting(0));
    let args = ["--out", "-", "--format", "arrow", "--meetings", "list.txt"];
    let run = stage.run(&[&["export"], &args[..]].concat());
    let reader = StreamReader::try_new(Cursor::new(&run.stdout), None).unwrap();
    let read: Vec<_> = reader.flat_map(|batch| rows(&batch.unwrap())).collect();
    stage.assert_rows(&read, &[1, 2]);
    run.with(4);
}

#[rstest]
#[case::ndjson("ndjson")]
#[case::arrow("arrow")]
fn a_reader_that_leaves_early_ends_the_run_quietly(#[case] format: &str) {
    let stage = Stage::of(&[1_000; 20]);
    let args = ["export", "--meetings", "list.txt", "--out", "-", "--format"];
    let mut command = stage.command(&args);
    let mut child = command
        .args([format, "--report", "report.json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 100]).unwrap();
    drop(stdout);
    let said = Ended::new(child.wait_with_output().unwrap()).silently(0);
    assert_eq!(said, "");
    assert_eq!(stage.report().outcome, Outcome::Interrupted);
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_that_takes_no_more_for_another_reason_is_a_failure() {
    let stage = Stage::of(&[10]);
    let args = [
        "export",
        "--meetings",
        "list.txt",
        "--out",
        "-",
        "--format",
        "ndjson",
    ];
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut child = stage.command(&args);
    let child = child.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let said = Ended::new(child.wait_with_output().unwrap()).with(1);
    assert!(said.contains("cannot write the output stream"), "{said}");
}

#[test]
fn a_log_that_nobody_reads_any_more_does_not_end_the_run() {
    let stage = Stage::of(&[10; 5]).fault(Fault::new(Effect::Status(503)).first(5));
    let args = ["export", "--meetings", "list.txt", "--out", "out", "-vv"];
    let mut child = stage.command(&args).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(stage.verified().code, Some(0));
}

// Places that cannot be written.

#[test]
fn a_destination_that_cannot_be_written_exits_with_1_and_its_path() {
    let stage = Stage::of(&[10]);
    let args = ["export", "--meetings", "list.txt", "--out", "list.txt/out"];
    let said = stage.run(&args).silently(1);
    // The file that is in the way.
    assert!(said.contains("cannot create list.txt"), "{said}");
    assert_eq!(stage.requests(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_destination_that_cannot_be_made_exits_with_1_and_its_path() {
    // Where even root can make nothing.
    let stage = Stage::of(&[10]);
    let args = [
        "export",
        "--meetings",
        "list.txt",
        "--out",
        "/proc/rollbook",
    ];
    let said = stage.run(&args).silently(1);
    assert!(said.contains("cannot create /proc/rollbook"), "{said}");
    assert_eq!(stage.requests(), 0);
}

#[test]
fn a_report_that_would_replace_a_folder_is_found_out_before_the_run() {
    let stage = Stage::of(&[10]);
    let said = stage.export(&["--report", "."]).silently(1);
    assert!(said.contains("cannot write the report ."), "{said}");
    fs::create_dir(stage.path("folder")).unwrap();
    let said = stage.export(&["--report", "folder"]).silently(1);
    assert!(said.contains("cannot write the report folder"), "{said}");
    assert_eq!(stage.requests(), 0);
}

#[cfg(unix)]
#[test]
fn a_report_into_a_device_or_through_a_link_leaves_them_what_they_are() {
    let stage = Stage::of(&[10]);
    fs::write(stage.path("report.json"), "old").unwrap();
    std::os::unix::fs::symlink("report.json", stage.path("latest")).unwrap();
    stage.export(&["--report", "latest"]).silently(0);
    assert!(stage.path("latest").is_symlink());
    assert_eq!(stage.report().records, 10);
    // A device that is reached by a name of our own, so that nothing but that name is at stake.
    std::os::unix::fs::symlink("/dev/stdout", stage.path("device")).unwrap();
    let run = stage.export(&["--report", "device"]);
    let report: Report = serde_json::from_slice(&run.stdout).expect(&run.stderr);
    assert_eq!(report.meetings.already, 1);
    assert!(stage.path("device").is_symlink());
}

#[test]
fn a_report_goes_to_standard_output_where_nothing_else_does() {
    let stage = Stage::of(&[10]);
    let run = stage.export(&["--report", "-"]);
    let report: Report = serde_json::from_slice(&run.stdout).expect(&run.stderr);
    assert_eq!((run.code, report.records), (Some(0), 10));
    assert!(!stage.path("-").exists());
    stage.requests();
    for args in [
        &["--out", "-", "--format", "ndjson", "--report", "-"][..],
        &["--out", "-", "--format", "ndjson", "--metrics-file", "-"],
        &["--out", "more", "--report", "-", "--metrics-file", "-"],
    ] {
        let all = [&["export", "--meetings", "list.txt"], args].concat();
        let said = stage.run(&all).silently(2);
        assert!(said.contains("are both standard output"), "{said}");
    }
    assert_eq!(stage.requests(), 0);
    // A file of that name is a file.
    stage.export(&["--report", "./-"]).silently(0);
    assert!(stage.path("-").is_file());
}

// Meeting lists.

#[rstest]
#[case::plain(|uuids: &[String]| format!("\u{feff}# last week\r\n{}\r\n\r\n{}\r\n", uuids[0], uuids[2]))]
#[case::csv(|uuids: &[String]| format!("subject,conf_uuid\n\"a, b\",{}\nc,{}\n", uuids[0], uuids[2]))]
#[case::ndjson(|uuids: &[String]| format!("{{\"confUUID\":\"{}\"}}\n{{\"n\":1,\"confUUID\":\"{}\"}}\n", uuids[0], uuids[2]))]
fn a_list_is_read_from_a_file_and_from_standard_input(#[case] list: fn(&[String]) -> String) {
    let stage = Stage::of(&[10, 20, 30]);
    let uuids: Vec<_> = (0..3).map(|at| stage.meeting(at)).collect();
    fs::write(stage.path("asked"), list(&uuids)).unwrap();
    let args = ["export", "--out", "-", "--format", "ndjson", "--meetings"];
    let run = ended(stage.command(&args).arg("asked"));
    stage.assert_rows(&lines(&run.stdout), &[0, 2]);
    run.with(0);
    let input = fs::File::open(stage.path("asked")).unwrap();
    let run = ended(stage.command(&args).arg("-").stdin(input));
    stage.assert_rows(&lines(&run.stdout), &[0, 2]);
    run.with(0);
}

#[test]
fn a_list_from_a_program_that_is_slow_to_say_it_is_waited_for() {
    let stage = Stage::of(&[10, 20]);
    let second = stage.meeting(1);
    let args = ["export", "--out", "out", "--meetings", "-", &second];
    let mut child = stage.command(&args);
    let mut child = child
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for half in [&stage.meeting(0)[..9], &stage.meeting(0)[9..]] {
        stdin.write_all(half.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }
    drop(stdin);
    let said = Ended::new(child.wait_with_output().unwrap()).with(0);
    assert!(said.contains("2 of 2 meetings"), "{said}");
}

// Parts.

#[rstest]
#[case::parquet(&["--format", "parquet"])]
#[case::ndjson(&["--format", "ndjson"])]
#[case::zstd(&["--format", "ndjson", "--compression", "zstd"])]
#[case::gzip(&["--format", "ndjson", "--compression", "gzip"])]
#[case::arrow(&["--format", "arrow"])]
#[case::arrow_lz4(&["--format", "arrow", "--compression", "lz4"])]
#[case::snappy(&["--compression", "snappy"])]
#[case::large_meetings(&["--buffer-rows", "600"])]
#[case::many_parts(&["--part-rows", "600"])]
fn parts_are_the_same_whatever_runs_at_once(#[case] args: &[&str]) {
    let stage = Stage::of(&[700, 0, 5, 2_100, 499, 30, 1_300]);
    let export = |out: &str, concurrency: &str| {
        let all = [
            "export",
            "--meetings",
            "list.txt",
            "--out",
            out,
            "--concurrency",
            concurrency,
        ];
        stage.run(&[&all, args].concat()).silently(0);
        stage.run(&["verify", out]).with(0);
        stage.parts(out)
    };
    let one = export("one", "1");
    assert!(!one.is_empty());
    for out in ["many", "again"] {
        let other = export(out, "16");
        assert!(
            one.keys().eq(other.keys()),
            "{:?} {:?}",
            one.keys(),
            other.keys()
        );
        assert!(one == other);
    }
}

#[test]
fn a_parquet_dataset_holds_parts_of_several_compressions() {
    let stage = Stage::of(&[700, 5, 30, 2]);
    let export = |compression: &str, meeting: usize| {
        let args = ["export", &stage.meeting(meeting), "--out", "out"];
        let more = ["--compression", compression];
        stage.run(&[&args[..], &more].concat()).silently(0);
    };
    for (meeting, compression) in ["zstd:9", "lz4", "snappy", "none"].into_iter().enumerate() {
        export(compression, meeting);
    }
    assert_eq!(stage.parts("out").len(), 4);
    stage.run(&["verify", "out"]).with(0);
}

#[rstest]
#[case(&["--compression", "gzip"], "parquet takes zstd[:LEVEL], lz4, snappy or none")]
#[case(&["--format", "arrow", "--compression", "snappy"], "arrow takes none, lz4 or zstd")]
#[case(&["--format", "ndjson", "--compression", "lz4"], "ndjson takes none, zstd[:LEVEL] or gzip")]
#[case(&["--compress", "gzip"], "parquet takes")]
#[case(
    &["--parquet-encodings", "classic", "--compression", "lz4"],
    "use zstd, snappy or none"
)]
fn a_compression_that_the_format_does_not_take_is_refused(
    #[case] args: &[&str],
    #[case] reason: &str,
) {
    let stage = Stage::of(&[5]);
    let said = stage.export(args).with(3);
    assert!(said.contains(reason), "{said}");
}

#[test]
fn the_former_name_of_compression_is_still_read() {
    let stage = Stage::of(&[5]);
    let export = |out: &str, args: &[&str]| {
        let all = ["export", "--meetings", "list.txt", "--out", out];
        stage.run(&[&all, args].concat()).silently(0);
        stage.parts(out)
    };
    let named = |out: &str, args: &[&str]| export(out, args).keys().next().unwrap().clone();
    assert!(named("one", &["--format", "ndjson", "--compress", "zstd"]).ends_with(".ndjson.zst"));
    // It was for NDJSON alone: its none is not Parquet's.
    let (former, plain) = (export("two", &["--compress", "none"]), export("three", &[]));
    assert!(former == plain);
}

#[rstest]
#[case::zstd("zstd")]
#[case::gzip("gzip")]
fn compressed_ndjson_is_read_back_record_by_record(#[case] compression: &str) {
    let stage = Stage::of(&[1_200, 0, 5]);
    let args = ["--format", "ndjson", "--compression", compression];
    stage.export(&args).silently(0);
    let parts = stage.parts("out");
    assert_eq!(parts.len(), 1, "{:?}", parts.keys());
    let bytes = parts.values().next().unwrap();
    let mut text = vec![];
    let mut reader: Box<dyn Read> = if compression == "zstd" {
        Box::new(zstd::Decoder::new(&bytes[..]).unwrap())
    } else {
        Box::new(flate2::read::MultiGzDecoder::new(&bytes[..]))
    };
    reader.read_to_end(&mut text).unwrap();
    stage.assert_rows(&lines(&text), &[0, 1, 2]);
}

// Status, verification and repair.

#[derive(Clone, Copy, Debug)]
enum Damage {
    Removed,
    Altered,
    Truncated,
}

#[rstest]
#[case::removed(Damage::Removed)]
#[case::altered(Damage::Altered)]
#[case::truncated(Damage::Truncated)]
fn a_damaged_part_is_named_and_its_meetings_are_asked_for_again(#[case] damage: Damage) {
    let stage = Stage::of(&[10, 20, 1_200]);
    stage.list("first.txt", [0, 1]);
    let first = ["export", "--meetings", "first.txt", "--out", "out"];
    stage.run(&first).silently(0);
    let kept = stage.parts("out");
    stage.export(&[]).silently(0);
    let mut parts = stage.parts("out");
    parts.retain(|name, _| !kept.contains_key(name));
    let (part, bytes) = parts.iter().next().unwrap();
    let path = stage.path("out").join(part);
    match damage {
        Damage::Removed => fs::remove_file(&path).unwrap(),
        Damage::Truncated => fs::write(&path, &bytes[..bytes.len() / 2]).unwrap(),
        Damage::Altered => {
            let mut bytes = bytes.clone();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
    }
    let found = stage.verified();
    assert_eq!(found.code, Some(1));
    assert_eq!(found.stderr, "");
    assert!(found.answer().contains(part), "{found:?}");
    let found = stage.run(&["verify", "--json", "out"]);
    let json: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert!(json.to_string().contains(part), "{json}");
    assert_eq!(found.code, Some(1));
    stage.requests();
    let said = stage.export(&["--report", "report.json"]).silently(0);
    assert_eq!(stage.requests(), 3, "{said}");
    assert_eq!(stage.report().meetings.already, 2);
    let sound = stage.verified();
    assert_eq!(sound.code, Some(0), "{sound:?}");
}

/// The system refuses to let any file grow beyond 100 blocks, as a disk does that is full.
#[test]
fn a_part_that_cannot_be_written_is_named_and_the_rerun_completes() {
    let stage = Stage::of(&[5, 3_000]);
    let program = env!("CARGO_BIN_EXE_rollbook");
    let script = format!("trap '' XFSZ; ulimit -f 100; exec {program} \"$@\"");
    let args = ["export", "-q", "--meetings", "list.txt", "--out", "out"];
    let args = [&args[..], &["--format", "ndjson", "--part-rows", "5"]].concat();
    let mut full = Command::new("sh");
    full.args(["-c", &script, "sh"]).args(&args);
    for (name, value) in stage.command(&[]).get_envs() {
        match value {
            Some(value) => full.env(name, value),
            None => full.env_remove(name),
        };
    }
    full.current_dir(stage.folder.path()).stdin(Stdio::null());
    let said = ended(&mut full).with(1);
    assert!(
        said.contains("cannot write") && said.contains("_rollbook/staging/"),
        "{said}"
    );
    let status = stage.run(&["status", "--json", "out"]);
    let json: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(json["meetings"], 1, "{json}");
    stage.verified().with(0);
    stage.requests();
    stage.run(&args).with(0);
    assert_eq!(stage.requests(), 7, "the second meeting alone");
    stage.verified().with(0);
}

#[test]
fn the_status_names_what_the_last_run_left_until_a_run_brings_it() {
    let stage = Stage::of(&[10, 3]);
    let absent = stage.meeting(1);
    let fault = Fault::new(gone()).meeting(stage.simulator.meetings()[1].clone());
    let stage = stage.fault(fault);
    stage.export(&["-q"]).with(4);
    let status = stage.run(&["status", "out"]);
    let said = status.answer();
    assert!(
        said.contains(": 1 incomplete\n") && said.contains(&absent),
        "{said}"
    );
    assert!(
        !said.contains('\u{1b}') && !said.contains('\u{202e}'),
        "{said}"
    );
    stage.simulator.clear_faults();
    stage.export(&[]).silently(0);
    let status = stage.run(&["status", "out"]);
    assert!(!status.answer().contains("left by run"), "{status:?}");
}

#[test]
fn the_status_of_a_dataset_is_what_was_exported() {
    let stage = Stage::of(&[10, 0, 1_200]);
    stage.export(&[]).silently(0);
    let status = stage.run(&["status", "out"]);
    assert!(status.answer().contains("1,210"), "{status:?}");
    assert_eq!(status.with(0), "");
    let status = stage.run(&["status", "--json", "out"]);
    let json: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(
        (&json["meetings"], &json["records"]),
        (&3.into(), &1_210.into())
    );
    assert_eq!(json["unfinished"], Value::Array(vec![]));
    assert_eq!(json["runs"][0]["is_finished"], true);
    assert_eq!(status.with(0), "");
}

// The commands that ask nobody.

#[test]
fn the_demo_shows_the_data_and_the_second_one_asks_nothing() {
    let stage = Stage::of(&[]);
    let requests = || {
        let status = stage.run(&["status", "--json", "rollbook-demo"]);
        let json: Value = serde_json::from_slice(&status.stdout).unwrap();
        assert_eq!(json["meetings"], 200);
        json["requests"].as_u64().unwrap()
    };
    let demo = || {
        let mut command = stage.bare(&["demo", "--rate", "unlimited"]);
        let demo = ended(command.env_remove("ROLLBOOK_BASE_URL"));
        let look = demo.answer().to_owned();
        (look, demo.with(0))
    };
    let (look, said) = demo();
    assert!(look.lines().count() > 3, "{look}");
    assert!(said.contains("complete: 200 of 200 meetings"), "{said}");
    let spent = requests();
    let (second_look, said) = demo();
    assert_eq!(second_look, look);
    assert!(said.contains("already there"), "{said}");
    assert_eq!(requests(), spent);
    assert_eq!(stage.run(&["verify", "rollbook-demo"]).code, Some(0));
}

#[rstest]
#[case::schema(&["schema"])]
#[case::completions(&["completions", "bash"])]
#[case::man(&["man"])]
#[case::help(&["--help"])]
#[case::version(&["--version"])]
fn an_answer_is_all_that_is_said(#[case] args: &[&str]) {
    let stage = Stage::of(&[]);
    let run = stage.run(args);
    assert!(!run.stdout.is_empty());
    assert_eq!(run.with(0), "");
}
