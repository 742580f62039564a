//! One answer -> a digested page whose personal columns are treated.

use super::{DecodeError, Page};
use crate::record::digest::DigestKey;
use crate::record::pii::Pii;
use crate::record::schema::TimeRange;
use crate::values::ConfUuid;

/// Decodes pages for one run: the records are digested first, then personal columns are treated.
#[derive(Clone, Debug, Default)]
pub(crate) struct PageDecoder {
    /// Key of the records' digests.
    pub(crate) digest_key: DigestKey,
    /// Treatment of personal columns, if any.
    pub(crate) pii: Option<Pii>,
}

impl PageDecoder {
    /// Decodes the answer to a request for `meeting` from `offset` on, whose records can have these
    /// times.
    pub(crate) fn decode(
        &self,
        body: &[u8],
        meeting: &ConfUuid,
        offset: u64,
        times: TimeRange,
    ) -> Result<Page, DecodeError> {
        let mut page = Page::decode_within(times, body, meeting, offset, &self.digest_key)?;
        if let Some(pii) = &self.pii {
            let treated = pii.apply(&page.records);
            page.records = treated.map_err(|error| DecodeError::Treatment(error.to_string()))?;
        }
        Ok(page)
    }
}
