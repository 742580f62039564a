//! One meeting on the pager's desk: its reading, what has come of it, and who is out for more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::reading::{Policy, Reading};
use crate::report::{FailureKind, MeetingStatus};
use crate::uuid::ConfUuid;

/// One meeting on the desk.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a step that a meeting takes at most once"
)]
pub(super) struct OpenMeeting {
    pub(super) meeting: ConfUuid,
    pub(super) reading: Reading,
    /// Records in order that are not handed out yet.
    pub(super) pages: Vec<RecordBatch>,
    /// Rows that were told as arrived and are not void.
    pub(super) arrived: u64,
    /// Its `count` was told.
    pub(super) is_counted: bool,
    pub(super) has_slices: bool,
    /// The slices handed out are void.
    pub(super) is_void: bool,
    pub(super) sent: Arc<AtomicU64>,
    pub(super) tasks: Vec<AbortHandle>,
    pub(super) wakes: Option<Instant>,
    /// When its first and its last page so far were fetched.
    pub(super) fetched: Option<(DateTime<Utc>, DateTime<Utc>)>,
    pub(super) absent: Option<Loss>,
    /// Whether the first page is as it was when the meeting was read before.
    pub(super) is_unchanged: bool,
}

/// Why a meeting cannot be had whole.
pub(super) struct Loss {
    pub(super) status: MeetingStatus,
    pub(super) kind: Option<FailureKind>,
    /// The service says that there is no such meeting.
    pub(super) is_gone: bool,
    pub(super) cause: String,
    /// The server's name for the request whose answer, or lack of one, decided it.
    pub(super) request_id: Option<String>,
}

impl OpenMeeting {
    pub(super) fn new(meeting: ConfUuid, policy: Policy) -> Self {
        Self {
            meeting,
            reading: Reading::new(policy),
            pages: vec![],
            arrived: 0,
            is_counted: false,
            has_slices: false,
            is_void: false,
            sent: Arc::default(),
            tasks: vec![],
            wakes: None,
            fetched: None,
            absent: None,
            is_unchanged: false,
        }
    }

    /// Whether nothing more is to be asked of it, whatever its reading says.
    pub(super) fn is_settled(&self) -> bool {
        self.absent.is_some() || self.is_unchanged
    }

    pub(super) fn held(&self) -> u64 {
        let pages: u64 = self.pages.iter().map(|page| page.num_rows() as u64).sum();
        pages + self.reading.held()
    }

    /// Forgets what has come, and asks for nothing more of it.
    pub(super) fn drop_records(&mut self) -> u64 {
        for task in self.tasks.drain(..) {
            task.abort();
        }
        self.pages.clear();
        self.is_void = self.has_slices;
        std::mem::take(&mut self.arrived)
    }

    /// Leaves the meeting to another run. What is on its way is not called back.
    pub(super) fn leave(&mut self, cause: String) {
        self.tasks.clear();
        self.drop_records();
        self.absent = Some(Loss {
            status: MeetingStatus::Unfinished,
            kind: None,
            is_gone: false,
            cause,
            request_id: None,
        });
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}
