//! What the simulator saw and did: a log of requests, and counters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_rustls::rustls::HandshakeKind;

use super::fault_match::Endpoint;
use super::unpoisoned_mutex::Guarded;

/// One request, as the simulator saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is told apart by its name"
)]
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
    /// `Accept-Encoding` as sent.
    pub accept_encoding: Option<String>,
    /// Whether it came by HTTP/2.
    pub http2: bool,
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
    pub(super) in_flight: Gauge,
    pub(super) open: Gauge,
    full: AtomicU64,
    resumed: AtomicU64,
    pub(super) log: Guarded<Vec<Seen>>,
}

impl Counters {
    /// A request arrived; it is in flight while the guard lives.
    pub(super) fn arrive(&self) -> Present<'_> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.in_flight.enter()
    }

    /// A connection is there; it is open while the guard lives.
    pub(super) fn connect(&self) -> Present<'_> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.open.enter()
    }

    /// A connection over TLS has begun.
    pub(super) fn shake_hands(&self, kind: Option<HandshakeKind>) {
        let counter = match kind {
            Some(HandshakeKind::Resumed) => &self.resumed,
            _ => &self.full,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn handshakes(&self) -> Handshakes {
        Handshakes {
            full: self.full.load(Ordering::Relaxed),
            resumed: self.resumed.load(Ordering::Relaxed),
        }
    }
}

/// How the connections over TLS began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshakes {
    /// With the certificate sent and checked.
    pub full: u64,
    /// With the secrets of a connection before.
    pub resumed: u64,
}

/// How many there are, and how many there were at most.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    now: AtomicU64,
    most: AtomicU64,
}

impl Gauge {
    fn enter(&self) -> Present<'_> {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        Present(self)
    }

    pub(super) fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}

/// One of those that a gauge counts.
#[derive(Debug)]
pub(super) struct Present<'a>(&'a Gauge);

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}
