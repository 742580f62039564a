//! Outages: while no usable answer comes, one request at a time is sent.
//!
//! Failures in passing are counted by what was asked for, and each usable answer ends the count. So
//! are refusals without a code of the service, unless a question that was answered before is
//! answered still, and pages that contradict what was asked for.
//! Once enough meetings or days failed in a row, requests take turns: the one whose turn it is asks
//! for what was answered before, else for itself, and waits longer after each failure. None of that
//! counts against the attempts of a page. The first usable answer lets everybody go on; after
//! [`Patience::longest_outage`](crate::api::error_code::Patience) the run ends with one cause.
//!
//! A login follows the same rule, from its first failure on: all requests wait for its token.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Mutex as Queue, MutexGuard as Turn, SemaphorePermit};
use tokio::time::Instant;

use super::auth::Grant;
use super::client::{Client, Question};
use super::failure::Failure;
use crate::error::{Error, FailureKind};
use crate::report::Event;
use crate::values::ConfUuid;

/// Meetings or days that must fail in a row before requests take turns.
const FAILED_IN_A_ROW: usize = 3;

/// Delays before a second attempt for which a refusal without a code waits for answers to others.
const LOOKS_AT_OTHERS: u32 = 8;

/// The meeting or the day that a request is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Meeting(ConfUuid),
    Day(DateTime<Utc>),
}

/// State of the API as the latest answers show it.
#[derive(Debug)]
pub(super) struct Outage {
    state: Mutex<State>,
    turns: Queue<()>,
}

#[derive(Debug)]
struct State {
    /// Meetings and days that failed since the last usable answer.
    failed: HashSet<Subject>,
    /// How many must fail before requests take turns: more after each false alarm.
    enough: usize,
    since: Option<Instant>,
    is_out: bool,
    /// Failures of requests whose turn it was.
    missed: u32,
    /// Cause of the latest of them.
    cause: Option<(FailureKind, String)>,
    /// A login is tried again and again: answers that were on their way do not end that.
    is_without_login: bool,
    /// Meetings and days whose `Retry-After` paused all requests already.
    silenced: HashSet<Subject>,
}

impl Default for Outage {
    fn default() -> Self {
        let state = State {
            failed: HashSet::new(),
            enough: FAILED_IN_A_ROW,
            since: None,
            is_out: false,
            missed: 0,
            cause: None,
            is_without_login: false,
            silenced: HashSet::new(),
        };
        Self {
            state: Mutex::new(state),
            turns: Queue::default(),
        }
    }
}

impl Outage {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_out(&self) -> bool {
        self.state().is_out
    }

    /// Counts a failure that may pass.
    fn failed(&self, subject: Subject) {
        let mut state = self.state();
        state.failed.insert(subject);
        state.since.get_or_insert_with(Instant::now);
        state.is_out |= state.failed.len() >= state.enough;
    }

    /// Counts a failure of a request whose turn it was: how many there were before, and how long no
    /// answer came.
    fn missed(&self, kind: FailureKind, cause: &str) -> (u32, Duration) {
        let mut state = self.state();
        let before = state.missed;
        state.missed += 1;
        state.cause = Some((kind, cause.to_owned()));
        let lasted = state.since.get_or_insert_with(Instant::now).elapsed();
        (before, lasted)
    }

    /// Counts a login that got no answer. From the first one on this is an outage, since every request
    /// needs the token.
    fn missed_login(&self, kind: FailureKind, cause: &str) -> (u32, Duration) {
        let mut state = self.state();
        state.is_without_login = true;
        state.is_out = true;
        drop(state);
        self.missed(kind, cause)
    }

    /// Notes that a login is not tried any more.
    fn ended_login(&self) {
        self.state().is_without_login = false;
    }

    /// Ends an outage; returns how long it lasted, where it was one.
    fn answered(&self) -> Option<Duration> {
        let mut state = self.state();
        if state.is_without_login {
            return None;
        }
        let lasted = state.since.take()?.elapsed();
        let was_out = std::mem::take(&mut state.is_out);
        let missed = std::mem::take(&mut state.missed);
        state.failed.clear();
        state.cause = None;
        if was_out && missed == 0 {
            state.enough = state.enough.saturating_mul(2);
        }
        (missed > 0).then_some(lasted)
    }

    /// Whether a `Retry-After` may pause all requests: once for each subject, since one meeting may fail
    /// for ever.
    fn may_silence(&self, subject: Subject) -> bool {
        self.state().silenced.insert(subject)
    }
}

fn kind_of(failure: &Failure) -> FailureKind {
    failure.kind().unwrap_or(FailureKind::Transport)
}

/// Whether all requests may fail so for a while.
fn is_away(failure: &Failure) -> bool {
    failure.is_outage() || failure.is_of_another_server()
}

impl Client {
    /// Sends a question with a token, in its turn where the API is away. Returns the answer with its
    /// slot: an answer counts as in flight until the slot is dropped.
    pub(super) async fn ask<Q: Question>(
        &self,
        question: &Q,
    ) -> Result<(Q::Answer, SemaphorePermit<'_>), Failure> {
        loop {
            let mut turn = self.unless_stopped(self.turn()).await?;
            // The slots are never closed.
            let Ok(slot) = self.unless_stopped(self.slots.acquire()).await? else {
                return Err(Failure::Cancelled);
            };
            if turn.is_none() && self.outage.is_out() {
                continue;
            }
            let (mut probed, mut is_known_good) = (Ok(()), false);
            if turn.is_some()
                && let Some(known) = question.known()
            {
                probed = match known.ask(self).await {
                    Err(stop @ (Failure::Cancelled | Failure::UsedUp | Failure::Run(_))) => {
                        return Err(stop);
                    }
                    Err(failure) if is_away(&failure) => Err(failure),
                    // Whatever it says, somebody answers.
                    Ok(()) | Err(_) => {
                        self.answered();
                        turn = None;
                        is_known_good = true;
                        Ok(())
                    }
                };
            }
            let outcome = match probed {
                Ok(()) => self.granted(question).await,
                Err(failure) => Err(failure),
            };
            let mut failure = match outcome {
                Err(failure) if is_away(&failure) => failure,
                Err(stop @ (Failure::Cancelled | Failure::UsedUp | Failure::Run(_))) => {
                    return Err(stop);
                }
                outcome => match self.usable(question, outcome, turn.is_some()) {
                    Err(contradiction) if is_away(&contradiction) => contradiction,
                    outcome => return Ok((outcome?, slot)),
                },
            };
            drop(slot);
            let subject = question.subject();
            if failure.is_of_another_server() && turn.is_none() {
                if is_known_good || self.is_answered_elsewhere(question).await? {
                    return Err(failure);
                }
                failure = failure.in_passing();
            }
            if let Some(wait) = failure.wait().filter(|_| failure.is_unavailable())
                && self.outage.may_silence(subject.clone())
            {
                self.throttle.pause(wait, &failure.to_string());
            }
            let Some(turn) = turn else {
                self.outage.failed(subject);
                return Err(failure);
            };
            self.wait_for_the_next_turn(turn, &failure).await?;
        }
    }

    /// Counts an answer. A page that contradicts what was asked for is a failure like no answer: in a
    /// turn it is asked for again, else its meeting is begun again, which costs it a restart.
    fn usable<Q: Question>(
        &self,
        question: &Q,
        outcome: Result<Q::Answer, Failure>,
        is_in_turn: bool,
    ) -> Result<Q::Answer, Failure> {
        let contradiction = outcome
            .as_ref()
            .ok()
            .and_then(|it| question.contradiction(it));
        match contradiction {
            None => self.answered(),
            Some(cause) if is_in_turn => {
                return Err(Failure::transient(FailureKind::Drift, cause));
            }
            Some(_) => self.outage.failed(question.subject()),
        }
        outcome
    }

    /// Whether the server answers other questions than this one, which it refused without a code. Where
    /// it answered none yet, other requests show it within a while; if none does, too few were sent
    /// for an outage.
    async fn is_answered_elsewhere<Q: Question>(&self, question: &Q) -> Result<bool, Failure> {
        if let Some(known) = question.known() {
            let Ok(_slot) = self.unless_stopped(self.slots.acquire()).await? else {
                return Err(Failure::Cancelled);
            };
            return match known.ask(self).await {
                Err(stop @ (Failure::Cancelled | Failure::UsedUp | Failure::Run(_))) => Err(stop),
                Err(failure) => Ok(!is_away(&failure)),
                Ok(()) => Ok(true),
            };
        }
        self.outage.failed(question.subject());
        // Others may go ahead meanwhile.
        let _nap = self.naps.begin();
        for _ in 0..LOOKS_AT_OTHERS {
            if question.known().is_some() {
                return Ok(true);
            }
            if self.outage.is_out() {
                return Ok(false);
            }
            let pause = tokio::time::sleep(self.patience.first_delay);
            self.unless_stopped(pause).await?;
        }
        Ok(true)
    }

    /// Waits for a turn, where the API is away.
    async fn turn(&self) -> Option<Turn<'_, ()>> {
        if !self.outage.is_out() {
            return None;
        }
        // Others may go ahead: one of them may be answered.
        let _nap = self.naps.begin();
        let turn = self.outage.turns.lock().await;
        self.outage.is_out().then_some(turn)
    }

    /// Lets time pass after a failure, and then somebody else.
    async fn wait_for_the_next_turn(
        &self,
        turn: Turn<'_, ()>,
        failure: &Failure,
    ) -> Result<(), Failure> {
        let cause = failure.to_string();
        let missed = self.outage.missed(kind_of(failure), &cause);
        self.wait_after(failure, cause, missed).await?;
        drop(turn);
        Ok(())
    }

    /// Logs in; repeats that while no usable answer comes, one attempt after the other. A client that
    /// waits for no outage tries once.
    pub(super) async fn log_in_after_outages(&self) -> Result<Grant, Failure> {
        let mut has_begun_it = false;
        let outcome = loop {
            let failure = match self.log_in_once().await {
                Err(failure) if failure.is_outage() && !self.patience.longest_outage.is_zero() => {
                    failure
                }
                outcome => break outcome,
            };
            let cause = format!("cannot log in: {failure}");
            let missed = self.outage.missed_login(kind_of(&failure), &cause);
            has_begun_it |= missed.0 == 0;
            self.wait_after(&failure, cause, missed).await?;
        };
        self.outage.ended_login();
        // An outage that was there before is ended by an answer to what is asked with the token.
        if has_begun_it && !matches!(outcome, Err(Failure::Cancelled | Failure::UsedUp)) {
            self.answered();
        }
        outcome
    }

    /// Lets time pass after one of a row of failures: so many came before, and no answer came for so
    /// long.
    async fn wait_after(
        &self,
        failure: &Failure,
        cause: String,
        (missed, lasted): (u32, Duration),
    ) -> Result<(), Failure> {
        let patience = &self.patience;
        if lasted >= patience.longest_outage {
            return Err(Failure::Run(Error::Outage {
                lasted,
                cause,
                kind: kind_of(failure),
            }));
        }
        if missed == 0 {
            (self.observer)(Event::Outage { cause });
        }
        let delay = patience
            .first_delay
            .saturating_mul(1 << missed.min(16))
            .min(patience.longest_delay)
            .max(failure.wait().unwrap_or_default());
        let left = patience.longest_outage.saturating_sub(lasted);
        self.unless_stopped(tokio::time::sleep(delay.min(left)))
            .await?;
        self.tally.retried.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The outage that goes on, where one does.
    pub(crate) fn outage(&self) -> Option<Error> {
        let state = self.outage.state();
        let (kind, cause) = state.cause.clone().filter(|_| state.is_out)?;
        Some(Error::Outage {
            lasted: state.since?.elapsed(),
            cause,
            kind,
        })
    }

    fn answered(&self) {
        if let Some(lasted) = self.outage.answered() {
            (self.observer)(Event::OutageOver { lasted });
        }
    }
}
