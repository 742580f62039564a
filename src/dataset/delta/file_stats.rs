//! What a part's footer tells of its columns, as Delta's readers use it to skip files.

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use parquet::basic::{LogicalType, TimeUnit};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescriptor;
use serde_json::{Map, Value, json};

use crate::dataset::ledger::Part;
use crate::dataset::store::Store;
use crate::error::Result;

/// More than a footer mostly takes.
const FOOTER: u64 = 64 << 10;

/// The statistics of a part. Where its footer tells nothing, its rows are known all the same.
pub(super) async fn of(store: &Store, part: &Part) -> Result<Value> {
    let mut length = FOOTER;
    let mut statistics = json!({"numRecords": part.rows});
    while let Some(tail) = store.tail(&part.path, part.bytes, length).await? {
        match parse(&tail, part.bytes) {
            Ok(footer) => statistics = tell(&footer, part.rows),
            Err(ParquetError::NeedMoreData(more)) if length < part.bytes => {
                length = part.bytes.min((more as u64).max(2 * length));
                continue;
            }
            Err(_) => {}
        }
        break;
    }
    Ok(statistics)
}

fn parse(tail: &Bytes, bytes: u64) -> Result<ParquetMetaData, ParquetError> {
    let mut reader = ParquetMetaDataReader::new();
    reader.try_parse_sized(tail, bytes)?;
    reader.finish()
}

fn tell(footer: &ParquetMetaData, rows: u64) -> Value {
    let (mut nulls, mut least, mut greatest) = (Map::new(), Map::new(), Map::new());
    let columns = footer.file_metadata().schema_descr().columns();
    for (at, column) in columns.iter().enumerate() {
        let groups = footer.row_groups().iter();
        let groups: Option<Vec<_>> = groups.map(|group| group.column(at).statistics()).collect();
        let Some(groups) = groups else { continue };
        let null_counts = groups.iter().map(|group| group.null_count_opt());
        if let Some(count) = null_counts.sum::<Option<u64>>() {
            nulls.insert(column.name().to_owned(), count.into());
        }
        let mut bounds: Option<Bounds> = None;
        let mut is_told = true;
        for (group, statistics) in footer.row_groups().iter().zip(&groups) {
            let found = Bounds::of(statistics);
            // One without any value has no bounds, and needs none.
            let is_empty =
                statistics.null_count_opt().map(i128::from) == Some(i128::from(group.num_rows()));
            match (found, bounds) {
                (None, before) => {
                    is_told &= is_empty;
                    bounds = before;
                }
                (Some(found), None) => bounds = Some(found),
                (Some(found), Some(before)) => bounds = before.with(found),
            }
        }
        let shown = bounds
            .filter(|_| is_told)
            .and_then(|bounds| bounds.shown(column));
        if let Some([low, high]) = shown {
            least.insert(column.name().to_owned(), low);
            greatest.insert(column.name().to_owned(), high);
        }
    }
    json!({"numRecords": rows, "nullCount": nulls, "minValues": least, "maxValues": greatest})
}

/// The least and the greatest value of a column.
enum Bounds {
    Integers(i64, i64),
    Texts(Vec<u8>, Vec<u8>),
}

impl Bounds {
    fn of(statistics: &Statistics) -> Option<Self> {
        match statistics {
            Statistics::Int64(values) => {
                Some(Self::Integers(*values.min_opt()?, *values.max_opt()?))
            }
            Statistics::ByteArray(_) => Some(Self::Texts(
                statistics.min_bytes_opt()?.to_vec(),
                statistics.max_bytes_opt()?.to_vec(),
            )),
            _ => None,
        }
    }

    fn with(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Integers(low, high), Self::Integers(least, greatest)) => {
                Some(Self::Integers(low.min(least), high.max(greatest)))
            }
            (Self::Texts(low, high), Self::Texts(least, greatest)) => {
                Some(Self::Texts(low.min(least), high.max(greatest)))
            }
            _ => None,
        }
    }

    /// As the kernel reads them.
    fn shown(self, column: &ColumnDescriptor) -> Option<[Value; 2]> {
        match self {
            Self::Texts(low, high) => {
                let text = |bytes: Vec<u8>| Some(Value::from(String::from_utf8(bytes).ok()?));
                Some([text(low)?, text(high)?])
            }
            Self::Integers(low, high) => match column.logical_type_ref() {
                None | Some(LogicalType::Integer(_)) => Some([low.into(), high.into()]),
                Some(LogicalType::Timestamp(kind)) if kind.unit == TimeUnit::MILLIS => {
                    let time = |ms| {
                        let time = DateTime::from_timestamp_millis(ms)?;
                        Some(Value::from(
                            time.to_rfc3339_opts(SecondsFormat::Millis, true),
                        ))
                    };
                    Some([time(low)?, time(high)?])
                }
                Some(_) => None,
            },
        }
    }
}
