//! The login with an account and its password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::{CLIENT_TYPE, Login};

const PATH: &str = "/v1/usg/acs/auth/account";

/// An account of the enterprise.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its name; it has no colon.
    pub name: String,
    /// Its password. A wrong one is never sent twice: that would lock the account.
    pub password: SecretString,
}

impl Account {
    pub(super) fn login(&self) -> Result<Login, serde_json::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            account: &'a str,
            client_type: u32,
        }
        let pair = format!("{}:{}", self.name, self.password.expose_secret());
        Ok(Login {
            path: PATH,
            authorization: format!("Basic {}", BASE64.encode(pair)),
            body: serde_json::to_vec(&Body {
                account: &self.name,
                client_type: CLIENT_TYPE,
            })?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_in_the_header_alone() {
        let account = Account {
            name: "alice@ent01".into(),
            password: "open sesame".into(),
        };
        let login = account.login().unwrap();
        assert_eq!(login.path, "/v1/usg/acs/auth/account");
        assert_eq!(
            login.authorization,
            "Basic YWxpY2VAZW50MDE6b3BlbiBzZXNhbWU="
        );
        assert_eq!(
            String::from_utf8(login.body).unwrap(),
            r#"{"account":"alice@ent01","clientType":72}"#
        );
    }
}
