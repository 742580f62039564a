//! The token that all requests share: one login for everybody, renewed before it ends and logged
//! out after its last request.
//!
//! Each login takes one of the places that a user has for tokens. A renewal is a new login, whose
//! meaning is documented, and then the end of the old token; so one place is taken at a time, and
//! two from a renewal until the last request with the old token has its answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::auth::{Asking, Credentials, Grant, Kind, Login, TOKEN_PATH, User};
use super::client::{Client, endpoint};
use super::error_code::{ErrorBody, Verdict};
use super::failure::Failure;
use super::response::Answer;
use crate::error::{Error, FailureKind};
use crate::report::Event;

/// A logout is a courtesy: nobody waits longer for it.
const LOGOUT_PATIENCE: Duration = Duration::from_secs(5);

/// A token; whoever asks with it holds it until the answer is there.
pub(super) type Token = Arc<Issued>;

/// A token as a header, and which of the run's it is.
pub(super) struct Issued {
    pub(super) header: HeaderValue,
    /// Counts from 1.
    pub(super) generation: u64,
    /// When it was had.
    pub(super) since: Instant,
    renew_at: Option<Instant>,
    /// What the server granted, where this run logged in for it.
    grant: Option<Granted>,
    /// Somebody is about to log it out.
    is_leaving: AtomicBool,
}

/// What the server says of a token.
#[derive(Clone, Debug, Default)]
pub(crate) struct Granted {
    pub(crate) user: User,
    pub(crate) life: Option<Duration>,
}

impl Issued {
    /// What the server granted, where this run logged in for it.
    pub(super) fn granted(&self) -> Option<&Granted> {
        self.grant.as_ref()
    }
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
    ///
    /// A login that is under way is not dropped when the run is stopped, nor with who waits for it:
    /// nobody would log its token out.
    pub(super) async fn token(&self, refused: Option<u64>) -> Result<Token, Failure> {
        let mut access = self.unless_cancelled(self.access.lock()).await?;
        if access.is_refused {
            return Err(Failure::Cancelled);
        }
        let now = Instant::now();
        if let Some(token) = &access.token
            && refused != Some(token.generation)
            && token.renew_at.is_none_or(|renew_at| now < renew_at)
        {
            return Ok(Arc::clone(token));
        }
        let generation = access
            .token
            .as_ref()
            .map_or(1, |token| token.generation + 1);
        let issued = self.issue(generation).await.inspect_err(|failure| {
            access.is_refused = matches!(failure, Failure::Run(_));
        })?;
        let token = Arc::new(issued);
        if let Some(old) = access.token.replace(Arc::clone(&token)) {
            self.retired().push(old);
        }
        Ok(token)
    }

    /// Which of the run's tokens is at hand.
    pub(super) async fn generation(&self) -> Option<u64> {
        let access = self.access.lock().await;
        access.token.as_ref().map(|token| token.generation)
    }

    async fn issue(&self, generation: u64) -> Result<Issued, Failure> {
        let given = |secret: &str| {
            Ok(Issued {
                header: sensitive(secret)?,
                generation,
                since: Instant::now(),
                renew_at: None,
                grant: None,
                is_leaving: AtomicBool::default(),
            })
        };
        match &self.credentials {
            Credentials::Token(secret) => given(secret.expose_secret()),
            Credentials::Source(source) => {
                let secret = self.unless_cancelled(source.token()).await?;
                given(secret.map_err(Failure::Run)?.expose_secret())
            }
            Credentials::App(_) | Credentials::Account(_) => {
                let now = Instant::now();
                let grant = self.log_in().await?;
                let life = grant.description.life(self.clock.latest().into());
                (self.observer)(Event::LoggedIn { life });
                Ok(Issued {
                    header: sensitive(grant.token().expose_secret())?,
                    generation,
                    since: Instant::now(),
                    renew_at: life.map(|life| now + Grant::renew_after(life)),
                    grant: Some(Granted {
                        user: grant.description.user(),
                        life,
                    }),
                    is_leaving: AtomicBool::default(),
                })
            }
        }
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

    /// Logs in, again and again while the server is out of reach, as an outage of the API is waited
    /// for. A quota is waited for as one of the API is. Called with the token locked: everybody waits
    /// for this one login.
    async fn log_in(&self) -> Result<Grant, Failure> {
        let outcome = self
            .patiently(|| self.log_in_after_outages(), |_, _| {})
            .await;
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

    pub(super) async fn log_in_once(&self) -> Result<Grant, Failure> {
        // Another API may have asked for it, but the account is one.
        let silence = self.throttle.silence();
        self.unless_cancelled(tokio::time::sleep(silence)).await?;
        self.try_log_in().await
    }

    async fn try_log_in(&self) -> Result<Grant, Failure> {
        if self.cancel.is_cancelled() {
            return Err(Failure::Cancelled);
        }
        let login = self.sign()?;
        let kind = self.credentials.kind();
        let mut request = self
            .http
            .post(endpoint(&self.site, login.path))
            .header(AUTHORIZATION, sensitive(&login.authorization)?)
            .header(CONTENT_TYPE, "application/json; charset=UTF-8")
            .body(login.body);
        if kind != Kind::Account {
            request = request.header("X-Token-Type", "LongTicket");
        }
        let answer = match self.ask_to_log_in(request).await {
            // The password may have been looked at.
            Err(failure) if kind == Kind::Account && failure.is_late() => {
                let reason = format!("{failure}; the password is not sent a second time");
                return Err(Failure::Run(Error::Login { reason }));
            }
            answer => answer?,
        };
        if answer.is_success()
            && let Some(grant) = Grant::parse(&answer.body)
        {
            self.hear(&answer);
            return Ok(grant);
        }
        let mut failure = self.judge(&answer);
        if failure.is_of_another_server() {
            failure = failure.in_passing();
        }
        if answer.is_success() && ErrorBody::parse(&answer.body).code.is_none() {
            let cause = format!("HTTP {}, and no token in the answer", answer.status);
            failure =
                Failure::transient(FailureKind::Token, cause).with_request_id(answer.request_id());
        }
        // What is refused is not repeated: that would lock the account.
        let may_be_repeated = failure.is_transient()
            && (kind != Kind::Account || !may_be_about_the_password(&answer));
        Err(if may_be_repeated {
            failure
        } else {
            failure.into_end_of_run(Asking {
                is_login: true,
                ..self.asking()
            })
        })
    }

    /// Sends a login, unless one is under way that nobody waits for any more: then its answer is
    /// as good. Where the run is stopped first, it goes on, and the end of the run sees to its token.
    async fn ask_to_log_in(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let mut logins = self.logins.lock().await;
        if logins.is_empty() {
            logins.spawn(Answer::to(request, self.max_body));
        }
        match self.unless_cancelled(logins.join_next()).await? {
            Some(Ok(answer)) => answer,
            Some(Err(died)) if died.is_panic() => Err(Failure::Run(Error::task("the login")(died))),
            Some(Err(_)) | None => Err(Failure::Cancelled),
        }
    }

    fn sign(&self) -> Result<Login, Failure> {
        let nonce: String = std::iter::repeat_with(fastrand::alphanumeric)
            .take(40)
            .collect();
        let now = self.clock.latest().timestamp();
        let told = |reason| Failure::Run(Error::Config(reason));
        self.credentials
            .login(now, &nonce)
            .ok_or_else(|| told("there is nothing to log in with".to_owned()))?
            .map_err(|error| told(format!("cannot write the login: {error}")))
    }

    /// Tokens that a newer one stands for, until they are logged out.
    fn retired(&self) -> MutexGuard<'_, Vec<Token>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs tokens out that nobody asks with any more.
    pub(super) async fn log_out_unused(&self) {
        let unused: Vec<_> = self
            .retired()
            .iter()
            .filter(|token| Arc::strong_count(token) == 1)
            .filter(|token| !token.is_leaving.swap(true, Ordering::Relaxed))
            .cloned()
            .collect();
        if unused.is_empty() {
            return;
        }
        self.log_out(&unused).await;
        // Not before: where this is cut short, the end of the run sees to them.
        self.retired()
            .retain(|token| !unused.iter().any(|gone| Arc::ptr_eq(gone, token)));
    }

    /// Logs every token of this run out, whatever became of the run. To be called at its end.
    pub(crate) async fn close(&self) {
        let mut tokens = std::mem::take(&mut *self.retired());
        tokens.extend(self.access.lock().await.token.take());
        tokens.extend(self.unclaimed().await);
        self.log_out(&tokens).await;
    }

    /// The token of a login that nobody waited for to its end.
    async fn unclaimed(&self) -> Option<Token> {
        let mut logins = self.logins.lock().await;
        let Ok(answer) = tokio::time::timeout(LOGOUT_PATIENCE, logins.join_next()).await else {
            let cause = "its login had no answer in time".to_owned();
            (self.observer)(Event::NotLoggedOut { cause });
            return None;
        };
        let answer = answer?.ok()?.ok()?;
        let grant = Grant::parse(&answer.body).filter(|_| answer.is_success())?;
        Some(Arc::new(Issued {
            header: sensitive(grant.token().expose_secret()).ok()?,
            generation: 0,
            since: Instant::now(),
            renew_at: None,
            grant: Some(Granted::default()),
            is_leaving: AtomicBool::default(),
        }))
    }

    /// Ends those tokens that this run created; how that goes changes nothing else.
    async fn log_out(&self, tokens: &[Token]) {
        for token in tokens {
            if token.grant.is_none() {
                continue;
            }
            let request = self
                .http
                .delete(endpoint(&self.site, TOKEN_PATH))
                .header("X-Access-Token", token.header.clone());
            let cause = match tokio::time::timeout(LOGOUT_PATIENCE, self.receive(request)).await {
                Ok(Ok(answer)) if answer.is_success() => continue,
                Ok(Ok(answer)) => {
                    let error = ErrorBody::parse(&answer.body);
                    Failure::refused(Verdict::Meeting, answer.status, &error, None).to_string()
                }
                Ok(Err(failure)) => failure.to_string(),
                Err(_) => "no answer in time".to_owned(),
            };
            (self.observer)(Event::NotLoggedOut { cause });
        }
    }
}

/// Whether a failure that could be in passing may have counted as a wrong password.
fn may_be_about_the_password(answer: &Answer) -> bool {
    let code = ErrorBody::parse(&answer.body).code;
    // As with a status that never passes, so that only a known code speaks for a repetition.
    let by_code = Verdict::of(400, code.as_deref());
    let is_in_passing = [Verdict::Retry, Verdict::RetrySlowly, Verdict::Throttled];
    // Something in between, such as a portal, claims success.
    let is_elsewhere = code.is_none() && (answer.is_success() || answer.is_of_another_server());
    !is_in_passing.contains(&by_code) && !is_elsewhere && !matches!(answer.status, 429 | 502 | 503)
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

    #[test]
    fn a_password_is_sent_again_only_where_nobody_can_have_looked_at_it() {
        let answer = |status, body: &str| Answer {
            status,
            headers: reqwest::header::HeaderMap::new(),
            body: body.into(),
        };
        for (status, body) in [
            (500, ""),
            (403, ""),
            (403, "{}"),
            (200, r#"{"error_code":"USG.999999999"}"#),
            (500, r#"{"error_code":"USG.999999999"}"#),
        ] {
            assert!(may_be_about_the_password(&answer(status, body)), "{body}");
        }
        for (status, body) in [
            (503, ""),
            (429, ""),
            (200, "<html>"),
            (302, ""),
            (404, "<html>"),
            (500, r#"{"error_code":"USG.200000001"}"#),
        ] {
            assert!(!may_be_about_the_password(&answer(status, body)), "{body}");
        }
    }
}
