//! Requests to the API: the only user of the HTTP library.
//!
//! One attempt is: a slot, a permit of the throttle, a token, the request, a judged answer.
//! Attempts that may succeed later are repeated; while one waits to be repeated it holds no
//! slot. Redirects are never followed, since the token would travel; addresses are taken out of
//! errors, since a query may hold a phone number.

mod allowance;
mod clock;
mod failure;
mod identity;
mod listed;
mod patience;
mod records;
mod session;
mod spooled;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as BlockingMutex};

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use self::allowance::Allowance;
use self::clock::ServerClock;
pub(crate) use self::failure::Failure;
use self::failure::LONGEST_ID;
pub(crate) use self::identity::Identified;
pub(crate) use self::listed::Listing;
use self::patience::Naps;
use self::records::Records;
use self::session::{Access, Token};
use crate::auth::{Asking, Credentials};
use crate::config::{Config, SearchKey};
use crate::decode::DecodeError;
use crate::error::{Error, Result};
use crate::event::{Event, Observer};
use crate::pii::Pii;
use crate::rate::Rate;
use crate::report::FailureKind;
use crate::retry::{ErrorBody, Patience, Verdict, retry_after};
use crate::spool::{Fetched, Spool};
use crate::throttle::Throttle;
use crate::uuid::ConfUuid;

const RECORDS_PATH: &str = "/v1/mmc/management/conferences/history/confAttendeeRecord";

const HISTORY_PATH: &str = "/v1/mmc/management/conferences/history";

/// Longest error body that is read.
const ERROR_BODY: u64 = 64 * 1024;

/// Requests, shared by everything that one run asks.
pub(crate) struct Client {
    http: reqwest::Client,
    site: Url,
    records: Url,
    history: Url,
    language: HeaderValue,
    search_key: Option<SearchKey>,
    /// What becomes of personal columns, before anybody else sees a page.
    pii: Option<Pii>,
    max_body: u64,
    credentials: Credentials,
    /// The token at hand. Held while a login is under way, so that there is only one.
    access: Mutex<Access>,
    retired: BlockingMutex<Vec<Token>>,
    /// The request of the login that is under way. Whoever waits for it may be dropped; it is not.
    logins: Mutex<JoinSet<Result<Answer, Failure>>>,
    /// The generation of the latest token that brought a page.
    accepted: AtomicU64,
    throttle: Arc<Throttle>,
    patience: Patience,
    slots: Semaphore,
    allowance: Allowance,
    /// Gone once it cannot be used any more.
    spool: BlockingMutex<Option<Arc<Spool>>>,
    observer: Observer,
    cancel: CancellationToken,
    tally: Tally,
    naps: Naps,
    clock: ServerClock,
}

/// One page, and where the attempts to get it are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) meeting: &'a ConfUuid,
    pub(crate) walk: u32,
    pub(crate) offset: u64,
    pub(crate) limit: u64,
    pub(crate) sent: &'a AtomicU64,
}

/// Attempts by fate.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: AtomicU64,
    /// Those for the history list, which are not among `sent`.
    pub(crate) listed: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) throttled: AtomicU64,
    /// Pages that needed none, since a run that was cut off had asked for them.
    pub(crate) spooled: AtomicU64,
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
        pii: Option<Pii>,
        spool: Option<Arc<Spool>>,
        observer: Observer,
        cancel: CancellationToken,
    ) -> Result<Self> {
        let concurrency = config.concurrency.get() as usize;
        let is_local = config.is_local();
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("rollbook/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            // Each attempt is counted and throttled; none may be repeated behind our back.
            .retry(reqwest::retry::never())
            .referer(false)
            // By HTTP/2 all requests would share one connection: measured, it is no faster, a lost
            // packet holds all of them up, and a broken connection breaks all of them.
            .http1_only()
            .timeout(config.timeout)
            .connect_timeout(config.timeout)
            .pool_max_idle_per_host(concurrency)
            .tcp_nodelay(true)
            // Unpacking costs more than it saves on a bare link within one machine.
            .gzip(!is_local || config.base_url.scheme() == "https");
        // Of a tunnel a proxy learns no more than the site's name; of anything else, the token.
        if is_local || config.base_url.scheme() != "https" {
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
        Ok(Self {
            http,
            records: endpoint(&config.base_url, RECORDS_PATH),
            history: endpoint(&config.base_url, HISTORY_PATH),
            site: config.base_url.clone(),
            language: HeaderValue::from_static(config.language.as_str()),
            search_key: config.search_key.clone(),
            pii,
            max_body: config.max_body.as_u64(),
            credentials,
            access: Mutex::default(),
            retired: BlockingMutex::default(),
            logins: Mutex::default(),
            accepted: AtomicU64::new(0),
            throttle,
            patience: Patience {
                retries: config.retries,
                first_delay: config.retry_delay,
                ..Patience::default()
            },
            slots: Semaphore::new(concurrency),
            allowance: Allowance::new(config.max_requests),
            spool: BlockingMutex::new(spool),
            observer,
            cancel,
            tally: Tally::default(),
            naps: Naps::default(),
            clock: ServerClock::default(),
        })
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What paces the requests.
    pub(crate) fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    /// Who waits to try again, without a slot.
    pub(crate) fn naps(&self) -> &Naps {
        &self.naps
    }

    /// Whether the requests set aside for this run are used up.
    pub(crate) fn is_used_up(&self) -> bool {
        self.allowance.is_used_up()
    }

    /// Asks for one page until it comes or there is no point in asking again.
    pub(crate) async fn page(&self, wanted: Wanted<'_>) -> Result<Fetched, Failure> {
        if let Some(fetched) = self.spooled(wanted).await {
            return Ok(fetched);
        }
        self.patiently(
            || self.attempt(wanted),
            |failure, delay| {
                (self.observer)(Event::Retrying {
                    meeting: wanted.meeting.clone(),
                    offset: wanted.offset,
                    delay: delay.max(self.throttle.silence()),
                    is_throttled: failure.is_throttled(),
                    cause: failure.to_string(),
                });
            },
        )
        .await
    }

    async fn attempt(&self, wanted: Wanted<'_>) -> Result<Fetched, Failure> {
        let _slot = self.unless_stopped(self.slots.acquire()).await?;
        let client = self;
        let fetched = self.granted(&Records { client, wanted }).await?;
        Ok(self.spool_page(wanted, fetched).await)
    }

    /// Sends a request, and a second one where the token is refused.
    async fn granted<Q: Question>(&self, question: &Q) -> Result<Q::Answer, Failure> {
        let (token, outcome) = self.send(question, None).await?;
        let refused = match outcome {
            Err(failure) if failure.is_about_the_token() => failure,
            outcome => return outcome,
        };
        if !self.may_renew(&token, &refused) {
            return Err(refused.without_renewal(self.asking()));
        }
        if self.is_used_up() {
            return Err(Failure::UsedUp);
        }
        self.tally.retried.fetch_add(1, Ordering::Relaxed);
        let (_, outcome) = self.send(question, Some(token.generation)).await?;
        outcome.map_err(|failure| failure.without_renewal(self.asking()))
    }

    /// Sends one request, with another token than the `refused` one, and judges its answer.
    async fn send<Q: Question>(
        &self,
        question: &Q,
        refused: Option<u64>,
    ) -> Result<(Token, Result<Q::Answer, Failure>), Failure> {
        self.unless_stopped(self.throttle.permit()).await?;
        // After the permit, which may have taken longer than a token lives.
        let token = self.token(refused).await?;
        if self.cancel.is_cancelled() {
            return Err(Failure::Cancelled);
        }
        if !self.allowance.take() {
            return Err(Failure::UsedUp);
        }
        question.count();
        let request = question
            .request()
            .header("X-Access-Token", token.header.clone());
        let (received, ()) = tokio::join!(self.receive(request), self.log_out_unused());
        let outcome = match received {
            Ok(answer) => question.read(&answer),
            Err(failure) => Err(failure),
        };
        if outcome.is_ok() {
            self.accepted.fetch_max(token.generation, Ordering::Relaxed);
        }
        Ok((token, outcome))
    }

    /// What an answer that is no page of records or of the history list means.
    fn judge_page(&self, answer: &Answer, error: &DecodeError) -> Failure {
        let cause = || error.to_string();
        let failure = match error {
            DecodeError::NotAPage(_) if ErrorBody::parse(&answer.body).code.is_some() => {
                return self.judge(answer);
            }
            DecodeError::NotAPage(_) => Failure::transient(FailureKind::Decode, cause()),
            DecodeError::Record { .. } => Failure::meeting(FailureKind::Decode, cause()),
        };
        failure.with_request_id(answer.request_id())
    }

    /// Sends a request and reads its answer whole, up to the cap.
    async fn receive(&self, request: reqwest::RequestBuilder) -> Result<Answer, Failure> {
        Self::receive_up_to(self.max_body, request).await
    }

    async fn receive_up_to(
        max_body: u64,
        request: reqwest::RequestBuilder,
    ) -> Result<Answer, Failure> {
        let mut response = request.send().await.map_err(Failure::transport)?;
        let mut answer = Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: vec![],
        };
        let cap = if answer.is_success() {
            max_body
        } else {
            max_body.min(ERROR_BODY)
        };
        let announced = response.content_length().unwrap_or(0).min(cap);
        answer
            .body
            .reserve_exact(usize::try_from(announced).unwrap_or(0));
        loop {
            let chunk = response.chunk().await.map_err(|error| {
                // Cut off, but its head had come.
                Failure::transport(error).with_request_id(answer.request_id())
            })?;
            let Some(chunk) = chunk else {
                break;
            };
            if answer.body.len() as u64 + chunk.len() as u64 > cap {
                if answer.is_success() {
                    let cause = format!("the answer is larger than {}", bytesize::ByteSize(cap));
                    return Err(Failure::meeting(FailureKind::TooLarge, cause)
                        .with_request_id(answer.request_id()));
                }
                break;
            }
            answer.body.extend_from_slice(&chunk);
        }
        Ok(answer)
    }

    /// What an answer that is no page means; a refusal for the quota silences everybody.
    fn judge(&self, answer: &Answer) -> Failure {
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
    fn asking(&self) -> Asking {
        Asking {
            kind: self.credentials.kind(),
            is_login: false,
            seconds_behind: self.clock.seconds_behind(),
        }
    }

    /// Waits for the turn of a request, which may never come.
    async fn unless_stopped<T>(&self, turn: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Failure::Cancelled),
            () = self.allowance.used_up().cancelled() => Err(Failure::UsedUp),
            done = turn => Ok(done),
        }
    }

    async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Failure::Cancelled),
            done = work => Ok(done),
        }
    }
}

/// The address of one of the API's endpoints.
fn endpoint(site: &Url, path: &str) -> Url {
    let mut url = site.clone();
    url.set_path(&format!("{}{path}", site.path().trim_end_matches('/')));
    url
}

/// What is asked with a token, and how its answer is read.
trait Question {
    type Answer;

    /// The request, but for the token.
    fn request(&self) -> reqwest::RequestBuilder;

    /// Counts an attempt.
    fn count(&self);

    /// Reads and judges an answer.
    fn read(&self, answer: &Answer) -> Result<Self::Answer, Failure>;
}

/// An answer, read whole.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn request_id(&self) -> Option<String> {
        let id = self.headers.get("X-Request-Id")?.to_str().ok()?;
        Some(id.chars().take(LONGEST_ID).collect())
    }
}
