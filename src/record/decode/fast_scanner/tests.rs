//! The scanner beside the visitor: whatever it takes, the visitor takes and reads alike.

#[path = "../../../../tests/it/hostile/odd.rs"]
mod odd;

use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;
use crate::record::decode::Page;
use crate::record::decode::serde_visitor::visit;
use crate::record::digest::DigestKey;
use crate::values::ConfUuid;

fn meeting() -> ConfUuid {
    "9a0fa6d10a5b11eaae5e191763c22c0e".parse().unwrap()
}

/// Whether the scanner takes a page; if so, the visitor reads the same in it.
fn agree(text: &str) -> bool {
    let times = TimeRange::of_answer(SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000));
    let Some(scanned) = scan(text, times) else {
        return false;
    };
    let visited = visit(text, 0, times).unwrap_or_else(|error| panic!("{error} in {text}"));
    let figures = |envelope: &Envelope| {
        let Envelope {
            offset,
            limit,
            count,
            has_data,
            is_error,
            ..
        } = *envelope;
        (offset, limit, count, has_data, is_error)
    };
    assert_eq!(figures(&scanned), figures(&visited), "{text}");
    assert_eq!(scanned.replaced, visited.replaced, "{text}");
    let records = |envelope: Envelope| envelope.columns.finish(&meeting(), 0).unwrap();
    assert_eq!(records(scanned), records(visited), "{text}");
    true
}

/// Pages as the API may send them: one order of members and one whitespace for all records, some
/// of which lack a member or have one more.
fn usual() -> impl Strategy<Value = String> {
    let names = Just(MEMBERS.to_vec()).prop_shuffle();
    let style = select(&[("", "", ""), ("", " ", ""), ("\n      ", " ", "\n    ")][..]);
    let text = select(
        &[
            r#""""#,
            r#""a""#,
            r#""1234567""#,
            r#""12345678""#,
            r#""123456789""#,
            r#""王 小明""#,
            r#""\"é\\\u738b\n""#,
            r#""\ud83d\ude00""#,
            "null",
        ][..],
    );
    let time = select(
        &[
            "0",
            "1574119917872",
            "\"1574119917872\"",
            "null",
            "253402300800000",
            "1574119917",
            "1262304000000",
            "1262303999999",
            "1600086400000",
            "1600086400001",
        ][..],
    );
    let more = prop_oneof![
        20 => Just(None),
        1 => select(&[r#""role":1"#, r#""a\u0062":[]"#, r#""tags":["x", {"y":null}]"#][..])
            .prop_map(Some),
    ];
    let lacks = prop_oneof![12 => Just(None), 1 => (0..MEMBERS.len()).prop_map(Some)];
    let record = (
        proptest::array::uniform5(text),
        proptest::array::uniform2(time),
        more,
        lacks,
    );
    (names, style, proptest::collection::vec(record, 0..12)).prop_map(
        |(names, (before, between, end), records)| {
            let record = |(texts, times, more, lacks): ([&str; 5], [&str; 2], Option<&str>, _)| {
                let value = |name: &str| {
                    let index = MEMBERS.iter().position(|known| *known == name).unwrap();
                    (Some(index) != lacks).then(|| {
                        let value = [texts.as_slice(), &times].concat()[index];
                        format!("{before}\"{name}\":{between}{value}")
                    })
                };
                let more = more.map(|more| format!("{before}{more}"));
                let members: Vec<_> = names.iter().filter_map(|name| value(name)).collect();
                let (first, rest) = members.split_at(members.len() / 2);
                let members: Vec<_> = first.iter().chain(&more).chain(rest).cloned().collect();
                format!("{{{}{end}}}", members.join(","))
            };
            let count = records.len();
            let records: Vec<_> = records.into_iter().map(record).collect();
            let records = records.join(&format!(",{before}"));
            format!(r#"{{"data":[{records}],{before}"offset":0,"limit":500,"count":{count}}}"#)
        },
    )
}

proptest! {
    #[test]
    fn a_usual_page_is_taken_and_read_as_the_visitor_reads_it(page in usual()) {
        prop_assert!(agree(&page) || page.contains(r"a\u0062"), "not taken");
    }

    #[test]
    fn a_damaged_usual_page_is_read_as_the_visitor_reads_it(
        body in odd::damaged(usual().prop_map(String::into_bytes)),
    ) {
        if let Ok(text) = str::from_utf8(&body) {
            agree(text);
        }
    }

    #[test]
    fn an_odd_page_is_read_as_the_visitor_reads_it(page in odd::page()) {
        agree(&page);
    }

    #[test]
    fn a_damaged_odd_page_is_read_as_the_visitor_reads_it(body in odd::damaged(odd::any_page())) {
        if let Ok(text) = str::from_utf8(&body) {
            agree(text);
        }
    }

    #[test]
    fn a_text_ends_at_the_first_byte_that_it_cannot_hold(
        before in "[ !#-\\[\\]-~é中😀\u{7f}]{0,20}",
        end in select(&b"\"\\\0\x1f\n"[..]),
        after: Vec<u8>,
    ) {
        let bytes = [before.as_bytes(), &[end], &after].concat();
        prop_assert_eq!(plain(&bytes), before.len());
        prop_assert_eq!(plain(before.as_bytes()), before.len());
    }
}

#[test]
fn the_laws_see_pages_that_are_taken_and_others() {
    let mut runner = TestRunner::deterministic();
    let mut taken = |pages: BoxedStrategy<Vec<u8>>| {
        let mut page = || pages.new_tree(&mut runner).unwrap().current();
        (0..200)
            .filter(|_| str::from_utf8(&page()).is_ok_and(agree))
            .count()
    };
    let odd = taken(odd::page().prop_map(String::into_bytes).boxed());
    assert!((20..150).contains(&odd), "{odd} of 200 odd pages");
    let damaged = taken(odd::damaged(usual().prop_map(String::into_bytes)).boxed());
    assert!(
        (10..150).contains(&damaged),
        "{damaged} of 200 damaged pages"
    );
}

#[test]
fn the_documented_examples_are_taken() {
    for example in &odd::FIXTURES[..2] {
        assert!(agree(example));
    }
}

#[test]
fn what_is_unusual_is_left_to_the_visitor() {
    for page in [
        r#"{"data":[{"displayName":"\ud800"}],"count":1}"#,
        r#"{"data":[{"display\u004eame":"a"}],"count":1}"#,
        r#"{"data":[{"joinTime":-1}],"count":1}"#,
        r#"{"data":[{"joinTime":1e3}],"count":1}"#,
        r#"{"data":[{"joinTime":1574119917872.0}],"count":1}"#,
        r#"{"data":[{"joinTime":"1574119917872.0"}],"count":1}"#,
        r#"{"data":[],"count":1.0}"#,
        r#"{"data":[{"joinTime":01}],"count":1}"#,
        r#"{"data":[{"joinTime":" 1"}],"count":1}"#,
        "{\"data\":[{\"joinTime\":\"1\n\"}],\"count\":1}",
        "{\"data\":[{\"displayName\":\"1\n\"}],\"count\":1}",
        r#"{"data":[{"joinTime":9223372036854775808}],"count":1}"#,
        r#"{"data":[{"joinTime":1,"joinTime":1}],"count":1}"#,
        r#"{"data":[{"joinTime":1},],"count":1}"#,
        r#"{"data":[{"joinTime":1,}],"count":1}"#,
        r#"{"data":[{"a":1"b":2}],"count":1}"#,
        r#"{"data":[5],"count":1}"#,
        r#"{"data":null,"count":0}"#,
        r#"{"data":[],"data":[],"count":0}"#,
        r#"{"data":[],"count":0,"error_code":null}"#,
        r#"{"data":[],"count":0}{"#,
    ] {
        assert!(scan(page, TimeRange::OPEN).is_none(), "{page}");
    }
}

#[test]
fn what_differs_from_one_record_to_the_next_is_read() {
    let page = r#"{"data":[{},{"joinTime":1,"displayName":"a"},{"joinTime":2,"displayName":"b"},{},
        {"joinTime":3,"new":[1],"displayName":"c"},{"joinTime":4,"displayName":"d"},
        {"displayName":"e","joinTime":5},{"displayName":"f"}],"count":8}"#;
    assert!(agree(page));
    let page = Page::decode(page.as_bytes(), &meeting(), 0, &DigestKey::default()).unwrap();
    assert_eq!(page.records.num_rows(), 8);
}

#[test]
fn more_records_than_a_page_may_hold_are_not_taken() {
    let page = |records: usize| {
        let records = vec![r#"{"joinTime":1}"#; records].join(",");
        format!(r#"{{"data":[{records}],"count":1}}"#)
    };
    assert!(agree(&page(MOST_RECORDS)));
    assert!(!agree(&page(MOST_RECORDS + 1)));
}
