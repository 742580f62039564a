//! One run: from settings and a list of meetings to committed parts and a report.
//!
//! `run` is the order of the steps. `window_planner` finds the meetings of a window,
//! `destination` opens the dataset or the pipe, `pipeline` connects the pager with the
//! `encoder_thread` and the commits, and `report_builder` counts what came of it.

mod destination;
mod encoder_thread;
mod meeting_rows;
mod pipeline;
mod previous_windows;
mod recheck;
mod replacement;
mod report_builder;
mod run;
mod same_records;
mod spool_lifecycle;
pub(crate) mod window_planner;

pub use self::run::{Export, Finished};
