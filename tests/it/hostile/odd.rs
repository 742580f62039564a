//! Pages as no sane server would send them, and what damage makes of pages.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::Union;

pub(crate) const FIXTURES: [&str; 4] = [
    include_str!("../fixtures/attendee-record.en-US.json"),
    include_str!("../fixtures/attendee-record.zh-CN.json"),
    include_str!("../fixtures/history-list.json"),
    include_str!("../fixtures/throttled-429.json"),
];

/// Values that have been trouble somewhere: whole, or almost.
const NUMBERS: [&str; 32] = [
    "0",
    "-0",
    "00",
    "01",
    "-",
    "+1",
    "1.",
    ".5",
    "1.0",
    "0.0",
    "1e3",
    "1E+3",
    "1e-400",
    "1e400",
    "-1e400",
    "-1",
    "1",
    "499",
    "1574119917872",
    "253402300799999",
    "253402300800000",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999999999999999999999999999",
    "0x10",
    "NaN",
    "Infinity",
    "1_000",
];

const NAMES: [&str; 16] = [
    "displayName",
    "callNumber",
    "deviceType",
    "mediaType",
    "deptName",
    "joinTime",
    "leftTime",
    "display\\u004eame",
    "join\\u0054ime",
    "displayname",
    "role",
    "data",
    "",
    "\\ud800",
    "\\u0000\\\"",
    "extra 😀",
];

const ENVELOPE: [&str; 10] = [
    "data",
    "offset",
    "limit",
    "count",
    "co\\u0075nt",
    "error_code",
    "errorCode",
    "error_msg",
    "\\udfff",
    "more",
];

const TOKENS: [&str; 24] = [
    "null",
    "true",
    "{}",
    "[]",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u",
    "\\ud83d",
    "\\ude00",
    "\\\\",
    "\"count\":",
    "\"data\":[",
    "\"joinTime\":",
    "\"error_code\":null,",
    "\u{feff}",
    "\0",
    "\n",
    "\u{7f}é中😀",
];

fn space() -> impl Strategy<Value = String> {
    select(&["", "", "", "", " ", "\n    ", "\t\r\n"][..]).prop_map(str::to_owned)
}

/// The inside of a text, seldom with what may not stand there.
fn letters() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        60 => "[ -!#-\\[\\]-~]{0,8}",
        12 => "[^\\x00-\\x1f\"\\\\]{0,4}",
        10 => select(&["\\n", "\\\"", "\\\\", "\\/", "\\t", "\\b"][..]).prop_map(str::to_owned),
        10 => any::<u16>().prop_map(|unit| format!("\\u{unit:04x}")),
        4 => Just("\\ud83d\\uDE00".to_owned()),
        6 => select(&["\\ud800", "\\uDBFF", "\\udc00", "\\uDFFF"][..]).prop_map(str::to_owned),
        1 => select(&["\n", "\0", "\\x", "\\ud8", "\\u+123", "\t"][..]).prop_map(str::to_owned),
    ];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn text() -> impl Strategy<Value = String> {
    letters().prop_map(|letters| format!("\"{letters}\""))
}

fn time() -> impl Strategy<Value = String> {
    prop_oneof![
        30 => (0..=253_402_300_799_999_i64).prop_map(|ms| ms.to_string()),
        30 => (1_574_119_917_000_i64..1_574_119_918_000).prop_map(|ms| ms.to_string()),
        5 => any::<i64>().prop_map(|ms| ms.to_string()),
        5 => any::<i64>().prop_map(|ms| format!("\"{ms}\"")),
        5 => any::<u64>().prop_map(|ms| format!("\" {ms}\\t\"")),
        5 => select(&["0", "null", "\"0\"", "\"-0\"", "\"+7\"", "\"007\"", "\"\\u0031\""][..])
            .prop_map(str::to_owned),
        1 => select(&["\"\"", "\"\\ud800\"", "\"1e3\"", "\"1 2\"", "{}", "false"][..])
            .prop_map(str::to_owned),
        1 => select(&NUMBERS[..]).prop_map(|number| format!("\"{number}\"")),
        2 => select(&NUMBERS[..]).prop_map(str::to_owned),
        1 => proptest::collection::vec(0..10_u8, 20..500)
            .prop_map(|digits| digits.iter().map(u8::to_string).collect()),
    ]
}

/// Any value.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => text(),
        2 => time(),
        2 => select(&["null", "true", "false", "[]", "{}"][..]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec((space(), inner.clone()), 0..3).prop_map(list),
            proptest::collection::vec((text(), space(), inner), 0..3).prop_map(|members| {
                let members = members
                    .into_iter()
                    .map(|(name, space, value)| (space, format!("{name}:{value}")));
                object(members.collect())
            }),
        ]
    })
    .boxed()
}

fn list(values: Vec<(String, String)>) -> String {
    let values: Vec<_> = values
        .into_iter()
        .map(|(space, value)| format!("{space}{value}{space}"))
        .collect();
    format!("[{}]", values.join(","))
}

fn object(members: Vec<(String, String)>) -> String {
    let list = list(members);
    format!("{{{}}}", &list[1..list.len() - 1])
}

fn deep() -> impl Strategy<Value = String> {
    (
        prop_oneof![100..140_usize, 1_000..5_000_usize],
        any::<bool>(),
    )
        .prop_map(|(levels, is_list)| {
            let (open, close) = if is_list {
                ("[", "]")
            } else {
                ("{\"a\":", "}")
            };
            [&open.repeat(levels), "0", &close.repeat(levels)].concat()
        })
}

/// A member whose value is mostly of the type that its name wants.
fn member(name: &'static str) -> impl Strategy<Value = (String, String)> {
    let fit = match name {
        "joinTime" | "leftTime" | "join\\u0054ime" => time().boxed(),
        "displayName" | "callNumber" | "deviceType" | "mediaType" | "deptName" => {
            prop_oneof![9 => text(), 1 => Just("null".to_owned())].boxed()
        }
        "display\\u004eame" => text().boxed(),
        _ => prop_oneof![30 => value(), 1 => deep()].boxed(),
    };
    let value = prop_oneof![60 => fit, 1 => value()];
    (space(), value).prop_map(move |(space, value)| {
        (space.clone(), format!("\"{name}\"{space}:{space}{value}"))
    })
}

fn record() -> impl Strategy<Value = String> {
    let members = proptest::sample::subsequence(NAMES.to_vec(), 0..8)
        .prop_flat_map(|names| names.into_iter().map(member).collect::<Vec<_>>())
        .prop_shuffle();
    let any_members = select(&NAMES[..]).prop_flat_map(member);
    let any_members = proptest::collection::vec(any_members, 0..4);
    prop_oneof![
        40 => members.prop_map(object),
        4 => any_members.prop_map(object),
        1 => value(),
    ]
}

fn records() -> impl Strategy<Value = String> {
    prop_oneof![
        30 => proptest::collection::vec((space(), record()), 0..5).prop_map(list),
        1 => (9_990..10_010_usize).prop_map(|count| format!("[{}{{}}]", "{},".repeat(count))),
        1 => Just("null".to_owned()),
        1 => value(),
    ]
}

fn figure() -> impl Strategy<Value = String> {
    prop_oneof![
        20 => (0..2_000_u32).prop_map(|figure| figure.to_string()),
        3 => (0..2_000_u32).prop_map(|figure| format!("\"{figure}\"")),
        2 => time(),
        1 => value(),
    ]
}

fn envelope_member(name: &'static str) -> impl Strategy<Value = (String, String)> {
    let value: BoxedStrategy<String> = match name {
        "data" => records().boxed(),
        "offset" | "limit" | "count" | "co\\u0075nt" => figure().boxed(),
        "error_code" | "errorCode" => {
            prop_oneof![6 => Just("null".to_owned()), 1 => value()].boxed()
        }
        _ => prop_oneof![20 => value(), 1 => deep()].boxed(),
    };
    (space(), value).prop_map(move |(space, value)| {
        (space.clone(), format!("{space}\"{name}\":{space}{value}"))
    })
}

/// A page, mostly one that can be read.
pub(crate) fn page() -> impl Strategy<Value = String> {
    let usual = ["data", "offset", "limit", "count"];
    let rest = proptest::sample::subsequence(ENVELOPE[5..].to_vec(), 0..3);
    let usual = rest
        .prop_flat_map(move |rest| {
            let names = usual.into_iter().chain(rest);
            names.map(envelope_member).collect::<Vec<_>>()
        })
        .prop_shuffle();
    let any_members =
        proptest::collection::vec(select(&ENVELOPE[..]).prop_flat_map(envelope_member), 0..7);
    let members = Union::new_weighted(vec![(8, usual.boxed()), (1, any_members.boxed())]);
    let edge = prop_oneof![
        60 => space(),
        1 => select(&["\u{feff}", "x", "{}", "\0"][..]).prop_map(str::to_owned),
    ];
    (edge.clone(), members, edge)
        .prop_map(|(before, members, after)| format!("{before}{}{after}", object(members)))
}

/// One way in which bytes go wrong.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    Byte(Index, u8),
    Bit(Index, u8),
    Insert(Index, Vec<u8>),
    Delete(Index, usize),
    Truncate(Index),
    Repeat(Index, Index, usize),
    Swap(Index, Index, usize),
    Utf16,
}

fn damage() -> impl Strategy<Value = Damage> {
    let token = prop_oneof![
        2 => select(&TOKENS[..]).prop_map(|token| token.as_bytes().to_vec()),
        1 => select(&NUMBERS[..]).prop_map(|token| token.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 1..4),
    ];
    prop_oneof![
        8 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        8 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Damage::Bit(at, bit)),
        12 => (any::<Index>(), token).prop_map(|(at, token)| Damage::Insert(at, token)),
        8 => (any::<Index>(), 1..40_usize).prop_map(|(at, length)| Damage::Delete(at, length)),
        2 => any::<Index>().prop_map(Damage::Truncate),
        8 => (any::<Index>(), any::<Index>(), 1..60_usize)
            .prop_map(|(from, to, length)| Damage::Repeat(from, to, length)),
        8 => (any::<Index>(), any::<Index>(), 1..20_usize)
            .prop_map(|(one, other, length)| Damage::Swap(one, other, length)),
        1 => Just(Damage::Utf16),
    ]
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let size = bytes.len();
        let piece = |at: &Index, length: usize| {
            let at = at.index(size);
            at..size.min(at + length)
        };
        match self {
            Self::Byte(at, byte) => bytes[at.index(size)] = *byte,
            Self::Bit(at, bit) => bytes[at.index(size)] ^= 1 << bit,
            Self::Insert(at, token) => {
                bytes.splice(at.index(size)..at.index(size), token.iter().copied());
            }
            Self::Delete(at, length) => {
                bytes.drain(piece(at, *length));
            }
            Self::Truncate(at) => bytes.truncate(at.index(size)),
            Self::Repeat(from, to, length) => {
                let copy = bytes[piece(from, *length)].to_vec();
                bytes.splice(to.index(size)..to.index(size), copy);
            }
            Self::Swap(one, other, length) => {
                for step in 0..*length {
                    let (one, other) = (one.index(size) + step, other.index(size) + step);
                    if one < size && other < size {
                        bytes.swap(one, other);
                    }
                }
            }
            Self::Utf16 => {
                let text = String::from_utf8_lossy(bytes).into_owned();
                *bytes = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            }
        }
    }
}

/// Bytes with a few damages done to them.
pub(crate) fn damaged(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (bytes, proptest::collection::vec(damage(), 1..4)).prop_map(|(mut bytes, damages)| {
        for damage in damages {
            damage.apply(&mut bytes);
        }
        bytes
    })
}

/// One of the documented examples, or a page of the kind above.
pub(crate) fn any_page() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        select(&FIXTURES[..]).prop_map(|page| page.as_bytes().to_vec()),
        page().prop_map(String::into_bytes),
    ]
}
