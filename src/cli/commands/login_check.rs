//! `rollbook login-check`: proves the credentials, and says who they are and what they may see.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{ArgMatches, Args};
use rollbook::{Administrator, Identity, LoginKind, login_check};
use tokio_util::sync::CancellationToken;

use crate::cli::args::Site;
use crate::cli::exit_code::Exit;
use crate::cli::terminal::{Align, Table, shortened};
use crate::cli::{Voice, answer_as, credentials, runtime, signals, tenants};

const AFTER_HELP: &str = "\
Credentials come from ROLLBOOK_ACCESS_TOKEN, or ROLLBOOK_APP_ID and ROLLBOOK_APP_KEY, or \
ROLLBOOK_ACCOUNT and ROLLBOOK_PASSWORD, or ROLLBOOK_TOKEN_COMMAND, or from files; never from a flag.

It logs in once, asks for the shortest history list with and without queryAll, and logs out. What \
works only in part is a warning.

Exit codes:
  0    the credentials are good
  1    the site is out of reach
  3    the credentials are refused, or the configuration cannot be used";

/// Widest text of the server that is shown.
const WIDEST: usize = 60;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct LoginCheckArgs {
    /// File of settings, as config.example.toml
    #[arg(short, long, value_name = "FILE", env = "ROLLBOOK_CONFIG")]
    config: Option<PathBuf>,
    /// Of the tenants in the config file, this one
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    site: Site,
}

impl LoginCheckArgs {
    pub(crate) fn run(self, voice: &Voice, given: &ArgMatches) -> Result<Exit> {
        let (mut config, given) =
            tenants::load_one(self.config.as_deref(), self.tenant.as_deref(), given)?;
        self.site.overlay(&mut config);
        config.check()?;
        let credentials = credentials::read(&config, given, &|text| voice.warn(text))?;
        let terminal = voice.terminal(&config, None)?;
        let outcome = runtime()?.block_on(async {
            let stop = CancellationToken::new();
            signals::watch(stop.clone(), &terminal, "stopping");
            let outcome = login_check(&config, credentials, stop.clone()).await;
            (outcome, stop.is_cancelled())
        });
        let identity = match outcome {
            (Err(_), true) => return Ok(Exit::Interrupted),
            (outcome, _) => outcome?,
        };
        answer_as(self.json, &identity, told)?;
        Ok(Exit::Complete)
    }
}

/// The answer for people.
fn told(identity: &Identity) -> String {
    let shown = |text: Option<&String>| {
        text.map_or_else(|| "unknown".to_owned(), |text| shortened(text, WIDEST))
    };
    let user = match &identity.name {
        Some(name) if Some(name) != identity.user.as_ref() => {
            format!(
                "{} ({})",
                shown(identity.user.as_ref()),
                shortened(name, WIDEST)
            )
        }
        _ => shown(identity.user.as_ref()),
    };
    let admin = match identity.administrator {
        Administrator::Default => "yes, the default administrator",
        Administrator::Ordinary => "yes",
        Administrator::No => "no",
        Administrator::Unknown => "unknown",
    };
    let mut table = Table::new(&[Align::Left, Align::Left]);
    table.row(["site", &identity.site]);
    table.row(["login", login(identity.login)]);
    table.row(["user", &user]);
    table.row(["enterprise", &shown(identity.enterprise.as_ref())]);
    table.row(["admin", admin]);
    table.row(["token", &token(identity)]);
    table.row(["meetings", &meetings(identity)]);
    let warnings = identity.warnings.iter();
    let warnings = warnings.map(|text| format!("\nwarning: {}\n", shortened(text, usize::MAX)));
    format!(
        "the credentials are good\n\n{}{}",
        table.render(),
        warnings.collect::<String>()
    )
}

const fn login(kind: LoginKind) -> &'static str {
    match kind {
        LoginKind::Token => "access token",
        LoginKind::TokenCommand => "token command",
        LoginKind::AppId => "App ID",
        LoginKind::Account => "account and password",
    }
}

fn token(identity: &Identity) -> String {
    let life = identity.token_life.map_or_else(
        || "its life is not told".to_owned(),
        |life| {
            let life = humantime::format_duration(Duration::from_secs(life));
            format!("lives {life}")
        },
    );
    let then = match identity.login {
        LoginKind::Token => "cannot be renewed",
        LoginKind::TokenCommand => "the command is asked again when it is refused",
        LoginKind::AppId | LoginKind::Account => "an export renews it before its end",
    };
    format!("{life}; {then}")
}

fn meetings(identity: &Identity) -> String {
    let count = |count: Option<u64>| count.map_or("unknown".to_owned(), |count| count.to_string());
    format!(
        "{} in the last 24 hours, {} with queryAll",
        count(identity.meetings),
        count(identity.meetings_of_all)
    )
}
