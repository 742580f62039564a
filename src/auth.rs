//! Who asks: credentials, the login, and the token that all requests share.

use std::fmt;

use secrecy::SecretString;

/// What the run proves itself with. Secrets never appear in `Debug`.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A token that somebody else obtained; it cannot be renewed here.
    Token(SecretString),
    /// An App ID and its key; a token is obtained and renewed as needed.
    App(App),
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
