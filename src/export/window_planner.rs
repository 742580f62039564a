//! Which meetings a run with a window has to bring.
//!
//! Earlier runs left in their reports how far they got. A run looks where it was asked to; on the
//! days of meetings that are not held yet and on those that could not be listed; and by the lookback
//! behind the last instant that was listed, for meetings that come late. It never looks before the
//! earliest instant that any run was asked for. What was found once and is not held is asked for by
//! its name, whether the list shows it still or not. So missed nights, failed meetings and late ones
//! are caught up by any later run. The time is the server's, and what the dataset holds is skipped
//! by its ledger, not by any clock.

mod plan;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use self::plan::{Past, Plan};
use super::run::is_told;
use crate::api::{Client, TOLERANCE};
use crate::config::Config;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::fetch::{Bounds, Listings, history, history_bounds};
use crate::record::Meeting;
use crate::report::{Event, Observer, Unlisted, Window};
use crate::values::{ConfUuid, Span};

/// The window of a run, until the server's clock fixes it.
#[derive(Debug)]
pub(super) struct Discovery {
    past: Past,
    /// The window by this machine's clock, or at the time that the caller gave.
    guess: Bounds,
    /// What would be asked for by it.
    plan: Result<Plan>,
    who: Option<String>,
}

/// What came of it.
pub(super) struct Work {
    /// The meetings to bring, those that are held included.
    pub(super) meetings: Vec<ConfUuid>,
    /// What the list told of them.
    pub(super) told: Vec<Meeting>,
    /// Nothing where there was no window to ask for.
    pub(super) window: Option<Discovered>,
    /// What concerns every request, where something does.
    pub(super) listed: Result<()>,
}

impl Work {
    /// There is no window to ask for.
    const fn none(error: Error) -> Self {
        Self {
            meetings: vec![],
            told: vec![],
            window: None,
            listed: Err(error),
        }
    }
}

/// The window after its days were listed.
#[derive(Debug)]
pub(super) struct Discovered {
    /// As it would be if every meeting to bring was held.
    pub(super) window: Window,
    /// The days on which they were found.
    pub(super) days: HashMap<ConfUuid, Span>,
    /// When those ended that the list shows, as it tells.
    pub(super) ends: HashMap<ConfUuid, DateTime<Utc>>,
    /// Of them, those without which their whole day was listed now.
    pub(super) delisted: HashSet<ConfUuid>,
}

impl Discovered {
    /// Whether all of it was listed.
    pub(super) fn is_listed(&self) -> bool {
        self.window.unlisted.is_empty()
    }
}

impl Discovery {
    /// Finds what earlier runs left, where there is a window. Where the time `is_given`, a window
    /// that cannot be asked for is refused at once.
    pub(super) async fn plan(
        config: &Config,
        (now, is_given): (DateTime<Utc>, bool),
        dataset: Option<&Dataset>,
        who: Option<String>,
    ) -> Result<Option<Self>> {
        let Some(guess) = Bounds::at(config, now) else {
            return Ok(None);
        };
        let past = past(config, dataset, who.clone(), now).await?;
        let checked = guess.check(config);
        let mut plan = checked.and_then(|guess| Plan::new(config, &past, guess));
        if is_given {
            plan = Ok(plan?);
        }
        Ok(Some(Self {
            past,
            guess,
            plan,
            who,
        }))
    }

    /// Lists the window.
    pub(super) async fn run(
        self,
        config: &Config,
        dataset: Option<&Dataset>,
        client: &Arc<Client>,
        observer: &Observer,
    ) -> Work {
        // Half of what is set aside is for records: lists alone would bring nothing, run after run.
        let share = config
            .max_requests
            .map(|requests| requests.get().div_ceil(2));
        let share = share.and_then(|share| usize::try_from(share).ok());
        let share = share.unwrap_or(usize::MAX);
        let days = self.plan.as_ref().ok().map(|plan| plan.days.iter());
        // The earliest one, since the latest ends now.
        let first = days.and_then(|days| days.take(share).min_by_key(|day| day.since).copied());
        let first = first.unwrap_or_else(|| self.guess.first_day(config));
        let fixed = self.guess.fix(config, client, observer, first).await;
        let mut plan = match (fixed, self.plan) {
            (Ok(bounds), Ok(plan)) if bounds == self.guess => plan,
            (Ok(bounds), _) => {
                let past = match self.past {
                    past if (bounds.now - self.guess.now).abs() <= TOLERANCE => Ok(past),
                    // What is believed of the reports follows from the time.
                    _ => past(config, dataset, self.who, bounds.now).await,
                };
                let plan = past.and_then(|past| Plan::new(config, &past, bounds.check(config)?));
                match plan {
                    Ok(plan) => plan,
                    Err(error) => return Work::none(error),
                }
            }
            (Err(error @ Error::Clock { .. }), _) | (Err(error), Err(_)) => {
                return Work::none(error);
            }
            (Err(error), Ok(plan)) => {
                let days = plan.days.clone();
                let unlisted = days
                    .iter()
                    .map(|day| unlisted(*day, "the run stopped first"));
                let listings = Listings {
                    found: vec![],
                    unlisted: unlisted.collect(),
                    outcome: Err(error),
                };
                return plan.sort(listings, &days, client.clock().now());
            }
        };
        announce(&plan.window, observer);
        let mut days = std::mem::take(&mut plan.days);
        let asked = days.clone();
        let later = days.split_off(share.min(days.len()));
        let mut listings = history::list(config, client, observer, days).await;
        let cause = "the requests set aside for this run are for other days";
        let later = later.into_iter().map(|day| unlisted(day, cause));
        listings.unlisted.extend(later);
        // The first answers may have had no time, and later ones another.
        if listings.outcome.is_ok() {
            listings.outcome = history_bounds::agree(config, client);
        }
        let work = plan.sort(listings, &asked, client.clock().now());
        let settling = work
            .window
            .as_ref()
            .map_or(0, |found| found.window.settling);
        if settling > 0 {
            (observer)(Event::Settling { meetings: settling });
        }
        work
    }
}

/// What earlier runs left, as far as it is believed at this time.
async fn past(
    config: &Config,
    dataset: Option<&Dataset>,
    who: Option<String>,
    now: DateTime<Utc>,
) -> Result<Past> {
    let mut past = Past {
        is_told: is_told(config, dataset),
        // Through a pipe, what is left to the next run is lost: it remembers nothing.
        settle: dataset.map_or(Duration::ZERO, |_| config.settle),
        who,
        ..Past::default()
    };
    if let Some(dataset) = dataset {
        let site = config.base_url.origin().ascii_serialization();
        let question = (site.as_str(), config.query_all, past.who.as_deref());
        past.earlier = dataset.covered(question, now).await?;
        past.lost = dataset.lost();
        if let Some(earlier) = &mut past.earlier {
            let meetings = &mut earlier.owed_meetings;
            meetings.retain(|meeting, _| !dataset.holds(meeting));
        }
    }
    Ok(past)
}

fn announce(window: &Window, observer: &Observer) {
    (observer)(Event::Listing {
        since: window.since,
        until: window.until,
        is_past_retention: window.is_past_retention,
    });
    if window.forgotten > 0 {
        let meetings = window.forgotten;
        (observer)(Event::Forgotten { meetings });
    }
}

fn unlisted(day: Span, cause: &str) -> Unlisted {
    Unlisted {
        since: day.since,
        until: day.until,
        cause: cause.to_owned(),
        request_id: None,
        rows: vec![],
    }
}
