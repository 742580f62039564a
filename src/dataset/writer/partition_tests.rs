//! Laws of writers whose records are told apart by a date.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use ::arrow::array::{ArrayRef, TimestampMillisecondArray};
use chrono::{DateTime, NaiveDate};
use proptest::prelude::*;
use serde_json::Value;

use super::tests::{lines, options, page};
use super::*;
use crate::record::{Column, TIME_ZONE};

const DAY: i64 = 24 * 60 * 60 * 1_000;

fn partitioning(by: DateOf, zone: &str) -> Partitioning {
    Partitioning {
        by,
        timezone: zone.parse().unwrap(),
    }
}

fn writer(of: Partitioning, staging: &Path) -> BatchWriter {
    let options = options(Format::Ndjson, Compression::None);
    BatchWriter::new(options, staging.to_owned()).partitioned(Some(of))
}

/// Records of a meeting that joined at these times.
fn joined(meeting: &str, joins: &[Option<i64>]) -> RecordBatch {
    let page = page(meeting, 0, joins.len());
    let mut columns = page.columns().to_vec();
    let joins: TimestampMillisecondArray = joins.iter().copied().collect();
    columns[Column::JoinTime.index()] = Arc::new(joins.with_timezone(TIME_ZONE)) as ArrayRef;
    RecordBatch::try_new(page.schema(), columns).unwrap()
}

/// Meeting, index and time of each record.
fn rows(part: &StagedPart) -> Vec<(String, i64, Option<i64>)> {
    let rows = lines(&fs::read(&part.path).unwrap()).into_iter();
    rows.map(|row| {
        let join = row["join_time"].as_str();
        let join = join.map(|join| join.parse::<DateTime<chrono::Utc>>().unwrap());
        (
            row["conf_uuid"].as_str().unwrap().to_owned(),
            row["record_index"].as_i64().unwrap(),
            join.map(|join| join.timestamp_millis()),
        )
    })
    .collect()
}

fn day(ms: Option<i64>, zone: Zone) -> Partition {
    let instant = ms.and_then(DateTime::from_timestamp_millis);
    instant.map_or(Partition::Dateless, |at| Partition::Date(zone.date(at)))
}

/// The times of a meeting's records: within some days, some of them unknown.
fn joins() -> impl Strategy<Value = Vec<Option<i64>>> {
    let join = prop::option::weighted(0.9, 0..3 * DAY);
    prop::collection::vec(join, 0..60)
}

fn staged(by: DateOf, meetings: &[Vec<Option<i64>>], size: usize) -> Vec<(StagedPart, Vec<u8>)> {
    let home = tempfile::tempdir().unwrap();
    let mut writer = writer(partitioning(by, "Asia/Shanghai"), home.path());
    let mut parts = vec![];
    for (number, joins) in meetings.iter().enumerate() {
        let page = joined(&format!("m{number}"), joins);
        let sizes = (0..page.num_rows()).step_by(size);
        let pages: Vec<_> = sizes
            .map(|from| page.slice(from, size.min(page.num_rows() - from)))
            .collect();
        // Every third is a large one.
        if number % 3 == 2 {
            for page in &pages {
                writer.slice(page).unwrap();
            }
            parts.extend(writer.keep_slices().unwrap());
        } else {
            writer.whole(&pages).unwrap();
        }
    }
    parts.extend(writer.finish().unwrap());
    let bytes = |part: StagedPart| {
        let bytes = fs::read(&part.path).unwrap();
        (part, bytes)
    };
    parts.into_iter().map(bytes).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn each_record_is_once_in_the_part_of_its_day_and_in_order(
        meetings in prop::collection::vec(joins(), 0..7),
        by in prop::sample::select(vec![DateOf::Join, DateOf::Meeting]),
    ) {
        let home = tempfile::tempdir().unwrap();
        let zone: Zone = "Asia/Shanghai".parse().unwrap();
        let mut seen = HashMap::new();
        for (part, bytes) in staged(by, &meetings, 7) {
            let path = home.path().join("part");
            fs::write(&path, bytes).unwrap();
            let part = StagedPart { path, ..part };
            let mut last = HashMap::new();
            for (meeting, index, join) in rows(&part) {
                let number: usize = meeting[1..].parse().unwrap();
                let of = match by {
                    DateOf::Join => join,
                    DateOf::Meeting => meetings[number].iter().flatten().min().copied(),
                };
                prop_assert_eq!(part.partition, Some(day(of, zone)));
                prop_assert!(last.insert(number, index).is_none_or(|before| before < index));
                prop_assert!(seen.insert((number, index), join).is_none());
            }
        }
        let truth = meetings.iter().enumerate().flat_map(|(number, joins)| {
            (0..).zip(joins).map(move |(index, join)| ((number, index), *join))
        });
        prop_assert_eq!(seen, truth.collect::<HashMap<_, _>>());
    }

    #[test]
    fn where_pages_ended_shows_in_no_part(
        meetings in prop::collection::vec(joins(), 0..7),
        by in prop::sample::select(vec![DateOf::Join, DateOf::Meeting]),
        size in 1_usize..60,
    ) {
        let told = |size| -> Vec<_> {
            let parts = staged(by, &meetings, size).into_iter();
            parts.map(|(part, bytes)| (part.partition, part.rows, bytes)).collect()
        };
        prop_assert_eq!(told(size), told(60));
    }
}

/// As many files as there may be at once, and those that had to make room.
#[test]
fn a_large_meeting_of_more_days_than_parts_may_be_open_stays_within_its_bounds() {
    const ROWS: usize = 560_000;
    let days = 40;
    let joins: Vec<_> = (0..days)
        .rev()
        .cycle()
        .take(2_000)
        .map(|day| Some(day * DAY))
        .collect();
    let pages = joined("large", &joins);
    let told = |size: usize| {
        let home = tempfile::tempdir().unwrap();
        let options = options(Format::Arrow, Compression::None);
        let mut writer = BatchWriter::new(options, home.path().to_owned())
            .partitioned(Some(partitioning(DateOf::Join, "UTC")));
        let mut rows = 0;
        while rows < ROWS {
            let from = rows % pages.num_rows();
            let many = size.min(pages.num_rows() - from).min(ROWS - rows);
            writer.slice(&pages.slice(from, many)).unwrap();
            assert!(!writer.large.is_beyond());
            rows += many;
        }
        let parts = writer.keep_slices().unwrap();
        let mut rows: BTreeMap<_, u64> = BTreeMap::new();
        for part in &parts {
            *rows.entry(part.partition).or_default() += part.rows;
        }
        assert_eq!(rows.len(), 40);
        assert!(rows.into_values().all(|rows| rows == 14_000));
        let told = parts.into_iter().map(|part| (part.partition, part.sha256));
        told.collect::<Vec<_>>()
    };
    let parts = told(30);
    // Some had to make room, and none more than once.
    assert!((41..=80).contains(&parts.len()), "{}", parts.len());
    assert_eq!(parts, told(500));
}

#[test]
fn a_batch_is_full_when_its_partitions_need_more_memory_than_they_may() {
    let home = tempfile::tempdir().unwrap();
    let options = options(Format::Arrow, Compression::None);
    let mut writer = BatchWriter::new(options, home.path().to_owned())
        .partitioned(Some(partitioning(DateOf::Join, "UTC")));
    let page = page("m", 0, 1_000);
    let mut columns = page.columns().to_vec();
    let mut days = 0;
    while !writer.is_full() {
        let joins: TimestampMillisecondArray = vec![Some(days * DAY); 1_000].into();
        columns[Column::JoinTime.index()] = Arc::new(joins.with_timezone(TIME_ZONE));
        let page = RecordBatch::try_new(page.schema(), columns.clone()).unwrap();
        writer.whole(&[page]).unwrap();
        days += 1;
    }
    // Small days wait without a file.
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    assert_eq!((days, writer.rows()), (263, 263_000));
    let parts = writer.finish().unwrap();
    assert_eq!(parts.len(), 263);
    assert!(parts.is_sorted_by_key(|part| part.partition));
    assert!(!writer.is_full());
}

#[test]
fn a_large_meeting_that_is_not_whole_leaves_no_file_of_any_day() {
    for by in [DateOf::Join, DateOf::Meeting] {
        let home = tempfile::tempdir().unwrap();
        let mut writer = writer(partitioning(by, "UTC"), home.path());
        let joins: Vec<_> = (0..40_000).map(|at| Some(at % 2 * DAY)).collect();
        writer.slice(&joined("large", &joins)).unwrap();
        assert!(fs::read_dir(home.path()).unwrap().count() > 0);
        writer.discard_slices().unwrap();
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        assert!(writer.keep_slices().unwrap().is_empty());
        // Nothing of it is remembered.
        writer.slice(&joined("next", &[Some(9 * DAY)])).unwrap();
        let part = writer.keep_slices().unwrap().remove(0);
        let date: NaiveDate = "1970-01-10".parse().unwrap();
        assert_eq!(part.partition, Some(Partition::Date(date)));
    }
}

#[test]
fn a_line_says_nothing_of_its_partition() {
    let home = tempfile::tempdir().unwrap();
    let mut writer = writer(partitioning(DateOf::Join, "UTC"), home.path());
    writer.whole(&[page("m", 0, 1)]).unwrap();
    let part = writer.finish().unwrap().remove(0);
    let row: Value = lines(&fs::read(part.path).unwrap()).remove(0);
    let columns: Vec<_> = row.as_object().unwrap().keys().cloned().collect();
    assert_eq!(columns.len(), Column::ALL.len());
    assert!(!columns.iter().any(|column| column.ends_with("_date")));
}
