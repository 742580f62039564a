//! The token that all requests share: one login for everybody, renewed before it ends.

use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::{Client, Failure};
use crate::auth::{App, Credentials, Grant};
use crate::error::Error;
use crate::event::Event;

/// A token as a header, and which of the run's it is.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) header: HeaderValue,
    /// Counts from 1.
    pub(super) generation: u64,
    renew_at: Option<Instant>,
}

/// What the run may ask with.
#[derive(Default)]
pub(super) struct Access {
    token: Option<Token>,
    /// A login was refused for good: each further one would bring the account closer to its lock.
    is_refused: bool,
}

impl Client {
    /// The token to ask with: the one at hand, unless it is `refused` or about to end.
    pub(super) async fn token(&self, refused: Option<u64>) -> Result<Token, Failure> {
        let mut access = self.access.lock().await;
        if access.is_refused {
            return Err(Failure::Cancelled);
        }
        let now = Instant::now();
        if let Some(token) = &access.token
            && refused != Some(token.generation)
            && token.renew_at.is_none_or(|renew_at| now < renew_at)
        {
            return Ok(token.clone());
        }
        let generation = access
            .token
            .as_ref()
            .map_or(1, |token| token.generation + 1);
        let token = match &self.credentials {
            Credentials::Token(secret) => Token {
                header: sensitive(secret.expose_secret())?,
                generation,
                renew_at: None,
            },
            Credentials::App(app) => {
                let grant = self.log_in(app).await.inspect_err(|failure| {
                    access.is_refused = matches!(failure, Failure::Run(_));
                })?;
                (self.observer)(Event::LoggedIn { life: grant.life() });
                Token {
                    header: sensitive(grant.token().expose_secret())?,
                    generation,
                    renew_at: grant.renew_after().map(|after| now + after),
                }
            }
        };
        access.token = Some(token.clone());
        Ok(token)
    }

    /// Whether a new token may help where this one was refused.
    pub(super) fn may_renew(&self, token: &Token, refused: &Failure) -> bool {
        if matches!(self.credentials, Credentials::Token(_)) {
            return false;
        }
        let accepted = self.accepted.load(Ordering::Relaxed);
        // A token that has just brought pages is good: then it is the meeting that is closed to
        // us, and a login for each such meeting would use up the places for tokens.
        let is_good = accepted >= token.generation;
        // A new token that is no better than the one before: a third would not be either.
        let is_hopeless = token.generation > 1 && !is_good;
        let is_about_the_meeting = is_good && refused.may_mean_the_meeting();
        !(is_hopeless || is_about_the_meeting)
    }

    /// Logs in, again and again while the server is out of reach. Called with the token locked:
    /// everybody waits for this one login.
    async fn log_in(&self, app: &App) -> Result<Grant, Failure> {
        let outcome = self.patiently(|| self.try_log_in(app), |_, _| {}).await;
        outcome.map_err(|failure| {
            if failure.is_transient() {
                Failure::Run(Error::Login {
                    reason: failure.to_string(),
                })
            } else {
                failure
            }
        })
    }

    async fn try_log_in(&self, app: &App) -> Result<Grant, Failure> {
        let nonce: String = std::iter::repeat_with(fastrand::alphanumeric)
            .take(40)
            .collect();
        let now = DateTime::<Utc>::from(self.clock.now()).timestamp();
        let login = app.login(now, &nonce).map_err(|error| {
            Failure::Run(Error::Config(format!("cannot write the login: {error}")))
        })?;
        let request = self
            .http
            .post(self.login.clone())
            .header(AUTHORIZATION, sensitive(&login.authorization)?)
            .header("X-Token-Type", "LongTicket")
            .header(CONTENT_TYPE, "application/json; charset=UTF-8")
            .body(login.body);
        let answer = self.receive(request).await?;
        if answer.is_success()
            && let Some(grant) = Grant::parse(&answer.body)
        {
            return Ok(grant);
        }
        let failure = self.judge(&answer);
        // What is refused is not repeated: that would lock the account.
        Err(if failure.is_transient() {
            failure
        } else {
            failure.into_end_of_run()
        })
    }
}

/// A header value that no log shows.
fn sensitive(secret: &str) -> Result<HeaderValue, Failure> {
    let Ok(mut value) = HeaderValue::from_str(secret.trim()) else {
        let reason = "the access token holds characters that no header can carry".to_owned();
        return Err(Failure::Run(Error::Credentials { reason }));
    };
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_with_a_token_is_marked_and_not_shown() {
        let header = sensitive(" hunter2\n").unwrap();
        assert!(header.is_sensitive());
        assert_eq!(header.as_bytes(), b"hunter2");
        assert!(!format!("{header:?}").contains("hunter2"));
        let refused = sensitive("hunter2\u{7}").err().unwrap();
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    }
}
