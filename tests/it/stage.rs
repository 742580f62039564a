//! The binary against the embedded API, in a folder of its own: the harness of the tests that see
//! the command as its user does.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rollbook::simulator::{Effect, Fault, Options, ServiceError, Simulator, TOKEN};
use rollbook::{Column, Report};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A simulator, a folder to work in, and the list of all meetings in it.
pub(crate) struct Stage {
    pub(crate) simulator: Simulator,
    pub(crate) folder: tempfile::TempDir,
    // Dropped last: the simulator lives on it.
    _runtime: Runtime,
}

impl Stage {
    /// One meeting for each size.
    pub(crate) fn of(sizes: &[u64]) -> Self {
        Self::with(Options::sizes(sizes))
    }

    pub(crate) fn with(options: Options) -> Self {
        let meetings = options.meetings.len();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let started = Simulator::start(options);
        let stage = Self {
            simulator: runtime.block_on(started).unwrap(),
            folder: tempfile::tempdir().unwrap(),
            _runtime: runtime,
        };
        stage.list("list.txt", 0..meetings);
        if let Some(pem) = stage.simulator.certificate_pem() {
            fs::write(stage.path("ca.pem"), pem).unwrap();
        }
        stage
    }

    pub(crate) fn fault(self, fault: Fault) -> Self {
        self.simulator.add_fault(fault);
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The UUID of a meeting by its place in the list.
    pub(crate) fn meeting(&self, position: usize) -> String {
        self.simulator.meetings()[position].to_string()
    }

    /// Writes a list of these meetings.
    pub(crate) fn list(&self, name: &str, positions: impl IntoIterator<Item = usize>) {
        let lines = positions.into_iter().map(|at| self.meeting(at) + "\n");
        fs::write(self.path(name), lines.collect::<String>()).unwrap();
    }

    /// The command in its folder, with nothing but a site and the pace of a test in its variables.
    pub(crate) fn bare(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ROLLBOOK_")) {
            command.env_remove(name);
        }
        command
            .env("ROLLBOOK_BASE_URL", self.simulator.base_url().as_str())
            .env("ROLLBOOK_RATE", "unlimited")
            .env("ROLLBOOK_STATE_DIR", self.path("state"))
            .env("ROLLBOOK_RETRY_DELAY", "1ms")
            .env("ROLLBOOK_RESTART_DELAY", "1ms")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .args(args);
        if self.simulator.certificate_pem().is_some() {
            command.env("ROLLBOOK_CA_FILE", "ca.pem");
        }
        command
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bare(args);
        command.env("ROLLBOOK_ACCESS_TOKEN", TOKEN);
        command
    }

    /// A shell script in the folder, with the variables of [`Stage::command`] and the command
    /// itself as `$BIN`; what runs it may be told how.
    pub(crate) fn script(&self, runner: &[&str], script: &str) -> Command {
        let command = self.command(&[]);
        let mut shell = Command::new(runner.first().unwrap_or(&"sh"));
        shell.args(runner.iter().skip(1));
        if !runner.is_empty() {
            shell.arg("sh");
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell
            .env("BIN", command.get_program())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .args(["-c", script]);
        shell
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        ended(&mut self.command(args))
    }

    /// Exports the list into `out`, with these arguments on top.
    pub(crate) fn export(&self, args: &[&str]) -> Ended {
        let all = ["export", "--meetings", "list.txt", "--out", "out"];
        self.run(&[&all, args].concat())
    }

    /// How many requests came since the last time this was asked.
    pub(crate) fn requests(&self) -> usize {
        let seen = self.simulator.requests().len();
        self.simulator.clear_requests();
        seen
    }

    pub(crate) fn report(&self) -> Report {
        serde_json::from_slice(&fs::read(self.path("report.json")).unwrap()).unwrap()
    }

    pub(crate) fn verified(&self) -> Ended {
        self.run(&["verify", "out"])
    }

    /// The names of the parts and their bytes.
    pub(crate) fn parts(&self, out: &str) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.path(out)).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (name(&path), fs::read(&path).unwrap()))
            .collect()
    }

    /// The rows of all parts, in the order in which they stand.
    pub(crate) fn rows(&self, out: &str) -> Vec<(String, i64, String)> {
        let parts = self.parts(out).into_values().map(Bytes::from);
        let batches = parts.flat_map(|part| {
            let reader = ParquetRecordBatchReaderBuilder::try_new(part).unwrap();
            reader.build().unwrap()
        });
        batches.flat_map(|batch| rows(&batch.unwrap())).collect()
    }

    /// No reader of the dataset sees half a meeting or a row twice: each meeting is there with
    /// exactly the records that the server has, or not at all. Tells how many are there.
    #[track_caller]
    pub(crate) fn assert_no_halves(&self, out: &str) -> usize {
        let mut seen: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (meeting, index, name) in self.rows(out) {
            seen.entry(meeting).or_default().push((index, name));
        }
        for (meeting, rows) in &seen {
            let truth = self.simulator.truth(&meeting.parse().unwrap());
            let truth: Vec<_> = (0..)
                .zip(truth.into_iter().map(|record| record.display_name))
                .collect();
            assert!(
                *rows == truth,
                "{meeting}: {} rows of {}",
                rows.len(),
                truth.len()
            );
        }
        seen.len()
    }

    /// The rows are these meetings, each record of each, in order.
    #[track_caller]
    pub(crate) fn assert_rows(&self, rows: &[(String, i64, String)], positions: &[usize]) {
        let meetings = self.simulator.meetings();
        let truth: Vec<_> = positions
            .iter()
            .flat_map(|&at| {
                let names = self.simulator.truth(&meetings[at]);
                let names = (0..).zip(names.into_iter().map(|record| record.display_name));
                names
                    .map(|(index, name)| (meetings[at].to_string(), index, name))
                    .collect::<Vec<_>>()
            })
            .collect();
        let differing = rows.iter().zip(&truth).find(|(row, truth)| row != truth);
        assert!(differing.is_none(), "{differing:?}");
        assert_eq!(rows.len(), truth.len());
    }
}

pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// What a command that is over leaves: its exit code and its two streams.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn new(output: Output) -> Self {
        let ended = Self {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
        ended
    }

    /// It ended so, and said nothing on standard output.
    #[track_caller]
    pub(crate) fn silently(self, code: i32) -> String {
        assert_eq!(String::from_utf8_lossy(&self.stdout), "");
        self.with(code)
    }

    /// It ended so, and said this on standard error.
    #[track_caller]
    pub(crate) fn with(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        self.stderr
    }

    pub(crate) fn answer(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

pub(crate) fn ended(command: &mut Command) -> Ended {
    Ended::new(command.output().unwrap())
}

/// A command that goes on, and what it says.
pub(crate) struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    said: String,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (told, lines) = mpsc::channel();
        thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| told.send(line))
        });
        Self {
            child,
            lines,
            said: String::new(),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it says this.
    #[track_caller]
    pub(crate) fn hear(&mut self, words: &str) {
        while !self.said.lines().any(|line| line.contains(words)) {
            let line = self.lines.recv_timeout(PATIENCE);
            assert!(line.is_ok(), "no {words:?}: {}", self.said);
            self.said += &(line.unwrap() + "\n");
        }
    }

    /// Its exit code and all that it said.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        let rest: Vec<_> = self.lines.iter().collect();
        self.said += &rest.join("\n");
        (code, self.said)
    }
}

/// Waits for something that another process brings about.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// An answer that fails its meeting for good, with words that would steer a terminal.
pub(crate) fn gone() -> Effect {
    Effect::Error(ServiceError {
        status: 404,
        code: "MMC.111072074".to_owned(),
        message: "no such\u{1b}[2J\u{9b}2J\r\n\u{7}conference\u{202e}".to_owned(),
    })
}

/// Meeting, index and name of each line of NDJSON.
pub(crate) fn lines(text: &[u8]) -> Vec<(String, i64, String)> {
    let text = std::str::from_utf8(text).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            let text = |member: &str| row[member].as_str().unwrap().to_owned();
            (
                text("conf_uuid"),
                row["record_index"].as_i64().unwrap(),
                text("display_name"),
            )
        })
        .collect()
}

/// The same of a batch.
pub(crate) fn rows(batch: &RecordBatch) -> Vec<(String, i64, String)> {
    let text = |column: Column| batch.column(column.index()).as_string::<i32>();
    let indexes = batch.column(Column::RecordIndex.index());
    let indexes = indexes.as_primitive::<Int64Type>();
    (0..batch.num_rows())
        .map(|row| {
            (
                text(Column::ConfUuid).value(row).to_owned(),
                indexes.value(row),
                text(Column::DisplayName).value(row).to_owned(),
            )
        })
        .collect()
}

/// SHA-256 in lower-case hexadecimal digits.
pub(crate) fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}
