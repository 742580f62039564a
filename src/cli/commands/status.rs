//! `rollbook status`: what a dataset's ledger holds, without reading a part.

use anyhow::Result;
use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use rollbook::{Left, RunStatus, Status, TableStatus};

use crate::cli::args::Reach;
use crate::cli::exit_code::Exit;
use crate::cli::terminal::{Align, Table, plain, shortened};
use crate::cli::{answer_as, runtime};

/// Runs that are shown; `--json` has them all.
const RUNS: usize = 10;

/// Meetings that are named with their cause; `--json` has them all.
const NAMED: usize = 10;

/// Columns that a cause may take.
const CAUSE: usize = 160;

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The dataset: what --out named
    dataset: String,
    /// As JSON, for machines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl StatusArgs {
    pub(crate) fn run(self) -> Result<Exit> {
        let status = runtime()?.block_on(rollbook::status(self.reach.place(&self.dataset)?))?;
        answer_as(self.json, &status, |status| describe(&self.dataset, status))?;
        Ok(Exit::Complete)
    }
}

fn describe(dataset: &str, status: &Status) -> String {
    let mut text = format!("{}\n\n", plain(dataset));
    text.push_str(&figures(status).render());
    if !status.runs.is_empty() {
        text.push_str("\nruns, the latest last:\n\n");
        text.push_str(&runs(status).render());
    }
    if let Some(left) = &status.left {
        text.push_str(&absent(left));
    }
    let mut left = Table::new(&[Align::Left, Align::Left]);
    for run in &status.unfinished {
        let what = match run.is_live {
            Some(true) => "goes on now",
            Some(false) => "was cut off",
            None => "no file locks show whether this run goes on",
        };
        let held = format!("{what}: {} files, {}", run.files, HumanBytes(run.bytes));
        left.row([run.run_id.clone(), held]);
    }
    for damage in &status.damaged {
        left.row([plain(&damage.path), plain(&damage.reason)]);
    }
    if !status.unfinished.is_empty() || !status.damaged.is_empty() {
        text.push_str("\nunfinished, and repaired by the next export:\n\n");
        text.push_str(&left.render());
    }
    text
}

fn figures(status: &Status) -> Table {
    let mut table = Table::new(&[Align::Left, Align::Right, Align::Left]);
    let count = |count: u64| HumanCount(count).to_string();
    let empty = format!(
        "{} of them without any record",
        count(status.empty_meetings)
    );
    table.row(["meetings".to_owned(), count(status.meetings), empty]);
    if let Some(described) = status.described {
        let what = "with a row in the meetings table".to_owned();
        table.row(["described".to_owned(), count(described), what]);
    }
    let none = match status.records {
        0 => "none yet; in NDJSON there is no part without one",
        _ => "",
    };
    table.row(["records".to_owned(), count(status.records), none.to_owned()]);
    if let Some(delta) = &status.table {
        table.row(delta_table(delta, status.entries));
    }
    let size = HumanBytes(status.bytes).to_string();
    table.row(["parts".to_owned(), count(status.parts), size]);
    if let Some(of) = status.partitioning {
        let by = format!("by {}, days of {}", of.by.setting(), of.timezone);
        table.row(["partitions".to_owned(), count(status.partitions), by]);
    }
    let void = [
        (status.retracted, "retracted"),
        (status.rewritten, "written again"),
    ];
    let void = void.into_iter().filter(|(commits, _)| *commits > 0);
    let void: Vec<_> = void
        .map(|(commits, what)| format!("{} {what}", count(commits)))
        .collect();
    table.row(["commits".to_owned(), count(status.entries), void.join(", ")]);
    if status.purged > 0 {
        let what = "meetings, for good".to_owned();
        table.row(["purged".to_owned(), count(status.purged), what]);
    }
    if status.replaced > 0 {
        let what = "parts, kept for a while".to_owned();
        table.row(["replaced".to_owned(), count(status.replaced), what]);
    }
    table.row([
        "requests".to_owned(),
        count(status.requests),
        "spent on them".to_owned(),
    ]);
    if let Some(time) = status.last_commit {
        let time = time.format("%Y-%m-%d %H:%M:%SZ").to_string();
        table.row(["changed".to_owned(), String::new(), time]);
    }
    table
}

/// The dataset as a Delta table, on one line.
fn delta_table(table: &TableStatus, entries: u64) -> [String; 3] {
    let version = table.version.map(|version| format!("v{version}"));
    let behind = entries.saturating_sub(table.sequence.unwrap_or_default());
    let what = match &table.fault {
        Some(fault) => plain(fault),
        None if behind == 0 => "a Delta table, level with the ledger".to_owned(),
        None => format!(
            "a Delta table that lacks the last {} of the ledger's entries; the next run brings them",
            HumanCount(behind)
        ),
    };
    ["table".to_owned(), version.unwrap_or_default(), what]
}

fn runs(status: &Status) -> Table {
    let runs = &status.runs;
    let is_live = |run: &RunStatus| {
        let mut unfinished = status.unfinished.iter();
        let folder = unfinished.find(|folder| folder.run_id == run.run_id);
        folder.map_or(Some(false), |folder| folder.is_live)
    };
    let mut table = Table::new(&[Align::Left, Align::Right, Align::Right, Align::Left]);
    for run in runs.iter().skip(runs.len().saturating_sub(RUNS)) {
        table.row([
            run.run_id.clone(),
            format!("{} meetings", HumanCount(run.meetings)),
            format!("{} records", HumanCount(run.records)),
            match is_live(run) {
                _ if run.is_finished => "finished",
                Some(true) => "goes on now",
                Some(false) => "was cut off, without a report",
                None => "without a report",
            }
            .to_owned(),
        ]);
    }
    table
}

/// What the last run that ended did not bring.
fn absent(left: &Left) -> String {
    let counts = [
        (left.incomplete, "incomplete"),
        (left.unfinished, "unfinished"),
    ];
    let counts: Vec<_> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", HumanCount(count)))
        .collect();
    let mut table = Table::new(&[Align::Left, Align::Left]);
    for meeting in left.meetings.iter().take(NAMED) {
        let cause = meeting.cause.as_deref().unwrap_or_default();
        table.row([meeting.conf_uuid.to_string(), shortened(cause, CAUSE)]);
    }
    let text = format!(
        "\nleft by run {}, which ended {}: {}\n\n{}",
        plain(&left.run_id),
        left.finished.format("%Y-%m-%d %H:%M:%SZ"),
        counts.join(", "),
        table.render()
    );
    let text = match left.meetings.len().saturating_sub(NAMED) {
        0 => text,
        more => format!("{text}  and {more} more; --json has them all\n"),
    };
    match left.left_out {
        0 => text,
        more => format!(
            "{text}  and {} more that its report does not name\n",
            HumanCount(more)
        ),
    }
}

#[cfg(test)]
mod tests {
    use rollbook::{
        Damage, MeetingReport, MeetingStatus, Outcome, PartitionBy, Partitioning, Unfinished, Zone,
    };

    use super::*;

    #[test]
    fn everything_that_is_not_in_order_is_named() {
        let status = Status {
            version: 1,
            entries: 3,
            retracted: 1,
            rewritten: 4,
            purged: 2,
            replaced: 9,
            meetings: 200,
            empty_meetings: 7,
            records: 45_123,
            parts: 2,
            bytes: 1_234_567,
            partitioning: None,
            partitions: 0,
            described: None,
            table: None,
            requests: 312,
            last_commit: Some(chrono::DateTime::UNIX_EPOCH),
            runs: vec![RunStatus {
                run_id: "20260105-a".into(),
                commits: 2,
                meetings: 200,
                records: 45_123,
                last_commit: None,
                is_finished: true,
            }],
            left: None,
            unfinished: vec![Unfinished {
                run_id: "20260106-b".into(),
                is_live: Some(false),
                files: 2,
                bytes: 4096,
            }],
            damaged: vec![Damage {
                sequence: 2,
                path: "part-2-0.parquet".into(),
                reason: "missing".into(),
            }],
        };
        insta::assert_snapshot!(describe("attendance", &status));
    }

    #[test]
    fn what_the_last_run_left_and_runs_that_were_cut_off_are_told() {
        let run = |run_id: &str, is_finished| RunStatus {
            run_id: run_id.into(),
            commits: 1,
            meetings: 3,
            records: 5,
            last_commit: None,
            is_finished,
        };
        let failed = |n: usize| MeetingReport {
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
            request_id: None,
        };
        let status = Status {
            version: 1,
            entries: 3,
            retracted: 0,
            rewritten: 0,
            purged: 0,
            replaced: 0,
            meetings: 9,
            empty_meetings: 0,
            records: 15,
            parts: 3,
            bytes: 1_000,
            partitioning: Partitioning::new(PartitionBy::JoinDate, Zone::UTC),
            partitions: 3,
            described: Some(7),
            table: Some(TableStatus {
                version: Some(4),
                sequence: Some(2),
                fault: None,
            }),
            requests: 9,
            last_commit: None,
            runs: vec![
                run("20260105-a", true),
                run("20260106-b", false),
                run("20260107-c", false),
            ],
            unfinished: vec![Unfinished {
                run_id: "20260107-c".into(),
                is_live: Some(true),
                files: 2,
                bytes: 4096,
            }],
            left: Some(Left {
                run_id: "20260105-a".into(),
                finished: chrono::DateTime::UNIX_EPOCH,
                outcome: Outcome::Incomplete,
                incomplete: 12,
                unfinished: 0,
                meetings: (0..12).map(failed).collect(),
                left_out: 4_000,
            }),
            damaged: vec![],
        };
        insta::assert_snapshot!(describe("attendance", &status));
    }
}
