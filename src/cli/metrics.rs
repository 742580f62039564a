//! `--metrics-file FILE`: the figures of the last run, in the text format of Prometheus.
//!
//! Written whatever became of the run: the time of the last success stays what the file said
//! before, so that its age can be alerted on. Names no meeting and nobody.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use chrono::Utc;
use rollbook::{FailureKind, Mode, Outcome, Report};

use super::atomic_file::{WholeFile, is_stdout};
use super::exit_code::Exit;

const LAST_SUCCESS: &str = "rollbook_last_success_timestamp_seconds";

/// The figures of a command, until they are written.
#[derive(Debug)]
pub(crate) struct Metrics {
    path: Option<PathBuf>,
    mode: Option<Mode>,
    begun: Instant,
    runs: Vec<Told>,
}

/// What is told of one run.
#[derive(Debug)]
struct Told {
    tenant: Option<String>,
    exit: Exit,
    /// What went wrong where there is no report.
    failure: Option<FailureKind>,
    report: Option<Report>,
}

impl Metrics {
    /// Begins to take the time. Standard output is not written to before [`prepare`](Self::prepare):
    /// something else may go there.
    pub(crate) fn begin(path: Option<PathBuf>, mode: Option<Mode>) -> Self {
        Self {
            path: path.filter(|path| !is_stdout(path)),
            mode,
            begun: Instant::now(),
            runs: vec![],
        }
    }

    /// Makes sure that the figures can be written there.
    pub(crate) fn prepare(&mut self, path: Option<PathBuf>, mode: Option<Mode>) -> Result<()> {
        self.path = path;
        self.mode = mode;
        if let Some(path) = self.path.clone() {
            // Without a place there is nothing to be told later.
            WholeFile::prepare("metrics", path).inspect_err(|_| self.path = None)?;
        }
        Ok(())
    }

    /// How a run ended, if it is one of several.
    pub(crate) fn tell(
        &mut self,
        tenant: Option<&str>,
        ended: &Result<Exit>,
        report: Option<Report>,
    ) {
        self.runs.push(Told {
            tenant: tenant.map(str::to_owned),
            exit: match ended {
                Ok(exit) => *exit,
                Err(error) => Exit::of_error(error),
            },
            failure: ended.as_ref().err().map(kind),
            report,
        });
    }

    /// Writes what was told and passes on how the command ends.
    pub(crate) fn close(mut self, ended: Result<Exit>) -> Result<Exit> {
        let Some(path) = self.path.take() else {
            return ended;
        };
        if self.runs.is_empty() {
            self.tell(None, &ended, None);
        }
        if self.runs.iter().all(Told::is_skipped) {
            // The run that is at work writes its own.
            return ended;
        }
        let written = WholeFile::prepare("metrics", path).and_then(|file| {
            let file = file.permitted(self.mode, Mode::PUBLIC);
            let before = file.text().unwrap_or_default();
            let text = render(&self.runs, &successes(&before), now(), self.begun.elapsed());
            file.write(text.as_bytes())
        });
        // What stopped the run is the better news.
        ended.and_then(|exit| written.map(|()| exit))
    }
}

impl Told {
    fn is_skipped(&self) -> bool {
        matches!(&self.report, Some(report) if report.outcome == Outcome::Skipped)
    }

    fn labels(&self, more: Option<(&str, &str)>) -> String {
        let tenant = self.tenant.as_deref().map(|name| ("tenant", name));
        let labels: Vec<_> = tenant
            .into_iter()
            .chain(more)
            .map(|(name, value)| format!("{name}=\"{value}\""))
            .collect();
        if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        }
    }
}

/// What kind of thing stopped a run that has no report.
fn kind(error: &Error) -> FailureKind {
    if error.is::<clap::Error>() {
        return FailureKind::Config;
    }
    let mut causes = error.chain();
    if let Some(error) = causes.find_map(|cause| cause.downcast_ref::<rollbook::Error>()) {
        return error.kind();
    }
    let mut causes = error.chain();
    if causes.any(|cause| cause.downcast_ref::<std::io::Error>().is_some()) {
        FailureKind::Storage
    } else {
        FailureKind::Internal
    }
}

fn now() -> i64 {
    Utc::now().timestamp()
}

/// The last successes that a file tells, by their labels.
fn successes(text: &str) -> BTreeMap<String, i64> {
    let told = text.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix(LAST_SUCCESS)?.rsplit_once(' ')?;
        Some((labels.to_owned(), value.parse().ok()?))
    });
    told.collect()
}

/// A metric, and its value with each set of labels.
type Family = (&'static str, &'static str, Vec<(String, u64)>);

fn render(runs: &[Told], before: &BTreeMap<String, i64>, now: i64, elapsed: Duration) -> String {
    let mut text = String::new();
    let mut family = |name: &str, help: &str, samples: Vec<(String, String)>| {
        if samples.is_empty() {
            return;
        }
        // Writing into a string does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let all = |value: &dyn Fn(&Told) -> String| -> Vec<_> {
        let told = runs.iter().filter(|run| !run.is_skipped());
        told.map(|run| (run.labels(None), value(run))).collect()
    };
    family(
        "rollbook_last_run_timestamp_seconds",
        "When the last run ended.",
        all(&|run| match &run.report {
            Some(report) => report.finished.timestamp().to_string(),
            None => now.to_string(),
        }),
    );
    // Other tenants may have runs of their own, and a run may fail before it knows its tenants.
    let mut successes = before.clone();
    successes.retain(|labels, _| !labels.is_empty());
    for run in runs {
        let labels = run.labels(None);
        let is_success = run.exit == Exit::Complete && !run.is_skipped();
        let last = before.get(&labels).copied().unwrap_or(0);
        successes.insert(labels, if is_success { now } else { last });
    }
    let successes = successes.into_iter();
    family(
        LAST_SUCCESS,
        "When a run last exported everything that was asked for; 0 is never.",
        successes
            .map(|(labels, time)| (labels, time.to_string()))
            .collect(),
    );
    family(
        "rollbook_run_duration_seconds",
        "How long the last run took.",
        all(&|run| match &run.report {
            Some(report) => {
                let took = (report.finished - report.started).to_std();
                took.unwrap_or_default().as_secs_f64().to_string()
            }
            None => elapsed.as_secs_f64().to_string(),
        }),
    );
    family(
        "rollbook_exit_code",
        "The exit code of the last run.",
        all(&|run| run.exit.code().to_string()),
    );
    for (name, help, samples) in figures(runs) {
        let samples = samples.into_iter();
        family(
            name,
            help,
            samples
                .map(|(labels, value)| (labels, value.to_string()))
                .collect(),
        );
    }
    let paused = runs.iter().filter_map(|run| {
        let paused = Duration::from_millis(run.report.as_ref()?.quota.paused_ms);
        (!run.is_skipped()).then(|| (run.labels(None), paused.as_secs_f64().to_string()))
    });
    family(
        "rollbook_paused_seconds",
        "How long the last run was silent since the server asked for it.",
        paused.collect(),
    );
    text
}

/// What is counted.
fn figures(runs: &[Told]) -> Vec<Family> {
    let (mut records, mut meetings) = (vec![], vec![]);
    let (mut requests, mut failures) = (vec![], vec![]);
    let (mut lists, mut unlisted) = (vec![], vec![]);
    for run in runs.iter().filter(|run| !run.is_skipped()) {
        let counted = |name, pairs: &[(&str, u64)], into: &mut Vec<_>| {
            let samples = pairs.iter();
            into.extend(samples.map(|(what, count)| (run.labels(Some((name, what))), *count)));
        };
        let failed = |kind: FailureKind| match &run.report {
            Some(report) => report.failures.get(&kind).copied().unwrap_or(0),
            None => u64::from(run.failure == Some(kind)),
        };
        let kinds = FailureKind::ALL.map(|kind| (kind.as_str(), failed(kind)));
        counted("cause", &kinds, &mut failures);
        let Some(report) = &run.report else {
            continue;
        };
        records.push((run.labels(None), report.records));
        let (m, r) = (report.meetings, report.requests);
        let by_status = [
            ("requested", m.requested),
            ("already", m.already),
            ("complete", m.complete),
            ("empty", m.empty),
            ("replaced", m.replaced),
            ("rechecked", m.rechecked),
            ("incomplete", m.incomplete),
            ("unfinished", m.unfinished),
        ];
        counted("status", &by_status, &mut meetings);
        let by_kind = [
            ("sent", r.sent),
            ("minimum", r.minimum),
            ("retried", r.retried),
            ("throttled", r.throttled),
            ("spooled", r.spooled),
            ("remaining", r.remaining),
        ];
        counted("kind", &by_kind, &mut requests);
        if let Some(window) = &report.window {
            lists.push((run.labels(None), window.requests));
            unlisted.push((run.labels(None), window.unlisted.len() as u64));
        }
    }
    vec![
        (
            "rollbook_records",
            "Records that the last run committed.",
            records,
        ),
        (
            "rollbook_meetings",
            "Meetings of the last run, by what became of them.",
            meetings,
        ),
        (
            "rollbook_requests",
            "Requests for pages of the last run, by fate.",
            requests,
        ),
        (
            "rollbook_list_requests",
            "Requests for the history list of the last run.",
            lists,
        ),
        (
            "rollbook_unlisted_days",
            "Days of the last run whose history list could not be had whole.",
            unlisted,
        ),
        (
            "rollbook_failures",
            "Meetings that the last run could not have, and what stopped it, by cause.",
            failures,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(tenant: &str, exit: Exit) -> Told {
        Told {
            tenant: (!tenant.is_empty()).then(|| tenant.to_owned()),
            exit,
            failure: None,
            report: None,
        }
    }

    #[test]
    fn a_failure_keeps_the_time_of_the_last_success() {
        let render = |runs: &[Told], before: &str, now| {
            render(runs, &successes(before), now, Duration::ZERO)
        };
        let last = |text: &str| successes(text).into_iter().collect::<Vec<_>>();
        let never = render(&[told("", Exit::Setup)], "", 5);
        assert_eq!(last(&never), [(String::new(), 0)]);
        let success = render(&[told("", Exit::Complete)], &never, 6);
        assert_eq!(last(&success), [(String::new(), 6)]);
        let failure = render(&[told("", Exit::Failed)], &success, 7);
        assert_eq!(last(&failure), [(String::new(), 6)]);
        assert!(failure.contains("rollbook_last_run_timestamp_seconds 7\n"));
        assert!(failure.contains("rollbook_exit_code 1\n"));
        // Nonsense is no success.
        let nonsense = format!("{LAST_SUCCESS} soon\n{LAST_SUCCESS}");
        assert_eq!(
            last(&render(&[told("", Exit::Failed)], &nonsense, 8)),
            last(&never)
        );
    }

    #[test]
    fn each_tenant_has_a_last_success_of_its_own() {
        let both = [told("a", Exit::Complete), told("b", Exit::Incomplete)];
        let text = render(&both, &BTreeMap::new(), 5, Duration::ZERO);
        let only = render(
            &[told("b", Exit::Complete)],
            &successes(&text),
            9,
            Duration::ZERO,
        );
        assert!(only.contains("rollbook_last_success_timestamp_seconds{tenant=\"a\"} 5\n"));
        assert!(only.contains("rollbook_last_success_timestamp_seconds{tenant=\"b\"} 9\n"));
        assert!(!only.contains("rollbook_exit_code{tenant=\"a\"}"));
    }
}
