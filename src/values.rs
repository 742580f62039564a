//! Small values with a text form of their own: identifiers, choices, rates, times, modes.

mod bounded;
mod choices;
mod compression;
mod conf_uuid;
mod file_mode;
pub(super) mod hex;
mod input;
pub(super) mod rate;
pub(super) mod run_id;
pub(super) mod time_spec;
mod time_zone;

pub use self::bounded::{CommandLine, PageSize, SearchKey};
pub use self::choices::{
    CountPolicy, DuplicatePolicy, Format, IfRunning, LogFormat, ParquetEncodings, PartitionBy,
    TableFormat, Verify, When,
};
pub use self::compression::{Compression, ZstdLevel};
pub use self::conf_uuid::{ConfUuid, InvalidConfUuid};
pub use self::file_mode::Mode;
pub(crate) use self::hex::unhex;
pub use self::input::{InputKind, InvalidInput, clean, clean_bytes};
pub use self::rate::{InvalidRate, Rate};
pub(crate) use self::run_id::began;
pub use self::run_id::new_run_id;
pub use self::time_spec::Moment;
pub(crate) use self::time_spec::{before, shown};
pub(crate) use self::time_zone::Span;
pub use self::time_zone::Zone;
