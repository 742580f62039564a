//! What an answer means that is not what was asked for.

use std::sync::atomic::Ordering;

use reqwest::header::RETRY_AFTER;

use super::Client;
use super::answer::Answer;
use super::failure::Failure;
use crate::auth::Asking;
use crate::config::SearchKey;
use crate::decode::DecodeError;
use crate::error::Error;
use crate::rate::Rate;
use crate::report::FailureKind;
use crate::retry::{ErrorBody, Verdict, retry_after};

impl Client {
    /// What an answer that is no page of records or of the history list means.
    pub(super) fn judge_page(&self, answer: &Answer, error: &DecodeError) -> Failure {
        let cause = || error.to_string();
        let failure = match error {
            DecodeError::NotAPage(_) if ErrorBody::parse(&answer.body).code.is_some() => {
                return self.judge(answer);
            }
            DecodeError::NotAPage(_) => Failure::transient(FailureKind::Decode, cause()),
            DecodeError::Record { .. } | DecodeError::Treatment(_) => {
                Failure::meeting(FailureKind::Decode, cause())
            }
        };
        failure.with_request_id(answer.request_id())
    }

    /// What an answer that is no page means; a refusal for the quota silences everybody.
    pub(super) fn judge(&self, answer: &Answer) -> Failure {
        let error = ErrorBody::parse(&answer.body);
        if error.code.is_some() {
            self.clock.hear(&answer.headers);
        }
        let verdict = Verdict::of(answer.status, error.code.as_deref());
        let request_id = answer.request_id().or_else(|| error.request_id.clone());
        let failure = Failure::refused(
            verdict,
            answer.status,
            &error,
            self.search_key.as_ref().map(SearchKey::as_str),
        )
        .with_request_id(request_id);
        match verdict {
            Verdict::Throttled => {}
            Verdict::Run => return failure.into_end_of_run(self.asking()),
            _ => return failure,
        }
        self.tally.throttled.fetch_add(1, Ordering::Relaxed);
        let asked = answer
            .headers
            .get(RETRY_AFTER)
            .and_then(|header| header.to_str().ok())
            .and_then(|header| retry_after(header, self.clock.at(&answer.headers)));
        let quota = error.quota();
        let window = quota.and_then(Rate::window);
        let delay = asked.or(window).unwrap_or(self.patience.first_delay * 8);
        let interval = quota.and_then(Rate::interval).unwrap_or_default();
        let wait = delay.max(interval);
        if wait > self.patience.longest_pause {
            return Failure::Run(Error::Quota { wait });
        }
        if let Some(rate) = quota {
            self.throttle.learn(rate);
        }
        self.throttle.pause(delay, &failure.to_string());
        failure
    }

    /// What is known of this side when something is refused.
    pub(super) fn asking(&self) -> Asking {
        Asking {
            kind: self.credentials.kind(),
            is_login: false,
            seconds_behind: self.clock.seconds_behind(),
        }
    }
}
