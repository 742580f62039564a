//! The clock that decides what is asked: the server's.
//!
//! 1. Before the first answer, this machine's clock serves, read once and carried on by the
//!    monotonic clock.
//! 2. The first answer of the API with a believable `Date` fixes the offset for the run.
//! 3. Each later answer is compared with it. Where one disagrees by more than [`TOLERANCE`], the
//!    earlier time decides: too early a time leaves work to the next run, too late a time loses it.
//!
//! A `Date` is believed where the answer is the API's own, where no cache sent it (`Age`), and where
//! it lies between 2020 and 2100. Time passes by the monotonic clock, so that setting this machine's
//! clock during a run changes nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{AGE, DATE, HeaderMap};
use tokio::time::Instant;

use crate::report::{Clock, ClockSource};
use crate::values::shown;

/// The difference between two clocks that is not worth a warning.
pub(crate) const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// The server's clock, as far as its answers tell.
#[derive(Debug)]
pub(crate) struct ServerClock {
    machine: Reading,
    /// A time that the caller gave: it decides in place of both clocks.
    given: Option<Reading>,
    heard: Mutex<Heard>,
}

/// A time, and when it was read.
#[derive(Clone, Copy, Debug)]
struct Reading {
    time: DateTime<Utc>,
    at: Instant,
}

/// What the answers told so far.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    first: Option<Reading>,
    latest: Option<Reading>,
    /// The lowest difference of a later answer to the first one.
    lowest: TimeDelta,
}

impl Reading {
    fn new(time: DateTime<Utc>) -> Self {
        let at = Instant::now();
        Self { time, at }
    }

    fn at(self, at: Instant) -> DateTime<Utc> {
        let passed = TimeDelta::from_std(at.saturating_duration_since(self.at)).ok();
        let time = passed.and_then(|passed| self.time.checked_add_signed(passed));
        time.unwrap_or(self.time)
    }

    fn now(self) -> DateTime<Utc> {
        self.at(Instant::now())
    }
}

impl Heard {
    /// The earlier one of the times that were told.
    fn now(self) -> Option<DateTime<Utc>> {
        let now = self.first?.now();
        if self.lowest < -TOLERANCE {
            return now.checked_add_signed(self.lowest);
        }
        Some(now)
    }

    /// The first answer's time, and this machine's at that moment.
    fn pair(self, machine: Reading) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let first = self.first?;
        Some((machine.at(first.at), first.time))
    }
}

impl Default for ServerClock {
    fn default() -> Self {
        Self::beside(Utc::now())
    }
}

impl ServerClock {
    /// No answer yet; this machine's clock shows `machine`.
    pub(crate) fn beside(machine: DateTime<Utc>) -> Self {
        Self {
            machine: Reading::new(machine),
            given: None,
            heard: Mutex::default(),
        }
    }

    /// A clock that was given this time and believes no other.
    pub(crate) fn given(now: DateTime<Utc>) -> Self {
        Self {
            given: Some(Reading::new(now)),
            ..Self::default()
        }
    }

    /// The time that decides what is asked: the given one, else the server's, else this machine's.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let given = self.given.map(Reading::now);
        let server = || self.heard().now();
        given.or_else(server).unwrap_or_else(|| self.machine.now())
    }

    /// Whether the caller gave the time.
    pub(crate) const fn is_given(&self) -> bool {
        self.given.is_some()
    }

    /// The time of the server, once an answer has told it.
    pub(crate) fn server(&self) -> Option<DateTime<Utc>> {
        self.heard().now()
    }

    /// The times of this machine and of the server at the first answer that told one, where they
    /// differ by more than this.
    pub(crate) fn is_off_by(&self, most: TimeDelta) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let pair = self.heard().pair(self.machine);
        pair.filter(|_| !self.is_given())
            .filter(|(machine, server)| (*server - *machine).abs() > most)
    }

    /// What the report keeps; a window `needs` the time.
    pub(crate) fn report(&self, needs: bool) -> Clock {
        let heard = self.heard();
        let pair = heard.pair(self.machine).filter(|_| !self.is_given());
        let source = match pair {
            _ if self.is_given() => ClockSource::Given,
            Some(_) => ClockSource::Server,
            None => ClockSource::Machine,
        };
        let (machine, server) = pair.map_or((self.machine.time, None), |(machine, server)| {
            (machine, Some(server))
        });
        let earlier = pair.map(|_| heard.lowest).filter(|by| *by < -TOLERANCE);
        Clock {
            source,
            machine,
            server,
            offset_ms: server.map(|server| (server - machine).num_milliseconds()),
            earlier_by_ms: earlier.map(|by| -by.num_milliseconds()),
            warning: match (source, server, earlier) {
                (ClockSource::Given, ..) => None,
                (_, Some(server), _) if (server - machine).abs() > TOLERANCE => {
                    Some(off(machine, server))
                }
                (_, _, Some(by)) => Some(disagreement(by)),
                (ClockSource::Machine, ..) if needs => Some(untold(machine)),
                _ => None,
            },
        }
    }

    /// The server's time when this machine's clock showed `machine`.
    pub(crate) fn at_machine_time(&self, machine: DateTime<Utc>) -> DateTime<Utc> {
        let age = Utc::now().signed_duration_since(machine);
        self.now().checked_sub_signed(age).unwrap_or(machine)
    }

    /// Takes the time from an answer of the API that has just come. Others answer in its place, too,
    /// and some of them are in the year 1970. Returns a warning where there is a new one.
    pub(super) fn hear(&self, headers: &HeaderMap) -> Option<String> {
        let time = told(headers)?;
        let reading = Reading::new(time);
        let mut heard = self.heard();
        heard.latest = Some(reading);
        let warning = match heard.first {
            None => {
                heard.first = Some(reading);
                let (machine, server) = heard.pair(self.machine)?;
                ((server - machine).abs() > TOLERANCE).then(|| off(machine, server))
            }
            Some(first) => {
                let difference = time.signed_duration_since(first.at(reading.at));
                let is_new = heard.lowest >= -TOLERANCE && difference < -TOLERANCE;
                heard.lowest = heard.lowest.min(difference);
                is_new.then(|| disagreement(difference))
            }
        };
        warning.filter(|_| !self.is_given())
    }

    /// When an answer was sent by its own word, else the server's time now.
    pub(super) fn at(&self, headers: &HeaderMap) -> SystemTime {
        told(headers).unwrap_or_else(|| self.latest()).into()
    }

    /// The time by the latest answer, which logins are signed with; before the first one, by this
    /// machine's clock.
    pub(super) fn latest(&self) -> DateTime<Utc> {
        let latest = self.heard().latest;
        latest.map_or_else(Utc::now, Reading::now)
    }

    /// How many seconds this machine's clock is behind, once an answer has told the time.
    pub(super) fn seconds_behind(&self) -> Option<i64> {
        let server = self.heard().latest?.now();
        Some(server.timestamp() - Utc::now().timestamp())
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn off(machine: DateTime<Utc>, server: DateTime<Utc>) -> String {
    let (machine, server) = (shown(machine), shown(server));
    format!(
        "this machine's clock shows {machine} and the server's {server}: the server's decides what \
         is asked; set this machine's clock"
    )
}

fn disagreement(by: TimeDelta) -> String {
    let minutes = by.num_minutes().abs();
    format!(
        "answers of the server disagree on the time by {minutes} minutes: the earlier time decides \
         what is asked"
    )
}

/// No answer had a time.
pub(crate) fn untold(machine: DateTime<Utc>) -> String {
    let machine = shown(machine);
    format!(
        "no answer of the server told its time: this machine's clock, which shows {machine}, decides \
         what is asked"
    )
}

/// The time that an answer carries, where it is to be believed.
fn told(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let text = |name| headers.get(name)?.to_str().ok();
    // An answer from a cache has the time at which it was made.
    if text(AGE).is_some_and(|age| age.trim() != "0") {
        return None;
    }
    let date: SystemTime = httpdate::parse_http_date(text(DATE)?.trim()).ok()?;
    let date = DateTime::<Utc>::from(date);
    // From 2020 to 2100: whatever tells another time has no clock.
    (1_577_836_800..4_102_444_800)
        .contains(&date.timestamp())
        .then_some(date)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn date(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, text.parse().unwrap());
        headers
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_is_the_servers_and_passes_by_itself() {
        let machine = time("2027-01-09T02:00:00Z");
        let clock = ServerClock::beside(machine);
        assert_eq!((clock.now(), clock.seconds_behind()), (machine, None));
        clock.hear(&date("Mon, 30 Nov 2026 02:00:00 GMT"));
        tokio::time::advance(Duration::from_secs(5)).await;
        let server = time("2026-11-30T02:00:05Z");
        assert_eq!(clock.now(), server);
        assert_eq!(clock.latest(), server);
        assert!(clock.seconds_behind().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_date_that_is_none_is_not_believed() {
        let machine = time("2026-11-30T02:00:00Z");
        let clock = ServerClock::beside(machine);
        let mut cached = date("Sun, 29 Nov 2026 02:00:00 GMT");
        cached.insert(AGE, "86400".parse().unwrap());
        for headers in [
            HeaderMap::new(),
            date("yesterday"),
            date("Thu, 01 Jan 1970 00:00:00 GMT"),
            date("Sun, 06 Nov 2994 08:49:37 GMT"),
            cached,
        ] {
            clock.hear(&headers);
            assert_eq!((clock.now(), clock.seconds_behind()), (machine, None));
        }
        let mut fresh = date("Mon, 30 Nov 2026 03:00:00 GMT");
        fresh.insert(AGE, "0".parse().unwrap());
        clock.hear(&fresh);
        assert_eq!(clock.now(), time("2026-11-30T03:00:00Z"));
    }

    #[tokio::test(start_paused = true)]
    async fn of_answers_that_disagree_the_earlier_time_decides_and_the_latest_answer_signs() {
        let clock = ServerClock::default();
        clock.hear(&date("Mon, 30 Nov 2026 02:00:00 GMT"));
        // A difference that comes with the wait for an answer changes nothing.
        clock.hear(&date("Mon, 30 Nov 2026 01:58:00 GMT"));
        assert_eq!(clock.now(), time("2026-11-30T02:00:00Z"));
        clock.hear(&date("Mon, 30 Nov 2026 09:00:00 GMT"));
        assert_eq!(clock.now(), time("2026-11-30T02:00:00Z"));
        assert_eq!(clock.latest(), time("2026-11-30T09:00:00Z"));
        clock.hear(&date("Sun, 29 Nov 2026 22:00:00 GMT"));
        assert_eq!(clock.now(), time("2026-11-29T22:00:00Z"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_off_is_reported_with_both_times() {
        let clock = ServerClock::beside(time("2027-01-09T02:00:00Z"));
        let untold = clock.report(true);
        assert_eq!(
            (untold.source, untold.offset_ms),
            (ClockSource::Machine, None)
        );
        assert!(untold.warning.unwrap().contains("2027-01-09 02:00:00Z"));
        assert_eq!(clock.report(false).warning, None);
        let warning = clock.hear(&date("Mon, 30 Nov 2026 02:00:00 GMT"));
        assert_eq!(clock.hear(&date("Mon, 30 Nov 2026 02:00:00 GMT")), None);
        let report = clock.report(true);
        assert_eq!(
            (report.source, report.warning.clone()),
            (ClockSource::Server, warning)
        );
        assert_eq!(report.offset_ms, Some(-40 * 86_400_000));
        let warning = report.warning.unwrap();
        for time in ["2027-01-09 02:00:00Z", "2026-11-30 02:00:00Z"] {
            assert!(warning.contains(time), "{warning}");
        }
        assert!(clock.is_off_by(TimeDelta::days(1)).is_some());
        assert!(clock.is_off_by(TimeDelta::days(40)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_given_time_decides_and_signs_no_login() {
        let clock = ServerClock::given(time("2026-11-05T00:00:00Z"));
        clock.hear(&date("Mon, 30 Nov 2026 02:00:00 GMT"));
        assert_eq!(clock.now(), time("2026-11-05T00:00:00Z"));
        assert_eq!(clock.latest(), time("2026-11-30T02:00:00Z"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_of_this_machine_is_told_by_the_servers_clock() {
        let clock = ServerClock::default();
        clock.hear(&date("Fri, 01 May 2026 02:00:00 GMT"));
        let minute_ago = Utc::now() - TimeDelta::minutes(1);
        let off = clock.at_machine_time(minute_ago) - time("2026-05-01T01:59:00Z");
        assert!(off.abs() < TimeDelta::seconds(5), "{off}");
    }
}
