//! The encoder's thread: what the pager hands out, into parts or down a pipe.
//!
//! Blocking code: it waits for pages on a thread of its own, so that encoding never holds up a
//! request. It decides when a batch is closed; committing it is somebody else's.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::record_batch::RecordBatch;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio::time::error::Elapsed;

use super::meeting_rows::Described;
use crate::dataset::writer::{BatchWriter, PipeWriter, StagedPart};
use crate::error::Result;
use crate::fetch::{Absent, Output, Queued, Unchanged, Whole};
use crate::record::Column;

/// A pipe's reader sees a whole meeting after this time at the latest.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// Records by anomaly.
pub(super) type Anomalies = BTreeMap<String, u64>;

/// Whole meetings, closed and ready for their commit.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) parts: Vec<StagedPart>,
    pub(super) meetings: Vec<Whole>,
    pub(super) anomalies: Anomalies,
}

/// What the encoder tells.
#[derive(Debug)]
pub(super) enum Word {
    /// A batch is closed.
    Batch(Batch),
    /// A meeting cannot be had whole.
    Absent(Absent),
    /// A meeting is as the dataset holds it.
    Unchanged(Unchanged),
}

/// Encodes meetings and closes batches.
pub(super) struct Sink {
    writer: Writer,
    /// A batch is closed this long after its first meeting.
    batch_time: Duration,
    batch: Batch,
    /// When the batch at hand must be closed.
    due: Option<Instant>,
    /// Anomalies of slices that are not kept yet.
    pending: Anomalies,
    has_slices: bool,
    /// Pages of a whole meeting came, and its end did not.
    is_open: bool,
    /// The dataset has a part of records to read, or will have with the first batch.
    has_parts: bool,
    /// What to write of the meetings of a batch, where they are to be written.
    described: Option<Arc<Described>>,
}

enum Writer {
    Dataset(BatchWriter),
    Pipe(PipeWriter<Box<dyn Write + Send>>),
}

impl Sink {
    /// A sink for a dataset; where it `has_parts` not, the first batch brings one in any case.
    pub(super) fn dataset(
        writer: BatchWriter,
        batch_time: Duration,
        has_parts: bool,
        described: Option<Arc<Described>>,
    ) -> Self {
        Self {
            has_parts,
            described,
            ..Self::new(Writer::Dataset(writer), batch_time)
        }
    }

    pub(super) fn pipe(writer: PipeWriter<Box<dyn Write + Send>>) -> Self {
        Self::new(Writer::Pipe(writer), FLUSH_EVERY)
    }

    fn new(writer: Writer, batch_time: Duration) -> Self {
        Self {
            writer,
            batch_time,
            batch: Batch::default(),
            due: None,
            pending: Anomalies::new(),
            has_slices: false,
            is_open: false,
            has_parts: true,
            described: None,
        }
    }

    /// Encodes until the pager ends, or until nobody commits any more.
    pub(super) fn run(
        mut self,
        mut outputs: mpsc::Receiver<Queued>,
        words: &mpsc::Sender<Word>,
    ) -> Result<()> {
        loop {
            let queued = match outputs.try_recv() {
                Ok(queued) => Some(queued),
                Err(mpsc::error::TryRecvError::Disconnected) => break,
                Err(mpsc::error::TryRecvError::Empty) => match self.wait(&mut outputs) {
                    Ok(Some(queued)) => Some(queued),
                    Ok(None) => break,
                    Err(_due) => None,
                },
            };
            if let Some(queued) = queued
                && !self.take(queued, words)?
            {
                return Ok(());
            }
            let is_due = self.due.is_some_and(|due| due <= Instant::now());
            if !self.is_open && (is_due || self.is_full()) && !self.close(words)? {
                return Ok(());
            }
        }
        self.void()?;
        if !self.batch.meetings.is_empty() && !self.is_open && !self.close(words)? {
            return Ok(());
        }
        if let Writer::Pipe(pipe) = self.writer {
            pipe.finish()?;
        }
        Ok(())
    }

    /// Encodes an output; false if nobody commits any more.
    fn take(&mut self, queued: Queued, words: &mpsc::Sender<Word>) -> Result<bool> {
        // Its room is taken until it is encoded.
        let Queued {
            output,
            room: _room,
        } = queued;
        let word = match output {
            Output::Slice(page) => {
                self.slice(&page)?;
                None
            }
            Output::Page(page) => {
                self.page(&page)?;
                None
            }
            Output::Void => {
                self.void()?;
                None
            }
            Output::Whole(whole) => self.whole(whole)?.map(Word::Batch),
            Output::Unchanged(unchanged) => Some(Word::Unchanged(unchanged)),
            Output::Absent(absent) => {
                self.void()?;
                Some(Word::Absent(absent))
            }
        };
        Ok(word.is_none_or(|word| words.blocking_send(word).is_ok()))
    }

    /// A batch with parts that hold nothing but the schema.
    pub(super) fn empty(mut self) -> Result<Batch> {
        if let Writer::Dataset(writer) = &mut self.writer {
            if !self.has_parts {
                writer.empty_part()?;
                self.batch.parts.extend(writer.finish()?);
            }
            describe(self.described.as_deref(), writer, &mut self.batch)?;
        }
        Ok(self.batch)
    }

    /// Waits for an output until the batch at hand must be closed; none is the end.
    fn wait(&self, outputs: &mut mpsc::Receiver<Queued>) -> Result<Option<Queued>, Elapsed> {
        Handle::current().block_on(async {
            match self.due {
                Some(due) => tokio::time::timeout_at(due, outputs.recv()).await,
                None => Ok(outputs.recv().await),
            }
        })
    }

    fn slice(&mut self, page: &RecordBatch) -> Result<()> {
        count_anomalies(page, &mut self.pending);
        self.has_slices = true;
        match &mut self.writer {
            Writer::Dataset(writer) => writer.slice(page),
            Writer::Pipe(pipe) => pipe.slice(page),
        }
    }

    fn page(&mut self, page: &RecordBatch) -> Result<()> {
        if self.has_slices {
            return self.slice(page);
        }
        count_anomalies(page, &mut self.pending);
        self.is_open = true;
        match &mut self.writer {
            Writer::Dataset(writer) => writer.page(page),
            Writer::Pipe(pipe) => pipe.whole(std::slice::from_ref(page)),
        }
    }

    /// The meeting at hand is whole; one with a part of its own is a batch of its own.
    fn whole(&mut self, whole: Whole) -> Result<Option<Batch>> {
        let anomalies = std::mem::take(&mut self.pending);
        if std::mem::take(&mut self.has_slices) {
            match &mut self.writer {
                Writer::Dataset(writer) => {
                    self.has_parts = true;
                    let mut batch = Batch {
                        parts: writer.keep_slices()?,
                        meetings: vec![whole],
                        anomalies,
                    };
                    describe(self.described.as_deref(), writer, &mut batch)?;
                    return Ok(Some(batch));
                }
                Writer::Pipe(pipe) => pipe.keep_slices()?,
            }
        }
        for (anomaly, records) in anomalies {
            *self.batch.anomalies.entry(anomaly).or_default() += records;
        }
        if let Writer::Dataset(writer) = &mut self.writer {
            writer.end_meeting()?;
        }
        self.is_open = false;
        self.batch.meetings.push(whole);
        self.due
            .get_or_insert_with(|| Instant::now() + self.batch_time);
        Ok(None)
    }

    fn void(&mut self) -> Result<()> {
        self.pending.clear();
        self.has_slices = false;
        match &mut self.writer {
            Writer::Dataset(writer) => writer.discard_slices(),
            Writer::Pipe(pipe) => pipe.discard_slices(),
        }
    }

    fn is_full(&self) -> bool {
        match &self.writer {
            Writer::Dataset(writer) => writer.is_full(),
            Writer::Pipe(_) => false,
        }
    }

    /// Closes the batch at hand; false if nobody commits it any more.
    fn close(&mut self, words: &mpsc::Sender<Word>) -> Result<bool> {
        self.due = None;
        let mut batch = std::mem::take(&mut self.batch);
        match &mut self.writer {
            Writer::Dataset(writer) => {
                // A reader finds the schema even where no meeting had a record.
                if !std::mem::replace(&mut self.has_parts, true) && writer.rows() == 0 {
                    writer.empty_part()?;
                }
                batch.parts.extend(writer.finish()?);
                describe(self.described.as_deref(), writer, &mut batch)?;
            }
            Writer::Pipe(pipe) => pipe.flush()?,
        }
        Ok(words.blocking_send(Word::Batch(batch)).is_ok())
    }
}

/// Adds the part of the meetings table that belongs to a batch, where meetings are to be written.
fn describe(
    described: Option<&Described>,
    writer: &mut BatchWriter,
    batch: &mut Batch,
) -> Result<()> {
    if let Some(described) = described {
        let meetings = batch.meetings.iter().map(|whole| &whole.meeting);
        let rows = described.rows(meetings)?;
        batch.parts.push(writer.meetings(&rows)?);
    }
    Ok(())
}

fn count_anomalies(page: &RecordBatch, anomalies: &mut Anomalies) {
    let column = page.column(Column::Anomaly.index());
    if column.null_count() == column.len() {
        return;
    }
    for anomaly in column.as_string::<i32>().iter().flatten() {
        if let Some(records) = anomalies.get_mut(anomaly) {
            *records += 1;
        } else {
            anomalies.insert(anomaly.to_owned(), 1);
        }
    }
}
