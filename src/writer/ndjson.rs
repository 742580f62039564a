//! NDJSON: one object a line, every column on each line in order, nulls told.
//!
//! Written straight from the columns, since a tree of values would cost three times as much.
//! Texts that need escapes go through `serde_json`; nearly none do. Times are RFC 3339 in UTC
//! with milliseconds.

use std::io::Write;

use arrow::array::{
    Array, AsArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMillisecondType};
use chrono::{DateTime, Datelike};
use flate2::write::GzEncoder;

use crate::compression::Compression;
use crate::config::Format;
use crate::record::{Column, is_in_range};
use crate::table::Table;

use super::encoder::{Encoder, Fault};

/// Bytes collected before they are compressed, hashed and written.
const CHUNK: usize = 256 << 10;

const DAY_MS: i64 = 86_400_000;

pub(super) struct NdjsonEncoder<W: Write> {
    sink: Compressed<W>,
    table: Table,
    lines: Lines,
}

impl<W: Write> NdjsonEncoder<W> {
    pub(super) fn new(compression: Compression, table: Table, sink: W) -> Result<Self, Fault> {
        let sink = match compression {
            Compression::None => Compressed::Not(sink),
            Compression::Zstd(level) => {
                Compressed::Zstd(zstd::Encoder::new(sink, level.get().into())?)
            }
            Compression::Gzip => {
                Compressed::Gzip(GzEncoder::new(sink, flate2::Compression::fast()))
            }
            Compression::Snappy | Compression::Lz4 => {
                return Err(Fault::unsuited(compression, Format::Ndjson));
            }
        };
        Ok(Self {
            sink,
            table,
            lines: Lines::new(),
        })
    }

    fn push_out(&mut self) -> Result<(), Fault> {
        self.sink.as_write().write_all(&self.lines.text)?;
        self.lines.text.clear();
        Ok(())
    }
}

impl<W: Write + Send> Encoder<W> for NdjsonEncoder<W> {
    fn batch_rows(&self) -> Option<usize> {
        None
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), Fault> {
        if self.table == Table::Meetings {
            for row in 0..batch.num_rows() {
                self.lines.push_any(batch, row)?;
                if self.lines.text.len() >= CHUNK {
                    self.push_out()?;
                }
            }
            return Ok(());
        }
        let columns = Columns::of(batch)?;
        for row in 0..batch.num_rows() {
            self.lines.push(&columns, row)?;
            // Only here, never at the end of a batch: a compressor may show where it was fed.
            if self.lines.text.len() >= CHUNK {
                self.push_out()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.push_out()?;
        Ok(self.sink.as_write().flush()?)
    }

    fn buffered(&self) -> u64 {
        self.lines.text.len() as u64
    }

    fn sink(&self) -> &W {
        match &self.sink {
            Compressed::Not(sink) => sink,
            Compressed::Zstd(encoder) => encoder.get_ref(),
            Compressed::Gzip(encoder) => encoder.get_ref(),
        }
    }

    fn finish(mut self: Box<Self>) -> Result<W, Fault> {
        self.push_out()?;
        Ok(match self.sink {
            Compressed::Not(sink) => sink,
            Compressed::Zstd(encoder) => encoder.finish()?,
            Compressed::Gzip(encoder) => encoder.finish()?,
        })
    }
}

enum Compressed<W: Write> {
    Not(W),
    Zstd(zstd::Encoder<'static, W>),
    Gzip(GzEncoder<W>),
}

impl<W: Write> Compressed<W> {
    fn as_write(&mut self) -> &mut dyn Write {
        match self {
            Self::Not(sink) => sink,
            Self::Zstd(encoder) => encoder,
            Self::Gzip(encoder) => encoder,
        }
    }
}

/// The columns of a batch by type.
struct Columns<'a> {
    conf_uuid: &'a StringArray,
    record_index: &'a Int64Array,
    display_name: &'a StringArray,
    call_number: &'a StringArray,
    device_type: &'a StringArray,
    media_type: &'a StringArray,
    dept_name: &'a StringArray,
    join_time: &'a TimestampMillisecondArray,
    left_time: &'a TimestampMillisecondArray,
    duration_ms: &'a Int64Array,
    anomaly: &'a StringArray,
    extra: &'a StringArray,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, Fault> {
        let text = |column: Column| {
            let array = batch.columns().get(column.index());
            array
                .and_then(|array| array.as_string_opt())
                .ok_or_else(|| wrong(column))
        };
        let number = |column: Column| {
            let array = batch.columns().get(column.index());
            array
                .and_then(|array| array.as_primitive_opt::<Int64Type>())
                .ok_or_else(|| wrong(column))
        };
        let time = |column: Column| {
            let array = batch.columns().get(column.index());
            array
                .and_then(|array| array.as_primitive_opt::<TimestampMillisecondType>())
                .ok_or_else(|| wrong(column))
        };
        Ok(Self {
            conf_uuid: text(Column::ConfUuid)?,
            record_index: number(Column::RecordIndex)?,
            display_name: text(Column::DisplayName)?,
            call_number: text(Column::CallNumber)?,
            device_type: text(Column::DeviceType)?,
            media_type: text(Column::MediaType)?,
            dept_name: text(Column::DeptName)?,
            join_time: time(Column::JoinTime)?,
            left_time: time(Column::LeftTime)?,
            duration_ms: number(Column::DurationMs)?,
            anomaly: text(Column::Anomaly)?,
            extra: text(Column::Extra)?,
        })
    }
}

fn wrong(column: Column) -> Fault {
    Fault::Encode(format!("column {} is not of the record schema", column.name()).into())
}

/// Lines on their way to the sink.
struct Lines {
    text: Vec<u8>,
    /// The day that was written last and its date: neighbouring records share it.
    day: i64,
    date: [u8; 10],
}

impl Lines {
    fn new() -> Self {
        Self {
            text: Vec::with_capacity(CHUNK + (CHUNK >> 2)),
            day: 0,
            date: *b"1970-01-01",
        }
    }

    fn push(&mut self, columns: &Columns<'_>, row: usize) -> Result<(), Fault> {
        self.raw(b"{\"conf_uuid\":");
        self.text(columns.conf_uuid, row)?;
        self.raw(b",\"record_index\":");
        self.number(columns.record_index, row);
        self.raw(b",\"display_name\":");
        self.text(columns.display_name, row)?;
        self.raw(b",\"call_number\":");
        self.text(columns.call_number, row)?;
        self.raw(b",\"device_type\":");
        self.text(columns.device_type, row)?;
        self.raw(b",\"media_type\":");
        self.text(columns.media_type, row)?;
        self.raw(b",\"dept_name\":");
        self.text(columns.dept_name, row)?;
        self.raw(b",\"join_time\":");
        self.time(columns.join_time, row)?;
        self.raw(b",\"left_time\":");
        self.time(columns.left_time, row)?;
        self.raw(b",\"duration_ms\":");
        self.number(columns.duration_ms, row);
        self.raw(b",\"anomaly\":");
        self.text(columns.anomaly, row)?;
        self.raw(b",\"extra\":");
        self.text(columns.extra, row)?;
        self.raw(b"}\n");
        Ok(())
    }

    /// A row of any schema: slower, and of no account where rows are few.
    fn push_any(&mut self, batch: &RecordBatch, row: usize) -> Result<(), Fault> {
        let schema = batch.schema_ref();
        for (position, (field, column)) in schema.fields().iter().zip(batch.columns()).enumerate() {
            self.raw(if position == 0 { b"{\"" } else { b",\"" });
            self.raw(field.name().as_bytes());
            self.raw(b"\":");
            match field.data_type() {
                DataType::Utf8 => self.text(column.as_string(), row)?,
                DataType::Int64 => self.number(column.as_primitive(), row),
                DataType::Timestamp(TimeUnit::Millisecond, _) => {
                    self.time(column.as_primitive(), row)?;
                }
                DataType::Boolean if column.is_null(row) => self.raw(b"null"),
                DataType::Boolean if column.as_boolean().value(row) => self.raw(b"true"),
                DataType::Boolean => self.raw(b"false"),
                other => {
                    let reason = format!("column {} is of type {other}", field.name());
                    return Err(Fault::Encode(reason.into()));
                }
            }
        }
        self.raw(b"}\n");
        Ok(())
    }

    fn raw(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
    }

    fn text(&mut self, column: &StringArray, row: usize) -> Result<(), Fault> {
        if column.is_null(row) {
            self.raw(b"null");
            return Ok(());
        }
        let value = column.value(row);
        if is_plain(value.as_bytes()) {
            self.text.push(b'"');
            self.raw(value.as_bytes());
            self.text.push(b'"');
            return Ok(());
        }
        serde_json::to_writer(&mut self.text, value).map_err(|error| Fault::Encode(error.into()))
    }

    fn number(&mut self, column: &Int64Array, row: usize) {
        if column.is_null(row) {
            return self.raw(b"null");
        }
        let value = column.value(row);
        let mut digits = [0; 20];
        let mut start = digits.len();
        let mut rest = value.unsigned_abs();
        loop {
            start -= 1;
            digits[start] = digit(rest % 10);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            self.text.push(b'-');
        }
        self.raw(&digits[start..]);
    }

    fn time(&mut self, column: &TimestampMillisecondArray, row: usize) -> Result<(), Fault> {
        if column.is_null(row) {
            self.raw(b"null");
            return Ok(());
        }
        let ms = column.value(row);
        if !is_in_range(ms) {
            return Err(Fault::Encode(format!("{ms} ms is no writable time").into()));
        }
        let day = ms / DAY_MS;
        if day != self.day {
            self.date = date(ms)?;
            self.day = day;
        }
        let ms = (ms % DAY_MS).unsigned_abs();
        let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
        let (seconds, millis) = (ms / 1_000 % 60, ms % 1_000);
        let mut quoted = *b"\"0000-00-00T00:00:00.000Z\"";
        quoted[1..11].copy_from_slice(&self.date);
        for (position, value) in [(12, hours), (15, minutes), (18, seconds)] {
            quoted[position] = digit(value / 10);
            quoted[position + 1] = digit(value % 10);
        }
        quoted[21] = digit(millis / 100);
        quoted[22] = digit(millis / 10 % 10);
        quoted[23] = digit(millis % 10);
        self.raw(&quoted);
        Ok(())
    }
}

/// The date of a time in range.
fn date(ms: i64) -> Result<[u8; 10], Fault> {
    let time = DateTime::from_timestamp_millis(ms)
        .ok_or_else(|| Fault::Encode(format!("{ms} ms is no writable time").into()))?;
    let mut date = *b"0000-00-00";
    let year = u64::from(time.year().unsigned_abs());
    for (position, scale) in [1_000, 100, 10, 1].into_iter().enumerate() {
        date[position] = digit(year / scale % 10);
    }
    for (position, value) in [(5, time.month()), (8, time.day())] {
        date[position] = digit(u64::from(value / 10));
        date[position + 1] = digit(u64::from(value % 10));
    }
    Ok(date)
}

/// The last decimal digit of a value.
fn digit(value: u64) -> u8 {
    b'0' + (value % 10) as u8
}

/// Whether a text stands in JSON as it is.
fn is_plain(text: &[u8]) -> bool {
    // Without an early exit the compiler looks at many bytes at once.
    let odd = text.iter().fold(0, |odd, &byte| {
        odd | u8::from(byte < 0x20 || byte == b'"' || byte == b'\\')
    });
    odd == 0
}

#[cfg(test)]
mod tests {
    use chrono::SecondsFormat;

    use super::*;

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
        let column = TimestampMillisecondArray::from(times.to_vec());
        for (row, ms) in times.into_iter().enumerate() {
            let mut lines = Lines::new();
            assert!(lines.time(&column, row).is_ok());
            let time = DateTime::from_timestamp_millis(ms).unwrap();
            let expected = time.to_rfc3339_opts(SecondsFormat::Millis, true);
            assert_eq!(lines.text, format!("\"{expected}\"").into_bytes());
        }
    }

    #[test]
    fn numbers_are_written_to_both_ends_of_their_range() {
        let numbers = [0, 9, 10, -1, i64::MAX, i64::MIN];
        let column = Int64Array::from(numbers.to_vec());
        for (row, number) in numbers.into_iter().enumerate() {
            let mut lines = Lines::new();
            lines.number(&column, row);
            assert_eq!(lines.text, number.to_string().into_bytes());
        }
    }

    #[test]
    fn only_quotes_backslashes_and_controls_need_escapes() {
        for text in ["", "a/b", "张伟", "\u{7f}", "\u{2028}"] {
            assert!(is_plain(text.as_bytes()), "{text:?}");
        }
        for text in ["\"", "a\\", "\n", "\0"] {
            assert!(!is_plain(text.as_bytes()), "{text:?}");
        }
    }
}
