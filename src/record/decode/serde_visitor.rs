//! The careful way through an answer, and the reference: serde's, one visitor a record.

use std::fmt;

use arrow::array::StringBuilder;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::column_builders::{MEMBERS, TEXTS, TIMES, is_shallow};
use super::error_value::is_error_code;
use super::json_values::{Integer, Key, without_surrogates};
use super::{DecodeError, Envelope, MOST_RECORDS};
use crate::record::schema::TimeRange;

/// Reads an answer to a request from `offset` on.
pub(super) fn visit(text: &str, offset: u64, times: TimeRange) -> Result<Envelope, DecodeError> {
    match Visit::new(text, times, Texts::Strict).run(text, offset) {
        // JSON, and yet refused as if it were not: the fast way of reading texts refuses a
        // lone surrogate; the slow way keeps the row. It would let control characters pass,
        // which are no JSON.
        Err(refused) if refused.is_syntax && is_json(text) => {
            Visit::new(text, times, Texts::Lossy).run(text, offset)
        }
        outcome => outcome,
    }
    .map_err(|refused| refused.error)
}

/// Whether a text is JSON, whatever it says.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// How texts are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Texts {
    /// As `str`: quick; refuses lone surrogates.
    Strict,
    /// As bytes: lone surrogates become U+FFFD and are counted.
    Lossy,
}

struct Refused {
    error: DecodeError,
    is_syntax: bool,
}

/// An answer while it is read.
struct Visit {
    envelope: Envelope,
    pub(super) texts: Texts,
    /// Where reading stands, for the message of an error.
    reading: Reading,
}

#[derive(Clone, Copy)]
enum Reading {
    Envelope,
    Record,
    Member(&'static str, &'static str),
    Unknown,
    DeepUnknown,
}

impl Visit {
    fn new(text: &str, times: TimeRange, texts: Texts) -> Self {
        Self {
            envelope: Envelope::new(text.len(), times),
            texts,
            reading: Reading::Envelope,
        }
    }

    fn run(mut self, text: &str, offset: u64) -> Result<Envelope, Refused> {
        let mut json = serde_json::Deserializer::from_str(text);
        let outcome = Object(&mut self)
            .deserialize(&mut json)
            .and_then(|()| json.end());
        match outcome {
            Ok(()) => Ok(self.envelope),
            Err(error) => Err(Refused {
                is_syntax: !error.is_data(),
                error: self.judge(&error, offset),
            }),
        }
    }

    fn judge(&self, error: &serde_json::Error, offset: u64) -> DecodeError {
        // What is read the slow way is JSON: no asking again makes it better.
        let is_wrong = error.is_data() || self.texts == Texts::Lossy;
        let place = format!("line {}, column {}", error.line(), error.column());
        let rows = self.envelope.columns.rows();
        match self.at_fault() {
            Some(what) if is_wrong => DecodeError::Record {
                offset: offset.saturating_add(rows as u64),
                what,
                place,
            },
            _ if rows > MOST_RECORDS => {
                DecodeError::NotAPage(format!("it has more than {MOST_RECORDS} records"))
            }
            // The message of a data error quotes the value; that of a syntax error does not.
            _ if is_wrong => DecodeError::NotAPage(format!(
                "a member of the envelope has the wrong type or stands twice at {place}"
            )),
            _ => DecodeError::NotAPage(format!("not JSON: {error}")),
        }
    }

    /// What is wrong with the record at hand, if reading stopped inside one.
    fn at_fault(&self) -> Option<String> {
        match self.reading {
            Reading::Envelope => None,
            Reading::Record => Some("it is not an object".to_owned()),
            Reading::Member(name, expected) => Some(format!("member {name} {expected}")),
            Reading::Unknown => Some("an unknown member cannot be read".to_owned()),
            Reading::DeepUnknown => Some("an unknown member is nested too deeply".to_owned()),
        }
    }

    /// Remembers the row of each surrogate that was replaced.
    fn note(&mut self, replaced: usize) {
        let row = self.envelope.columns.rows();
        self.envelope
            .replaced
            .extend(std::iter::repeat_n(row, replaced));
    }
}

/// The members that make a page.
const KNOWN: [&str; 4] = ["data", "offset", "limit", "count"];

struct Object<'a>(&'a mut Visit);

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with data, offset, limit and count")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let visit = self.0;
        let mut seen = 0u8;
        while let Some((key, _)) = map.next_key_seed(Key(visit.texts))? {
            if let Some(known) = KNOWN.iter().position(|known| *known == key) {
                // Two figures for one thing: no saying which is meant.
                if seen & (1 << known) != 0 {
                    return Err(A::Error::custom("a member twice"));
                }
                seen |= 1 << known;
            }
            let figure = |map: &mut A| map.next_value_seed(Integer).map(small);
            match key.as_ref() {
                "data" => visit.envelope.has_data = map.next_value_seed(Data(visit))?,
                "error_code" | "errorCode" => {
                    let code: &RawValue = map.next_value()?;
                    visit.envelope.is_error |= is_error_code(code);
                }
                "offset" => visit.envelope.offset = figure(&mut map)?,
                "limit" => visit.envelope.limit = figure(&mut map)?,
                "count" => visit.envelope.count = figure(&mut map)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// A figure of the envelope; one that no meeting can have is kept impossible.
fn small(value: Option<i128>) -> Option<i64> {
    value.map(|value| i64::try_from(value).unwrap_or(-1))
}

struct Data<'a>(&'a mut Visit);

impl<'de> DeserializeSeed<'de> for Data<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Data<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records, or null")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        while seq.next_element_seed(Record(self.0))?.is_some() {
            if self.0.envelope.columns.rows() > MOST_RECORDS {
                return Err(A::Error::custom("too many records"));
            }
        }
        Ok(true)
    }
}

struct Record<'a>(&'a mut Visit);

impl<'de> DeserializeSeed<'de> for Record<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.reading = Reading::Record;
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Record<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let visit = self.0;
        let mut seen = 0u8;
        let mut times = [None; TIMES.len()];
        loop {
            visit.reading = Reading::Unknown;
            let Some((key, replaced)) = map.next_key_seed(Key(visit.texts))? else {
                break;
            };
            let Some(index) = MEMBERS.iter().position(|name| *name == key) else {
                let value: &RawValue = map.next_value()?;
                if !is_shallow(value.get()) {
                    visit.reading = Reading::DeepUnknown;
                    return Err(A::Error::custom("nested too deeply"));
                }
                visit.envelope.columns.keep_unknown(&key, value.get());
                visit.note(replaced);
                continue;
            };
            let name = MEMBERS[index];
            if seen & (1 << index) != 0 {
                visit.reading = Reading::Member(name, "stands twice");
                return Err(A::Error::custom("a member twice"));
            }
            seen |= 1 << index;
            if let Some(into) = visit.envelope.columns.text(index) {
                visit.reading = Reading::Member(name, "is neither a text nor null");
                let texts = visit.texts;
                let replaced = map.next_value_seed(Text { into, texts })?;
                visit.note(replaced);
            } else {
                visit.reading = Reading::Member(name, "is not a whole number of milliseconds");
                times[index - TEXTS.len()] = map.next_value_seed(Integer)?;
            }
        }
        visit.envelope.columns.end_record(seen, times);
        visit.reading = Reading::Envelope;
        Ok(())
    }
}

/// A text or null, appended to its column; tells how many surrogates were replaced.
pub(super) struct Text<'a> {
    pub(super) into: &'a mut StringBuilder,
    pub(super) texts: Texts,
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
