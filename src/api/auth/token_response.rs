//! What the server grants on a login, and whom it says it granted it to.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

/// A token is renewed when a tenth of its life is left, but at most this long before its end.
const LONGEST_MARGIN: Duration = Duration::from_secs(300);

/// What the server grants on a login.
pub(crate) struct Grant {
    token: SecretString,
    /// What it says of the token.
    pub(crate) description: Description,
}

/// What the server says of a token.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    /// Seconds.
    valid_period: Option<i64>,
    /// Seconds since 1970, by the server's clock.
    expire_time: Option<i64>,
    // Anything: a login must not fail for what only describes it.
    user: Option<Value>,
}

/// Whose token it is, as far as the server tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    /// The account's name for logins, or the user's id.
    pub(crate) account: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) company: Option<String>,
    /// 0 is the default administrator, 1 another one, 2 is none.
    pub(crate) admin_type: Option<i64>,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").finish_non_exhaustive()
    }
}

impl Grant {
    /// Reads the answer to a login; `None` if it grants nothing.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Token {
            access_token: SecretString,
        }
        let token = serde_json::from_slice::<Token>(body).ok()?.access_token;
        let description = Description::parse(body)?;
        (!token.expose_secret().is_empty()).then_some(Self { token, description })
    }

    /// The token.
    pub(crate) fn token(&self) -> &SecretString {
        &self.token
    }

    /// When to renew a token of such a life, from now.
    pub(crate) fn renew_after(life: Duration) -> Duration {
        life.saturating_sub((life / 10).min(LONGEST_MARGIN))
    }
}

impl Description {
    /// Reads the object of a token; `None` if it is none.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
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

    /// Whose token it is.
    pub(crate) fn user(&self) -> User {
        let member = |name: &str| self.user.as_ref()?.get(name);
        let text = |name: &str| {
            let text = member(name)?.as_str()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
        User {
            account: text("ucloginAccount")
                .or_else(|| text("thirdAccount"))
                .or_else(|| text("userId")),
            name: text("name"),
            company: text("companyId"),
            admin_type: member("adminType").and_then(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(body: &str) -> Option<Duration> {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        Description::parse(body.as_bytes()).unwrap().life(now)
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

    #[test]
    fn whose_token_it_is_fails_no_login() {
        for user in ["5", "[]", "{}", r#"{"name":5,"adminType":{}}"#] {
            let body = format!(r#"{{"accessToken":"x","user":{user}}}"#);
            let grant = Grant::parse(body.as_bytes()).unwrap();
            assert_eq!(grant.description.user(), User::default(), "{user}");
        }
        let body = br#"{"accessToken":"x","user":{"ucloginAccount":"","thirdAccount":"alice",
            "companyId":"807","adminType":"2"}}"#;
        let user = Description::parse(body).unwrap().user();
        assert_eq!(user.account.as_deref(), Some("alice"));
        assert_eq!(user.company.as_deref(), Some("807"));
        assert_eq!((user.name, user.admin_type), (None, Some(2)));
    }
}
