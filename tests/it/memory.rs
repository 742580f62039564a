//! How much memory exports of long records take, whatever their format and however many they are.

use std::process::Command;

use rollbook::simulator::{Effect, Fault, Options};
use rstest::rstest;

use crate::stage::Stage;
use crate::venv;

/// The most memory that a run may have, in KiB: 200 MB.
const MOST: u64 = 200_000_000 / 1_024;

/// Bytes of one record.
const LONG: usize = 25_000;

/// Exports long records of meetings of these sizes, and returns the most memory it took, in KiB.
fn peak(sizes: &[u64], args: &[&str]) -> u64 {
    let options = Options {
        page_cache_bytes: 0,
        ..Options::sizes(sizes)
    };
    let stage = Stage::with(options).fault(Fault::new(Effect::LongRecords(LONG)));
    let all = ["export", "--meetings", "list.txt", "--concurrency", "8"];
    let mut command = stage.command(&[&all[..], args].concat());
    // As on a machine of many cores: what each thread keeps must not add up.
    command.env("TOKIO_WORKER_THREADS", "16");
    let mut python = Command::new("python3");
    python
        .arg(venv::script("peak.py"))
        .arg(command.get_program());
    python.args(command.get_args()).current_dir(stage.path(""));
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            python.env(name, value);
        }
    }
    let ended = python.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    if args.contains(&"out") {
        stage.verified().with(0);
    }
    let rows: u64 = sizes.iter().sum();
    assert_eq!(stage.report().records, rows);
    String::from_utf8_lossy(&ended.stdout)
        .trim()
        .parse()
        .unwrap()
}

#[rstest]
#[case::parquet(&["--format", "parquet", "--out", "out"], &[20_000])]
#[case::parquet_of_many(&["--format", "parquet", "--out", "out"], &[400; 20])]
#[case::arrow(&["--format", "arrow", "--out", "out"], &[400; 20])]
#[case::ndjson(&["--format", "ndjson", "--out", "out"], &[8_000])]
#[case::a_pipe(&["--format", "ndjson", "--out", "-"], &[8_000])]
fn records_of_25_kb_take_less_than_200_mb(#[case] args: &[&str], #[case] sizes: &[u64]) {
    let spool = ["--spool", "always", "--report", "report.json"];
    let peak = peak(sizes, &[args, &spool].concat());
    println!("{args:?}: {} MiB", peak >> 10);
    assert!(peak < MOST, "{peak} KiB");
}
