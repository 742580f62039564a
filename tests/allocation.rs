//! What an answer may cost in memory: whatever it holds, decoding takes no more than a few times
//! its length, and a constant for the columns of the most records that a page may have; and while
//! its records wait to be encoded, it costs no more for being one of many.
//!
//! A test binary of its own, since the allocator counts for the whole process. It counts a
//! reallocation as the old and the new at once, as an allocator that must move would.

#![expect(
    clippy::unwrap_used,
    reason = "what a test needs and does not get ends it"
)]

#[path = "it/hostile/odd.rs"]
mod odd;

use std::sync::{Mutex, MutexGuard, PoisonError};

use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rollbook::{
    BatchWriter, Compression, DigestKey, Format, Language, Page, ParquetEncodings, PartOptions,
    Provenance,
};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Times the length of the answer.
const FACTOR: usize = 6;

/// For the columns.
const CONSTANT: usize = 3 << 20;

/// Bytes of a large answer.
const LARGE: usize = 1 << 20;

/// One test at a time: the figures are of the process.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The most memory that decoding took, beyond what was taken before.
fn peak(body: &[u8]) -> usize {
    let meeting = "9a0fa6d10a5b11eaae5e191763c22c0e".parse().unwrap();
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let outcome = Page::decode(body, &meeting, 0, &DigestKey::default());
    let peak = ALLOCATOR.peak_usage();
    drop(outcome);
    peak.saturating_sub(before)
}

/// A page of these records, repeated until it is large.
fn flood(record: &str) -> String {
    records(&vec![record; LARGE / (record.len() + 1)].join(","))
}

fn records(records: &str) -> String {
    format!(r#"{{"data":[{records}],"count":1}}"#)
}

#[test]
fn no_answer_takes_more_memory_than_a_few_times_its_length() {
    let _alone = alone();
    let long = "x".repeat(LARGE);
    let digits = "7".repeat(LARGE);
    let escapes = "\\u0000".repeat(LARGE / 6);
    let surrogates = "\\ud800".repeat(LARGE / 6);
    let lists = ["[".repeat(LARGE / 2), "]".repeat(LARGE / 2)].concat();
    let objects = [r#"{"a":"#.repeat(LARGE / 6), "}".repeat(LARGE / 6)].concat();
    let full = format!(
        r#"{{"displayName":"{}","joinTime":-1,"leftTime":-1,"more":"{}"}}"#,
        "x".repeat(80),
        "y".repeat(80)
    );
    let name = |value: &str| records(&format!(r#"{{"displayName":{value}}}"#));
    let time = |value: &str| records(&format!(r#"{{"joinTime":{value}}}"#));
    let unknown = |value: &str| records(&format!(r#"{{"more":{value}}}"#));
    let cases = [
        ("most empty records", records(&vec!["{}"; 10_000].join(","))),
        ("a flood of empty records", flood("{}")),
        ("a flood of small records", flood(r#"{"":0}"#)),
        (
            "most full records",
            records(&vec![full.as_str(); 10_000].join(",")),
        ),
        (
            "most surrogates",
            records(&vec![r#"{"deptName":"\ud800"}"#; 10_000].join(",")),
        ),
        ("a flood of lists", flood("[]")),
        ("a long text", name(&format!("\"{long}\""))),
        ("a long text of escapes", name(&format!("\"{escapes}\""))),
        (
            "a long text of surrogates",
            name(&format!("\"{surrogates}\"")),
        ),
        ("a long text as time", time(&format!("\"{escapes}\""))),
        (
            "a long text of digits as time",
            time(&format!("\"{digits}\"")),
        ),
        ("a long number as time", time(&digits)),
        ("a long number as name", name(&digits)),
        ("a long unknown text", unknown(&format!("\"{long}\""))),
        ("a long unknown number", unknown(&digits)),
        (
            "a long unknown name",
            records(&format!(r#"{{"{long}":0}}"#)),
        ),
        (
            "a long unknown name of escapes",
            records(&format!(r#"{{"{escapes}":0}}"#)),
        ),
        (
            "a long unknown name of surrogates",
            records(&format!(r#"{{"{surrogates}":0}}"#)),
        ),
        ("lists in an unknown member", unknown(&lists)),
        ("objects in an unknown member", unknown(&objects)),
        ("lists as time", time(&lists)),
        ("objects as name", name(&objects)),
        (
            "lists beside the data",
            format!(r#"{{"data":[],"more":{lists},"count":0}}"#),
        ),
        ("lists that do not end", lists[..LARGE / 2].to_owned()),
        (
            "many unknown members",
            records(&format!("{{{}}}", vec![r#""a":1"#; LARGE / 6].join(","))),
        ),
        (
            "many members",
            format!("{{{}}}", vec![r#""a":1"#; LARGE / 6].join(",")),
        ),
        ("long and no page", format!("\"{long}")),
        ("blank", " ".repeat(LARGE)),
    ];
    let mut too_much = vec![];
    for (what, body) in cases {
        let (peak, length) = (peak(body.as_bytes()), body.len());
        println!("{what}: {peak} for {length}");
        if peak > FACTOR * length + CONSTANT {
            too_much.push((what, peak, length));
        }
    }
    assert!(too_much.is_empty(), "{too_much:?}");
}

#[test]
fn many_small_pages_take_no_more_memory_than_a_few() {
    const PAGES: usize = 8_000;
    let _alone = alone();
    let record = r#"{"displayName":"Li Lei","deviceType":"Mobile","joinTime":1,"leftTime":2}"#;
    let body = records(&[record; 2].join(","));
    let meeting = "9a0fa6d10a5b11eaae5e191763c22c0e".parse().unwrap();
    let home = tempfile::tempdir().unwrap();
    let options = PartOptions {
        format: Format::Parquet,
        compression: Compression::None,
        parquet_encodings: ParquetEncodings::default(),
        provenance: Provenance {
            base_url: String::new(),
            language: Language::EnUs,
            pii: None,
        },
        part_rows: u64::MAX,
        part_bytes: u64::MAX,
    };
    let mut writer = BatchWriter::new(options, home.path().to_owned());
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    for _ in 0..PAGES {
        let page = Page::decode(body.as_bytes(), &meeting, 0, &DigestKey::default()).unwrap();
        writer.whole(&[page.records]).unwrap();
    }
    let peak = ALLOCATOR.peak_usage().saturating_sub(before);
    assert_eq!(writer.finish().unwrap().remove(0).rows, 2 * PAGES as u64);
    assert!(peak < 8 << 20, "{peak} for {PAGES} pages");
}

#[test]
fn no_odd_or_damaged_page_takes_more() {
    let _alone = alone();
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let pages = (odd::page(), odd::damaged(odd::any_page()));
    let outcome = runner.run(&pages, |(page, damaged)| {
        for body in [page.as_bytes(), &damaged] {
            let peak = peak(body);
            prop_assert!(
                peak <= FACTOR * body.len() + CONSTANT,
                "{peak} for {}",
                body.len()
            );
        }
        Ok(())
    });
    outcome.unwrap();
}
