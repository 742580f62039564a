//! What do rollbook's Parquet settings cost in time, and save in bytes, against the defaults?
//!
//! All encode the same batches into a file; only rollbook's part is also hashed and made durable.
//! It is measured from ready batches, as the others, and from pages, as the pager hands them out.
//! The sizes are printed before the times.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a bench that lacks what it needs cannot measure; sizes have no place in its report"
)]

#[path = "fixture/pages.rs"]
mod pages;

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use criterion::{BatchSize, Criterion, Throughput};
use pages::{Meeting, PAGE};
use parquet::arrow::ArrowWriter;
use parquet::basic;
use parquet::file::properties::WriterProperties;
use rollbook::{BatchWriter, Compression, Format, Language, Page, PartOptions, Provenance, schema};

const PAGES: u64 = 1_000;
const RECORDS: u64 = PAGES * PAGE;

/// Pages of a batch that is worth encoding at once.
const GATHERED: usize = 64;

fn rollbook(pages: &[RecordBatch], folder: &Path) -> u64 {
    let options = PartOptions {
        format: Format::Parquet,
        compression: Compression::ZSTD,
        provenance: Provenance {
            base_url: "https://meeting.example.com".to_owned(),
            language: Language::EnUs,
            pii: None,
        },
        part_rows: u64::MAX,
        part_bytes: u64::MAX,
    };
    let mut writer = BatchWriter::new(options, folder.to_owned());
    writer.whole(pages).unwrap();
    let part = writer.finish().unwrap().unwrap();
    assert_eq!(part.rows, RECORDS);
    part.bytes
}

fn defaults(batches: &[RecordBatch], folder: &Path, codec: basic::Compression) -> u64 {
    let path = folder.join("defaults.parquet");
    let properties = WriterProperties::builder().set_compression(codec).build();
    let file = File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, schema(), Some(properties)).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.close().unwrap();
    path.metadata().unwrap().len()
}

fn uncompressed(batches: &[RecordBatch], folder: &Path) -> u64 {
    defaults(batches, folder, basic::Compression::UNCOMPRESSED)
}

fn snappy(batches: &[RecordBatch], folder: &Path) -> u64 {
    defaults(batches, folder, basic::Compression::SNAPPY)
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let meeting = Meeting::of(PAGES, false);
    let pages: Vec<_> = meeting
        .with_offsets()
        .map(|(offset, body)| Page::decode(body, &meeting.uuid, offset).unwrap().records)
        .collect();
    let batches: Vec<_> = pages
        .chunks(GATHERED)
        .map(|pages| concat_batches(&schema(), pages).unwrap())
        .collect();
    let mut group = criterion.benchmark_group("parquet");
    group.throughput(Throughput::Elements(RECORDS));
    for (name, input, encode) in [
        (
            "rollbook from batches",
            &batches,
            rollbook as fn(&[RecordBatch], &Path) -> u64,
        ),
        ("rollbook from pages", &pages, rollbook),
        ("defaults, uncompressed", &batches, uncompressed),
        ("defaults, snappy", &batches, snappy),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let tenths = encode(input, folder.path()) * 10 / RECORDS;
        eprintln!("{name}: {}.{} bytes a record", tenths / 10, tenths % 10);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || tempfile::tempdir().unwrap(),
                |folder| {
                    encode(input, folder.path());
                    folder
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    criterion.final_summary();
}
