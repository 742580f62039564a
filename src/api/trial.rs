//! Refusals of the token, or of the whole run: whether they concern one request or all of them.
//!
//! A server may answer one meeting with 401, an unknown API or a code of the login service, while
//! others succeed with the same token: then the meeting is at fault. Only a request of the same API
//! that was answered before tells the two apart. Where there is none, the server is asked about the
//! token; where it does not tell, a few such refusals are borne until a first request succeeds.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as Queue;

use super::client::{Client, Question};
use super::failure::Failure;
use super::session::Token;
use crate::error::Error;

/// How long the servers that are asked may take to learn of a new token.
const NEW_TOKEN: Duration = Duration::from_secs(1);

/// A token that was had longer ago is not new any more.
const NEW_FOR: Duration = Duration::from_secs(5);

/// Refusals that are borne before anything succeeded, where the server calls the token good.
const REFUSED_THOUGH_GOOD: u32 = 20;

/// Refusals that are borne before anything succeeded, where the server does not tell.
const REFUSED_UNTOLD: u32 = 3;

/// Rounds of one request, after which no renewal helps.
const ROUNDS: u32 = 4;

/// Findings about the tokens of a run.
#[derive(Debug, Default)]
pub(super) struct Trial {
    findings: Queue<Findings>,
    untold: Mutex<Untold>,
}

#[derive(Debug, Default)]
struct Findings {
    /// The generation of the latest token that was found dead.
    dead: Option<u64>,
    /// A renewed token was good and changed nothing for the request that was refused: from then on
    /// a token is tried before it is renewed, since each login takes a place.
    is_vain: bool,
}

/// Refusals since the last success that nothing explains.
#[derive(Debug, Default)]
struct Untold {
    refusals: u32,
    /// Error of the run, where nothing succeeds.
    end: Option<Error>,
}

/// Meaning of a refusal.
enum Meaning {
    /// This one request is refused.
    ThisOne,
    /// The token is good now; the refusal may have been in passing.
    Good,
    /// There is another token.
    Renewed,
    /// Nothing can be had.
    Run,
}

impl Trial {
    fn untold(&self) -> std::sync::MutexGuard<'_, Untold> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    /// Sends a request. Where its token is refused: another time with the same token, if that is new
    /// or good for others, and with a new one, if that may help.
    pub(super) async fn granted<Q: Question>(&self, question: &Q) -> Result<Q::Answer, Failure> {
        let mut refused = None;
        let mut is_known_good = false;
        for _ in 0..ROUNDS {
            let (token, outcome) = self.send(question, refused).await?;
            let (token, outcome) = match outcome {
                Err(failure)
                    if failure.is_about_the_token()
                        && self.is_untried(&token)
                        && token.since.elapsed() < NEW_FOR =>
                {
                    self.again_after(NEW_TOKEN).await?;
                    self.send(question, None).await?
                }
                outcome => (token, outcome),
            };
            let failure = match outcome {
                Err(failure) if failure.is_about_the_run() => failure,
                Ok(answer) => {
                    if question.contradiction(&answer).is_none() {
                        question.succeeded();
                    }
                    *self.trial.untold() = Untold::default();
                    return Ok(answer);
                }
                outcome => return outcome,
            };
            if is_known_good {
                return Err(failure.of_this_one());
            }
            let has_renewed = refused.is_some();
            match self
                .meaning(question, &token, &failure, has_renewed)
                .await?
            {
                Meaning::ThisOne => return Err(failure.of_this_one()),
                Meaning::Good => is_known_good = true,
                Meaning::Renewed => refused = Some(token.generation),
                Meaning::Run => return Err(failure.into_end_of_run(self.asking())),
            }
            self.again_after(Duration::ZERO).await?;
        }
        let reason = "each new token is refused".to_owned();
        Err(Failure::Run(Error::Credentials { reason }))
    }

    /// Why nothing succeeded, where each request was refused and the server did not tell why.
    pub(crate) fn take_untold(&self) -> Option<Error> {
        self.trial.untold().end.take()
    }

    async fn again_after(&self, delay: Duration) -> Result<(), Failure> {
        self.unless_stopped(tokio::time::sleep(delay)).await?;
        if self.is_used_up() {
            return Err(Failure::UsedUp);
        }
        self.tally.retried.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Whether nothing succeeded with a token so far.
    fn is_untried(&self, token: &Token) -> bool {
        self.accepted.load(Ordering::Relaxed) < token.generation
    }

    /// Finds out what a refusal means. One request at a time does.
    async fn meaning<Q: Question>(
        &self,
        question: &Q,
        token: &Token,
        failure: &Failure,
        has_renewed: bool,
    ) -> Result<Meaning, Failure> {
        if failure.may_mean_the_meeting() && !self.is_untried(token) {
            return Ok(Meaning::ThisOne);
        }
        let mut findings = self.unless_stopped(self.trial.findings.lock()).await?;
        if self.generation().await != Some(token.generation) {
            return Ok(Meaning::Renewed);
        }
        let generation = token.generation;
        let may_renew = failure.is_about_the_token() && self.may_renew(token, failure);
        let renew = async || {
            self.token(Some(generation)).await?;
            Ok(Meaning::Renewed)
        };
        // One that was renewed a moment ago is hardly dead already.
        let may_be_dead = generation == 1 || token.since.elapsed() >= NEW_FOR;
        if may_renew && may_be_dead && !has_renewed && !findings.is_vain {
            return renew().await;
        }
        if findings.dead == Some(generation) {
            return Ok(Meaning::Run);
        }
        let is_good = match question.known() {
            Some(known) => match known.ask(self).await {
                Err(stop @ (Failure::Cancelled | Failure::UsedUp | Failure::Run(_))) => {
                    return Err(stop);
                }
                Err(failure) if failure.is_about_the_run() => Some(false),
                Err(failure) if failure.is_transient() => None,
                // What is refused otherwise is refused by somebody who took the token.
                Ok(()) | Err(_) => Some(true),
            },
            None => None,
        };
        match is_good {
            Some(true) => {
                findings.is_vain |= generation > 1;
                Ok(Meaning::Good)
            }
            _ if may_renew => renew().await,
            Some(false) => {
                findings.dead = Some(generation);
                Ok(Meaning::Run)
            }
            None => self.unexplained(question, token, failure).await,
        }
    }

    /// Finds out what a refusal means where nothing was answered before.
    async fn unexplained<Q: Question>(
        &self,
        question: &Q,
        token: &Token,
        failure: &Failure,
    ) -> Result<Meaning, Failure> {
        let told = if failure.is_about_the_token() {
            match self.try_validate(token).await {
                Ok(_) => Some(true),
                Err(stop @ (Failure::Cancelled | Failure::UsedUp)) => return Err(stop),
                Err(failure) if failure.is_about_the_token() => Some(false),
                Err(_) => None,
            }
        } else {
            None
        };
        let most = match told {
            Some(false) => return Ok(Meaning::Run),
            Some(true) => REFUSED_THOUGH_GOOD,
            None => REFUSED_UNTOLD,
        };
        let mut untold = self.trial.untold();
        if question.known().is_some() {
            // In the meantime something succeeded.
            return Ok(Meaning::Good);
        }
        untold.refusals += 1;
        if untold.refusals >= most {
            return Ok(Meaning::Run);
        }
        if told.is_none() {
            let reason = failure.end_of_run(self.asking());
            untold.end = Some(Error::Credentials { reason });
        }
        Ok(Meaning::ThisOne)
    }
}
