//! Pages that are not the ones that were asked for.

use crate::record::decode::Page;

/// Contradiction between a request and its answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PageMismatch {
    /// The answer names another offset, or none.
    #[error("asked for offset {asked}, {}", named(*told))]
    WrongOffset {
        /// Offset of the request.
        asked: u64,
        /// Offset in the answer.
        told: Option<i64>,
    },
    /// The answer holds more records than asked for.
    #[error("asked for {limit} records at offset {offset}, got {got}")]
    TooMany {
        /// Offset of the request.
        offset: u64,
        /// Limit of the request.
        limit: u64,
        /// Records in the answer.
        got: u64,
    },
}

/// Checks that a page begins at the offset of its request, and holds no more records than its limit.
pub(crate) fn check_page(offset: u64, limit: u64, page: &Page) -> Result<(), PageMismatch> {
    let got = page.records.num_rows() as u64;
    if page.offset.and_then(|told| u64::try_from(told).ok()) != Some(offset) {
        return Err(PageMismatch::WrongOffset {
            asked: offset,
            told: page.offset,
        });
    }
    if got > limit {
        return Err(PageMismatch::TooMany { offset, limit, got });
    }
    Ok(())
}

fn named(offset: Option<i64>) -> String {
    match offset {
        Some(offset) => format!("the answer says {offset}"),
        None => "the answer does not say where it begins".to_owned(),
    }
}
