//! What the last run that ended could not bring.

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::ledger::Ledger;
use crate::report::{MeetingReport, MeetingStatus, Outcome, Report};
use crate::store::Store;

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
}

/// What the last of these reports leaves undone, if anything. One that cannot be read, of a newer
/// rollbook perhaps, tells nothing.
pub(super) async fn by_last_report(
    store: &Store,
    ledger: &Ledger,
    reports: Vec<String>,
) -> Result<Option<Left>> {
    #[derive(Deserialize)]
    struct Ended {
        finished: DateTime<Utc>,
    }
    let ended: Vec<_> = stream::iter(reports)
        .map(|path| async move {
            let bytes = store.read(&path).await?;
            let ended = bytes.and_then(|bytes| serde_json::from_slice::<Ended>(&bytes).ok());
            Ok::<_, crate::error::Error>(ended.map(|ended| (ended.finished, path)))
        })
        .buffered(READS)
        .try_filter_map(async |ended| Ok(ended))
        .try_collect()
        .await?;
    let Some((_, last)) = ended.into_iter().max() else {
        return Ok(None);
    };
    let bytes = store.read(&last).await?;
    let Some(report) = bytes.and_then(|bytes| serde_json::from_slice::<Report>(&bytes).ok()) else {
        return Ok(None);
    };
    let mut meetings = report.per_meeting;
    meetings.retain(|meeting| {
        meeting.status != MeetingStatus::Complete
            && ledger.holder(meeting.conf_uuid.as_str()).is_none()
    });
    if meetings.is_empty() {
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
    }))
}
