//! What the server grants on a login.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// A token is renewed when a tenth of its life is left, but at most this long before its end.
const LONGEST_MARGIN: Duration = Duration::from_secs(300);

/// What the server grants on a login.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Grant {
    access_token: SecretString,
    /// Seconds.
    valid_period: Option<i64>,
    /// Seconds since 1970, by the server's clock.
    expire_time: Option<i64>,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("valid_period", &self.valid_period)
            .field("expire_time", &self.expire_time)
            .finish_non_exhaustive()
    }
}

impl Grant {
    /// Reads the answer to a login; `None` if it grants nothing.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(body)
            .ok()
            .filter(|grant| !grant.access_token.expose_secret().is_empty())
    }

    /// The token.
    pub(crate) fn token(&self) -> &SecretString {
        &self.access_token
    }

    /// How long the token lives by the server's figures; `now` is the time by its clock, so that
    /// no clock of ours matters. A life that is over already is none that was told.
    pub(crate) fn life(&self, now: SystemTime) -> Option<Duration> {
        let positive = |seconds: i64| u64::try_from(seconds).ok().filter(|&seconds| seconds > 0);
        let until = || {
            let end = UNIX_EPOCH.checked_add(Duration::from_secs(positive(self.expire_time?)?))?;
            end.duration_since(now).ok()
        };
        let period = self.valid_period.and_then(positive);
        period.map(Duration::from_secs).or_else(until)
    }

    /// When to renew a token of such a life, from now.
    pub(crate) fn renew_after(life: Duration) -> Duration {
        life.saturating_sub((life / 10).min(LONGEST_MARGIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(body: &str) -> Option<Duration> {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        Grant::parse(body.as_bytes()).unwrap().life(now)
    }

    #[test]
    fn a_grant_is_renewed_before_it_ends_and_never_shown() {
        let body = r#"{"accessToken":"top-secret","validPeriod":56326,"user":null}"#;
        let grant = Grant::parse(body.as_bytes()).unwrap();
        let after = life(body).map(Grant::renew_after);
        assert_eq!(after, Some(Duration::from_secs(56_026)));
        assert!(!format!("{grant:?}").contains("top-secret"));
        let short = life(r#"{"accessToken":"x","validPeriod":60}"#).map(Grant::renew_after);
        assert_eq!(short, Some(Duration::from_secs(54)));
        assert!(Grant::parse(br#"{"accessToken":""}"#).is_none());
        assert!(Grant::parse(b"<html>").is_none());
    }

    #[test]
    fn the_end_of_a_token_counts_where_its_period_is_not_told() {
        let seconds = |text| life(text).map(|life| life.as_secs());
        for (body, expected) in [
            (r#"{"accessToken":"x","expireTime":1060}"#, Some(60)),
            (
                r#"{"accessToken":"x","expireTime":1060,"validPeriod":9}"#,
                Some(9),
            ),
            (
                r#"{"accessToken":"x","expireTime":1060,"validPeriod":null}"#,
                Some(60),
            ),
            (r#"{"accessToken":"x"}"#, None),
            // A login for each request would follow from these.
            (r#"{"accessToken":"x","validPeriod":0}"#, None),
            (
                r#"{"accessToken":"x","validPeriod":-1,"expireTime":999}"#,
                None,
            ),
        ] {
            assert_eq!(seconds(body), expected, "{body}");
        }
    }
}
