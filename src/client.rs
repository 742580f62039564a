//! Requests to the API: the only user of the HTTP library.
//!
//! One attempt is: a slot, a token, a permit of the throttle, the request, a judged answer.
//! Attempts that may succeed later are repeated; while one waits to be repeated it holds no
//! slot. Redirects are never followed, since the token would travel; addresses are taken out of
//! errors, since a query may hold a phone number.

mod failure;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use backon::{ExponentialBuilder, Retryable};
use chrono::Utc;
use reqwest::header::{
    ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
};
use secrecy::ExposeSecret;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

pub(crate) use self::failure::Failure;
use crate::auth::{self, Credentials, Grant, LOGIN_PATH};
use crate::config::Config;
use crate::decode::{DecodeError, Page};
use crate::error::{Error, Result};
use crate::event::{Event, Observer};
use crate::retry::{ErrorBody, Patience, Verdict, retry_after};
use crate::throttle::Throttle;
use crate::uuid::ConfUuid;

const RECORDS_PATH: &str = "/v1/mmc/management/conferences/history/confAttendeeRecord";

/// Longest error body that is read.
const ERROR_BODY: u64 = 64 * 1024;

/// Requests, shared by everything that one run asks.
pub(crate) struct Client {
    http: reqwest::Client,
    records: Url,
    login: Url,
    language: HeaderValue,
    search_key: Option<String>,
    max_body: u64,
    credentials: Credentials,
    /// The token at hand. Held while a login is under way, so that there is only one.
    token: Mutex<Option<Token>>,
    throttle: Arc<Throttle>,
    patience: Patience,
    slots: Semaphore,
    observer: Observer,
    cancel: CancellationToken,
    tally: Tally,
}

/// Attempts by fate.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) throttled: AtomicU64,
}

#[derive(Clone)]
struct Token {
    header: HeaderValue,
    generation: u64,
    renew_at: Option<Instant>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("records", &self.records.as_str())
            .finish_non_exhaustive()
    }
}

impl Client {
    pub(crate) fn new(
        config: &Config,
        credentials: Credentials,
        throttle: Arc<Throttle>,
        observer: Observer,
        cancel: CancellationToken,
    ) -> Result<Self> {
        let concurrency = config.concurrency.get() as usize;
        let is_local = config.base_url.scheme() == "http";
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("rollbook/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            // Each attempt is counted and throttled; none may be repeated behind our back.
            .retry(reqwest::retry::never())
            .referer(false)
            .timeout(config.timeout)
            .connect_timeout(config.timeout)
            .pool_max_idle_per_host(concurrency)
            .tcp_nodelay(true)
            // Unpacking costs more than it saves on a link within one machine.
            .gzip(!is_local);
        if is_local {
            http = http.no_proxy();
        }
        if let Some(path) = &config.ca_file {
            let pem = std::fs::read(path).map_err(Error::file("read", path))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| Error::Config(format!("ca_file {}: {error}", path.display())))?;
            if certificates.is_empty() {
                let reason = format!("ca_file {}: it holds no certificate", path.display());
                return Err(Error::Config(reason));
            }
            http = http.tls_certs_merge(certificates);
        }
        let http = http
            .build()
            .map_err(|error| Error::Config(format!("cannot set up requests: {error}")))?;
        let endpoint = |path: &str| {
            let mut url = config.base_url.clone();
            url.set_path(&format!(
                "{}{path}",
                config.base_url.path().trim_end_matches('/')
            ));
            url
        };
        Ok(Self {
            http,
            records: endpoint(RECORDS_PATH),
            login: endpoint(LOGIN_PATH),
            language: HeaderValue::from_static(config.language.as_str()),
            search_key: config.search_key.clone(),
            max_body: config.max_body.as_u64(),
            credentials,
            token: Mutex::new(None),
            throttle,
            patience: Patience {
                retries: config.retries,
                ..Patience::default()
            },
            slots: Semaphore::new(concurrency),
            observer,
            cancel,
            tally: Tally::default(),
        })
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Asks for one page until it comes or there is no point in asking again; counts the
    /// attempts in `sent`.
    pub(crate) async fn page(
        &self,
        meeting: &ConfUuid,
        offset: u64,
        limit: u64,
        sent: &AtomicU64,
    ) -> Result<Page, Failure> {
        let patience = &self.patience;
        let backoff = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(patience.first_delay)
            .with_max_delay(patience.longest_delay)
            .with_max_times(patience.retries as usize);
        let cancel = self.cancel.clone();
        (|| self.attempt(meeting, offset, limit, sent))
            .retry(backoff)
            .sleep(move |delay| {
                let cancel = cancel.clone();
                async move {
                    tokio::select! {
                        () = cancel.cancelled() => {}
                        () = tokio::time::sleep(delay) => {}
                    }
                }
            })
            .when(|failure| failure.is_transient() && !self.cancel.is_cancelled())
            .adjust(|failure, delay| {
                delay.map(|delay| {
                    if failure.is_slow() {
                        patience.longest_delay
                    } else {
                        delay
                    }
                })
            })
            .notify(|failure, delay| {
                self.tally.retried.fetch_add(1, Ordering::Relaxed);
                (self.observer)(Event::Retrying {
                    meeting: meeting.clone(),
                    offset,
                    delay,
                    cause: failure.to_string(),
                });
            })
            .await
    }

    async fn attempt(
        &self,
        meeting: &ConfUuid,
        offset: u64,
        limit: u64,
        sent: &AtomicU64,
    ) -> Result<Page, Failure> {
        let _slot = self.unless_cancelled(self.slots.acquire()).await?;
        let token = self.unless_cancelled(self.token(None)).await??;
        let refused = match self.send(meeting, offset, limit, &token, sent).await {
            Err(failure) if failure.is_about_the_token() => failure,
            outcome => return outcome,
        };
        // Somebody else may have renewed it in the meantime; then this is not even a login.
        let Credentials::App(_) = &self.credentials else {
            return Err(refused.into_final());
        };
        let token = self
            .unless_cancelled(self.token(Some(token.generation)))
            .await??;
        self.send(meeting, offset, limit, &token, sent)
            .await
            .map_err(Failure::into_final)
    }

    /// Sends one request and judges its answer.
    async fn send(
        &self,
        meeting: &ConfUuid,
        offset: u64,
        limit: u64,
        token: &Token,
        sent: &AtomicU64,
    ) -> Result<Page, Failure> {
        self.unless_cancelled(self.throttle.permit()).await?;
        self.tally.sent.fetch_add(1, Ordering::Relaxed);
        sent.fetch_add(1, Ordering::Relaxed);
        let mut request = self
            .http
            .get(self.records.clone())
            .query(&[("confUUID", meeting.as_str())])
            .query(&[("offset", offset), ("limit", limit)])
            .header("X-Access-Token", token.header.clone())
            .header(ACCEPT_LANGUAGE, self.language.clone());
        if let Some(key) = &self.search_key {
            request = request.query(&[("searchKey", key)]);
        }
        let (status, headers, body) = self.receive(request).await?;
        if !(200..300).contains(&status) {
            return Err(self.judge(status, &headers, &body));
        }
        Page::decode(&body, meeting, offset).map_err(|error| match error {
            DecodeError::NotAPage(_) if ErrorBody::parse(&body).code.is_some() => {
                self.judge(status, &headers, &body)
            }
            DecodeError::NotAPage(_) => {
                Failure::transient(error.to_string()).with_request_id(request_id(&headers))
            }
            DecodeError::Record { .. } => {
                Failure::meeting(error.to_string()).with_request_id(request_id(&headers))
            }
        })
    }

    /// Sends a request and reads its answer whole, up to the cap.
    async fn receive(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<(u16, HeaderMap, Vec<u8>), Failure> {
        let mut response = request.send().await.map_err(Failure::transport)?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let is_page = response.status().is_success();
        let cap = if is_page {
            self.max_body
        } else {
            self.max_body.min(ERROR_BODY)
        };
        let announced = response.content_length().unwrap_or(0).min(cap);
        let mut body = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
        while let Some(chunk) = response.chunk().await.map_err(Failure::transport)? {
            if body.len() as u64 + chunk.len() as u64 > cap {
                if is_page {
                    let cause = format!("the answer is larger than {}", bytesize::ByteSize(cap));
                    return Err(Failure::meeting(cause).with_request_id(request_id(&headers)));
                }
                break;
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, headers, body))
    }

    /// What an answer that is no page means; a refusal for the quota silences everybody.
    fn judge(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Failure {
        let error = ErrorBody::parse(body);
        let verdict = Verdict::of(status, error.code.as_deref());
        let request_id = request_id(headers).or_else(|| error.request_id.clone());
        let failure = Failure::refused(verdict, status, &error).with_request_id(request_id);
        match verdict {
            Verdict::Throttled => {}
            Verdict::Run => return failure.into_final(),
            _ => return failure,
        }
        self.tally.throttled.fetch_add(1, Ordering::Relaxed);
        let asked = headers
            .get(RETRY_AFTER)
            .and_then(|header| header.to_str().ok())
            .and_then(|header| retry_after(header, SystemTime::now()));
        let quota = error.quota();
        let window = quota.and_then(crate::rate::Rate::window);
        let delay = asked.or(window).unwrap_or(self.patience.first_delay * 8);
        if delay > self.patience.longest_pause {
            return Failure::Run(Error::Quota { wait: delay });
        }
        if let Some(rate) = quota {
            self.throttle.learn(rate);
        }
        self.throttle.pause(delay, &failure.to_string());
        failure
    }

    /// The token to ask with: the one at hand, unless it is `refused` or about to end.
    async fn token(&self, refused: Option<u64>) -> Result<Token, Failure> {
        let mut slot = self.token.lock().await;
        let now = Instant::now();
        if let Some(token) = slot.as_ref()
            && refused != Some(token.generation)
            && token.renew_at.is_none_or(|renew_at| now < renew_at)
        {
            return Ok(token.clone());
        }
        let generation = slot.as_ref().map_or(0, |token| token.generation + 1);
        let token = match &self.credentials {
            Credentials::Token(secret) => Token {
                header: sensitive(secret.expose_secret())?,
                generation,
                renew_at: None,
            },
            Credentials::App(app) => {
                let grant = self.log_in(app).await?;
                (self.observer)(Event::LoggedIn { life: grant.life() });
                Token {
                    header: sensitive(grant.token().expose_secret())?,
                    generation,
                    renew_at: grant.renew_after().map(|after| now + after),
                }
            }
        };
        *slot = Some(token.clone());
        Ok(token)
    }

    async fn log_in(&self, app: &auth::App) -> Result<Grant, Failure> {
        let nonce: String = std::iter::repeat_with(fastrand::alphanumeric)
            .take(40)
            .collect();
        let login = app.login(Utc::now().timestamp(), &nonce).map_err(|error| {
            Failure::Run(Error::Config(format!("cannot write the login: {error}")))
        })?;
        let request = self
            .http
            .post(self.login.clone())
            .header(AUTHORIZATION, sensitive(&login.authorization)?)
            .header("X-Token-Type", "LongTicket")
            .header(CONTENT_TYPE, "application/json; charset=UTF-8")
            .body(login.body);
        let (status, headers, body) = self.receive(request).await?;
        if (200..300).contains(&status)
            && let Some(grant) = Grant::parse(&body)
        {
            return Ok(grant);
        }
        Err(match self.judge(status, &headers, &body) {
            // What a request may try again, a login may not: it would lock the account.
            failure if failure.is_about_the_token() || failure.is_about_the_meeting() => {
                failure.into_final()
            }
            failure => failure,
        })
    }

    async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Failure::Cancelled),
            done = work => Ok(done),
        }
    }
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("X-Request-Id")?.to_str().ok()?;
    Some(id.chars().take(64).collect())
}

/// A header value that no log shows.
fn sensitive(secret: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(secret.trim()).map_err(|_| {
        // The cause would quote nothing, but neither would it help.
        Failure::Run(Error::Credentials {
            reason: "the access token holds characters that no header can carry".to_owned(),
        })
    })?;
    value.set_sensitive(true);
    Ok(value)
}
