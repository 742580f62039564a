//! The login with an App ID: a signature over who asks, until when, and a nonce.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha2::Sha256;

use super::{CLIENT_TYPE, Login};
use crate::values::hex::hex;

const PATH: &str = "/v2/usg/acs/auth/appauth";

/// How long a signed login may travel.
const SIGNATURE_LIFE: Duration = Duration::from_secs(600);

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
            path: PATH,
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
}
