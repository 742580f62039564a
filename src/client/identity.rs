//! What the server says of the credentials: whose they are, and whether the history list is open
//! to them.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::listed::{Listing, NO_MEETING};
use super::session::{Granted, Token};
use super::{Client, Failure, endpoint};
use crate::auth::{Description, VALIDATE_PATH};
use crate::retry::ErrorBody;
use crate::zone::Span;

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
            outcome => return outcome,
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

    async fn try_validate(&self, token: &Token) -> Result<Identified, Failure> {
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
            self.clock.hear(&answer.headers);
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
            self.clock.hear(&answer.headers);
            return Ok(head.count);
        }
        let code = ErrorBody::parse(&answer.body).code;
        if code.is_some_and(|code| code.ends_with(NO_MEETING)) {
            return Ok(0);
        }
        Err(self.judge(&answer).without_renewal(self.asking()))
    }
}
