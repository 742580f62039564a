//! The commands, one file each.

pub(super) mod compact;
pub(super) mod completions;
pub(crate) mod demo;
pub(super) mod export;
pub(super) mod login_check;
pub(super) mod man;
pub(super) mod meetings;
pub(super) mod purge;
pub(super) mod schema;
pub(super) mod simulate;
pub(super) mod status;
pub(super) mod verify;

pub(crate) use self::export::STOPPING;
