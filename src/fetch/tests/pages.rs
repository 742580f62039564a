//! Pages as the decoder makes them, each distinct one decoded once.

use std::collections::HashMap;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;

use super::server::{Answer, Rows};
use crate::record::decode::Page;
use crate::record::{Column, DigestKey};
use crate::values::ConfUuid;

/// Join time of record 0, in 2023; each further record joins a second later.
const FIRST_JOIN: i64 = 1_700_000_000_000;

/// Pages kept at most. Servers that shuffle repeat few of them.
const MOST_PAGES: usize = 20_000;

/// Decoded pages by their offset and their records.
pub(super) struct Pages {
    meeting: ConfUuid,
    known: HashMap<Vec<u16>, Page>,
}

impl Pages {
    pub(super) fn new() -> Self {
        Self {
            meeting: "a".parse().unwrap(),
            known: HashMap::new(),
        }
    }

    /// Returns the page that the decoder makes of an answer.
    pub(super) fn page(&mut self, offset: u64, limit: u64, answer: &Answer) -> Page {
        let mut key = vec![u16::try_from(offset).unwrap()];
        key.extend(&answer.rows);
        if self.known.len() >= MOST_PAGES {
            self.known.clear();
        }
        let meeting = &self.meeting;
        let mut page = self
            .known
            .entry(key)
            .or_insert_with(|| decode(meeting, offset, &answer.rows))
            .clone();
        page.limit = i64::try_from(limit).ok();
        page.count = answer.count;
        page
    }
}

fn decode(meeting: &ConfUuid, offset: u64, rows: &[u16]) -> Page {
    let records: Vec<_> = rows
        .iter()
        .map(|&row| {
            let join = FIRST_JOIN + i64::from(row) * 1000;
            format!(r#"{{"displayName":"{row}","joinTime":{join}}}"#)
        })
        .collect();
    let body = format!(
        r#"{{"data":[{}],"offset":{offset},"limit":0,"count":{}}}"#,
        records.join(","),
        rows.len()
    );
    Page::decode(body.as_bytes(), meeting, offset, &DigestKey::default()).unwrap()
}

/// Returns the numbers of the records; checks that `record_index` counts them through.
pub(super) fn numbers(batches: &[RecordBatch]) -> Rows {
    let mut rows = vec![];
    for batch in batches {
        let index = batch.column(Column::RecordIndex.index());
        let joins = batch.column(Column::JoinTime.index());
        let index = index.as_primitive::<Int64Type>().values();
        let joins = joins.as_primitive::<TimestampMillisecondType>().values();
        for (index, join) in index.iter().zip(joins) {
            assert_eq!(*index, i64::try_from(rows.len()).unwrap());
            rows.push(u16::try_from((join - FIRST_JOIN) / 1000).unwrap());
        }
    }
    rows
}
