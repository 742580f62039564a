//! What a run tells while it goes on.
//!
//! The library prints nothing: it hands each [`Event`] to the [`Observer`] that the caller gave,
//! from whatever thread it happens on. An observer must be quick and must not block.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::run_report::Proof;
use super::unsynced::Unsynced;
use crate::values::{ConfUuid, Rate};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The history list is asked for the meetings that began in a window.
    Listing {
        /// Its first instant: earlier than asked for where runs before left something to do.
        since: DateTime<Utc>,
        /// The first instant after it.
        until: DateTime<Utc>,
        /// Whether the service may have removed meetings of that time by now.
        is_past_retention: bool,
    },
    /// The history list of a day is whole.
    Listed {
        /// The beginning of the day.
        day: DateTime<Utc>,
        /// Its meetings.
        meetings: u64,
    },
    /// The history list of a day is asked for again.
    ListingAgain {
        /// The beginning of the day.
        day: DateTime<Utc>,
        /// How long it waits.
        delay: Duration,
        /// Whether that is for the quota alone, as [`Event::Paused`] tells.
        is_throttled: bool,
        /// Why, in words.
        cause: String,
    },
    /// The history list of a day could not be had whole: none of its meetings are exported.
    Unlisted {
        /// The beginning of the day.
        day: DateTime<Utc>,
        /// Why, in words.
        cause: String,
    },
    /// Rows of a day's history list cannot be read; the other meetings of the day are exported.
    UnreadableRow {
        /// The beginning of the day.
        day: DateTime<Utc>,
        /// Which, and why, in words.
        cause: String,
    },
    /// The clocks disagree, or no answer told the server's time.
    Clock {
        /// What is wrong with them, with the times, and what to do.
        warning: String,
    },
    /// Meetings that ended too recently are left to the next run.
    Settling {
        /// How many.
        meetings: u64,
    },
    /// Meetings that runs before could not bring are given up: the service keeps none so long.
    Forgotten {
        /// How many.
        meetings: u64,
    },
    /// The run begins: meetings asked for, and how many of them the ledger holds already.
    Started {
        /// Distinct meetings asked for.
        meetings: u64,
        /// Of them, committed by earlier runs.
        already: u64,
    },
    /// Pages of a run that was cut off are at hand and will not be asked for.
    Spooled {
        /// How many.
        pages: u64,
    },
    /// The spool cannot be used: the run goes on without it, and if it is cut off, the next one
    /// has to ask again.
    SpoolLost {
        /// Why, in words.
        cause: String,
    },
    /// Other runs are at work on the dataset. Each meeting is committed by one of them.
    Beside {
        /// Their names.
        runs: Vec<String>,
    },
    /// Other runs are at work on the dataset, and this one begins when they have ended.
    Waiting {
        /// Their names.
        runs: Vec<String>,
    },
    /// Other runs are at work on the dataset, and this one leaves it to them.
    Skipped {
        /// Their names.
        runs: Vec<String>,
    },
    /// Meetings asked for were committed by other runs after this one began.
    Overtaken {
        /// How many.
        meetings: u64,
    },
    /// The store was seen to create a name a second time, which it should refuse: nobody notices
    /// if another run writes to this dataset at the same time.
    SingleWriter,
    /// File systems cannot sync folders: files that were just written may be missing after a power
    /// loss.
    Unsynced {
        /// Folders on them.
        folders: Unsynced,
    },
    /// Checkpoints of the dataset's ledger could not be read or written. Nothing depends on them, but
    /// without them a dataset takes longer to open.
    CheckpointsLost {
        /// Why, in words.
        cause: String,
    },
    /// A spool file of a run that was cut off could not be read or removed: it may hold personal
    /// data.
    SpoolLeft {
        /// Which, and why.
        cause: String,
    },
    /// A meeting's first page told how many records it has.
    Counted {
        /// The meeting.
        meeting: ConfUuid,
        /// The API's `count`.
        count: u64,
    },
    /// A meeting has so many records that its digests, 8 bytes a record, take much memory.
    LargeMeeting {
        /// The meeting.
        meeting: ConfUuid,
        /// The API's `count`.
        count: u64,
        /// Bytes of memory for the digests.
        bytes: u64,
    },
    /// A page arrived and was decoded.
    Page {
        /// The records in it that had not come before.
        rows: u64,
    },
    /// A request is tried again.
    Retrying {
        /// The meeting it is for.
        meeting: ConfUuid,
        /// The offset it asks for.
        offset: u64,
        /// How long it waits.
        delay: Duration,
        /// Whether that is for the quota alone, as [`Event::Paused`] tells.
        is_throttled: bool,
        /// Why, in words.
        cause: String,
    },
    /// A meeting changed while it was read and is read again from the start.
    Restarted {
        /// The meeting.
        meeting: ConfUuid,
        /// Records of it that had been counted as fetched and are now dropped.
        rows: u64,
        /// What was seen.
        cause: String,
        /// How long it waits.
        delay: Duration,
    },
    /// The server asked for silence: nobody sends for this long.
    Paused {
        /// From now.
        delay: Duration,
        /// Why, in words.
        cause: String,
    },
    /// The server told its quota, which is slower than the rate so far.
    QuotaLearned {
        /// The new rate.
        rate: Rate,
    },
    /// The server refused a request for its quota and told none: the rate is halved, and recovers
    /// slowly.
    RateHalved {
        /// The new rate.
        rate: Rate,
    },
    /// No request of several meetings in a row had an answer that can be used: from now on, one
    /// request at a time is sent.
    Outage {
        /// Why, in words.
        cause: String,
    },
    /// Answers come again.
    OutageOver {
        /// How long none came.
        lasted: Duration,
    },
    /// All meetings of the enterprise are asked for, and the site does not tell whether this user
    /// is an administrator, who alone gets them.
    AdministratorUnknown {
        /// Why, in words.
        cause: String,
    },
    /// A login was made.
    LoggedIn {
        /// How long the token lives, where the server told.
        life: Option<Duration>,
    },
    /// A token of this run could not be logged out: it keeps its place until it ends by itself.
    NotLoggedOut {
        /// Why, in words.
        cause: String,
    },
    /// A meeting is whole.
    Complete {
        /// The meeting.
        meeting: ConfUuid,
        /// Its records.
        records: u64,
        /// How that was proven.
        proof: Proof,
    },
    /// A meeting that the dataset holds was asked for again and has not changed.
    Unchanged {
        /// The meeting.
        meeting: ConfUuid,
    },
    /// A meeting could not be had whole; nothing of it is in the dataset.
    Incomplete {
        /// The meeting.
        meeting: ConfUuid,
        /// Records of it that had been counted as fetched and are now dropped.
        rows: u64,
        /// Why, in words.
        cause: String,
    },
    /// Whole meetings became visible in the dataset.
    Committed {
        /// Sequence of the ledger entry.
        sequence: u64,
        /// Parts.
        parts: u64,
        /// Meetings.
        meetings: u64,
        /// Records.
        records: u64,
        /// Bytes of the parts.
        bytes: u64,
    },
}

/// Receives each event of a run.
pub type Observer = Arc<dyn Fn(Event) + Send + Sync>;

/// An observer that listens to nothing.
pub fn silent() -> Observer {
    Arc::new(|_| {})
}
