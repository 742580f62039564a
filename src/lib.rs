//! Exports every participant record of historical Huawei Cloud Meeting meetings, and proves it.

mod auth;
mod client;
mod config;
mod dataset;
mod decode;
mod error;
mod event;
mod export;
mod folder;
mod ledger;
mod meetings;
mod pager;
mod rate;
mod record;
mod report;
mod retry;
mod schema;
pub mod simulator;
mod store;
mod throttle;
mod uuid;
mod verify;
mod writer;

pub use auth::{App, Credentials};
pub use config::{
    Compress, Config, CountPolicy, Format, LogFormat, PageSize, SearchKey, Verify, When,
};
pub use dataset::{
    Commit, Damage, Dataset, Recovery, RunStatus, STATUS_VERSION, Status, Unfinished, status,
};
pub use decode::{DecodeError, Page};
pub use error::{Error, Result};
pub use event::{Event, Observer, silent};
pub use export::{Export, Finished};
pub use ledger::{Asked, CommittedMeeting};
pub use meetings::MeetingList;
pub use rate::{InvalidRate, Rate};
pub use record::{Anomaly, Column, Language, Provenance, SCHEMA_VERSION, Stay, TIME_ZONE, schema};
pub use report::{
    MeetingCounts, MeetingReport, MeetingStatus, Outcome, Proof, Quota, REPORT_VERSION, Report,
    Requests,
};
pub use retry::{ErrorBody, Patience, Verdict};
pub use schema::{Warehouse, arrow_listing};
pub use throttle::Throttle;
pub use uuid::{ConfUuid, InvalidConfUuid};
pub use verify::{Finding, VERIFICATION_VERSION, Verification, verify};
pub use writer::{BatchWriter, PartOptions, PipeWriter, StagedPart};
