//! Does what an export costs follow what it brings (S1), in memory that does not grow (M1)? And how
//! long does a dataset take to open that was committed to each hour for a year, without a checkpoint
//! of its ledger and with one? (`-- opening` asks that alone.)
//!
//! Each run is a process of its own, so that its peak of memory is its own (Linux tells it); the
//! simulator is in the process that starts them. They take turns; figures are medians of five, and
//! of three where a run takes seconds. What is "large" is three times as large as the base;
//! `cargo bench --bench scale -- full` makes it ten times, and takes some minutes.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that lacks what it needs cannot measure, and its figures are its output"
)]

#[path = "fixture/cpu.rs"]
mod cpu;
#[path = "fixture/rounds.rs"]
mod rounds;
#[path = "fixture/target.rs"]
mod target;

use std::cell::{Cell, RefCell};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rollbook::simulator::{Options, Simulator, TOKEN};
use rollbook::{
    Compression, ConfUuid, Config, Credentials, Dataset, Export, Format, Outcome, Rate, silent,
};
use rounds::medians;
use serde_json::json;
use target::tell;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Entries of a large ledger, and meetings in each.
const ENTRIES: usize = 10_000;
const MEETINGS: usize = 100;

/// Bytes of each of its parts.
const PART: &[u8] = b"part";

fn main() {
    let words: Vec<_> = env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["export", base_url, list, out] => export(base_url, list, out),
        ["open", out] => open(out),
        ["sum-up", out, report] => sum_up(out, report),
        words if words.contains(&"opening") => opening(&tempfile::tempdir().unwrap()),
        words => bench(if words.contains(&"full") { 10 } else { 3 }),
    }
}

fn bench(times: u64) {
    let home = tempfile::tempdir().unwrap();
    let (base, large) = (1_000_000, 1_000_000 * times);
    let one = Work::of(&home, "one", &[base]);
    let larger = Work::of(&home, "larger", &[large]);
    let [one, larger] = one.beside(3, &larger);
    tell("M1", "megabytes at 1 M records", one.megabytes(), ..=80.0);
    tell(
        "M1",
        &format!("memory at {times} M records, of that at 1 M"),
        larger.megabytes() / one.megabytes(),
        ..=1.1,
    );
    tell(
        "S1",
        &format!("CPU a record at {times} M records, of that at 1 M"),
        larger.cpu_by(large) / one.cpu_by(base),
        ..=1.1,
    );

    let middling = Work::of(&home, "middling", &[150; 2_000]);
    let one = Work::of(&home, "as many", &[300_000]);
    let (requests, fewer) = (2_000, 300_000_u64.div_ceil(499));
    let [middling, one] = middling.beside(5, &one);
    tell(
        "S1",
        "wall a request for 2,000 meetings of 150, of that for one of 300,000",
        middling.wall_by(requests) / one.wall_by(fewer),
        ..=1.0,
    );

    let (few, many) = (10_000, 10_000 * times);
    let of = |meetings| -> Vec<_> { (0..meetings).map(|number| 1 + number % 3).collect() };
    let [few, many] = [("few", few), ("many", many)]
        .map(|(name, meetings)| (meetings, Work::of(&home, name, &of(meetings))));
    let [less, more] = few.1.beside(3, &many.1);
    tell(
        "S1",
        &format!("CPU a meeting for {times}0,000 of 1 to 3, of that for 10,000"),
        more.cpu_by(many.0) / less.cpu_by(few.0),
        ..=1.1,
    );
    println!(
        "S1: memory for them: {:.0} and {:.0} MB",
        less.megabytes(),
        more.megabytes()
    );

    opening(&home);
}

fn opening(home: &TempDir) {
    let ledger = home.path().join("ledger");
    write_ledger(&ledger);
    let checkpoints = ledger.join("_rollbook/checkpoints");
    let little = Work::of(home, "little", &[1]);
    little.child.run();
    let report = only_file(&little.out.join("_rollbook/runs"));
    let place = ledger.to_str().unwrap().to_owned();
    let without = Child::new(vec!["open".to_owned(), place.clone()]);
    let with = Child::new(without.words.clone());
    let report = report.to_str().unwrap().to_owned();
    let sum_up = Child::new(vec!["sum-up".to_owned(), place, report]);
    let told = |what: &str, child: &Child, (wall, cpu): (Duration, Duration)| {
        let (wall, cpu) = (wall.as_secs_f64(), cpu.as_secs_f64());
        let megabytes = Duration::from_millis(child.peak()).as_secs_f64() * 1.024;
        println!("opening: {what}: {wall:.2} s, {cpu:.2} s of CPU, {megabytes:.0} MB of memory");
    };

    let [spent] = medians(5, || without.cpu.get(), [&mut || without.run()]);
    told("without a checkpoint", &without, spent);
    let write = &mut || {
        if checkpoints.exists() {
            fs::remove_dir_all(&checkpoints).unwrap();
        }
        sum_up.run();
    };
    let [spent] = medians(5, || sum_up.cpu.get(), [write]);
    told("with the end of a run that writes one", &sum_up, spent);
    let bytes = fs::metadata(only_file(&checkpoints)).unwrap().len();
    println!("opening: a checkpoint of {bytes} bytes");
    let [spent] = medians(5, || with.cpu.get(), [&mut || with.run()]);
    told("with a checkpoint", &with, spent);
    tell(
        "opening",
        "seconds for 10,000 entries with 1,000,000 meetings",
        spent.0.as_secs_f64(),
        ..=1.0,
    );
}

fn only_file(folder: &Path) -> PathBuf {
    let mut entries = fs::read_dir(folder).unwrap();
    let file = entries.next().unwrap().unwrap().path();
    assert!(entries.next().is_none());
    file
}

/// Meetings of the embedded API, and where a run brings them.
struct Work {
    /// Answers as long as it lives.
    _simulator: (Runtime, Simulator),
    out: PathBuf,
    child: Child,
}

/// What the runs took, in the middle.
struct Figures {
    wall: Duration,
    cpu: Duration,
    kilobytes: u64,
}

impl Work {
    fn of(home: &TempDir, name: &str, sizes: &[u64]) -> Self {
        let runtime = Runtime::new().unwrap();
        let options = Options {
            log: false,
            ..Options::sizes(sizes)
        };
        let simulator = runtime.block_on(Simulator::start(options)).unwrap();
        let list = home.path().join(format!("{name}.txt"));
        let lines: Vec<_> = simulator
            .meetings()
            .iter()
            .map(ConfUuid::to_string)
            .collect();
        fs::write(&list, lines.join("\n")).unwrap();
        let out = home.path().join(name);
        let words = vec![
            "export".to_owned(),
            simulator.base_url().to_string(),
            list.to_str().unwrap().to_owned(),
            out.to_str().unwrap().to_owned(),
        ];
        Self {
            _simulator: (runtime, simulator),
            out,
            child: Child::new(words),
        }
    }

    fn run(&self) {
        self.child.run();
        fs::remove_dir_all(&self.out).unwrap();
    }

    /// Runs two in turns.
    fn beside(&self, rounds: usize, other: &Self) -> [Figures; 2] {
        let cpu = || self.child.cpu.get() + other.child.cpu.get();
        let [mine, others] = medians(rounds, cpu, [&mut || self.run(), &mut || other.run()]);
        [(mine, self), (others, other)].map(|(spent, work)| Figures {
            wall: spent.0,
            cpu: spent.1,
            kilobytes: work.child.peak(),
        })
    }
}

impl Figures {
    fn megabytes(&self) -> f64 {
        Duration::from_millis(self.kilobytes).as_secs_f64() * 1.024
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn cpu_by(&self, count: u64) -> f64 {
        self.cpu.as_secs_f64() / count as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn wall_by(&self, count: u64) -> f64 {
        self.wall.as_secs_f64() / count as f64
    }
}

/// This program, started again to do one thing.
struct Child {
    words: Vec<String>,
    /// Of all runs so far.
    cpu: Cell<Duration>,
    /// In kilobytes, of each run.
    peaks: RefCell<Vec<u64>>,
}

impl Child {
    fn new(words: Vec<String>) -> Self {
        Self {
            words,
            cpu: Cell::default(),
            peaks: RefCell::default(),
        }
    }

    fn run(&self) {
        let program = env::current_exe().unwrap();
        let done = Command::new(program).args(&self.words).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        let told = String::from_utf8(done.stdout).unwrap();
        let (nanos, kilobytes) = told.trim().split_once(' ').unwrap();
        let cpu = Duration::from_nanos(nanos.parse().unwrap());
        self.cpu.set(self.cpu.get() + cpu);
        self.peaks.borrow_mut().push(kilobytes.parse().unwrap());
    }

    fn peak(&self) -> u64 {
        let mut peaks = self.peaks.borrow().clone();
        peaks.sort_unstable();
        peaks[peaks.len() / 2]
    }
}

/// What the process that starts this one wants to know.
fn tell_figures() {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = peak.map_or("0", |peak| peak.trim().trim_end_matches(" kB"));
    println!("{} {kilobytes}", cpu::of_process().as_nanos());
}

fn export(base_url: &str, list: &str, out: &str) {
    let meetings = fs::read_to_string(list).unwrap();
    let meetings: Vec<_> = meetings.lines().map(|line| line.parse().unwrap()).collect();
    let export = Export {
        config: Config {
            base_url: base_url.parse().unwrap(),
            out: Some(out.to_owned()),
            rate: Rate::Unlimited,
            ..Config::default()
        },
        credentials: Credentials::Token(TOKEN.into()),
        meetings,
        pipe: None,
        pii_key: None,
    };
    let run = export.run(silent(), CancellationToken::new());
    let finished = Runtime::new().unwrap().block_on(run).unwrap();
    assert_eq!(finished.report.outcome, Outcome::Complete);
    tell_figures();
}

fn open(out: &str) {
    let dataset = opened(&Runtime::new().unwrap(), out, "bench");
    assert!(dataset.holds(&meeting(ENTRIES, MEETINGS - 1)));
    tell_figures();
}

fn opened(runtime: &Runtime, out: &str, run_id: &str) -> Dataset {
    let (format, compression) = (Format::Parquet, Compression::of(Format::Parquet));
    let open = Dataset::open(out, run_id, format, compression);
    runtime.block_on(open).unwrap()
}

/// Opens a dataset and ends the run.
fn sum_up(out: &str, report: &str) {
    let report = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    let runtime = Runtime::new().unwrap();
    let run_id = format!("bench-{}", std::process::id());
    let mut dataset = opened(&runtime, out, &run_id);
    runtime.block_on(dataset.finish(&report)).unwrap();
    tell_figures();
}

/// As different as the API's.
fn meeting(entry: usize, number: usize) -> ConfUuid {
    let mut chance = chance(entry, number);
    format!("{:032x}", chance.u128(..)).parse().unwrap()
}

fn chance(entry: usize, number: usize) -> fastrand::Rng {
    fastrand::Rng::with_seed((entry * MEETINGS + number) as u64)
}

/// A dataset as hourly runs leave it, but for what is in its parts: opening does not read them.
fn write_ledger(out: &Path) {
    let begun = Instant::now();
    let folder = out.join("_rollbook/ledger");
    fs::create_dir_all(&folder).unwrap();
    let names = |entry| format!("part-{entry:020}-00000.parquet");
    for entry in 1..=ENTRIES {
        fs::write(out.join(names(entry)), PART).unwrap();
    }
    // What was written after its commit would be read again.
    let at = "2036-11-23T05:10:02.011645081Z";
    for entry in 1..=ENTRIES {
        let meetings = (0..MEETINGS).map(|number| {
            let nanos = chance(entry, number).u32(..500_000_000);
            let fetched = |nanos| {
                format!(
                    "2036-11-23T05:{:02}:{:02}.{nanos:09}Z",
                    entry % 60,
                    number % 60
                )
            };
            let (first_fetch, last_fetch) = (fetched(nanos), fetched(nanos * 2));
            json!({
                "conf_uuid": meeting(entry, number), "count": 1, "rows": 1, "requests": 1,
                "first_fetch": first_fetch, "last_fetch": last_fetch, "status": "complete",
                "proof": "single-page", "pages": 1, "seams": 0,
            })
        });
        let run = format!("20261123T051002Z-{entry}");
        let text = json!({
            "version": 1, "sequence": entry, "run_id": run, "committed_at": at,
            "parts": [{
                "path": names(entry), "rows": MEETINGS, "bytes": PART.len(),
                "sha256": "0".repeat(64),
                "staged": format!("_rollbook/staging/{run}/0-00000000.parquet"),
            }],
            "meetings": meetings.collect::<Vec<_>>(),
        });
        fs::write(folder.join(format!("{entry:020}.json")), text.to_string()).unwrap();
    }
    println!(
        "opening: a ledger written in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
}
