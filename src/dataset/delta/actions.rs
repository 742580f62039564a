//! The table's schema, and parts as the kernel takes them: rows of files that enter or leave.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType as ArrowType, Int64Type, Schema as ArrowSchema};
use arrow::json::ReaderBuilder;
use delta_kernel::engine::arrow_conversion::TryIntoArrow;
use delta_kernel::engine::arrow_data::{ArrowEngineData, EngineDataArrowExt};
use delta_kernel::scan::scan_row_schema;
use delta_kernel::schema::{DataType, SchemaRef, StructField, StructType};
use delta_kernel::{Engine, FilteredEngineData, KernelError, KernelResult, SnapshotRef};
use serde_json::{Value, json};

use crate::record::partition::DateOf;
use crate::record::table::{Table, TableColumn};

use super::diff::Live;
use super::partition_column;

/// A file that enters the table.
#[derive(Clone, Debug)]
pub(super) struct Added {
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) rows: u64,
    /// When it was committed, in milliseconds since 1970.
    pub(super) committed_ms: i64,
    pub(super) statistics: Value,
}

/// A file that leaves the table.
#[derive(Clone, Debug)]
pub(super) struct Removed {
    pub(super) path: String,
    pub(super) bytes: u64,
}

/// The schema of the records, each column with its meaning; that of their partitions is the last.
pub(super) fn schema(partitions: Option<DateOf>) -> KernelResult<SchemaRef> {
    let fields = Table::Records.columns().into_iter().map(|column| {
        let kind = kind(&column)?;
        let field = StructField::new(column.name, kind, column.is_nullable);
        Ok(field.with_metadata([("comment", column.meaning)]))
    });
    let mut fields = fields.collect::<KernelResult<Vec<_>>>()?;
    fields.extend(partitions.map(partition_column::field));
    Ok(Arc::new(StructType::try_new(fields)?))
}

fn kind(column: &TableColumn) -> KernelResult<DataType> {
    match &column.data_type {
        ArrowType::Utf8 => Ok(DataType::STRING),
        ArrowType::Int64 => Ok(DataType::LONG),
        ArrowType::Date32 => Ok(DataType::DATE),
        ArrowType::Boolean => Ok(DataType::BOOLEAN),
        ArrowType::Timestamp(_, Some(_)) => Ok(DataType::TIMESTAMP),
        other => Err(KernelError::generic(format!(
            "column {}: no Delta type for {other}",
            column.name
        ))),
    }
}

/// Files that enter, with statistics as this table keeps them.
pub(super) fn added(
    base: &SchemaRef,
    statistics: &StructType,
    files: &[Added],
) -> KernelResult<Box<ArrowEngineData>> {
    let fields = base.fields().map(|field| match field.name().as_str() {
        "stats" => StructField::nullable("stats", DataType::from(statistics.clone())),
        _ => field.clone(),
    });
    let rows: Vec<_> = files
        .iter()
        .map(|file| {
            json!({
                "path": file.path,
                "partitionValues": partition_column::values(&file.path),
                "size": file.bytes,
                "modificationTime": file.committed_ms,
                "stats": file.statistics,
            })
        })
        .collect();
    let batch = batch(&StructType::try_new(fields)?, &rows)?;
    Ok(Box::new(ArrowEngineData::new(batch)))
}

/// Files that leave. The kernel does not look whether they are there.
pub(super) fn removed(files: &[Removed]) -> KernelResult<FilteredEngineData> {
    let rows: Vec<_> = files
        .iter()
        .map(|file| {
            json!({
                "path": file.path,
                "size": file.bytes,
                "fileConstantValues": {"partitionValues": partition_column::values(&file.path)},
            })
        })
        .collect();
    let batch = batch(scan_row_schema().as_ref(), &rows)?;
    let data = Box::new(ArrowEngineData::new(batch));
    Ok(FilteredEngineData::with_all_rows_selected(data))
}

fn batch(schema: &StructType, rows: &[Value]) -> KernelResult<RecordBatch> {
    let schema: ArrowSchema = schema.try_into_arrow().map_err(KernelError::generic_err)?;
    let schema = Arc::new(schema);
    let mut decoder = ReaderBuilder::new(Arc::clone(&schema))
        .build_decoder()
        .map_err(KernelError::generic_err)?;
    decoder.serialize(rows).map_err(KernelError::generic_err)?;
    let batch = decoder.flush().map_err(KernelError::generic_err)?;
    Ok(batch.unwrap_or_else(|| RecordBatch::new_empty(schema)))
}

/// The files of a version, by path.
pub(super) fn live(
    engine: &dyn Engine,
    snapshot: &SnapshotRef,
) -> KernelResult<BTreeMap<String, Live>> {
    let mut live = BTreeMap::new();
    let scan = Arc::clone(snapshot).scan_builder().build()?;
    for found in scan.scan_metadata(engine)? {
        let (data, selected) = found?.scan_files.into_parts();
        let batch = data.try_into_record_batch()?;
        let column = |name: &'static str| {
            let column = batch.column_by_name(name);
            column.ok_or_else(|| KernelError::generic(format!("a scan without {name}")))
        };
        let paths = column("path")?.as_string_opt::<i32>();
        let sizes = column("size")?.as_primitive_opt::<Int64Type>();
        let statistics = column("stats")?.as_string_opt::<i32>();
        let deletions = column("deletionVector")?;
        let (Some(paths), Some(sizes), Some(statistics)) = (paths, sizes, statistics) else {
            return Err(KernelError::generic("a scan of unknown types"));
        };
        for row in 0..batch.num_rows() {
            if !selected.get(row).copied().unwrap_or(true) || paths.is_null(row) {
                continue;
            }
            let statistics = statistics.is_valid(row).then(|| statistics.value(row));
            let rows = statistics.and_then(|text| {
                let statistics: Value = serde_json::from_str(text).ok()?;
                statistics.get("numRecords")?.as_u64()
            });
            let file = Live {
                bytes: u64::try_from(sizes.value(row)).unwrap_or_default(),
                rows,
                has_deletions: deletions.is_valid(row),
            };
            live.insert(paths.value(row).to_owned(), file);
        }
    }
    Ok(live)
}
