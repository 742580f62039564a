//! Single requests: one question to the API, one judged answer.
//!
//! 1. `throttle` and `request_budget` decide when a request may be sent, and whether.
//! 2. `session` and `auth` bring the token, `client` sends the request, `response` reads the answer.
//! 3. `classify` and `error_code` decide what an answer means; `retry` repeats a request that may
//!    succeed later, and `outage` sends one request at a time while no usable answer comes.
//! 4. `records_request` and `history_request` are the two questions. `server_clock` keeps the time of
//!    the server, which decides what is asked.
//!
//! Nothing here opens a local file.

mod ahead;
pub(crate) mod auth;
mod classify;
mod client;
mod error_code;
mod failure;
mod fetched_page;
mod history_request;
mod known;
pub(super) mod login_check;
mod outage;
mod page_mismatch;
mod records_request;
mod request_budget;
mod response;
mod retry;
mod server_clock;
mod session;
pub(crate) mod throttle;
mod token_validation;
mod trial;

pub(crate) use self::client::{Client, Wanted};
pub use self::error_code::{ErrorBody, Patience, Verdict};
pub(crate) use self::failure::Failure;
pub(crate) use self::fetched_page::Fetched;
pub(crate) use self::history_request::Listing;
pub use self::login_check::{Administrator, IDENTITY_VERSION, Identity, LoginKind};
pub(crate) use self::page_mismatch::{PageMismatch, check_page};
pub(crate) use self::server_clock::{ServerClock, TOLERANCE, untold};
pub(crate) use self::token_validation::ALONE;
