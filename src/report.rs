//! What a run tells its caller: events while it runs, and a report at the end.

mod clock;
mod event;
mod run_report;
mod unsynced;
mod window;

pub use self::clock::{Clock, ClockSource};
pub use self::event::{Event, Observer, silent};
pub(crate) use self::run_report::is_zero;
pub use self::run_report::{
    LedgerHead, MeetingCounts, MeetingReport, MeetingStatus, Outcome, Proof, Quota, REPORT_VERSION,
    Replaced, Report, Requests,
};
pub use self::unsynced::Unsynced;
pub use self::window::{Owed, Unlisted, Window};
