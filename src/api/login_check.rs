//! Proving credentials before a run: who they are, and what they may see.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::auth::{Credentials, Kind};
use super::client::Client;
use super::failure::Failure;
use super::throttle::Throttle;
use super::token_validation::Identified;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::record::decode::PageDecoder;
use crate::report::silent;

/// The form of an [`Identity`] as JSON.
pub const IDENTITY_VERSION: u32 = 1;

/// Attempts after the first. A person waits for the answer, so an outage is not waited for, as an
/// export does.
const RETRIES: u32 = 2;

/// A token that cannot be renewed and ends sooner is worth a word.
const SHORT_LIFE: Duration = Duration::from_secs(3600);

/// Whom the server takes the credentials for. It holds personal data, but no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// [`IDENTITY_VERSION`].
    pub version: u32,
    /// The site that was asked.
    pub site: String,
    /// How the token was had.
    pub login: LoginKind,
    /// The user's account.
    pub user: Option<String>,
    /// The user's name.
    pub name: Option<String>,
    /// The enterprise.
    pub enterprise: Option<String>,
    /// Whether the user is an administrator.
    pub administrator: Administrator,
    /// How long the token lives, in seconds.
    pub token_life: Option<u64>,
    /// The user's meetings of the last 24 hours, where the history list is open.
    pub meetings: Option<u64>,
    /// The same with `queryAll`: those of the whole enterprise, for an administrator.
    pub meetings_of_all: Option<u64>,
    /// What will not work, and what to do about it.
    pub warnings: Vec<String>,
}

/// How a token is had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginKind {
    /// Somebody gave it.
    Token,
    /// A command prints it.
    TokenCommand,
    /// With an App ID and its key.
    AppId,
    /// With an account and its password.
    Account,
}

/// Whether a user is an administrator of the enterprise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Administrator {
    /// The default one.
    Default,
    /// Another one.
    Ordinary,
    /// None.
    No,
    /// The server does not tell.
    Unknown,
}

/// Logs in, or has the given token looked at; asks who that is and whether the history list is
/// open; and logs out again.
///
/// # Errors
///
/// Settings that cannot be used, credentials that are refused, a site that is out of reach. What
/// works only in part is a warning.
pub async fn login_check(
    config: &Config,
    credentials: Credentials,
    cancel: CancellationToken,
) -> Result<Identity> {
    config.check()?;
    let mut config = config.clone();
    config.retries = config.retries.min(RETRIES);
    let throttle = Arc::new(Throttle::new(config.rate, config.burst, silent()));
    let kind = credentials.kind();
    let client = Client::new(
        &config,
        credentials,
        throttle,
        PageDecoder::default(),
        silent(),
        cancel,
    )?
    .without_outages();
    let outcome = examine(&config, kind, &client).await;
    client.close().await;
    outcome.map_err(|failure| match failure {
        Failure::Run(error) => error,
        failure => Error::Login {
            reason: failure.to_string(),
        },
    })
}

async fn examine(config: &Config, kind: Kind, client: &Client) -> Result<Identity, Failure> {
    let Identified { granted, doubt } = client.identify().await?;
    let user = granted.user;
    let mut identity = Identity {
        version: IDENTITY_VERSION,
        site: config.base_url.as_str().trim_end_matches('/').to_owned(),
        login: match kind {
            Kind::Token => LoginKind::Token,
            Kind::Source => LoginKind::TokenCommand,
            Kind::App | Kind::ProviderApp => LoginKind::AppId,
            Kind::Account => LoginKind::Account,
        },
        user: user.account,
        name: user.name,
        enterprise: user.company,
        administrator: match user.admin_type {
            Some(0) => Administrator::Default,
            Some(1) => Administrator::Ordinary,
            Some(2) => Administrator::No,
            _ => Administrator::Unknown,
        },
        token_life: granted.life.map(|life| life.as_secs()),
        meetings: None,
        meetings_of_all: None,
        warnings: vec![],
    };
    if let Some(doubt) = doubt {
        let warning = format!("the site does not tell whose token this is: {doubt}");
        identity.warnings.push(warning);
    }
    identity.ask_for_meetings(client).await?;
    if kind == Kind::Token
        && let Some(life) = granted.life.filter(|&life| life < SHORT_LIFE)
    {
        identity.warnings.push(format!(
            "the token ends in {} and cannot be renewed: get a new one before a long export, or \
             use an App ID",
            humantime::format_duration(Duration::from_secs(life.as_secs()))
        ));
    }
    Ok(identity)
}

impl Identity {
    /// Asks for the shortest history list, with and without `queryAll`.
    async fn ask_for_meetings(&mut self, client: &Client) -> Result<(), Failure> {
        match client.history_count(false).await {
            Ok(count) => self.meetings = Some(count),
            Err(failure @ (Failure::Run(_) | Failure::Cancelled)) => return Err(failure),
            Err(failure) => {
                self.warnings.push(format!(
                    "the history list cannot be had: {failure}; meetings must be named by their \
                     confUUID, or the user be given the right to list them"
                ));
                return Ok(());
            }
        }
        match client.history_count(true).await {
            Ok(count) => self.meetings_of_all = Some(count),
            Err(failure @ (Failure::Run(_) | Failure::Cancelled)) => return Err(failure),
            Err(failure) => self
                .warnings
                .push(format!("queryAll is refused: {failure}; {OTHER_USER}")),
        }
        let warning = match self.administrator {
            Administrator::Default | Administrator::Ordinary => return Ok(()),
            Administrator::No => format!(
                "this user is not an administrator: queryAll will fail or list this user's \
                 meetings alone, and records of other people's meetings may be refused; \
                 {OTHER_USER}"
            ),
            Administrator::Unknown => format!(
                "the site does not tell whether this user is an administrator: if not, queryAll \
                 will fail or list this user's meetings alone; {OTHER_USER}"
            ),
        };
        if self.meetings_of_all.is_some() {
            self.warnings.push(warning);
        }
        Ok(())
    }
}

const OTHER_USER: &str = "for the whole enterprise, log in as an administrator";
