//! Whole meetings from pages.
//!
//! A page takes this way: `spooled_client` takes it from the spool of an earlier run or asks the API,
//! `walk` and `segment` check that it fits its neighbours, `meeting_reader` decides whether a meeting is
//! whole, `pager` keeps several meetings open at once within the bounds of `buffer`, and `output` hands
//! them out in order. `history` reads the lists of meetings of a window.

mod buffer;
mod deadline;
mod doubts;
mod drift;
mod equal_records;
pub(super) mod history;
pub(crate) mod history_bounds;
mod history_walk;
mod meeting_reader;
mod open_meeting;
mod output;
mod pager;
mod segment;
pub(crate) mod spool;
mod spooled_client;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use self::deadline::Deadline;
pub(crate) use self::equal_records::Multiset;
pub(crate) use self::history::{Found, Listings};
pub use self::history::{History, Listed};
pub(crate) use self::history_bounds::Bounds;
pub(crate) use self::meeting_reader::minimum_requests;
pub(crate) use self::output::{Absent, Output, Outputs, Queued, Unchanged, Whole};
pub(crate) use self::pager::Pager;
pub(crate) use self::spooled_client::SpooledClient;
