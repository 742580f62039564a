//! The bounds of the window, by the server's clock.
//!
//! Most bounds follow from the time: `yesterday`, `24h`, and the end of a window that has none.
//!
//! 1. The window is read by this machine's clock, as a guess. Only what no clock can change is
//!    refused here.
//! 2. The login's answer tells the server's time. A run with a given token asks for the first page
//!    of the guess's first day instead, which has to be asked for in any case.
//! 3. The window is read again by the server's clock. Where the first day is another one by then,
//!    its first page is asked for once more: one request, in runs whose clock is wrong.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::history::LIMIT;
use super::history_walk::HistoryWalk;
use crate::api::{Client, Failure, Listing, TOLERANCE, untold};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::report::{Event, Observer};
use crate::values::{Moment, Span, before, shown};

/// The server's `Date` is cut to the second.
const RESOLUTION: TimeDelta = TimeDelta::seconds(1);

/// Clocks that differ by more are of two days.
const MOST: TimeDelta = TimeDelta::days(1);

/// A window, and the time that it was read at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) since: DateTime<Utc>,
    pub(crate) until: DateTime<Utc>,
    pub(crate) now: DateTime<Utc>,
}

impl Bounds {
    /// The window of the settings at a time, if they have one. Nothing has begun later than then.
    pub(crate) fn at(config: &Config, now: DateTime<Utc>) -> Option<Self> {
        let since = config.since?.begin(now, config.timezone);
        let until = config.until;
        let until = until.map_or(now, |until| until.end(now, config.timezone));
        let until = until.min(now);
        Some(Self { since, until, now })
    }

    /// Refuses a window whose end is not later than its beginning.
    pub(crate) fn check(self, config: &Config) -> Result<Self> {
        let Some(moment) = config.since.filter(|_| self.since >= self.until) else {
            return Ok(self);
        };
        Err(backwards(moment, self.since, self.until))
    }

    /// Its first day, which is asked for whatever the time is.
    pub(crate) fn first_day(self, config: &Config) -> Span {
        let zone = config.timezone;
        let end = zone.end_of(zone.date(self.since));
        let cut = end.min(self.until);
        Span {
            since: self.since,
            until: if cut > self.since { cut } else { end },
        }
    }

    /// The window once the server's time is known. A bound of this machine's clock stands where the
    /// server's clock moves it by too little to ask for the first day again.
    fn by_server(self, config: &Config, now: DateTime<Utc>) -> Option<Self> {
        let server = Self::at(config, now)?;
        let is_near = (server.since - self.since).abs() <= TOLERANCE;
        let since = if is_near { self.since } else { server.since };
        let later = server.until - self.until;
        let is_near = -RESOLUTION <= later && later <= TOLERANCE;
        let until = if is_near { self.until } else { server.until };
        Some(Self { since, until, now })
    }

    /// The window by the clock that decides; `first` is the day that is asked for ahead, where no
    /// answer has told the time.
    ///
    /// # Errors
    ///
    /// Clocks that differ by more than a day where the window follows from the time, and what
    /// concerns every request.
    pub(crate) async fn fix(
        self,
        config: &Config,
        client: &Client,
        observer: &Observer,
        first: Span,
    ) -> Result<Self> {
        if client.clock().is_given() {
            return Ok(self);
        }
        if config.query_all
            && let Err(Failure::Run(error)) = client.may_query_all().await
        {
            return Err(error);
        }
        let Some(now) = client.learn_time(first_page(config, first)).await? else {
            let warning = untold(self.now);
            (observer)(Event::Clock { warning });
            return Ok(self);
        };
        agree(config, client)?;
        Ok(self.by_server(config, now).unwrap_or(self))
    }
}

/// Refuses a window that follows from the time where the clocks are of two days.
pub(crate) fn agree(config: &Config, client: &Client) -> Result<()> {
    match client.clock().is_off_by(MOST) {
        Some((machine, server)) if !config.until.is_some_and(Moment::is_fixed) => {
            Err(Error::Clock { machine, server })
        }
        _ => Ok(()),
    }
}

/// Refuses a window that ends before it begins, whatever the time is.
pub(crate) fn check_dates(config: &Config) -> Result<()> {
    let (Some(since), Some(until)) = (config.since, config.until) else {
        return Ok(());
    };
    if !since.is_comparable(until) {
        return Ok(());
    }
    let now = Utc::now();
    let begin = since.begin(now, config.timezone);
    let end = until.end(now, config.timezone);
    if begin >= end {
        return Err(backwards(since, begin, end));
    }
    Ok(())
}

/// Whether the service may have removed meetings that began then.
pub(crate) fn is_past_retention(since: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    since < before(now, RETENTION)
}

/// How long the service keeps meetings by default, in days; an enterprise may have it keep twice
/// that.
const RETENTION: Duration = Duration::from_secs(183 * 86_400);

/// The first page of a day.
fn first_page(config: &Config, span: Span) -> Listing {
    let (offset, limit) = HistoryWalk::new(LIMIT).next().unwrap_or((0, LIMIT));
    Listing {
        span,
        query_all: config.query_all,
        offset,
        limit,
    }
}

fn backwards(since: Moment, begin: DateTime<Utc>, end: DateTime<Utc>) -> Error {
    let (begin, end) = (shown(begin), shown(end));
    Error::Config(format!(
        "since {since}: the window begins at {begin} and ends at {end}, which is not later"
    ))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn config(since: &str, until: Option<&str>) -> Config {
        Config {
            since: Some(since.parse().unwrap()),
            until: until.map(|until| until.parse().unwrap()),
            ..Config::default()
        }
    }

    #[rstest]
    #[case::weeks_ahead("2027-01-09T02:00:00Z", "2026-11-29T00:00:00Z", "2026-11-30T02:00:00Z")]
    #[case::hours_ahead("2026-11-30T10:00:00Z", "2026-11-29T00:00:00Z", "2026-11-30T02:00:00Z")]
    #[case::hours_behind("2026-11-29T18:00:00Z", "2026-11-29T00:00:00Z", "2026-11-30T02:00:00Z")]
    #[case::minutes_ahead("2026-11-30T02:04:00Z", "2026-11-29T00:00:00Z", "2026-11-30T02:00:00Z")]
    #[case::as_good(
        "2026-11-30T02:00:00.700Z",
        "2026-11-29T00:00:00Z",
        "2026-11-30T02:00:00.700Z"
    )]
    #[case::minutes_behind("2026-11-30T01:58:00Z", "2026-11-29T00:00:00Z", "2026-11-30T01:58:00Z")]
    fn yesterday_is_the_day_before_the_servers_today(
        #[case] machine: &str,
        #[case] since: &str,
        #[case] until: &str,
    ) {
        let config = config("yesterday", None);
        let guess = Bounds::at(&config, time(machine)).unwrap();
        let now = time("2026-11-30T02:00:00Z");
        let bounds = guess.by_server(&config, now).unwrap();
        assert_eq!((bounds.since, bounds.until), (time(since), time(until)));
        assert_eq!(bounds.now, now);
    }

    #[test]
    fn a_time_ago_is_as_this_machine_took_it_where_the_clocks_agree() {
        let config = config("24h", None);
        let guess = Bounds::at(&config, time("2026-11-30T02:03:00Z")).unwrap();
        let bounds = guess.by_server(&config, time("2026-11-30T02:00:00Z"));
        // No second request for the first day.
        assert_eq!(bounds.unwrap().first_day(&config), guess.first_day(&config));
        let bounds = guess.by_server(&config, time("2026-11-30T01:00:00Z"));
        assert_eq!(bounds.unwrap().since, time("2026-11-29T01:00:00Z"));
    }

    #[test]
    fn only_what_no_clock_can_change_is_refused_before_the_time_is_known() {
        assert!(check_dates(&config("2026-11-02", Some("2026-11-01"))).is_err());
        assert!(check_dates(&config("2026-11-02", Some("2026-11-02"))).is_ok());
        assert!(check_dates(&config("1h", Some("2h"))).is_err());
        assert!(check_dates(&config("today", Some("yesterday"))).is_err());
        assert!(check_dates(&config("yesterday", Some("2h"))).is_ok());
        assert!(check_dates(&config("2999-01-01", None)).is_ok());
        assert!(check_dates(&config("yesterday", Some("2026-11-01"))).is_ok());
        // The first day of a window that is to come by a clock that is behind.
        let config = config("2026-11-30", None);
        let guess = Bounds::at(&config, time("2026-10-21T00:00:00Z")).unwrap();
        assert!(guess.check(&config).is_err());
        let first = guess.first_day(&config);
        let day = [first.since, first.until];
        assert_eq!(
            day,
            ["2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"].map(time)
        );
    }
}
