//! `rollbook verify`: a dataset recounted and rehashed against its ledger.

use anyhow::Result;
use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use rollbook::{Finding, Verification};

use super::exit::Exit;
use super::{answer, runtime};
use crate::terminal::plain;

const AFTER_HELP: &str = "\
Exit codes:
  0  the dataset is exactly what was committed
  1  it is not, and each finding is named; or it cannot be read";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct VerifyArgs {
    /// The dataset: what --out named
    dataset: String,
    /// As JSON, for machines
    #[arg(long)]
    json: bool,
}

impl VerifyArgs {
    pub(crate) fn run(self) -> Result<Exit> {
        let found = runtime()?.block_on(rollbook::verify(&self.dataset))?;
        let text = if self.json {
            serde_json::to_string_pretty(&found)? + "\n"
        } else {
            describe(&self.dataset, &found)
        };
        answer(&text)?;
        Ok(if found.is_sound() {
            Exit::Complete
        } else {
            Exit::Failed
        })
    }
}

fn describe(dataset: &str, found: &Verification) -> String {
    let read = format!(
        "{} meetings, {} records, {} parts, {}",
        HumanCount(found.meetings),
        HumanCount(found.records),
        HumanCount(found.parts),
        HumanBytes(found.bytes)
    );
    let dataset = plain(dataset);
    if found.is_sound() {
        return format!("sound: {dataset} is exactly what was committed ({read})\n");
    }
    let mut lines = vec![format!("damaged: {dataset} ({read})")];
    lines.extend(
        found
            .findings
            .iter()
            .map(|finding| format!("  {}", sentence(finding))),
    );
    lines.push("next: rollbook export with the same --out repairs what it can".to_owned());
    lines.join("\n") + "\n"
}

fn sentence(finding: &Finding) -> String {
    let sentence = match finding {
        Finding::Ledger { path, reason } => format!("{path}: {reason}"),
        Finding::Unpublished { path, .. } => format!("{path}: committed, not published yet"),
        Finding::Missing { path, .. } => format!("{path}: missing"),
        Finding::Altered { path, reason, .. } => format!("{path}: altered: {reason}"),
        Finding::Unreadable { path, reason, .. } => format!("{path}: cannot be read: {reason}"),
        Finding::PartRows {
            path,
            expected,
            found,
            ..
        } => format!("{path}: {found} records instead of {expected}"),
        Finding::Retracted { path } => format!("{path}: belongs to a retracted commit"),
        Finding::Foreign { path } => format!("{path}: a part that no ledger entry names"),
        Finding::Stray {
            path,
            conf_uuid,
            rows,
        } => format!("{path}: {rows} records of meeting {conf_uuid}, which it does not hold"),
        Finding::RowsMissing {
            conf_uuid,
            expected,
            missing,
        } => format!("meeting {conf_uuid}: {missing} of {expected} records are missing"),
        Finding::RowsBeyond {
            conf_uuid,
            expected,
            beyond,
        } => format!("meeting {conf_uuid}: {beyond} records beyond its {expected}"),
        Finding::RowsTwice { conf_uuid, rows } => {
            format!("meeting {conf_uuid}: {rows} records are there more than once")
        }
        other => format!("{other:?}"),
    };
    plain(&sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verification(findings: Vec<Finding>) -> Verification {
        Verification {
            version: 1,
            entries: 1,
            meetings: 200,
            parts: 2,
            records: 45_123,
            bytes: 1_234_567,
            findings,
        }
    }

    #[test]
    fn a_sound_dataset_is_said_to_be_sound() {
        let text = describe("attendance", &verification(Vec::new()));
        assert!(text.starts_with("sound: attendance is exactly"), "{text}");
    }

    #[test]
    fn each_finding_is_named() {
        let text = describe(
            "attendance",
            &verification(vec![
                Finding::Missing {
                    sequence: 1,
                    path: "part-1-0.parquet".into(),
                },
                Finding::RowsTwice {
                    conf_uuid: "a1".parse().unwrap(),
                    rows: 3,
                },
            ]),
        );
        insta::assert_snapshot!(text);
    }
}
