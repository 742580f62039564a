//! Requests to the API: the only user of the HTTP library.
//!
//! One attempt is: a slot, a permit of the throttle, a token, the request, a judged answer.
//! Attempts that may succeed later are repeated; while one waits to be repeated it holds no
//! slot. Redirects are never followed, since the token would travel; addresses are taken out of
//! errors, since a query may hold a phone number.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as BlockingMutex, OnceLock};
use std::time::Duration;

use reqwest::header::{CACHE_CONTROL, HeaderMap, HeaderValue};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::ahead::Ahead;
use super::auth::Credentials;
use super::error_code::Patience;
use super::failure::Failure;
use super::fetched_page::Fetched;
use super::known::Known;
use super::outage::{Outage, Subject};
use super::records_request::Records;
use super::request_budget::Allowance;
use super::response::Answer;
use super::retry::Naps;
use super::server_clock::ServerClock;
use super::session::{Access, Token};
use super::throttle::Throttle;
use super::trial::Trial;
use crate::config::{Config, proxy_rule};
use crate::error::{Error, Result};
use crate::record::decode::PageDecoder;
use crate::report::{Event, Observer};
use crate::values::{ConfUuid, SearchKey};

const RECORDS_PATH: &str = "/v1/mmc/management/conferences/history/confAttendeeRecord";

const HISTORY_PATH: &str = "/v1/mmc/management/conferences/history";

/// Requests, shared by everything that one run asks.
pub(crate) struct Client {
    pub(super) http: reqwest::Client,
    pub(super) site: Url,
    pub(super) records: Url,
    pub(super) history: Url,
    pub(super) language: HeaderValue,
    pub(super) search_key: Option<SearchKey>,
    /// What becomes of personal columns, before anybody else sees a page.
    pub(super) decoder: PageDecoder,
    pub(super) max_body: u64,
    pub(super) credentials: Credentials,
    /// The token at hand. Held while a login is under way, so that there is only one.
    pub(super) access: Mutex<Access>,
    pub(super) retired: BlockingMutex<Vec<Token>>,
    /// The request of the login that is under way. Whoever waits for it may be dropped; it is not.
    pub(super) logins: Mutex<JoinSet<Result<Answer, Failure>>>,
    /// The generation of the latest token that brought a page.
    pub(super) accepted: AtomicU64,
    pub(super) trial: Trial,
    pub(super) outage: Outage,
    /// The first meeting and the first day that were answered.
    pub(super) known_meeting: OnceLock<Known>,
    pub(super) known_day: OnceLock<Known>,
    pub(super) throttle: Arc<Throttle>,
    pub(super) patience: Patience,
    pub(super) slots: Semaphore,
    pub(super) allowance: Allowance,
    pub(super) observer: Observer,
    pub(super) cancel: CancellationToken,
    pub(super) tally: Tally,
    pub(super) naps: Naps,
    /// The list of all users' meetings was found to be open to this user.
    pub(super) is_open_to_all: AtomicBool,
    pub(super) clock: ServerClock,
    pub(super) ahead: Ahead,
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
        decoder: PageDecoder,
        observer: Observer,
        cancel: CancellationToken,
    ) -> Result<Self> {
        let concurrency = config.concurrency.get() as usize;
        let is_local = config.is_local();
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("rollbook/", env!("CARGO_PKG_VERSION")))
            // A cache on the way must not answer with what a list was a while ago.
            .default_headers(HeaderMap::from_iter([(
                CACHE_CONTROL,
                HeaderValue::from_static("no-cache"),
            )]))
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
        if !proxy_rule::may_pass_a_proxy(&config.base_url) {
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
            decoder,
            max_body: config.max_body.as_u64(),
            credentials,
            access: Mutex::default(),
            retired: BlockingMutex::default(),
            logins: Mutex::default(),
            accepted: AtomicU64::new(0),
            trial: Trial::default(),
            outage: Outage::default(),
            known_meeting: OnceLock::new(),
            known_day: OnceLock::new(),
            throttle,
            patience: Patience::of(config.retries, config.retry_delay),
            slots: Semaphore::new(concurrency),
            allowance: Allowance::new(config.max_requests),
            observer,
            cancel,
            tally: Tally::default(),
            naps: Naps::default(),
            is_open_to_all: AtomicBool::new(false),
            clock: ServerClock::default(),
            ahead: Ahead::default(),
        })
    }

    /// Replaces the clock that the requests go by.
    pub(crate) fn with_clock(mut self, clock: ServerClock) -> Self {
        self.clock = clock;
        self
    }

    /// Waits for no outage: a login is tried as often as a page, then the client gives up.
    pub(crate) fn without_outages(mut self) -> Self {
        self.patience.longest_outage = Duration::ZERO;
        self
    }

    /// The time that decides what is asked.
    pub(crate) const fn clock(&self) -> &ServerClock {
        &self.clock
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

    /// Asks for one page until an answer comes or another attempt is useless. Returns the page with its
    /// slot: the request counts as in flight until the slot is dropped.
    pub(crate) async fn page(
        &self,
        wanted: Wanted<'_>,
    ) -> Result<(Fetched, SemaphorePermit<'_>), Failure> {
        let client = self;
        let records = Records { client, wanted };
        self.patiently(
            || self.ask(&records),
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

    /// Sends one request, with another token than the `refused` one, and judges its answer.
    pub(super) async fn send<Q: Question>(
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

    /// Takes the server's time from an answer of the API.
    pub(super) fn hear(&self, answer: &Answer) {
        if let Some(warning) = self.clock.hear(&answer.headers) {
            (self.observer)(Event::Clock { warning });
        }
    }

    /// Sends a request and reads its answer whole, up to the cap.
    pub(super) async fn receive(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<Answer, Failure> {
        Answer::to(request, self.max_body).await
    }

    /// Waits for the turn of a request, which may never come.
    pub(super) async fn unless_stopped<T>(
        &self,
        turn: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Failure::Cancelled),
            () = self.allowance.used_up().cancelled() => Err(Failure::UsedUp),
            done = turn => Ok(done),
        }
    }

    pub(super) async fn unless_cancelled<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Failure::Cancelled),
            done = work => Ok(done),
        }
    }
}

/// The address of one of the API's endpoints.
pub(super) fn endpoint(site: &Url, path: &str) -> Url {
    let mut url = site.clone();
    url.set_path(&format!("{}{path}", site.path().trim_end_matches('/')));
    url
}

/// What is asked with a token, and how its answer is read.
pub(super) trait Question {
    type Answer;

    /// The request, but for the token.
    fn request(&self) -> reqwest::RequestBuilder;

    /// Counts an attempt.
    fn count(&self);

    /// Reads and judges an answer.
    fn read(&self, answer: &Answer) -> Result<Self::Answer, Failure>;

    /// Returns the meeting or the day that the question is for.
    fn subject(&self) -> Subject;

    /// Returns how a page contradicts what was asked for: none of its records can be used.
    fn contradiction(&self, answer: &Self::Answer) -> Option<String>;

    /// Remembers that it was answered.
    fn succeeded(&self);

    /// Returns a question that the same API answered before.
    fn known(&self) -> Option<&Known>;
}
