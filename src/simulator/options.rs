//! What a simulator is told at its start: its meetings, its limits and its manners.
//!
//! All of it has a default that answers like the API on a good day; faults are scripted apart
//! from it, see [`Fault`].

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::fault::Fault;
use super::record::mix;
use crate::values::ConfUuid;

/// The App ID that is known by default.
pub const APP_ID: &str = "fdb8e4699586458bbd10c834872dcc62";
/// The App key that belongs to [`APP_ID`].
pub const APP_KEY: &str = "0123456789abcdef0123456789abcdef";
/// The account that is known by default.
pub const ACCOUNT: &str = "alice@ent01";
/// The password that belongs to [`ACCOUNT`].
pub const PASSWORD: &str = "simulator password 1";
/// The access token that is accepted without a login by default.
pub const TOKEN: &str = "simulator-token";

/// What a simulator is told at its start.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is told apart by its name, as a setting is"
)]
pub struct Options {
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Everything made up follows from it.
    pub seed: u64,
    /// The meetings; the history list has them by their start.
    pub meetings: Vec<MeetingSpec>,
    /// Time before each answer.
    pub latency: Duration,
    /// Requests allowed in a window; without it there is no limit.
    pub quota: Option<Quota>,
    /// The largest page.
    pub max_limit: u32,
    /// What becomes of a larger limit.
    pub over_limit: OverLimit,
    /// What an offset at or beyond the count gives.
    pub past_end: PastEnd,
    /// Who may come in.
    pub credentials: Credentials,
    /// Faults in force from the start.
    pub faults: Vec<Fault>,
    /// Serve HTTPS with a certificate made for this run.
    pub tls: bool,
    /// Over TLS, prefer HTTP/2 to HTTP/1.1 where the client speaks both.
    pub http2: bool,
    /// Hang up on who asks nothing for so long; by default nobody is hung up on.
    pub keep_alive: Option<Duration>,
    /// Keep at most this much of rendered pages; beyond it, pages are rendered for each request.
    pub page_cache_bytes: u64,
    /// Indent the answers as the API's documentation does.
    pub pretty: bool,
    /// Keep a log of requests; the counters run in any case.
    pub log: bool,
}

/// One meeting to make up.
#[derive(Clone, Debug, Default)]
pub struct MeetingSpec {
    /// Its UUID; made up where not given.
    pub uuid: Option<ConfUuid>,
    /// How many records it has.
    pub records: u64,
    /// Its start in milliseconds since 1970; by default all starts are spread over 180 days from
    /// 2026-01-05, at most six hours apart.
    pub start: Option<i64>,
    /// Makes every n-th record odd: left time missing, null, 0 and before the join time in turn.
    pub odd_every: Option<u64>,
    /// When the history list has it first, in milliseconds since 1970, by the clock that
    /// [`Simulator::set_now`](crate::simulator::Simulator::set_now) sets; by default as soon as it has ended.
    pub listed_from: Option<i64>,
    /// Belongs to another user: listed only to an administrator who asks for all.
    pub foreign: bool,
}

/// How many requests may come in a window, counted for each API on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Requests allowed in one window.
    pub requests: u32,
    /// Length of the window.
    pub window: Duration,
    /// Count over the window that ends now, instead of in windows that follow one another.
    pub sliding: bool,
    /// Send `Retry-After` with a 429.
    pub retry_after: bool,
    /// Send `X-Apig-Ratelimit-Api` with each answer.
    pub headers: bool,
}

impl Quota {
    /// So many requests a minute, without any header, as the API is documented.
    pub const fn per_minute(requests: u32) -> Self {
        Self::per(requests, Duration::from_secs(60))
    }

    /// So many requests in a window of this length.
    pub const fn per(requests: u32, window: Duration) -> Self {
        Self {
            requests,
            window,
            sliding: false,
            retry_after: false,
            headers: false,
        }
    }
}

/// What becomes of a limit above the maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverLimit {
    /// It is set to the maximum, and echoed so.
    #[default]
    Clamp,
    /// The request is refused with 400.
    Reject,
}

/// What an offset at or beyond the count gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PastEnd {
    /// A page without records.
    #[default]
    Empty,
    /// The last page again, with the offset asked for as echo.
    LastPage,
}

/// Who may come in.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The App ID.
    pub app_id: String,
    /// The key that App ID logins are signed with.
    pub app_key: String,
    /// Whether the App ID serves many enterprises: then logins name one, else they must not.
    pub multi_tenant: bool,
    /// The only user who may log in; without it anybody may, and an empty user is the owner.
    pub user_id: Option<String>,
    /// The account that may log in with its password.
    pub account: String,
    /// That account's password.
    pub password: String,
    /// How many wrong passwords in a row lock the account.
    pub lock_after: u32,
    /// The `adminType` of everybody: 0 and 1 are administrators, 2 is none. Without it the owner
    /// is the default administrator and nobody else is one.
    pub admin_type: Option<i64>,
    /// Access tokens that are accepted without a login and never age.
    pub tokens: Vec<String>,
    /// How long a token from a login is accepted.
    pub token_life: Duration,
    /// How many tokens a user may have; one more invalidates the oldest.
    pub tokens_per_user: usize,
    /// How many seconds the server's clock is ahead of ours, or behind when negative.
    pub clock_offset: i64,
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            app_id: APP_ID.to_owned(),
            app_key: APP_KEY.to_owned(),
            multi_tenant: false,
            user_id: None,
            account: ACCOUNT.to_owned(),
            password: PASSWORD.to_owned(),
            lock_after: 5,
            admin_type: None,
            tokens: vec![TOKEN.to_owned()],
            token_life: Duration::from_secs(56_326),
            tokens_per_user: 64,
            clock_offset: 0,
        }
    }
}

impl MeetingSpec {
    /// A meeting with so many records.
    pub fn of(records: u64) -> Self {
        Self {
            records,
            ..Self::default()
        }
    }
}

impl Options {
    /// So many meetings whose sizes are spread evenly over a range; the same each time.
    pub fn meetings_of(count: usize, records: RangeInclusive<u64>) -> Self {
        let (least, most) = records.into_inner();
        let span = most.saturating_sub(least).saturating_add(1).max(1);
        let sizes: Vec<_> = (0..count as u64)
            .map(|position| least + mix(0x5eed, position) % span)
            .collect();
        Self::sizes(&sizes)
    }

    /// One meeting for each size, in this order.
    pub fn sizes(records: &[u64]) -> Self {
        Self {
            meetings: records.iter().map(|&n| MeetingSpec::of(n)).collect(),
            ..Self::empty()
        }
    }

    /// The same options with these faults.
    #[must_use]
    pub fn with_faults(mut self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.faults.extend(faults);
        self
    }

    /// The same options with this quota.
    #[must_use]
    pub const fn with_quota(mut self, quota: Quota) -> Self {
        self.quota = Some(quota);
        self
    }

    fn empty() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 1,
            meetings: Vec::new(),
            latency: Duration::ZERO,
            quota: None,
            max_limit: 500,
            over_limit: OverLimit::default(),
            past_end: PastEnd::default(),
            credentials: Credentials::default(),
            faults: Vec::new(),
            tls: false,
            http2: true,
            keep_alive: None,
            page_cache_bytes: 512 << 20,
            pretty: false,
            log: true,
        }
    }
}

impl Default for Options {
    /// Ten meetings of 1 to 1,200 records, on a loopback port that the system chooses.
    fn default() -> Self {
        Self::meetings_of(10, 1..=1_200)
    }
}
