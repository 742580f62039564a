//! What the simulator saw and did: a log of requests, and counters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::guarded::Guarded;
use super::matching::Endpoint;

/// One request, as the simulator saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When it arrived, from the simulator's start.
    pub at: Duration,
    /// The part of the API; [`Endpoint::Any`] for a path that is none.
    pub endpoint: Endpoint,
    /// The method, such as `GET`.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The `confUUID` asked for.
    pub meeting: Option<String>,
    /// The offset asked for; 0 where a list was asked for without one.
    pub offset: Option<u64>,
    /// The limit asked for, if any.
    pub limit: Option<u64>,
    /// The search key.
    pub search_key: Option<String>,
    /// The status answered; `None` when no answer began.
    pub status: Option<u16>,
    /// `Accept-Language` as sent.
    pub accept_language: Option<String>,
    /// Whether it carried a token that was good when it came.
    pub authorized: bool,
    /// Whether it carried the token header at all.
    pub has_token: bool,
    /// Whether a fault befell it.
    pub faulty: bool,
    /// The id that the answer gave it.
    pub request_id: String,
}

/// Counts what happens.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) pages: AtomicU64,
    pub(super) connections: AtomicU64,
    in_flight: AtomicU64,
    most_in_flight: AtomicU64,
    pub(super) log: Guarded<Vec<Seen>>,
}

impl Counters {
    /// A request arrived; it is in flight while the guard lives.
    pub(super) fn arrive(&self) -> InFlight<'_> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_in_flight.fetch_max(now, Ordering::Relaxed);
        InFlight(self)
    }

    pub(super) fn most_in_flight(&self) -> u64 {
        self.most_in_flight.load(Ordering::Relaxed)
    }
}

/// One request on its way.
#[derive(Debug)]
pub(super) struct InFlight<'a>(&'a Counters);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
