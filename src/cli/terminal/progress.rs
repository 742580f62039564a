//! How a run goes on: a bar on a terminal, else a line of log every ten seconds.
//!
//! The observer only counts, under a lock that is held for nanoseconds, and hands warnings to
//! the log. A task of its own draws what was counted.

mod stats;

use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use indicatif::{HumanBytes, HumanCount, ProgressBar};
use rollbook::{Event, Observer, PageSize, Unsynced};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use self::stats::{Status, Tally};
use super::{Terminal, Voice, plain};

/// Between two looks at the tally.
const TICK: Duration = Duration::from_millis(200);

/// Between two lines where there is no bar.
const LINE: Duration = Duration::from_secs(10);

/// Steps of the bar.
const STEPS: u64 = 10_000;

/// The progress of one run.
#[derive(Debug)]
pub(crate) struct Progress {
    tally: Arc<Mutex<Tally>>,
    bar: Option<ProgressBar>,
    /// What the log says is said inside.
    span: Span,
    task: JoinHandle<()>,
}

impl Progress {
    /// Begins to show progress; needs a runtime.
    pub(crate) fn start(terminal: &Terminal, page_size: PageSize) -> Self {
        Self::begin(terminal, page_size, None, Span::none())
    }

    /// The same for one of several tenants, named on its bar and on each line of the log.
    pub(crate) fn of_tenant(terminal: &Terminal, page_size: PageSize, name: &str) -> Self {
        let span = tracing::error_span!("export", tenant = name);
        Self::begin(terminal, page_size, Some(name), span)
    }

    fn begin(terminal: &Terminal, page_size: PageSize, name: Option<&str>, span: Span) -> Self {
        let tally = Arc::new(Mutex::new(Tally::new(page_size, Instant::now())));
        let bar = terminal.bar(STEPS);
        let name = name.map(str::to_owned);
        let shown = show(Arc::clone(&tally), bar.clone(), terminal.voice, name);
        let task = tokio::spawn(shown.instrument(span.clone()));
        Self {
            tally,
            bar,
            span,
            task,
        }
    }

    /// Counts and logs each event.
    pub(crate) fn observer(&self) -> Observer {
        let (tally, span) = (Arc::clone(&self.tally), self.span.clone());
        Arc::new(move |event| {
            span.in_scope(|| observe(&event));
            locked(&tally).count(&event, Instant::now());
        })
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) {
        self.task.abort();
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// That checkpoints of a ledger could not be read or written.
pub(crate) fn checkpoints_lost(cause: &str) -> String {
    format!(
        "checkpoints of the ledger cannot be used: nothing is lost, and the dataset takes longer to \
         open: {}",
        plain(cause)
    )
}

/// Warns of file systems that cannot sync folders.
pub(crate) fn unsynced(folders: &Unsynced) -> String {
    let folder = |name: &Option<String>| name.as_deref().map(plain);
    let (dataset, state_dir) = (folder(&folders.dataset), folder(&folders.state_dir));
    let verify =
        "the newest files may be missing after a power loss; check with rollbook verify then";
    match (dataset, state_dir) {
        (Some(dataset), Some(state_dir)) => format!(
            "the file systems of {dataset} and of {state_dir} (the state directory) cannot sync \
             folders: {verify}"
        ),
        (None, Some(state_dir)) => format!(
            "the file system of {state_dir} (the state directory) cannot sync folders: what is kept \
             there may be missing after a power loss, which costs requests and no record"
        ),
        (dataset, None) => format!(
            "the file system of {} cannot sync folders: {verify}",
            dataset.unwrap_or_default()
        ),
    }
}

async fn show(
    tally: Arc<Mutex<Tally>>,
    bar: Option<ProgressBar>,
    voice: Voice,
    name: Option<String>,
) {
    let mut ticks = tokio::time::interval(TICK);
    let mut next_line = Instant::now() + LINE;
    loop {
        ticks.tick().await;
        let now = Instant::now();
        let status = locked(&tally).status(now);
        if let Some(bar) = &bar {
            bar.set_position(status.steps(STEPS));
            let sentence = sentence(&status);
            bar.set_message(match &name {
                Some(name) => format!("{name}: {sentence}"),
                None => sentence,
            });
        } else if now >= next_line && voice != Voice::Quiet {
            next_line = now + LINE;
            line(&status, voice);
        }
    }
}

fn line(status: &Status, voice: Voice) {
    if voice == Voice::Json {
        tracing::info!(
            meetings = status.done,
            meetings_asked = status.asked,
            incomplete = status.incomplete,
            records = status.rows,
            records_per_second = status.rows_per_second,
            requests_per_minute = status.pages_per_minute,
            retries = status.retries,
            remaining_seconds = status.remaining.map(|time| time.as_secs()),
            "progress"
        );
    } else {
        tracing::info!("{}", sentence(status));
    }
}

/// The state of a run in a line.
fn sentence(status: &Status) -> String {
    let mut parts = Vec::new();
    if let Some((time, _)) = &status.pause {
        parts.push(format!("waiting {}", seconds(*time)));
    }
    let (done, asked) = (HumanCount(status.done), HumanCount(status.asked));
    parts.push(format!("{done}/{asked} meetings"));
    if let Some(remaining) = status.remaining {
        parts.push(format!("{} left", seconds(remaining)));
    }
    parts.push(format!("{} records", HumanCount(status.rows)));
    if status.incomplete > 0 {
        parts.push(format!("{} incomplete", HumanCount(status.incomplete)));
    }
    parts.push(format!("{}/s", HumanCount(status.rows_per_second)));
    let requests = HumanCount(status.pages_per_minute);
    parts.push(match &status.quota {
        Some(quota) => format!("{requests} requests/min of {quota}"),
        None => format!("{requests} requests/min"),
    });
    // Last, since it is long and what does not fit is cut off.
    parts.extend(status.pause.iter().map(|(_, cause)| cause.clone()));
    parts.join(", ")
}

/// A duration as people say it, to the second.
fn seconds(time: Duration) -> String {
    let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    humantime::format_duration(Duration::from_secs(whole)).to_string()
}

/// A time as people say it, to the minute.
fn minute(time: DateTime<Utc>) -> impl Display {
    time.format("%Y-%m-%d %H:%MZ")
}

/// What is told of an event.
#[expect(clippy::too_many_lines, reason = "one arm an event")]
pub(crate) fn observe(event: &Event) {
    match event {
        Event::Started { meetings, already } if *already > 0 => {
            tracing::info!("{already} of {meetings} meetings are in the dataset already");
        }
        Event::Spooled { pages } => {
            tracing::info!("{pages} pages that an interrupted run fetched are not asked for again");
        }
        Event::SpoolLost { cause } => tracing::warn!(
            "going on without a spool, so that a run after a crash would ask again: {}",
            plain(cause)
        ),
        Event::LargeMeeting {
            meeting,
            count,
            bytes,
        } => tracing::warn!(
            "{meeting} has {count} records; their digests take {} of memory until it is complete",
            HumanBytes(*bytes)
        ),
        Event::CheckpointsLost { cause } => tracing::warn!("{}", checkpoints_lost(cause)),
        Event::SpoolLeft { cause } => tracing::warn!(
            "pages of an interrupted run are left behind, which may hold personal data: {}",
            plain(cause)
        ),
        Event::Beside { runs } => {
            let runs = plain(&runs.join(", "));
            tracing::warn!(
                "another run is at work on this dataset: {runs}; what it commits first is not \
                 committed twice"
            );
        }
        Event::Waiting { runs } => {
            let runs = plain(&runs.join(", "));
            tracing::warn!("waiting until the run at work on this dataset has ended: {runs}");
        }
        Event::Skipped { runs } => {
            let runs = plain(&runs.join(", "));
            tracing::warn!("nothing is done, since another run is at work on this dataset: {runs}");
        }
        Event::Overtaken { meetings } => {
            tracing::warn!("{meetings} meetings were committed by another run in the meantime");
        }
        Event::SingleWriter => tracing::warn!(
            "this store does not notice a second writer: let no other run write to the dataset \
             until this one ends"
        ),
        Event::Unsynced { folders } => tracing::warn!("{}", unsynced(folders)),
        // The line of the silence tells why.
        Event::Retrying {
            is_throttled: true, ..
        }
        | Event::ListingAgain {
            is_throttled: true, ..
        } => {}
        Event::Retrying {
            meeting,
            offset,
            delay,
            cause,
            ..
        } => {
            let (delay, cause) = (seconds(*delay), plain(cause));
            tracing::info!(%meeting, offset, "trying again in {delay}: {cause}");
        }
        Event::Restarted {
            meeting,
            cause,
            delay,
            ..
        } => {
            let (delay, cause) = (seconds(*delay), plain(cause));
            tracing::warn!(%meeting, "reading the meeting again in {delay}: {cause}");
        }
        Event::Paused { delay, cause } => {
            let (delay, cause) = (seconds(*delay), plain(cause));
            tracing::info!("nobody sends for {delay}: {cause}");
        }
        Event::QuotaLearned { rate } => tracing::info!("the server's quota is {rate}"),
        Event::RateHalved { rate } => tracing::info!(
            "the server's quota is used up, and it does not tell how large it is: going on with {rate}"
        ),
        Event::Outage { cause } => tracing::warn!(
            "the API gives no answer that can be used; asking one request at a time: {}",
            plain(cause)
        ),
        Event::OutageOver { lasted } => {
            tracing::warn!("the API answers again, after {}", seconds(*lasted));
        }
        Event::LoggedIn { life } => {
            let life = life.map(|life| format!(" for {}", seconds(life)));
            tracing::debug!("logged in{}", life.unwrap_or_default());
        }
        Event::NotLoggedOut { cause } => {
            tracing::debug!("a token could not be logged out: {}", plain(cause));
        }
        Event::Incomplete { meeting, cause, .. } => {
            tracing::warn!(%meeting, "incomplete: {}", plain(cause));
        }
        Event::Committed {
            sequence,
            parts,
            meetings,
            records,
            bytes,
        } => {
            tracing::debug!(sequence, parts, meetings, records, bytes, "committed");
        }
        event => observe_listing(event),
    }
}

/// What is told of an event of the history list.
fn observe_listing(event: &Event) {
    match event {
        Event::Listing {
            since,
            until,
            is_past_retention,
        } => {
            let (since, until) = (minute(*since), minute(*until));
            tracing::info!("listing the meetings that began from {since} to {until}");
            if *is_past_retention {
                tracing::warn!(
                    "the service keeps meetings for 6 months (12 at most, where an administrator \
                     chose so): what it has removed since {since} is not listed any more"
                );
            }
        }
        Event::Listed { day, meetings } => {
            tracing::debug!("{meetings} meetings on the day from {}", minute(*day));
        }
        Event::ListingAgain {
            day, delay, cause, ..
        } => {
            let (delay, cause) = (seconds(*delay), plain(cause));
            let day = minute(*day);
            tracing::info!("listing the day from {day} again in {delay}: {cause}");
        }
        Event::AdministratorUnknown { cause } => tracing::warn!(
            "the site does not tell whether this user is an administrator; for another user, \
             query_all lists that user's meetings alone: {}",
            plain(cause)
        ),
        Event::Unlisted { day, cause } => {
            let day = minute(*day);
            tracing::warn!("the day from {day} could not be listed: {}", plain(cause));
        }
        Event::UnreadableRow { day, cause } => {
            let day = minute(*day);
            tracing::warn!(
                "the list of the day from {day} is not whole: {}",
                plain(cause)
            );
        }
        Event::Clock { warning } => tracing::warn!("{}", plain(warning)),
        Event::Forgotten { meetings } => tracing::warn!(
            "{meetings} meetings of earlier runs are given up: they are older than what the service keeps"
        ),
        Event::Settling { meetings } => {
            tracing::info!("{meetings} meetings that ended lately are left to the next run");
        }
        _ => {}
    }
}

fn locked(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    // Counting does not panic; if it did, half a count is still worth showing.
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_folders_that_cannot_be_synced_may_cost_depends_on_whose_they_are() {
        let said = |dataset: Option<&str>, state_dir: Option<&str>| {
            unsynced(&Unsynced {
                dataset: dataset.map(str::to_owned),
                state_dir: state_dir.map(str::to_owned),
            })
        };
        let verify = "the newest files may be missing after a power loss; check with rollbook \
                      verify then";
        assert_eq!(
            said(Some("/a"), None),
            format!("the file system of /a cannot sync folders: {verify}")
        );
        assert_eq!(
            said(Some("/a"), Some("/b")),
            format!(
                "the file systems of /a and of /b (the state directory) cannot sync folders: {verify}"
            )
        );
        assert_eq!(
            said(None, Some("/b")),
            "the file system of /b (the state directory) cannot sync folders: what is kept there may \
             be missing after a power loss, which costs requests and no record"
        );
    }

    #[test]
    fn a_pause_is_told_first_and_its_cause_last() {
        let status = Status {
            asked: 2_000,
            done: 1_204,
            incomplete: 3,
            rows: 181_034,
            rows_per_second: 1_250,
            pages_per_minute: 75,
            retries: 2,
            pages: (1_300, 2_100),
            remaining: Some(Duration::from_secs(640)),
            pause: Some((Duration::from_millis(5_200), "HTTP 429".to_owned())),
            quota: Some(rollbook::Rate::per_minute(100)),
        };
        assert_eq!(
            sentence(&status),
            "waiting 6s, 1,204/2,000 meetings, 10m 40s left, 181,034 records, 3 incomplete, \
             1,250/s, 75 requests/min of 100/min, HTTP 429"
        );
    }
}
