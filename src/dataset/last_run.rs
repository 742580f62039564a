//! What the last run that ended could not bring.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::ledger::Ledger;
use super::store::Store;
use crate::error::Result;
use crate::report::{MeetingReport, MeetingStatus, Outcome, Report, is_zero};

/// Reports read at once; one may name 100,000 meetings.
const READS: usize = 8;

/// Meetings that a run left behind and the dataset still lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The run.
    pub run_id: String,
    /// When it ended.
    pub finished: DateTime<Utc>,
    /// How it ended.
    pub outcome: Outcome,
    /// Meetings that could not be had whole.
    pub incomplete: u64,
    /// Meetings that the run did not get to.
    pub unfinished: u64,
    /// Each of them, with its cause.
    pub meetings: Vec<MeetingReport>,
    /// Further meetings that the run did not get to and its report does not name: later runs may have
    /// brought some of them.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

/// When a run began and ended, by the server's clock where its answers told the time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) started: DateTime<Utc>,
    pub(super) finished: DateTime<Utc>,
}

/// A report, as far as it has times. They are by the clock of the run's machine.
#[derive(Deserialize)]
struct Told {
    started: DateTime<Utc>,
    finished: DateTime<Utc>,
    #[serde(default)]
    clock: Option<Offset>,
}

#[derive(Deserialize)]
struct Offset {
    #[serde(default)]
    offset_ms: Option<i64>,
}

impl Told {
    fn times(self) -> Times {
        let off = self.clock.and_then(|clock| clock.offset_ms).unwrap_or(0);
        let off = TimeDelta::try_milliseconds(off).unwrap_or_default();
        let by_server = |time: DateTime<Utc>| time.checked_add_signed(off).unwrap_or(time);
        Times {
            started: by_server(self.started),
            finished: by_server(self.finished),
        }
    }
}

/// When the runs of these reports began and ended, by the reports' paths. One that cannot be read,
/// of a newer rollbook perhaps, tells nothing.
pub(super) async fn times(store: &Store, reports: Vec<String>) -> Result<BTreeMap<String, Times>> {
    stream::iter(reports)
        .map(|path| async move {
            let bytes = store.read(&path).await?;
            let told = bytes.and_then(|bytes| serde_json::from_slice::<Told>(&bytes).ok());
            Ok::<_, crate::error::Error>(told.map(|told| (path, told.times())))
        })
        .buffered(READS)
        .try_filter_map(async |times| Ok(times))
        .try_collect()
        .await
}

/// What the report of the run that ended last leaves undone, if anything.
pub(super) async fn by_last_report(
    store: &Store,
    ledger: &Ledger,
    reports: &BTreeMap<String, Times>,
) -> Result<Option<Left>> {
    let last = reports
        .iter()
        .max_by_key(|(path, run)| (run.finished, *path));
    let Some((last, _)) = last else {
        return Ok(None);
    };
    let bytes = store.read(last).await?;
    let Some(report) = bytes.and_then(|bytes| serde_json::from_slice::<Report>(&bytes).ok()) else {
        return Ok(None);
    };
    let mut meetings = report.per_meeting;
    meetings.retain(|meeting| {
        meeting.status != MeetingStatus::Complete
            && ledger.holder(meeting.conf_uuid.as_str()).is_none()
    });
    let left_out = report.unfinished_left_out;
    if meetings.is_empty() && left_out == 0 {
        return Ok(None);
    }
    let is_unfinished = |meeting: &&MeetingReport| meeting.status == MeetingStatus::Unfinished;
    let unfinished = meetings.iter().filter(is_unfinished).count() as u64;
    Ok(Some(Left {
        run_id: report.run_id,
        finished: report.finished,
        outcome: report.outcome,
        incomplete: meetings.len() as u64 - unfinished,
        unfinished,
        meetings,
        left_out,
    }))
}
