//! Parquet, with the settings that suit this table.
//!
//! Each setting was measured against the defaults, on records of several shapes: the result is
//! smaller and encodes faster. The text columns have no statistics, since the least and the greatest
//! name of a part prune nothing and cost a third of the encoding; a meeting's UUID does prune.
//!
//! One setting follows the records: whether names get a dictionary. Where they repeat, it saves a
//! fifth of the part, and far more where they are long; where they do not, filling it until it
//! overflows costs as much as all the rest. The first records of a part tell, so that the same
//! records still make the same bytes.
//!
//! Spark before 3.3 and the vectorized reader of Hive refuse `DELTA_BINARY_PACKED`. Classic parts
//! hold the numbers and times as `PLAIN` instead; nothing else differs.

use std::collections::HashSet;
use std::io::Write;

use arrow::array::{AsArray, StringArray};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{self, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::record::table::Table;
use crate::record::{Column, batch_bytes, pieces};
use crate::values::{Compression, Format, ParquetEncodings};

use super::PartOptions;
use super::encoder::{BATCH_ROWS, Encoder, Fault};

/// Key of a part's metadata that names its encodings.
pub(crate) const ENCODINGS: &str = "rollbook.parquet_encodings";

/// Records of a row group: its pages stay in memory until it is full, as blocks that are cut to size
/// and leave gaps between them. Twice as many save 3 % of the bytes, and the peak of ten million
/// records is then a fifth above that of one million.
const GROUP_ROWS: usize = 500_000;

/// Bytes of a row group: what bounds the memory where texts are long. [`GROUP_ROWS`] of a usual size
/// are about half of it.
const GROUP_BYTES: usize = 12 << 20;

/// Names repeat less than labels: the usual limit of 1 MiB overflows near 55,000 of them, or near
/// 8,000 long Chinese ones. This one holds 70,000 of the longest.
const NAME_DICTIONARY_BYTES: usize = 10 << 20;

/// A dictionary is worth it for so many different names: each is then found five times in a full
/// row group.
const NAMES: usize = GROUP_ROWS / 5;

/// Names that are looked at to estimate how many there are.
const SAMPLE: usize = 8_192;

/// Texts that are stored as they are compress twice as fast in small pages, and hardly worse: level
/// 1 of Zstandard has quicker tables for up to so many bytes.
const NAME_PAGE_BYTES: usize = 256 << 10;
const EXTRA_PAGE_BYTES: usize = 128 << 10;

/// Bytes of a record, in the mean of a batch, that is long: the writer looks at the size of its pages
/// after each write, or after 1,024 records of one. So many bytes of long ones are written at once.
const LONG_RECORD: u64 = 4 << 10;
const LONG_WRITE: u64 = 1 << 20;

pub(super) struct ParquetEncoder<W: Write + Send> {
    table: Table,
    /// Until the first batch has come, which settings depend on.
    waiting: Option<(W, WriterPropertiesBuilder)>,
    writer: Option<ArrowWriter<W>>,
}

impl<W: Write + Send> ParquetEncoder<W> {
    pub(super) fn new(options: &PartOptions, table: Table, sink: W) -> Result<Self, Fault> {
        Ok(Self {
            table,
            waiting: Some((
                sink,
                properties(codec(options.compression)?, table, options),
            )),
            writer: None,
        })
    }

    /// The writer, begun if it is not, with settings that suit the first batch.
    fn writer(&mut self, first: Option<&RecordBatch>) -> Result<&mut ArrowWriter<W>, Fault> {
        if let Some((sink, mut properties)) = self.waiting.take() {
            let name = Column::DisplayName.name();
            let names = first.and_then(|batch| batch.column_by_name(name)?.as_string_opt());
            if names.is_some_and(|names| !is_repetitive(names)) {
                properties =
                    properties.set_column_dictionary_enabled(ColumnPath::from(name), false);
            }
            self.writer = Some(ArrowWriter::try_new(
                sink,
                self.table.schema(),
                Some(properties.build()),
            )?);
        }
        self.writer.as_mut().ok_or_else(lost)
    }
}

impl<W: Write + Send> Encoder<W> for ParquetEncoder<W> {
    fn batch_rows(&self) -> Option<usize> {
        Some(BATCH_ROWS)
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), Fault> {
        let writer = self.writer(Some(batch))?;
        if batch_bytes(batch) < LONG_RECORD * batch.num_rows() as u64 {
            return Ok(writer.write(batch)?);
        }
        let mut pieces = pieces(batch, LONG_WRITE);
        Ok(pieces.try_for_each(|piece| writer.write(&piece))?)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        Ok(self.writer.as_mut().map_or(Ok(()), ArrowWriter::flush)?)
    }

    fn buffered(&self) -> u64 {
        let writer = self.writer.as_ref();
        writer.map_or(0, |writer| writer.in_progress_size() as u64)
    }

    fn sink(&self) -> Option<&W> {
        self.writer.as_ref().map(ArrowWriter::inner)
    }

    fn finish(mut self: Box<Self>) -> Result<W, Fault> {
        self.writer(None)?;
        Ok(self.writer.ok_or_else(lost)?.into_inner()?)
    }
}

/// The sink is gone with the writer that could not be made.
fn lost() -> Fault {
    Fault::Encode("the file could not be begun".into())
}

/// A compression as Parquet calls it.
fn codec(compression: Compression) -> Result<basic::Compression, Fault> {
    Ok(match compression {
        Compression::None => basic::Compression::UNCOMPRESSED,
        Compression::Snappy => basic::Compression::SNAPPY,
        // Not LZ4, whose frames readers do not agree on.
        Compression::Lz4 => basic::Compression::LZ4_RAW,
        Compression::Zstd(level) => {
            basic::Compression::ZSTD(ZstdLevel::try_new(level.get().into())?)
        }
        Compression::Gzip => return Err(Fault::unsuited(compression, Format::Parquet)),
    })
}

/// Whether there are few enough different names for a dictionary.
///
/// Of `n` names drawn from `k` different ones, about `n * n / 2k` were there before.
fn is_repetitive(names: &StringArray) -> bool {
    let mut different = HashSet::with_capacity(SAMPLE);
    let mut drawn = 0;
    for name in names.iter().take(SAMPLE).flatten() {
        different.insert(name);
        drawn += 1;
    }
    (drawn - different.len()) * 2 * NAMES >= drawn * drawn
}

fn properties(
    codec: basic::Compression,
    table: Table,
    options: &PartOptions,
) -> WriterPropertiesBuilder {
    let encodings = options.parquet_encodings;
    let metadata = table
        .metadata(&options.provenance)
        .into_iter()
        .chain([(ENCODINGS, encodings.to_string())])
        .map(|(key, value)| KeyValue::new(key.to_owned(), value))
        .collect();
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("rollbook version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(metadata))
        .set_compression(codec)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_max_row_group_bytes(Some(GROUP_BYTES));
    if table == Table::Meetings {
        // A part has few of them: nothing there is worth a setting of its own.
        return properties.set_statistics_enabled(EnabledStatistics::Chunk);
    }
    for column in Column::ALL {
        let path = ColumnPath::from(column.name());
        properties = match column {
            Column::ConfUuid => {
                properties.set_column_statistics_enabled(path, EnabledStatistics::Chunk)
            }
            Column::RecordIndex | Column::JoinTime | Column::LeftTime | Column::DurationMs => {
                let encoding = match encodings {
                    ParquetEncodings::Modern => Encoding::DELTA_BINARY_PACKED,
                    ParquetEncodings::Classic => Encoding::PLAIN,
                };
                properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path.clone(), encoding)
                    .set_column_statistics_enabled(path, EnabledStatistics::Page)
            }
            Column::DisplayName => properties
                .set_column_dictionary_page_size_limit(path.clone(), NAME_DICTIONARY_BYTES)
                .set_column_data_page_size_limit(path.clone(), NAME_PAGE_BYTES)
                .set_column_statistics_enabled(path, EnabledStatistics::None),
            Column::CallNumber => properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_statistics_enabled(path, EnabledStatistics::None),
            Column::Extra => properties
                .set_column_data_page_size_limit(path.clone(), EXTRA_PAGE_BYTES)
                .set_column_statistics_enabled(path, EnabledStatistics::None),
            Column::DeviceType | Column::MediaType | Column::DeptName | Column::Anomaly => {
                properties.set_column_statistics_enabled(path, EnabledStatistics::None)
            }
        };
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(rows: usize, different: usize) -> StringArray {
        // As if drawn: no two neighbours are alike, and none comes round in order.
        let draw = |row: usize| row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let names = (0..rows).map(|row| format!("name {}", draw(row) % different));
        names.map(Some).collect()
    }

    #[test]
    fn names_get_a_dictionary_where_they_repeat() {
        for different in [1, 100, 70_000] {
            assert!(is_repetitive(&names(32_768, different)), "{different}");
        }
        for different in [1_000_000, usize::MAX] {
            assert!(!is_repetitive(&names(32_768, different)), "{different}");
        }
    }

    #[test]
    fn few_names_get_a_dictionary_if_one_comes_twice() {
        let twice: StringArray = [Some("a"), None, Some("b"), Some("a")]
            .into_iter()
            .collect();
        assert!(is_repetitive(&twice));
        assert!(!is_repetitive(&twice.slice(0, 3)));
        assert!(is_repetitive(&StringArray::new_null(5)));
    }
}
