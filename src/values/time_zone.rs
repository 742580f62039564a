//! Civil days in a time zone, as instants.
//!
//! A day is what the clocks on the wall there call one: on a change of the clocks it has 23 hours,
//! or 25, or another length, and where midnight does not exist, it begins with the first instant
//! that does. Each day ends where the next one begins, so that no instant is in none or in two.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest gap that clocks have jumped: a whole day, on islands that crossed the date line.
const LONGEST_GAP: i64 = 26 * 60;

/// A time zone by its IANA name, as `Asia/Shanghai`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(Tz);

impl Zone {
    /// Universal time.
    pub const UTC: Self = Self(Tz::UTC);

    /// The IANA name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    pub(crate) fn tz(self) -> Tz {
        self.0
    }

    /// The date of an instant.
    pub fn date(self, instant: DateTime<Utc>) -> NaiveDate {
        instant.with_timezone(&self.0).date_naive()
    }

    /// The first instant of a day; the end of time where there is no such day.
    pub fn start_of(self, day: NaiveDate) -> DateTime<Utc> {
        let midnight = NaiveDateTime::new(day, NaiveTime::MIN);
        (0..=LONGEST_GAP)
            .filter_map(|minutes| midnight.checked_add_signed(TimeDelta::minutes(minutes)))
            // Where it comes twice, the first time.
            .find_map(|local| self.0.from_local_datetime(&local).earliest())
            .map_or(DateTime::<Utc>::MAX_UTC, |start| start.with_timezone(&Utc))
    }

    /// The first instant after a day.
    pub fn end_of(self, day: NaiveDate) -> DateTime<Utc> {
        day.checked_add_days(Days::new(1))
            .map_or(DateTime::<Utc>::MAX_UTC, |next| self.start_of(next))
    }

    /// The days from `since` up to `until`, the first and the last cut off there.
    pub(crate) fn days(self, since: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Span> {
        let mut days = vec![];
        let mut begin = since;
        let mut day = self.date(since);
        while begin < until {
            let end = self.end_of(day).min(until);
            // A day that a calendar left out is empty.
            if begin < end {
                days.push(Span {
                    since: begin,
                    until: end,
                });
                begin = end;
            }
            let Some(next) = day.checked_add_days(Days::new(1)) else {
                break;
            };
            day = next;
        }
        days
    }
}

/// The time from one instant up to another one, which is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) since: DateTime<Utc>,
    pub(crate) until: DateTime<Utc>,
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let zone = text.parse().map(Self);
        zone.map_err(|_| "expected an IANA time zone, as Asia/Shanghai or UTC".to_owned())
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[rstest]
    #[case::no_change("UTC", "2026-03-29", "2026-03-29T00:00:00Z", 24)]
    #[case::ahead("Asia/Shanghai", "2026-03-29", "2026-03-28T16:00:00Z", 24)]
    #[case::clocks_forward("Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00Z", 23)]
    #[case::clocks_back("Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00Z", 25)]
    #[case::half_an_hour("Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00:00Z", 24)]
    #[case::no_midnight("Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00Z", 23)]
    #[case::no_midnight_either("America/Santiago", "2026-09-06", "2026-09-06T04:00:00Z", 23)]
    #[case::midnight_twice("America/Havana", "2026-11-01", "2026-11-01T04:00:00Z", 25)]
    #[case::no_such_day("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z", 0)]
    fn a_day_begins_and_ends_as_the_clocks_there_say(
        #[case] zone: Zone,
        #[case] day: NaiveDate,
        #[case] start: &str,
        #[case] hours: i64,
    ) {
        assert_eq!(zone.start_of(day), time(start));
        let length = zone.end_of(day) - zone.start_of(day);
        let minutes = if zone.name() == "Australia/Lord_Howe" {
            30
        } else {
            0
        };
        assert_eq!(length.num_minutes(), hours * 60 + minutes);
    }

    #[test]
    fn a_time_zone_is_named_as_iana_does() {
        assert_eq!("UTC".parse(), Ok(Zone::UTC));
        for text in ["", "CST+8", "Asia/Nowhere", "+08:00"] {
            assert!(text.parse::<Zone>().is_err(), "{text}");
        }
    }

    #[test]
    fn days_are_cut_at_the_ends_of_the_window() {
        let zone: Zone = "Asia/Shanghai".parse().unwrap();
        let days = zone.days(time("2026-11-01T12:00:00Z"), time("2026-11-02T17:00:00Z"));
        let starts: Vec<_> = days.iter().map(|day| day.since).collect();
        let cuts = [
            "2026-11-01T12:00:00Z",
            "2026-11-01T16:00:00Z",
            "2026-11-02T16:00:00Z",
        ];
        assert_eq!(starts, cuts.map(time));
        assert_eq!(days[2].until, time("2026-11-02T17:00:00Z"));
        assert!(zone.days(days[0].since, days[0].since).is_empty());
    }

    proptest! {
        #[test]
        fn days_cover_a_window_side_by_side(
            zone in prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
            begin in 0_i64..4_000_000_000,
            length in 1_i64..40 * 86_400,
        ) {
            let since = DateTime::from_timestamp(begin, 0).unwrap();
            let until = since + TimeDelta::seconds(length);
            let days = Zone(zone).days(since, until);
            prop_assert_eq!(days[0].since, since);
            prop_assert_eq!(days.last().unwrap().until, until);
            for day in &days {
                prop_assert!(day.since < day.until);
                // A clock change moves a day's end by hours, not by days.
                prop_assert!(day.until - day.since <= TimeDelta::hours(49));
            }
            for pair in days.windows(2) {
                prop_assert_eq!(pair[0].until, pair[1].since);
            }
        }
    }
}
