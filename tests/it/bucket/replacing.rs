//! Meetings that are replaced in a bucket, whatever the run dies of and whoever replaces beside it.

use std::thread;

use rollbook::simulator::Drift;
use rstest::rstest;

use crate::dying::die;
use crate::stage::ended;

use super::server::{Server, moto, seaweedfs};
use super::site::Site;

const SIZES: [u64; 4] = [30, 1_100, 0, 7];

/// One record comes late to each meeting but the last.
fn grow(site: &Site) {
    let meetings = site.stage.simulator.meetings();
    for meeting in &meetings[..SIZES.len() - 1] {
        let drift = Drift {
            append: 1,
            ..Drift::default()
        };
        site.stage.simulator.drift(meeting, drift);
    }
}

#[rstest]
#[case::moto(moto())]
#[case::seaweedfs(seaweedfs())]
fn a_replacement_in_a_bucket_is_finished_by_the_run_after_one_that_died(
    #[case] server: &'static Server,
) {
    let site = Site::new(server, &SIZES);
    site.export("out").silently(0);
    for point in ["EntryPut", "PartCopied", "PartPublished", "VoidRemoved"] {
        grow(&site);
        let mut dying = site.exporting("out");
        dying.args(["--recheck", "1d"]);
        die(dying, point, 1);
        ended(site.exporting("out").args(["--recheck", "1d"])).silently(0);
        site.assert_complete("out");
    }
    let replaced = site.server.objects(&site.key("out", "_rollbook/replaced"));
    assert!(!replaced.is_empty());
}

#[test]
fn runs_on_several_machines_that_replace_the_same_meetings_leave_each_row_once() {
    let site = Site::new(moto(), &SIZES);
    site.export("out").silently(0);
    grow(&site);
    thread::scope(|scope| {
        let runs = ["one", "two", "three"].map(|machine| {
            let mut run = site.exporting("out");
            run.env("ROLLBOOK_STATE_DIR", site.stage.path(machine));
            run.args(["--recheck", "1d", "--commit-every", "1ms"]);
            scope.spawn(move || ended(&mut run))
        });
        for run in runs {
            run.join().unwrap().silently(0);
        }
    });
    site.assert_complete("out");
}
