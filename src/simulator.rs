//! The API, embedded: a server that answers as Huawei Cloud Meeting does, for the demo, the tests
//! and the benches.
//!
//! Its meetings follow from a seed and are worked out as they are asked for. It keeps the API's
//! rules (tokens, quota, page limits) and breaks them on demand: each [`Fault`] says which
//! requests it befalls and what happens to them. It shares the record's vocabulary with the rest
//! of the crate and nothing else, so that an error in reading cannot hide behind the same error
//! in writing.
//!
//! ```
//! use rollbook::simulator::{Effect, Fault, Options, Simulator};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let simulator = Simulator::start(Options::sizes(&[1_100])).await?;
//! simulator.add_fault(Fault::new(Effect::Status(503)).offset(499).first(2));
//! let meeting = &simulator.meetings()[0];
//! assert_eq!(simulator.truth(meeting).len(), 1_100);
//! # simulator.shutdown().await;
//! # std::io::Result::Ok(())
//! # })?;
//! # std::io::Result::Ok(())
//! ```

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::record::Language;
use crate::values::ConfUuid;

mod active_faults;
pub(crate) mod auth;
mod body;
mod connection;
mod drift;
mod effect;
mod fault;
mod fault_match;
mod faulty_page;
mod history;
mod meetings;
mod options;
mod page;
mod quota;
mod record;
mod reply;
mod request;
mod request_log;
mod routes;
mod server;
mod tls;
mod unpoisoned_mutex;
mod word_lists;

pub use self::drift::Drift;
pub use self::effect::{
    Answer, ClampLimit, Drip, Echo, Effect, RecordEdit, Refusal, ServiceError, Throttled,
};
pub use self::fault::{Fault, InvalidFaults};
pub use self::fault_match::{Endpoint, Hits, Match, MeetingMatch, OffsetMatch, Pages};
pub use self::options::{
    ACCOUNT, APP_ID, APP_KEY, Credentials, MeetingSpec, Options, OverLimit, PASSWORD, PastEnd,
    Quota, TOKEN,
};
pub use self::record::Record;
pub use self::request_log::{Handshakes, Seen};

/// A running server; it stops when dropped.
pub struct Simulator {
    api: Arc<routes::Api>,
    address: SocketAddr,
    base_url: Url,
    authority: Option<String>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Simulator {
    /// Starts a server on the current runtime.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on, or no certificate can be made.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let mut address = listener.local_addr()?;
        let (tls, authority) = if options.tls {
            let (acceptor, authority) = tls::acceptor(address.ip(), options.http2)?;
            (Some(acceptor), Some(authority))
        } else {
            (None, None)
        };
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        let base_url = if options.tls {
            format!("https://localhost:{}", address.port())
        } else {
            format!("http://{address}")
        };
        let base_url = Url::parse(&base_url).map_err(io::Error::other)?;
        let api = Arc::new(routes::Api::new(options));
        let stop = CancellationToken::new();
        let served = server::run(listener, tls, Arc::clone(&api), stop.clone());
        Ok(Self {
            api,
            address,
            base_url,
            authority,
            stop,
            task: tokio::spawn(served),
        })
    }

    /// Where it answers.
    pub fn base_url(&self) -> Url {
        self.base_url.clone()
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of the authority that vouches for it, when it serves HTTPS.
    pub fn certificate_pem(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// Every meeting, in the order of the history list.
    pub fn meetings(&self) -> Vec<ConfUuid> {
        let meetings = self.api.world.meetings().iter();
        meetings.map(|meeting| meeting.uuid.clone()).collect()
    }

    /// The records that a meeting has now, in the API's order, with English labels; none for an
    /// unknown meeting. What faults make of a page does not show here, but drift does.
    pub fn truth(&self, meeting: &ConfUuid) -> Vec<Record> {
        self.truth_in(meeting, Language::EnUs)
    }

    /// As [`Simulator::truth`], with labels in this language.
    pub fn truth_in(&self, meeting: &ConfUuid, language: Language) -> Vec<Record> {
        let found = self.api.world.find(meeting.as_str());
        found.map_or_else(Vec::new, |(_, meeting)| meeting.records(language))
    }

    /// How many records a meeting has now.
    pub fn count(&self, meeting: &ConfUuid) -> u64 {
        let found = self.api.world.find(meeting.as_str());
        found.map_or(0, |(_, meeting)| meeting.count())
    }

    /// When a meeting began, in milliseconds since 1970.
    pub fn start_of(&self, meeting: &ConfUuid) -> Option<i64> {
        let (_, meeting) = self.api.world.find(meeting.as_str())?;
        Some(meeting.origin.start)
    }

    /// Changes a meeting's records from now on.
    pub fn drift(&self, meeting: &ConfUuid, drift: Drift) {
        if let Some((_, meeting)) = self.api.world.find(meeting.as_str()) {
            meeting.drift(drift);
        }
    }

    /// The history list has lost a meeting from now on; its records are there still.
    pub fn unlist(&self, meeting: &ConfUuid) {
        if let Some((_, meeting)) = self.api.world.find(meeting.as_str()) {
            meeting.is_unlisted.store(true, Ordering::Relaxed);
        }
    }

    /// When a meeting ended, in milliseconds since 1970.
    pub fn end_of(&self, meeting: &ConfUuid) -> Option<i64> {
        let (_, meeting) = self.api.world.find(meeting.as_str())?;
        let origin = meeting.origin;
        Some(origin.start.saturating_add_unsigned(origin.length))
    }

    /// Sets the clock by which the history list has its meetings, in milliseconds since 1970.
    /// Before the first call it is later than all of them.
    pub fn set_now(&self, now: i64) {
        self.api.now.store(now, Ordering::Relaxed);
    }

    /// Sets the server's own clock, in milliseconds since 1970: its answers and its logins have the
    /// time by it, and it goes on from there.
    pub fn set_clock(&self, now: i64) {
        self.api.auth.set_clock(now.div_euclid(1_000));
    }

    /// Every request so far, in the order in which they were answered.
    pub fn requests(&self) -> Vec<Seen> {
        self.api.counters.log.lock().clone()
    }

    /// Forgets the requests so far; the counters go on.
    pub fn clear_requests(&self) {
        self.api.counters.log.lock().clear();
    }

    /// How many requests came.
    pub fn request_count(&self) -> u64 {
        self.api.counters.requests.load(Ordering::Relaxed)
    }

    /// How many pages of records the service made; what a fault answered in its place is not one.
    pub fn pages_served(&self) -> u64 {
        self.api.counters.pages.load(Ordering::Relaxed)
    }

    /// How many logins succeeded.
    pub fn logins(&self) -> u64 {
        self.api.auth.logins()
    }

    /// How many tokens from logins are good now: places taken of those that a user has.
    pub fn live_tokens(&self) -> usize {
        self.api.auth.live()
    }

    /// The most of them at one time.
    pub fn most_live_tokens(&self) -> usize {
        self.api.auth.most_live()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> u64 {
        self.api.counters.connections.load(Ordering::Relaxed)
    }

    /// The most connections that were open at one time.
    pub fn most_connections(&self) -> u64 {
        self.api.counters.open.most()
    }

    /// How the connections over TLS began.
    pub fn handshakes(&self) -> Handshakes {
        self.api.counters.handshakes()
    }

    /// The most requests that waited for their answer at one time.
    pub fn most_in_flight(&self) -> u64 {
        self.api.counters.in_flight.most()
    }

    /// Adds a fault after those in force.
    pub fn add_fault(&self, fault: impl Into<Fault>) {
        self.api.faults.add(fault.into());
    }

    /// Ends all faults; drift that has happened stays.
    pub fn clear_faults(&self) {
        self.api.faults.clear();
    }

    /// Accepts this token from now on.
    pub fn accept_token(&self, token: &str) {
        self.api.auth.accept(token);
    }

    /// Refuses every token accepted so far, with this reason.
    pub fn expire_tokens(&self, refusal: Refusal) {
        self.api.auth.expire_all(refusal);
    }

    /// Stops and waits until every connection is gone.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        // A server task that panicked is gone as well.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator")
            .field("address", &self.address)
            .field("meetings", &self.api.world.meetings().len())
            .finish_non_exhaustive()
    }
}
