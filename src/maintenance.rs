//! Work on datasets that exist: verification and repair, compaction, purge.

pub(crate) mod compact;
pub(super) mod purge;
pub(super) mod repair;
mod rewriter;
pub(crate) mod verify;

pub use self::purge::{PURGE_VERSION, Purge};
