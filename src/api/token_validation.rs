//! What the server says of the credentials: whose they are, and whether the history list is open
//! to them.

use std::sync::atomic::Ordering;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::auth::{Description, VALIDATE_PATH};
use super::client::{Client, endpoint};
use super::error_code::ErrorBody;
use super::failure::Failure;
use super::history_request::{Listing, NO_MEETING};
use super::session::{Granted, Token};
use crate::error::Error;
use crate::report::Event;
use crate::values::Span;

/// Attempts to have a token looked at before a list.
const VALIDATIONS: u32 = 3;

/// Reason for the refusal of `query_all`, and the next step.
pub(crate) const ALONE: &str = "the list of all meetings would have this user's alone; log in as an \
    administrator, or leave query_all out";

/// Whose the token is.
#[derive(Debug)]
pub(crate) struct Identified {
    pub(crate) granted: Granted,
    /// Why the server does not tell, where it does not.
    pub(crate) doubt: Option<String>,
}

impl Client {
    /// Gets a token, and has the server say whose it is.
    pub(crate) async fn identify(&self) -> Result<Identified, Failure> {
        let token = self.token(None).await?;
        if let Some(granted) = token.granted() {
            return Ok(Identified {
                granted: granted.clone(),
                doubt: None,
            });
        }
        let refused = match self.validate(&token).await {
            Err(failure) if failure.is_about_the_token() => failure,
            outcome => return outcome.map_err(|it| it.without_renewal(self.asking())),
        };
        if !self.may_renew(&token, &refused) {
            return Err(refused.without_renewal(self.asking()));
        }
        let token = self.token(Some(token.generation)).await?;
        let outcome = self.validate(&token).await;
        outcome.map_err(|failure| failure.without_renewal(self.asking()))
    }

    async fn validate(&self, token: &Token) -> Result<Identified, Failure> {
        let outcome = self.patiently(|| self.try_validate(token), |_, _| {}).await;
        match outcome {
            // A site that answers otherwise may well accept the token.
            Err(failure) if failure.is_refusal_of_one() => Ok(Identified {
                granted: Granted::default(),
                doubt: Some(failure.to_string()),
            }),
            outcome => outcome,
        }
    }

    pub(super) async fn try_validate(&self, token: &Token) -> Result<Identified, Failure> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            token: &'a str,
            need_gen_new_token: bool,
            need_account_info: bool,
        }
        let body = serde_json::to_vec(&Body {
            token: token.header.to_str().unwrap_or_default(),
            need_gen_new_token: false,
            need_account_info: true,
        });
        let request = self
            .http
            .post(endpoint(&self.site, VALIDATE_PATH))
            .header("Content-Type", "application/json; charset=UTF-8")
            .body(body.unwrap_or_default());
        let answer = self.unless_cancelled(self.receive(request)).await??;
        let error = ErrorBody::parse(&answer.body);
        if answer.is_success()
            && error.code.is_none()
            && let Some(description) = Description::parse(&answer.body)
        {
            self.hear(&answer);
            return Ok(Identified {
                granted: Granted {
                    user: description.user(),
                    life: description.life(self.clock.latest().into()),
                },
                doubt: None,
            });
        }
        Err(self.judge(&answer))
    }

    /// Makes sure that the list of all users' meetings is open to this user, as far as the server
    /// tells: to who is no administrator it may give that user's meetings alone, without a word.
    pub(crate) async fn may_query_all(&self) -> Result<(), Failure> {
        if !self.is_open_to_all.load(Ordering::Relaxed) {
            self.check_query_all().await?;
            self.is_open_to_all.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn check_query_all(&self) -> Result<(), Failure> {
        let token = self.token(None).await?;
        let mut is_refused = false;
        let (admin_type, doubt) = match token.granted() {
            Some(granted) => (granted.user.admin_type, None),
            None => match self.validate_soon(&token).await {
                Ok(identified) => (identified.granted.user.admin_type, identified.doubt),
                Err(stop @ (Failure::Cancelled | Failure::UsedUp)) => return Err(stop),
                Err(failure) => {
                    is_refused = failure.is_about_the_token();
                    (None, Some(failure.to_string()))
                }
            },
        };
        match admin_type {
            Some(0 | 1) => Ok(()),
            Some(_) => Err(Failure::Run(Error::Credentials {
                reason: format!(
                    "query_all is refused: this user is not an administrator, and {ALONE}"
                ),
            })),
            // Whether the token is good for the list, the list tells.
            None if is_refused => Ok(()),
            None => {
                let cause = doubt.unwrap_or_else(|| "it names no adminType".to_owned());
                (self.observer)(Event::AdministratorUnknown { cause });
                Ok(())
            }
        }
    }

    /// Has a token looked at; a site that does not do so holds nobody up for long.
    async fn validate_soon(&self, token: &Token) -> Result<Identified, Failure> {
        let mut outcome = self.try_validate(token).await;
        for _ in 1..VALIDATIONS {
            if !outcome.as_ref().is_err_and(Failure::is_transient) {
                break;
            }
            if !self.sleep(self.patience.first_delay).await {
                return Err(Failure::Cancelled);
            }
            outcome = self.try_validate(token).await;
        }
        outcome
    }

    /// How many meetings of the last day the history list has: of the user, or of everybody.
    pub(crate) async fn history_count(&self, of_everybody: bool) -> Result<u64, Failure> {
        self.patiently(|| self.try_history_count(of_everybody), |_, _| {})
            .await
    }

    async fn try_history_count(&self, of_everybody: bool) -> Result<u64, Failure> {
        #[derive(Deserialize)]
        struct Head {
            count: u64,
        }
        self.unless_cancelled(self.throttle.permit()).await?;
        let token = self.token(None).await?;
        let until = self.clock.now();
        let listing = Listing {
            span: Span {
                since: until - TimeDelta::days(1),
                until,
            },
            query_all: of_everybody,
            offset: 0,
            limit: 1,
        };
        let request = listing
            .request(self)
            .header("X-Access-Token", token.header.clone());
        let answer = self.unless_cancelled(self.receive(request)).await??;
        if answer.is_success()
            && let Ok(head) = serde_json::from_slice::<Head>(&answer.body)
        {
            self.hear(&answer);
            return Ok(head.count);
        }
        let code = ErrorBody::parse(&answer.body).code;
        if code.is_some_and(|code| code.ends_with(NO_MEETING)) {
            return Ok(0);
        }
        Err(self.judge(&answer).without_renewal(self.asking()))
    }
}
