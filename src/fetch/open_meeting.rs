//! One meeting on the pager's desk: its reading, what has come of it, and who is out for more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::buffer::{Buffer, Load};
use super::meeting_reader::{Policy, Reading};
use crate::error::FailureKind;
use crate::record::batch_bytes;
use crate::report::MeetingStatus;
use crate::values::ConfUuid;

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
    /// Records of all answers, and their bytes.
    weighed: Load,
    /// Bytes of a record of the first answer, which is the same whatever the order of the others.
    first_bytes: Option<u64>,
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
            weighed: Load::default(),
            first_bytes: None,
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

    /// Whether an answer is on its way.
    pub(super) fn is_asked(&self) -> bool {
        self.tasks.iter().any(|task| !task.is_finished())
    }

    /// Records that are here and not handed out; their bytes are estimated.
    pub(super) fn held(&self) -> Load {
        let pages: u64 = self.pages.iter().map(|page| page.num_rows() as u64).sum();
        let rows = pages + self.reading.held();
        let bytes = rows * self.record_bytes();
        Load { rows, bytes }
    }

    /// Takes the size of an answer's records, and returns it.
    pub(super) fn weigh(&mut self, records: &RecordBatch) -> u64 {
        let (rows, bytes) = (records.num_rows() as u64, batch_bytes(records));
        self.weighed = [self.weighed, Load { rows, bytes }].into_iter().sum();
        self.first_bytes = self.first_bytes.or(bytes.checked_div(rows));
        bytes
    }

    /// Bytes of a record, in the mean of all answers.
    pub(super) fn record_bytes(&self) -> u64 {
        self.weighed.bytes / self.weighed.rows.max(1)
    }

    /// Whether the meeting is too large to be held, by its `count` or by what is here.
    pub(super) fn is_large(&self, buffer: &Buffer) -> bool {
        let rows = self.reading.count().unwrap_or(0);
        let bytes = rows.saturating_mul(self.first_bytes.unwrap_or(0));
        buffer.is_large(Load { rows, bytes }) || buffer.is_large(self.held())
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
