//! How many instructions does a record take (D2), to decode and to encode?
//!
//! For valgrind's callgrind to count; `benches/instructions.sh` runs it. A stage is done as often
//! as the arguments say, and nothing else grows with that number.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that lacks what it needs cannot measure, and its figures are its output"
)]

#[path = "fixture/columns.rs"]
mod columns;
#[path = "fixture/options.rs"]
mod options;
#[path = "fixture/owned.rs"]
mod owned;
#[path = "fixture/pages.rs"]
mod pages;

use std::hint::black_box;
use std::io;

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use options::options;
use pages::{Meeting, PAGE};
use parquet::arrow::ArrowWriter;
use rollbook::{BatchWriter, Compression, DigestKey, Format, Page, PipeWriter, schema};

const PAGES: u64 = 8;

fn decode(meeting: &Meeting) -> Vec<RecordBatch> {
    let pages = meeting.with_offsets().map(|(offset, body)| {
        Page::decode(
            black_box(body),
            &meeting.uuid,
            offset,
            &DigestKey::default(),
        )
        .unwrap()
        .records
    });
    pages.collect()
}

fn decode_owned(meeting: &Meeting) {
    for (offset, body) in meeting.with_offsets() {
        let page = owned::Page::parse(black_box(body));
        assert_eq!(page.is_last(offset), offset == (PAGES - 1) * PAGE);
        black_box(columns::batch(&page.data, meeting.uuid.as_str(), offset));
    }
}

fn parquet(pages: &[RecordBatch], times: u64) {
    let folder = tempfile::tempdir().unwrap();
    let options = options(Format::Parquet, Compression::ZSTD);
    let mut writer = BatchWriter::new(options, folder.path().to_owned());
    for _ in 0..times {
        writer.whole(pages).unwrap();
    }
    writer.finish().unwrap().remove(0);
}

/// With default properties, uncompressed, from batches that are worth encoding.
fn parquet_defaults(pages: &[RecordBatch], times: u64) {
    let batch = concat_batches(&schema(), pages).unwrap();
    let mut writer = ArrowWriter::try_new(io::sink(), schema(), None).unwrap();
    for _ in 0..times {
        writer.write(&batch).unwrap();
    }
    writer.close().unwrap();
}

fn ndjson(pages: &[RecordBatch], times: u64) {
    let options = options(Format::Ndjson, Compression::None);
    let mut writer = PipeWriter::new(&options, io::sink()).unwrap();
    for _ in 0..times {
        writer.whole(pages).unwrap();
    }
    writer.finish().unwrap();
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [stage, times] = arguments.as_slice() else {
        println!("see benches/instructions.sh");
        return;
    };
    let times = times.parse().unwrap();
    let meeting = Meeting::of(PAGES, stage.contains("pretty"));
    let pages = decode(&meeting);
    match stage.as_str() {
        "decode/compact/rollbook" | "decode/pretty/rollbook" => (0..times).for_each(|_| {
            black_box(decode(&meeting));
        }),
        "decode/compact/owned structs" | "decode/pretty/owned structs" => {
            (0..times).for_each(|_| decode_owned(&meeting));
        }
        "parquet/rollbook, zstd" => parquet(&pages, times),
        "parquet/defaults, none" => parquet_defaults(&pages, times),
        "ndjson/rollbook" => ndjson(&pages, times),
        _ => return println!("there is no stage {stage}"),
    }
    println!("{} records", times * PAGES * PAGE);
}
