//! Which meetings there were: the history list of a window, day by day, each proven whole.
//!
//! The list drifts like any other of this API, and how long a window it takes is documented
//! nowhere. So a window is cut into civil days, each is walked with seams until it comes whole or
//! patience ends, and a meeting that two of them show is told once. What could not be had whole is
//! named; the days beside it are none the worse for it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::deadline::Deadline;
use super::history_bounds::{Bounds, agree, check_dates, is_past_retention};
use super::history_walk::HistoryWalk;
use crate::api::auth::Credentials;
use crate::api::throttle::Throttle;
use crate::api::{ALONE, Client, Failure, Listing, ServerClock};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::record::Meeting;
use crate::record::decode::{PageDecoder, Row};
use crate::report::{Event, Observer, Unlisted};
use crate::values::Span;

/// Meetings a request: the API's maximum.
pub(super) const LIMIT: u64 = 500;

/// The longest window that is listed: more than twice what the service keeps at most.
const MOST_DAYS: usize = 1_000;

/// What is needed to list meetings, without exporting any.
#[derive(Debug)]
pub struct History {
    /// The settings, of which `since` is one.
    pub config: Config,
    /// Who asks.
    pub credentials: Credentials,
}

/// The meetings of a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Each once, as the API orders them: by their start.
    pub meetings: Vec<Meeting>,
    /// Days whose list could not be had whole; none of their meetings are told, but where single rows
    /// cannot be read.
    pub unlisted: Vec<Unlisted>,
}

impl History {
    /// Lists the meetings that began in the window of the settings, as it is now. What is not listed
    /// when the deadline passes is named.
    ///
    /// # Errors
    ///
    /// Settings that cannot be used, or something that concerns every request. A day that cannot
    /// be had is no error.
    pub async fn list(self, observer: Observer, cancel: CancellationToken) -> Result<Listed> {
        self.list_beside(Utc::now(), observer, cancel).await
    }

    /// As [`History::list`], on a machine whose clock shows `machine`, rightly or wrongly.
    ///
    /// # Errors
    ///
    /// As [`History::list`].
    pub async fn list_beside(
        self,
        machine: DateTime<Utc>,
        observer: Observer,
        cancel: CancellationToken,
    ) -> Result<Listed> {
        self.config.check()?;
        check_dates(&self.config)?;
        let guess = Bounds::at(&self.config, machine)
            .ok_or_else(|| Error::Config("since: no window to list".to_owned()))?;
        let deadline = Deadline::begin(self.config.deadline, &cancel);
        let throttle = Throttle::new(self.config.rate, self.config.burst, Arc::clone(&observer));
        let client = Client::new(
            &self.config,
            self.credentials,
            Arc::new(throttle),
            PageDecoder::default(),
            Arc::clone(&observer),
            deadline.stop.clone(),
        )?;
        let client = Arc::new(client.with_clock(ServerClock::beside(machine)));
        let listed = window(&self.config, &client, &observer, guess).await;
        client.close().await;
        listed
    }
}

/// Lists the meetings of a window, once the server's clock has fixed it.
async fn window(
    config: &Config,
    client: &Arc<Client>,
    observer: &Observer,
    guess: Bounds,
) -> Result<Listed> {
    let first = guess.first_day(config);
    let bounds = guess.fix(config, client, observer, first).await?;
    let Bounds { since, until, now } = bounds.check(config)?;
    let days = days(config, since, until)?;
    (observer)(Event::Listing {
        since,
        until,
        is_past_retention: is_past_retention(since, now),
    });
    let listed = list(config, client, observer, days).await;
    listed.outcome?;
    agree(config, client)?;
    let meetings = listed.found.into_iter().map(|found| found.meeting);
    Ok(Listed {
        meetings: meetings.collect(),
        unlisted: listed.unlisted,
    })
}

/// The days of a window.
pub(crate) fn days(
    config: &Config,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Vec<Span>> {
    // Before it is cut, which takes as long as it is.
    let length = (until - since).num_days();
    if usize::try_from(length).is_ok_and(|days| days <= MOST_DAYS) {
        return Ok(config.timezone.days(since, until));
    }
    Err(Error::Config(format!(
        "since: the window has {length} days; the service keeps meetings for a year at most"
    )))
}

/// What came of listing days.
pub(crate) struct Listings {
    /// The meetings, each once, in order.
    pub(crate) found: Vec<Found>,
    /// The days that could not be had whole.
    pub(crate) unlisted: Vec<Unlisted>,
    /// What concerned every request, where something did; the days that were not listed by then
    /// are named.
    pub(crate) outcome: Result<()>,
}

/// A meeting, and the day that it was found in.
pub(crate) struct Found {
    pub(crate) day: Span,
    pub(crate) meeting: Meeting,
}

/// Lists days, side by side as far as the slots and the quota allow, in their order.
pub(crate) async fn list(
    config: &Config,
    client: &Arc<Client>,
    observer: &Observer,
    days: Vec<Span>,
) -> Listings {
    let mut tasks = JoinSet::new();
    let mut outcome = Ok(());
    let may_ask = if config.query_all && !days.is_empty() {
        client.may_query_all().await
    } else {
        Ok(())
    };
    if let Err(Failure::Run(error)) = may_ask {
        outcome = Err(error);
    }
    let asked = if outcome.is_ok() { &days[..] } else { &[] };
    for (number, span) in asked.iter().copied().enumerate() {
        let day = Day {
            client: Arc::clone(client),
            observer: Arc::clone(observer),
            span,
            query_all: config.query_all,
            restarts: config.restarts,
            restart_delay: config.restart_delay,
        };
        tasks.spawn(async move { (number, day.list().await) });
    }
    let mut found: Vec<Option<Result<Rows, Loss>>> = days.iter().map(|_| None).collect();
    while let Some(done) = tasks.join_next().await {
        let (number, listed) = match done {
            Ok(done) => done,
            Err(error) if error.is_cancelled() => continue,
            Err(died) => {
                outcome = outcome.and(Err(Error::task("a request for the list")(died)));
                tasks.abort_all();
                continue;
            }
        };
        let listed = match listed {
            Ok(rows) => Ok(rows),
            Err(End::Loss(loss)) => Err(loss),
            Err(End::Run(error)) => {
                outcome = outcome.and(Err(error));
                tasks.abort_all();
                continue;
            }
        };
        found[number] = Some(listed);
    }
    if let Some(error) = client.take_untold() {
        outcome = outcome.and(Err(error));
    }
    if config.query_all
        && let Some(error) = all_forbidden(&found)
    {
        outcome = outcome.and(Err(error));
    }
    let mut listings = Listings {
        found: vec![],
        unlisted: vec![],
        outcome,
    };
    let mut known = HashSet::new();
    for (day, listed) in days.into_iter().zip(found) {
        match listed.unwrap_or_else(|| Err(Loss::stopped())) {
            Ok(rows) => {
                listings.unlisted.extend(rows.unlisted(day));
                let fresh = rows
                    .meetings
                    .into_iter()
                    .filter(|meeting| known.insert(meeting.conf_uuid.clone()));
                let found = fresh.map(|meeting| Found { day, meeting });
                listings.found.extend(found);
            }
            Err(loss) => listings.unlisted.push(Unlisted {
                since: day.since,
                until: day.until,
                cause: loss.cause,
                request_id: loss.request_id,
                rows: vec![],
            }),
        }
    }
    listings
}

/// The end of a run to which the list of all users' meetings is closed: each day was refused so.
fn all_forbidden(found: &[Option<Result<Rows, Loss>>]) -> Option<Error> {
    let mut losses = found.iter().map(|day| {
        day.as_ref()?
            .as_ref()
            .err()
            .filter(|loss| loss.is_forbidden)
    });
    let first = losses.next()??;
    losses.all(|loss| loss.is_some()).then(|| {
        let cause = &first.cause;
        let reason =
            format!("query_all is refused: {cause}; if this user is not an administrator, {ALONE}");
        Error::Credentials { reason }
    })
}

/// One day while it is listed.
struct Day {
    client: Arc<Client>,
    observer: Observer,
    span: Span,
    query_all: bool,
    restarts: u32,
    restart_delay: Duration,
}

/// Why there is no list.
enum End {
    /// It could not be had whole.
    Loss(Loss),
    /// Nothing can be had any more.
    Run(Error),
}

/// The rows of a day's list.
struct Rows {
    meetings: Vec<Meeting>,
    /// Offsets of the rows that cannot be read.
    unreadable: Vec<u64>,
    /// Fault of the first of them.
    what: &'static str,
    /// The server's id of the last request that brought one of them.
    request_id: Option<String>,
}

impl Rows {
    fn new(rows: Vec<Row>, request_id: Option<String>) -> Self {
        let (mut meetings, mut unreadable, mut first) = (vec![], vec![], None);
        for (offset, row) in (0..).zip(rows) {
            match row {
                Row::Meeting(meeting) => meetings.push(*meeting),
                Row::Unreadable(what, _) => {
                    first.get_or_insert(what);
                    unreadable.push(offset);
                }
            }
        }
        Self {
            meetings,
            unreadable,
            what: first.unwrap_or_default(),
            request_id,
        }
    }

    /// Returns the entry of the report for a day with rows that cannot be read.
    fn unlisted(&self, day: Span) -> Option<Unlisted> {
        let first = self.unreadable.first()?;
        let more = match self.unreadable.len() {
            1 => String::new(),
            rows => format!(", and {} rows more", rows - 1),
        };
        let what = self.what;
        let id = self.request_id.as_ref();
        let id = id
            .map(|id| format!(" (request id {id})"))
            .unwrap_or_default();
        let cause =
            format!("row at offset {first}: {what}{more}; the other meetings are there{id}");
        Some(Unlisted {
            since: day.since,
            until: day.until,
            cause,
            request_id: self.request_id.clone(),
            rows: self.unreadable.clone(),
        })
    }
}

struct Loss {
    cause: String,
    request_id: Option<String>,
    /// The server refused it for lack of a permission.
    is_forbidden: bool,
}

impl Loss {
    fn stopped() -> Self {
        Self {
            cause: "the run stopped first".to_owned(),
            request_id: None,
            is_forbidden: false,
        }
    }
}

impl Day {
    async fn list(self) -> Result<Rows, End> {
        let listed = self.walks().await;
        let day = self.span.since;
        match &listed {
            Ok(rows) => {
                (self.observer)(Event::Listed {
                    day,
                    meetings: rows.meetings.len() as u64,
                });
                if let Some(Unlisted { cause, .. }) = rows.unlisted(self.span) {
                    (self.observer)(Event::UnreadableRow { day, cause });
                }
            }
            Err(End::Loss(loss)) => (self.observer)(Event::Unlisted {
                day,
                cause: loss.cause.clone(),
            }),
            Err(End::Run(_)) => {}
        }
        listed
    }

    /// Walks until a walk comes to its end, or patience does.
    async fn walks(&self) -> Result<Rows, End> {
        let mut delay = self.restart_delay;
        let mut restarts = 0;
        loop {
            let (cause, request_id) = match self.walk().await? {
                Ok(rows) => return Ok(rows),
                Err(drift) => drift,
            };
            if restarts == self.restarts {
                let walks = restarts + 1;
                let cause = format!("the list was not the same through {walks} walks: {cause}");
                return Err(End::Loss(Loss {
                    cause,
                    request_id,
                    is_forbidden: false,
                }));
            }
            restarts += 1;
            let wait = delay.mul_f64(0.75 + fastrand::f64() / 2.0);
            (self.observer)(Event::ListingAgain {
                day: self.span.since,
                delay: wait,
                is_throttled: false,
                cause,
            });
            if !self.client.sleep(wait).await {
                return Err(End::Loss(Loss::stopped()));
            }
            delay = delay.saturating_mul(2);
        }
    }

    /// One walk; the inner error is what showed that the list moved.
    async fn walk(&self) -> Result<Result<Rows, (String, Option<String>)>, End> {
        let mut walk = HistoryWalk::new(LIMIT);
        let mut unreadable = None;
        while let Some((offset, limit)) = walk.next() {
            let listing = Listing {
                span: self.span,
                query_all: self.query_all,
                offset,
                limit,
            };
            let (page, request_id) = match self.client.history(listing).await {
                Ok(answer) => answer,
                Err(Failure::Cancelled) => return Err(End::Loss(Loss::stopped())),
                Err(failure @ Failure::UsedUp) => {
                    return Err(End::Loss(Loss {
                        cause: failure.to_string(),
                        request_id: None,
                        is_forbidden: false,
                    }));
                }
                Err(Failure::Run(error)) => return Err(End::Run(error)),
                Err(failure) => {
                    return Err(End::Loss(Loss {
                        cause: format!("at offset {offset}: {failure}"),
                        request_id: failure.request_id().map(str::to_owned),
                        is_forbidden: failure.is_forbidden(),
                    }));
                }
            };
            if page.rows.iter().any(|row| row.conf_uuid().is_none()) {
                unreadable.clone_from(&request_id);
            }
            if let Err(drift) = walk.answer((offset, limit), page) {
                return Ok(Err((drift, request_id)));
            }
        }
        Ok(Ok(Rows::new(walk.into_rows(), unreadable)))
    }
}
