//! Meeting lists as spreadsheets, databases and editors make them, and lists of millions, by the
//! command.

use std::fmt::Write as _;
use std::fs;

use rollbook::Outcome;
use rollbook::simulator::{Effect, Fault};
use rstest::rstest;
use serde_json::Value;

use crate::stage::Stage;

#[rstest]
#[case::nothing("")]
#[case::a_header("confUUID\r\n")]
#[case::separators("sep=;\r\n;;\r\n")]
#[case::comments("# a quiet day\n\n")]
fn an_empty_list_is_no_error_and_the_dataset_stays_readable(#[case] list: &str) {
    let stage = Stage::of(&[10]);
    fs::write(stage.path("quiet.txt"), list).unwrap();
    let args = ["export", "--meetings", "quiet.txt", "--out", "out"];
    let args = [&args[..], &["--report", "report.json"]].concat();
    let said = stage.run(&args).silently(0);
    assert!(said.contains("complete: no meetings to export"), "{said}");
    assert_eq!(stage.report().outcome, Outcome::Complete);
    assert_eq!((stage.requests(), stage.rows("out").len()), (0, 0));
    assert_eq!(stage.parts("out").len(), 1);
    assert_eq!(stage.verified().code, Some(0));
    // On a dataset with meetings as well.
    stage.export(&[]).silently(0);
    stage.requests();
    stage.run(&args).silently(0);
    assert_eq!((stage.requests(), stage.rows("out").len()), (0, 10));
}

#[test]
fn an_empty_list_through_a_pipe_writes_no_record() {
    let stage = Stage::of(&[10]);
    fs::write(stage.path("quiet.txt"), "").unwrap();
    let args = [
        "export",
        "--meetings",
        "quiet.txt",
        "--out",
        "-",
        "--format",
    ];
    let run = stage.run(&[&args[..], &["ndjson"]].concat());
    assert_eq!((run.code, run.answer()), (Some(0), ""), "{}", run.stderr);
    let run = stage.run(&[&args[..], &["arrow"]].concat());
    let stream = arrow::ipc::reader::StreamReader::try_new(&run.stdout[..], None).unwrap();
    assert_eq!((run.code, stream.count()), (Some(0), 0), "{}", run.stderr);
}

/// The help tells people to do so.
#[test]
fn a_list_of_a_day_without_meetings_can_be_exported() {
    let stage = Stage::of(&[10]);
    let script = "\"$BIN\" meetings --since 2026-02-01 --until 2026-02-01 --format uuids > day.txt \
                  && \"$BIN\" export --meetings day.txt --out out";
    let said = crate::stage::ended(&mut stage.script(&[], script)).silently(0);
    assert!(said.contains("no meetings to export"), "{said}");
}

#[test]
fn a_purge_of_an_empty_list_erases_nothing() {
    let stage = Stage::of(&[10]);
    stage.export(&[]).silently(0);
    fs::write(stage.path("quiet.txt"), "confUUID\n").unwrap();
    let purged = stage.run(&["purge", "out", "--meetings", "quiet.txt"]);
    assert_eq!(purged.code, Some(0), "{}", purged.stderr);
    assert_eq!(purged.answer(), "no meetings to purge\n");
    assert_eq!(stage.rows("out").len(), 10);
}

#[test]
fn a_list_as_excel_writes_it_is_read() {
    let stage = Stage::of(&[10, 20]);
    let (a, b) = (stage.meeting(0), stage.meeting(1));
    let list = format!(
        "\u{feff}sep=;\r\nTopic;confUUID;Host\r\n;;\r\nx;\u{a0}{a}\u{200b};y\r\n;;\r\nz;{b}\r\n;;\r\n"
    );
    fs::write(stage.path("list.csv"), list).unwrap();
    let args = ["export", "--meetings", "list.csv", "--out", "out"];
    let said = stage.run(&args).silently(0);
    assert!(said.contains("complete: 2 of 2 meetings"), "{said}");
}

#[test]
fn the_spellings_of_a_uuid_are_one_meeting_that_is_asked_for_once() {
    let stage = Stage::of(&[10]);
    let uuid = stage.meeting(0);
    assert_eq!(uuid.len(), 32);
    let (mut dashed, upper) = (uuid.clone(), uuid.to_uppercase());
    for at in [20, 16, 12, 8] {
        dashed.insert(at, '-');
    }
    fs::write(
        stage.path("list.txt"),
        format!("{upper}\n{dashed}\n{uuid}\n"),
    )
    .unwrap();
    let said = stage.export(&[]).silently(0);
    assert!(said.contains("complete: 1 of 1 meetings"), "{said}");
    assert_eq!(stage.assert_no_halves("out"), 1);
    assert_eq!(stage.requests(), 1);
    // Named on the command line, too, and held by then.
    let args = ["export", &dashed.to_uppercase(), "--out", "out"];
    stage.run(&args).silently(0);
    assert_eq!(stage.requests(), 0);
}

#[rstest]
#[case::invisible(
    "a1\nb\u{200b}2\n",
    "line 2: not a meeting UUID: expected 1 to 64 letters, digits or dashes; character 2 of 3 is \\u{200b}\n"
)]
#[case::header(
    "uuid\n9a0fa6d10a5b11eaae5e191763c22c0e\n",
    "line 1: the header of a column, since it has no digit: name the column confUUID, or remove the line\n"
)]
#[case::header_of_words("Meeting UUID\na1\n", "a header of one column is named confUUID\n")]
#[case::conference_id(
    "914083388\n",
    "line 1: a conference ID of nine digits, which people dial, and no meeting UUID"
)]
fn what_is_no_meeting_is_told_for_what_it_is(#[case] list: &str, #[case] words: &str) {
    let stage = Stage::of(&[10]);
    fs::write(stage.path("list.txt"), list).unwrap();
    let said = stage.export(&[]).silently(2);
    assert!(said.contains(words), "{said}");
    assert_eq!(stage.requests(), 0);
}

#[test]
fn a_conference_id_on_the_command_line_gets_its_hint() {
    let stage = Stage::of(&[10]);
    let said = stage
        .run(&["export", "914083388", "--out", "out"])
        .silently(2);
    assert!(said.contains("a conference ID of nine digits"), "{said}");
}

/// Thousands of meetings that no request was made for.
fn long_list(stage: &Stage, meetings: usize) {
    let list = (0..meetings).fold(String::new(), |mut list, number| {
        writeln!(list, "{number:032x}").unwrap();
        list
    });
    fs::write(stage.path("long.txt"), list).unwrap();
}

#[rstest]
#[case::nobody_answers(Some(Effect::Reset), &[], 1)]
#[case::requests_are_used_up(None, &["--max-requests", "3"], 4)]
fn the_report_of_an_unfinished_run_names_a_thousand_meetings_and_counts_the_others(
    #[case] effect: Option<Effect>,
    #[case] args: &[&str],
    #[case] code: i32,
) {
    let mut stage = Stage::of(&[10]);
    if let Some(effect) = effect {
        stage = stage.fault(Fault::new(effect));
    }
    long_list(&stage, 5_000);
    let all = ["export", "--meetings", "long.txt", "--out", "out"];
    let all = [&all[..], &["--report", "report.json"], args].concat();
    let said = stage.run(&all).silently(code);
    let report = stage.report();
    let unfinished = report.meetings.unfinished;
    assert!(unfinished > 4_990, "{said}");
    let named = report
        .per_meeting
        .iter()
        .filter(|one| one.records == 0)
        .count() as u64;
    // Those that requests were made for have a row in any case.
    assert!((1_000..1_100).contains(&named), "{named}");
    assert_eq!(named + report.unfinished_left_out, 5_000);
    assert!(report.requests.remaining >= unfinished);
    assert!(fs::metadata(stage.path("report.json")).unwrap().len() < 400_000);
    let status = stage.run(&["status", "out"]);
    let more = format!("and {},", report.unfinished_left_out / 1_000);
    let told = status.answer();
    assert!(
        told.contains(&more) && told.contains("its report does not name"),
        "{told}"
    );
    let status = stage.run(&["status", "out", "--json"]);
    let told: Value = serde_json::from_str(status.answer()).unwrap();
    assert_eq!(told["left"]["left_out"], report.unfinished_left_out);
}
