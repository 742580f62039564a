//! What an answer means, written a second time: slowly, with a copy of everything, by the rules
//! of the record and of the decoder's documentation alone.
//!
//! Knows nothing of builders, seeds or fast ways. The law is [`agree`]: the decoder accepts what
//! this accepts, with the same values, and refuses what this refuses, for the same reason.

use std::fmt;
use std::ops::RangeInclusive;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type, TimestampMillisecondType};
use rollbook::{Column, ConfUuid, DecodeError, DigestKey, Page};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Asserts that the decoder and the reference are of one mind; says whether they accept.
#[expect(clippy::panic, reason = "what an assertion would do")]
pub(crate) fn agree(body: &[u8], asked: u64) -> bool {
    let meeting: ConfUuid = "9a0fa6d10a5b11eaae5e191763c22c0e".parse().unwrap();
    let decoded = Page::decode(body, &meeting, asked, &DigestKey::default());
    match (read(body, asked), decoded) {
        (Ok(expected), Ok(page)) => {
            assert_eq!(
                (page.offset, page.limit, page.count),
                (expected.offset, expected.limit, expected.count)
            );
            assert_eq!(page.replaced, expected.replaced, "surrogates replaced");
            assert_eq!(page.records.schema(), rollbook::schema());
            assert_eq!(rows(&page, &meeting, asked), expected.rows);
            true
        }
        (Err(Fault::Broken), Err(_)) | (Err(Fault::Page), Err(DecodeError::NotAPage(_))) => false,
        (Err(Fault::Record(row)), Err(DecodeError::Record { offset, .. })) => {
            assert_eq!(offset, asked.saturating_add(row), "the record at fault");
            false
        }
        (expected, decoded) => panic!("expected {expected:?}, decoded {decoded:?}"),
    }
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Expected {
    offset: Option<i64>,
    limit: Option<i64>,
    count: u64,
    rows: Vec<Row>,
    replaced: Vec<usize>,
}

/// One record.
#[derive(Debug, Default, PartialEq)]
struct Row {
    texts: [Option<String>; 5],
    join: Option<i64>,
    left: Option<i64>,
    duration: Option<i64>,
    anomaly: Option<String>,
    extra: Option<String>,
}

/// Why an answer is refused.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It is not JSON. What was read before the break may have been at fault, too.
    Broken,
    /// It is JSON, but no page.
    Page,
    /// The record in this row cannot be read.
    Record(u64),
}

const MOST_RECORDS: usize = 10_000;
const DEEPEST: usize = 120;
const TIMES: RangeInclusive<i128> = 1_262_304_000_000..=253_402_300_799_999;
const TEXTS: [&str; 5] = [
    "displayName",
    "callNumber",
    "deviceType",
    "mediaType",
    "deptName",
];

fn read(body: &[u8], asked: u64) -> Result<Expected, Fault> {
    let text = std::str::from_utf8(body).map_err(|_| Fault::Broken)?;
    let source = Source::new(text);
    let value: &RawValue = serde_json::from_str(&source.masked).map_err(|_| Fault::Broken)?;
    let page = members(value).ok_or(Fault::Page)?;
    let (mut offset, mut limit, mut count, mut data) = (None, None, None, None);
    let mut is_error = false;
    let mut seen = vec![];
    for (name, value) in page {
        let name = text_of(name).ok_or(Fault::Page)?;
        if ["data", "offset", "limit", "count"].contains(&name.as_str()) {
            if seen.contains(&name) {
                return Err(Fault::Page);
            }
            seen.push(name.clone());
        }
        match name.as_str() {
            "data" => data = records(&source, value)?,
            "offset" => offset = figure(value)?,
            "limit" => limit = figure(value)?,
            "count" => count = figure(value)?,
            "error_code" | "errorCode" => is_error |= is_error_code(value),
            _ => {}
        }
    }
    let count = count.and_then(|count| u64::try_from(count).ok());
    let count = count.ok_or(Fault::Page)?;
    if is_error || data.is_none() && count > 0 {
        return Err(Fault::Page);
    }
    let (rows, replaced) = data.unwrap_or_default();
    // The key of the rows is a signed number.
    if u128::from(asked) + rows.len() as u128 > i64::MAX as u128 {
        return Err(Fault::Page);
    }
    Ok(Expected {
        offset,
        limit,
        count,
        rows,
        replaced,
    })
}

/// Whether a code is another one than none, nothing and zero.
fn is_error_code(value: &RawValue) -> bool {
    match serde_json::from_str(value.get()) {
        Ok(Value::Null) => false,
        Ok(Value::Number(code)) => code.as_f64() != Some(0.0),
        Ok(Value::String(code)) => {
            let zeros = |text: &str| text.chars().all(|c| c == '0');
            let letters = |text: &str| text.chars().all(|c| c.is_ascii_alphabetic());
            match code.trim().split('.').collect::<Vec<_>>()[..] {
                [number] => !zeros(number),
                [_, ""] => true,
                [service, number] => !(zeros(number) && (zeros(service) || letters(service))),
                _ => true,
            }
        }
        _ => true,
    }
}

type Records = (Vec<Row>, Vec<usize>);

fn records(source: &Source, data: &RawValue) -> Result<Option<Records>, Fault> {
    if data.get() == "null" {
        return Ok(None);
    }
    let data: Vec<&RawValue> = serde_json::from_str(data.get()).map_err(|_| Fault::Page)?;
    let (mut rows, mut replaced) = (vec![], vec![]);
    for (number, value) in data.into_iter().enumerate() {
        let (row, surrogates) = record(source, value).ok_or(Fault::Record(number as u64))?;
        rows.push(row);
        replaced.extend(std::iter::repeat_n(number, surrogates));
        if rows.len() > MOST_RECORDS {
            return Err(Fault::Page);
        }
    }
    Ok(Some((rows, replaced)))
}

fn record(source: &Source, value: &RawValue) -> Option<(Row, usize)> {
    let mut row = Row::default();
    let mut surrogates = 0;
    let mut seen = vec![];
    let mut extra = vec![];
    let (mut join, mut left) = (None, None);
    for (raw_name, value) in members(value)? {
        let name = text_of(raw_name)?;
        surrogates += source.surrogates(raw_name);
        let text = TEXTS.iter().position(|text| *text == name);
        if text.is_some() || ["joinTime", "leftTime"].contains(&name.as_str()) {
            if seen.contains(&name) {
                return None;
            }
            seen.push(name.clone());
        }
        match (text, name.as_str()) {
            (Some(text), _) if value.get() == "null" => row.texts[text] = None,
            (Some(text), _) => {
                row.texts[text] = Some(text_of(value)?);
                surrogates += source.surrogates(value);
            }
            (None, "joinTime") => join = whole(value).ok()?,
            (None, "leftTime") => left = whole(value).ok()?,
            (None, _) => {
                if is_deeper(value, DEEPEST) {
                    return None;
                }
                extra.push((name, source.verbatim(value).to_owned()));
            }
        }
    }
    let known = |time: &i128| *time != 0;
    let (join, left) = (join.filter(known), left.filter(known));
    let mut odd = false;
    for (name, time) in [("joinTime", join), ("leftTime", left)] {
        if let Some(time) = time.filter(|time| !TIMES.contains(time)) {
            extra.push((name.to_owned(), time.to_string()));
            odd = true;
        }
    }
    let plain = |time: Option<i128>| {
        time.filter(|time| TIMES.contains(time))
            .map(|time| i64::try_from(time).unwrap())
    };
    (row.join, row.left) = (plain(join), plain(left));
    row.anomaly = match (row.join, row.left) {
        _ if odd => Some("out_of_range_time"),
        (None, _) => Some("missing_join"),
        (_, None) => Some("missing_left"),
        (Some(join), Some(left)) if left < join => Some("negative_duration"),
        (Some(_), Some(_)) => None,
    }
    .map(str::to_owned);
    row.duration = row
        .join
        .zip(row.left)
        .map(|(join, left)| left - join)
        .filter(|duration| *duration >= 0);
    if !extra.is_empty() {
        let members: Vec<_> = extra
            .iter()
            .map(|(name, value)| format!("{}:{value}", serde_json::to_string(name).unwrap()))
            .collect();
        row.extra = Some(format!("{{{}}}", members.join(",")));
    }
    Some((row, surrogates))
}

/// A figure of the envelope; what does not fit is no figure that a meeting can have.
fn figure(value: &RawValue) -> Result<Option<i64>, Fault> {
    let value = whole(value).map_err(|NotWhole| Fault::Page)?;
    Ok(value.map(|value| i64::try_from(value).unwrap_or(-1)))
}

/// Null, a whole number, or a text of one; floats are numbers, too.
fn whole(value: &RawValue) -> Result<Option<i128>, NotWhole> {
    let value = match serde_json::from_str(value.get()).map_err(|_| NotWhole)? {
        Value::Null => return Ok(None),
        Value::Number(number) => {
            let small = number.as_i64().map(i128::from);
            let small = small.or(number.as_u64().map(i128::from));
            small.or_else(|| number.as_f64().and_then(of_float))
        }
        Value::String(text) => {
            let text = text.trim();
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let value = text.parse().ok().filter(|_| is_whole);
            let of_64_bits = i128::from(i64::MIN)..=i128::from(u64::MAX);
            let value = value.filter(|value| of_64_bits.contains(value));
            value.or_else(|| text.parse().ok().and_then(of_float))
        }
        _ => None,
    };
    value.map(Some).ok_or(NotWhole)
}

/// A float that is whole but for the last of its bits, by its digits.
fn of_float(value: f64) -> Option<i128> {
    let whole: i128 = format!("{value:.0}").parse().ok()?;
    let nearest: f64 = whole.to_string().parse().unwrap();
    let is_whole = (value - nearest).abs() <= nearest.abs() * f64::EPSILON;
    is_whole.then_some(whole)
}

struct NotWhole;

fn text_of(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// Whether a value is nested deeper than this many levels.
fn is_deeper(value: &RawValue, levels: usize) -> bool {
    let inner: Vec<&RawValue> = match value.get().as_bytes()[0] {
        b'[' => serde_json::from_str(value.get()).unwrap(),
        b'{' => members(value)
            .unwrap()
            .into_iter()
            .map(|member| member.1)
            .collect(),
        _ => return false,
    };
    levels == 0 || inner.into_iter().any(|value| is_deeper(value, levels - 1))
}

type Member<'a> = (&'a RawValue, &'a RawValue);

/// The members of an object as they stand, the names, too.
fn members(value: &RawValue) -> Option<Vec<Member<'_>>> {
    struct Members<'a>(Vec<Member<'a>>);

    impl<'de> Deserialize<'de> for Members<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct All;

            impl<'de> Visitor<'de> for All {
                type Value = Members<'de>;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                    let mut members = vec![];
                    while let Some(member) = map.next_entry()? {
                        members.push(member);
                    }
                    Ok(Members(members))
                }
            }

            deserializer.deserialize_map(All)
        }
    }

    let Members(members) = serde_json::from_str(value.get()).ok()?;
    Some(members)
}

/// An answer, and the same with each lone surrogate written as the escape of U+FFFD: a text of
/// equal length that any reader of JSON can read.
struct Source<'a> {
    text: &'a str,
    masked: String,
    surrogates: Vec<usize>,
}

impl<'a> Source<'a> {
    fn new(text: &'a str) -> Self {
        let mut masked = text.to_owned();
        let mut surrogates = vec![];
        let mut at = 0;
        let mut is_inside = false;
        while at < text.len() {
            let rest = &text.as_bytes()[at..];
            let length = match (is_inside, rest[0]) {
                (true, b'\\') => match (unit(rest), rest.get(6..).and_then(unit)) {
                    (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
                    (Some(0xD800..=0xDFFF), _) => {
                        masked.replace_range(at..at + 6, "\\ufffd");
                        surrogates.push(at);
                        6
                    }
                    (Some(_), _) => 6,
                    // Of what follows the backslash, only these could be taken for something else.
                    (None, _) => 1 + usize::from(matches!(rest.get(1), Some(b'"' | b'\\'))),
                },
                (_, b'"') => {
                    is_inside = !is_inside;
                    1
                }
                _ => 1,
            };
            at += length;
        }
        Self {
            text,
            masked,
            surrogates,
        }
    }

    /// Where a value of the masked text stands.
    fn place(&self, value: &RawValue) -> std::ops::Range<usize> {
        let start = value.get().as_ptr().addr() - self.masked.as_ptr().addr();
        start..start + value.get().len()
    }

    fn verbatim(&self, value: &RawValue) -> &str {
        &self.text[self.place(value)]
    }

    fn surrogates(&self, value: &RawValue) -> usize {
        let place = self.place(value);
        let inside = self.surrogates.iter().filter(|at| place.contains(at));
        inside.count()
    }
}

/// The UTF-16 unit that an escape at the beginning of these bytes stands for.
fn unit(bytes: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(bytes.strip_prefix(b"\\u")?.get(..4)?).ok()?;
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

/// The rows of a page, whose keys must be as asked for.
fn rows(page: &Page, meeting: &ConfUuid, asked: u64) -> Vec<Row> {
    let column = |column: Column| page.records.column(column.index());
    let texts = |name: Column| {
        let texts = column(name).as_string::<i32>().iter();
        texts.map(|text| text.map(str::to_owned)).collect()
    };
    let times = |name: Column| whole_numbers(column(name));
    let [
        mut uuid,
        mut display,
        mut call,
        mut device,
        mut media,
        mut dept,
    ]: [Vec<_>; 6] = [
        Column::ConfUuid,
        Column::DisplayName,
        Column::CallNumber,
        Column::DeviceType,
        Column::MediaType,
        Column::DeptName,
    ]
    .map(texts);
    let [index, join, left, duration] = [
        Column::RecordIndex,
        Column::JoinTime,
        Column::LeftTime,
        Column::DurationMs,
    ]
    .map(times);
    let [mut anomaly, mut extra]: [Vec<_>; 2] = [Column::Anomaly, Column::Extra].map(texts);
    (0..page.records.num_rows())
        .map(|row| {
            assert_eq!(uuid[row].take().as_deref(), Some(meeting.as_str()));
            let key = u64::try_from(index[row].unwrap()).unwrap();
            assert_eq!(key, asked + row as u64);
            Row {
                texts: [&mut display, &mut call, &mut device, &mut media, &mut dept]
                    .map(|texts| texts[row].take()),
                join: join[row],
                left: left[row],
                duration: duration[row],
                anomaly: anomaly[row].take(),
                extra: extra[row].take(),
            }
        })
        .collect()
}

fn whole_numbers(column: &ArrayRef) -> Vec<Option<i64>> {
    match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().iter().collect(),
        _ => column
            .as_primitive::<TimestampMillisecondType>()
            .iter()
            .collect(),
    }
}
