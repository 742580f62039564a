//! Where the API is and who asks it: the flags that every command has which does.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use rollbook::Config;
use url::Url;

/// The heading of what is about the API.
pub(super) const API: &str = "API";
const LOGIN: &str = "Login";

/// The site and the login as flags; `None` is what was not said.
#[expect(
    clippy::doc_markdown,
    reason = "shown as help, where nothing reads Markdown"
)]
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Site {
    /// The API's site [default: https://api.meeting.huaweicloud.com]
    #[arg(long, value_name = "URL", env = "ROLLBOOK_BASE_URL", help_heading = API)]
    base_url: Option<Url>,
    /// Certificates (PEM) to trust beside the system's
    #[arg(long, value_name = "FILE", env = "ROLLBOOK_CA_FILE", help_heading = API)]
    #[arg(hide_short_help = true)]
    ca_file: Option<PathBuf>,
    /// Accept http:// to other hosts than this machine
    #[arg(long, value_name = "BOOL", env = "ROLLBOOK_ALLOW_HTTP", help_heading = API)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    #[arg(hide_short_help = true)]
    allow_http: Option<bool>,

    /// App ID to log in with; its key is never an argument
    #[arg(long, value_name = "ID", env = "ROLLBOOK_APP_ID", help_heading = LOGIN)]
    #[arg(hide_short_help = true)]
    app_id: Option<String>,
    /// File that holds the app key
    #[arg(long, value_name = "FILE", env = "ROLLBOOK_APP_KEY_FILE", help_heading = LOGIN)]
    #[arg(hide_short_help = true)]
    app_key_file: Option<PathBuf>,
    /// Variable that holds the app key [default: ROLLBOOK_APP_KEY]
    #[arg(long, value_name = "NAME", env = "ROLLBOOK_APP_KEY_ENV", help_heading = LOGIN)]
    #[arg(hide_short_help = true)]
    app_key_env: Option<String>,
    /// Third-party user to log in as [default: the administrator]
    #[arg(long, value_name = "ID", env = "ROLLBOOK_USER_ID", help_heading = LOGIN)]
    #[arg(hide_short_help = true)]
    user_id: Option<String>,
    /// Enterprise, for a service provider's App ID only
    #[arg(long, value_name = "ID", env = "ROLLBOOK_CORP_ID", help_heading = LOGIN)]
    #[arg(hide_short_help = true)]
    corp_id: Option<String>,
    /// File that holds an access token
    #[arg(long, value_name = "FILE", env = "ROLLBOOK_ACCESS_TOKEN_FILE", help_heading = LOGIN)]
    #[arg(hide_short_help = true)]
    access_token_file: Option<PathBuf>,
    /// Variable that holds an access token [default: ROLLBOOK_ACCESS_TOKEN]
    #[arg(long, value_name = "NAME", env = "ROLLBOOK_ACCESS_TOKEN_ENV", help_heading = LOGIN)]
    #[arg(hide_short_help = true)]
    access_token_env: Option<String>,
    /// Account to log in with; its password is never an argument
    #[arg(long, value_name = "NAME", env = "ROLLBOOK_ACCOUNT", help_heading = LOGIN)]
    #[arg(hide_short_help = true)]
    account: Option<String>,
    /// File that holds the account's password
    #[arg(long, value_name = "FILE", env = "ROLLBOOK_PASSWORD_FILE", help_heading = LOGIN)]
    #[arg(hide_short_help = true)]
    password_file: Option<PathBuf>,
    /// Variable that holds the account's password [default: ROLLBOOK_PASSWORD]
    #[arg(long, value_name = "NAME", env = "ROLLBOOK_PASSWORD_ENV", help_heading = LOGIN)]
    #[arg(hide_short_help = true)]
    password_env: Option<String>,
}

impl Site {
    /// Puts what was said over what the config file says.
    pub(crate) fn overlay(self, config: &mut Config) {
        let Self {
            base_url,
            ca_file,
            allow_http,
            app_id,
            app_key_file,
            app_key_env,
            user_id,
            corp_id,
            access_token_file,
            access_token_env,
            account,
            password_file,
            password_env,
        } = self;
        set(&mut config.base_url, base_url);
        set_some(&mut config.ca_file, ca_file);
        set(&mut config.allow_http, allow_http);
        set_some(&mut config.app_id, app_id);
        set_some(&mut config.app_key_file, app_key_file);
        set_some(&mut config.app_key_env, app_key_env);
        set_some(&mut config.user_id, user_id);
        set_some(&mut config.corp_id, corp_id);
        set_some(&mut config.access_token_file, access_token_file);
        set_some(&mut config.access_token_env, access_token_env);
        set_some(&mut config.account, account);
        set_some(&mut config.password_file, password_file);
        set_some(&mut config.password_env, password_env);
    }
}

/// Puts what was said in the place of what was there.
pub(crate) fn set<T>(place: &mut T, said: Option<T>) {
    if let Some(said) = said {
        *place = said;
    }
}

/// The same where there may be nothing.
pub(super) fn set_some<T>(place: &mut Option<T>, said: Option<T>) {
    if said.is_some() {
        *place = said;
    }
}
