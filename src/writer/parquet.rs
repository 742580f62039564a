//! Parquet, with the settings that suit this table.
//!
//! Each setting was measured against the defaults: the result is smaller and encodes faster. The
//! text columns have no statistics, since the least and the greatest name of a part prune nothing
//! and cost a third of the encoding; a meeting's UUID does prune.

use std::io::Write;

use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{self, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::compression::Compression;
use crate::config::Format;
use crate::record::{Column, Provenance};
use crate::table::Table;

use super::encoder::{BATCH_ROWS, Encoder, Fault};

/// Records of a row group: small enough that one group stays in memory, large enough that each
/// repeated text is stored once.
const GROUP_ROWS: usize = 1_000_000;

/// Bytes of a row group: what bounds the memory where texts are long.
const GROUP_BYTES: usize = 64 << 20;

/// Names repeat less than labels; the usual limit of 1 MiB overflows near 55,000 of them.
const NAME_DICTIONARY_BYTES: usize = 4 << 20;

pub(super) struct ParquetEncoder<W: Write> {
    writer: ArrowWriter<W>,
}

impl<W: Write + Send> ParquetEncoder<W> {
    pub(super) fn new(
        compression: Compression,
        table: Table,
        provenance: &Provenance,
        sink: W,
    ) -> Result<Self, Fault> {
        let properties = properties(codec(compression)?, table, provenance);
        let writer = ArrowWriter::try_new(sink, table.schema(), Some(properties))?;
        Ok(Self { writer })
    }
}

impl<W: Write + Send> Encoder<W> for ParquetEncoder<W> {
    fn batch_rows(&self) -> Option<usize> {
        Some(BATCH_ROWS)
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), Fault> {
        Ok(self.writer.write(batch)?)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        Ok(self.writer.flush()?)
    }

    fn buffered(&self) -> u64 {
        self.writer.in_progress_size() as u64
    }

    fn sink(&self) -> &W {
        self.writer.inner()
    }

    fn finish(self: Box<Self>) -> Result<W, Fault> {
        Ok(self.writer.into_inner()?)
    }
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

fn properties(
    codec: basic::Compression,
    table: Table,
    provenance: &Provenance,
) -> WriterProperties {
    let metadata = table
        .metadata(provenance)
        .into_iter()
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
        return properties
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .build();
    }
    for column in Column::ALL {
        let path = ColumnPath::from(column.name());
        properties = match column {
            Column::ConfUuid => {
                properties.set_column_statistics_enabled(path, EnabledStatistics::Chunk)
            }
            Column::RecordIndex | Column::JoinTime | Column::LeftTime | Column::DurationMs => {
                properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED)
                    .set_column_statistics_enabled(path, EnabledStatistics::Page)
            }
            Column::DisplayName => properties
                .set_column_dictionary_page_size_limit(path.clone(), NAME_DICTIONARY_BYTES)
                .set_column_statistics_enabled(path, EnabledStatistics::None),
            Column::CallNumber => properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_statistics_enabled(path, EnabledStatistics::None),
            Column::DeviceType
            | Column::MediaType
            | Column::DeptName
            | Column::Anomaly
            | Column::Extra => {
                properties.set_column_statistics_enabled(path, EnabledStatistics::None)
            }
        };
    }
    properties.build()
}
