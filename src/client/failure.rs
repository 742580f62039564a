//! Why a page did not come, and what that means for its meeting and for the run.

use std::error::Error as _;
use std::fmt::{self, Write as _};

use crate::auth;
use crate::error::Error;
use crate::retry::{ErrorBody, Verdict};

/// Longest text of the server that is told on.
const LONGEST_TEXT: usize = 200;

/// Why a page did not come.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The run was asked to stop first.
    Cancelled,
    /// Nothing can be had any more.
    Run(Error),
    /// An answer, or none, that is no page.
    Answer {
        /// What it means.
        verdict: Verdict,
        /// What happened, in words.
        cause: String,
        /// The error code, where there was one.
        code: Option<String>,
        /// The server's name for the request.
        request_id: Option<String>,
    },
}

impl Failure {
    /// Something that may pass.
    pub(crate) fn transient(cause: String) -> Self {
        Self::Answer {
            verdict: Verdict::Retry,
            cause,
            code: None,
            request_id: None,
        }
    }

    /// Something that is wrong with this meeting for good.
    pub(crate) fn meeting(cause: String) -> Self {
        Self::Answer {
            verdict: Verdict::Meeting,
            cause,
            code: None,
            request_id: None,
        }
    }

    /// No answer, or half of one.
    pub(crate) fn transport(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut cause = if error.is_timeout() {
            "no answer in time".to_owned()
        } else {
            error.to_string()
        };
        let mut source = error.source();
        while let Some(error) = source {
            // The parts of a chain often repeat each other.
            let text = error.to_string();
            if !cause.contains(&text) {
                let _infallible = write!(cause, ": {text}");
            }
            source = error.source();
        }
        Self::transient(cause)
    }

    /// A refusal in the server's own words.
    pub(crate) fn refused(verdict: Verdict, status: u16, error: &ErrorBody) -> Self {
        let mut cause = format!("HTTP {status}");
        for text in [&error.code, &error.message].into_iter().flatten() {
            let shown: String = text.chars().take(LONGEST_TEXT).flat_map(escaped).collect();
            let _infallible = write!(cause, " {shown}");
        }
        if (300..400).contains(&status) {
            cause += " (redirects are not followed: the access token would travel)";
        }
        Self::Answer {
            verdict,
            cause,
            code: error.code.clone(),
            request_id: None,
        }
    }

    /// Adds the server's name for the request.
    pub(crate) fn with_request_id(mut self, id: Option<String>) -> Self {
        if let Self::Answer { request_id, .. } = &mut self {
            *request_id = id;
        }
        self
    }

    /// Whether asking again may help.
    pub(crate) fn is_transient(&self) -> bool {
        let again = [Verdict::Retry, Verdict::RetrySlowly, Verdict::Throttled];
        matches!(self, Self::Answer { verdict, .. } if again.contains(verdict))
    }

    /// Whether the service needs a long while.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(
            self,
            Self::Answer {
                verdict: Verdict::RetrySlowly,
                ..
            }
        )
    }

    /// Whether another token may help.
    pub(crate) fn is_about_the_token(&self) -> bool {
        matches!(
            self,
            Self::Answer {
                verdict: Verdict::Renew,
                ..
            }
        )
    }

    /// Whether only this meeting is out of reach.
    pub(crate) fn is_about_the_meeting(&self) -> bool {
        matches!(
            self,
            Self::Answer {
                verdict: Verdict::Meeting,
                ..
            }
        )
    }

    /// The failure where nothing more can be done about the token: the end of the run, unless
    /// the server speaks of the meeting.
    pub(crate) fn into_final(self) -> Self {
        match self {
            Self::Answer {
                verdict: Verdict::Renew,
                cause,
                code,
                request_id,
            } if code
                .as_deref()
                .is_some_and(|code| code.ends_with("111070004")) =>
            {
                Self::Answer {
                    verdict: Verdict::Meeting,
                    cause,
                    code,
                    request_id,
                }
            }
            Self::Answer {
                verdict: Verdict::Renew | Verdict::Meeting,
                ref code,
                ..
            } => {
                let reason = format!(
                    "the credentials were refused: {self}; {}",
                    auth::hint(code.as_deref())
                );
                Self::Run(Error::Credentials { reason })
            }
            other => other,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("the run was stopped"),
            Self::Run(error) => error.fmt(f),
            Self::Answer {
                cause,
                request_id: Some(id),
                ..
            } => write!(f, "{cause} (request id {id})"),
            Self::Answer { cause, .. } => f.write_str(cause),
        }
    }
}

/// A character as it may stand in a log.
fn escaped(c: char) -> impl Iterator<Item = char> {
    let control = c.is_control().then(|| c.escape_default());
    let plain = (!c.is_control()).then_some(c);
    control.into_iter().flatten().chain(plain)
}
