//! Datasets in buckets: the same promises as on a disk, kept by other means.
//!
//! Against moto and `SeaweedFS`, and against proxies before them that lie.

mod crash;
mod lies;
mod proxy;
mod replacing;
mod server;
mod site;
#[cfg(feature = "delta")]
mod table;

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use rollbook::Outcome;
use rollbook::simulator::{Effect, Fault};
use rstest::rstest;
use serde_json::Value;

use crate::partitions;
use crate::stage::{Ended, Running, Stage, ended, until};
use crate::venv;

use self::server::{Server, moto, seaweedfs};
use self::site::Site;

const SIZES: [u64; 7] = [3, 0, 1_700, 499, 500, 501, 40];

#[rstest]
#[case::moto(moto())]
#[case::seaweedfs(seaweedfs())]
fn a_dataset_in_a_bucket_is_written_proven_and_not_written_twice(#[case] server: &'static Server) {
    let site = Site::new(server, &SIZES);
    let said = site.export("out").silently(0);
    assert!(said.contains("complete: 7 of 7 meetings"), "{said}");
    assert!(said.contains(&site.place("out")), "{said}");
    site.assert_complete("out");

    let spent = site.stage.requests();
    let said = site.export("out").silently(0);
    assert_eq!(site.stage.requests(), 0, "{spent} were enough: {said}");
    site.assert_complete("out");
    assert_eq!(site.entries("out"), 1);

    let place = site.place("out");
    let status = ended(&mut site.command(&["status", "--json", &place]));
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["meetings"], 7);
    assert_eq!(status["runs"].as_array().unwrap().len(), 2);
    for nothing in ["unfinished", "damaged"] {
        assert_eq!(status[nothing].as_array().unwrap().len(), 0, "{status}");
    }
}

#[rstest]
#[case::moto(moto())]
#[case::seaweedfs(seaweedfs())]
fn other_readers_find_the_rows_in_the_bucket(#[case] server: &'static Server) {
    let site = Site::new(server, &SIZES);
    site.export("out").silently(0);
    let folder = format!("lake/{}/out", site.folder);
    let seen = venv::run("read_bucket.py", &[&server.endpoint, &folder]);
    let rows: u64 = SIZES.iter().sum();
    let expected = serde_json::json!({"polars": rows, "pyarrow": rows});
    assert_eq!(serde_json::from_str::<Value>(&seen).unwrap(), expected);
}

#[rstest]
#[case::moto(moto())]
#[case::seaweedfs(seaweedfs())]
fn a_large_part_travels_in_pieces_and_arrives_whole(#[case] server: &'static Server) {
    let site = Site::new(server, &[32_000]);
    let mut export = site.exporting("out");
    ended(export.args(["--format", "ndjson"])).silently(0);
    let objects = server.objects(&site.key("out", ""));
    let part = objects.iter().find(|(name, _)| name.starts_with("part-"));
    let (_, &bytes) = part.unwrap();
    assert!(bytes > 9 << 20, "{bytes} bytes are no two pieces");
    site.assert_sound("out");
    site.assert_tidy("out");
    if server.name == "moto" {
        assert_eq!(server.unfinished_uploads(&site.folder), 0);
    }
}

#[rstest]
#[case::moto(moto())]
#[case::seaweedfs(seaweedfs())]
fn two_runs_on_one_bucket_commit_each_meeting_once(#[case] server: &'static Server) {
    const MEETINGS: usize = 30;
    let sizes: Vec<_> = (0..MEETINGS as u64).map(|at| at % 7 * 100).collect();
    let stage = Stage::of(&sizes).fault(Fault::new(Effect::Delay(Duration::from_millis(3))));
    let site = Site::on(server, stage);
    site.stage.list("list.txt", 0..MEETINGS);
    site.stage.list("back.txt", (0..MEETINGS).rev());
    let place = site.place("out");
    let start = |list: &str, state: &str| {
        let args = ["export", "--out", &place, "--meetings", list];
        let mut command = site.command(&args);
        // As on two machines: neither sees the other's locks.
        command
            .env("ROLLBOOK_STATE_DIR", site.stage.path(state))
            .args(["--part-rows", "600"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let runs = [start("list.txt", "one"), start("back.txt", "other")];
    for run in runs {
        Ended::new(run.wait_with_output().unwrap()).silently(0);
    }
    site.assert_complete("out");
    let entries = site.entries("out");
    assert!(entries > 2, "{entries} entries are no contest");
}

#[test]
fn a_run_that_tries_out_the_store_is_not_robbed_of_its_probe_by_another() {
    let site = Site::new(moto(), &[3]);
    // As between its first try and its second.
    let probe = site.key("out", "_rollbook/probe-somebody");
    site.server.put(&probe, "first");
    site.export("out").with(0);
    let objects = site.server.objects(&site.key("out", "_rollbook"));
    assert!(objects.contains_key("probe-somebody"), "{objects:?}");
    site.assert_sound("out");
}

/// A run that hangs at its first request, as on a machine of its own, and its name.
fn hanging(site: &Site) -> (Running, String) {
    let mut slow = site.exporting("out");
    slow.env("ROLLBOOK_STATE_DIR", site.stage.path("elsewhere"));
    let slow = Running::start(slow.args(["--timeout", "20s"]));
    until("the run that waits", || {
        site.stage.simulator.request_count() > 0
    });
    let staging = server_names(site, "_rollbook/staging");
    let run_id = staging[0].split('/').next().unwrap().to_owned();
    (slow, run_id)
}

fn server_names(site: &Site, folder: &str) -> Vec<String> {
    let objects = site.server.objects(&site.key("out", folder));
    objects.into_keys().collect()
}

#[test]
fn runs_on_different_machines_see_each_other_and_one_that_died_is_cleared_up_at_home() {
    let stage = Stage::of(&[10, 20]).fault(Fault::new(Effect::Hang).first(1));
    let site = Site::on(moto(), stage);
    let (slow, run_id) = hanging(&site);
    let mut second = site.exporting("out");
    second.args(["--if-running", "skip", "--report", "report.json"]);
    ended(&mut second).silently(0);
    assert_eq!(site.stage.report().outcome, Outcome::Skipped);
    assert_eq!(site.stage.report().beside, std::slice::from_ref(&run_id));
    // Who skipped left nothing behind.
    let names = server_names(&site, "_rollbook/staging");
    assert_eq!(names, [format!("{run_id}/pulse")]);

    slow.signal(rustix::process::Signal::KILL);
    assert_eq!(slow.end().0, None);
    // Elsewhere nobody can know yet, and waits for nothing.
    let said = site.export("out").silently(0);
    assert!(said.contains(&format!("another run is at work on this dataset: {run_id}")));
    assert_eq!(server_names(&site, "_rollbook/staging").len(), 1);
    // On its own machine it is known to be dead.
    let mut home = site.exporting("out");
    home.env("ROLLBOOK_STATE_DIR", site.stage.path("elsewhere"));
    let said = ended(&mut home).silently(0);
    assert!(!said.contains("another run"), "{said}");
    site.assert_complete("out");
}

#[rstest]
#[case::moto(moto())]
#[case::seaweedfs(seaweedfs())]
fn a_damaged_dataset_in_a_bucket_is_found_out_and_repaired(#[case] server: &'static Server) {
    let site = Site::new(server, &SIZES);
    site.export("out").silently(0);
    let part = server_names(&site, "")
        .into_iter()
        .find(|name| name.starts_with("part-"));
    let part = part.unwrap();
    let sound = server.get(&site.key("out", &part));
    let mut damaged = sound.to_vec();
    damaged[1_000] ^= 1;
    server.put(&site.key("out", &part), damaged);
    server.put(
        &site.key("out", "part-00000000000000000009-0.parquet"),
        sound.clone(),
    );
    let place = site.place("out");
    let verify = |args: &[&str]| ended(&mut site.command(&[&["verify", &place], args].concat()));
    let found = verify(&[]);
    assert_eq!(found.code, Some(1));
    for words in ["altered: sha256", "a part that no ledger entry names"] {
        assert!(found.answer().contains(words), "{}", found.answer());
    }
    let repaired = verify(&["--repair"]);
    assert_eq!(
        repaired.code,
        Some(0),
        "{}{}",
        repaired.answer(),
        repaired.stderr
    );
    site.export("out").silently(0);
    site.assert_complete("out");
    let aside = server_names(&site, "_rollbook/set-aside");
    assert_eq!(aside, ["part-00000000000000000009-0.parquet"]);
    // A part that is gone takes its commit with it.
    let parts = server_names(&site, "").into_iter();
    let mut parts = parts.filter(|name| name.starts_with("part-"));
    server.delete(&site.key("out", &parts.next().unwrap()));
    site.export("out").silently(0);
    site.assert_complete("out");
}

/// What readers of the days see of a dataset in the bucket, each record in the folder of its day.
#[track_caller]
fn dated(site: &Site) -> Vec<partitions::Seen> {
    let copy = site.stage.path("copy");
    let _there = std::fs::remove_dir_all(&copy);
    site.server.copy(&site.key("out", ""), &copy);
    site.assert_sound("out");
    site.assert_tidy("out");
    partitions::seen(&copy, "join_date")
}

#[test]
fn a_dataset_of_partitions_in_a_bucket_is_merged_repaired_and_purged() {
    let site = Site::on(moto(), partitions::midnights());
    let by = ["--partition-by", "join-date", "--timezone", "Europe/Berlin"];
    for first in 0..3 {
        site.stage.list("list.txt", (first..9).step_by(3));
        // A run that dies while its parts get their names leaves no row twice.
        let mut dying = site.exporting("out");
        dying.args(by).env("ROLLBOOK_CRASH_AT", "PartCopied:2");
        ended(&mut dying);
        ended(site.exporting("out").args(by)).with(0);
    }
    site.stage.list("list.txt", 0..9);
    let parts = |rows: &[partitions::Seen]| {
        let parts = rows.iter().map(|row| row.part.clone());
        parts.collect::<BTreeSet<_>>()
    };
    let before = dated(&site);
    partitions::assert_all(&site.stage, &before);
    let place = site.place("out");
    ended(&mut site.command(&["compact", &place])).with(0);
    let merged = dated(&site);
    partitions::assert_all(&site.stage, &merged);
    assert!(parts(&merged).len() < parts(&before).len());

    let lost = parts(&merged).into_iter().next().unwrap();
    site.server.delete(&site.key("out", &lost));
    ended(&mut site.command(&["verify", "--repair", &place])).with(0);
    site.export("out").with(0);
    partitions::assert_all(&site.stage, &dated(&site));

    let gone = site.stage.meeting(3);
    ended(&mut site.command(&["purge", &place, "--meeting", &gone])).with(0);
    let left = dated(&site);
    let others = merged.iter().filter(|row| row.meeting != gone);
    assert_eq!(left.len(), others.count());
    assert!(left.len() < merged.len() && left.iter().all(|row| row.meeting != gone));
}

#[test]
fn who_may_not_come_in_is_told_so_without_a_word_of_the_secret() {
    let site = Site::new(seaweedfs(), &[1]);
    let mut export = site.exporting("out");
    export
        .env("AWS_SECRET_ACCESS_KEY", "hunter2hunter2")
        .env("AWS_SESSION_TOKEN", "swordfish")
        .env("ROLLBOOK_LOG", "trace");
    let said = ended(&mut export).silently(1);
    assert!(said.contains("403"), "{said}");
    for secret in ["hunter2", "swordfish"] {
        assert!(!said.contains(secret), "{said}");
    }
    let verified = ended(&mut site.command(&["verify", &site.place("out")]));
    assert!(verified.stderr.contains("not a dataset"), "{verified:?}");
}

#[test]
fn a_store_in_the_clear_is_for_this_machine_alone() {
    let site = Site::new(moto(), &[1]);
    for args in [
        &["export", "--meetings", "list.txt", "--out"][..],
        &["verify"],
        &["status"],
    ] {
        let mut command = site.command(args);
        command.env("AWS_ENDPOINT_URL", "http://store.example.com");
        let said = ended(command.arg(site.place("out"))).silently(3);
        assert!(
            said.contains("http would send records in the clear"),
            "{said}"
        );
    }
}

#[test]
fn an_export_that_is_refused_does_not_look_alive() {
    let site = Site::new(moto(), &[3]);
    site.export("out").silently(0);
    let said = ended(site.exporting("out").args(["--language", "zh-CN"])).silently(3);
    assert!(said.contains("labels in en-US"), "{said}");
    site.assert_tidy("out");
}
