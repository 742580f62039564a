//! What do rollbook's Parquet settings cost in time, and save in bytes, against the defaults?
//!
//! CPU against the defaults uncompressed (E1), bytes against the defaults with snappy (E2), for the
//! simulator's records and for some of other shapes, which no setting may spoil; and what classic
//! encodings cost beside them. Encoding begins at
//! pages, as the pager hands them out, for rollbook, and at batches that are worth encoding for the
//! defaults. All write a file; only rollbook's part is also hashed and made durable. All take
//! turns; times are medians.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that lacks what it needs cannot measure, and its figures are its output"
)]

#[path = "fixture/cpu.rs"]
mod cpu;
#[path = "fixture/options.rs"]
mod options;
#[path = "fixture/pages.rs"]
mod pages;
#[path = "fixture/rounds.rs"]
mod rounds;
#[path = "fixture/shapes.rs"]
mod shapes;
#[path = "fixture/target.rs"]
mod target;

use std::fs::File;
use std::path::Path;

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use options::options;
use pages::{Meeting, PAGE};
use parquet::arrow::ArrowWriter;
use parquet::basic;
use parquet::file::properties::WriterProperties;
use rollbook::{
    BatchWriter, Compression, DigestKey, Format, Page, ParquetEncodings, PartOptions, schema,
};
use rounds::medians;
use target::tell;

const PAGES: u64 = 400;
const RECORDS: u64 = PAGES * PAGE;

/// Records of a batch that is worth encoding at once.
const BATCH: usize = 32_768;

const ROUNDS: usize = 7;

/// Who encodes, and how.
#[derive(Clone, Copy)]
enum Way {
    Rollbook(Compression),
    /// For old readers.
    Classic(Compression),
    Defaults(basic::Compression),
}

impl Way {
    const ALL: [(&str, Self); 8] = [
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
        ("rollbook, zstd, classic", Self::Classic(Compression::ZSTD)),
        (
            "rollbook, snappy, classic",
            Self::Classic(Compression::Snappy),
        ),
    ];

    /// The records as this way wants them.
    fn cut(self, records: &RecordBatch) -> Vec<RecordBatch> {
        match self {
            Self::Rollbook(_) | Self::Classic(_) => {
                shapes::cut(records, usize::try_from(PAGE).unwrap())
            }
            Self::Defaults(_) => shapes::cut(records, BATCH),
        }
    }

    /// The most CPU and the most bytes that it may take, where a target says so.
    fn wanted(self) -> Option<(f64, Option<f64>)> {
        match self {
            Self::Rollbook(Compression::Zstd(_)) => Some((1.4, Some(0.50))),
            Self::Rollbook(Compression::Snappy) => Some((1.25, Some(0.62))),
            Self::Rollbook(Compression::Lz4) => Some((1.25, None)),
            _ => None,
        }
    }

    /// Writes a file; its size.
    fn encode(self, batches: &[RecordBatch], folder: &Path) -> u64 {
        match self {
            Self::Rollbook(compression) => {
                rollbook(batches, folder, options(Format::Parquet, compression))
            }
            Self::Classic(compression) => {
                let options = PartOptions {
                    parquet_encodings: ParquetEncodings::Classic,
                    ..options(Format::Parquet, compression)
                };
                rollbook(batches, folder, options)
            }
            Self::Defaults(codec) => defaults(batches, folder, codec),
        }
    }
}

fn rollbook(pages: &[RecordBatch], folder: &Path, options: PartOptions) -> u64 {
    let mut writer = BatchWriter::new(options, folder.to_owned());
    writer.whole(pages).unwrap();
    let part = writer.finish().unwrap().remove(0);
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

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
fn compare(shape: &str, records: &RecordBatch) {
    let mut bytes = [0; Way::ALL.len()];
    let mut ways: Vec<_> = Way::ALL
        .iter()
        .zip(&mut bytes)
        .map(|((_, way), bytes)| {
            let batches = way.cut(records);
            move || {
                let folder = tempfile::tempdir().unwrap();
                *bytes = way.encode(&batches, folder.path());
            }
        })
        .collect();
    let [first, second, third, fourth, fifth, sixth, seventh, eighth] = ways.as_mut_slice() else {
        unreachable!("as many as there are ways");
    };
    let contenders: [&mut dyn FnMut(); _] =
        [first, second, third, fourth, fifth, sixth, seventh, eighth];
    let cpu = medians(ROUNDS, cpu::of_process, contenders).map(|(_, cpu)| cpu.as_secs_f64());
    drop(ways);
    println!("{shape}");
    for (((name, way), cpu_of_way), bytes_of_way) in Way::ALL.into_iter().zip(cpu).zip(bytes) {
        let (time, size) = (cpu_of_way / cpu[0], bytes_of_way as f64 / bytes[1] as f64);
        match way.wanted() {
            Some((slowest, largest)) => {
                tell(
                    "E1",
                    &format!("CPU of {name} / defaults, none"),
                    time,
                    ..=slowest,
                );
                if let Some(largest) = largest {
                    tell(
                        "E2",
                        &format!("bytes of {name} / defaults, snappy"),
                        size,
                        ..=largest,
                    );
                }
            }
            None => println!("    {name}: CPU {time:.2}, bytes {size:.3}"),
        }
    }
}

fn main() {
    let meeting = Meeting::of(PAGES, false);
    let pages: Vec<_> = meeting
        .with_offsets()
        .map(|(offset, body)| {
            Page::decode(body, &meeting.uuid, offset, &DigestKey::default())
                .unwrap()
                .records
        })
        .collect();
    let records = concat_batches(&schema(), &pages).unwrap();
    for (shape, records) in shapes::all(&records) {
        compare(shape, &records);
    }
}
