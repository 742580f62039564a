//! How much cheaper is a page read straight into Arrow columns than through a struct a record (D1)?
//!
//! Both sides start from the same bytes and end with equal columns. The pages follow one another
//! as in a walk, so that no side learns a page by heart. They take turns; figures are medians of
//! CPU time.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that lacks what it needs cannot measure, and its figures are its output"
)]

#[path = "fixture/columns.rs"]
mod columns;
#[path = "fixture/cpu.rs"]
mod cpu;
#[path = "fixture/owned.rs"]
mod owned;
#[path = "fixture/pages.rs"]
mod pages;
#[path = "fixture/rounds.rs"]
mod rounds;
#[path = "fixture/target.rs"]
mod target;

use std::hint::black_box;

use arrow::record_batch::RecordBatch;
use pages::{Meeting, PAGE};
use rollbook::{DigestKey, Page};
use rounds::medians;
use target::tell;

const PAGES: u64 = 200;
const ROUNDS: usize = 21;

fn straight(meeting: &Meeting, offset: u64, body: &[u8]) -> RecordBatch {
    Page::decode(body, &meeting.uuid, offset, &DigestKey::default())
        .unwrap()
        .records
}

fn owned_structs(meeting: &Meeting, offset: u64, body: &[u8]) -> RecordBatch {
    let page = owned::Page::parse(body);
    assert_eq!(page.is_last(offset), offset == (PAGES - 1) * PAGE);
    columns::batch(&page.data, meeting.uuid.as_str(), offset)
}

fn each_page(meeting: &Meeting, decode: fn(&Meeting, u64, &[u8]) -> RecordBatch) {
    for (offset, body) in meeting.with_offsets() {
        black_box(decode(meeting, offset, black_box(body)));
    }
}

fn main() {
    for (form, pretty, wanted) in [("compact", false, 4.0), ("pretty", true, 3.3)] {
        let meeting = Meeting::of(PAGES, pretty);
        for (offset, body) in meeting.with_offsets() {
            assert_eq!(
                straight(&meeting, offset, body),
                owned_structs(&meeting, offset, body)
            );
        }
        let spent = medians(
            ROUNDS,
            cpu::of_process,
            [&mut || each_page(&meeting, straight), &mut || {
                each_page(&meeting, owned_structs);
            }],
        );
        let [ours, theirs] = spent.map(|(_, cpu)| cpu);
        let each = |cpu: std::time::Duration| cpu.as_nanos() / u128::from(PAGES * PAGE);
        println!("{form}: {} and {} ns a record", each(ours), each(theirs));
        let question = format!("CPU of owned structs / ours, {form} pages");
        tell(
            "D1",
            &question,
            theirs.as_secs_f64() / ours.as_secs_f64(),
            wanted..,
        );
    }
}
