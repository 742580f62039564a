//! What an answer means that is not what was asked for.

use std::sync::atomic::Ordering;

use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::auth::Asking;
use super::client::Client;
use super::error_code::{ErrorBody, Verdict, is_used_up, quota_in, retry_after};
use super::failure::Failure;
use super::response::Answer;
use crate::error::{Error, FailureKind};
use crate::record::decode::DecodeError;
use crate::values::{Rate, SearchKey};

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
            self.hear(answer);
        }
        let verdict = Verdict::of(answer.status, error.code.as_deref());
        let request_id = answer.request_id().or_else(|| error.request_id.clone());
        let failure = Failure::refused(
            verdict,
            answer.status,
            &error,
            self.search_key.as_ref().map(SearchKey::as_str),
        )
        .with_request_id(request_id)
        .with_origin(answer.is_of_another_server());
        let asked = answer
            .headers
            .get(RETRY_AFTER)
            .and_then(|header| header.to_str().ok())
            .and_then(|header| retry_after(header, self.clock.at(&answer.headers)));
        if verdict != Verdict::Throttled {
            let longest = self.patience.longest_wait;
            return failure.with_wait(asked.map(|wait| wait.min(longest)));
        }
        self.tally.throttled.fetch_add(1, Ordering::Relaxed);
        let quota = error.quota().or_else(|| quota_of(&answer.headers));
        let window = quota.and_then(Rate::window);
        let delay = asked.or(window).unwrap_or(self.patience.first_delay * 8);
        let interval = quota.and_then(Rate::interval).unwrap_or_default();
        let wait = delay.max(interval);
        if wait > self.patience.longest_pause {
            return Failure::Run(Error::Quota { wait });
        }
        match quota {
            Some(rate) => self.throttle.learn(rate),
            None if asked.is_none() => self.throttle.slow_down(),
            None => {}
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

/// The slowest quota that the headers of a refusal tell to be used up.
fn quota_of(headers: &HeaderMap) -> Option<Rate> {
    let of_gateway = headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-apig-ratelimit-"));
    let told = of_gateway.filter_map(|(_, value)| value.to_str().ok());
    let used_up = told.filter(|value| is_used_up(value)).filter_map(quota_in);
    used_up.max_by_key(|rate| rate.interval())
}
