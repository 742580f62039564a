//! Parts back to rows: batches of a table's schema, whatever the format of the file.
//!
//! For what writes rows again. A column that the part is too old to have comes as null; what else
//! does not fit is an error, since a row that is not understood must not be written again. Order is
//! kept. Blocking.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, TimestampMillisecondType};
use arrow::error::ArrowError;
use arrow::ipc;
use arrow::ipc::reader::{FileReader, read_footer_length};
use arrow::json;
use flate2::bufread::MultiGzDecoder;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic;
use parquet::file::metadata::RowGroupMetaData;

use super::writer::{PARQUET_ENCODINGS, form_of};
use crate::error::{Error, Result};
use crate::record::Provenance;
use crate::record::table::Table;
use crate::values::{Compression, Format, ParquetEncodings};

/// Rows read at once, and about how many bytes.
const BATCH_ROWS: usize = 8_192;
const BATCH_BYTES: i64 = 8 << 20;

/// Bytes of the head of a batch in an Arrow file: it tells where buffers lie.
const LONGEST_HEAD: usize = 1 << 20;

type Fault = Box<dyn std::error::Error + Send + Sync>;

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

/// The rows of one part.
pub(crate) struct PartReader {
    path: String,
    table: Table,
    batches: Batches,
    origin: Origin,
}

/// What a part tells of itself.
struct Origin {
    provenance: Option<Provenance>,
    compression: Option<Compression>,
    parquet_encodings: Option<ParquetEncodings>,
}

impl PartReader {
    /// Reads a part of a table from its file; its path tells its format, and names it in errors.
    ///
    /// # Errors
    ///
    /// A file that is no part of rollbook's.
    pub(crate) fn new(file: File, path: &str, table: Table) -> Result<Self> {
        let (origin, batches) =
            open(file, path, table).map_err(|fault| unreadable(path, &*fault))?;
        Ok(Self {
            path: path.to_owned(),
            table,
            batches,
            origin,
        })
    }

    /// Where its rows come from; nothing where its format does not keep it.
    pub(crate) fn provenance(&self) -> Option<&Provenance> {
        self.origin.provenance.as_ref()
    }

    /// How it is compressed, at the fastest level where that has levels; nothing where it has no
    /// row to tell.
    pub(crate) fn compression(&self) -> Option<Compression> {
        self.origin.compression
    }

    /// Returns how its columns are encoded, where it is Parquet.
    pub(crate) fn parquet_encodings(&self) -> Option<ParquetEncodings> {
        self.origin.parquet_encodings
    }
}

impl Iterator for PartReader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.next()?.map_err(Fault::from);
        let batch = batch.and_then(|batch| conform(&batch, self.table));
        Some(batch.map_err(|fault| unreadable(&self.path, &*fault)))
    }
}

fn unreadable(path: &str, fault: &(dyn std::error::Error + Send + Sync)) -> Error {
    Error::Dataset {
        path: path.to_owned(),
        reason: format!("cannot be read: {fault}"),
    }
}

fn open(mut file: File, path: &str, table: Table) -> Result<(Origin, Batches), Fault> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let form = name.split_once('.').and_then(|(_, found)| form_of(found));
    let (format, by_name) = form.ok_or("its name tells no known format")?;
    match format {
        Format::Parquet => {
            let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
            let groups = reader.metadata().row_groups();
            let column = groups.first().and_then(|group| group.columns().first());
            let metadata = reader.schema().metadata().clone().into();
            let origin = Origin {
                provenance: Provenance::from_metadata(&metadata),
                parquet_encodings: encodings(&metadata),
                compression: column.and_then(|column| parquet_way(column.compression())),
            };
            let bytes: i64 = groups.iter().map(RowGroupMetaData::total_byte_size).sum();
            let rows: i64 = groups.iter().map(RowGroupMetaData::num_rows).sum();
            let batches = reader.with_batch_size(batch_rows(bytes, rows)).build()?;
            Ok((origin, Box::new(batches)))
        }
        Format::Arrow => {
            let compression = arrow_way(&mut file)?;
            file.rewind()?;
            let reader = FileReader::try_new_buffered(file, None)?;
            let origin = Origin {
                provenance: Provenance::from_metadata(&reader.schema().metadata().clone().into()),
                compression,
                parquet_encodings: None,
            };
            Ok((origin, Box::new(reader)))
        }
        Format::Ndjson => {
            let lines: Box<dyn BufRead> = match by_name {
                Compression::Zstd(_) => Box::new(BufReader::new(zstd::Decoder::new(file)?)),
                Compression::Gzip => {
                    Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file))))
                }
                _ => Box::new(BufReader::new(file)),
            };
            let origin = Origin {
                provenance: None,
                compression: Some(by_name),
                parquet_encodings: None,
            };
            let rows = json::ReaderBuilder::new(Arc::new(parseable(&table.schema())))
                .with_batch_size(BATCH_ROWS)
                .build_decoder()?;
            Ok((origin, Box::new(Lines { lines, rows })))
        }
    }
}

/// Rows of so many bytes in all that are read at once.
fn batch_rows(bytes: i64, rows: i64) -> usize {
    let bytes_of_one = (bytes / rows.max(1)).max(1);
    let fitting = usize::try_from(BATCH_BYTES / bytes_of_one).unwrap_or(1);
    fitting.clamp(1, BATCH_ROWS)
}

fn encodings(metadata: &HashMap<String, String>) -> Option<ParquetEncodings> {
    metadata.get(PARQUET_ENCODINGS)?.parse().ok()
}

fn parquet_way(found: basic::Compression) -> Option<Compression> {
    match found {
        basic::Compression::UNCOMPRESSED => Some(Compression::None),
        basic::Compression::SNAPPY => Some(Compression::Snappy),
        basic::Compression::LZ4_RAW => Some(Compression::Lz4),
        basic::Compression::ZSTD(_) => Some(Compression::ZSTD),
        _ => None,
    }
}

/// Returns how the first batch of an Arrow file is compressed. The reader of files keeps it to
/// itself, so the footer is asked for the batch, and the head of the batch for its compression.
fn arrow_way(file: &mut File) -> Result<Option<Compression>, Fault> {
    let mut end = [0; 10];
    let before = file.seek(SeekFrom::End(-10))?;
    file.read_exact(&mut end)?;
    let length = read_footer_length(end)?;
    let start = before.checked_sub(length as u64);
    file.seek(SeekFrom::Start(start.ok_or("its footer is cut off")?))?;
    let footer = read_bytes(file, length)?;
    let footer = ipc::root_as_footer(&footer).map_err(|fault| fault.to_string())?;
    let mut blocks = footer.recordBatches().into_iter().flatten();
    let Some(block) = blocks.next() else {
        return Ok(None);
    };
    // A mark and a length come before the head.
    file.seek(SeekFrom::Start(
        u64::try_from(block.offset())?.saturating_add(8),
    ))?;
    let head = u64::try_from(block.metaDataLength())?.saturating_sub(8);
    let head = read_bytes(file, usize::try_from(head)?.min(LONGEST_HEAD))?;
    let message = ipc::root_as_message(&head).map_err(|fault| fault.to_string())?;
    let batch = message.header_as_record_batch().ok_or("it has no batch")?;
    Ok(match batch.compression().map(|found| found.codec()) {
        None => Some(Compression::None),
        Some(ipc::CompressionType::LZ4_FRAME) => Some(Compression::Lz4),
        Some(ipc::CompressionType::ZSTD) => Some(Compression::ZSTD),
        Some(_) => None,
    })
}

/// The next bytes of a file, of which a length that is damaged allocates no more than there are.
fn read_bytes(file: &mut File, length: usize) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    file.take(length as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// NDJSON to batches, of which none holds many more bytes than it may.
struct Lines {
    lines: Box<dyn BufRead>,
    rows: json::reader::Decoder,
}

impl Lines {
    fn batch(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        let mut taken = 0;
        loop {
            let bytes = self.lines.fill_buf()?;
            // A batch ends with a line: there is no half of a record.
            let is_full = taken >= BATCH_BYTES;
            let end = is_full.then(|| bytes.iter().position(|&byte| byte == b'\n'));
            let end = end.flatten();
            let wanted = end.map_or(bytes, |end| &bytes[..=end]);
            let decoded = self.rows.decode(wanted)?;
            let is_end = bytes.is_empty() || end.is_some() || decoded < wanted.len();
            self.lines.consume(decoded);
            taken += i64::try_from(decoded).unwrap_or(i64::MAX);
            if is_end {
                break;
            }
        }
        self.rows.flush()
    }
}

impl Iterator for Lines {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose()
    }
}

/// The schema with the zone as an offset: times are parsed in zones by name only with a table of
/// all of them.
fn parseable(schema: &Schema) -> Schema {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            let kind = DataType::Timestamp(*unit, Some("+00:00".into()));
            Field::new(field.name(), kind, field.is_nullable())
        }
        _ => field.as_ref().clone(),
    });
    Schema::new(fields.collect::<Vec<_>>())
}

/// The batch with the table's columns.
fn conform(batch: &RecordBatch, table: Table) -> Result<RecordBatch, Fault> {
    let schema = table.schema();
    let known = |field: &&Arc<Field>| schema.column_with_name(field.name()).is_none();
    if let Some(unknown) = batch.schema().fields().iter().find(known) {
        return Err(format!("its column {} is not known", unknown.name()).into());
    }
    let column = |field: &Arc<Field>| -> Result<ArrayRef, Fault> {
        let Some(column) = batch.column_by_name(field.name()) else {
            return Ok(new_null_array(field.data_type(), batch.num_rows()));
        };
        match (column.data_type(), field.data_type()) {
            (found, expected) if found == expected => Ok(Arc::clone(column)),
            (DataType::Timestamp(found, Some(_)), DataType::Timestamp(unit, Some(zone)))
                if found == unit =>
            {
                let times = column.as_primitive_opt::<TimestampMillisecondType>();
                let times = times.ok_or("times that are not in milliseconds")?.clone();
                Ok(Arc::new(times.with_timezone(Arc::clone(zone))))
            }
            (found, _) => Err(format!("its column {} is {found}", field.name()).into()),
        }
    };
    let columns = schema.fields().iter().map(column);
    Ok(RecordBatch::try_new(
        Arc::clone(&schema),
        columns.collect::<Result<_, _>>()?,
    )?)
}

#[cfg(test)]
mod tests {
    use arrow::compute::concat_batches;

    use super::*;
    use crate::dataset::writer::BatchWriter;
    use crate::dataset::writer::tests::{long_page, options};
    use crate::record::batch_bytes;

    #[test]
    fn long_rows_are_read_a_few_at_a_time() {
        let rows = long_page("m1", 0, 1_000, 25_000);
        for (format, compression) in [
            (Format::Parquet, Compression::ZSTD),
            (Format::Arrow, Compression::Lz4),
            (Format::Ndjson, Compression::None),
            (Format::Ndjson, Compression::Gzip),
        ] {
            let home = tempfile::tempdir().unwrap();
            let options = options(format, compression);
            let mut writer = BatchWriter::new(options, home.path().to_owned());
            writer.whole(std::slice::from_ref(&rows)).unwrap();
            let part = writer.finish().unwrap().remove(0);
            let file = File::open(&part.path).unwrap();
            let path = part.path.to_string_lossy();
            let reader = PartReader::new(file, &path, Table::Records).unwrap();
            let batches: Vec<_> = reader.map(Result::unwrap).collect();
            let largest = batches.iter().map(batch_bytes).max();
            assert!(largest < Some(9 << 20), "{format} {largest:?}");
            assert_eq!(concat_batches(&rows.schema(), &batches).unwrap(), rows);
        }
    }

    #[test]
    fn as_many_rows_are_read_at_once_as_their_bytes_allow() {
        for (bytes, rows, at_once) in [
            (0, 0, 8_192),
            (1_000_000, 10_000, 8_192),
            (8 << 20, 4, 4),
            (i64::MAX, 1, 1),
        ] {
            assert_eq!(batch_rows(bytes, rows), at_once, "{bytes} {rows}");
        }
    }
}
