//! A clock that is set while a run goes on.

use std::fs;
use std::time::{Duration, Instant};

use rollbook::Outcome;
use rollbook::simulator::{APP_ID, APP_KEY, Answer, Credentials, Effect, Fault, Options};
use rstest::rstest;

use crate::stage::{Running, Stage, until};
use crate::venv;

const TOKEN_LIFE: Duration = Duration::from_secs(2);

/// The clock of the command alone is set; the server's goes right. A login, a date to wait for,
/// commits and a deadline come after each change.
#[rstest]
#[case::forward_and_back("+1h", "-1h")]
#[case::back_and_forward("-1h", "+1h")]
fn a_clock_that_is_set_during_a_run_changes_nothing(#[case] first: &str, #[case] then: &str) {
    let later = Answer {
        status: 429,
        retry_after_date: Some(1),
        ..Answer::default()
    };
    let stage = Stage::with(Options {
        credentials: Credentials {
            token_life: TOKEN_LIFE,
            ..Credentials::default()
        },
        ..Options::sizes(&[700; 20])
    })
    .fault(Fault::new(Effect::Answer(later.clone())).nth(12))
    .fault(Fault::new(Effect::Answer(later)).nth(28));
    let clock = stage.path("clock");
    // Never seen empty.
    let set = |to: &str| {
        fs::write(stage.path("next"), format!("{to}\n")).unwrap();
        fs::rename(stage.path("next"), &clock).unwrap();
    };
    set("+0");
    let library = venv::run("faketime_library.py", &[]);
    let mut command = stage.bare(&["export", "--meetings", "list.txt", "--out", "out"]);
    command
        .args([
            "--rate",
            "20/s",
            "--commit-every",
            "300ms",
            "--deadline",
            "1m",
        ])
        .args(["--report", "report.json"])
        .env("ROLLBOOK_APP_ID", APP_ID)
        .env("ROLLBOOK_APP_KEY", APP_KEY)
        .env("LD_PRELOAD", library.trim())
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
    let begun = Instant::now();
    let run = Running::start(&mut command);
    let wait = |n| until("requests", || stage.simulator.request_count() >= n);
    wait(8);
    set(first);
    wait(24);
    set(then);
    let (code, said) = run.end();
    let took = begun.elapsed();
    assert_eq!(code, Some(0), "{said}");
    let report = stage.report();
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(report.requests.throttled, 2);
    // It did read the wrong clock.
    let off = report.finished - report.started;
    assert!(off.num_minutes().abs() > 50, "{off}: {said}");
    // Nobody waited for an hour of the wrong clock, and no token was renewed for it.
    assert!(took < Duration::from_secs(30), "{took:?}");
    let needed = took.as_secs() / (TOKEN_LIFE.as_secs() - 1) + 2;
    assert!(
        stage.simulator.logins() <= needed,
        "{}",
        stage.simulator.logins()
    );
    assert!(stage.simulator.logins() >= 2);
    assert!(report.parts > 2, "{report:?}");
    let all: Vec<_> = (0..20).collect();
    stage.assert_rows(&stage.rows("out"), &all);
    assert_eq!(stage.verified().code, Some(0));
    // Nor by the next run, whatever the dates in the dataset say.
    stage.requests();
    stage.export(&[]).silently(0);
    assert_eq!(stage.requests(), 0);
}

/// The server's clock goes right: the command is the one that is weeks ahead.
#[test]
fn a_machine_that_is_weeks_ahead_is_refused_a_window_and_told_both_times() {
    let stage = Stage::with(Options {
        credentials: Credentials {
            clock_offset: -40 * 86_400,
            ..Credentials::default()
        },
        ..Options::sizes(&[3])
    });
    let window = ["export", "--since", "yesterday", "--out", "out"];
    let said = stage
        .run(&[&window[..], &["--report", "report.json"]].concat())
        .with(3);
    assert!(said.contains("this machine's clock shows"), "{said}");
    assert!(said.contains("set this machine's clock"), "{said}");
    let report = stage.report();
    assert_eq!((report.outcome, report.window), (Outcome::Failed, None));
    let off = report.clock.unwrap().offset_ms.unwrap();
    assert!((off + 40 * 86_400_000).abs() < 60_000, "{off}");
    assert!(report.error.unwrap().contains("this machine's clock shows"));
    // A list asks for nothing by the time.
    let said = stage.export(&["--report", "report.json"]).with(0);
    // In the log, and in the summary.
    assert_eq!(
        said.matches("this machine's clock shows").count(),
        2,
        "{said}"
    );
    assert!(stage.report().clock.unwrap().warning.is_some());
}

/// The same by a clock that the system lies about, which the next run has right.
#[test]
fn a_run_whose_clock_was_weeks_ahead_loses_no_meeting() {
    let start = chrono::Utc::now().timestamp_millis() - 30 * 3_600_000;
    let mut options = Options::sizes(&[3, 700]);
    for meeting in &mut options.meetings {
        meeting.start = Some(start);
    }
    let stage = Stage::with(options);
    let library = venv::run("faketime_library.py", &[]);
    let window = ["export", "--since", "2d", "--out", "out"];
    let mut ahead = stage.command(&window);
    ahead
        .env("LD_PRELOAD", library.trim())
        .env("FAKETIME", "+40d")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
    let said = crate::stage::ended(&mut ahead).with(3);
    assert!(said.contains("set this machine's clock"), "{said}");
    stage.run(&window).with(0);
    stage.assert_rows(&stage.rows("out"), &[0, 1]);
}
