//! What an answer can show about a list that is not one list, or not the list the server says.

use std::fmt;

use super::equal_records::EqualRecords;
use crate::api::PageMismatch;

/// Doubts that a message names.
const SHOWN_DOUBTS: usize = 3;

/// Why a walk is worth nothing: the list moved, or is not what the server says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Drift {
    /// Two answers told different counts.
    CountChanged {
        /// The first.
        from: u64,
        /// A later one.
        to: u64,
    },
    /// Two neighbouring answers disagree on the record they share.
    SeamBroken {
        /// Where.
        offset: u64,
    },
    /// Equal records came in different answers, and no single answer can show them all.
    Duplicates(EqualRecords),
    /// Doubtful records stood elsewhere when they were asked for again.
    OrderChanged {
        /// Offset of the first of them.
        offset: u64,
    },
    /// An answer is not the page that was asked for.
    Mismatch(PageMismatch),
    /// The server gives one record a page, which leaves no room for a seam.
    OneRecordPages,
    /// Records end before `count` is reached.
    CountTooHigh {
        /// What the server counts.
        count: u64,
        /// What it shows.
        shown: u64,
    },
    /// Records go on after `count` is reached.
    CountTooLow {
        /// What the server counts.
        count: u64,
        /// What it shows at least.
        shown: u64,
    },
    /// There are records behind a place where there are none.
    Hole {
        /// The place.
        offset: u64,
    },
}

impl Drift {
    /// Whether it says that `count` is wrong rather than that the list moved.
    pub(crate) fn is_wrong_count(&self) -> bool {
        matches!(self, Self::CountTooHigh { .. } | Self::CountTooLow { .. })
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CountChanged { from, to } => write!(f, "count changed from {from} to {to}"),
            Self::SeamBroken { offset } => {
                write!(f, "the record at offset {offset} differs between two pages")
            }
            Self::Duplicates(equal) => {
                f.write_str("equal records came in different answers, at offsets")?;
                let mut separator = "";
                for doubt in equal.doubts.iter().take(SHOWN_DOUBTS) {
                    write!(f, "{separator} {} and {}", doubt.first, doubt.last)?;
                    separator = ",";
                }
                match equal.all_doubts.saturating_sub(SHOWN_DOUBTS as u64) {
                    0 => Ok(()),
                    more => write!(f, ", and {more} more"),
                }
            }
            Self::OrderChanged { offset } => write!(
                f,
                "the records from offset {offset} on came in another order when asked again"
            ),
            Self::Mismatch(mismatch) => mismatch.fmt(f),
            Self::OneRecordPages => {
                f.write_str("the server gives one record a page: no room for a seam")
            }
            Self::CountTooHigh { count, shown } => {
                write!(f, "count is {count}, but the records end after {shown}")
            }
            Self::CountTooLow { count, shown } => {
                write!(f, "count is {count}, but there are {shown} records or more")
            }
            Self::Hole { offset } => write!(f, "no records at offset {offset}, but some behind it"),
        }
    }
}

impl From<PageMismatch> for Drift {
    fn from(mismatch: PageMismatch) -> Self {
        Self::Mismatch(mismatch)
    }
}
