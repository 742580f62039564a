//! How much cheaper are NDJSON lines written from columns than from a struct a record (N1)?
//!
//! From the bytes of pages, and for a closer look from records that are ready (columns here,
//! structs there). Both sides write the same bytes into nothing, through a buffer of the same
//! size. They take turns; figures are medians of CPU time.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that lacks what it needs cannot measure, and its figures are its output"
)]

#[path = "fixture/cpu.rs"]
mod cpu;
#[path = "fixture/options.rs"]
mod options;
#[path = "fixture/owned.rs"]
mod owned;
#[path = "fixture/pages.rs"]
mod pages;
#[path = "fixture/rounds.rs"]
mod rounds;
#[path = "fixture/target.rs"]
mod target;

use std::io::{self, BufWriter, Write};

use arrow::record_batch::RecordBatch;
use chrono::{DateTime, SecondsFormat, Utc};
use options::options;
use owned::Record;
use pages::{Meeting, PAGE};
use rollbook::{Compression, DigestKey, Format, Page, PipeWriter, Stay};
use rounds::medians;
use serde::{Serialize, Serializer};
use target::tell;

const PAGES: u64 = 256;
const ROUNDS: usize = 15;
const BUFFER: usize = 256 << 10;

/// A record as it is written.
#[derive(Serialize)]
struct Line {
    conf_uuid: String,
    record_index: u64,
    display_name: Option<String>,
    call_number: Option<String>,
    device_type: Option<String>,
    media_type: Option<String>,
    dept_name: Option<String>,
    #[serde(serialize_with = "rfc3339")]
    join_time: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339")]
    left_time: Option<DateTime<Utc>>,
    duration_ms: Option<i64>,
    anomaly: Option<&'static str>,
    extra: Option<String>,
}

#[expect(clippy::ref_option, reason = "the signature that serde calls")]
fn rfc3339<S: Serializer>(time: &Option<DateTime<Utc>>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
        .serialize(to)
}

impl Line {
    fn new(record: Record, meeting: &str, record_index: u64) -> Self {
        let stay = Stay::new(record.join_time, record.left_time);
        Self {
            conf_uuid: meeting.to_owned(),
            record_index,
            display_name: record.display_name,
            call_number: record.call_number,
            device_type: record.device_type,
            media_type: record.media_type,
            dept_name: record.dept_name,
            join_time: stay.join.and_then(DateTime::from_timestamp_millis),
            left_time: stay.left.and_then(DateTime::from_timestamp_millis),
            duration_ms: stay.duration,
            anomaly: stay.anomaly.map(rollbook::Anomaly::as_str),
            extra: None,
        }
    }
}

fn batches(meeting: &Meeting) -> impl Iterator<Item = RecordBatch> {
    meeting.with_offsets().map(|(offset, body)| {
        Page::decode(body, &meeting.uuid, offset, &DigestKey::default())
            .unwrap()
            .records
    })
}

fn lines(meeting: &Meeting) -> impl Iterator<Item = Vec<Line>> {
    meeting.with_offsets().map(|(offset, body)| {
        let page = owned::Page::parse(body);
        assert_eq!(page.is_last(offset), offset == (PAGES - 1) * PAGE);
        (offset..)
            .zip(page.data)
            .map(|(index, record)| Line::new(record, meeting.uuid.as_str(), index))
            .collect()
    })
}

fn from_columns<W>(pages: impl Iterator<Item = RecordBatch>, out: W) -> W
where
    W: Write + Send + 'static,
{
    let options = options(Format::Ndjson, Compression::None);
    let mut writer = PipeWriter::new(&options, out).unwrap();
    for page in pages {
        writer.whole(&[page]).unwrap();
    }
    writer.finish().unwrap()
}

fn from_structs<'a, W: Write>(lines: impl Iterator<Item = &'a Line>, out: &mut W) {
    for line in lines {
        serde_json::to_writer(&mut *out, line).unwrap();
        out.write_all(b"\n").unwrap();
    }
}

fn nothing() -> BufWriter<io::Sink> {
    BufWriter::with_capacity(BUFFER, io::sink())
}

fn main() {
    let meeting = Meeting::of(PAGES, false);
    let columns: Vec<_> = batches(&meeting).collect();
    let structs: Vec<_> = lines(&meeting).flatten().collect();
    let mut text = vec![];
    from_structs(structs.iter(), &mut text);
    assert!(from_columns(columns.iter().cloned(), vec![]) == text);

    let spent = medians(
        ROUNDS,
        cpu::of_process,
        [
            &mut || {
                from_columns(batches(&meeting), io::sink());
            },
            &mut || {
                let mut out = nothing();
                for page in lines(&meeting) {
                    from_structs(page.iter(), &mut out);
                }
            },
            &mut || {
                from_columns(columns.iter().cloned(), io::sink());
            },
            &mut || from_structs(structs.iter(), &mut nothing()),
        ],
    );
    let [ours, theirs, our_writing, their_writing] = spent.map(|(_, cpu)| cpu.as_secs_f64());
    tell(
        "N1",
        "CPU of owned structs / ours, from the bytes of pages",
        theirs / ours,
        3.0..,
    );
    println!("from ready records: {:.2}", their_writing / our_writing);
}
