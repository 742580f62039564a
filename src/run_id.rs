//! Names of runs.

use chrono::{DateTime, Utc};

/// A name for a run that begins now.
pub fn new_run_id() -> String {
    run_id(Utc::now())
}

/// A name for a run: its start, and enough chance to tell it from another of the same second.
pub(crate) fn run_id(started: DateTime<Utc>) -> String {
    let suffix: String = std::iter::repeat_with(|| fastrand::char('a'..='z'))
        .take(6)
        .collect();
    format!("{}-{suffix}", started.format("%Y%m%dT%H%M%SZ"))
}
