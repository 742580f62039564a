//! Exports every participant record of historical Huawei Cloud Meeting meetings, and proves it.
//!
//! [`Export`] is one run: settings, credentials and a list of meetings in, a dataset (or a pipe)
//! and a [`Report`] out. The library tells what happens as [`Event`]s and stops when its token is
//! cancelled; it prints nothing, reads no environment and handles no signals. The command
//! `rollbook` is a thin layer over it.
//!
//! A page takes this way through the wings: `api` sends a request under its rate limiter and judges the
//! answer; `record` decodes it into Arrow columns; `fetch` reads meetings page by page and decides
//! whether they are whole; `export` drives the run; `dataset` writes parts and commits them through its
//! ledger, on a folder or a bucket. `maintenance` verifies, repairs, compacts and purges datasets. A
//! wing uses the wings below it alone, down to `values`. [`simulator`] is the API, for the demo, the
//! tests and the benches.
//!
//! ```
//! use rollbook::simulator::{Options, Simulator, TOKEN};
//! use rollbook::{Config, Credentials, Export, Outcome, Rate, silent};
//! use tokio_util::sync::CancellationToken;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let api = Simulator::start(Options::sizes(&[3, 1_200])).await?;
//! let folder = tempfile::tempdir()?;
//! let export = Export {
//!     config: Config {
//!         base_url: api.base_url(),
//!         out: folder.path().to_str().map(str::to_owned),
//!         rate: Rate::Unlimited,
//!         ..Config::default()
//!     },
//!     credentials: Credentials::Token(TOKEN.into()),
//!     meetings: api.meetings(),
//!     pipe: None,
//!     pii_key: None,
//! };
//! let finished = export.run(silent(), CancellationToken::new()).await?;
//! assert_eq!(finished.report.outcome, Outcome::Complete);
//! assert_eq!(finished.report.records, 1_203);
//! assert_eq!(finished.report.requests.sent, finished.report.requests.minimum);
//! # Ok(())
//! # })
//! # }
//! ```

mod api;
mod config;
mod dataset;
mod durable_fs;
mod error;
mod export;
#[doc(hidden)]
pub mod failpoint;
mod fetch;
mod maintenance;
mod record;
mod report;
pub mod simulator;
mod values;

pub use crate::api::auth::{Account, App, Credentials, TokenSource};
pub use crate::api::login_check::login_check;
pub use crate::api::throttle::Throttle;
pub use crate::api::{
    Administrator, ErrorBody, IDENTITY_VERSION, Identity, LoginKind, Patience, Verdict,
};
pub use crate::config::location::{Place, StoreOptions};
pub use crate::config::meeting_list::MeetingList;
pub use crate::config::{Config, Tenant};
#[cfg(fuzzing)]
pub use crate::dataset::ledger::fuzz_entry;
pub use crate::dataset::ledger::{Asked, CommittedMeeting, KeyedSearchKey};
pub use crate::dataset::store::unsynced;
pub use crate::dataset::writer::{BatchWriter, PartOptions, PipeWriter, StagedPart};
pub use crate::dataset::{
    Commit, Damage, Dataset, Left, Recovery, RunStatus, STATUS_VERSION, SetAside, Status,
    TableStatus, Unfinished, status,
};
pub use crate::error::{Error, FailureKind, Result};
pub use crate::export::{Export, Finished};
pub use crate::fetch::{History, Listed};
pub use crate::maintenance::compact::{COMPACTION_VERSION, CompactOptions, Compaction, compact};
pub use crate::maintenance::purge::purge;
pub use crate::maintenance::repair::{Repair, repair};
pub use crate::maintenance::verify::{
    Finding, MeetingStatement, Note, Soundness, VERIFICATION_VERSION, Verification, verify,
};
pub use crate::maintenance::{PURGE_VERSION, Purge};
pub use crate::record::ddl::{Warehouse, arrow_listing, json_schema};
pub use crate::record::decode::{DecodeError, Page};
pub use crate::record::partition::{DateOf, Partition, Partitioning, partition_of_part};
pub use crate::record::pii::{PiiPolicy, Treatment};
pub use crate::record::schema::schema;
pub use crate::record::table::{MeetingColumn, Table, TableColumn};
pub use crate::record::{
    Anomaly, Column, DigestKey, Language, Meeting, Provenance, SCHEMA_VERSION, Stay, TIME_ZONE,
    TimeRange,
};
pub use crate::report::{
    Clock, ClockSource, Event, LedgerHead, MeetingCounts, MeetingReport, MeetingStatus, Observer,
    Outcome, Owed, Proof, Quota, REPORT_VERSION, Replaced, Report, Requests, Unlisted, Unsynced,
    Window, silent,
};
pub use crate::values::{
    CommandLine, Compression, ConfUuid, CountPolicy, DuplicatePolicy, Format, IfRunning, InputKind,
    InvalidConfUuid, InvalidInput, InvalidRate, LogFormat, Mode, Moment, PageSize,
    ParquetEncodings, PartitionBy, Rate, SearchKey, TableFormat, Verify, When, Zone, ZstdLevel,
    clean, clean_bytes, new_run_id,
};
