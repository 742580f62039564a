//! Does anything but the server's latency, or its quota, decide when an export ends?
//!
//! Each figure is a ratio to what latency or quota alone allow. Without a limit: records a second
//! to `concurrency` pages each 22 ms where the server takes 20 ms. Under a quota: the time taken
//! to requests / rate, and the requests to their minimum, with the spool on as it is by default.
//! Then what connections cost over a distance: HTTP/2 against HTTP/1.1, how close requests come
//! to each other at the server while connections open, and what gzip saves.
//!
//! Takes 80 s; timings are medians.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench that lacks what it needs cannot measure; it prints ratios"
)]

#[path = "fixture/cpu.rs"]
mod cpu;
#[path = "fixture/distance.rs"]
mod distance;
#[path = "fixture/target.rs"]
mod target;
#[path = "fixture/threads.rs"]
mod threads;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use rollbook::simulator::{Options, Simulator, TOKEN};
use rollbook::{Config, Credentials, Export, Outcome, Rate, Report, silent};
use target::tell;
use tokio::runtime::{self, Runtime};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

const PATH: &str = "/v1/mmc/management/conferences/history/confAttendeeRecord";
const PAGE: u64 = 500;
const RUNS: usize = 5;

/// The name of the threads of the simulator and of the relay.
const SIMULATOR: &str = "simulator";

fn main() {
    // Whoever runs all benches with a filter means others.
    if std::env::args()
        .skip(1)
        .any(|argument| !argument.starts_with('-'))
    {
        return;
    }
    let server = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(SIMULATOR)
        .enable_all()
        .build()
        .unwrap();
    let here = Runtime::new().unwrap();
    without_a_limit(&server, &here);
    under_a_quota(&server, &here);
    protocols(&server, &here);
    arrivals(&server, &here);
    gzip(&server, &here);
}

/// What is exported from a simulator, and how.
struct Work {
    simulator: Simulator,
    config: Config,
    folder: tempfile::TempDir,
}

impl Work {
    async fn of(options: Options) -> Self {
        let simulator = Simulator::start(options).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let text = |name| folder.path().join(name).to_str().unwrap().to_owned();
        let mut config = Config {
            base_url: simulator.base_url(),
            out: Some(text("out")),
            state_dir: Some(folder.path().join("state")),
            rate: Rate::Unlimited,
            ..Config::default()
        };
        if let Some(pem) = simulator.certificate_pem() {
            let file = folder.path().join("ca.pem");
            std::fs::write(&file, pem).unwrap();
            config.ca_file = Some(file);
        }
        Self {
            simulator,
            config,
            folder,
        }
    }

    /// Exports everything into a new folder; tells how long it took.
    async fn export(&self) -> (Duration, Report) {
        let out = tempfile::tempdir_in(&self.folder).unwrap();
        let export = Export {
            config: Config {
                out: Some(out.path().to_str().unwrap().to_owned()),
                ..self.config.clone()
            },
            credentials: Credentials::Token(TOKEN.into()),
            meetings: self.simulator.meetings(),
            pipe: None,
            pii_key: None,
        };
        let begun = Instant::now();
        let finished = export.run(silent(), CancellationToken::new()).await;
        let elapsed = begun.elapsed();
        let report = finished.unwrap().report;
        assert_eq!(report.outcome, Outcome::Complete);
        (elapsed, report)
    }
}

fn one(pages: u64) -> Vec<u64> {
    vec![pages * (PAGE - 1)]
}

fn many(meetings: u64) -> Vec<u64> {
    (0..meetings)
        .map(|number| 100 + number * 37 % 101)
        .collect()
}

fn without_a_limit(server: &Runtime, here: &Runtime) {
    const LATENCY: Duration = Duration::from_millis(20);
    const BOUND: Duration = Duration::from_millis(22);
    for (name, sizes) in [
        ("one large meeting", one as fn(u64) -> Vec<u64>),
        ("many small meetings", many),
    ] {
        for concurrency in [1, 4, 16] {
            let requests = 40 * u64::from(concurrency);
            let options = Options {
                latency: LATENCY,
                log: false,
                ..Options::sizes(&sizes(requests))
            };
            let mut work = server.block_on(Work::of(options));
            work.config.concurrency = concurrency.try_into().unwrap();
            let ratios = (0..RUNS).map(|_| {
                let (elapsed, report) = here.block_on(work.export());
                let done = report.requests.sent as f64 * BOUND.as_secs_f64();
                done / f64::from(concurrency) / elapsed.as_secs_f64()
            });
            let ratio = median(ratios);
            let question =
                format!("pace at 20 ms / one page each 22 ms: {name}, {concurrency} at once");
            tell("L1", &question, ratio, 0.9..);
        }
    }
}

fn under_a_quota(server: &Runtime, here: &Runtime) {
    let mut runs = JoinSet::new();
    for (name, rate, requests, sizes) in [
        ("one large meeting", 10, 300, one as fn(u64) -> Vec<u64>),
        ("many small meetings", 10, 300, many),
        ("one large meeting", 50, 1_500, one),
        ("many small meetings", 50, 1_500, many),
    ] {
        let options = Options {
            latency: Duration::from_millis(100),
            ..Options::sizes(&sizes(requests))
        };
        let mut work = server.block_on(Work::of(options));
        work.config.rate = Rate::per_minute(60 * rate);
        let run = async move {
            let (elapsed, report) = work.export().await;
            let sent = report.requests.sent;
            let ratio = elapsed.as_secs_f64() * f64::from(rate) / sent as f64;
            let least = report.requests.minimum;
            let most = most_in_a_second(&work.simulator);
            let question = format!("time / requests at {rate}/s: {name}");
            let note = format!("{sent} of {least} requests, at most {most} in a second");
            (question, ratio, note)
        };
        runs.spawn_on(run, here.handle());
    }
    let mut lines = here.block_on(runs.join_all());
    lines.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    for (question, ratio, note) in lines {
        tell("Q1", &question, ratio, ..=1.01);
        println!("    {note}");
    }
    for rate in [500, 2_000] {
        let options = Options {
            log: false,
            ..Options::sizes(&many(2 * u64::from(rate)))
        };
        let mut work = server.block_on(Work::of(options));
        work.config.rate = Rate::per_minute(60 * rate);
        let (elapsed, report) = here.block_on(work.export());
        let came = report.requests.sent as f64 / elapsed.as_secs_f64();
        println!("  asked for {rate}/s: {came:.0}/s came");
    }
}

/// The most requests that arrived in any second.
fn most_in_a_second(simulator: &Simulator) -> usize {
    let mut times: Vec<_> = simulator.requests().iter().map(|seen| seen.at).collect();
    times.sort();
    let in_the_second_from = |first: &Duration| {
        let end = *first + Duration::from_secs(1);
        times.partition_point(|at| *at < end) - times.partition_point(|at| at < first)
    };
    times.iter().map(in_the_second_from).max().unwrap_or(0)
}

/// HTTP/2 against HTTP/1.1, by the bare HTTP library: 16 at once, over TLS.
fn protocols(server: &Runtime, here: &Runtime) {
    const PAGES: u64 = 600;
    println!("HTTP/2 to HTTP/1.1, over TLS, 16 at once");
    let options = Options {
        tls: true,
        log: false,
        ..Options::sizes(&one(PAGES))
    };
    let work = server.block_on(Work::of(options));
    for round_trip in [0, 20] {
        let mut base = work.config.base_url.clone();
        if round_trip > 0 {
            let far = distance::relay(work.simulator.address(), Duration::from_millis(round_trip));
            base.set_port(Some(server.block_on(far).port())).unwrap();
        }
        let mut ratios = (vec![], vec![]);
        for _ in 0..RUNS {
            let (time, cost) = here.block_on(fetch(&work, &base, false, PAGES));
            let (time2, cost2) = here.block_on(fetch(&work, &base, true, PAGES));
            ratios.0.push(time2.as_secs_f64() / time.as_secs_f64());
            ratios.1.push(cost2.as_secs_f64() / cost.as_secs_f64());
        }
        let (time, cost) = (median(ratios.0), median(ratios.1));
        println!("  {round_trip} ms away: time {time:.2}, CPU {cost:.2}");
    }
}

/// Fetches all pages; tells the time and the CPU time, without the server's.
async fn fetch(work: &Work, base: &Url, http2: bool, pages: u64) -> (Duration, Duration) {
    let pem = work.simulator.certificate_pem().unwrap();
    let authority = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([authority]);
    let client = if http2 { client } else { client.http1_only() };
    let client = client.build().unwrap();
    let url = base.join(PATH).unwrap();
    let meeting = work.simulator.meetings()[0].to_string();
    let cost = || cpu::of_process().saturating_sub(threads::cpu(SIMULATOR));
    let next = Arc::new(AtomicU64::new(0));
    let (begun, before) = (Instant::now(), cost());
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let (client, url, meeting) = (client.clone(), url.clone(), meeting.clone());
        let next = Arc::clone(&next);
        tasks.spawn(async move {
            loop {
                let page = next.fetch_add(1, Ordering::Relaxed);
                if page >= pages {
                    break;
                }
                let request = client
                    .get(url.clone())
                    .query(&[("confUUID", meeting.as_str())])
                    .query(&[("offset", page * (PAGE - 1)), ("limit", PAGE)])
                    .header("X-Access-Token", TOKEN);
                let answer = request.send().await.unwrap();
                assert_eq!(answer.version() == reqwest::Version::HTTP_2, http2);
                answer.error_for_status().unwrap().bytes().await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    (begun.elapsed(), cost().saturating_sub(before))
}

/// How close requests come to each other while connections over TLS are opened.
fn arrivals(server: &Runtime, here: &Runtime) {
    println!(
        "over TLS, 100 ms away, 50/s: the most requests in a second, and the time of the first"
    );
    let options = Options {
        tls: true,
        ..Options::sizes(&many(150))
    };
    let mut work = server.block_on(Work::of(options));
    let far = distance::relay(work.simulator.address(), Duration::from_millis(100));
    let port = server.block_on(far).port();
    work.config.base_url.set_port(Some(port)).unwrap();
    work.config.rate = Rate::per_minute(60 * 50);
    let (elapsed, report) = here.block_on(work.export());
    let most = most_in_a_second(&work.simulator);
    let ratio = elapsed.as_secs_f64() * 50.0 / report.requests.sent as f64;
    let connections = work.simulator.connections();
    println!("  {most} in a second, {connections} connections, time to requests / rate {ratio:.3}");
}

/// What a page weighs with and without gzip, and the link below which gzip pays.
fn gzip(server: &Runtime, here: &Runtime) {
    let work = server.block_on(Work::of(Options::sizes(&one(4))));
    let mut url = work.config.base_url.join(PATH).unwrap();
    let query = format!(
        "confUUID={}&offset=499&limit={PAGE}",
        work.simulator.meetings()[0]
    );
    url.set_query(Some(&query));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(url).header("X-Access-Token", TOKEN).send();
    let body = here.block_on(async { answer.await.unwrap().bytes().await.unwrap() });
    for level in [1, 6] {
        let mut gzip = GzEncoder::new(vec![], Compression::new(level));
        gzip.write_all(&body).unwrap();
        let packed = gzip.finish().unwrap();
        let unpacking = median((0..200).map(|_| {
            let begun = Instant::now();
            let mut unpacker = flate2::read::GzDecoder::new(&packed[..]);
            std::io::copy(&mut unpacker, &mut std::io::sink()).unwrap();
            begun.elapsed().as_secs_f64()
        }));
        let saved = body.len().saturating_sub(packed.len()) as f64 * 8.0;
        println!(
            "gzip({level}): {} bytes instead of {}, unpacked in {:.0} us: pays below {:.1} Gbit/s, saves {:.1} ms a page at 100 Mbit/s",
            packed.len(),
            body.len(),
            unpacking * 1e6,
            saved / unpacking / 1e9,
            saved / 1e8 * 1e3,
        );
    }
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
