//! Who asks: the credentials, the signed login, and the token that comes back.
//!
//! Pure: it prepares the login request and reads its answer; `client` sends it. The rules are
//! those of the API's App ID authentication.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::hex::hex;

/// The login endpoint's path.
pub(crate) const LOGIN_PATH: &str = "/v2/usg/acs/auth/appauth";

/// The client type of API users: up to 64 tokens of it live at once, of any other only one.
const CLIENT_TYPE: u32 = 72;

/// How long a signed login may travel.
const SIGNATURE_LIFE: Duration = Duration::from_secs(600);

/// A token is renewed when a tenth of its life is left, but at most this long before its end.
const LONGEST_MARGIN: Duration = Duration::from_secs(300);

/// What a run proves itself with. Secrets never appear in `Debug`.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A token that somebody else obtained; it cannot be renewed here.
    Token(SecretString),
    /// An App ID and its key; a token is obtained and renewed as needed.
    App(App),
}

impl Credentials {
    /// Who asks, where that is known without asking: answers may differ by it.
    pub(crate) fn who(&self) -> Option<[&str; 3]> {
        match self {
            Self::Token(_) => None,
            Self::App(app) => {
                let [user, corp] =
                    [&app.user_id, &app.corp_id].map(|part| part.as_deref().unwrap_or_default());
                Some([&app.id, user, corp])
            }
        }
    }
}

/// An App ID login.
#[derive(Clone, Debug)]
pub struct App {
    /// The App ID.
    pub id: String,
    /// Its key.
    pub key: SecretString,
    /// Third-party user; `None` is the enterprise's default administrator.
    pub user_id: Option<String>,
    /// Enterprise, for a service provider's App ID only.
    pub corp_id: Option<String>,
}

/// A login, signed and ready to be sent once.
pub(crate) struct Login {
    /// The `Authorization` header.
    pub(crate) authorization: String,
    /// The JSON body.
    pub(crate) body: Vec<u8>,
}

impl App {
    /// Signs a login at `now` (seconds since 1970) with a nonce of 32 to 64 characters that was
    /// never used before.
    pub(crate) fn login(&self, now: i64, nonce: &str) -> Result<Login, serde_json::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            app_id: &'a str,
            client_type: u32,
            expire_time: i64,
            nonce: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            user_id: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            corp_id: Option<&'a str>,
        }
        let expire_time = now.saturating_add_unsigned(SIGNATURE_LIFE.as_secs());
        let signature = self.signature(expire_time, nonce);
        let body = serde_json::to_vec(&Body {
            app_id: &self.id,
            client_type: CLIENT_TYPE,
            expire_time,
            nonce,
            user_id: self.user_id.as_deref(),
            corp_id: self.corp_id.as_deref(),
        })?;
        let access = BASE64.encode(&self.id);
        Ok(Login {
            authorization: format!("HMAC-SHA256 signature={signature},access={access}"),
            body,
        })
    }

    /// An empty user keeps its colon; the enterprise takes part only where there is one.
    fn signature(&self, expire_time: i64, nonce: &str) -> String {
        let user = self.user_id.as_deref().unwrap_or_default();
        let signed = match &self.corp_id {
            Some(corp) => format!("{}:{corp}:{user}:{expire_time}:{nonce}", self.id),
            None => format!("{}:{user}:{expire_time}:{nonce}", self.id),
        };
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose_secret().as_bytes())
            .expect("a key of any length");
        mac.update(signed.as_bytes());
        hex(&mac.finalize().into_bytes())
    }
}

/// What the server grants on a login.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Grant {
    access_token: SecretString,
    /// Seconds.
    valid_period: Option<u64>,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("valid_period", &self.valid_period)
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

    /// How long the token lives by the server's figures, so that no clock of ours matters.
    pub(crate) fn life(&self) -> Option<Duration> {
        self.valid_period.map(Duration::from_secs)
    }

    /// When to renew it, from now.
    pub(crate) fn renew_after(&self) -> Option<Duration> {
        self.life()
            .map(|life| life.saturating_sub((life / 10).min(LONGEST_MARGIN)))
    }
}

/// What to do about a refused login or token, in plain words.
pub(crate) fn hint(code: Option<&str>) -> &'static str {
    let digits = code
        .and_then(|code| code.rsplit('.').next())
        .unwrap_or_default();
    match digits {
        "206010000" => "the user name or password is wrong",
        "206010025" => {
            "the App ID or its key is wrong, or a corp id was sent that belongs to service providers only"
        }
        "206010057" => "the signature had expired: check the clock of this machine",
        "206010064" | "206010074" => "the account belongs to another site: check base_url",
        "206010007" | "206010058" | "206010030" | "206010031" => {
            "the user is not activated or not bound to the App ID"
        }
        "206030000" | "201040000" => "the user does not exist: check user_id",
        "206030015" | "118000002" => "the account is locked: wait, and check its password or key",
        "0101" => "the site does not know this API: check base_url",
        _ => {
            "get a new token or check the App ID and its key; rollbook login needs \
              ROLLBOOK_ACCESS_TOKEN, or ROLLBOOK_APP_ID and ROLLBOOK_APP_KEY"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(user_id: Option<&str>, corp_id: Option<&str>) -> App {
        App {
            id: "fdb8e4699586458bbd10c834872dcc62".into(),
            key: "0123456789abcdef0123456789abcdef".into(),
            user_id: user_id.map(Into::into),
            corp_id: corp_id.map(Into::into),
        }
    }

    #[test]
    fn signatures_match_the_known_answers() {
        for (user, corp, expected) in [
            (
                Some("alice@ent01"),
                None,
                "e227950174c0333b762c11ad712bc894341a49f28f219c5255d8eaef81b1bd16",
            ),
            (
                None,
                None,
                "a3f9eb7ded623cec9b349637d3759299ece6a233609ea81f7973f93e7c85fec7",
            ),
            (
                Some("alice@ent01"),
                Some("807074304"),
                "bf7796af7499e268be190e8b1474a8e1b169c1b8e75a058e5f39522e7e3521d4",
            ),
            (
                Some(""),
                Some(""),
                "231cf4441dff9632c2d6b8395aa1bb5e8fd8da8af5a73b828e9f18b109ffd92f",
            ),
        ] {
            let signature = app(user, corp)
                .signature(1_627_722_929, "EycLQsHwxhzK9OW8UEKWNfH2I3CGR2nINuU1EBpQ");
            assert_eq!(signature, expected);
        }
    }

    #[test]
    fn a_login_names_the_app_and_expires_in_ten_minutes() {
        let login = app(None, None).login(1_000, "n").unwrap();
        assert!(login.authorization.starts_with("HMAC-SHA256 signature="));
        assert!(
            login
                .authorization
                .ends_with(",access=ZmRiOGU0Njk5NTg2NDU4YmJkMTBjODM0ODcyZGNjNjI=")
        );
        let body: serde_json::Value = serde_json::from_slice(&login.body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({"appId": "fdb8e4699586458bbd10c834872dcc62", "clientType": 72, "expireTime": 1600, "nonce": "n"})
        );
    }

    #[test]
    fn a_grant_is_renewed_before_it_ends_and_never_shown() {
        let grant =
            Grant::parse(br#"{"accessToken":"top-secret","validPeriod":56326,"user":null}"#)
                .unwrap();
        assert_eq!(grant.renew_after(), Some(Duration::from_secs(56_026)));
        assert!(!format!("{grant:?}").contains("top-secret"));
        let short = Grant::parse(br#"{"accessToken":"x","validPeriod":60}"#).unwrap();
        assert_eq!(short.renew_after(), Some(Duration::from_secs(54)));
        assert!(Grant::parse(br#"{"accessToken":""}"#).is_none());
        assert!(Grant::parse(b"<html>").is_none());
    }

    #[test]
    fn credentials_hide_their_secrets() {
        let text = format!(
            "{:?} {:?}",
            Credentials::App(app(None, None)),
            Credentials::Token("t0ken".into())
        );
        assert!(
            !text.contains("0123456789abcdef0123456789abcdef") && !text.contains("t0ken"),
            "{text}"
        );
    }
}
