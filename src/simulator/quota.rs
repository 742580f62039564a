//! The quota: how many requests each API answers in a window.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::fault_match::Endpoint;
use super::options::Quota;
use super::unpoisoned_mutex::Guarded;

/// Counts requests against a quota.
#[derive(Debug)]
pub(super) struct Windows {
    quota: Quota,
    taken: Guarded<HashMap<Endpoint, VecDeque<Instant>>>,
}

impl Windows {
    pub(super) fn new(quota: Quota) -> Self {
        Self {
            quota,
            taken: Guarded::default(),
        }
    }

    pub(super) const fn quota(&self) -> Quota {
        self.quota
    }

    /// How many requests remain after this one, or how long to wait when none remained.
    pub(super) fn take(&self, endpoint: Endpoint, now: Instant) -> Result<u32, Duration> {
        let Quota {
            requests,
            window,
            sliding,
            ..
        } = self.quota;
        let mut all = self.taken.lock();
        let taken = all.entry(endpoint).or_default();
        if sliding {
            while taken.front().is_some_and(|&first| now >= first + window) {
                taken.pop_front();
            }
        } else if taken.front().is_some_and(|&first| now >= first + window) {
            taken.clear();
        }
        let used = u32::try_from(taken.len()).unwrap_or(u32::MAX);
        if used >= requests {
            let first = taken.front().copied().unwrap_or(now);
            return Err((first + window).saturating_duration_since(now));
        }
        taken.push_back(now);
        Ok(requests - used - 1)
    }

    /// The window as the gateway words it.
    pub(super) fn wording(&self) -> String {
        let seconds = self.quota.window.as_secs().max(1);
        let units = [
            (86_400, "day"),
            (3_600, "hour"),
            (60, "minute"),
            (1, "second"),
        ];
        let unit = units
            .into_iter()
            .find(|(unit, _)| seconds.is_multiple_of(*unit));
        let (unit, name) = unit.unwrap_or((1, "second"));
        format!("{} {name}", seconds / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_worded_in_its_largest_whole_unit() {
        for (seconds, text) in [(60, "1 minute"), (90, "90 second"), (7_200, "2 hour")] {
            let windows = Windows::new(Quota::per(5, Duration::from_secs(seconds)));
            assert_eq!(windows.wording(), text);
        }
    }

    #[test]
    fn a_window_opens_again_all_at_once_or_one_by_one() {
        let second = Duration::from_secs(1);
        for sliding in [false, true] {
            let windows = Windows::new(Quota {
                sliding,
                ..Quota::per(2, second * 10)
            });
            let start = Instant::now();
            let take = |after: u32| windows.take(Endpoint::Records, start + second * after);
            assert_eq!(take(0), Ok(1));
            assert_eq!(take(5), Ok(0));
            assert_eq!(take(6), Err(second * 4));
            let remain = u32::from(!sliding);
            assert_eq!(take(10), Ok(remain));
        }
    }
}
