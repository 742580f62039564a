//! The vocabulary: what a record and a meeting are, and how they are decoded, treated and described.
//!
//! `decode` turns an answer into columns of `schema`. `pii` treats personal columns. `table`,
//! `partition` and `ddl` describe the columns to readers and warehouses.

pub(crate) mod ddl;
pub(crate) mod decode;
mod digest;
mod meeting;
pub(crate) mod partition;
pub(crate) mod pii;
pub(super) mod salt;
pub(super) mod schema;
mod size;
pub(crate) mod table;

pub use self::digest::DigestKey;
pub use self::meeting::Meeting;
pub(crate) use self::salt::DatasetSalt;
pub(crate) use self::schema::is_in_range;
pub use self::schema::{
    Anomaly, Column, Language, Provenance, SCHEMA_VERSION, Stay, TIME_ZONE, TimeRange,
};
pub(crate) use self::size::{batch_bytes, buffer_capacity, piece, pieces};
