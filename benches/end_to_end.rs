//! How much sooner, and with how much less CPU, does an export end than a simple program?
//!
//! Both ask the embedded API without a limit and leave Parquet in an empty folder: rollbook with
//! all its promises; the baseline with one request after the other, a struct a record, and the
//! defaults of `ArrowWriter`. Times are of the wall. The simulator runs on a thread of its own
//! and is measured alone first, so that one sees that it holds nobody up; CPU times, without the
//! simulator's, are printed behind each run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a bench that lacks what it needs cannot measure; CPU has no place in its report"
)]

#[path = "fixture/columns.rs"]
mod columns;
#[path = "fixture/connection.rs"]
mod connection;
#[path = "fixture/cpu.rs"]
mod cpu;
#[path = "fixture/owned.rs"]
mod owned;

use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use connection::Connection;
use criterion::{Criterion, Throughput};
use parquet::arrow::ArrowWriter;
use rollbook::simulator::{Options, Simulator, TOKEN};
use rollbook::{ConfUuid, Config, Credentials, Export, Outcome, Rate, schema, silent};
use tokio::runtime::{self, Runtime};
use tokio_util::sync::CancellationToken;

const PATH: &str = "/v1/mmc/management/conferences/history/confAttendeeRecord";
const PAGE: u64 = 500;
const CONNECTIONS: usize = 4;

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
}

/// Every page of a meeting, over connections kept alive; the simulator's limit.
fn pages(criterion: &mut Criterion) {
    let server = Server::start(&[64 * PAGE]);
    let requests: Vec<_> = (0..64)
        .map(|page| {
            format!(
                "GET {PATH}?confUUID={}&offset={}&limit={PAGE} HTTP/1.1\r\nHost: localhost\r\n\
                 X-Access-Token: {TOKEN}\r\nAccept-Language: en-US\r\n\r\n",
                server.meetings[0].as_str(),
                page * PAGE,
            )
        })
        .collect();
    let mut connections: Vec<_> = (0..CONNECTIONS)
        .map(|_| Connection::open(server.simulator.address()))
        .collect();
    let mut group = criterion.benchmark_group("simulator");
    group.throughput(Throughput::Elements(1));
    let mut cost = Cost::default();
    group.bench_function("pages", |bencher| {
        bencher.iter_custom(|pages| {
            let pages = usize::try_from(pages).unwrap();
            let before = cpu::of_threads(SIMULATOR);
            let begun = Instant::now();
            thread::scope(|scope| {
                for (number, connection) in connections.iter_mut().enumerate() {
                    let share = (pages + number) / CONNECTIONS;
                    let requests = requests.iter().cycle().take(share);
                    scope.spawn(|| {
                        for request in requests {
                            assert!(connection.fetch(request.as_bytes()) > 80_000);
                        }
                    });
                }
            });
            let elapsed = begun.elapsed();
            cost.add(before, cpu::of_threads(SIMULATOR), pages as u64);
            elapsed
        });
    });
    group.finish();
    cost.tell("simulator/pages", "page");
}

/// CPU time over all runs of a bench.
#[derive(Default)]
struct Cost {
    spent: Duration,
    elements: u64,
}

impl Cost {
    fn add(&mut self, before: Option<Duration>, after: Option<Duration>, elements: u64) {
        if let Some((before, after)) = before.zip(after) {
            self.spent += after.saturating_sub(before);
            self.elements += elements;
        }
    }

    fn tell(&self, name: &str, element: &str) {
        if let Some(each) = self.spent.as_nanos().checked_div(self.elements.into()) {
            eprintln!("{name}: {each} ns of CPU a {element}");
        }
    }
}

/// CPU time of everybody but the simulator.
fn without_simulator() -> Option<Duration> {
    Some(cpu::of_process()?.saturating_sub(cpu::of_threads(SIMULATOR)?))
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
    let url = server.simulator.base_url().join(PATH).unwrap();
    let file = File::create(folder.join("records.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, schema(), None).unwrap();
    let mut records = 0;
    for meeting in &server.meetings {
        let mut offset = 0;
        loop {
            let request = client
                .get(url.clone())
                .query(&[("confUUID", meeting.as_str())])
                .query(&[("offset", offset), ("limit", PAGE)])
                .header("X-Access-Token", TOKEN);
            let answer = request.send().await.unwrap().error_for_status().unwrap();
            let page = owned::Page::parse(&answer.bytes().await.unwrap());
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

fn export(criterion: &mut Criterion, name: &str, sizes: &[u64]) {
    let server = Server::start(sizes);
    let runtime = Runtime::new().unwrap();
    let mut measure = |program: &str, run: &dyn Fn(&Path)| {
        let mut group = criterion.benchmark_group(format!("export/{name}"));
        group.throughput(Throughput::Elements(server.records));
        let mut cost = Cost::default();
        group.bench_function(program, |bencher| {
            bencher.iter_custom(|runs| {
                let mut elapsed = Duration::ZERO;
                for _ in 0..runs {
                    let folder = tempfile::tempdir().unwrap();
                    let before = without_simulator();
                    let begun = Instant::now();
                    run(folder.path());
                    elapsed += begun.elapsed();
                    cost.add(before, without_simulator(), server.records);
                }
                elapsed
            });
        });
        group.finish();
        cost.tell(&format!("export/{name}/{program}"), "record");
    };
    measure("rollbook", &|folder| {
        runtime.block_on(rollbook(&server, folder));
    });
    measure("simple program", &|folder| {
        runtime.block_on(simple_program(&server, folder));
    });
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    pages(&mut criterion);
    export(&mut criterion, "one large meeting", &[200_000]);
    let many: Vec<_> = (0..500).map(|n| 100 + n * 37 % 101).collect();
    export(&mut criterion, "500 small meetings", &many);
    criterion.final_summary();
}
