//! How many instructions does a record take? For valgrind's callgrind to count:
//!
//! ```sh
//! benches/instructions.sh
//! ```
//!
//! What the arguments name is done so many times, and nothing else that grows with that number; the
//! difference between two runs is what it takes.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that lacks what it needs cannot measure"
)]

#[path = "fixture/columns.rs"]
mod columns;
#[path = "fixture/owned.rs"]
mod owned;
#[path = "fixture/pages.rs"]
mod pages;

use std::hint::black_box;

use pages::{Meeting, PAGE};
use rollbook::Page;

const PAGES: u64 = 8;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(what), Some(Ok(times))) = (
        arguments.next(),
        arguments.next().map(|times| times.parse::<u64>()),
    ) else {
        println!("usage: instructions STAGE TIMES");
        return;
    };
    let meeting = Meeting::of(PAGES, what.contains("pretty"));
    for _ in 0..times {
        for (offset, body) in meeting.with_offsets() {
            if what.ends_with("rollbook") {
                black_box(Page::decode(black_box(body), &meeting.uuid, offset).unwrap());
            } else {
                let page = owned::Page::parse(black_box(body));
                assert_eq!(page.is_last(offset), offset == (PAGES - 1) * PAGE);
                black_box(columns::batch(&page.data, meeting.uuid.as_str(), offset));
            }
        }
    }
    println!("{} records", times * PAGES * PAGE);
}
