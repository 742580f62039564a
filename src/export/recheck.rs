//! Which meetings that the dataset holds are asked for again.
//!
//! A meeting may be read before the service shows all its records. What the dataset holds of it is
//! whole as of then, and a later run asks for its first page again:
//!
//! - with `recheck`, where the last look at it was less than that after the meeting's end;
//! - where it has no record and the history list shows it, with `recheck_empty`, in the same way;
//! - with `again`, where it is named in the list of meetings: then all of it is read.
//!
//! The history list has the end. A list of meetings has none: there the time at which the meeting
//! was first fetched stands for it, which is not earlier.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::Config;
use crate::config::meeting_list::Meetings;
use crate::dataset::Dataset;
use crate::dataset::ledger::CommittedMeeting;
use crate::values::ConfUuid;

/// Meetings that the dataset holds and that are asked for again.
#[derive(Debug, Default)]
pub(super) struct Recheck {
    /// In the order of the list.
    pub(super) meetings: Vec<ConfUuid>,
    /// These meetings as the dataset holds them.
    pub(super) held: HashMap<ConfUuid, CommittedMeeting>,
    /// Whether all of them are read, whatever their first page shows.
    pub(super) is_forced: bool,
}

impl Recheck {
    /// Chooses among the meetings asked for. `ends` has their ends, if they come from the history list.
    pub(super) fn plan(
        config: &Config,
        dataset: Option<&Dataset>,
        meetings: &Meetings,
        ends: Option<&HashMap<ConfUuid, DateTime<Utc>>>,
        now: DateTime<Utc>,
    ) -> Self {
        let Some(dataset) = dataset else {
            return Self::default();
        };
        let rules = Rules {
            all: config.recheck.unwrap_or_default(),
            empty: config.recheck_empty,
        };
        if !config.again && rules.is_idle(ends.is_some()) {
            return Self::default();
        }
        let mut held = dataset.committed(&meetings.iter().collect::<HashSet<_>>());
        if !config.again {
            held.retain(|uuid, meeting| {
                let end = match ends {
                    Some(ends) => ends.get(uuid).copied().map(End::Listed),
                    None => Some(End::Unknown),
                };
                let look = dataset.last_look(meeting, now);
                end.is_some_and(|end| rules.is_due(meeting, end, look))
            });
        }
        let meetings = meetings
            .iter()
            .filter(|meeting| held.contains_key(*meeting));
        Self {
            meetings: meetings.cloned().collect(),
            held,
            is_forced: config.again,
        }
    }
}

/// For how long after their ends meetings are asked for again.
#[derive(Clone, Copy, Debug)]
struct Rules {
    all: Duration,
    empty: Duration,
}

/// When a meeting ended.
#[derive(Clone, Copy, Debug)]
enum End {
    Listed(DateTime<Utc>),
    Unknown,
}

impl Rules {
    /// Whether no meeting can be due.
    fn is_idle(self, is_listed: bool) -> bool {
        self.all.is_zero() && (!is_listed || self.empty.is_zero())
    }

    /// Whether the last look at a meeting was too early.
    fn is_due(self, meeting: &CommittedMeeting, end: End, look: Option<DateTime<Utc>>) -> bool {
        let (end, empty) = match end {
            End::Listed(end) => (end, self.empty),
            End::Unknown => (meeting.first_fetch, Duration::ZERO),
        };
        let after = if meeting.rows == 0 {
            self.all.max(empty)
        } else {
            self.all
        };
        let after = TimeDelta::from_std(after).unwrap_or(TimeDelta::MAX);
        let until = end.checked_add_signed(after);
        !after.is_zero() && look.is_none_or(|look| until.unwrap_or(DateTime::<Utc>::MAX_UTC) > look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::ledger::tests::meeting;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_meeting_is_due_while_the_last_look_at_it_was_too_early() {
        let end = End::Listed(time("2026-11-02T10:00:00Z"));
        let rules = Rules {
            all: 24 * HOUR,
            empty: 72 * HOUR,
        };
        for (rows, look, is_due) in [
            (3, "2026-11-02T12:00:00Z", true),
            (3, "2026-11-03T09:59:59Z", true),
            (3, "2026-11-03T10:00:00Z", false),
            (0, "2026-11-03T10:00:00Z", true),
            (0, "2026-11-05T09:59:59Z", true),
            (0, "2026-11-05T10:00:00Z", false),
        ] {
            let due = rules.is_due(&meeting("m1", rows), end, Some(time(look)));
            assert_eq!(due, is_due, "{rows} {look}");
        }
        // No look that can be believed.
        assert!(rules.is_due(&meeting("m1", 3), end, None));
    }

    #[test]
    fn what_is_off_asks_for_nothing() {
        let off = Rules {
            all: Duration::ZERO,
            empty: Duration::ZERO,
        };
        let empties = Rules { empty: HOUR, ..off };
        assert!(off.is_idle(true) && off.is_idle(false) && empties.is_idle(false));
        assert!(!empties.is_idle(true));
        let end = End::Listed(time("2026-11-02T10:00:00Z"));
        assert!(!off.is_due(&meeting("m1", 0), end, None));
        assert!(!empties.is_due(&meeting("m1", 3), end, None));
    }

    #[test]
    fn where_the_end_is_unknown_the_first_fetch_stands_for_it_and_empties_are_like_others() {
        let rules = Rules {
            all: HOUR,
            empty: 72 * HOUR,
        };
        for rows in [0, 3] {
            let meeting = meeting("m1", rows);
            let after = |minutes| Some(meeting.first_fetch + TimeDelta::minutes(minutes));
            assert!(rules.is_due(&meeting, End::Unknown, after(59)));
            assert!(!rules.is_due(&meeting, End::Unknown, after(60)));
        }
    }
}
