//! Hostile bytes: whatever an answer holds, the decoder reads it as a second reader does, written
//! apart from it, or refuses it as that reader does.
//!
//! `PROPTEST_CASES` makes the search as long as wanted.

mod odd;
mod reference;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use reference::agree;
use rstest::rstest;

/// Bytes that are legible where a law does not hold.
struct Body(Vec<u8>);

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_as_the_reference_reads_them(
        body in proptest::collection::vec(any::<u8>(), 0..200).prop_map(Body),
    ) {
        agree(&body.0, 0);
    }

    #[test]
    fn an_odd_page_is_read_as_the_reference_reads_it(
        page in odd::page(),
        asked in prop_oneof![Just(0_u64), Just(998), Just(i64::MAX as u64 - 2), any::<u64>()],
    ) {
        agree(page.as_bytes(), asked);
    }

    #[test]
    fn a_damaged_page_is_read_as_the_reference_reads_it(
        body in odd::damaged(odd::any_page()).prop_map(Body),
    ) {
        agree(&body.0, 998);
    }
}

#[test]
fn the_laws_see_pages_of_both_kinds() {
    let mut runner = TestRunner::deterministic();
    let mut accepted = |pages: BoxedStrategy<Vec<u8>>| {
        (0..200)
            .filter(|_| agree(&pages.new_tree(&mut runner).unwrap().current(), 0))
            .count()
    };
    let odd = accepted(odd::page().prop_map(String::into_bytes).boxed());
    assert!((40..190).contains(&odd), "{odd} of 200 odd pages");
    let damaged = accepted(odd::damaged(odd::any_page()).boxed());
    assert!(
        (10..150).contains(&damaged),
        "{damaged} of 200 damaged pages"
    );
}

#[rstest]
#[case::a_control_character_and_an_escape("{\"displayName\":\"a\nb\",\"deptName\":\"\\u00e9\"}")]
#[case::a_control_character_and_a_surrogate("{\"displayName\":\"a\nb\",\"deptName\":\"\\ud800\"}")]
#[case::the_largest_time_as_a_text(r#"{"joinTime":"18446744073709551615"}"#)]
#[case::a_time_too_large_for_a_float(r#"{"joinTime":1e400}"#)]
#[case::a_name_that_is_such_a_number(r#"{"displayName":1e400}"#)]
#[case::such_a_number_behind_a_surrogate(r#"{"displayName":"\ud800","leftTime":1e400}"#)]
#[case::such_a_number_where_nobody_reads_it(r#"{"more":1e400}"#)]
#[case::a_time_that_is_a_surrogate(r#"{"leftTime":"\ud800"}"#)]
#[case::a_record_that_is_a_surrogate(r#""\ud800""#)]
#[case::a_surrogate_as_name(r#"{"\ud800":1}"#)]
#[case::surrogates_in_pairs_and_alone(r#"{"a\u0062\udc00\ud83d\ude00":"\ud800"}"#)]
#[case::a_name_with_an_escape(r#"{"display\u004eame":"a","joinTime":5,"leftTime":3}"#)]
#[case::a_name_twice_once_with_an_escape(r#"{"display\u004eame":"a","displayName":"b"}"#)]
fn a_record_of_known_trouble_is_read_as_the_reference_reads_it(#[case] record: &str) {
    for asked in [0, 998, i64::MAX as u64 - 1, i64::MAX as u64, u64::MAX] {
        agree(
            format!(r#"{{"data":[{{}},{record}],"count":2}}"#).as_bytes(),
            asked,
        );
    }
}

#[rstest]
#[case::nothing("")]
#[case::two_counts(r#"{"count":2,"data":[],"count":1}"#)]
#[case::two_data(r#"{"count":0,"data":null,"data":[]}"#)]
#[case::a_count_with_an_exponent(r#"{"count":1e3,"data":[]}"#)]
#[case::a_negative_zero(r#"{"count":-0,"data":[]}"#)]
#[case::a_leading_zero(r#"{"count":01,"data":[]}"#)]
#[case::a_count_beyond_all(r#"{"count":18446744073709551615,"data":[]}"#)]
#[case::an_offset_beyond_all(r#"{"count":1,"data":[{}],"offset":18446744073709551615}"#)]
#[case::a_surrogate_as_error(r#"{"count":0,"error_code":"\ud800"}"#)]
#[case::no_error(r#"{"count":0,"error_code":0,"errorCode":"0"}"#)]
#[case::no_error_in_other_words(r#"{"count":0,"error_code":" ","errorCode":"MMC.000000000"}"#)]
#[case::no_error_by_an_escape(r#"{"count":0,"error_code":"\u0030","errorCode":-0.0}"#)]
#[case::an_error_beside_none(r#"{"count":0,"error_code":0,"errorCode":"1"}"#)]
#[case::an_error_of_two_dots(r#"{"count":0,"error_code":"0.0.0"}"#)]
#[case::an_error_without_a_number(r#"{"count":0,"error_code":"MMC."}"#)]
#[case::surrogates_where_nobody_reads_them(r#"{"count":0,"\ud800":"\ud800"}"#)]
#[case::a_byte_order_mark("\u{feff}{\"count\":0}")]
#[case::a_zero_byte_behind("{\"count\":0}\0")]
fn a_page_of_known_trouble_is_read_as_the_reference_reads_it(#[case] page: &str) {
    agree(page.as_bytes(), 0);
    let utf_16: Vec<u8> = page.encode_utf16().flat_map(u16::to_le_bytes).collect();
    agree(&utf_16, 0);
}

#[test]
fn a_page_of_very_many_records_is_read_as_the_reference_reads_it() {
    for records in [9_999, 10_000, 10_001] {
        let data = vec!["{}"; records].join(",");
        let is_read = agree(format!(r#"{{"count":0,"data":[{data}]}}"#).as_bytes(), 0);
        assert_eq!(is_read, records <= 10_000);
    }
}
