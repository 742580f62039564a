//! Records as lines, straight from the columns: a tree of values would cost three times as much.
//!
//! What every line of a page has in common is made once, as a [`Pattern`]: names, the values of
//! columns that are the same throughout, and nulls where a column has nothing else. Texts are
//! looked at a column at a time for what needs an escape; those that do go through `serde_json`,
//! which nearly none does. A record is one line also to readers that end lines at U+2028 and the
//! like: those are escaped. Times are RFC 3339 in UTC with milliseconds.

use std::ops::Range;

use arrow::array::{
    Array, AsArray, BooleanArray, Int64Array, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Datelike};

use crate::record::is_in_range;

use super::Fault;

const DAY_MS: i64 = 86_400_000;

/// How the lines of a page are put together: the text before each value, and the value's column.
pub(super) struct Pattern<'a> {
    steps: Vec<Step<'a>>,
    /// What stands before the values, one after the other, and behind the last.
    fixed: Vec<u8>,
    end: Range<usize>,
}

struct Step<'a> {
    before: Range<usize>,
    value: Values<'a>,
}

/// The values of a column that is not the same throughout.
enum Values<'a> {
    /// Texts without a null and without anything to escape; the quotes are in the fixed text.
    Plain(&'a StringArray),
    Texts(&'a StringArray),
    Numbers(&'a Int64Array),
    Times(&'a TimestampMillisecondArray),
    Flags(&'a BooleanArray),
}

impl<'a> Pattern<'a> {
    /// The pattern of a page, of whatever columns.
    ///
    /// # Errors
    ///
    /// A column of a type that no schema of ours has.
    pub(super) fn of(page: &'a RecordBatch) -> Result<Self, Fault> {
        let mut steps = Vec::with_capacity(page.num_columns());
        let mut fixed = Vec::with_capacity(512);
        let mut start = 0;
        let mut before = b'{';
        for (field, array) in page.schema_ref().fields().iter().zip(page.columns()) {
            fixed.push(before);
            before = b',';
            escape(field.name(), &mut fixed)?;
            fixed.push(b':');
            if array.null_count() == array.len() {
                fixed.extend_from_slice(b"null");
                continue;
            }
            let unknown = || {
                let (name, kind) = (field.name(), array.data_type());
                Fault::Encode(format!("column {name}: {kind} has no form in NDJSON").into())
            };
            let mut is_quoted = false;
            let value = match array.data_type() {
                DataType::Utf8 => {
                    let texts = array.as_string_opt().ok_or_else(unknown)?;
                    if let Some(text) = only(texts) {
                        escape(text, &mut fixed)?;
                        continue;
                    }
                    is_quoted = texts.null_count() == 0 && is_plain(bytes(texts));
                    if is_quoted {
                        fixed.push(b'"');
                        Values::Plain(texts)
                    } else {
                        Values::Texts(texts)
                    }
                }
                DataType::Int64 => {
                    let numbers = array.as_primitive_opt::<Int64Type>();
                    Values::Numbers(numbers.ok_or_else(unknown)?)
                }
                DataType::Timestamp(TimeUnit::Millisecond, _) => {
                    let times = array.as_primitive_opt::<TimestampMillisecondType>();
                    Values::Times(times.ok_or_else(unknown)?)
                }
                DataType::Boolean => Values::Flags(array.as_boolean_opt().ok_or_else(unknown)?),
                _ => return Err(unknown()),
            };
            let before = start..fixed.len();
            start = fixed.len();
            steps.push(Step { before, value });
            if is_quoted {
                fixed.push(b'"');
            }
        }
        fixed.extend_from_slice(b"}\n");
        let end = start..fixed.len();
        Ok(Self { steps, fixed, end })
    }

    fn fixed(&self, range: &Range<usize>) -> &[u8] {
        self.fixed.get(range.clone()).unwrap_or_default()
    }
}

/// Lines on their way to the sink.
pub(super) struct Lines {
    pub(super) text: Vec<u8>,
    /// The day that was written last: neighbouring records share its date.
    day: i64,
    /// The time that was written last, in quotes.
    time: [u8; 26],
}

impl Lines {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self {
            text: Vec::with_capacity(bytes),
            day: 0,
            time: *b"\"1970-01-01T00:00:00.000Z\"",
        }
    }

    /// Adds the line of a record.
    pub(super) fn push(&mut self, pattern: &Pattern<'_>, row: usize) -> Result<(), Fault> {
        for step in &pattern.steps {
            self.raw(pattern.fixed(&step.before));
            match step.value {
                Values::Plain(texts) => self.raw(texts.value(row).as_bytes()),
                Values::Texts(texts) if texts.is_valid(row) => {
                    escape(texts.value(row), &mut self.text)?;
                }
                Values::Numbers(numbers) if numbers.is_valid(row) => {
                    self.raw(itoa::Buffer::new().format(numbers.value(row)).as_bytes());
                }
                Values::Times(times) if times.is_valid(row) => self.time(times.value(row))?,
                Values::Flags(flags) if flags.is_valid(row) => {
                    self.raw(if flags.value(row) { b"true" } else { b"false" });
                }
                _ => self.raw(b"null"),
            }
        }
        self.raw(pattern.fixed(&pattern.end));
        Ok(())
    }

    fn raw(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
    }

    fn time(&mut self, ms: i64) -> Result<(), Fault> {
        if !is_in_range(ms) {
            return Err(unwritable(ms));
        }
        let day = ms / DAY_MS;
        if day != self.day {
            self.time[1..11].copy_from_slice(&date(ms)?);
            self.day = day;
        }
        let Ok(of_day) = u32::try_from(ms % DAY_MS) else {
            return Err(unwritable(ms));
        };
        let (seconds, millis) = (of_day / 1_000, of_day % 1_000);
        let (minutes, seconds) = (seconds / 60, seconds % 60);
        let time = &mut self.time;
        [time[12], time[13]] = pair(minutes / 60);
        [time[15], time[16]] = pair(minutes % 60);
        [time[18], time[19]] = pair(seconds);
        [_, time[21]] = pair(millis / 100);
        [time[22], time[23]] = pair(millis % 100);
        self.text.extend_from_slice(&self.time);
        Ok(())
    }
}

fn unwritable(ms: i64) -> Fault {
    Fault::Encode(format!("{ms} ms is no writable time").into())
}

/// The date of a time in range.
fn date(ms: i64) -> Result<[u8; 10], Fault> {
    let time = DateTime::from_timestamp_millis(ms).ok_or_else(|| unwritable(ms))?;
    let year = time.year().unsigned_abs();
    let mut date = *b"0000-00-00";
    [date[0], date[1]] = pair(year / 100);
    [date[2], date[3]] = pair(year);
    [date[5], date[6]] = pair(time.month());
    [date[8], date[9]] = pair(time.day());
    Ok(date)
}

/// The last two decimal digits of a value.
fn pair(value: u32) -> [u8; 2] {
    const PAIRS: [[u8; 2]; 100] = {
        let mut pairs = [[b'0'; 2]; 100];
        let mut value = 0_u8;
        while value < 100 {
            pairs[value as usize] = [b'0' + value / 10, b'0' + value % 10];
            value += 1;
        }
        pairs
    };
    PAIRS[value as usize % PAIRS.len()]
}

/// A text as JSON.
fn escape(text: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    if is_plain(text.as_bytes()) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return Ok(());
    }
    let mut json = serde_json::to_string(text).map_err(|error| Fault::Encode(error.into()))?;
    for (separator, escaped) in SEPARATORS {
        if json.contains(separator) {
            json = json.replace(separator, escaped);
        }
    }
    out.extend_from_slice(json.as_bytes());
    Ok(())
}

/// What JSON lets stand and readers of lines take for the end of one: NEL, and the separators of
/// lines and paragraphs. JSON itself escapes all that is below a space.
const SEPARATORS: [(char, &str); 3] = [
    ('\u{85}', "\\u0085"),
    ('\u{2028}', "\\u2028"),
    ('\u{2029}', "\\u2029"),
];

/// The bytes with which these characters begin.
const LEADS: [u8; 2] = [0xc2, 0xe2];

/// The bytes of all texts of a column.
fn bytes(texts: &StringArray) -> &[u8] {
    let offsets = texts.value_offsets();
    let (Some(&first), Some(&last)) = (offsets.first(), offsets.last()) else {
        return &[];
    };
    // Offsets are neither negative nor beyond the bytes.
    let ends = usize::try_from(first).ok().zip(usize::try_from(last).ok());
    ends.and_then(|(first, last)| texts.value_data().get(first..last))
        .unwrap_or_default()
}

/// The text of every record, where it is the same one.
fn only(texts: &StringArray) -> Option<&str> {
    if texts.null_count() > 0 || texts.is_empty() {
        return None;
    }
    let text = texts.value(0);
    let length = i32::try_from(text.len()).ok()?;
    // Texts of one length are the same where all bytes are those of one text before.
    let bytes = bytes(texts);
    let is_same = texts
        .value_offsets()
        .windows(2)
        .all(|ends| matches!(ends, [from, to] if to - from == length))
        && bytes.get(text.len()..) == bytes.get(..bytes.len().saturating_sub(text.len()));
    is_same.then_some(text)
}

/// Whether a text stands in JSON as it is.
fn is_plain(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    // Without an early exit the compiler looks at many words at once.
    let odd = words
        .iter()
        .fold(0, |odd, word| odd | odd_bytes(u64::from_le_bytes(*word)));
    // What is left over is looked at together with the bytes before it, where there are any.
    let odd_rest = if let Some(last) = text.last_chunk::<8>() {
        odd_bytes(u64::from_le_bytes(*last))
    } else {
        let mut word = [b' '; 8];
        for (place, byte) in word.iter_mut().zip(rest) {
            *place = *byte;
        }
        odd_bytes(u64::from_le_bytes(word))
    };
    odd | odd_rest == 0
}

/// Not 0 where one of eight bytes may need an escape: a quote, a backslash, one below a space, or one
/// with which a separator of lines begins.
const fn odd_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    let quotes = word ^ (ONES * b'"' as u64);
    let backslashes = word ^ (ONES * b'\\' as u64);
    // Taking away more than there is borrows, which sets the byte's high bit; those that have it
    // set anyway are parts of a longer character. A borrow reaches a neighbour only from a byte
    // that is odd itself.
    let borrowed = word.wrapping_sub(ONES * b' ' as u64)
        | quotes.wrapping_sub(ONES)
        | backslashes.wrapping_sub(ONES);
    let [first, second] = LEADS;
    let (first, second) = (word ^ (ONES * first as u64), word ^ (ONES * second as u64));
    let leads = first.wrapping_sub(ONES) & !first | second.wrapping_sub(ONES) & !second;
    (borrowed & !word | leads) & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::ArrayRef;
    use arrow::compute::concat_batches;
    use arrow::datatypes::{Field, Schema};
    use chrono::SecondsFormat;
    use proptest::prelude::*;

    use super::*;

    type Row = (Option<String>, Option<i64>, Option<i64>);

    fn page(rows: &[Row]) -> RecordBatch {
        let fields = [
            Field::new("a text", DataType::Utf8, true),
            Field::new("number", DataType::Int64, true),
            Field::new(
                "time",
                DataType::Timestamp(TimeUnit::Millisecond, None),
                true,
            ),
        ];
        let columns: [ArrayRef; 3] = [
            Arc::new(
                rows.iter()
                    .map(|row| row.0.as_deref())
                    .collect::<StringArray>(),
            ),
            Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
            Arc::new(
                rows.iter()
                    .map(|row| row.2)
                    .collect::<TimestampMillisecondArray>(),
            ),
        ];
        RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), columns.to_vec()).unwrap()
    }

    fn ours(page: &RecordBatch) -> Result<String, Fault> {
        let pattern = Pattern::of(page)?;
        let mut lines = Lines::with_capacity(0);
        (0..page.num_rows()).try_for_each(|row| lines.push(&pattern, row))?;
        Ok(String::from_utf8(lines.text).unwrap())
    }

    fn theirs(rows: &[Row]) -> String {
        let line = |(text, number, time): &Row| {
            let time = time.and_then(DateTime::from_timestamp_millis);
            let time = time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true));
            let (text, number) = (serde_json::to_string(text), serde_json::to_string(number));
            let text = text.map(|text| {
                text.replace('\u{85}', r"\u0085")
                    .replace('\u{2028}', r"\u2028")
                    .replace('\u{2029}', r"\u2029")
            });
            format!(
                "{{\"a text\":{},\"number\":{},\"time\":{}}}\n",
                text.unwrap(),
                number.unwrap(),
                serde_json::to_string(&time).unwrap()
            )
        };
        rows.iter().map(line).collect()
    }

    /// Written as a page, as one after a page, and each record alone.
    fn assert_same(rows: &[Row]) {
        let page = page(rows);
        let expected = theirs(rows);
        assert_eq!(ours(&page).ok(), Some(expected.clone()));
        let twice = concat_batches(&page.schema(), [&page, &page]).unwrap();
        let second = twice.slice(rows.len(), rows.len());
        assert_eq!(ours(&second).ok(), Some(expected.clone()));
        let alone = (0..rows.len()).map(|row| ours(&page.slice(row, 1)).ok().unwrap());
        assert_eq!(alone.collect::<String>(), expected);
    }

    fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<Row> {
        let texts = texts.into_iter();
        texts
            .map(|text| (Some(text.to_owned()), None, None))
            .collect()
    }

    #[test]
    fn texts_are_written_as_serde_json_writes_them() {
        assert_same(&texts([
            "",
            "a/b",
            "张伟",
            "\u{7f}",
            "\u{2028}",
            "é\u{80}\u{a0}",
        ]));
        assert_same(&texts([
            "\u{d7ff}",
            "\u{e000}",
            "\u{ffff}",
            "\u{10ffff}",
            "👩‍💻",
        ]));
        let odd = (0..0x20).chain([0x22, 0x5c, 0x7f]);
        for odd in odd.filter_map(char::from_u32) {
            for length in 0..20 {
                let mut text = "王".to_owned() + &"a".repeat(length);
                text.push(odd);
                let behind = text.clone() + &"b".repeat(19 - length);
                assert_same(&texts(["plain", &text, &behind]));
                assert_same(&texts([behind.as_str()]));
            }
        }
    }

    #[test]
    fn a_record_is_one_line_whatever_ends_a_line_to_a_reader() {
        let ends = "\n\r\u{b}\u{c}\u{1c}\u{1d}\u{1e}\u{85}\u{2028}\u{2029}";
        for length in 0..20 {
            let behind = "王".to_owned() + &"a".repeat(length);
            let rows = texts(ends.chars().map(|_| behind.as_str()));
            let mut rows: Vec<Row> = rows;
            for (row, end) in rows.iter_mut().zip(ends.chars()) {
                row.0 = Some(format!("{behind}{end}é"));
            }
            assert_same(&rows);
            let text = ours(&page(&rows)).ok().unwrap();
            assert_eq!(text.lines().count(), ends.chars().count());
            let raw = |c: char| c != '\n' && ends.contains(c);
            assert!(!text.contains(raw), "{text:?}");
            for (line, row) in text.lines().zip(&rows) {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!(line["a text"].as_str(), row.0.as_deref());
            }
        }
    }

    #[test]
    fn columns_that_are_the_same_throughout_are_written_on_every_line() {
        for text in [Some(""), Some("same"), Some("\"same\"\n"), None] {
            let row = (text.map(str::to_owned), Some(-1), None);
            assert_same(&vec![row; 3]);
        }
        assert_same(&texts(["abab", "abab", "baba"]));
        assert_same(&texts(["aa", "a", "aaa"]));
        assert_same(&[(Some(String::new()), None, None), (None, None, Some(0))]);
        assert_same(&[]);
    }

    #[test]
    fn numbers_are_written_to_both_ends_of_their_range() {
        let numbers = [0, 9, 10, -1, i64::MAX, i64::MIN];
        assert_same(&numbers.map(|number| (None, Some(number), None)));
    }

    #[test]
    fn times_are_written_as_chrono_writes_them() {
        let times = [
            0,
            1,
            86_399_999,
            86_400_000,
            951_782_400_000,
            1_574_119_917_872,
            4_107_542_400_000,
            253_402_300_799_999,
        ];
        assert_same(&times.map(|time| (None, None, Some(time))));
    }

    #[test]
    fn a_time_that_no_calendar_writes_is_refused() {
        for time in [-1, 253_402_300_800_000, i64::MIN, i64::MAX] {
            assert!(ours(&page(&[(None, None, Some(time))])).is_err(), "{time}");
        }
    }

    proptest! {
        #[test]
        fn any_records_are_written_as_serde_json_writes_them(
            rows in prop::collection::vec(
                (
                    prop::option::of("[a-z\"\\\\\n\u{1f}-\u{23}张é\u{85}\u{2027}-\u{2029}]{0,20}|\\PC{0,9}"),
                    any::<Option<i64>>(),
                    prop::option::of(0..=253_402_300_799_999_i64),
                ),
                0..6,
            )
        ) {
            assert_same(&rows);
        }
    }
}
