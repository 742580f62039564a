//! Meetings that spoil nothing but themselves: a list in which every tenth is broken in a way of
//! its own.

use std::collections::BTreeSet;
use std::time::Duration;

use rollbook::simulator::{
    Answer, Drift, Drip, Echo, Effect, Fault, Options, RecordEdit, ServiceError,
};
use rollbook::{MeetingStatus, Outcome};
use rstest::rstest;

use crate::stage::{Stage, gone};

const MEETINGS: usize = 200;

/// Each way to misbehave, and what its cause says.
fn ways() -> Vec<(Effect, &'static str)> {
    let busy = ServiceError {
        status: 200,
        code: "MMC.200000001".to_owned(),
        message: "BUSY".to_owned(),
    };
    let portal = Answer {
        body: "<html>Sign in to the guest network</html>".to_owned(),
        content_type: "text/html".to_owned(),
        ..Answer::default()
    };
    let front = Drift {
        insert_front: 1,
        ..Drift::default()
    };
    vec![
        (Effect::Status(403), "HTTP 403"),
        (gone(), "HTTP 404"),
        (Effect::Status(500), "HTTP 500"),
        (Effect::Status(502), "HTTP 502"),
        (Effect::Error(busy), "BUSY"),
        (
            Effect::Redirect("https://elsewhere.invalid/".to_owned()),
            "redirects are not followed",
        ),
        (Effect::Pad(3 << 20), "larger than"),
        (Effect::GzipBomb(1 << 30), "larger than"),
        (Effect::Nested(200_000), "record at offset 0"),
        (Effect::Answer(portal), "no page of records: not JSON"),
        (Effect::NoCount, "no page of records"),
        (Effect::Count(-1), "no page of records"),
        (Effect::CountOff(3), "but the records end after"),
        (Effect::CountOff(-3), "records or more"),
        (Effect::Shuffle, "differs between two pages"),
        (Effect::Drift(front), "count changed"),
        (Effect::IgnoreOffset(Echo::True), "asked for offset"),
        (Effect::Longer(3), "asked for 500 records"),
        (
            Effect::Record(RecordEdit::replace(7, "\"gone\"")),
            "record at offset 7",
        ),
        (
            Effect::Record(RecordEdit::set(8, "leftTime", "\"soon\"")),
            "record at offset 8: member leftTime",
        ),
    ]
}

#[test]
fn twenty_broken_meetings_of_two_hundred_spoil_nothing_but_themselves() {
    let ways = ways();
    assert_eq!(ways.len(), 20);
    let poisoned: Vec<usize> = (0..MEETINGS).step_by(MEETINGS / ways.len()).collect();
    let (poisoned, healthy): (Vec<_>, Vec<_>) = (0..MEETINGS).partition(|at| poisoned.contains(at));
    let sizes: Vec<_> = (0..MEETINGS)
        .zip(0_u64..)
        .map(|(at, number)| match number % 25 {
            _ if poisoned.contains(&at) => 1_200,
            3 => 700,
            _ => number % 40,
        })
        .collect();
    let stage = Stage::with(Options {
        // Compressed answers are asked for over TLS.
        tls: true,
        ..Options::sizes(&sizes)
    });
    let misbehave = || {
        for (&at, (effect, _)) in poisoned.iter().zip(&ways) {
            stage
                .simulator
                .add_fault(Fault::new(effect.clone()).meeting(at));
        }
    };
    misbehave();
    let args = [
        "--retries",
        "3",
        "--max-body",
        "2MiB",
        "--report",
        "report.json",
    ];

    let said = stage.export(&args).silently(4);
    let report = stage.report();
    assert_eq!(report.outcome, Outcome::Incomplete);
    assert_eq!(report.meetings.incomplete, 20);
    assert_eq!(report.meetings.complete + report.meetings.empty, 180);
    let seen = stage.simulator.requests();
    let mut ids = BTreeSet::new();
    for (&at, (effect, words)) in poisoned.iter().zip(&ways) {
        let meeting = &report.per_meeting[at];
        let cause = meeting.cause.as_deref().unwrap();
        assert_eq!(meeting.conf_uuid.as_str(), stage.meeting(at));
        assert!(
            matches!(
                meeting.status,
                MeetingStatus::Failed | MeetingStatus::Unstable
            ),
            "{meeting:?}"
        );
        assert!(cause.contains(words), "{effect:?}: {cause}");
        // It is the id of a request for this meeting, by which the server's people find it.
        let id = meeting.request_id.as_deref().expect(cause);
        assert!(cause.contains(id), "{effect:?}: {cause}");
        let asked = seen.iter().find(|seen| seen.request_id == id).unwrap();
        assert_eq!(asked.meeting.as_deref(), Some(meeting.conf_uuid.as_str()));
        assert!(ids.insert(id));
    }
    for &at in &healthy {
        let meeting = &report.per_meeting[at];
        assert_eq!(meeting.status, MeetingStatus::Complete, "{meeting:?}");
        assert_eq!((&meeting.cause, &meeting.request_id), (&None, &None));
    }
    // The summary names the first ten in full, and says where the others are.
    for &at in &poisoned[..10] {
        let id = report.per_meeting[at].request_id.as_deref().unwrap();
        let uuid = stage.meeting(at);
        let named = said.lines().any(|line| {
            line.trim_start().starts_with(&uuid) && line.contains(&format!("(request id {id})"))
        });
        assert!(named, "{uuid} {id}: {said}");
    }
    assert!(
        said.contains("and 10 more; the report names them all"),
        "{said}"
    );
    stage.assert_rows(&stage.rows("out"), &healthy);
    assert_eq!(stage.verified().code, Some(0));

    // As long as they are broken, they are all that is asked for.
    let asked = |stage: &Stage| -> BTreeSet<_> {
        let seen = stage.simulator.requests().into_iter();
        let asked = seen.map(|seen| seen.meeting.unwrap()).collect();
        stage.simulator.clear_requests();
        asked
    };
    let broken: BTreeSet<_> = poisoned.iter().map(|&at| stage.meeting(at)).collect();
    stage.simulator.clear_faults();
    misbehave();
    stage.simulator.clear_requests();
    stage.export(&args).silently(4);
    assert_eq!(asked(&stage), broken);
    assert_eq!(stage.report().meetings.incomplete, 20);
    stage.assert_rows(&stage.rows("out"), &healthy);

    // And once they are mended, they are all that is added.
    stage.simulator.clear_faults();
    stage.export(&args).silently(0);
    assert_eq!(asked(&stage), broken);
    assert_eq!(stage.report().meetings.already, 180);
    assert_eq!(stage.report().meetings.complete, 20);
    let all: Vec<_> = healthy.iter().chain(&poisoned).copied().collect();
    stage.assert_rows(&stage.rows("out"), &all);
    assert_eq!(stage.verified().code, Some(0));
}

/// Over HTTP/1, where a broken answer costs nobody else the connection.
#[rstest]
#[case::truncated(Effect::Truncate(1_000))]
#[case::reset(Effect::ResetAfter(1_000))]
#[case::dripping(Effect::Drip(Drip { bytes: 1, pause: Duration::from_millis(20) }))]
fn an_answer_that_breaks_off_for_ever_is_named_by_the_id_in_its_head(#[case] effect: Effect) {
    let stage = Stage::of(&[700, 10]).fault(Fault::new(effect).meeting(0));
    let args = [
        "--retries",
        "2",
        "--timeout",
        "300ms",
        "--report",
        "report.json",
    ];
    stage.export(&args).silently(4);
    let report = stage.report();
    let id = report.per_meeting[0].request_id.as_deref().unwrap();
    let seen = stage.simulator.requests();
    let asked = seen
        .iter()
        .rfind(|seen| seen.meeting.as_deref() == Some(&stage.meeting(0)));
    assert_eq!(asked.unwrap().request_id, id);
    stage.assert_rows(&stage.rows("out"), &[1]);
}
