//! A quota as people write it: `100/min`, `50/s`, `3600/h` or `unlimited`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Requests a time, or no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Rate {
    /// As fast as the server answers.
    Unlimited,
    /// At most `requests` in any `window`.
    Limited {
        /// Requests in a window.
        requests: NonZeroU32,
        /// The window.
        window: Duration,
    },
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

impl Rate {
    /// `requests` a minute; 0 is read as 1.
    pub const fn per_minute(requests: u32) -> Self {
        let requests = match NonZeroU32::new(requests) {
            Some(requests) => requests,
            None => NonZeroU32::MIN,
        };
        Self::Limited {
            requests,
            window: MINUTE,
        }
    }

    /// The window of the quota; `None` without a limit.
    pub fn window(self) -> Option<Duration> {
        match self {
            Self::Unlimited => None,
            Self::Limited { window, .. } => Some(window),
        }
    }

    /// The time that one request is worth; `None` without a limit.
    pub fn interval(self) -> Option<Duration> {
        match self {
            Self::Unlimited => None,
            Self::Limited { requests, window } => Some(window / requests.get()),
        }
    }

    /// The shortest time in which `requests` can be sent, the first at once.
    pub fn bound(self, requests: u64) -> Duration {
        let Self::Limited {
            requests: quota,
            window,
        } = self
        else {
            return Duration::ZERO;
        };
        let nanos =
            window.as_nanos() * u128::from(requests.saturating_sub(1)) / u128::from(quota.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Limited { requests, window } = *self else {
            return f.write_str("unlimited");
        };
        match window {
            SECOND => write!(f, "{requests}/s"),
            MINUTE => write!(f, "{requests}/min"),
            HOUR => write!(f, "{requests}/h"),
            DAY => write!(f, "{requests}/day"),
            other => write!(f, "{requests}/{}", humantime::format_duration(other)),
        }
    }
}

/// A text that is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a rate such as 100/min, 5/s, 3000/h or unlimited")]
pub struct InvalidRate;

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("unlimited") {
            return Ok(Self::Unlimited);
        }
        let (requests, unit) = text.split_once('/').ok_or(InvalidRate)?;
        let window = match unit.trim() {
            "s" | "sec" | "second" => SECOND,
            "m" | "min" | "minute" => MINUTE,
            "h" | "hour" => HOUR,
            "d" | "day" => DAY,
            other => humantime::parse_duration(other).map_err(|_| InvalidRate)?,
        };
        let requests = requests
            .trim()
            .parse()
            .map_err(|_: std::num::ParseIntError| InvalidRate)?;
        if window.is_zero() {
            return Err(InvalidRate);
        }
        Ok(Self::Limited { requests, window })
    }
}

impl TryFrom<String> for Rate {
    type Error = InvalidRate;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        for text in [
            "1/s",
            "60/min",
            "3600/h",
            "1000/day",
            "100/2s",
            "5/1m 30s",
            "unlimited",
        ] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_no_rate() {
        for text in [
            "",
            "5",
            "0/s",
            "-1/s",
            "5/fortnight",
            "5/0s",
            "1.5/s",
            "/s",
            "4294967296/s",
        ] {
            assert_eq!(text.parse::<Rate>(), Err(InvalidRate), "{text}");
        }
    }

    #[test]
    fn the_first_request_of_a_bound_is_free() {
        let rate = Rate::per_minute(60);
        assert_eq!(rate.bound(0), Duration::ZERO);
        assert_eq!(rate.bound(1), Duration::ZERO);
        assert_eq!(rate.bound(61), Duration::from_secs(60));
        assert_eq!(Rate::Unlimited.bound(1_000), Duration::ZERO);
    }
}
