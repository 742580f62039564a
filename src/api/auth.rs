//! Who asks: the credentials, the login that they make, and the token that comes back.
//!
//! Pure: it prepares login requests and reads their answers; `client` sends them. The rules are
//! those of the API's authentication with an App ID or with an account.

mod account;
mod app_id;
mod hints;
mod token_response;

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use secrecy::SecretString;

pub use self::account::Account;
pub use self::app_id::App;
pub(crate) use self::hints::{Asking, Kind};
pub(crate) use self::token_response::{Description, Grant, User};
use crate::error::Result;
use crate::record::DatasetSalt;

/// Where a token is given back.
pub(crate) const TOKEN_PATH: &str = "/v1/usg/acs/token";

/// Where a token is looked at.
pub(crate) const VALIDATE_PATH: &str = "/v1/usg/acs/token/validate";

/// The client type of API users: up to 64 tokens of it live at once, of any other only one.
const CLIENT_TYPE: u32 = 72;

/// What a run proves itself with. Secrets never appear in `Debug`.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A token that somebody else obtained; it cannot be renewed here.
    Token(SecretString),
    /// Somebody who gives tokens, and is asked again when one is refused.
    Source(Arc<dyn TokenSource>),
    /// An App ID and its key; a token is obtained and renewed as needed.
    App(App),
    /// An account and its password; a token is obtained and renewed as needed.
    Account(Account),
}

impl Credentials {
    /// Who asks, where that is known without asking: answers may differ by it.
    pub(crate) fn who(&self) -> Option<[&str; 3]> {
        match self {
            Self::Token(_) | Self::Source(_) => None,
            Self::Account(account) => Some([&account.name, "", ""]),
            Self::App(app) => {
                let [user, corp] =
                    [&app.user_id, &app.corp_id].map(|part| part.as_deref().unwrap_or_default());
                Some([&app.id, user, corp])
            }
        }
    }

    /// Digest of the account, keyed with the dataset's salt: a plain one could be guessed.
    pub(crate) fn who_digest(&self, salt: &DatasetSalt) -> Option<String> {
        let who = self.who()?.join("\0");
        Some(salt.digest("who asks", who.as_bytes()))
    }
}

/// Gives access tokens that somebody else obtains.
pub trait TokenSource: fmt::Debug + Send + Sync {
    /// A token. It is not logged out at the end of a run: whoever obtained it may use it on.
    ///
    /// # Errors
    ///
    /// No token can be had; the run ends with this error.
    fn token(&self) -> BoxFuture<'_, Result<SecretString>>;
}

/// A login, signed and ready to be sent once.
pub(crate) struct Login {
    /// The endpoint's path.
    pub(crate) path: &'static str,
    /// The `Authorization` header.
    pub(crate) authorization: String,
    /// The JSON body.
    pub(crate) body: Vec<u8>,
}

impl Credentials {
    /// A login at `now` (seconds since 1970) with a nonce of 32 to 64 characters that was never
    /// used before; none where others obtain the tokens.
    pub(crate) fn login(&self, now: i64, nonce: &str) -> Option<Result<Login, serde_json::Error>> {
        match self {
            Self::Token(_) | Self::Source(_) => None,
            Self::App(app) => Some(app.login(now, nonce)),
            Self::Account(account) => Some(account.login()),
        }
    }

    /// What kind of credentials they are.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Token(_) => Kind::Token,
            Self::Source(_) => Kind::Source,
            Self::App(app) if app.corp_id.is_some() => Kind::ProviderApp,
            Self::App(_) => Kind::App,
            Self::Account(_) => Kind::Account,
        }
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::record::salt::tests::salt;
    use crate::values::hex::hex;

    #[test]
    fn who_asks_cannot_be_guessed_without_the_salt() {
        let account = Credentials::Account(Account {
            name: "alice".into(),
            password: "passw0rd".into(),
        });
        let ours = account.who_digest(&salt()).unwrap();
        assert_eq!(account.who_digest(&salt()).unwrap(), ours);
        let other = DatasetSalt::random().unwrap();
        assert_ne!(account.who_digest(&other).unwrap(), ours);
        for plain in ["alice", "alice\0\0"] {
            assert_ne!(hex(&Sha256::digest(plain)), ours);
        }
    }

    #[test]
    fn credentials_hide_their_secrets() {
        let app = App {
            id: "an-id".into(),
            key: "a-k3y".into(),
            user_id: None,
            corp_id: None,
        };
        let account = Account {
            name: "alice".into(),
            password: "passw0rd".into(),
        };
        let text = format!(
            "{:?} {:?} {:?}",
            Credentials::App(app),
            Credentials::Account(account),
            Credentials::Token("t0ken".into())
        );
        for secret in ["a-k3y", "passw0rd", "t0ken"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
