//! Exports every participant record of historical Huawei Cloud Meeting meetings, and proves it.

mod record;
mod uuid;

pub use record::{Anomaly, Column, Language, Provenance, SCHEMA_VERSION, Stay, TIME_ZONE, schema};
pub use uuid::{ConfUuid, InvalidConfUuid};
