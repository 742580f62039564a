//! Exports every participant record of historical Huawei Cloud Meeting meetings, and proves it.
//!
//! [`Export`] is one run: settings, credentials and a list of meetings in, a dataset (or a pipe)
//! and a [`Report`] out. The library tells what happens as [`Event`]s and stops when its token is
//! cancelled; it prints nothing, reads no environment and handles no signals. The command
//! `rollbook` is a thin layer over it.
//!
//! Below `export`, from the request to the disk: `client` asks under the `throttle` with a token
//! from `auth` and judges answers by `retry`; `decode` turns a page into Arrow columns as `record`
//! defines them; `pager` walks meetings and settles whether they are whole; `writer` encodes;
//! `dataset` commits through the `ledger` on a `store`, and `delta` tells the readers of Delta tables
//! what the ledger says. [`simulator`] is the API, for the demo, the tests and the benches.
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

mod address;
mod auth;
mod client;
mod compact;
mod compression;
mod config;
#[doc(hidden)]
pub mod crash;
mod dataset;
mod deadline;
mod decode;
mod delta;
mod error;
mod event;
mod export;
mod first_page;
mod folder;
mod hex;
mod history;
mod identity;
mod input;
mod ledger;
mod meetings;
mod mode;
mod moment;
mod pager;
mod partition;
mod pii;
mod place;
mod purge;
mod rate;
mod reader;
mod record;
mod record_digest;
mod record_size;
mod report;
mod retry;
mod rewrite;
mod run_id;
mod salt;
mod schema;
pub mod simulator;
mod spool;
mod store;
mod table;
mod tenant;
mod throttle;
mod uuid;
mod verify;
mod writer;
mod zone;

pub use auth::{Account, App, Credentials, TokenSource};
pub use compact::{COMPACTION_VERSION, CompactOptions, Compaction, compact};
pub use compression::{Compression, ZstdLevel};
pub use config::{
    CommandLine, Config, CountPolicy, DuplicatePolicy, Format, IfRunning, LogFormat, PageSize,
    ParquetEncodings, PartitionBy, SearchKey, TableFormat, Verify, When,
};
pub use dataset::{
    Commit, Damage, Dataset, Left, Recovery, RunStatus, STATUS_VERSION, SetAside, Status,
    TableStatus, Unfinished, status,
};
pub use decode::{DecodeError, Page};
pub use error::{Error, Result};
pub use event::{Event, Observer, silent};
pub use export::{Export, Finished};
pub use history::{History, Listed, Meeting};
pub use identity::{Administrator, IDENTITY_VERSION, Identity, LoginKind, login_check};
pub use input::{InputKind, InvalidInput, clean, clean_bytes};
#[cfg(fuzzing)]
pub use ledger::fuzz_entry;
pub use ledger::{Asked, CommittedMeeting, KeyedSearchKey};
pub use meetings::MeetingList;
pub use mode::Mode;
pub use moment::Moment;
pub use partition::{DateOf, Partition, Partitioning, partition_of_part};
pub use pii::{PiiPolicy, Treatment};
pub use place::{Place, StoreOptions};
pub use purge::{PURGE_VERSION, Purge, purge};
pub use rate::{InvalidRate, Rate};
pub use record::{
    Anomaly, Column, Language, Provenance, SCHEMA_VERSION, Stay, TIME_ZONE, TimeRange, schema,
};
pub use record_digest::DigestKey;
pub use report::{
    Clock, ClockSource, FailureKind, LedgerHead, MeetingCounts, MeetingReport, MeetingStatus,
    Outcome, Owed, Proof, Quota, REPORT_VERSION, Replaced, Report, Requests, Unlisted, Window,
};
pub use retry::{ErrorBody, Patience, Verdict};
pub use run_id::new_run_id;
pub use schema::{Warehouse, arrow_listing, json_schema};
pub use store::{Unsynced, unsynced};
pub use table::{MeetingColumn, Table, TableColumn};
pub use tenant::Tenant;
pub use throttle::Throttle;
pub use uuid::{ConfUuid, InvalidConfUuid};
pub use verify::{
    Finding, MeetingStatement, Note, Repair, Soundness, VERIFICATION_VERSION, Verification, repair,
    verify,
};
pub use writer::{BatchWriter, PartOptions, PipeWriter, StagedPart};
pub use zone::Zone;
