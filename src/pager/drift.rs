//! What an answer can show about a list that is not one list, or not the list the server says.

use std::fmt;

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
    /// Two neighbouring answers share more records than the one they should.
    SeamWeak {
        /// Where.
        offset: u64,
    },
    /// The answer begins elsewhere than asked, or does not say where.
    WrongOffset {
        /// Asked for.
        asked: u64,
        /// Told, if at all.
        told: Option<i64>,
    },
    /// The answer holds more records than asked for.
    TooMany {
        /// Asked at this offset.
        offset: u64,
        /// The limit asked with.
        limit: u64,
        /// Records that came.
        got: u64,
    },
    /// The server began to give less a page than before.
    Clamped {
        /// The new limit.
        limit: u64,
    },
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
            Self::SeamWeak { offset } => write!(
                f,
                "the pages around offset {offset} share more than one record"
            ),
            Self::WrongOffset {
                asked,
                told: Some(told),
            } => {
                write!(f, "asked for offset {asked}, the answer says {told}")
            }
            Self::WrongOffset { asked, told: None } => {
                write!(
                    f,
                    "asked for offset {asked}, the answer does not say where it begins"
                )
            }
            Self::TooMany { offset, limit, got } => {
                write!(f, "asked for {limit} records at offset {offset}, got {got}")
            }
            Self::Clamped { limit } => write!(f, "pages shrank to {limit} records"),
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
