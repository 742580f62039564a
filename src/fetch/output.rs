//! What the pager hands out, in the order of the list: records, and what became of each meeting.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::equal_records::Multiset;
use super::open_meeting::{Loss, OpenMeeting};
use super::pager::Pager;
use crate::error::FailureKind;
use crate::record::batch_bytes;
use crate::report::{Event, MeetingStatus, Proof};
use crate::values::ConfUuid;

/// Outputs that wait to be taken.
const MOST_QUEUED: usize = 64;

/// Bytes of their records, in KiB; a page that is larger waits alone.
const MOST_QUEUED_KIB: u32 = 8 << 10;

/// What the pager hands out. Everything between two ends belongs to the meeting at hand.
#[derive(Debug)]
pub(crate) enum Output {
    /// Further records of a meeting that is too large to hold.
    Slice(RecordBatch),
    /// The slices of the meeting at hand are void; it begins again.
    Void,
    /// Further records of a meeting that is whole.
    Page(RecordBatch),
    /// The meeting at hand is whole, with all that was handed out of it.
    Whole(Whole),
    /// The meeting at hand cannot be had whole; its slices are void.
    Absent(Absent),
    /// The meeting at hand is as it was when it was read before; nothing was handed out of it.
    Unchanged(Unchanged),
}

/// An output that is being worked on; its bytes count as queued until it is dropped.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) output: Output,
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

/// Queue of outputs, bounded in their number and in the bytes of their records.
#[derive(Clone, Debug)]
pub(crate) struct Outputs {
    sender: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
}

impl Outputs {
    /// Returns the queue and where its outputs are taken.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Queued>) {
        let (sender, receiver) = mpsc::channel(MOST_QUEUED);
        let room = Arc::new(Semaphore::new(MOST_QUEUED_KIB as usize));
        (Self { sender, room }, receiver)
    }

    /// Waits for room, and returns whether there is still a taker.
    pub(super) async fn send(&self, output: Output) -> bool {
        let room = match &output {
            Output::Slice(page) | Output::Page(page) => {
                let size = u32::try_from(batch_bytes(page) >> 10).unwrap_or(u32::MAX);
                let room = Arc::clone(&self.room);
                let room = room.acquire_many_owned(size.clamp(1, MOST_QUEUED_KIB));
                room.await.ok()
            }
            _ => None,
        };
        self.sender.send(Queued { output, room }).await.is_ok()
    }
}

/// A meeting whose first page is as it was.
#[derive(Clone, Debug)]
pub(crate) struct Unchanged {
    pub(crate) meeting: ConfUuid,
    pub(crate) at: DateTime<Utc>,
}

/// A meeting that is whole.
#[derive(Clone, Debug)]
pub(crate) struct Whole {
    pub(crate) meeting: ConfUuid,
    pub(crate) count: u64,
    pub(crate) records: u64,
    pub(crate) requests: u64,
    pub(crate) minimum: u64,
    pub(crate) restarts: u64,
    pub(crate) proof: Proof,
    /// Answers that the records came with, and the seams between them that held.
    pub(crate) pages: u64,
    pub(crate) seams: u64,
    /// Records that equal an earlier one, and those of them that are in doubt and were kept.
    pub(crate) equal_records: u64,
    pub(crate) doubtful: u64,
    pub(crate) multiset: Multiset,
    pub(crate) replaced: u64,
    pub(crate) first_fetch: DateTime<Utc>,
    pub(crate) last_fetch: DateTime<Utc>,
}

/// A meeting that is not.
#[derive(Clone, Debug)]
pub(crate) struct Absent {
    pub(crate) meeting: ConfUuid,
    pub(crate) status: MeetingStatus,
    /// Nothing went wrong with what is merely unfinished.
    pub(crate) kind: Option<FailureKind>,
    /// The service says that there is no such meeting.
    pub(crate) is_gone: bool,
    pub(crate) cause: String,
    pub(crate) request_id: Option<String>,
    pub(crate) count: Option<u64>,
    pub(crate) requests: u64,
    pub(crate) restarts: u64,
}

impl Pager {
    /// Hands out what is settled at the front of the desk; false if nobody takes it any more.
    pub(super) async fn hand_out(&mut self, out: &Outputs) -> bool {
        while let Some(front) = self.desk.front_mut() {
            if std::mem::take(&mut front.is_void) {
                front.has_slices = false;
                if !out.send(Output::Void).await {
                    return false;
                }
            }
            let is_settled = front.is_settled() || front.reading.proof().is_some();
            if is_settled {
                self.front += 1;
                let Some(open) = self.desk.pop_front() else {
                    return true;
                };
                if !self.close(open, out).await {
                    return false;
                }
            } else if !front.pages.is_empty() && self.is_large(0) {
                let front = &mut self.desk[0];
                front.has_slices = true;
                for page in std::mem::take(&mut front.pages) {
                    if !out.send(Output::Slice(page)).await {
                        return false;
                    }
                }
            } else {
                return true;
            }
        }
        true
    }

    /// Hands out the rest of a meeting and what became of it.
    pub(super) async fn close(&self, mut open: OpenMeeting, out: &Outputs) -> bool {
        // Whether it is large must not depend on which page came last.
        let is_large = open.has_slices || open.is_large(&self.buffer);
        let pages = std::mem::take(&mut open.pages);
        let end = self.end_of(open);
        if matches!(end, Output::Whole(_)) {
            for page in pages {
                let output = if is_large {
                    Output::Slice(page)
                } else {
                    Output::Page(page)
                };
                if !out.send(output).await {
                    return false;
                }
            }
        }
        out.send(end).await
    }

    fn end_of(&self, open: OpenMeeting) -> Output {
        if open.is_unchanged {
            let meeting = open.meeting;
            (self.observer)(Event::Unchanged {
                meeting: meeting.clone(),
            });
            let at = open.fetched.map_or_else(Utc::now, |(_, last)| last);
            return Output::Unchanged(Unchanged { meeting, at });
        }
        let requests = open.sent();
        let restarts = open.reading.restarts().into();
        match (open.absent, open.reading.proof()) {
            (None, Some(proof)) => {
                let records = open.reading.records();
                let meeting = open.meeting;
                let now = self.client.api().clock().now();
                let (first_fetch, last_fetch) = open.fetched.unwrap_or((now, now));
                (self.observer)(Event::Complete {
                    meeting: meeting.clone(),
                    records,
                    proof,
                });
                Output::Whole(Whole {
                    meeting,
                    count: open.reading.count().unwrap_or(records),
                    records,
                    requests,
                    minimum: open.reading.minimum(),
                    restarts,
                    proof,
                    pages: open.reading.pages(),
                    seams: open.reading.seams(),
                    equal_records: open.reading.equal_records(),
                    doubtful: open.reading.doubtful(),
                    multiset: open.reading.multiset(),
                    replaced: open.reading.replaced(),
                    first_fetch,
                    last_fetch,
                })
            }
            (absent, _) => {
                let loss = absent.unwrap_or_else(|| Loss {
                    status: MeetingStatus::Unfinished,
                    kind: None,
                    is_gone: false,
                    cause: "the run stopped first".to_owned(),
                    request_id: None,
                });
                Output::Absent(Absent {
                    meeting: open.meeting,
                    status: loss.status,
                    kind: loss.kind,
                    is_gone: loss.is_gone,
                    cause: loss.cause,
                    request_id: loss.request_id,
                    count: open.reading.count(),
                    requests,
                    restarts,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::dataset::writer::tests::long_page;

    #[tokio::test]
    async fn long_records_wait_until_those_before_them_are_worked_on() {
        let (outputs, mut taken) = Outputs::new();
        let page = || Output::Page(long_page("m1", 0, 200, 25_000));
        assert!(outputs.send(page()).await);
        let mut second = Box::pin(outputs.send(page()));
        assert!((&mut second).now_or_never().is_none());
        let first = taken.recv().await;
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        assert!(second.await);
    }

    #[tokio::test]
    async fn a_page_that_is_larger_than_the_queue_waits_alone() {
        let (outputs, mut taken) = Outputs::new();
        let larger = Output::Page(long_page("m1", 0, 500, 25_000));
        assert!(outputs.send(larger).await);
        assert!(outputs.send(Output::Void).await);
        let small = Output::Page(long_page("m1", 0, 1, 1));
        assert!(outputs.send(small).now_or_never().is_none());
        drop(taken.recv().await);
        let small = Output::Page(long_page("m1", 0, 1, 1));
        assert!(outputs.send(small).await);
        drop(taken);
        assert!(!outputs.send(Output::Void).await);
    }
}
