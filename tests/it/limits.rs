//! The command where the machine gives it no more: a full disk, a disk that takes nothing, few
//! files, little time, a reader that has left.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rollbook::simulator::{Drip, Effect, Fault};
use rollbook::{MeetingStatus, Outcome};
use rstest::rstest;

use rustix::process::{Pid, Signal, kill_process};

use crate::stage::{Ended, Stage, ended, until};

/// What the scripts below are made of: a small disk, and commands whose exit codes are fixed.
#[cfg(target_os = "linux")]
const PRELUDE: &str = r#"
set -u
page=$(getconf PAGESIZE)
mkdir disk && mount -t tmpfs -o size=16m tmpfs disk || exit 99

# run NAME CODE ARGUMENT... leaves NAME.out and NAME.err
run() {
    name=$1 wanted=$2
    shift 2
    "$BIN" "$@" >"$name.out" 2>"$name.err"
    code=$?
    [ $code = $wanted ] && return
    echo "$name: exit $code instead of $wanted"
    cat "$name.out" "$name.err"
    exit 1
}

# fill N leaves room for so many pages
fill() {
    cat /dev/zero >disk/filler 2>filler.err
    truncate -s -$(($1 * page)) disk/filler
}
"#;

/// Runs a script that mounts things, where nobody else sees them.
#[cfg(target_os = "linux")]
#[track_caller]
pub(crate) fn with_a_disk(stage: &Stage, script: &str) {
    let may = |flags: &str| {
        let done = Command::new("unshare").args([flags, "true"]).output();
        done.is_ok_and(|done| done.status.success())
    };
    let flags = ["-m", "-rm"].into_iter().find(|flags| may(flags));
    assert!(
        flags.is_some(),
        "this test mounts a small disk: it needs unshare (of util-linux), and root or user namespaces"
    );
    let script = [PRELUDE, script].concat();
    let done = ended(&mut stage.script(&["unshare", flags.unwrap()], &script));
    assert_eq!(done.code, Some(0), "{} {}", done.answer(), done.stderr);
}

#[cfg(target_os = "linux")]
pub(crate) fn said(stage: &Stage, name: &str) -> String {
    fs::read_to_string(stage.path(&format!("{name}.err"))).unwrap()
}

/// Where the disk is full.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    Data,
    Ledger,
    Report,
    OwnReport,
}

/// The pages that a file of the dataset takes.
#[cfg(target_os = "linux")]
fn pages(stage: &Stage, path: &str) -> u64 {
    let bytes = fs::metadata(stage.path(path)).unwrap().len();
    let size = Command::new("getconf").arg("PAGESIZE").output().unwrap();
    let size = String::from_utf8(size.stdout).unwrap();
    bytes.div_ceil(size.trim().parse().unwrap())
}

#[cfg(target_os = "linux")]
#[rstest]
#[case::data(Full::Data, "parquet", "/disk/out/_rollbook/staging/")]
#[case::data_as_text(Full::Data, "ndjson", "/disk/out/_rollbook/staging/")]
#[case::ledger(Full::Ledger, "parquet", "cannot create _rollbook/ledger/")]
#[case::report(Full::Report, "parquet", "cannot create _rollbook/runs/")]
#[case::own_report(Full::OwnReport, "parquet", "cannot write the report disk/report.json")]
fn a_full_disk_is_named_and_the_rerun_completes(
    #[case] full: Full,
    #[case] format: &str,
    #[case] place: &str,
) {
    let stage = Stage::of(&[300, 700, 20, 1_200]);
    stage.list("first.txt", 0..1);
    // With room for everything, to see how much that is.
    for list in ["first.txt", "list.txt"] {
        let args = ["export", "--meetings", list, "--out", "roomy", "--format"];
        stage.run(&[&args[..], &[format]].concat()).silently(0);
    }
    let data = pages(&stage, &format!("roomy/part-{:020}-00000.{format}", 2));
    let entry = pages(&stage, &format!("roomy/_rollbook/ledger/{:020}.json", 2));
    let runs = fs::read_dir(stage.path("roomy/_rollbook/runs")).unwrap();
    let runs = runs.map(|run| run.unwrap().path());
    let report = runs.map(|run| pages(&stage, run.to_str().unwrap())).max();
    assert!(data > 1);
    let room = match full {
        Full::Data => data - 1,
        Full::Ledger => data,
        Full::Report => data + entry,
        Full::OwnReport => data + entry + report.unwrap(),
    };
    let own = if full == Full::OwnReport {
        "disk/report.json"
    } else {
        "report.json"
    };
    stage.requests();
    with_a_disk(
        &stage,
        &format!(
            r"
            run first 0 export --out disk/out --format {format} --meetings first.txt
            fill {room}
            run full 1 export --out disk/out --format {format} --meetings list.txt --report {own}
            run kept 0 verify disk/out
            run told 0 status disk/out
            rm disk/filler
            run rerun 0 export --out disk/out --format {format} --meetings list.txt --report {own}
            run sound 0 verify disk/out
            cp -R disk/out out
            "
        ),
    );
    let full_said = said(&stage, "full");
    assert!(full_said.contains(place), "{full_said}");
    assert!(full_said.contains("No space left on device"), "{full_said}");
    assert!(full_said.contains("free some space"), "{full_said}");
    assert_eq!(stage.parts("out"), stage.parts("roomy"));
    let left = fs::read_dir(stage.path("out/_rollbook/staging")).unwrap();
    assert_eq!(left.count(), 0);
    // What was committed before the end is not asked for again.
    let once = 1 + 2 + 1 + 3;
    let again = if room > data { 0 } else { once - 1 };
    assert_eq!(stage.requests(), once + again, "{full_said}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_takes_nothing_is_named_before_the_first_request() {
    let stage = Stage::of(&[10, 700]);
    stage.list("first.txt", 0..1);
    with_a_disk(
        &stage,
        r"
        run first 0 export --out disk/out --meetings first.txt
        mount -o remount,bind,ro disk || exit 98
        run old 1 export --out disk/out --meetings list.txt
        run new 1 export --out disk/other --meetings list.txt
        run report 1 export --out out --meetings list.txt --report disk/report.json
        run kept 0 verify disk/out
        run told 0 status disk/out
        mount -o remount,bind,rw disk || exit 98
        run rerun 0 export --out disk/out --meetings list.txt
        run sound 0 verify disk/out
        cp -R disk/out kept
        ",
    );
    for (name, place) in [
        ("old", "/disk/out/_rollbook/lock"),
        ("new", "cannot create disk/other"),
        ("report", "cannot write the report disk/report.json"),
    ] {
        let said = said(&stage, name);
        assert!(said.contains(place), "{name}: {said}");
        assert!(said.contains("Read-only file system"), "{name}: {said}");
        assert!(
            said.contains("make it writable for this user"),
            "{name}: {said}"
        );
    }
    assert_eq!(stage.requests(), 1 + 2);
    stage.assert_rows(&stage.rows("kept"), &[0, 1]);
}

/// A command that may have so many files open at once.
fn with_files(stage: &Stage, files: u32, args: &str) -> Ended {
    ended(&mut stage.script(&[], &format!("ulimit -n {files} && exec \"$BIN\" {args}")))
}

#[test]
fn sixty_four_open_files_are_enough_for_everything() {
    const COMMITS: usize = 220;
    let stage = Stage::of(&[1; COMMITS + 40]);
    stage.list("first.txt", 0..COMMITS);
    // A commit for each meeting.
    let args = "export --meetings first.txt --out out --part-rows 1 --report report.json";
    with_files(&stage, 64, args).silently(0);
    assert_eq!(stage.report().parts, COMMITS as u64);
    let args = "export --meetings list.txt --out out --report report.json";
    with_files(&stage, 64, args).silently(0);
    assert_eq!(stage.report().meetings.already, COMMITS as u64);
    for command in ["verify out", "status out"] {
        with_files(&stage, 64, command).with(0);
    }
    let entries = fs::read_dir(stage.path("out/_rollbook/ledger")).unwrap();
    assert!(entries.count() > COMMITS);
}

#[test]
fn more_requests_at_once_than_files_end_with_words_and_nothing_is_lost() {
    let stage = Stage::of(&[30; 400]).fault(Fault::new(Effect::Delay(Duration::from_millis(20))));
    let args = "export --meetings list.txt --out out --concurrency 200 --retries 3";
    let begun = Instant::now();
    let run = with_files(&stage, 64, args);
    assert!(begun.elapsed() < Duration::from_secs(30));
    let said = run.stderr;
    assert!(matches!(run.code, Some(0 | 1 | 4)), "{said}");
    if run.code != Some(0) {
        assert!(said.contains("Too many open files"), "{said}");
        assert!(said.contains("--concurrency"), "{said}");
    }
    stage.export(&[]).silently(0);
    assert_eq!(stage.verified().code, Some(0));
    let all: Vec<_> = (0..400).collect();
    let mut rows = stage.rows("out");
    let place = |uuid: &str| {
        stage
            .simulator
            .meetings()
            .iter()
            .position(|m| m.as_str() == uuid)
    };
    let places: std::collections::BTreeMap<_, _> = rows
        .iter()
        .map(|row| (row.0.clone(), place(&row.0)))
        .collect();
    rows.sort_by_key(|row| (places[&row.0], row.1));
    stage.assert_rows(&rows, &all);
}

#[test]
fn a_deadline_in_the_middle_of_a_page_leaves_the_others_whole() {
    let drip = Drip {
        bytes: 100,
        pause: Duration::from_millis(50),
    };
    let stage = Stage::of(&[700, 20, 1_200, 30])
        .fault(Fault::new(Effect::Drip(drip)).meeting(2).offset(499..));
    let begun = Instant::now();
    let args = [
        "--deadline",
        "500ms",
        "--timeout",
        "1h",
        "--report",
        "report.json",
    ];
    stage.export(&args).silently(4);
    // The deadline, and the grace that answers on their way have.
    assert!(
        begun.elapsed() < Duration::from_secs(12),
        "{:?}",
        begun.elapsed()
    );
    let report = stage.report();
    assert_eq!(report.outcome, Outcome::Interrupted);
    assert_eq!(report.per_meeting[2].status, MeetingStatus::Unfinished);
    assert_eq!(report.meetings.complete, 3);
    stage.assert_rows(&stage.rows("out"), &[0, 1, 3]);
    assert_eq!(stage.verified().code, Some(0));
    stage.simulator.clear_faults();
    stage.requests();
    stage.export(&[]).silently(0);
    assert_eq!(stage.requests(), 3);
    assert_eq!(stage.verified().code, Some(0));
}

#[rstest]
#[case::help("--help")]
#[case::schema("schema")]
#[case::status("status out")]
#[case::status_as_json("status --json out")]
#[case::verify("verify out")]
#[case::export("export --meetings list.txt --out - --format ndjson")]
#[case::export_as_arrow("export --meetings list.txt --out - --format arrow")]
fn a_reader_of_standard_output_that_has_left_is_no_failure(#[case] command: &str) {
    let stage = Stage::of(&[10, 1_200]);
    stage.export(&[]).silently(0);
    let args: Vec<_> = command.split(' ').collect();
    let mut child = stage.command(&args);
    let child = child.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    drop(child.stdout.take());
    let left = Ended::new(child.wait_with_output().unwrap());
    assert_eq!((left.code, left.stderr.as_str()), (Some(0), ""));
}

#[rstest]
#[case::help("--help")]
#[case::schema("schema")]
#[case::status("status out")]
#[case::verify("verify out")]
#[case::export("-q export --meetings list.txt --out - --format ndjson")]
fn a_standard_output_that_was_never_open_is_no_failure(#[case] command: &str) {
    let stage = Stage::of(&[10, 1_200]);
    stage.export(&[]).silently(0);
    let closed = ended(&mut stage.script(&[], &format!("exec \"$BIN\" {command} >&-")));
    assert_eq!(closed.silently(0), "");
}

/// Every folder and file below a path, with its permissions.
fn modes(path: &Path, found: &mut BTreeSet<(bool, u32)>) {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = fs::metadata(path).unwrap();
    let mode = metadata.permissions().mode() & 0o7777;
    found.insert((metadata.is_dir(), mode));
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            modes(&entry.unwrap().path(), found);
        }
    }
}

#[rstest]
#[case::by_default(&[], 0o700, 0o600)]
#[case::for_the_group(&["--mode", "640"], 0o750, 0o640)]
#[case::for_everybody(&["--mode", "0644"], 0o755, 0o644)]
fn what_is_written_has_the_mode_asked_for(
    #[case] args: &[&str],
    #[case] folder: u32,
    #[case] file: u32,
) {
    // Slices and pages in one part; a run that is cut off, so that its staging is there to see.
    let stage = Stage::of(&[10, 1_300, 0]).fault(Fault::new(Effect::Hang).meeting(2));
    let sees = |paths: &[&str]| {
        let mut found = BTreeSet::new();
        for path in paths {
            modes(&stage.path(path), &mut found);
        }
        found
    };
    let given = [
        "--out",
        "deep/out",
        "--buffer-rows",
        "600",
        "--part-rows",
        "1000",
    ];
    let given = [&["--report", "report.json"], &given[..], args].concat();
    let all = ["export", "--meetings", "list.txt"];
    let run = stage.command(&[&all[..], &given].concat()).spawn().unwrap();
    until("a part in staging", || {
        let runs = fs::read_dir(stage.path("deep/out/_rollbook/staging"));
        let folder = runs.ok().and_then(|mut runs| runs.next()?.ok());
        folder.is_some_and(|folder| fs::read_dir(folder.path()).unwrap().count() > 1)
    });
    kill_process(Pid::from_child(&run), Signal::KILL).unwrap();
    { run }.wait().unwrap();
    assert_eq!(
        sees(&["deep"]),
        BTreeSet::from([(true, folder), (false, file)])
    );
    stage.simulator.clear_faults();
    stage.run(&[&all[..], &given].concat()).silently(0);
    assert_eq!(
        sees(&["deep", "report.json"]),
        BTreeSet::from([(true, folder), (false, file)])
    );
}

#[test]
fn a_mode_that_locks_the_owner_out_is_refused() {
    let stage = Stage::of(&[]);
    for mode in ["400", "4600", "755", "rw"] {
        let said = stage.export(&["--mode", mode]).silently(2);
        assert!(said.contains(mode), "{said}");
        fs::write(stage.path("config.toml"), format!("mode = \"{mode}\"\n")).unwrap();
        let said = stage.export(&["--config", "config.toml"]).silently(3);
        assert!(said.contains("mode: ") && said.contains("line 1"), "{said}");
    }
}
