//! `rollbook status`: what a dataset's ledger holds, without reading a part.

use anyhow::Result;
use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use rollbook::{RunStatus, Status};

use super::exit::Exit;
use super::{answer, runtime};
use crate::terminal::{Align, Table, plain};

/// Runs that are shown; `--json` has them all.
const RUNS: usize = 10;

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The dataset: what --out named
    dataset: String,
    /// As JSON, for machines
    #[arg(long)]
    json: bool,
}

impl StatusArgs {
    pub(crate) fn run(self) -> Result<Exit> {
        let status = runtime()?.block_on(rollbook::status(&self.dataset))?;
        let text = if self.json {
            serde_json::to_string_pretty(&status)? + "\n"
        } else {
            describe(&self.dataset, &status)
        };
        answer(&text)?;
        Ok(Exit::Complete)
    }
}

fn describe(dataset: &str, status: &Status) -> String {
    let mut text = format!("{}\n\n", plain(dataset));
    text.push_str(&figures(status).render());
    if !status.runs.is_empty() {
        text.push_str("\nruns, the latest last:\n\n");
        text.push_str(&runs(&status.runs).render());
    }
    let mut left = Table::new(&[Align::Left, Align::Left]);
    for run in &status.unfinished {
        let what = if run.is_live {
            "goes on now"
        } else {
            "was cut off"
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
    table.row(["records".to_owned(), count(status.records)]);
    let size = HumanBytes(status.bytes).to_string();
    table.row(["parts".to_owned(), count(status.parts), size]);
    let retracted = match status.retracted {
        0 => String::new(),
        retracted => format!("{} retracted", count(retracted)),
    };
    table.row(["commits".to_owned(), count(status.entries), retracted]);
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

fn runs(runs: &[RunStatus]) -> Table {
    let mut table = Table::new(&[Align::Left, Align::Right, Align::Right, Align::Left]);
    for run in runs.iter().skip(runs.len().saturating_sub(RUNS)) {
        table.row([
            run.run_id.clone(),
            format!("{} meetings", HumanCount(run.meetings)),
            format!("{} records", HumanCount(run.records)),
            if run.is_finished {
                "finished"
            } else {
                "without a report"
            }
            .to_owned(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use rollbook::{Damage, Unfinished};

    use super::*;

    #[test]
    fn everything_that_is_not_in_order_is_named() {
        let status = Status {
            version: 1,
            entries: 3,
            retracted: 1,
            meetings: 200,
            empty_meetings: 7,
            records: 45_123,
            parts: 2,
            bytes: 1_234_567,
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
            unfinished: vec![Unfinished {
                run_id: "20260106-b".into(),
                is_live: false,
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
}
