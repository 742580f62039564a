//! The change of a list under its reader's hands.

use serde::{Deserialize, Serialize};

/// A change of a meeting's records while somebody reads them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drift {
    /// Records removed in front.
    pub remove_front: u64,
    /// Records inserted in front.
    pub insert_front: u64,
    /// Records removed at the end.
    pub remove_end: u64,
    /// Records added at the end.
    pub append: u64,
}
