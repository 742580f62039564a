//! The record that two neighbouring answers share, and what it proves.

use std::hash::{DefaultHasher, Hash, Hasher};

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::TimestampMillisecondType;
use arrow::record_batch::RecordBatch;

use crate::record::Column;

/// The columns that hold what the API gave; the others follow from them.
const TEXTS: [Column; 6] = [
    Column::DisplayName,
    Column::CallNumber,
    Column::DeviceType,
    Column::MediaType,
    Column::DeptName,
    Column::Extra,
];

/// What the shared record of two neighbouring answers says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seam {
    /// The same record, and the only one that they share: nothing has moved in between.
    Firm,
    /// The same record, but they share another one, too: a shift could hide behind it.
    Weak,
    /// Two different records: something has moved.
    Broken,
}

/// Compares two answers, the second of which begins with the last record of the first.
///
/// Records that stand in both, the shared one aside, are taken as a sign of a list that is not
/// in one order: of ties that a server sorts anew for each answer, or of twins that could hide
/// a shift. What it cannot see: an equal pair of which each answer holds one, while the list
/// loses a record before it and gains one behind it.
pub(super) fn between(before: &RecordBatch, after: &RecordBatch) -> Seam {
    let Some(last) = before.num_rows().checked_sub(1) else {
        return Seam::Broken;
    };
    if after.num_rows() == 0 || !is_same_record(before, last, after, 0) {
        return Seam::Broken;
    }
    if have_twins(before, after) {
        Seam::Weak
    } else {
        Seam::Firm
    }
}

/// Whether a record of one page equals one of the next, the shared one aside.
fn have_twins(before: &RecordBatch, after: &RecordBatch) -> bool {
    let mut early = joins(before);
    let mut late = joins(after);
    // Most lists are nearly in the order of joining: few records are left to compare.
    let (Some(from), Some(to)) = (late.iter().min().copied(), early.iter().max().copied()) else {
        return false;
    };
    early.retain(|(join, _)| *join >= from.0);
    late.retain(|(join, _)| *join <= to.0);
    late.sort_unstable();
    let seam = (before.num_rows() - 1, 0);
    early.into_iter().any(|(join, row)| {
        let begin = late.partition_point(|(other, _)| *other < join);
        late[begin..]
            .iter()
            .take_while(|(other, _)| *other == join)
            .any(|&(_, other)| (row, other) != seam && is_same_record(before, row, after, other))
    })
}

/// When each record of a page joined, with its row.
fn joins(page: &RecordBatch) -> Vec<(Option<i64>, usize)> {
    let times = page.column(Column::JoinTime.index());
    let times = times.as_primitive::<TimestampMillisecondType>();
    times.iter().zip(0..).collect()
}

/// Whether two rows hold the same record in every member. Times are compared first: they
/// differ nearly always.
fn is_same_record(a: &RecordBatch, row_a: usize, b: &RecordBatch, row_b: usize) -> bool {
    [Column::JoinTime, Column::LeftTime]
        .iter()
        .all(|column| time_at(a, *column, row_a) == time_at(b, *column, row_b))
        && TEXTS
            .iter()
            .all(|column| text_at(texts(a, *column), row_a) == text_at(texts(b, *column), row_b))
}

fn time_at(batch: &RecordBatch, column: Column, row: usize) -> Option<i64> {
    let times = batch
        .column(column.index())
        .as_primitive::<TimestampMillisecondType>();
    times.is_valid(row).then(|| times.value(row))
}

fn texts(batch: &RecordBatch, column: Column) -> &StringArray {
    batch.column(column.index()).as_string()
}

fn text_at(texts: &StringArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row))
}

/// A digest of a multiset of records: the same for the same records in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    sum: u128,
    records: u64,
}

impl Digest {
    /// Adds the records of a page.
    pub(super) fn add(&mut self, page: &RecordBatch) {
        let texts = TEXTS.map(|column| texts(page, column));
        for row in 0..page.num_rows() {
            let half = |salt: u8| {
                let mut hasher = DefaultHasher::new();
                salt.hash(&mut hasher);
                time_at(page, Column::JoinTime, row).hash(&mut hasher);
                time_at(page, Column::LeftTime, row).hash(&mut hasher);
                texts.map(|texts| text_at(texts, row)).hash(&mut hasher);
                u128::from(hasher.finish())
            };
            self.sum = self.sum.wrapping_add(half(0) << 64 | half(1));
            self.records += 1;
        }
    }
}
