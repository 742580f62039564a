//! Points in time as people write them: `2026-11-01`, `yesterday`, `24h`.
//!
//! Pure: what a moment means follows from the time that it is now and from the time zone.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::time_zone::Zone;

/// A point in time as somebody wrote it; a day is its beginning as `since`, its end as `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// An instant, as RFC 3339.
    At(DateTime<Utc>),
    /// A day, as `2026-11-01`.
    Day(NaiveDate),
    /// `today`.
    Today,
    /// `yesterday`.
    Yesterday,
    /// `now`.
    Now,
    /// So long ago, as `24h` or `7d`.
    Ago(Duration),
}

impl Moment {
    /// The first instant of what it names.
    pub fn begin(self, now: DateTime<Utc>, zone: Zone) -> DateTime<Utc> {
        match self.instant_or_day(now, zone) {
            Ok(instant) => instant,
            Err(day) => zone.start_of(day),
        }
    }

    /// The first instant after what it names: a day is in, as a whole.
    pub fn end(self, now: DateTime<Utc>, zone: Zone) -> DateTime<Utc> {
        match self.instant_or_day(now, zone) {
            Ok(instant) => instant,
            Err(day) => zone.end_of(day),
        }
    }

    /// Whether it names the same time whatever the time is now.
    pub(crate) const fn is_fixed(self) -> bool {
        matches!(self, Self::At(_) | Self::Day(_))
    }

    /// Whether its order to another one is the same whatever the time is now.
    pub(crate) const fn is_comparable(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::At(_) | Self::Day(_), Self::At(_) | Self::Day(_))
                | (Self::Now | Self::Ago(_), Self::Now | Self::Ago(_))
                | (Self::Today | Self::Yesterday, Self::Today | Self::Yesterday)
        )
    }

    fn instant_or_day(self, now: DateTime<Utc>, zone: Zone) -> Result<DateTime<Utc>, NaiveDate> {
        match self {
            Self::At(instant) => Ok(instant),
            Self::Now => Ok(now),
            Self::Ago(time) => Ok(before(now, time)),
            Self::Day(day) => Err(day),
            Self::Today => Err(zone.date(now)),
            Self::Yesterday => {
                let today = zone.date(now);
                Err(today.checked_sub_days(Days::new(1)).unwrap_or(today))
            }
        }
    }
}

/// A time to the second, for messages.
pub(crate) fn shown(time: DateTime<Utc>) -> impl fmt::Display {
    time.format("%Y-%m-%d %H:%M:%SZ")
}

/// The instant so long before another; the beginning of time at the earliest.
pub(crate) fn before(instant: DateTime<Utc>, time: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(time)
        .ok()
        .and_then(|time| instant.checked_sub_signed(time))
        .unwrap_or(DateTime::<Utc>::MIN_UTC)
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        match text {
            "today" => return Ok(Self::Today),
            "yesterday" => return Ok(Self::Yesterday),
            "now" => return Ok(Self::Now),
            _ => {}
        }
        if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::At(instant.to_utc()));
        }
        if let Ok(day) = text.parse() {
            return Ok(Self::Day(day));
        }
        humantime::parse_duration(text).map(Self::Ago).map_err(|_| {
            "expected a date (2026-11-01), yesterday, today, now, a time ago (24h, 7d), or RFC 3339 \
             with its offset (2026-11-01T08:00:00+08:00)"
                .to_owned()
        })
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(instant) => f.write_str(&instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            Self::Day(day) => day.fmt(f),
            Self::Today => f.write_str("today"),
            Self::Yesterday => f.write_str("yesterday"),
            Self::Now => f.write_str("now"),
            Self::Ago(time) => humantime::format_duration(*time).fmt(f),
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2026-11-01", "2026-10-31T16:00:00Z", "2026-11-01T16:00:00Z")]
    #[case("yesterday", "2026-10-30T16:00:00Z", "2026-10-31T16:00:00Z")]
    #[case("today", "2026-10-31T16:00:00Z", "2026-11-01T16:00:00Z")]
    #[case("now", "2026-10-31T20:00:00Z", "2026-10-31T20:00:00Z")]
    #[case("24h", "2026-10-30T20:00:00Z", "2026-10-30T20:00:00Z")]
    #[case("7d", "2026-10-24T20:00:00Z", "2026-10-24T20:00:00Z")]
    #[case("90m", "2026-10-31T18:30:00Z", "2026-10-31T18:30:00Z")]
    #[case(
        "2026-11-01T08:00:00+08:00",
        "2026-11-01T00:00:00Z",
        "2026-11-01T00:00:00Z"
    )]
    fn a_day_is_meant_as_a_whole_and_an_instant_as_it_is(
        #[case] moment: Moment,
        #[case] begin: &str,
        #[case] end: &str,
    ) {
        // In Shanghai it is the first of November already.
        let now = "2026-10-31T20:00:00Z".parse().unwrap();
        let zone = "Asia/Shanghai".parse().unwrap();
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(moment.begin(now, zone), time(begin));
        assert_eq!(moment.end(now, zone), time(end));
        assert_eq!(moment.to_string().parse(), Ok(moment));
    }

    #[test]
    fn what_could_mean_two_times_is_refused() {
        for text in [
            "",
            "2026-11-01T08:00:00",
            "2026-11-01 08:00",
            "2026-13-01",
            "01.11.2026",
            "-1d",
            "7",
            "tomorrow",
            "Yesterday",
        ] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_ago_before_all_time_is_its_beginning() {
        let moment = Moment::Ago(Duration::MAX);
        assert_eq!(
            moment.begin(Utc::now(), Zone::UTC),
            DateTime::<Utc>::MIN_UTC
        );
    }
}
