//! How much cheaper is a page read straight into Arrow columns than through a struct a record?
//!
//! Both sides start from the same bytes and end with equal columns. The pages follow one another
//! as in a walk, so that no side learns a page by heart.

#![expect(
    clippy::unwrap_used,
    reason = "a bench that lacks what it needs cannot measure"
)]

#[path = "fixture/columns.rs"]
mod columns;
#[path = "fixture/owned.rs"]
mod owned;
#[path = "fixture/pages.rs"]
mod pages;

use std::hint::black_box;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use criterion::{Criterion, Throughput};
use pages::{Meeting, PAGE};
use rollbook::Page;

const PAGES: u64 = 64;

fn straight(meeting: &Meeting, offset: u64, body: &[u8]) -> RecordBatch {
    Page::decode(body, &meeting.uuid, offset).unwrap().records
}

fn owned_structs(meeting: &Meeting, offset: u64, body: &[u8]) -> RecordBatch {
    let page = owned::Page::parse(body);
    assert_eq!(page.is_last(offset), offset == (PAGES - 1) * PAGE);
    columns::batch(&page.data, meeting.uuid.as_str(), offset)
}

fn decode(criterion: &mut Criterion, form: &str, pretty: bool) {
    let meeting = Meeting::of(PAGES, pretty);
    for (offset, body) in meeting.with_offsets() {
        let (ours, theirs) = (
            straight(&meeting, offset, body),
            owned_structs(&meeting, offset, body),
        );
        assert_eq!(ours, theirs);
    }
    let mut group = criterion.benchmark_group(format!("decode/{form}"));
    group.throughput(Throughput::Elements(PAGE));
    for (name, decode) in [
        (
            "rollbook",
            straight as fn(&Meeting, u64, &[u8]) -> RecordBatch,
        ),
        ("owned structs", owned_structs),
    ] {
        let mut pages = meeting.with_offsets().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let (offset, body) = pages.next().unwrap();
                decode(&meeting, offset, black_box(body))
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    decode(&mut criterion, "compact", false);
    decode(&mut criterion, "pretty", true);
    criterion.final_summary();
}
