//! The last thing a run shows: what became of the meetings, what it cost, and what to do next.

use std::time::Duration;

use console::Style;
use indicatif::{HumanBytes, HumanCount};
use rollbook::{Format, MeetingReport, MeetingStatus, Outcome, Report, Unlisted, Window};

use super::table::{Align, Table, plain, shortened};

/// Meetings that are named with their cause; the report has them all.
const NAMED: usize = 10;

/// Columns that a cause may take.
const CAUSE: usize = 160;

/// The summary for a log of JSON lines.
pub(super) fn log(report: &Report) {
    tracing::info!(
        outcome = word(report.outcome),
        meetings = report.meetings.requested,
        already = report.meetings.already,
        complete = report.meetings.complete,
        empty = report.meetings.empty,
        replaced = report.meetings.replaced,
        rechecked = report.meetings.rechecked,
        without_records = report.without_records.len(),
        incomplete = report.meetings.incomplete,
        unfinished = report.meetings.unfinished,
        records = report.records,
        parts = report.parts,
        partitions = report.partitioning.map(|_| report.partitions),
        clock_offset_ms = report.clock.as_ref().and_then(|clock| clock.offset_ms),
        bytes = report.bytes,
        requests = report.requests.sent,
        spooled = report.requests.spooled,
        requests_minimum = report.requests.minimum,
        requests_remaining = report.requests.remaining,
        elapsed_ms = report.quota.elapsed_ms,
        bound_ms = report.quota.bound_ms,
        anomalies = report.anomalies.values().sum::<u64>(),
        same_records = report.same_records.len(),
        "finished"
    );
}

/// A word in the log where something is absent, for those who want to hear nothing else.
pub(super) fn complain(report: &Report) {
    if !matches!(report.outcome, Outcome::Complete | Outcome::Skipped) {
        tracing::error!("{}", headline(report, false));
    }
}

/// The summary for people.
pub(super) fn render(report: &Report, is_coloured: bool) -> String {
    if report.outcome == Outcome::Skipped {
        // Said already, and there are no figures.
        return String::new();
    }
    let mut text = format!("\n{}\n\n", headline(report, is_coloured));
    text.push_str(&figures(report).render());
    let warning = report
        .clock
        .as_ref()
        .and_then(|clock| clock.warning.as_ref());
    if let Some(warning) = warning {
        text.extend(["\nwarning: ", &plain(warning), "\n"]);
    }
    if let Some(window) = &report.window {
        text.push_str(&unlisted(window));
    }
    let absent: Vec<_> = report
        .per_meeting
        .iter()
        .filter(|meeting| {
            matches!(
                meeting.status,
                MeetingStatus::Unstable | MeetingStatus::Duplicates | MeetingStatus::Failed
            )
        })
        .collect();
    let (kept, absent): (Vec<_>, Vec<_>) = absent.into_iter().partition(|one| one.is_kept);
    if !kept.is_empty() {
        text.push_str("\nin the dataset as before, since they could not be read again:\n");
        text.push_str(&causes(&kept));
    }
    if !absent.is_empty() {
        let place = if is_piped(report) {
            "not written"
        } else {
            "not in the dataset"
        };
        text.extend(["\n", place, ", since they could not be had whole:\n"]);
        text.push_str(&causes(&absent));
    }
    text.push_str(&replaced(report));
    text.push_str(&without_records(report));
    text.push_str(&same_records(report));
    text.push('\n');
    text.push_str(&next_step(report));
    text.push('\n');
    text
}

/// The meetings that were replaced, with their records before and now.
fn replaced(report: &Report) -> String {
    let mut table = Table::new(&[Align::Left, Align::Right, Align::Right]);
    let replaced = report.per_meeting.iter().filter_map(|meeting| {
        let before = meeting.replaced?;
        Some((meeting, before))
    });
    let count = |count: u64| HumanCount(count).to_string();
    for (meeting, before) in replaced.take(NAMED) {
        table.row([
            meeting.conf_uuid.to_string(),
            count(before.records),
            format!("-> {}", count(meeting.records)),
        ]);
    }
    match report.meetings.replaced {
        0 => String::new(),
        all => format!(
            "\nread again and replaced, records before and now:\n{}{}",
            table.render(),
            and_more(all, NAMED)
        ),
    }
}

/// The meetings of a list that have no record.
fn without_records(report: &Report) -> String {
    let meetings = &report.without_records;
    if meetings.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[Align::Left]);
    for meeting in meetings.iter().take(NAMED) {
        table.row([meeting.to_string()]);
    }
    format!(
        "\nwarning: without any record, and not asked for again without --again; is the UUID right, \
         has the meeting ended?\n{}{}",
        table.render(),
        and_more(meetings.len() as u64, NAMED)
    )
}

fn and_more(all: u64, named: usize) -> String {
    match all.saturating_sub(named as u64) {
        0 => String::new(),
        more => format!("  and {more} more; the report names them all\n"),
    }
}

fn headline(report: &Report, is_coloured: bool) -> String {
    let style = Style::new().force_styling(is_coloured).bold();
    let style = match report.outcome {
        Outcome::Complete => style.green(),
        Outcome::Incomplete | Outcome::Interrupted | Outcome::Skipped => style.yellow(),
        Outcome::Failed => style.red(),
    };
    let meetings = &report.meetings;
    let held = meetings.already + meetings.complete + meetings.empty + meetings.replaced;
    let (held, asked) = (HumanCount(held), HumanCount(report.meetings.requested));
    let place = match report.out.as_str() {
        "-" => "written to standard output".to_owned(),
        out => format!("in {}", plain(out)),
    };
    let word = style.apply_to(format!("{}:", word(report.outcome)));
    if report.meetings.requested == 0 && report.outcome == Outcome::Complete {
        return format!("{word} no meetings to export");
    }
    format!("{word} {held} of {asked} meetings are {place}")
}

const fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Complete => "complete",
        Outcome::Incomplete => "incomplete",
        Outcome::Interrupted => "interrupted",
        Outcome::Skipped => "skipped",
        Outcome::Failed => "failed",
    }
}

fn figures(report: &Report) -> Table {
    let mut table = Table::new(&[Align::Left, Align::Right, Align::Left]);
    let meetings = &report.meetings;
    let mut meeting_row = |name: &str, count: u64, note: &str| {
        if count > 0 {
            table.row([
                name.to_owned(),
                HumanCount(count).to_string(),
                note.to_owned(),
            ]);
        }
    };
    let unchanged = match meetings.rechecked {
        0 => "not asked again".to_owned(),
        rechecked => format!("{} asked again, and unchanged", HumanCount(rechecked)),
    };
    meeting_row("already there", meetings.already, &unchanged);
    meeting_row(
        "purged",
        meetings.purged,
        "erased for good, not asked again",
    );
    meeting_row("complete", meetings.complete, &proofs(report));
    meeting_row("empty", meetings.empty, "complete, without any record");
    meeting_row("replaced", meetings.replaced, "read again, see below");
    meeting_row("incomplete", meetings.incomplete, "see below");
    meeting_row("unfinished", meetings.unfinished, &remaining(report));
    if let Some(window) = &report.window {
        meeting_row(
            "settling",
            window.settling,
            "ended lately, left to the next run",
        );
        let lost = "their list could not be had whole, see below";
        meeting_row("days missing", window.unlisted.len() as u64, lost);
    }
    let count = |count: u64| HumanCount(count).to_string();
    table.row([
        "records".to_owned(),
        count(report.records),
        anomalies(report),
    ]);
    table.row([
        "requests".to_owned(),
        count(report.requests.sent),
        requests(report),
    ]);
    table.row([
        "time".to_owned(),
        seconds(report.quota.elapsed_ms),
        quota(report),
    ]);
    if !is_piped(report) {
        let size = HumanBytes(report.bytes);
        let mut parts = format!("{size} of {}", report.format);
        if let Some(of) = report.partitioning {
            let partitions = match report.partitions {
                1 => "1 partition".to_owned(),
                more => format!("{} partitions", HumanCount(more)),
            };
            parts = format!("{parts}, in {partitions} by {}", of.by.setting());
        }
        table.row(["parts".to_owned(), count(report.parts), parts]);
    }
    table
}

/// Why the run stopped, and how much is left to do.
fn remaining(report: &Report) -> String {
    let mut meetings = report.per_meeting.iter();
    let unfinished = meetings.find(|meeting| meeting.status == MeetingStatus::Unfinished);
    let cause = unfinished.and_then(|meeting| meeting.cause.as_deref());
    let cause = plain(cause.unwrap_or("the run stopped first"));
    match report.requests.remaining {
        0 => cause,
        1 => format!("{cause}; at least 1 request to go"),
        more => format!("{cause}; at least {} requests to go", HumanCount(more)),
    }
}

fn proofs(report: &Report) -> String {
    let mut by_proof = std::collections::BTreeMap::new();
    for meeting in &report.per_meeting {
        // Those without records are told of in a line of their own.
        if let (MeetingStatus::Complete, Some(proof), 1..) =
            (meeting.status, meeting.proof, meeting.records)
        {
            *by_proof.entry(proof).or_insert(0_u64) += 1;
        }
    }
    let proofs: Vec<_> = by_proof
        .into_iter()
        .map(|(proof, meetings)| format!("{} {}", HumanCount(meetings), proof.as_str()))
        .collect();
    if proofs.is_empty() {
        String::new()
    } else {
        format!("proof: {}", proofs.join(", "))
    }
}

fn anomalies(report: &Report) -> String {
    let mut odd: Vec<_> = report
        .anomalies
        .iter()
        .filter(|(_, records)| **records > 0)
        .map(|(anomaly, records)| format!("{} {}", HumanCount(*records), plain(anomaly)))
        .collect();
    if report.replaced_surrogates > 0 {
        let replaced = HumanCount(report.replaced_surrogates);
        odd.push(format!("{replaced} lone surrogates replaced"));
    }
    if odd.is_empty() {
        "no anomalies".to_owned()
    } else {
        odd.join(", ")
    }
}

fn requests(report: &Report) -> String {
    let requests = &report.requests;
    let mut notes = vec![format!(
        "{} is the least possible",
        HumanCount(requests.minimum)
    )];
    for (count, what) in [
        (requests.retried, "retried"),
        (requests.throttled, "refused for the quota"),
        (requests.restarts, "meetings read again"),
        (requests.spooled, "pages taken from the spool"),
        (
            report.window.as_ref().map_or(0, |window| window.requests),
            "more for the list",
        ),
    ] {
        if count > 0 {
            notes.push(format!("{} {what}", HumanCount(count)));
        }
    }
    notes.join(", ")
}

fn quota(report: &Report) -> String {
    let quota = &report.quota;
    let bound = match quota.asked {
        rollbook::Rate::Unlimited => "no quota".to_owned(),
        asked @ rollbook::Rate::Limited { .. } => {
            format!("{asked} allows {} at best", seconds(quota.bound_ms))
        }
    };
    let mut notes = vec![bound];
    if quota.rate != quota.asked {
        notes.push(format!("slowed down to {}", quota.rate));
    }
    if quota.paused_ms > 0 {
        notes.push(format!("paused {}", seconds(quota.paused_ms)));
    }
    notes.join(", ")
}

/// Meetings with the same records, which the server may have taken for each other.
fn same_records(report: &Report) -> String {
    if report.same_records.is_empty() {
        return String::new();
    }
    let mut text =
        "\nthe same records came for several meetings; compare them with the console:\n".to_owned();
    for group in report.same_records.iter().take(NAMED) {
        let names: Vec<_> = group.iter().take(NAMED).map(ToString::to_string).collect();
        text.extend(["  ", &names.join(", ")]);
        if group.len() > NAMED {
            text.extend([" and ", &(group.len() - NAMED).to_string(), " more"]);
        }
        text.push('\n');
    }
    match report.same_records.len().saturating_sub(NAMED) {
        0 => text,
        more => format!("{text}  and {more} more; the report names them all\n"),
    }
}

/// The days whose list could not be had whole, with their causes.
fn unlisted(window: &Window) -> String {
    let (whole, rows): (Vec<_>, Vec<_>) =
        window.unlisted.iter().partition(|day| day.rows.is_empty());
    let whole = days(
        "not listed, so that none of their meetings are there; the days from:",
        &whole,
    );
    let rows = days(
        "listed with rows that cannot be read, so that single meetings are missing; the days from:",
        &rows,
    );
    whole + &rows
}

fn days(heading: &str, days: &[&Unlisted]) -> String {
    if days.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[Align::Left, Align::Left]);
    for day in days.iter().take(NAMED) {
        let begin = day.since.format("%Y-%m-%d %H:%MZ").to_string();
        table.row([begin, shortened(&day.cause, CAUSE)]);
    }
    let more = match days.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("  and {more} more; the report names them all\n"),
    };
    format!("\n{heading}\n{}{more}", table.render())
}

fn causes(absent: &[&MeetingReport]) -> String {
    let mut table = Table::new(&[Align::Left, Align::Left]);
    for meeting in absent.iter().take(NAMED) {
        let cause = meeting.cause.as_deref().unwrap_or("no cause is known");
        let mut shown = shortened(cause, CAUSE);
        if let Some(id) = &meeting.request_id
            && !shown.contains(id.as_str())
        {
            // Whoever asks the server's people is asked for it.
            shown.extend([" (request id ", &plain(id), ")"]);
        }
        table.row([meeting.conf_uuid.to_string(), shown]);
    }
    let text = table.render();
    match absent.len().saturating_sub(NAMED) {
        0 => text,
        more => format!("{text}  and {more} more; the report names them all\n"),
    }
}

/// Nothing is kept of a run into a pipe.
fn is_piped(report: &Report) -> bool {
    report.out == "-"
}

fn next_step(report: &Report) -> String {
    if is_piped(report) && report.outcome != Outcome::Complete {
        return "next: run it again for all of them, or export into a folder, where a run goes on \
                from what is there"
            .to_owned();
    }
    match report.outcome {
        Outcome::Complete => read_step(report),
        Outcome::Incomplete if report.meetings.unfinished > 0 => {
            "next: the same command goes on from here".to_owned()
        }
        Outcome::Incomplete => {
            "next: the same command asks again for the incomplete meetings alone".to_owned()
        }
        Outcome::Interrupted => "next: the same command goes on from here".to_owned(),
        Outcome::Skipped => "next: the run that is at work goes on".to_owned(),
        Outcome::Failed => "next: mend the cause; the same command goes on from here".to_owned(),
    }
}

fn read_step(report: &Report) -> String {
    if is_piped(report) {
        return "next: nothing, the records are on their way".to_owned();
    }
    let folder = plain(report.out.trim_end_matches('/'));
    match report.format {
        Format::Parquet => {
            let partitions = report
                .partitioning
                .map(|of| format!("{}=*/", of.by.column()));
            let parts = format!("{folder}/{}part-*.parquet", partitions.unwrap_or_default());
            format!("next: duckdb -c \"SELECT * FROM '{parts}' LIMIT 10\"")
        }
        Format::Ndjson | Format::Arrow => format!("next: rollbook verify {folder}"),
    }
}

/// Milliseconds as people say them.
fn seconds(ms: u64) -> String {
    let time = Duration::from_millis(ms);
    if ms < 60_000 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        humantime::format_duration(Duration::from_secs(time.as_secs())).to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;
    use rollbook::{
        Language, MeetingCounts, PartitionBy, Partitioning, Proof, Quota, Rate, Requests, Zone,
    };

    use super::*;

    fn report() -> Report {
        let meeting = |uuid: &str, proof| MeetingReport {
            conf_uuid: uuid.parse().unwrap(),
            status: MeetingStatus::Complete,
            count: Some(3),
            records: 3,
            requests: 1,
            proof: Some(proof),
            pages: Some(1),
            seams: Some(0),
            equal_records: None,
            doubtful: 0,
            replaced: None,
            is_kept: false,
            day: None,
            cause: None,
            request_id: None,
        };
        Report {
            version: 1,
            rollbook: "0.1.0".into(),
            run_id: "run".into(),
            started: DateTime::UNIX_EPOCH,
            finished: DateTime::UNIX_EPOCH,
            outcome: Outcome::Complete,
            error: None,
            out: "attendance/".into(),
            format: Format::Parquet,
            base_url: "https://example.com".into(),
            language: Language::EnUs,
            pii: None,
            beside: vec![],
            single_writer: false,
            clock: None,
            window: None,
            meetings: MeetingCounts {
                requested: 205,
                already: 2,
                purged: 0,
                complete: 195,
                empty: 8,
                ..MeetingCounts::default()
            },
            records: 45_123,
            parts: 3,
            bytes: 1_234_567,
            partitioning: None,
            partitions: 0,
            requests: Requests {
                sent: 312,
                minimum: 312,
                ..Requests::default()
            },
            quota: Quota {
                asked: Rate::per_minute(100),
                rate: Rate::per_minute(100),
                bound_ms: 186_600,
                elapsed_ms: 187_104,
                paused_ms: 0,
            },
            anomalies: BTreeMap::new(),
            failures: [].into(),
            ledger: None,
            without_records: vec![],
            replaced_surrogates: 0,
            same_records: vec![],
            per_meeting: vec![
                meeting("a1", Proof::SinglePage),
                meeting("b2", Proof::Seams),
            ],
            unfinished_left_out: 0,
        }
    }

    #[test]
    fn a_complete_run_says_where_the_data_is() {
        insta::assert_snapshot!(render(&report(), false));
    }

    #[test]
    fn a_run_with_partitions_says_in_which_folders_the_data_is() {
        let mut report = report();
        report.partitioning = Partitioning::new(PartitionBy::JoinDate, Zone::UTC);
        report.partitions = 2;
        insta::assert_snapshot!(render(&report, false));
    }

    #[test]
    fn an_incomplete_run_names_the_meetings_and_their_causes() {
        let mut report = report();
        report.outcome = Outcome::Incomplete;
        report.meetings.incomplete = 12;
        report.meetings.complete = 183;
        report.anomalies = [("missing_left".to_owned(), 12)].into();
        report.requests.retried = 4;
        report.requests.throttled = 2;
        report.requests.sent = 318;
        report.quota.rate = Rate::per_minute(60);
        report.quota.paused_ms = 31_500;
        for n in 0..12 {
            report.per_meeting.push(MeetingReport {
                conf_uuid: format!("f{n}").parse().unwrap(),
                status: MeetingStatus::Failed,
                count: Some(7),
                records: 0,
                requests: 9,
                proof: None,
                pages: None,
                seams: None,
                equal_records: None,
                doubtful: 0,
                replaced: None,
                is_kept: false,
                day: None,
                cause: Some("answered 500\u{1b}[2J, 9 times".to_owned()),
                request_id: Some("914a39d6\u{1b}".to_owned()),
            });
        }
        insta::assert_snapshot!(render(&report, false));
    }

    #[test]
    fn an_interrupted_run_says_that_it_goes_on() {
        let mut report = report();
        report.outcome = Outcome::Interrupted;
        report.meetings.unfinished = 100;
        report.meetings.complete = 95;
        let text = render(&report, false);
        assert!(
            text.contains("unfinished") && text.contains("goes on from here"),
            "{text}"
        );
    }
}
