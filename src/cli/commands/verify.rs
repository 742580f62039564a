//! `rollbook verify`: a dataset recounted and rehashed against its ledger.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use rollbook::{Finding, MeetingStatement, Mode, Proof, Repair, Soundness, Verification};

use crate::cli::args::Reach;
use crate::cli::exit_code::Exit;
use crate::cli::terminal::plain;
use crate::cli::{Voice, answer_as, permit, runtime};

const AFTER_HELP: &str = "\
Exit codes:
  0  the dataset is exactly what was committed, if need be after the repair
  1  it is not, and each finding is named; or it cannot be read";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct VerifyArgs {
    /// The dataset: what --out named
    dataset: String,
    /// Drop what is damaged from the ledger, so that the next export fetches exactly that again
    #[arg(long)]
    repair: bool,
    /// List each meeting with its proof
    #[arg(long)]
    meetings: bool,
    /// As JSON, for machines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl VerifyArgs {
    pub(crate) fn run(self, voice: &Voice) -> Result<Exit> {
        let dataset = &self.dataset;
        let is_sound = if self.repair {
            permit(mode_of(dataset));
            let place = self.reach.place_to_write(dataset, voice)?;
            let repair = runtime()?.block_on(rollbook::repair(place))?;
            answer_as(self.json, &repair, |repair| {
                describe_repair(dataset, repair, self.meetings)
            })?;
            repair.verification().is_sound()
        } else {
            let place = self.reach.place(dataset)?;
            let found = runtime()?.block_on(rollbook::verify(place))?;
            answer_as(self.json, &found, |found| {
                describe(dataset, found, self.meetings)
            })?;
            found.is_sound()
        };
        Ok(if is_sound {
            Exit::Complete
        } else {
            Exit::Failed
        })
    }
}

/// Who may read the dataset may read what is added to its ledger.
pub(super) fn mode_of(dataset: &str) -> Mode {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let ledger = std::path::Path::new(dataset).join("_rollbook/ledger");
        if let Ok(metadata) = std::fs::metadata(ledger) {
            let bits = metadata.permissions().mode() & 0o666 | 0o600;
            return format!("{bits:o}").parse().unwrap_or_default();
        }
    }
    Mode::PRIVATE
}

fn describe(dataset: &str, found: &Verification, meetings: bool) -> String {
    let mut text = verdict(dataset, found);
    if meetings {
        for meeting in &found.per_meeting {
            line(&mut text, &statement(meeting));
        }
    }
    if !found.is_sound() {
        text.push_str(&next_step(dataset, &found.findings));
        text.push('\n');
    }
    text
}

/// What was found, down to each finding.
fn verdict(dataset: &str, found: &Verification) -> String {
    let described = found.described.map(|rows| {
        let rows = HumanCount(rows);
        format!(", {rows} in the meetings table")
    });
    let read = format!(
        "{} meetings{}, {} records, {} parts, {}",
        HumanCount(found.meetings),
        described.unwrap_or_default(),
        HumanCount(found.records),
        HumanCount(found.parts),
        HumanBytes(found.bytes)
    );
    let dataset = plain(dataset);
    let mut text = if found.is_sound() {
        format!("sound: {dataset} is exactly what was committed ({read})\n")
    } else {
        format!("damaged: {dataset} ({read})\n")
    };
    for finding in &found.findings {
        line(&mut text, &sentence(finding));
    }
    if !found.per_meeting.is_empty() {
        line(&mut text, &proofs(&found.per_meeting));
    }
    for note in &found.notes {
        line(&mut text, &format!("note: {} {}", note.path, note.what));
    }
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str("  ");
    text.push_str(&plain(line));
    text.push('\n');
}

/// How the meetings that hold were proven whole.
fn proofs(meetings: &[MeetingStatement]) -> String {
    let mut by_proof = BTreeMap::new();
    let (mut empty, mut damaged) = (0_u64, 0_u64);
    for meeting in meetings {
        if meeting.verdict == Soundness::Damaged {
            damaged += 1;
        } else if meeting.rows == 0 {
            empty += 1;
        } else {
            *by_proof.entry(meeting.proof).or_insert(0_u64) += 1;
        }
    }
    let proofs = by_proof
        .into_iter()
        .map(|(proof, count)| (count, proof.as_str()));
    let rest = [(empty, "without any record"), (damaged, "damaged")];
    let proofs: Vec<_> = proofs
        .chain(rest)
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", HumanCount(count)))
        .collect();
    format!("proof: {}", proofs.join(", "))
}

/// One meeting: what is there of it, and what holds it together.
fn statement(meeting: &MeetingStatement) -> String {
    let mut text = format!("{} {}", meeting.conf_uuid, number(meeting.rows, "record"));
    if meeting.count != meeting.rows {
        // Where the settings let a wrong count pass, both figures are told.
        let _ = write!(text, " (the API counts {})", HumanCount(meeting.count));
    }
    if let Some(pages) = meeting.pages {
        let _ = write!(text, " in {}", number(pages, "page"));
    }
    if let Some(seams) = meeting.seams.filter(|seams| *seams > 0) {
        let _ = write!(text, ", {} held", number(seams, "seam"));
    }
    if meeting.proof == Proof::Twice {
        text.push_str(", walked twice");
    } else if meeting.pages.is_none() {
        let _ = write!(text, ", proven by {}", meeting.proof.as_str());
    }
    if !meeting.parts.is_empty() {
        let _ = write!(text, ", in {}", meeting.parts.join(", "));
    }
    match meeting.verdict {
        Soundness::Damaged => {
            let found = HumanCount(meeting.found);
            let _ = write!(text, ": damaged, {found} found");
        }
        Soundness::Unpublished => text.push_str(": not published yet"),
        _ => {}
    }
    text
}

pub(super) fn number(count: u64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {what}{s}", HumanCount(count))
}

/// What to do about these findings.
fn next_step(dataset: &str, findings: &[Finding]) -> String {
    let mut restore = false;
    let mut head = false;
    let mut repair = false;
    let mut foreign = false;
    let mut checkpoint = false;
    let mut table = false;
    let mut place = false;
    let mut salt = false;
    for finding in findings {
        match finding {
            Finding::Ledger { .. } => restore = true,
            Finding::Head { .. } => head = true,
            // The next run does these by itself.
            Finding::Unpublished { .. }
            | Finding::Retracted { .. }
            | Finding::DeltaBehind { .. } => {}
            Finding::DeltaFile { .. } | Finding::DeltaLog { .. } => table = true,
            Finding::Foreign { .. } => foreign = true,
            Finding::Misplaced { .. } => place = true,
            Finding::Checkpoint { .. } => checkpoint = true,
            Finding::Salt { .. } => salt = true,
            _ => repair = true,
        }
    }
    let step = if restore {
        "restore the ledger from a backup, or export into another folder".to_owned()
    } else if head {
        "restore the named entries of the ledger and their parts from a backup; where there is \
         none, move the named reports out of _rollbook/runs and run the same export again: it \
         fetches what the ledger lacks"
            .to_owned()
    } else if repair {
        format!(
            "rollbook verify --repair {} drops what is damaged, and the same export fetches it \
             again",
            plain(dataset)
        )
    } else if table {
        format!(
            "rollbook verify --repair {} makes the Delta log what the ledger says; no record is \
             lost with it",
            plain(dataset)
        )
    } else if checkpoint {
        format!(
            "rollbook verify --repair {} removes the checkpoint; no record is lost with it",
            plain(dataset)
        )
    } else if salt {
        "restore the salt from a backup; the records are sound without it".to_owned()
    } else if foreign {
        "move what is not rollbook's out of the folder".to_owned()
    } else if place {
        "export these meetings into another folder; whoever reads all of this one has them"
            .to_owned()
    } else {
        "run the same export again: it puts this in order".to_owned()
    };
    format!("next: {step}")
}

fn describe_repair(dataset: &str, repair: &Repair, meetings: bool) -> String {
    let mut text = String::new();
    for finding in &repair.before.findings {
        line(&mut text, &format!("found {}", sentence(finding)));
    }
    for path in &repair.published {
        line(&mut text, &format!("published {path}"));
    }
    if !repair.restored.is_empty() {
        let commits = number(repair.restored.len() as u64, "commit");
        let how = "restored from the parts that were merged into it";
        line(&mut text, &format!("{commits} {how}"));
    }
    if !repair.retracted.is_empty() {
        let commits = number(repair.retracted.len() as u64, "commit");
        line(
            &mut text,
            &format!("retracted {commits} by a new ledger entry"),
        );
    }
    for moved in repair.kept.iter().chain(&repair.set_aside) {
        line(&mut text, &format!("moved {} to {}", moved.path, moved.to));
    }
    if repair.is_table_mended {
        line(&mut text, "made the Delta log what the ledger says");
    }
    for path in repair.removed.iter().chain(&repair.checkpoints) {
        line(&mut text, &format!("removed {path}"));
    }
    for meeting in &repair.dropped {
        line(&mut text, &format!("dropped meeting {meeting}"));
    }
    let after = repair.verification();
    text.push_str(&describe(dataset, after, meetings));
    if after.is_sound() && !repair.dropped.is_empty() {
        let dropped = match repair.dropped.len() {
            1 => "this meeting".to_owned(),
            dropped => format!("these {} meetings", HumanCount(dropped as u64)),
        };
        text.push_str("next: run the same export again: it fetches ");
        text.push_str(&dropped);
        text.push_str(" and nothing else\n");
    }
    text
}

fn sentence(finding: &Finding) -> String {
    let sentence = match finding {
        Finding::Ledger { path, reason }
        | Finding::Salt { path, reason }
        | Finding::DeltaLog { path, reason } => {
            format!("{path}: {reason}")
        }
        Finding::Unpublished { path, .. } => format!("{path}: committed, not published yet"),
        Finding::Missing { path, .. } => format!("{path}: missing"),
        Finding::Altered { path, reason, .. } => format!("{path}: altered: {reason}"),
        Finding::Unreadable { path, reason, .. } => format!("{path}: cannot be read: {reason}"),
        Finding::Schema { path, reason, .. } => format!("{path}: not by its schema: {reason}"),
        Finding::PartRows {
            path,
            expected,
            found,
            ..
        } => format!("{path}: {found} rows instead of {expected}"),
        Finding::Retracted { path } => format!("{path}: belongs to a retracted commit"),
        Finding::Unreferenced { path } => format!("{path}: a part that no ledger entry names"),
        Finding::Foreign { path } => {
            format!("{path}: not rollbook's, and readers may take it for data")
        }
        Finding::Stray {
            path,
            conf_uuid,
            rows,
        } => format!("{path}: {rows} rows of meeting {conf_uuid}, which it does not hold"),
        Finding::Misplaced {
            path,
            conf_uuid,
            rows,
            expected,
        } => format!("{path}: {rows} rows of meeting {conf_uuid} belong into {expected}"),
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
        Finding::NotDescribed { conf_uuid, rows } => {
            format!("meeting {conf_uuid}: {rows} rows in the meetings table instead of 1")
        }
        Finding::Head {
            path,
            report,
            expected,
            found: None,
        } => format!("{path}: gone; {report} saw it, with SHA-256 {expected}"),
        Finding::Head {
            path,
            report,
            expected,
            found: Some(found),
        } => format!(
            "{path}: changed since {report} saw it: its SHA-256 was {expected}, and is {found}"
        ),
        Finding::Checkpoint { path, reason } => format!("{path}: a checkpoint that {reason}"),
        Finding::DeltaBehind { sequence, entries } => {
            format!("_delta_log: has {sequence} of the ledger's {entries} entries")
        }
        Finding::DeltaFile { path, reason } => format!("{path}: in the Delta table: {reason}"),
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
            described: None,
            bytes: 1_234_567,
            findings,
            notes: Vec::new(),
            per_meeting: Vec::new(),
        }
    }

    #[test]
    fn a_sound_dataset_is_said_to_be_sound() {
        let text = describe("attendance", &verification(Vec::new()), false);
        assert!(text.starts_with("sound: attendance is exactly"), "{text}");
    }

    #[test]
    fn each_finding_is_named() {
        let found = verification(vec![
            Finding::Missing {
                sequence: 1,
                path: "part-1-0.parquet".into(),
            },
            Finding::RowsTwice {
                conf_uuid: "a1".parse().unwrap(),
                rows: 3,
            },
        ]);
        let text = describe("attendance", &found, false);
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_checkpoint_that_is_damaged_costs_no_record() {
        let found = verification(vec![Finding::Checkpoint {
            path: "_rollbook/checkpoints/1-0.arrow".into(),
            reason: "is damaged".into(),
        }]);
        insta::assert_snapshot!(describe("attendance", &found, false), @r"
        damaged: attendance (200 meetings, 45,123 records, 2 parts, 1.18 MiB)
          _rollbook/checkpoints/1-0.arrow: a checkpoint that is damaged
        next: rollbook verify --repair attendance removes the checkpoint; no record is lost with it
        ");
    }

    fn meeting(uuid: &str, rows: u64, pages: Option<u64>) -> MeetingStatement {
        MeetingStatement {
            conf_uuid: uuid.parse().unwrap(),
            verdict: Soundness::Sound,
            count: rows,
            rows,
            found: rows,
            pages,
            seams: pages.map(|pages| pages - 1),
            proof: match pages {
                Some(1) => Proof::SinglePage,
                _ => Proof::Seams,
            },
            requests: 4,
            first_fetch: chrono::DateTime::UNIX_EPOCH,
            last_fetch: chrono::DateTime::UNIX_EPOCH,
            parts: match rows {
                0 => vec![],
                _ => vec!["part-1-0.parquet".into()],
            },
        }
    }

    #[test]
    fn each_meeting_is_stated_with_its_proof() {
        let mut found = verification(Vec::new());
        found.per_meeting = vec![
            meeting("4f", 1_700, Some(4)),
            meeting("5a", 1, Some(1)),
            meeting("6b", 0, Some(1)),
            meeting("old", 1_700, None),
            MeetingStatement {
                proof: Proof::Twice,
                count: 1_702,
                ..meeting("7c", 1_700, Some(4))
            },
            MeetingStatement {
                verdict: Soundness::Damaged,
                found: 700,
                ..meeting("8d", 1_700, Some(4))
            },
            MeetingStatement {
                verdict: Soundness::Unpublished,
                ..meeting("9e", 2, Some(1))
            },
        ];
        found.notes = vec![rollbook::Note {
            path: "README.txt".into(),
            what: "is not rollbook's".into(),
        }];
        insta::assert_snapshot!(describe("attendance", &found, true));
    }

    #[test]
    fn a_repair_says_what_it_did_and_what_is_left_to_do() {
        let mut repair = Repair {
            run_id: "repair".into(),
            published: vec!["part-2-0.parquet".into()],
            restored: vec![],
            retracted: vec![1],
            dropped: (0..2).map(|n| format!("m{n}").parse().unwrap()).collect(),
            removed: Vec::new(),
            kept: vec![rollbook::SetAside {
                path: "part-1-0.parquet".into(),
                to: "_rollbook/replaced/part-1-0.parquet".into(),
            }],
            checkpoints: Vec::new(),
            is_table_mended: false,
            set_aside: Vec::new(),
            before: verification(vec![Finding::Altered {
                sequence: 1,
                path: "part-1-0.parquet".into(),
                reason: "3 bytes instead of 4".into(),
            }]),
            after: Some(verification(Vec::new())),
        };
        insta::assert_snapshot!(describe_repair("attendance", &repair, false));
        let path = "ledger".to_owned();
        let reason = "torn".to_owned();
        repair.before.findings = vec![Finding::Ledger { path, reason }];
        repair.after = None;
        let text = describe_repair("attendance", &repair, false);
        assert!(text.contains("next: restore the ledger"), "{text}");
    }
}
