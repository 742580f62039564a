//! A run against the simulator and what it left: the harness of the fault tests.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rollbook::simulator::{
    APP_ID, APP_KEY, Endpoint, Fault, Options, Record, Seen, Simulator, TOKEN,
};
use rollbook::{
    App, Column, ConfUuid, Config, Credentials, Error, Export, MeetingReport, MeetingStatus,
    Observer, Outcome, Rate, Report, silent, verify,
};
use tokio_util::sync::CancellationToken;

/// A simulator, a destination, and the settings of the runs between them.
pub(crate) struct Scene {
    pub(crate) simulator: Simulator,
    pub(crate) config: Config,
    pub(crate) credentials: Credentials,
    pub(crate) meetings: Vec<ConfUuid>,
    folder: tempfile::TempDir,
}

/// A run that is over, and the dataset after it.
pub(crate) struct Run {
    pub(crate) report: Report,
    pub(crate) error: Option<Error>,
    /// Rows of all parts by meeting, in the order in which they stand.
    pub(crate) rows: BTreeMap<String, Vec<Row>>,
}

/// One row of the dataset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) index: i64,
    pub(crate) texts: [Option<String>; 5],
    pub(crate) join: Option<i64>,
    pub(crate) left: Option<i64>,
    pub(crate) duration: Option<i64>,
    pub(crate) anomaly: Option<String>,
    pub(crate) extra: Option<String>,
}

impl Scene {
    /// One meeting for each size.
    pub(crate) async fn of(sizes: &[u64]) -> Self {
        Self::with(Options::sizes(sizes)).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let simulator = Simulator::start(options).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let mut config = Config {
            base_url: simulator.base_url(),
            out: Some(out.to_str().unwrap().to_owned()),
            rate: Rate::Unlimited,
            retry_delay: Duration::from_millis(1),
            restart_delay: Duration::from_millis(1),
            ..Config::default()
        };
        if let Some(pem) = simulator.certificate_pem() {
            let file = folder.path().join("ca.pem");
            std::fs::write(&file, pem).unwrap();
            config.ca_file = Some(file);
        }
        Self {
            meetings: simulator.meetings(),
            simulator,
            config,
            credentials: Credentials::Token(TOKEN.into()),
            folder,
        }
    }

    pub(crate) fn fault(self, fault: impl Into<Fault>) -> Self {
        self.simulator.add_fault(fault);
        self
    }

    pub(crate) fn set(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Logs in with the App ID instead of bringing a token.
    pub(crate) fn logging_in(mut self) -> Self {
        self.credentials = Credentials::App(App {
            id: APP_ID.into(),
            key: APP_KEY.into(),
            user_id: None,
            corp_id: None,
        });
        self
    }

    /// A run whose server does not tell the truth.
    pub(crate) async fn run_unchecked(&self) -> Report {
        let finished = self.export().run(silent(), CancellationToken::new()).await;
        finished.unwrap().report
    }

    pub(crate) async fn run(&self) -> Run {
        self.run_watched(silent(), CancellationToken::new()).await
    }

    /// What a run needs; one with a window finds its meetings by itself.
    pub(crate) fn export(&self) -> Export {
        let has_window = self.config.since.is_some();
        Export {
            config: self.config.clone(),
            credentials: self.credentials.clone(),
            meetings: if has_window {
                vec![]
            } else {
                self.meetings.clone()
            },
            pipe: None,
            pii_key: None,
        }
    }

    pub(crate) async fn run_watched(&self, observer: Observer, cancel: CancellationToken) -> Run {
        let finished = self.export().run(observer, cancel).await.unwrap();
        let run = Run {
            report: finished.report,
            error: finished.error,
            rows: self.rows(),
        };
        let verification = verify(self.config.out.as_deref().unwrap()).await.unwrap();
        assert!(verification.is_sound(), "{verification:?}");
        run
    }

    /// Every row that a reader of the dataset finds, by meeting.
    pub(crate) fn rows(&self) -> BTreeMap<String, Vec<Row>> {
        let mut rows: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut parts: Vec<_> = std::fs::read_dir(self.folder.path().join("out"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|name| name == "parquet"))
            .collect();
        parts.sort();
        for part in parts {
            for (meeting, row) in read(&part) {
                rows.entry(meeting).or_default().push(row);
            }
        }
        rows
    }

    /// The meetings that have a row in the meetings table, in order, each as often as it has one.
    pub(crate) fn described(&self) -> Vec<String> {
        crate::described::uuids(&self.folder.path().join("out"))
    }

    /// The rows of the meetings table.
    pub(crate) fn told_of_meetings(&self) -> Vec<crate::described::Described> {
        crate::described::described(&self.folder.path().join("out"))
    }

    /// The rows that a meeting must have.
    pub(crate) fn truth(&self, meeting: &ConfUuid) -> Vec<Row> {
        rows_of(&self.simulator.truth(meeting))
    }

    /// The requests for records, as the server saw them.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let mut seen = self.simulator.requests();
        seen.retain(|seen| seen.endpoint == Endpoint::Records);
        seen
    }

    /// The requests for records of one meeting.
    pub(crate) fn seen_of(&self, position: usize) -> Vec<Seen> {
        let mut seen = self.seen();
        let meeting = self.meetings[position].as_str();
        seen.retain(|seen| seen.meeting.as_deref() == Some(meeting));
        seen
    }
}

impl Run {
    /// Every meeting is there, row by row as the server has it.
    #[track_caller]
    pub(crate) fn is_complete(&self, scene: &Scene) {
        self.is_complete_but(scene, &[]);
    }

    /// These meetings have no row and a cause; every other is there, row by row.
    #[track_caller]
    pub(crate) fn is_complete_but(&self, scene: &Scene, absent: &[usize]) {
        assert!(self.error.is_none(), "{:?}", self.error);
        let outcome = if absent.is_empty() {
            Outcome::Complete
        } else {
            Outcome::Incomplete
        };
        let causes: Vec<_> = self.causes().collect();
        assert_eq!(self.report.outcome, outcome, "{causes:?}");
        assert_eq!(self.absent(scene), HashSet::from_iter(absent.to_vec()));
        assert_eq!(self.report.meetings.incomplete, absent.len() as u64);
    }

    /// The positions of the meetings that are not there; all others are whole, and the report
    /// says of each what the dataset shows.
    #[track_caller]
    pub(crate) fn absent(&self, scene: &Scene) -> HashSet<usize> {
        let known: HashSet<_> = scene.meetings.iter().map(ConfUuid::as_str).collect();
        assert!(self.rows.keys().all(|meeting| known.contains(&**meeting)));
        let reports: BTreeMap<_, _> = self
            .report
            .per_meeting
            .iter()
            .map(|report| (&report.conf_uuid, report))
            .collect();
        let mut absent = HashSet::new();
        for (position, meeting) in scene.meetings.iter().enumerate() {
            let rows = self.rows.get(meeting.as_str());
            // A meeting of an earlier run is not reported again.
            let report = reports.get(meeting);
            if report.is_none_or(|report| report.status == MeetingStatus::Complete) {
                let rows = rows.cloned().unwrap_or_default();
                assert_same(&rows, &scene.truth(meeting), position);
                assert!(report.is_none_or(|report| report.records == rows.len() as u64));
            } else if let Some(report) = report {
                assert!(rows.is_none(), "meeting {position} has rows: {report:?}");
                assert!(report.cause.is_some() && report.records == 0, "{report:?}");
                absent.insert(position);
            }
        }
        absent
    }

    pub(crate) fn meeting(&self, scene: &Scene, position: usize) -> &MeetingReport {
        let meeting = &scene.meetings[position];
        let mut reports = self.report.per_meeting.iter();
        reports.find(|report| report.conf_uuid == *meeting).unwrap()
    }

    pub(crate) fn cause(&self, scene: &Scene, position: usize) -> &str {
        self.meeting(scene, position).cause.as_deref().unwrap()
    }

    pub(crate) fn causes(&self) -> impl Iterator<Item = &str> {
        let reports = self.report.per_meeting.iter();
        reports.filter_map(|report| report.cause.as_deref())
    }
}

/// The rows that these records make; the rules of the times are written out anew here.
pub(crate) fn rows_of(records: &[Record]) -> Vec<Row> {
    (0..)
        .zip(records)
        .map(|(index, record)| {
            let left = record.left_time.filter(|&left| left != 0);
            let stay = left.map(|left| left - record.join_time);
            let anomaly = match stay {
                None => Some("missing_left"),
                Some(stay) if stay < 0 => Some("negative_duration"),
                Some(_) => None,
            };
            Row {
                index,
                texts: [
                    Some(record.display_name.clone()),
                    Some(record.call_number.clone()),
                    Some(record.device_type.clone()),
                    Some(record.media_type.clone()),
                    record.dept_name.clone(),
                ],
                join: Some(record.join_time),
                left,
                duration: stay.filter(|&stay| stay >= 0),
                anomaly: anomaly.map(str::to_owned),
                extra: None,
            }
        })
        .collect()
}

/// Names the first row that differs, instead of printing two whole meetings.
#[track_caller]
fn assert_same(rows: &[Row], truth: &[Row], position: usize) {
    let differing = rows.iter().zip(truth).find(|(row, truth)| row != truth);
    assert!(differing.is_none(), "meeting {position}: {differing:#?}");
    assert_eq!(rows.len(), truth.len(), "rows of meeting {position}");
}

fn read(part: &Path) -> Vec<(String, Row)> {
    let file = File::open(part).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    reader.flat_map(|batch| rows(&batch.unwrap())).collect()
}

fn rows(batch: &RecordBatch) -> Vec<(String, Row)> {
    let text = |column: Column, row: usize| {
        let texts = batch.column(column.index()).as_string::<i32>();
        texts.is_valid(row).then(|| texts.value(row).to_owned())
    };
    let time = |column: Column, row: usize| {
        let times = batch.column(column.index());
        let times = times.as_primitive::<TimestampMillisecondType>();
        times.is_valid(row).then(|| times.value(row))
    };
    let number = |column: Column, row: usize| {
        let numbers = batch.column(column.index()).as_primitive::<Int64Type>();
        numbers.is_valid(row).then(|| numbers.value(row))
    };
    let texts = [
        Column::DisplayName,
        Column::CallNumber,
        Column::DeviceType,
        Column::MediaType,
        Column::DeptName,
    ];
    (0..batch.num_rows())
        .map(|row| {
            let read = Row {
                index: number(Column::RecordIndex, row).unwrap(),
                texts: texts.map(|column| text(column, row)),
                join: time(Column::JoinTime, row),
                left: time(Column::LeftTime, row),
                duration: number(Column::DurationMs, row),
                anomaly: text(Column::Anomaly, row),
                extra: text(Column::Extra, row),
            };
            (text(Column::ConfUuid, row).unwrap(), read)
        })
        .collect()
}
