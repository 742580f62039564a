//! What does an export cost beyond its stages (X1), and beside a simple program (X2)?
//!
//! Both ask the embedded API without a limit and leave Parquet in an empty folder: rollbook with
//! all its promises; the baseline with one request after the other, a struct a record, and the
//! defaults of `ArrowWriter` with snappy. The stages are fetching the same pages and dropping them,
//! decoding them, and encoding their records. All take turns; figures are medians of five. CPU is
//! without the simulator's, which runs on a thread of its own and is measured alone first, so that
//! one sees that it holds nobody up.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that lacks what it needs cannot measure, and its figures are its output"
)]

#[path = "fixture/columns.rs"]
mod columns;
#[path = "fixture/connection.rs"]
mod connection;
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
#[path = "fixture/threads.rs"]
mod threads;

use std::fs::File;
use std::hint::black_box;
use std::path::Path;
use std::thread;
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use connection::Connection;
use futures::{StreamExt, TryStreamExt, stream};
use options::options;
use pages::{Meeting, PAGE};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use rollbook::simulator::{Options, Simulator, TOKEN};
use rollbook::{
    BatchWriter, ConfUuid, Config, Credentials, DigestKey, Export, Format, Outcome, Page, Rate,
    schema, silent,
};
use rounds::{Spent, medians};
use target::tell;
use tokio::runtime::{self, Runtime};
use tokio_util::sync::CancellationToken;

const PATH: &str = "/v1/mmc/management/conferences/history/confAttendeeRecord";
const ROUNDS: usize = 5;
const CONNECTIONS: usize = 16;

/// Pages of the large meeting.
const PAGES: u64 = 1_000;

/// The name of the simulator's thread.
const SIMULATOR: &str = "simulator";

/// The embedded API on one thread of its own.
struct Server {
    simulator: Simulator,
    meetings: Vec<ConfUuid>,
    records: u64,
    _runtime: Runtime,
}

impl Server {
    fn start(sizes: &[u64]) -> Self {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(SIMULATOR)
            .enable_all()
            .build()
            .unwrap();
        let options = Options {
            log: false,
            ..Options::sizes(sizes)
        };
        let simulator = runtime.block_on(Simulator::start(options)).unwrap();
        Self {
            meetings: simulator.meetings(),
            simulator,
            records: sizes.iter().sum(),
            _runtime: runtime,
        }
    }

    fn url(&self) -> url::Url {
        self.simulator.base_url().join(PATH).unwrap()
    }
}

/// Tells how many pages the simulator gives in a second when nobody reads them.
fn limit(server: &Server) {
    let meeting = server.meetings[0].as_str();
    let ask = |page: u64| {
        format!(
            "GET {PATH}?confUUID={meeting}&offset={}&limit={PAGE} HTTP/1.1\r\nHost: localhost\r\n\
             X-Access-Token: {TOKEN}\r\nAccept-Language: en-US\r\n\r\n",
            page * PAGE,
        )
    };
    let (begun, before) = (Instant::now(), threads::cpu(SIMULATOR));
    thread::scope(|scope| {
        for number in 0..4 {
            scope.spawn(move || {
                let mut connection = Connection::open(server.simulator.address());
                for page in (number..PAGES).step_by(4) {
                    assert!(connection.fetch(ask(page).as_bytes()) > 80_000);
                }
            });
        }
    });
    let wall = begun.elapsed();
    let cpu = threads::cpu(SIMULATOR).saturating_sub(before);
    let each = |spent: std::time::Duration| spent.as_micros() / u128::from(PAGES);
    println!(
        "simulator alone: {} us of wall and {} us of CPU a page of {PAGE}",
        each(wall),
        each(cpu)
    );
}

async fn rollbook(server: &Server, folder: &Path) {
    let export = Export {
        config: Config {
            base_url: server.simulator.base_url(),
            out: Some(folder.to_str().unwrap().to_owned()),
            rate: Rate::Unlimited,
            ..Config::default()
        },
        credentials: Credentials::Token(TOKEN.into()),
        meetings: server.meetings.clone(),
        pipe: None,
        pii_key: None,
    };
    let finished = export.run(silent(), CancellationToken::new()).await;
    let report = finished.unwrap().report;
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(report.records, server.records);
}

async fn simple_program(server: &Server, folder: &Path) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let file = File::create(folder.join("records.parquet")).unwrap();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
    let mut writer = ArrowWriter::try_new(file, schema(), Some(properties.build())).unwrap();
    let mut records = 0;
    for meeting in &server.meetings {
        let mut offset = 0;
        loop {
            let body = fetch(&client, server, meeting, offset).await.unwrap();
            let page = owned::Page::parse(&body);
            let batch = columns::batch(&page.data, meeting.as_str(), offset);
            writer.write(&batch).unwrap();
            records += page.data.len() as u64;
            if page.is_last(offset) {
                break;
            }
            offset += page.data.len() as u64;
        }
    }
    writer.close().unwrap();
    assert_eq!(records, server.records);
}

async fn fetch(
    client: &reqwest::Client,
    server: &Server,
    meeting: &ConfUuid,
    offset: u64,
) -> reqwest::Result<bytes::Bytes> {
    let request = client
        .get(server.url())
        .query(&[("confUUID", meeting.as_str())])
        .query(&[("offset", offset), ("limit", PAGE)])
        .header("X-Access-Token", TOKEN);
    request.send().await?.error_for_status()?.bytes().await
}

/// Every page of the large meeting, dropped.
async fn fetch_alone(server: &Server) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let pages = stream::iter((0..PAGES).map(|page| page * PAGE));
    let bytes = pages
        .map(|offset| fetch(&client, server, &server.meetings[0], offset))
        .buffer_unordered(CONNECTIONS)
        .try_fold(0, async |bytes, body| Ok(bytes + body.len()));
    assert!(bytes.await.unwrap() > 0);
}

fn decode_alone(meeting: &Meeting) {
    for (offset, body) in meeting.with_offsets() {
        black_box(
            Page::decode(
                black_box(body),
                &meeting.uuid,
                offset,
                &DigestKey::default(),
            )
            .unwrap(),
        );
    }
}

fn encode_alone(pages: &[RecordBatch]) {
    let folder = tempfile::tempdir().unwrap();
    let options = options(Format::Parquet, Config::default().compression());
    let mut writer = BatchWriter::new(options, folder.path().to_owned());
    writer.whole(pages).unwrap();
    assert_eq!(writer.finish().unwrap().remove(0).rows, PAGES * PAGE);
}

/// CPU time of everybody but the simulator.
fn without_simulator() -> std::time::Duration {
    cpu::of_process().saturating_sub(threads::cpu(SIMULATOR))
}

fn in_a_folder(run: impl Fn(&Path)) -> impl Fn() {
    move || run(tempfile::tempdir().unwrap().path())
}

fn show(name: &str, (wall, cpu): Spent, records: u64) {
    let each = |spent: std::time::Duration| spent.as_nanos() / u128::from(records);
    let (wall, cpu) = (each(wall), each(cpu));
    println!("{name:<28} {wall:>6} ns of wall {cpu:>6} ns of CPU a record");
}

fn main() {
    let runtime = Runtime::new().unwrap();
    let server = Server::start(&[PAGES * PAGE]);
    limit(&server);
    let meeting = Meeting::of(PAGES, false);
    let pages: Vec<_> = meeting
        .with_offsets()
        .map(|(offset, body)| {
            Page::decode(body, &meeting.uuid, offset, &DigestKey::default())
                .unwrap()
                .records
        })
        .collect();
    let figures = medians(
        ROUNDS,
        without_simulator,
        [
            &mut in_a_folder(|folder| runtime.block_on(rollbook(&server, folder))),
            &mut in_a_folder(|folder| runtime.block_on(simple_program(&server, folder))),
            &mut || runtime.block_on(fetch_alone(&server)),
            &mut || decode_alone(&meeting),
            &mut || encode_alone(&pages),
        ],
    );
    let names = [
        "rollbook",
        "simple program",
        "fetching",
        "decoding",
        "encoding",
    ];
    println!("one meeting of {} records", server.records);
    for (name, spent) in names.into_iter().zip(figures) {
        show(name, spent, server.records);
    }
    let [ours, simple, stages @ ..] = figures.map(|(_, cpu)| cpu.as_secs_f64());
    let stages: f64 = stages.iter().sum();
    tell(
        "X1",
        "CPU of an export / its stages alone",
        ours / stages,
        ..=1.35,
    );
    tell(
        "X2",
        "CPU of an export / a simple program",
        ours / simple,
        ..=0.55,
    );

    let sizes: Vec<_> = (0..2_000).map(|n| 100 + n * 37 % 101).collect();
    let server = Server::start(&sizes);
    let figures = medians(
        ROUNDS,
        without_simulator,
        [
            &mut in_a_folder(|folder| runtime.block_on(rollbook(&server, folder))),
            &mut in_a_folder(|folder| runtime.block_on(simple_program(&server, folder))),
        ],
    );
    println!("2,000 meetings of about 150 records");
    for (name, spent) in names.into_iter().zip(figures) {
        show(name, spent, server.records);
    }
}
