//! The bytes of one answer -> one page of the history list.

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::DecodeError;
use super::error_value::is_error_code;
use crate::record::meeting;
use crate::record::meeting::Meeting;
use crate::values::ConfUuid;

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
    /// The meetings, and rows that are none.
    pub(crate) rows: Vec<Row>,
}

/// One row of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    /// A meeting.
    Meeting(Box<Meeting>),
    /// A row that cannot be read: what is wrong with it, and a digest by which it is known again.
    Unreadable(&'static str, [u8; 32]),
}

impl Row {
    fn read(row: &RawValue) -> Self {
        match Meeting::read(row) {
            Ok(meeting) => Self::Meeting(Box::new(meeting)),
            Err(what) => Self::Unreadable(what, Sha256::digest(row.get()).into()),
        }
    }

    /// Returns the meeting of a row that can be read.
    pub(crate) fn conf_uuid(&self) -> Option<&ConfUuid> {
        match self {
            Self::Meeting(meeting) => Some(&meeting.conf_uuid),
            Self::Unreadable(..) => None,
        }
    }
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
    #[serde(borrow)]
    error_code: Option<&'a RawValue>,
    #[serde(borrow, rename = "errorCode")]
    camel_code: Option<&'a RawValue>,
}

impl HistoryPage {
    /// A list of nothing, in answer to a request from `offset` on.
    pub(crate) fn empty(offset: u64) -> Self {
        Self {
            offset: i64::try_from(offset).ok(),
            limit: None,
            count: 0,
            rows: vec![],
        }
    }

    /// Decodes an answer. A row that cannot be read is no reason to refuse the others.
    pub(crate) fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let not_a_page = |reason: &str| DecodeError::NotAPage(reason.to_owned());
        let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|error| {
            // The message of a data error would quote the answer.
            if error.is_data() {
                not_a_page("a member of the envelope has the wrong type or stands twice")
            } else {
                DecodeError::NotAPage(format!("not JSON: {error}"))
            }
        })?;
        let codes = [envelope.error_code, envelope.camel_code];
        if codes.into_iter().flatten().any(is_error_code) {
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
        Ok(Self {
            offset: envelope.offset.and_then(meeting::integer),
            limit: envelope.limit.and_then(meeting::integer),
            count,
            rows: rows.into_iter().map(Row::read).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_captured_list_is_read() {
        let body = include_bytes!("../../../tests/it/fixtures/history-list.json");
        let page = HistoryPage::decode(body).unwrap();
        assert_eq!(page.rows.len() as u64, page.count);
        let has_start = |row: &Row| matches!(row, Row::Meeting(meeting) if meeting.start.is_some());
        assert!(page.rows.iter().all(has_start));
    }

    #[test]
    fn what_is_no_page_is_refused_and_numbers_may_be_texts() {
        let page = HistoryPage::decode(br#"{"data":null,"offset":"0","count":"0"}"#).unwrap();
        assert_eq!(page, HistoryPage::empty(0));
        for body in [
            "",
            "<html>",
            "[]",
            "{}",
            r#"{"data":[],"offset":0,"count":-1}"#,
            r#"{"data":null,"offset":0,"count":1}"#,
            r#"{"data":[],"count":0,"error_code":"MMC.1"}"#,
            r#"{"data":[],"count":0,"error_code":0,"errorCode":"MMC.1"}"#,
            r#"{"data":[],"count":0,"error_code":[]}"#,
            r#"{"data":{},"count":0}"#,
        ] {
            let refused = HistoryPage::decode(body.as_bytes()).unwrap_err();
            assert!(matches!(refused, DecodeError::NotAPage(_)), "{body}");
        }
    }

    #[test]
    fn a_code_that_says_that_nothing_is_wrong_is_no_error() {
        for code in ["null", "0", "\"0\"", "\"\""] {
            let body = format!(
                r#"{{"data":[],"offset":0,"count":0,"error_code":{code},"errorCode":{code}}}"#
            );
            let page = HistoryPage::decode(body.as_bytes()).unwrap();
            assert_eq!(page, HistoryPage::empty(0), "{code}");
        }
    }

    #[test]
    fn a_row_that_cannot_be_read_costs_no_other_and_is_known_again() {
        let body = |row: &str| format!(r#"{{"data":[{{"confUUID":"a"}},{row}],"count":2}}"#);
        let rows = |row: &str| HistoryPage::decode(body(row).as_bytes()).unwrap().rows;
        let page = rows(r#"{"subject":"hunter2"}"#);
        assert_eq!(page[0].conf_uuid().map(ConfUuid::as_str), Some("a"));
        assert_eq!(page[1].conf_uuid(), None);
        assert!(!format!("{page:?}").contains("hunter2"));
        assert_eq!(page, rows(r#"{"subject":"hunter2"}"#));
        assert_ne!(page, rows(r#"{"subject":"hunter3"}"#));
        assert!(matches!(rows("5")[1], Row::Unreadable(..)));
    }
}
