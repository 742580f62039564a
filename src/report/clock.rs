//! The clock that decided what a run asked for.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Which clock decided what a run asked for, and how far this machine's clock was off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Whose clock decided.
    pub source: ClockSource,
    /// The time of this machine's clock at the first answer with a time; at the run's start where no
    /// answer had one.
    pub machine: DateTime<Utc>,
    /// The time of the server's clock at the same moment, to the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<DateTime<Utc>>,
    /// `server - machine` in milliseconds: negative where this machine's clock is ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_ms: Option<i64>,
    /// How much earlier a later answer's time was than the first one's, in milliseconds, where that
    /// is more than 5 minutes: the earlier time decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier_by_ms: Option<i64>,
    /// What is wrong with the clocks, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// Whose clock decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockSource {
    /// The server's, by the `Date` of its answers.
    Server,
    /// This machine's: no answer had a `Date` to believe.
    Machine,
    /// Neither: the caller gave the time.
    Given,
}
