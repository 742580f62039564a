//! Names of runs.

use chrono::{DateTime, NaiveDateTime, Utc};

/// How a name tells when its run began.
const START: &str = "%Y%m%dT%H%M%SZ";

/// A name for a run that begins now.
pub fn new_run_id() -> String {
    run_id(Utc::now())
}

/// A name for a run: its start, and enough chance to tell it from another of the same second.
pub(crate) fn run_id(started: DateTime<Utc>) -> String {
    let suffix: String = std::iter::repeat_with(|| fastrand::char('a'..='z'))
        .take(6)
        .collect();
    format!("{}-{suffix}", started.format(START))
}

/// The second in which a run of this name began, where the name tells.
pub(crate) fn began(run_id: &str) -> Option<DateTime<Utc>> {
    let (start, _) = run_id.split_once('-')?;
    let start = NaiveDateTime::parse_from_str(start, START).ok()?;
    Some(start.and_utc())
}
