//! The bytes of one answer -> one [`Page`].
//!
//! The body is checked once as UTF-8. Then [`fast_scanner`] reads what the API sends every day, quickly;
//! whatever is unusual, and all that is wrong, it leaves to [`serde_visitor`], which is the reference for
//! both. Each writes the members straight into Arrow builders: no struct a record, no
//! `serde_json::Value`. Pure, and strict: what cannot be read is an error that names the record
//! and the member, never a skipped row. Messages never quote what the answer holds, since that is
//! personal data.

mod column_builders;
mod error_value;
mod fast_scanner;
mod history_page;
mod json_values;
mod page_decoder;
mod serde_visitor;

pub(crate) use self::error_value::{is_success, is_zero};
pub(crate) use self::history_page::{HistoryPage, Row};

use arrow::record_batch::RecordBatch;

use self::column_builders::Columns;
use self::fast_scanner::scan;
pub(crate) use self::json_values::whole_number;
pub(crate) use self::page_decoder::PageDecoder;
use self::serde_visitor::visit;
use super::digest::DigestKey;
use super::schema::TimeRange;
use crate::values::ConfUuid;

/// One answer of the API, decoded.
#[derive(Clone, Debug)]
pub struct Page {
    /// The offset that the answer claims to begin at.
    pub offset: Option<i64>,
    /// The limit that the answer claims to have used: smaller than asked where it was clamped.
    pub limit: Option<i64>,
    /// The number of records that the API says the meeting has.
    pub count: u64,
    /// The records, with `record_index` counted from the offset that was asked for.
    pub records: RecordBatch,
    /// Keyed digest of each record, over every member that the API gave.
    pub digests: Vec<u64>,
    /// Rows in which a lone surrogate was replaced by U+FFFD, one entry for each.
    pub replaced: Vec<usize>,
}

/// The most records that a page may hold. The API gives 500 at most; what stands here bounds the
/// columns, which for an empty record take many times the two bytes that it takes in the answer.
const MOST_RECORDS: usize = 10_000;

/// The longest answer: the texts of a column have 32-bit offsets.
const LONGEST: usize = i32::MAX as usize;

/// Why an answer is no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The answer is not JSON, cut off, or lacks what makes a page. Asking again may help.
    #[error("the answer is no page of records: {0}")]
    NotAPage(String),
    /// A record cannot be read. Asking again will not help.
    #[error("record at offset {offset}: {what} ({place})")]
    Record {
        /// The record's offset in the meeting.
        offset: u64,
        /// The member and what is wrong with it.
        what: String,
        /// Line and column of the answer.
        place: String,
    },
    /// The personal columns of the records cannot be treated. Asking again will not help.
    #[error("the personal columns cannot be treated: {0}")]
    Treatment(String),
}

/// What an answer holds, before it is known to be a page.
struct Envelope {
    columns: Columns,
    replaced: Vec<usize>,
    offset: Option<i64>,
    limit: Option<i64>,
    count: Option<i64>,
    has_data: bool,
    /// It has an error code, whatever else it has.
    is_error: bool,
}

impl Page {
    /// Decodes the answer to a request for `meeting` from `offset` on, and digests its records.
    ///
    /// # Errors
    ///
    /// [`DecodeError::NotAPage`] for anything that is not the API's envelope;
    /// [`DecodeError::Record`] for a record that is not an object, or a member of another type
    /// than documented. Nothing of a refused page is kept.
    pub fn decode(
        body: &[u8],
        meeting: &ConfUuid,
        offset: u64,
        key: &DigestKey,
    ) -> Result<Self, DecodeError> {
        Self::decode_within(TimeRange::OPEN, body, meeting, offset, key)
    }

    /// Decodes like [`Page::decode`], where records can only have these times.
    ///
    /// # Errors
    ///
    /// The errors of [`Page::decode`].
    pub fn decode_within(
        times: TimeRange,
        body: &[u8],
        meeting: &ConfUuid,
        offset: u64,
        key: &DigestKey,
    ) -> Result<Self, DecodeError> {
        if body.len() > LONGEST {
            return Err(DecodeError::NotAPage("it is too long".to_owned()));
        }
        let text = simdutf8::basic::from_utf8(body)
            .map_err(|error| DecodeError::NotAPage(error.to_string()))?;
        let envelope = match scan(text, times) {
            Some(envelope) => envelope,
            None => visit(text, offset, times)?,
        };
        envelope.page(meeting, offset, key)
    }
}

impl Envelope {
    /// Nothing yet of an answer of `bytes` bytes.
    fn new(bytes: usize, times: TimeRange) -> Self {
        Self {
            columns: Columns::new(bytes, times),
            replaced: vec![],
            offset: None,
            limit: None,
            count: None,
            has_data: false,
            is_error: false,
        }
    }

    fn page(self, meeting: &ConfUuid, offset: u64, key: &DigestKey) -> Result<Page, DecodeError> {
        let not_a_page = |reason: &str| DecodeError::NotAPage(reason.to_owned());
        if self.is_error {
            return Err(not_a_page("it has an error code"));
        }
        let count = self.count.ok_or_else(|| not_a_page("it has no count"))?;
        let count = u64::try_from(count).map_err(|_| not_a_page("its count is negative"))?;
        if !self.has_data && count > 0 {
            return Err(not_a_page("it has a count but no data"));
        }
        let records = self.columns.finish(meeting, offset);
        let records = records
            .map_err(|error| not_a_page(&format!("its columns do not fit together: {error}")))?;
        Ok(Page {
            offset: self.offset,
            limit: self.limit,
            count,
            digests: key.digests(&records),
            records,
            replaced: self.replaced,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use arrow::array::AsArray;
    use arrow::datatypes::{Int64Type, TimestampMillisecondType};
    use proptest::prelude::*;

    use super::*;
    use crate::record::schema::Column;

    const ENGLISH: &str = include_str!("../../tests/it/fixtures/attendee-record.en-US.json");
    const CHINESE: &str = include_str!("../../tests/it/fixtures/attendee-record.zh-CN.json");

    fn meeting() -> ConfUuid {
        "9a0fa6d10a5b11eaae5e191763c22c0e".parse().unwrap()
    }

    fn decode(body: &str) -> Result<Page, DecodeError> {
        Page::decode(body.as_bytes(), &meeting(), 0, &DigestKey::default())
    }

    fn page_of(records: &str) -> Result<Page, DecodeError> {
        decode(&format!(
            r#"{{"data":[{records}],"offset":0,"limit":500,"count":1}}"#
        ))
    }

    fn texts(page: &Page, column: Column) -> Vec<Option<String>> {
        let array = page.records.column(column.index()).as_string::<i32>();
        array.iter().map(|text| text.map(str::to_owned)).collect()
    }

    fn text(page: &Page, column: Column) -> Option<String> {
        texts(page, column)[0].clone()
    }

    fn times(page: &Page, column: Column) -> Vec<Option<i64>> {
        let array = page.records.column(column.index());
        array
            .as_primitive::<TimestampMillisecondType>()
            .iter()
            .collect()
    }

    fn some(texts: &[&str]) -> Vec<Option<String>> {
        texts.iter().map(|text| Some((*text).to_owned())).collect()
    }

    #[test]
    fn the_documented_example_decodes_exactly() {
        for (example, device, media) in [
            (ENGLISH, "Soft client", "Video"),
            (CHINESE, "软终端", "视频"),
        ] {
            let page = decode(example).unwrap();
            assert_eq!(
                (page.offset, page.limit, page.count),
                (Some(0), Some(20), 2)
            );
            let uuid = meeting();
            assert_eq!(texts(&page, Column::ConfUuid), some(&[uuid.as_str(); 2]));
            assert_eq!(
                texts(&page, Column::DisplayName),
                some(&["user8002", "+991116005905"])
            );
            assert_eq!(
                texts(&page, Column::CallNumber),
                some(&["+991116004380", "+991116005905"])
            );
            assert_eq!(texts(&page, Column::DeviceType), some(&[device; 2]));
            assert_eq!(texts(&page, Column::MediaType), some(&[media; 2]));
            assert_eq!(texts(&page, Column::DeptName), some(&["wangyue"; 2]));
            let joined = [Some(1_574_119_917_872), Some(1_574_119_935_467)];
            let left = [Some(1_574_119_956_881), Some(1_574_119_947_620)];
            assert_eq!(times(&page, Column::JoinTime), joined);
            assert_eq!(times(&page, Column::LeftTime), left);
            let durations = page.records.column(Column::DurationMs.index());
            assert_eq!(
                durations.as_primitive::<Int64Type>().values(),
                &[39_009, 12_153]
            );
            assert_eq!(texts(&page, Column::Anomaly), [None, None]);
            assert_eq!(texts(&page, Column::Extra), [None, None]);
        }
    }

    #[test]
    fn record_index_counts_from_the_offset_asked_for() {
        let page =
            Page::decode(ENGLISH.as_bytes(), &meeting(), 998, &DigestKey::default()).unwrap();
        let index = page.records.column(Column::RecordIndex.index());
        assert_eq!(index.as_primitive::<Int64Type>().values(), &[998, 999]);
    }

    #[test]
    fn an_unknown_member_is_kept_as_deep_as_readers_can_follow() {
        let nested = |levels: usize| {
            let value = ["[".repeat(levels), r#""[\"[""#.into(), "]".repeat(levels)].concat();
            page_of(&format!(r#"{{"new":{value}}}"#))
        };
        assert!(text(&nested(120).unwrap(), Column::Extra).is_some());
        let refused = nested(121).unwrap_err().to_string();
        assert!(
            refused.contains("unknown member is nested too deeply"),
            "{refused}"
        );
    }

    #[test]
    fn a_record_may_lack_everything() {
        let page =
            page_of(r#"{}, {"displayName":null,"joinTime":null}, {"displayName":""}"#).unwrap();
        assert_eq!(
            texts(&page, Column::DisplayName),
            [None, None, Some(String::new())]
        );
        assert_eq!(times(&page, Column::JoinTime), [None; 3]);
        assert_eq!(texts(&page, Column::Anomaly), some(&["missing_join"; 3]));
    }

    #[test]
    fn numbers_given_as_texts_are_numbers() {
        let page = decode(
            r#"{"count":"1","offset":"0","limit":"500",
                "data":[{"joinTime":"1574119917872","leftTime":" 1574119917875 "}]}"#,
        )
        .unwrap();
        assert_eq!(
            (page.offset, page.limit, page.count),
            (Some(0), Some(500), 1)
        );
        assert_eq!(times(&page, Column::LeftTime), [Some(1_574_119_917_875)]);
    }

    #[test]
    fn whole_numbers_written_as_floats_are_numbers() {
        let page = decode(
            r#"{"count":1.0,"offset":"0.0","limit":5E2,
                "data":[{"joinTime":1.574119917872E12,"leftTime":"1574119917875.0"}]}"#,
        )
        .unwrap();
        assert_eq!(
            (page.offset, page.limit, page.count),
            (Some(0), Some(500), 1)
        );
        assert_eq!(times(&page, Column::JoinTime), [Some(1_574_119_917_872)]);
        assert_eq!(times(&page, Column::LeftTime), [Some(1_574_119_917_875)]);
        let missing = page_of(r#"{"joinTime":0.0,"leftTime":"0.0"}"#).unwrap();
        assert_eq!(
            text(&missing, Column::Anomaly).as_deref(),
            Some("missing_join")
        );
        assert_eq!(text(&missing, Column::Extra), None);
        assert!(decode(r#"{"count":1.5,"offset":0,"data":[]}"#).is_err());
    }

    #[test]
    fn unknown_members_are_kept_verbatim() {
        let page =
            page_of(r#"{"role":1,"displayName":"a","tags":[1,  {"x":null}],"q\"":"\ud800"}"#);
        assert_eq!(
            text(&page.unwrap(), Column::Extra).as_deref(),
            Some(r#"{"role":1,"tags":[1,  {"x":null}],"q\"":"\ud800"}"#)
        );
    }

    #[test]
    fn a_time_out_of_range_is_null_and_its_figure_is_kept() {
        let page = page_of(r#"{"joinTime":-5,"leftTime":18446744073709551615}"#).unwrap();
        assert_eq!(times(&page, Column::JoinTime), [None]);
        assert_eq!(
            text(&page, Column::Anomaly).as_deref(),
            Some("out_of_range_time")
        );
        assert_eq!(
            text(&page, Column::Extra).as_deref(),
            Some(r#"{"joinTime":-5,"leftTime":18446744073709551615}"#)
        );
    }

    #[test]
    fn a_time_in_seconds_is_out_of_range_and_no_day_of_1970() {
        for seconds in [
            "1574119917",
            "\"1574119917\"",
            "1.574119917E9",
            "\"1574119917.0\"",
        ] {
            let page = page_of(&format!(
                r#"{{"joinTime":{seconds},"leftTime":1574119956881}}"#
            ))
            .unwrap();
            assert_eq!(times(&page, Column::JoinTime), [None], "{seconds}");
            assert_eq!(times(&page, Column::LeftTime), [Some(1_574_119_956_881)]);
            assert_eq!(
                text(&page, Column::Anomaly).as_deref(),
                Some("out_of_range_time")
            );
            assert_eq!(
                text(&page, Column::Extra).as_deref(),
                Some(r#"{"joinTime":1574119917}"#)
            );
        }
    }

    #[test]
    fn a_time_long_after_its_answer_is_out_of_range() {
        let answer = SystemTime::UNIX_EPOCH + Duration::from_secs(1_574_121_000);
        let body = r#"{"data":[{"joinTime":1574119917872,"leftTime":1574207400000},
            {"joinTime":1574119917872,"leftTime":1574207400001}],"offset":0,"count":2}"#;
        let times_of_answer = TimeRange::of_answer(answer);
        let key = DigestKey::default();
        let page = Page::decode_within(times_of_answer, body.as_bytes(), &meeting(), 0, &key);
        let page = page.unwrap();
        assert_eq!(
            times(&page, Column::LeftTime),
            [Some(1_574_207_400_000), None]
        );
        assert_eq!(
            texts(&page, Column::Extra)[1].as_deref(),
            Some(r#"{"leftTime":1574207400001}"#)
        );
    }

    #[test]
    fn a_time_not_given_beside_one_out_of_range_is_not_kept() {
        let page = page_of(r#"{"joinTime":0,"leftTime":7}"#).unwrap();
        assert_eq!(
            text(&page, Column::Extra).as_deref(),
            Some(r#"{"leftTime":7}"#)
        );
    }

    #[test]
    fn odd_texts_lose_no_row() {
        let page = page_of(
            r#"{"displayName":"a\ud800b\udc00","deptName":null},{"displayName":"\u0000😀\u202e"}"#,
        )
        .unwrap();
        assert_eq!(
            texts(&page, Column::DisplayName),
            some(&["a\u{FFFD}b\u{FFFD}", "\0😀\u{202e}"])
        );
        assert_eq!(page.replaced, [0, 0]);
        assert!(
            page_of(r#"{"displayName":"\ud83d\ude00"}"#)
                .unwrap()
                .replaced
                .is_empty()
        );
    }

    #[test]
    fn a_record_that_cannot_be_read_is_named_without_its_content() {
        for (record, what) in [
            ("5", "it is not an object"),
            ("\"secret\"", "it is not an object"),
            (
                r#"{"joinTime":"secret"}"#,
                "member joinTime is not a whole number of milliseconds",
            ),
            (
                r#"{"leftTime":1.5}"#,
                "member leftTime is not a whole number of milliseconds",
            ),
            (
                r#"{"displayName":["secret"]}"#,
                "member displayName is neither a text nor null",
            ),
            (
                r#"{"callNumber":8613900000000}"#,
                "member callNumber is neither a text nor null",
            ),
            (
                r#"{"deptName":"a","deptName":"b"}"#,
                "member deptName stands twice",
            ),
            (
                r#"{"displayName":"\ud800"},{"joinTime":"secret"}"#,
                "member joinTime is not",
            ),
        ] {
            let body = format!(r#"{{"data":[{{}},{record}],"count":2}}"#);
            let error =
                Page::decode(body.as_bytes(), &meeting(), 499, &DigestKey::default()).unwrap_err();
            assert!(
                matches!(error, DecodeError::Record { .. }),
                "{record}: {error}"
            );
            let text = error.to_string();
            assert!(text.contains(what) && text.contains("offset 50"), "{text}");
            assert!(
                !text.contains("secret") && !text.contains("8613900000000"),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_page_is_refused_as_a_whole() {
        for body in [
            "",
            "<html><body>Sign in</body></html>",
            "[]",
            "null",
            r#"{"error_code":"MMC.111070005","error_msg":"CONF_DATA_NOT_FOUND"}"#,
            r#"{"data":[],"offset":0,"limit":500}"#,
            r#"{"data":[],"count":-1}"#,
            r#"{"data":[],"count":"many"}"#,
            r#"{"data":{},"count":0}"#,
            r#"{"offset":0,"limit":500,"count":3}"#,
            r#"{"data":null,"offset":0,"limit":500,"count":3}"#,
            r#"{"data":[],"data":[],"count":0}"#,
            r#"{"error_code":"MMC.111070003","count":0,"data":[],"offset":0}"#,
            r#"{"data":[{"displayName":"a"}],"count":1} x"#,
            r#"{"data":[{"displayName":"a"#,
        ] {
            assert!(
                matches!(decode(body), Err(DecodeError::NotAPage(_))),
                "{body}"
            );
        }
        assert!(matches!(
            Page::decode(
                b"{\"data\":[],\"count\":0,\"x\":\"\xff\"}",
                &meeting(),
                0,
                &DigestKey::default()
            ),
            Err(DecodeError::NotAPage(_))
        ));
    }

    #[test]
    fn a_code_that_says_that_nothing_is_wrong_is_no_error() {
        for code in [
            "null",
            "0",
            "0.0",
            "\"0\"",
            "\"\"",
            "\" \"",
            "\"MMC.000000000\"",
        ] {
            for member in ["error_code", "errorCode"] {
                let body = format!(
                    r#"{{"{member}":{code},"error_msg":"","data":[{{"displayName":"a"}}],
                    "offset":0,"limit":500,"count":1}}"#
                );
                assert_eq!(decode(&body).unwrap().count, 1, "{body}");
            }
        }
        for code in [
            "1",
            "1.0",
            "true",
            "[]",
            "{}",
            "\"A\"",
            "\"0x\"",
            "\"A.\"",
            "\"\\ud800\"",
        ] {
            let body = format!(r#"{{"error_code":{code},"data":[],"count":0}}"#);
            assert!(
                matches!(decode(&body), Err(DecodeError::NotAPage(_))),
                "{body}"
            );
        }
    }

    #[test]
    fn an_answer_too_long_for_a_column_is_refused_unread() {
        // Never touched, hence never in memory.
        let body = vec![0; LONGEST + 1];
        let error = Page::decode(&body, &meeting(), 0, &DigestKey::default()).unwrap_err();
        assert!(error.to_string().contains("it is too long"), "{error}");
    }

    #[test]
    fn more_records_than_a_page_may_hold_are_refused_as_such() {
        let error = page_of(&vec!["{}"; MOST_RECORDS + 1].join(",")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the answer is no page of records: it has more than 10000 records"
        );
    }

    #[test]
    fn a_fault_in_json_is_the_records_and_not_of_the_transmission() {
        for (record, what) in [
            (r#"{"joinTime":1e400}"#, "member joinTime is not"),
            (r#"{"leftTime":"\ud800"}"#, "member leftTime is not"),
            (
                r#"{"deptName":"\ud800","joinTime":1e400}"#,
                "member joinTime is not",
            ),
            (r#""\ud800""#, "it is not an object"),
        ] {
            let error = page_of(record).unwrap_err();
            assert!(matches!(error, DecodeError::Record { .. }), "{error}");
            assert!(error.to_string().contains(what), "{error}");
        }
    }

    #[test]
    fn null_data_with_count_0_is_an_empty_page() {
        for body in [
            r#"{"data":null,"count":0}"#,
            r#"{"count":0}"#,
            r#"{"data":[],"count":0}"#,
        ] {
            let page = decode(body).unwrap();
            assert_eq!((page.count, page.records.num_rows()), (0, 0), "{body}");
        }
    }

    #[test]
    fn deep_nesting_is_bounded_work() {
        let deep = "[".repeat(200_000);
        assert!(decode(&deep).is_err());
        assert!(decode(&format!(r#"{{"data":[{{"x":{deep}"#)).is_err());
        assert!(decode(&format!(r#"{{"x":{deep}"#)).is_err());
    }

    proptest! {
        #[test]
        fn never_panics_on_any_bytes(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _outcome = Page::decode(&body, &meeting(), 0, &DigestKey::default());
        }

        #[test]
        fn never_panics_on_a_mutated_page(at in 0..ENGLISH.len(), byte: u8, cut in 0..ENGLISH.len()) {
            let mut body = ENGLISH.as_bytes().to_vec();
            body[at] = byte;
            body.truncate(cut.max(at));
            if let Ok(page) = Page::decode(&body, &meeting(), 0, &DigestKey::default()) {
                prop_assert_eq!(page.records.num_columns(), Column::ALL.len());
            }
        }
    }
}
