//! The columns of one page while its records are read.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, Int64Builder, StringArray, StringBuilder, TimestampMillisecondArray,
};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Texts;
use super::value::{Integer, Key, without_surrogates};
use crate::record::{Stay, TIME_ZONE, is_in_range, schema};
use crate::uuid::ConfUuid;

/// The members whose text is written as it comes, in the order of their columns.
const TEXTS: [&str; 5] = [
    "displayName",
    "callNumber",
    "deviceType",
    "mediaType",
    "deptName",
];
const TIMES: [&str; 2] = ["joinTime", "leftTime"];

/// The builders of one page, and the record that is being read.
pub(super) struct Columns {
    texts: Texts,
    text: [StringBuilder; TEXTS.len()],
    time: [Int64Builder; TIMES.len()],
    duration: Int64Builder,
    /// The few rows that have one.
    anomaly: Sparse<&'static str>,
    /// The few rows that have unknown members.
    extra: Sparse<String>,
    rows: usize,
    replaced: Vec<usize>,
    /// Where reading stands, for the message of an error.
    reading: Reading,
    /// Unknown members of the record at hand, as the inside of a JSON object.
    unknown: String,
}

/// How deep an unknown member may be nested: it is kept as it comes, for readers whose parsers have
/// a limit of this order.
const DEEPEST: usize = 120;

#[derive(Clone, Copy)]
enum Reading {
    Envelope,
    Record,
    Member(&'static str, &'static str),
    Unknown,
    DeepUnknown,
}

impl Columns {
    /// Empty columns for an answer of `bytes` bytes.
    pub(super) fn new(texts: Texts, bytes: usize) -> Self {
        // A record is seldom shorter than this in JSON; a wrong guess costs one growth.
        let rows = (bytes / 160).min(512);
        Self {
            texts,
            text: std::array::from_fn(|_| StringBuilder::with_capacity(rows, rows * 16)),
            time: std::array::from_fn(|_| Int64Builder::with_capacity(rows)),
            duration: Int64Builder::with_capacity(rows),
            anomaly: Sparse::default(),
            extra: Sparse::default(),
            rows: 0,
            replaced: Vec::new(),
            reading: Reading::Envelope,
            unknown: String::new(),
        }
    }

    pub(super) fn texts(&self) -> Texts {
        self.texts
    }

    /// Records read whole.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// What is wrong with the record at hand, if reading stopped inside one.
    pub(super) fn at_fault(&self) -> Option<String> {
        match self.reading {
            Reading::Envelope => None,
            Reading::Record => Some("it is not an object".to_owned()),
            Reading::Member(name, expected) => Some(format!("member {name} {expected}")),
            Reading::Unknown => Some("an unknown member cannot be read".to_owned()),
            Reading::DeepUnknown => Some("an unknown member is nested too deeply".to_owned()),
        }
    }

    /// The page's records, and the rows in which surrogates were replaced.
    pub(super) fn finish(
        mut self,
        meeting: &ConfUuid,
        offset: u64,
    ) -> Result<(RecordBatch, Vec<usize>), ArrowError> {
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
        columns.push(Arc::new(self.anomaly.finish(rows)));
        columns.push(Arc::new(self.extra.finish(rows)));
        Ok((RecordBatch::try_new(schema(), columns)?, self.replaced))
    }

    fn keep_unknown(&mut self, name: &str, value: impl fmt::Display) -> fmt::Result {
        let separator = if self.unknown.is_empty() { '{' } else { ',' };
        write!(
            self.unknown,
            "{separator}{}:{value}",
            serde_json::Value::from(name)
        )
    }

    /// Ends the record at hand.
    fn end_record<E: Error>(&mut self, seen: u8, times: [Option<i128>; 2]) -> Result<(), E> {
        for (index, builder) in self.text.iter_mut().enumerate() {
            if seen & (1 << index) == 0 {
                builder.append_null();
            }
        }
        // What does not fit in 64 bits is out of range as surely as the largest that does.
        let [join, left] = times.map(|time| {
            time.map(|ms| i64::try_from(ms).unwrap_or(if ms < 0 { i64::MIN } else { i64::MAX }))
        });
        let stay = Stay::new(join, left);
        self.time[0].append_option(stay.join);
        self.time[1].append_option(stay.left);
        self.duration.append_option(stay.duration);
        if let Some(anomaly) = stay.anomaly {
            self.anomaly.push(self.rows, anomaly.as_str());
        }
        for (name, (raw, ms)) in TIMES.into_iter().zip(times.into_iter().zip([join, left])) {
            if let (Some(raw), Some(false)) = (raw, ms.map(is_in_range)) {
                self.keep_unknown(name, raw).map_err(E::custom)?;
            }
        }
        if !self.unknown.is_empty() {
            self.unknown.push('}');
            self.extra
                .push(self.rows, std::mem::take(&mut self.unknown));
        }
        self.rows += 1;
        self.reading = Reading::Envelope;
        Ok(())
    }
}

/// A column that is null in nearly every row.
struct Sparse<T>(Vec<(usize, T)>);

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self(vec![])
    }
}

impl<T: AsRef<str>> Sparse<T> {
    fn push(&mut self, row: usize, value: T) {
        self.0.push((row, value));
    }

    fn finish(self, rows: usize) -> StringArray {
        if self.0.is_empty() {
            return StringArray::new_null(rows);
        }
        let mut values = self.0.into_iter().peekable();
        let at = |row| values.next_if(|(at, _)| *at == row).map(|(_, value)| value);
        (0..rows).map(at).collect()
    }
}

/// Whether a well-formed value is nested no deeper than [`DEEPEST`].
fn is_shallow(json: &str) -> bool {
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

impl<'de> DeserializeSeed<'de> for &mut Columns {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.reading = Reading::Record;
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Columns {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = 0u8;
        let mut times = [None; TIMES.len()];
        loop {
            self.reading = Reading::Unknown;
            let Some((key, replaced)) = map.next_key_seed(Key(self.texts))? else {
                break;
            };
            let name = key.as_ref();
            let text = TEXTS.iter().position(|text| *text == name);
            let time = TIMES.iter().position(|time| *time == name);
            let Some(index) = text.or(time.map(|time| TEXTS.len() + time)) else {
                let value: &RawValue = map.next_value()?;
                if !is_shallow(value.get()) {
                    self.reading = Reading::DeepUnknown;
                    return Err(A::Error::custom("nested too deeply"));
                }
                self.keep_unknown(name, value.get())
                    .map_err(A::Error::custom)?;
                self.replaced
                    .extend(std::iter::repeat_n(self.rows, replaced));
                continue;
            };
            let name = if let Some(text) = text {
                TEXTS[text]
            } else {
                TIMES[index - TEXTS.len()]
            };
            if seen & (1 << index) != 0 {
                self.reading = Reading::Member(name, "stands twice");
                return Err(A::Error::custom("a member twice"));
            }
            seen |= 1 << index;
            if let Some(text) = text {
                self.reading = Reading::Member(name, "is neither a text nor null");
                let replaced = map.next_value_seed(Text {
                    into: &mut self.text[text],
                    texts: self.texts,
                })?;
                self.replaced
                    .extend(std::iter::repeat_n(self.rows, replaced));
            } else {
                self.reading = Reading::Member(name, "is not a whole number of milliseconds");
                times[index - TEXTS.len()] = map.next_value_seed(Integer)?;
            }
        }
        self.end_record(seen, times)
    }
}

/// A text or null, appended to its column; tells how many surrogates were replaced.
struct Text<'a> {
    into: &'a mut StringBuilder,
    texts: Texts,
}

impl<'de> DeserializeSeed<'de> for Text<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        match self.texts {
            Texts::Strict => deserializer.deserialize_any(self),
            Texts::Lossy => deserializer.deserialize_option(self),
        }
    }
}

impl<'de> Visitor<'de> for Text<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or null")
    }

    fn visit_str<E>(self, text: &str) -> Result<usize, E> {
        self.into.append_value(text);
        Ok(0)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<usize, E> {
        let (text, replaced) = without_surrogates(bytes).map_err(E::custom)?;
        self.into.append_value(text);
        Ok(replaced)
    }

    fn visit_unit<E>(self) -> Result<usize, E> {
        self.into.append_null();
        Ok(0)
    }

    fn visit_none<E: Error>(self) -> Result<usize, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}
