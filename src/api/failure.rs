//! Why a page did not come, and what that means for its meeting and for the run.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use super::auth::Asking;
use super::error_code::{ErrorBody, Verdict, is_forbidden, is_no_meeting};
use crate::error::{Error, FailureKind};

/// Longest text of the server that is told on, in characters.
const LONGEST_TEXT: usize = 200;

/// Longest request id that is told on, in characters.
pub(super) const LONGEST_ID: usize = 64;

/// The code for "meeting authentication failed".
const MEETING_REFUSED: &str = "111070004";

/// Why a page did not come.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The run was asked to stop first.
    Cancelled,
    /// No request is left of those set aside for the run.
    UsedUp,
    /// Nothing can be had any more.
    Run(Error),
    /// An answer, or none, that is no page.
    Refused(Refusal),
}

/// An answer, or none, that is no page.
#[derive(Debug)]
pub(crate) struct Refusal {
    verdict: Verdict,
    kind: FailureKind,
    cause: String,
    status: Option<u16>,
    code: Option<String>,
    /// The request was sent, and the time for its answer is over.
    is_late: bool,
    /// The answer is none of the service.
    is_elsewhere: bool,
    /// How long the server asks to wait before the next attempt.
    wait: Option<Duration>,
    /// The server's name for the request.
    request_id: Option<String>,
}

impl Failure {
    /// Something that may pass.
    pub(super) fn transient(kind: FailureKind, cause: String) -> Self {
        Self::new(Verdict::Retry, kind, cause)
    }

    /// Something that is wrong with this meeting for good.
    pub(super) fn meeting(kind: FailureKind, cause: String) -> Self {
        Self::new(Verdict::Meeting, kind, cause)
    }

    /// No answer, or half of one.
    pub(super) fn transport(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let is_late = error.is_timeout() && !error.is_connect();
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
                cause = format!("{cause}: {text}");
            }
            source = error.source();
        }
        let mut failure = Self::transient(FailureKind::Transport, cause);
        if let Self::Refused(refusal) = &mut failure {
            refusal.is_late = is_late;
        }
        failure
    }

    /// Whether the server has the request and did not answer in time.
    pub(super) fn is_late(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.is_late)
    }

    /// A refusal in the server's own words, without the key that was searched for.
    pub(super) fn refused(
        verdict: Verdict,
        status: u16,
        error: &ErrorBody,
        search_key: Option<&str>,
    ) -> Self {
        let mut cause = format!("HTTP {status}");
        for text in [&error.code, &error.message].into_iter().flatten() {
            let text = match search_key {
                Some(key) if !key.is_empty() => text.replace(key, "…"),
                _ => text.clone(),
            };
            cause = format!("{cause} {}", shown(&text, LONGEST_TEXT));
        }
        if (300..400).contains(&status) {
            cause += " (redirects are not followed: the access token would travel)";
        }
        let kind = match (verdict, status) {
            (Verdict::Throttled, _) => FailureKind::Throttled,
            (Verdict::Renew | Verdict::Run, _) => FailureKind::Token,
            _ => kind_of(status),
        };
        Self::Refused(Refusal {
            verdict,
            kind,
            cause,
            status: Some(status),
            code: error.code.clone(),
            is_late: false,
            is_elsewhere: false,
            wait: None,
            request_id: None,
        })
    }

    fn new(verdict: Verdict, kind: FailureKind, cause: String) -> Self {
        Self::Refused(Refusal {
            verdict,
            kind,
            cause,
            status: None,
            code: None,
            is_late: false,
            is_elsewhere: false,
            wait: None,
            request_id: None,
        })
    }

    /// Adds how long the server asks to wait before the next attempt.
    pub(super) fn with_wait(mut self, wait: Option<Duration>) -> Self {
        if let Self::Refused(refusal) = &mut self {
            refusal.wait = wait;
        }
        self
    }

    /// How long the server asks to wait before the next attempt; for its quota it silences everybody
    /// instead.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.wait,
            Self::Cancelled | Self::UsedUp | Self::Run(_) => None,
        }
    }

    /// Whether the whole service is away, by its own word.
    pub(super) fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Refused(Refusal {
                status: Some(503),
                ..
            })
        )
    }

    /// Adds the server's name for the request.
    pub(super) fn with_request_id(mut self, id: Option<String>) -> Self {
        if let Self::Refused(refusal) = &mut self {
            refusal.request_id = id.map(|id| shown(&id, LONGEST_ID));
        }
        self
    }

    /// The server's name for the request, where an answer told it.
    pub(crate) fn request_id(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.request_id.as_deref(),
            Self::Cancelled | Self::UsedUp | Self::Run(_) => None,
        }
    }

    /// What kind of thing went wrong, where something did.
    pub(crate) fn kind(&self) -> Option<FailureKind> {
        match self {
            Self::Refused(refusal) => Some(refusal.kind),
            Self::Run(error) => Some(error.kind()),
            Self::Cancelled | Self::UsedUp => None,
        }
    }

    fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Refused(refusal) => Some(refusal.verdict),
            Self::Cancelled | Self::UsedUp | Self::Run(_) => None,
        }
    }

    /// Whether asking again may help.
    pub(super) fn is_transient(&self) -> bool {
        let again = [Verdict::Retry, Verdict::RetrySlowly, Verdict::Throttled];
        self.verdict()
            .is_some_and(|verdict| again.contains(&verdict))
    }

    /// Whether the server refused it for its quota.
    pub(super) fn is_throttled(&self) -> bool {
        self.verdict() == Some(Verdict::Throttled)
    }

    /// Whether the service needs a long while.
    pub(super) fn is_slow(&self) -> bool {
        self.verdict() == Some(Verdict::RetrySlowly)
    }

    /// Whether another token may help.
    pub(super) fn is_about_the_token(&self) -> bool {
        self.verdict() == Some(Verdict::Renew)
    }

    /// Whether the server refuses the credentials or the site, by its own word: it may mean this one
    /// request all the same.
    pub(super) fn is_about_the_run(&self) -> bool {
        matches!(self.verdict(), Some(Verdict::Renew | Verdict::Run))
    }

    /// Whether no answer came, or none that can be used: all requests may end so for a while.
    pub(super) fn is_outage(&self) -> bool {
        let is_of_a_service_away = [Verdict::Retry, Verdict::RetrySlowly];
        self.verdict()
            .is_some_and(|verdict| is_of_a_service_away.contains(&verdict))
    }

    /// Whether a refusal is none of the service or its gateway, whose errors have codes: a portal, a
    /// proxy or another site answers all requests so.
    pub(super) fn is_of_another_server(&self) -> bool {
        let is_elsewhere = matches!(self, Self::Refused(refusal) if refusal.is_elsewhere);
        is_elsewhere && self.is_refusal_of_one()
    }

    /// Notes whether the answer was none of the service.
    pub(super) fn with_origin(mut self, is_elsewhere: bool) -> Self {
        if let Self::Refused(refusal) = &mut self {
            refusal.is_elsewhere = is_elsewhere;
        }
        self
    }

    /// The failure where it may be that of all requests, so that asking again may help.
    pub(super) fn in_passing(mut self) -> Self {
        if let Self::Refused(refusal) = &mut self {
            refusal.verdict = Verdict::Retry;
        }
        self
    }

    /// Whether the server refuses this one request and no other.
    pub(super) fn is_refusal_of_one(&self) -> bool {
        self.verdict() == Some(Verdict::Meeting)
    }

    /// Whether the server may refuse the meeting rather than the token.
    pub(super) fn may_mean_the_meeting(&self) -> bool {
        matches!(self, Self::Refused(Refusal { code: Some(code), .. }) if code.ends_with(MEETING_REFUSED))
    }

    /// Whether the server refuses it for lack of a permission.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused(refusal) if is_forbidden(refusal.status, refusal.code.as_deref()))
    }

    /// Whether the service says that there is no such meeting.
    pub(crate) fn is_no_meeting(&self) -> bool {
        matches!(self, Self::Refused(Refusal { code: Some(code), .. }) if is_no_meeting(code))
    }

    /// The failure where no other token can be had: the end of the run, unless the server may
    /// mean the meeting.
    pub(super) fn without_renewal(self, asking: Asking) -> Self {
        if !self.is_about_the_run() {
            self
        } else if self.may_mean_the_meeting() {
            self.of_this_one()
        } else {
            self.into_end_of_run(asking)
        }
    }

    /// The failure where others succeed with the same token: this one request is refused.
    pub(super) fn of_this_one(mut self) -> Self {
        if let Self::Refused(refusal) = &mut self {
            refusal.verdict = Verdict::Meeting;
            refusal.kind = refusal.status.map_or(FailureKind::Api, kind_of);
            refusal.cause += ", though the token is not refused elsewhere";
        }
        self
    }

    /// The failure where it concerns every request.
    pub(super) fn into_end_of_run(self, asking: Asking) -> Self {
        if !matches!(self, Self::Refused(_)) {
            return self;
        }
        let reason = self.end_of_run(asking);
        Self::Run(Error::Credentials { reason })
    }

    /// Why nothing can be had, and what to do about it.
    pub(super) fn end_of_run(&self, asking: Asking) -> String {
        let hint = match self {
            Self::Refused(refusal) => asking.hint(refusal.status, refusal.code.as_deref()),
            Self::Cancelled | Self::UsedUp | Self::Run(_) => String::new(),
        };
        format!("the credentials were refused: {self}; {hint}")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("the run was stopped"),
            Self::UsedUp => f.write_str("the requests set aside for this run are used up"),
            Self::Run(error) => error.fmt(f),
            Self::Refused(Refusal {
                cause,
                request_id: Some(id),
                ..
            }) => {
                write!(f, "{cause} (request id {id})")
            }
            Self::Refused(Refusal { cause, .. }) => f.write_str(cause),
        }
    }
}

/// Kind of failure of an answer with this status.
const fn kind_of(status: u16) -> FailureKind {
    match status {
        300..=399 => FailureKind::Http3xx,
        400..=499 => FailureKind::Http4xx,
        500.. => FailureKind::Http5xx,
        _ => FailureKind::Api,
    }
}

/// The server's text as it may stand in a log: not too long, no control characters.
fn shown(text: &str, longest: usize) -> String {
    let mut shown = String::new();
    for c in text.chars().take(longest) {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::auth::Kind;

    #[test]
    fn what_the_server_says_is_shown_without_control_characters_or_the_search_key() {
        let error = ErrorBody {
            code: Some("MMC.1".into()),
            message: Some("no\u{1b}[31m record of +861390000\n".into()),
            request_id: None,
        };
        let failure = Failure::refused(Verdict::Meeting, 400, &error, Some("+861390000"))
            .with_request_id(Some("a\u{7}".repeat(100)));
        let text = failure.to_string();
        assert!(
            text.starts_with(r"HTTP 400 MMC.1 no\u{1b}[31m record of …\n (request id a\u{7}a"),
            "{text}"
        );
        assert!(text.len() < 300 && !text.contains("861390000"), "{text}");
    }

    #[test]
    fn a_refused_token_ends_the_run_unless_the_meeting_may_be_meant() {
        let asking = Asking {
            kind: Kind::App,
            is_login: false,
            seconds_behind: None,
        };
        let refused = |code: &str| {
            let error = ErrorBody {
                code: Some(code.into()),
                ..ErrorBody::default()
            };
            Failure::refused(Verdict::Renew, 401, &error, None).without_renewal(asking)
        };
        assert!(matches!(
            refused("USG.206020000"),
            Failure::Run(Error::Credentials { .. })
        ));
        assert_eq!(refused("MMC.111070004").verdict(), Some(Verdict::Meeting));
        let other = Failure::meeting(FailureKind::Decode, "gone".into()).without_renewal(asking);
        assert_eq!(other.verdict(), Some(Verdict::Meeting));
    }
}
