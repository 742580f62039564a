//! Parts back to rows: batches of a table's schema, whatever the format of the file.
//!
//! For what writes rows again. A column that the part is too old to have comes as null; what else
//! does not fit is an error, since a row that is not understood must not be written again. Order is
//! kept. Blocking.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, TimestampMillisecondType};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::json;
use flate2::bufread::MultiGzDecoder;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::compression::Compression;
use crate::config::Format;
use crate::error::{Error, Result};
use crate::record::Provenance;
use crate::table::Table;
use crate::writer::form_of;

/// Rows read at once.
const BATCH_ROWS: usize = 8_192;

type Fault = Box<dyn std::error::Error + Send + Sync>;

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

/// The rows of one part.
pub(crate) struct PartReader {
    path: String,
    table: Table,
    batches: Batches,
    /// Where its rows come from, where its format keeps it.
    provenance: Option<Provenance>,
}

impl PartReader {
    /// Reads a part of a table from its file; its path tells its format, and names it in errors.
    ///
    /// # Errors
    ///
    /// A file that is no part of rollbook's.
    pub(crate) fn new(file: File, path: &str, table: Table) -> Result<Self> {
        let (metadata, batches) =
            batches(file, path, table).map_err(|fault| unreadable(path, &*fault))?;
        Ok(Self {
            path: path.to_owned(),
            table,
            batches,
            provenance: Provenance::from_metadata(&metadata),
        })
    }

    /// Where its rows come from; nothing where its format does not keep it.
    pub(crate) fn provenance(&self) -> Option<&Provenance> {
        self.provenance.as_ref()
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

fn batches(
    file: File,
    path: &str,
    table: Table,
) -> Result<(HashMap<String, String>, Batches), Fault> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let form = name.split_once('.').and_then(|(_, found)| form_of(found));
    let lines: Box<dyn BufRead> = match form {
        Some((Format::Parquet, _)) => {
            let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
            let metadata = reader.schema().metadata().clone().into();
            let batches = reader.with_batch_size(BATCH_ROWS).build()?;
            return Ok((metadata, Box::new(batches)));
        }
        Some((Format::Arrow, _)) => {
            let reader = StreamReader::try_new_buffered(file, None)?;
            let metadata = reader.schema().metadata().clone().into();
            return Ok((metadata, Box::new(reader)));
        }
        Some((Format::Ndjson, Compression::Zstd(_))) => {
            Box::new(BufReader::new(zstd::Decoder::new(file)?))
        }
        Some((Format::Ndjson, Compression::Gzip)) => {
            Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file))))
        }
        Some((Format::Ndjson, _)) => Box::new(BufReader::new(file)),
        None => return Err("its name tells no known format".into()),
    };
    let reader = json::ReaderBuilder::new(Arc::new(parseable(&table.schema())))
        .with_batch_size(BATCH_ROWS)
        .build(lines)?;
    Ok((HashMap::new(), Box::new(reader)))
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
