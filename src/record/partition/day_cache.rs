//! The civil day of each of many instants, most of which are near the one before.

use std::ops::Range;

use chrono::{DateTime, Datelike as _, Offset as _, TimeZone as _};

use super::Partition;
use crate::values::Zone;

/// Clocks are not changed twice in such a time.
const SLOT_MS: i64 = 15 * 60 * 1_000;

/// Tells days in a zone, and remembers the last answer for as long as it holds.
#[derive(Clone, Debug)]
pub(crate) struct Calendar {
    zone: Zone,
    /// Milliseconds since 1970 of one day, all of them.
    known: Range<i64>,
    partition: Partition,
}

impl Calendar {
    pub(crate) fn new(zone: Zone) -> Self {
        Self {
            zone,
            known: 0..0,
            partition: Partition::Dateless,
        }
    }

    /// The partition of an instant in milliseconds since 1970, or of none.
    pub(crate) fn partition(&mut self, ms: Option<i64>) -> Partition {
        let Some(ms) = ms else {
            return Partition::Dateless;
        };
        if self.known.contains(&ms) {
            return self.partition;
        }
        let start = ms.saturating_sub(ms.rem_euclid(SLOT_MS));
        let end = start.saturating_add(SLOT_MS);
        let (here, _) = self.look(ms);
        // Where neither the clocks change nor a day ends in between, nothing else does.
        if self.look(start) == self.look(end - 1) {
            self.known = start..end;
            self.partition = here;
        }
        here
    }

    /// The partition, and by how many seconds the clocks are ahead of universal time.
    fn look(&self, ms: i64) -> (Partition, i32) {
        let instant = DateTime::from_timestamp_millis(ms);
        // Beyond what any format writes there may be no local time either.
        let Some(instant) = instant.filter(|at| (-1..=10_000).contains(&at.year())) else {
            return (Partition::Dateless, 0);
        };
        let tz = self.zone.tz();
        let ahead = tz.offset_from_utc_datetime(&instant.naive_utc()).fix();
        (
            Partition::of(self.zone.date(instant)),
            ahead.local_minus_utc(),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// As if each instant were looked up for itself, whatever came before it.
        #[test]
        fn the_day_of_an_instant_is_what_the_clocks_there_say(
            zone in prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
            begin in 0_i64..4_000_000_000_000,
            steps in prop::collection::vec(-40 * 60_000_i64..60 * 60_000, 1..200),
        ) {
            let zone: Zone = zone.name().parse().unwrap();
            let mut calendar = Calendar::new(zone);
            let mut ms = begin;
            for step in steps {
                ms += step;
                let day = zone.date(DateTime::from_timestamp_millis(ms).unwrap());
                prop_assert_eq!(calendar.partition(Some(ms)), Partition::of(day));
                prop_assert_eq!(calendar.partition(None), Partition::Dateless);
            }
        }
    }

    #[test]
    fn no_figure_is_beyond_it() {
        let last = DateTime::<chrono::Utc>::MAX_UTC.timestamp_millis();
        let first = DateTime::<chrono::Utc>::MIN_UTC.timestamp_millis();
        for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago"] {
            let mut calendar = Calendar::new(zone.parse().unwrap());
            for ms in [i64::MIN, first, first + 1, last - 1, last, i64::MAX] {
                assert_eq!(calendar.partition(Some(ms)), Partition::Dateless);
            }
        }
    }

    #[test]
    fn clocks_that_go_back_over_midnight_bring_the_day_before_again() {
        // Newfoundland turned them back at one minute past midnight.
        let zone: Zone = "America/St_Johns".parse().unwrap();
        let midnight: DateTime<chrono::Utc> = "2010-11-07T02:30:00Z".parse().unwrap();
        let mut calendar = Calendar::new(zone);
        let mut day = |minutes: i64| {
            let ms = midnight.timestamp_millis() + minutes * 60_000;
            calendar.partition(Some(ms))
        };
        let date = |text: &str| Partition::Date(text.parse().unwrap());
        assert_eq!(day(-1), date("2010-11-06"));
        assert_eq!(day(0), date("2010-11-07"));
        assert_eq!(day(1), date("2010-11-06"));
        assert_eq!(day(59), date("2010-11-06"));
        assert_eq!(day(61), date("2010-11-07"));
    }
}
