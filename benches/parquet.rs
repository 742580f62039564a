//! What do rollbook's Parquet settings cost in time, and save in bytes, against the defaults?
//!
//! First as ratios, in one run and for records of several shapes: CPU against the defaults
//! uncompressed, bytes against the defaults with snappy. Then as times, for the simulator's
//! records. Encoding begins at pages, as the pager hands them out, for rollbook, and at batches
//! that are worth encoding for the defaults. All write a file; only rollbook's part is also hashed
//! and made durable.
//!
//! Instructions, which do not depend on who else uses the machine, can be counted where one test
//! run of one bench is given to `valgrind --tool=callgrind --toggle-collect='*ParquetEncoder*'`:
//! the executable of this bench with `--bench --test 'parquet/rollbook, zstd'`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a bench that lacks what it needs cannot measure; ratios have no place in its report"
)]

#[path = "fixture/pages.rs"]
mod pages;
#[path = "fixture/shapes.rs"]
mod shapes;

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use criterion::{BatchSize, Criterion, Throughput};
use pages::{Meeting, PAGE};
use parquet::arrow::ArrowWriter;
use parquet::basic;
use parquet::file::properties::WriterProperties;
use rollbook::{BatchWriter, Compression, Format, Language, Page, PartOptions, Provenance, schema};

const PAGES: u64 = 400;
const RECORDS: u64 = PAGES * PAGE;

/// Records of a batch that is worth encoding at once.
const BATCH: usize = 32_768;

/// How often each is encoded for a ratio; the least counts.
const ROUNDS: usize = 7;

/// Who encodes, and how.
#[derive(Clone, Copy)]
enum Way {
    Rollbook(Compression),
    Defaults(basic::Compression),
}

impl Way {
    const ALL: [(&str, Self); 6] = [
        (
            "defaults, none",
            Self::Defaults(basic::Compression::UNCOMPRESSED),
        ),
        (
            "defaults, snappy",
            Self::Defaults(basic::Compression::SNAPPY),
        ),
        ("rollbook, zstd", Self::Rollbook(Compression::ZSTD)),
        ("rollbook, lz4", Self::Rollbook(Compression::Lz4)),
        ("rollbook, snappy", Self::Rollbook(Compression::Snappy)),
        ("rollbook, none", Self::Rollbook(Compression::None)),
    ];

    /// The records as this way wants them.
    fn cut(self, records: &RecordBatch) -> Vec<RecordBatch> {
        match self {
            Self::Rollbook(_) => shapes::cut(records, usize::try_from(PAGE).unwrap()),
            Self::Defaults(_) => shapes::cut(records, BATCH),
        }
    }

    /// Writes a file; its size.
    fn encode(self, batches: &[RecordBatch], folder: &Path) -> u64 {
        match self {
            Self::Rollbook(compression) => rollbook(batches, folder, compression),
            Self::Defaults(codec) => defaults(batches, folder, codec),
        }
    }
}

fn rollbook(pages: &[RecordBatch], folder: &Path, compression: Compression) -> u64 {
    let options = PartOptions {
        format: Format::Parquet,
        compression,
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

/// CPU time of this thread so far; where the system does not tell, the time.
fn now(since: Instant) -> Duration {
    let schedule = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = schedule.and_then(|text| text.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| since.elapsed(), Duration::from_nanos)
}

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
fn tell_ratios(shape: &str, records: &RecordBatch) {
    let ways = Way::ALL.map(|(name, way)| (name, way, way.cut(records)));
    let mut least = [(Duration::MAX, 0); Way::ALL.len()];
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        for ((_, way, batches), (cpu, bytes)) in ways.iter().zip(&mut least) {
            let folder = tempfile::tempdir().unwrap();
            let before = now(begun);
            *bytes = way.encode(batches, folder.path());
            *cpu = now(begun).saturating_sub(before).min(*cpu);
        }
    }
    let (uncompressed, snappy) = (least[0].0.as_secs_f64(), least[1].1 as f64);
    for ((name, ..), (cpu, bytes)) in ways.iter().zip(least) {
        eprintln!(
            "{shape:18} | {name:16} | time {:.2} | bytes {:.3} | {:5.1} bytes a record",
            cpu.as_secs_f64() / uncompressed,
            bytes as f64 / snappy,
            bytes as f64 / RECORDS as f64,
        );
    }
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
    let records = concat_batches(&schema(), &pages).unwrap();
    if !std::env::args().any(|argument| argument == "--test") {
        for (shape, records) in shapes::all(&records) {
            tell_ratios(shape, &records);
        }
    }
    let mut group = criterion.benchmark_group("parquet");
    group.throughput(Throughput::Elements(RECORDS));
    for (name, way) in Way::ALL {
        let batches = way.cut(&records);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || tempfile::tempdir().unwrap(),
                |folder| {
                    way.encode(&batches, folder.path());
                    folder
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    criterion.final_summary();
}
