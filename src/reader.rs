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

use crate::compression::Compression;
use crate::config::{Format, ParquetEncodings};
use crate::error::{Error, Result};
use crate::record::Provenance;
use crate::table::Table;
use crate::writer::{PARQUET_ENCODINGS, form_of};

/// Rows read at once.
const BATCH_ROWS: usize = 8_192;

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
            let batches = reader.with_batch_size(BATCH_ROWS).build()?;
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
            let reader = json::ReaderBuilder::new(Arc::new(parseable(&table.schema())))
                .with_batch_size(BATCH_ROWS)
                .build(lines)?;
            Ok((origin, Box::new(reader)))
        }
    }
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
