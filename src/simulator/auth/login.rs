//! An App ID login: a signature over who, until when and a nonce.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use crate::simulator::options::Credentials;
use crate::values::hex::hex;

/// An App ID login, as it is sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Login {
    app_id: String,
    pub(super) client_type: i64,
    pub(super) expire_time: i64,
    pub(super) nonce: String,
    pub(super) user_id: Option<String>,
    corp_id: Option<String>,
}

impl Login {
    /// Whether whoever logs in knows the App key.
    pub(super) fn is_signed(&self, credentials: &Credentials, authorization: &str) -> bool {
        let Credentials {
            app_id,
            app_key,
            multi_tenant,
            ..
        } = credentials;
        let user = self.user_id.as_deref().unwrap_or_default();
        let until = self.expire_time.to_string();
        let signature = match (multi_tenant, &self.corp_id) {
            (true, corp) => {
                let corp = corp.as_deref().unwrap_or_default();
                sign(app_key, &[app_id, corp, user, &until, &self.nonce])
            }
            // An App ID of one enterprise must not name it.
            (false, Some(_)) => return false,
            (false, None) => sign(app_key, &[app_id, user, &until, &self.nonce]),
        };
        let given = authorization
            .strip_prefix("HMAC-SHA256 ")
            .map(|pairs| pairs.split(',').map(str::trim));
        let Some(given) = given else {
            return false;
        };
        let (mut signed, mut named) = (false, false);
        for pair in given {
            match pair.split_once('=') {
                Some(("signature", hex)) => signed = hex.eq_ignore_ascii_case(&signature),
                Some(("access", text)) => named = text == STANDARD.encode(app_id),
                _ => return false,
            }
        }
        signed && named && self.app_id == *app_id
    }
}

/// The lower-case hexadecimal signature over the parts, joined by colons.
pub(super) fn sign(app_key: &str, parts: &[&str]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(app_key.as_bytes()) else {
        return String::new();
    };
    mac.update(parts.join(":").as_bytes());
    hex(&mac.finalize().into_bytes())
}
