//! The columns of one page while its records are read.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, Int64Builder, StringArray, StringBuilder, TimestampMillisecondArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::record::schema::{Anomaly, Stay, TIME_ZONE, TimeRange, schema};
use crate::record::size::buffer_capacity;
use crate::values::ConfUuid;

/// The members of a record that have a column of their own: those whose text is written as it
/// comes, in the order of their columns, and the times.
pub(super) const MEMBERS: [&str; 7] = [
    TEXTS[0], TEXTS[1], TEXTS[2], TEXTS[3], TEXTS[4], TIMES[0], TIMES[1],
];
pub(super) const TEXTS: [&str; 5] = [
    "displayName",
    "callNumber",
    "deviceType",
    "mediaType",
    "deptName",
];
pub(super) const TIMES: [&str; 2] = ["joinTime", "leftTime"];

/// The bits of all texts.
const ALL_TEXTS: u8 = (1 << TEXTS.len()) - 1;

/// Bytes of the unknown members of a page of usual records, and many times more.
const LONG_TEXT: usize = 256 << 10;

/// How deep an unknown member may be nested: it is kept as it comes, for readers whose parsers have
/// a limit of this order.
const DEEPEST: usize = 120;

/// The builders of one page.
pub(super) struct Columns {
    /// The times that a record can have.
    times: TimeRange,
    text: [StringBuilder; TEXTS.len()],
    time: [Int64Builder; TIMES.len()],
    duration: Int64Builder,
    /// The few rows that have one.
    anomaly: Sparse,
    /// The few rows that have unknown members.
    extra: Sparse,
    rows: usize,
    /// Unknown members of the record at hand, as the inside of a JSON object.
    unknown: String,
}

impl Columns {
    /// Empty columns for an answer of `bytes` bytes.
    pub(super) fn new(bytes: usize, times: TimeRange) -> Self {
        // A record is seldom shorter than this in JSON; a wrong guess costs one growth.
        let rows = (bytes / 160).min(512);
        Self {
            times,
            text: std::array::from_fn(|_| StringBuilder::with_capacity(rows, rows * 20)),
            time: std::array::from_fn(|_| Int64Builder::with_capacity(rows)),
            duration: Int64Builder::with_capacity(rows),
            anomaly: Sparse::new(bytes),
            extra: Sparse::new(bytes),
            rows: 0,
            unknown: String::new(),
        }
    }

    /// Records read whole.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The column of a member by its place in [`MEMBERS`], if that is a text.
    pub(super) fn text(&mut self, member: usize) -> Option<&mut StringBuilder> {
        self.text.get_mut(member)
    }

    /// Keeps a member that has no column, its value as JSON.
    pub(super) fn keep_unknown(&mut self, name: &str, value: &str) {
        let separator = if self.unknown.is_empty() { '{' } else { ',' };
        let name = serde_json::Value::from(name).to_string();
        self.unknown.push(separator);
        for piece in [&name, ":", value] {
            self.unknown.push_str(piece);
        }
    }

    /// Ends the record at hand, of whose [`MEMBERS`] those were `seen` whose bit is set.
    #[inline]
    pub(super) fn end_record<T>(&mut self, seen: u8, times: [Option<T>; TIMES.len()])
    where
        T: Copy + Default + PartialOrd + fmt::Display + TryInto<i64>,
    {
        if seen & ALL_TEXTS != ALL_TEXTS {
            for (index, builder) in self.text.iter_mut().enumerate() {
                if seen & (1 << index) == 0 {
                    builder.append_null();
                }
            }
        }
        // What does not fit in 64 bits is out of range as surely as the largest that does.
        let fit = |ms: T| {
            let limit = if ms < T::default() {
                i64::MIN
            } else {
                i64::MAX
            };
            ms.try_into().unwrap_or(limit)
        };
        let [join, left] = times.map(|time| time.map(fit));
        let stay = Stay::within(self.times, join, left);
        if let (Some(join), Some(left), Some(duration)) = (stay.join, stay.left, stay.duration) {
            self.time[0].append_value(join);
            self.time[1].append_value(left);
            self.duration.append_value(duration);
        } else {
            self.time[0].append_option(stay.join);
            self.time[1].append_option(stay.left);
            self.duration.append_option(stay.duration);
        }
        if let Some(anomaly) = stay.anomaly {
            self.anomaly.push(self.rows, anomaly.as_str());
            if anomaly == Anomaly::OutOfRangeTime {
                let is_odd = |ms: i64| ms != 0 && !self.times.contains(ms);
                let odd = [join, left].map(|ms| ms.is_some_and(is_odd));
                for ((name, raw), is_odd) in TIMES.into_iter().zip(times).zip(odd) {
                    if let (Some(raw), true) = (raw, is_odd) {
                        self.keep_unknown(name, &raw.to_string());
                    }
                }
            }
        }
        if !self.unknown.is_empty() {
            self.unknown.push('}');
            self.extra.push(self.rows, &self.unknown);
            self.unknown.clear();
        }
        self.rows += 1;
    }

    /// The page's records.
    pub(super) fn finish(
        mut self,
        meeting: &ConfUuid,
        offset: u64,
    ) -> Result<RecordBatch, ArrowError> {
        let rows = self.rows;
        let key = |row: usize| i64::try_from(offset.checked_add(row as u64)?).ok();
        let Some((first, end)) = key(0).zip(key(rows)) else {
            let reason = format!("offset {offset} is too large");
            return Err(ArrowError::ComputeError(reason));
        };
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(12);
        columns.push(Arc::new(StringArray::new_repeated(meeting.as_str(), rows)));
        columns.push(Arc::new(Int64Array::from_iter_values(first..end)));
        for builder in &mut self.text {
            columns.push(Arc::new(builder.finish()));
        }
        for builder in &mut self.time {
            let (_, values, nulls) = builder.finish().into_parts();
            let times = TimestampMillisecondArray::new(values, nulls).with_timezone(TIME_ZONE);
            columns.push(Arc::new(times));
        }
        columns.push(Arc::new(self.duration.finish()));
        columns.push(Arc::new(self.anomaly.finish(rows)?));
        columns.push(Arc::new(self.extra.finish(rows)?));
        RecordBatch::try_new(schema(), columns)
    }
}

/// A column that is null in nearly every row.
struct Sparse {
    text: String,
    /// Rows that have a value, and where in the text it ends.
    ends: Vec<(usize, usize)>,
    /// Bytes of the answer.
    bytes: usize,
}

impl Sparse {
    fn new(bytes: usize) -> Self {
        Self {
            text: String::new(),
            ends: vec![],
            bytes,
        }
    }

    /// Sets the value of a row; rows come in order.
    fn push(&mut self, row: usize, value: &str) {
        if self.text.len() + value.len() > self.text.capacity().max(LONG_TEXT) {
            // Long texts are hardly longer than the answer: growth by doubling would take twice that.
            let rest = buffer_capacity(self.bytes).saturating_sub(self.text.len());
            if rest > value.len() {
                self.text.reserve_exact(rest);
            }
        }
        self.text.push_str(value);
        self.ends.push((row, self.text.len()));
    }

    fn finish(self, rows: usize) -> Result<StringArray, ArrowError> {
        if self.ends.is_empty() {
            return Ok(StringArray::new_null(rows));
        }
        let mut offsets = Vec::with_capacity(rows + 1);
        let mut is_valid = vec![false; rows];
        offsets.push(0);
        let mut last = 0;
        for (row, end) in self.ends {
            offsets.resize(row + 1, last);
            last = i32::try_from(end).map_err(|_| ArrowError::OffsetOverflowError(end))?;
            offsets.push(last);
            is_valid[row] = true;
        }
        offsets.resize(rows + 1, last);
        StringArray::try_new(
            OffsetBuffer::new(offsets.into()),
            Buffer::from_vec(self.text.into_bytes()),
            Some(NullBuffer::from(is_valid)),
        )
    }
}

/// Whether a well-formed value is nested no deeper than [`DEEPEST`].
pub(super) fn is_shallow(json: &str) -> bool {
    let (mut depth, mut in_text, mut is_escaped) = (0usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if std::mem::take(&mut is_escaped) => {}
            b'\\' => is_escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                if depth > DEEPEST {
                    return false;
                }
            }
            b']' | b'}' if !in_text => depth -= 1,
            _ => {}
        }
    }
    true
}
