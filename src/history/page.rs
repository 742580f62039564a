//! The bytes of one answer -> one page of the history list.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::meeting::{self, Meeting};
use crate::decode::DecodeError;

/// The most meetings that a page may hold; the API gives 500 at most.
const MOST_MEETINGS: usize = 10_000;

/// One page of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HistoryPage {
    /// The offset that the answer claims to begin at.
    pub(crate) offset: Option<i64>,
    /// The limit that it claims to have used.
    pub(crate) limit: Option<i64>,
    /// The number of meetings that the API says the list has.
    pub(crate) count: u64,
    /// The meetings.
    pub(crate) meetings: Vec<Meeting>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    offset: Option<&'a RawValue>,
    #[serde(borrow)]
    limit: Option<&'a RawValue>,
    #[serde(borrow)]
    count: Option<&'a RawValue>,
    #[serde(borrow, alias = "errorCode")]
    error_code: Option<&'a RawValue>,
}

impl HistoryPage {
    /// A list of nothing, in answer to a request from `offset` on.
    pub(crate) fn empty(offset: u64) -> Self {
        Self {
            offset: i64::try_from(offset).ok(),
            limit: None,
            count: 0,
            meetings: vec![],
        }
    }

    /// Decodes the answer to a request from `offset` on.
    pub(crate) fn decode(body: &[u8], offset: u64) -> Result<Self, DecodeError> {
        let not_a_page = |reason: &str| DecodeError::NotAPage(reason.to_owned());
        let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|error| {
            // The message of a data error would quote the answer.
            if error.is_data() {
                not_a_page("a member of the envelope has the wrong type or stands twice")
            } else {
                DecodeError::NotAPage(format!("not JSON: {error}"))
            }
        })?;
        if envelope.error_code.is_some() {
            return Err(not_a_page("it has an error code"));
        }
        let count = envelope.count.and_then(meeting::integer);
        let count = count
            .and_then(|count| u64::try_from(count).ok())
            .ok_or_else(|| not_a_page("it has no count"))?;
        if envelope.data.is_none() && count > 0 {
            return Err(not_a_page("it has a count but no data"));
        }
        let rows = envelope.data.unwrap_or_default();
        if rows.len() > MOST_MEETINGS {
            return Err(not_a_page("it has too many meetings"));
        }
        let meetings = (offset..)
            .zip(rows)
            .map(|(offset, row)| {
                Meeting::read(row).map_err(|what| DecodeError::Record {
                    offset,
                    what: what.to_owned(),
                    place: "of the history list".to_owned(),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            offset: envelope.offset.and_then(meeting::integer),
            limit: envelope.limit.and_then(meeting::integer),
            count,
            meetings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_captured_list_is_read() {
        let body = include_bytes!("../../tests/it/fixtures/history-list.json");
        let page = HistoryPage::decode(body, 0).unwrap();
        assert_eq!(page.meetings.len() as u64, page.count);
        assert!(page.meetings.iter().all(|meeting| meeting.start.is_some()));
    }

    #[test]
    fn what_is_no_page_is_refused_and_numbers_may_be_texts() {
        let page = HistoryPage::decode(br#"{"data":null,"offset":"0","count":"0"}"#, 0).unwrap();
        assert_eq!(page, HistoryPage::empty(0));
        for body in [
            "",
            "<html>",
            "[]",
            "{}",
            r#"{"data":[],"offset":0,"count":-1}"#,
            r#"{"data":null,"offset":0,"count":1}"#,
            r#"{"data":[],"count":0,"error_code":"MMC.1"}"#,
            r#"{"data":{},"count":0}"#,
        ] {
            let refused = HistoryPage::decode(body.as_bytes(), 0).unwrap_err();
            assert!(matches!(refused, DecodeError::NotAPage(_)), "{body}");
        }
        let row = br#"{"data":[{"confUUID":"a"},{"subject":"hunter2"}],"offset":7,"count":9}"#;
        let refused = HistoryPage::decode(row, 7).unwrap_err().to_string();
        assert!(
            refused.contains("offset 8") && !refused.contains("hunter2"),
            "{refused}"
        );
    }
}
