//! Pages to partitions: whose records are whose, by their `join_time`.

use std::collections::BTreeMap;

use arrow::array::{Array as _, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::TimestampMillisecondType;
use arrow::error::ArrowError;

use crate::error::{Error, Result};
use crate::record::Column;
use crate::record::partition::{Calendar, Partition};

/// The records of a page by their partitions, in the order of those; each in the page's order, and
/// with the number of the last one in the page.
pub(super) fn by_join_date(
    page: &RecordBatch,
    calendar: &mut Calendar,
) -> Result<Vec<(Partition, RecordBatch, u32)>> {
    let all = |partition| {
        let last = u32::try_from(page.num_rows().saturating_sub(1)).unwrap_or(u32::MAX);
        Ok(vec![(partition, page.clone(), last)])
    };
    let Some(joins) = joins(page) else {
        return all(Partition::Dateless);
    };
    let mut rows: BTreeMap<Partition, Vec<u32>> = BTreeMap::new();
    let mut joins = (0..).zip(joins);
    let Some((_, first)) = joins.next() else {
        return Ok(vec![]);
    };
    let first = calendar.partition(first);
    // Nearly all pages are of one day, and those cost a look at each record alone.
    for (row, join) in joins {
        let partition = calendar.partition(join);
        if rows.is_empty() {
            if partition == first {
                continue;
            }
            rows.insert(first, (0..row).collect());
        }
        rows.entry(partition).or_default().push(row);
    }
    if rows.is_empty() {
        return all(first);
    }
    rows.into_iter()
        .map(|(partition, rows)| {
            let last = rows.last().copied().unwrap_or(0);
            let rows = take_record_batch(page, &UInt32Array::from(rows)).map_err(unsplit)?;
            Ok((partition, rows, last))
        })
        .collect()
}

/// The earliest `join_time` of a page.
pub(super) fn earliest(page: &RecordBatch) -> Option<i64> {
    joins(page)?.flatten().min()
}

/// Milliseconds since 1970; nothing where there is no time at all.
fn joins(page: &RecordBatch) -> Option<impl Iterator<Item = Option<i64>>> {
    let joins = page.column(Column::JoinTime.index());
    let joins = joins.as_primitive_opt::<TimestampMillisecondType>()?;
    (joins.null_count() < joins.len()).then(|| joins.iter())
}

fn unsplit(error: ArrowError) -> Error {
    Error::Encode {
        format: "the records of a partition",
        source: error.into(),
    }
}
