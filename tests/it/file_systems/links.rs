//! File systems without hard links.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use rollbook::simulator::{Effect, Fault};
use rstest::rstest;

use super::{EXPORT, errors, run, without};
use crate::dying::{Saved, die, everywhere, first_and_last, slowly};
use crate::stage::{Ended, Stage, ended};

#[rstest]
#[case::not_permitted(errors::PERM)]
#[case::not_supported(errors::OPNOTSUPP)]
#[case::unknown(errors::NOSYS)]
#[case::too_many(errors::MLINK)]
fn without_hard_links_an_export_is_whole_and_goes_on(#[case] number: i32) {
    let stage = Stage::of(&[3, 40]);
    let said = run(&stage, &EXPORT, "SHIM_LINK", number).silently(0);
    assert!(said.contains("complete: 2 of 2 meetings"), "{said}");
    run(&stage, &EXPORT, "SHIM_LINK", number).silently(0);
    run(&stage, &["verify", "out"], "SHIM_LINK", number).with(0);
}

/// Steps just before or after a file gets its name.
const NAMING: [&str; 9] = [
    "PartRecovered",
    "Cleared",
    "SaltPut",
    "PartStaged",
    "EntryReady",
    "EntryPut",
    "PartPublished",
    "ReportReady",
    "ReportPut",
];

/// An export of many steps without hard links.
fn unlinked_export(stage: &Stage) -> Command {
    without(
        stage,
        slowly(stage.command(&EXPORT)),
        "SHIM_LINK",
        errors::PERM,
    )
}

#[rstest]
#[case::from_nothing(None, "SaltPut")]
#[case::after_a_commit_that_was_not_published(Some("EntryPut"), "PartRecovered")]
fn without_hard_links_a_run_that_dies_at_any_step_shows_no_half_and_the_next_one_finishes(
    #[case] died_at: Option<&str>,
    #[case] seen: &str,
) {
    let stage = Stage::of(&[3, 0, 250, 700, 99]);
    if let Some(point) = died_at {
        die(unlinked_export(&stage), point, 1);
    }
    let saved = Saved::of(&stage, &["out", "state"]);
    let points = everywhere(
        || unlinked_export(&stage),
        || saved.put_back(),
        |point, hits| {
            if NAMING.contains(&point) {
                first_and_last(point, hits)
            } else {
                BTreeSet::new()
            }
        },
        |point, hit| {
            stage.assert_no_halves("out");
            ended(&mut unlinked_export(&stage)).with(0);
            assert_eq!(stage.assert_no_halves("out"), 4, "{point}:{hit}");
            run(&stage, &["verify", "out"], "SHIM_LINK", errors::PERM).with(0);
        },
    );
    assert!(points.contains("EntryPut"), "{points:?}");
    assert!(points.contains(seen), "{points:?}");
}

#[test]
fn without_hard_links_three_runs_at_once_commit_each_meeting_once() {
    const MEETINGS: usize = 40;
    let sizes: Vec<_> = (0..MEETINGS as u64).map(|at| at % 7 * 100).collect();
    let stage = Stage::of(&sizes).fault(Fault::new(Effect::Delay(Duration::from_millis(3))));
    stage.list("first.txt", 0..MEETINGS);
    stage.list("second.txt", (0..MEETINGS).rev());
    stage.list("third.txt", 10..30);
    for round in 0..2 {
        let out = format!("out{round}");
        let runs = ["first.txt", "second.txt", "third.txt"].map(|list| {
            let args = [
                "export",
                "--out",
                &out,
                "--meetings",
                list,
                "--part-rows",
                "900",
            ];
            let mut command = without(&stage, stage.command(&args), "SHIM_LINK", errors::PERM);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        });
        for run in runs {
            Ended::new(run.wait_with_output().unwrap()).silently(0);
        }
        let mut rows = stage.rows(&out);
        let meetings = stage.simulator.meetings();
        rows.sort_by_cached_key(|(meeting, index, _)| {
            let at = meetings.iter().position(|known| known.as_str() == meeting);
            (at, *index)
        });
        stage.assert_rows(&rows, &(0..MEETINGS).collect::<Vec<_>>());
        run(&stage, &["verify", &out], "SHIM_LINK", errors::PERM).with(0);
        let left = fs::read_dir(stage.path(&format!("{out}/_rollbook/staging")));
        assert_eq!(left.unwrap().count(), 0);
    }
}
