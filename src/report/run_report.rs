//! What a run says at its end, for people and for schedulers.
//!
//! Serialised as it stands for `--report` and for `_rollbook/runs`. Names meetings, never
//! participants.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::record::Language;
use crate::record::partition::Partitioning;
use crate::values::{ConfUuid, Format, Rate};

use super::clock::Clock;
use super::window::Window;
use crate::error::FailureKind;

/// Version of the report's form.
pub const REPORT_VERSION: u32 = 1;

/// One finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// Version of rollbook.
    pub rollbook: String,
    /// The run's name: its start and a random suffix.
    pub run_id: String,
    /// When the run began, by this machine's clock.
    pub started: DateTime<Utc>,
    /// When it ended, by this machine's clock.
    pub finished: DateTime<Utc>,
    /// How it ended.
    pub outcome: Outcome,
    /// What stopped the run, where something did.
    pub error: Option<String>,
    /// Destination as asked for.
    pub out: String,
    /// Format of the parts.
    pub format: Format,
    /// The API's site.
    pub base_url: String,
    /// Language of the labels.
    pub language: Language,
    /// What became of personal columns, and with which key, by name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pii: Option<String>,
    /// Other runs that were at work on the dataset when this one began, or wanted to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<String>,
    /// The store refuses no second writer: the dataset is sound if no other run wrote meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub single_writer: bool,
    /// The clock that decided what was asked for, and how far this machine's was off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// The window whose meetings were asked for, where it was not a list of meetings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Meetings by outcome.
    pub meetings: MeetingCounts,
    /// Records committed by this run.
    pub records: u64,
    /// Parts committed by this run.
    pub parts: u64,
    /// Bytes of those parts.
    pub bytes: u64,
    /// How the records are told apart, where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitioning: Option<Partitioning>,
    /// Partitions that those parts are of.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub partitions: u64,
    /// Requests for pages.
    pub requests: Requests,
    /// The quota and what it cost.
    pub quota: Quota,
    /// Records by anomaly.
    pub anomalies: BTreeMap<String, u64>,
    /// What went wrong for good: meetings that are absent, and what stopped the run, by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<FailureKind, u64>,
    /// Lone surrogates that were replaced by U+FFFD.
    pub replaced_surrogates: u64,
    /// The last entry of the dataset's ledger at the end of the run: `verify` looks for it. Without
    /// a dataset, or without an entry, there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerHead>,
    /// Meetings of a list that have no record: the service may show their records later, or their
    /// UUIDs may be wrong. Without a window they are not asked for again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_records: Vec<ConfUuid>,
    /// Groups of meetings that this run read and that have the same two or more records: the server
    /// may have answered one of them with the records of another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub same_records: Vec<Vec<ConfUuid>>,
    /// Each meeting that this run read or tried to, in the order asked for; of those that earlier
    /// runs had committed, the replaced ones and those that were asked for again in vain; of the
    /// unfinished ones of a list, 1,000.
    pub per_meeting: Vec<MeetingReport>,
    /// Unfinished meetings of a list that are not in `per_meeting`, since there are too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unfinished_left_out: u64,
}

/// The last entry of a ledger. Each entry has the digest of the one before, so this one vouches for
/// all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerHead {
    /// Number of the entry.
    pub sequence: u64,
    /// SHA-256 of its bytes, in lower-case hexadecimal digits.
    pub sha256: String,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every meeting asked for is in the dataset, whole.
    Complete,
    /// The run went to its end, but some meetings are incomplete.
    Incomplete,
    /// The run was asked to stop, its deadline passed, or the reader of its output left; the same
    /// command goes on from what a dataset holds.
    Interrupted,
    /// Another run was at work on the dataset, and this one was not to begin then.
    Skipped,
    /// The run could not go on.
    Failed,
}

/// Meetings by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeetingCounts {
    /// Distinct meetings asked for.
    pub requested: u64,
    /// Of them, committed by earlier runs and not asked again.
    pub already: u64,
    /// Of them, erased from the dataset for good, and not asked again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub purged: u64,
    /// Committed by this run, with records.
    pub complete: u64,
    /// Committed by this run, without any record.
    pub empty: u64,
    /// Committed by this run in the place of what earlier runs had committed: they had changed, or
    /// were to be read again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replaced: u64,
    /// Of those committed by earlier runs, asked for again and unchanged.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rechecked: u64,
    /// Absent: they could not be had whole.
    pub incomplete: u64,
    /// Absent: the run stopped before they were whole.
    pub unfinished: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks by reference whether a member is left out"
)]
pub(crate) const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Requests for pages, by fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Attempts sent.
    pub sent: u64,
    /// The least that could have served the complete meetings.
    pub minimum: u64,
    /// Attempts that were repeated after a failure.
    pub retried: u64,
    /// Attempts that the server refused for its quota.
    pub throttled: u64,
    /// Walks that were begun again.
    pub restarts: u64,
    /// Pages that were not asked for, since a run that was cut off had fetched them.
    #[serde(default)]
    pub spooled: u64,
    /// What the unfinished meetings need still, at least: one for each whose `count` is unknown.
    #[serde(default)]
    pub remaining: u64,
}

/// The quota of a run and what it cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quota {
    /// The rate asked for.
    pub asked: Rate,
    /// The rate at the end: lower where the server said so.
    pub rate: Rate,
    /// The least time that the minimum of requests takes at the rate asked for, in milliseconds.
    pub bound_ms: u64,
    /// The time from the beginning of the run to its last commit, in milliseconds.
    pub elapsed_ms: u64,
    /// Of that, pauses that the server asked for, in milliseconds.
    pub paused_ms: u64,
}

/// What became of one meeting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeetingReport {
    /// The meeting.
    pub conf_uuid: ConfUuid,
    /// What became of it.
    pub status: MeetingStatus,
    /// The API's `count`, where it was learned.
    pub count: Option<u64>,
    /// Records in the dataset.
    pub records: u64,
    /// Requests spent on it.
    pub requests: u64,
    /// How it was proven whole.
    pub proof: Option<Proof>,
    /// Answers that its records came with, where it is whole.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pages: Option<u64>,
    /// Seams between those answers, all of which held.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seams: Option<u64>,
    /// Records that equal another one of the meeting, each but the first, where it is whole.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub equal_records: Option<u64>,
    /// Equal records that no single answer showed together, accepted since the settings said so.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub doubtful: u64,
    /// The meeting as the dataset held it before this run replaced it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub replaced: Option<Replaced>,
    /// Whether the meeting could not be read again, so that the dataset keeps what it holds.
    #[serde(skip_serializing_if = "std::ops::Not::not", default, rename = "kept")]
    pub is_kept: bool,
    /// When the day of the list began that it was found on, where it is absent: the next run asks
    /// for it, whether the list shows it then or not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub day: Option<DateTime<Utc>>,
    /// Why it is absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<String>,
    /// The server's id of the request that showed it, where an answer had one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<String>,
}

/// A meeting as a dataset held it before it was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The API's `count` at that time.
    pub count: u64,
    /// The number of its records.
    pub records: u64,
    /// When they were fetched.
    pub fetched: DateTime<Utc>,
}

/// What became of a meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeetingStatus {
    /// Whole and committed.
    Complete,
    /// It changed with each walk.
    Unstable,
    /// It has equal records that may be one record seen twice.
    Duplicates,
    /// It could not be read.
    Failed,
    /// The run stopped first.
    Unfinished,
}

/// How a meeting was proven whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// One page held it all and had room to spare.
    SinglePage,
    /// Neighbouring pages agree on the record they share.
    Seams,
    /// Two walks brought the same records.
    Twice,
}

impl Proof {
    /// The proof as reports spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SinglePage => "single-page",
            Self::Seams => "seams",
            Self::Twice => "twice",
        }
    }
}
