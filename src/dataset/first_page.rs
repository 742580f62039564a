//! The first records of meetings as a dataset holds them, to be compared with what the service shows
//! now.
//!
//! Compared are rows as they are written, after the treatment of personal columns: where these are
//! equal, no row needs to be replaced. The digests are keyed by a key that is drawn for each run, and
//! they are kept in memory alone: nothing personal can be guessed from what lies in the dataset.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

use super::ledger::CommittedMeeting;
use crate::record::Column;
use crate::record::decode::Page;
use crate::values::ConfUuid;

/// The first page of one meeting as the dataset holds it.
#[derive(Clone, Debug)]
pub(crate) struct FirstPage {
    /// The API's `count` when the meeting was read.
    count: u64,
    /// Digests of its first records.
    records: Vec<Option<u64>>,
    key: RandomState,
}

/// The first pages of some meetings, while their parts are read.
#[derive(Debug)]
pub(crate) struct FirstPages {
    pages: HashMap<ConfUuid, FirstPage>,
    key: RandomState,
}

impl FirstPages {
    /// Pages of up to `limit` records, of which none is known yet.
    pub(crate) fn new<'a>(
        meetings: impl Iterator<Item = &'a CommittedMeeting>,
        limit: usize,
    ) -> Self {
        let key = RandomState::new();
        let pages = meetings.map(|meeting| {
            let records = usize::try_from(meeting.rows).unwrap_or(usize::MAX);
            let page = FirstPage {
                count: meeting.count,
                records: vec![None; records.min(limit)],
                key: key.clone(),
            };
            (meeting.conf_uuid.clone(), page)
        });
        Self {
            pages: pages.collect(),
            key,
        }
    }

    /// Takes rows of a part, whichever meetings they are of.
    pub(crate) fn add(&mut self, rows: &RecordBatch) -> Result<(), ArrowError> {
        let is_first = places(rows).map(|place| self.slot(place).is_some());
        let first = filter_record_batch(rows, &is_first.map(Some).collect::<BooleanArray>())?;
        let digests = digests(&first, &self.key)?;
        for (place, digest) in places(&first).zip(digests) {
            if let Some(slot) = self.slot(place) {
                *slot = Some(digest);
            }
        }
        Ok(())
    }

    fn slot(&mut self, (meeting, index): (&str, i64)) -> Option<&mut Option<u64>> {
        let page = self.pages.get_mut(meeting)?;
        page.records.get_mut(usize::try_from(index).ok()?)
    }

    /// Returns the pages as far as they were read.
    pub(crate) fn finish(self) -> HashMap<ConfUuid, FirstPage> {
        self.pages
    }
}

impl FirstPage {
    /// Whether an answer from offset 0 on, personal columns treated, shows the meeting as it was.
    pub(crate) fn is(&self, page: &Page) -> bool {
        let rows = page.records.num_rows();
        let is_from_start = page.offset.is_none_or(|offset| offset == 0);
        let is_shown = rows > 0 || page.count == 0;
        let Some(expected) = self.records.get(..rows) else {
            return false;
        };
        is_from_start
            && is_shown
            && page.count == self.count
            && digests(&page.records, &self.key)
                .is_ok_and(|digests| digests.map(Some).eq(expected.iter().copied()))
    }
}

/// The meeting and the index of each row.
fn places(rows: &RecordBatch) -> impl Iterator<Item = (&str, i64)> {
    let meetings = rows.column(Column::ConfUuid.index()).as_string::<i32>();
    let indices = rows.column(Column::RecordIndex.index());
    let indices = indices.as_primitive::<Int64Type>().values();
    (0..rows.num_rows()).map(|row| (meetings.value(row), indices[row]))
}

/// A digest of each row, all columns together.
fn digests(
    rows: &RecordBatch,
    key: &RandomState,
) -> Result<impl Iterator<Item = u64> + use<>, ArrowError> {
    let schema = rows.schema();
    let fields = schema.fields().iter();
    let fields = fields.map(|field| SortField::new(field.data_type().clone()));
    let converter = RowConverter::new(fields.collect())?;
    let packed = converter.convert_columns(rows.columns())?;
    let digests: Vec<_> = packed
        .iter()
        .map(|row| key.hash_one(row.as_ref()))
        .collect();
    Ok(digests.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::ledger::tests::meeting;
    use crate::record::DigestKey;

    fn answer(body: &str) -> Page {
        Page::decode(
            body.as_bytes(),
            &"m1".parse().unwrap(),
            0,
            &DigestKey::default(),
        )
        .unwrap()
    }

    fn people(names: &[&str], count: u64) -> Page {
        let rows: Vec<_> = names
            .iter()
            .map(|name| format!(r#"{{"displayName":"{name}","joinTime":1574119917872}}"#))
            .collect();
        let rows = rows.join(",");
        answer(&format!(
            r#"{{"offset":0,"limit":3,"count":{count},"data":[{rows}]}}"#
        ))
    }

    /// The first page of a meeting, from parts that have its rows in another order.
    fn held(page: &Page) -> FirstPage {
        let committed = CommittedMeeting {
            count: page.count,
            ..meeting("m1", page.records.num_rows() as u64)
        };
        let other = meeting("m2", 5);
        let mut pages = FirstPages::new([&committed, &other].into_iter(), 3);
        for row in (0..page.records.num_rows()).rev() {
            pages.add(&page.records.slice(row, 1)).unwrap();
        }
        pages.finish().remove("m1").unwrap()
    }

    #[test]
    fn a_page_is_the_same_where_count_and_each_record_are() {
        let before = held(&people(&["a", "b", "c", "d"], 4));
        assert!(before.is(&people(&["a", "b", "c"], 4)));
        // A page that came short shows no other record.
        assert!(before.is(&people(&["a"], 4)));
        for (names, count) in [
            (&["a", "b", "c"][..], 5),
            (&["a", "b", "c"], 3),
            (&["a", "c", "b"], 4),
            (&["a", "b", "C"], 4),
            (&["a", "b", "c", "d"], 4),
            (&[], 4),
        ] {
            assert!(!before.is(&people(names, count)), "{names:?} {count}");
        }
        let elsewhere = answer(r#"{"offset":9,"limit":3,"count":4,"data":[{"displayName":"a"}]}"#);
        assert!(!before.is(&elsewhere));
    }

    #[test]
    fn a_meeting_without_a_record_is_the_same_as_long_as_it_has_none() {
        let before = held(&people(&[], 0));
        assert!(before.is(&people(&[], 0)));
        assert!(!before.is(&people(&["a"], 1)));
    }

    #[test]
    fn a_time_that_is_filled_later_makes_another_page() {
        let of = |left: &str| {
            answer(&format!(
                r#"{{"offset":0,"limit":3,"count":1,"data":[{{"joinTime":1574119917872{left}}}]}}"#
            ))
        };
        let before = held(&of(""));
        assert!(before.is(&of(r#","leftTime":0"#)));
        assert!(!before.is(&of(r#","leftTime":1574119918872"#)));
    }

    #[test]
    fn rows_that_no_part_has_are_not_the_same() {
        let page = people(&["a"], 1);
        let pages = FirstPages::new([&meeting("m1", 1)].into_iter(), 3);
        assert!(!pages.finish()["m1"].is(&page));
    }
}
