//! The size of records in memory: what buffers that are bounded in bytes go by.
//!
//! Counted are the values of the rows alone, so that the sizes of slices add up to the size of the
//! whole, whatever buffers they share: the length of each text, and [`FIXED_BYTES`] a row for each
//! column.

use arrow::array::{ArrayRef, AsArray as _, StringArray};
use arrow::record_batch::RecordBatch;

/// Bytes of a value that is not a text, and of the offset of one that is, rounded up.
const FIXED_BYTES: usize = 8;

/// Buffers of this size and more must not stay with the thread that freed them.
const LARGE_BUFFER: usize = 4 << 20;

/// The system allocator (glibc) returns a block of more than 32 MiB to the system when it is freed.
/// Smaller blocks stay in an arena of their thread, which together are several times what is in use.
/// Capacity that is never written takes no memory.
const RETURNED_WHEN_FREED: usize = 33 << 20;

/// Returns the capacity to reserve for a buffer of about so many bytes.
pub(crate) fn buffer_capacity(bytes: usize) -> usize {
    if bytes < LARGE_BUFFER {
        bytes
    } else {
        bytes.max(RETURNED_WHEN_FREED)
    }
}

/// Returns the bytes of all rows.
pub(crate) fn batch_bytes(rows: &RecordBatch) -> u64 {
    let texts: usize = texts(rows).map(text_bytes).sum();
    (texts + rows.num_rows() * fixed_bytes(rows)) as u64
}

/// Returns up to `most` rows from `offset` on that fit into these bytes, and `least` of them in any
/// case.
pub(crate) fn piece(
    rows: &RecordBatch,
    offset: usize,
    most: usize,
    bytes: u64,
    least: usize,
) -> RecordBatch {
    let piece = rows.slice(offset, most);
    if batch_bytes(&piece) <= bytes {
        return piece;
    }
    rows.slice(offset, rows_within(&piece, bytes).max(least))
}

/// Cuts rows into pieces of these bytes at most; a larger row is a piece of its own.
pub(crate) fn pieces(rows: &RecordBatch, bytes: u64) -> impl Iterator<Item = RecordBatch> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let rest = rows.num_rows() - offset;
        let piece = (rest > 0).then(|| piece(rows, offset, rest, bytes, 1))?;
        offset += piece.num_rows();
        Some(piece)
    })
}

/// Returns how many rows, from the first on, fit into these bytes.
fn rows_within(rows: &RecordBatch, bytes: u64) -> usize {
    let texts: Vec<_> = texts(rows).collect();
    let mut left = bytes;
    let mut fitting = 0;
    for row in 0..rows.num_rows() {
        let lengths = texts.iter().map(|text| row_bytes(text, row));
        let size = (lengths.sum::<usize>() + fixed_bytes(rows)) as u64;
        if size > left {
            break;
        }
        left -= size;
        fitting += 1;
    }
    fitting
}

fn texts(rows: &RecordBatch) -> impl Iterator<Item = &StringArray> {
    let columns = rows.columns().iter();
    columns.filter_map(ArrayRef::as_string_opt::<i32>)
}

fn text_bytes(text: &StringArray) -> usize {
    let offsets = text.value_offsets();
    let length = offsets.last().zip(offsets.first());
    length.map_or(0, |(end, start)| usize::try_from(end - start).unwrap_or(0))
}

fn row_bytes(text: &StringArray, row: usize) -> usize {
    usize::try_from(text.value_length(row)).unwrap_or(0)
}

/// Bytes of one row beside its texts.
fn fixed_bytes(rows: &RecordBatch) -> usize {
    rows.num_columns() * FIXED_BYTES
}

#[cfg(test)]
mod tests {
    use arrow::compute::concat_batches;

    use super::*;
    use crate::record::decode::Page;
    use crate::record::digest::DigestKey;
    use crate::record::schema::Anomaly;

    /// Rows whose names have these lengths.
    fn rows(lengths: &[usize]) -> RecordBatch {
        let rows: Vec<_> = lengths
            .iter()
            .map(|&length| format!(r#"{{"displayName":"{}"}}"#, "x".repeat(length)))
            .collect();
        let body = format!(r#"{{"count":1,"data":[{}]}}"#, rows.join(","));
        let meeting = "m1".parse().unwrap();
        let page = Page::decode(body.as_bytes(), &meeting, 0, &DigestKey::default());
        page.unwrap().records
    }

    fn size(length: usize) -> u64 {
        let anomaly = Anomaly::MissingJoin.as_str().len();
        (length + "m1".len() + anomaly + 12 * FIXED_BYTES) as u64
    }

    #[test]
    fn the_sizes_of_slices_add_up() {
        let all = rows(&[0, 7, 25_000, 3]);
        let slices = [(0, 1), (1, 2), (3, 1)].map(|(from, rows)| all.slice(from, rows));
        assert_eq!(batch_bytes(&slices[1]), size(7) + size(25_000));
        let sum: u64 = slices.iter().map(batch_bytes).sum();
        assert_eq!(sum, batch_bytes(&all));
        assert_eq!(batch_bytes(&all.slice(0, 0)), 0);
    }

    #[test]
    fn as_many_rows_are_taken_as_fit() {
        let all = rows(&[100, 100, 900, 100]);
        let two = 2 * size(100);
        for (first, bytes, taken) in [
            (0, two - 1, 1),
            (0, two, 2),
            (0, two + 1, 2),
            (0, u64::MAX, 4),
            (2, size(900) - 1, 0),
            (3, 0, 0),
            (4, u64::MAX, 0),
        ] {
            let rest = all.slice(first, all.num_rows() - first);
            assert_eq!(rows_within(&rest, bytes), taken, "{first} {bytes}");
        }
        // A slice is counted from its own first row.
        assert_eq!(rows_within(&all.slice(2, 2), size(900)), 1);
    }

    #[test]
    fn the_pieces_of_rows_are_the_rows_and_none_is_larger_than_it_must_be() {
        let all = rows(&[100, 100, 900, 100]);
        let lengths =
            |bytes| -> Vec<_> { pieces(&all, bytes).map(|piece| piece.num_rows()).collect() };
        assert_eq!(lengths(2 * size(100)), [2, 1, 1]);
        assert_eq!(lengths(1), [1, 1, 1, 1]);
        assert_eq!(lengths(u64::MAX), [4]);
        assert_eq!(pieces(&all.slice(0, 0), 1).count(), 0);
        let together: Vec<_> = pieces(&all, 1).collect();
        assert_eq!(concat_batches(&all.schema(), &together).unwrap(), all);
    }
}
