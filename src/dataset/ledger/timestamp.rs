//! Instants of entries, as they are written: an entry has two for each of its meetings, and reading
//! them by a parser of all forms takes a third of opening a large dataset. Other forms are left to
//! that parser.

use std::fmt;
use std::ops::Range;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserializer, de};

/// Reads an instant as RFC 3339.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<DateTime<Utc>, D::Error> {
    from.deserialize_str(Instant)
}

struct Instant;

impl de::Visitor<'_> for Instant {
    type Value = DateTime<Utc>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an RFC 3339 formatted date and time string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        match as_written(text.as_bytes()) {
            Some(instant) => Ok(instant),
            None => text.parse().map_err(E::custom),
        }
    }
}

/// `2026-11-23T05:10:02.011645081Z`, with any number of decimals up to nine.
fn as_written(text: &[u8]) -> Option<DateTime<Utc>> {
    let (whole, decimals) = text.strip_suffix(b"Z")?.split_at_checked(19)?;
    let has_form = (0..).zip(whole).all(|(at, &byte)| match at {
        4 | 7 => byte == b'-',
        10 => byte == b'T',
        13 | 16 => byte == b':',
        _ => byte.is_ascii_digit(),
    });
    let nanos = match decimals {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            let missing = u32::try_from(9 - digits.len()).ok()?;
            number(digits)? * 10_u32.pow(missing)
        }
        _ => return None,
    };
    if !has_form {
        return None;
    }
    let part = |at: Range<usize>| number(whole.get(at)?);
    let year = i32::try_from(part(0..4)?).ok()?;
    NaiveDate::from_ymd_opt(year, part(5..7)?, part(8..10)?)?
        .and_hms_nano_opt(part(11..13)?, part(14..16)?, part(17..19)?, nanos)
        .map(|instant| instant.and_utc())
}

/// Up to nine decimal digits.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u32::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_instant_is_read_as_the_parser_of_all_forms_reads_it(
            seconds in 0_i64..253_402_300_800,
            nanos in prop_oneof![
                Just(0_u32),
                (0_u32..1_000).prop_map(|millis| millis * 1_000_000),
                0_u32..1_000_000_000,
            ],
        ) {
            let instant = DateTime::from_timestamp(seconds, nanos).unwrap();
            let text = serde_json::to_string(&instant).unwrap();
            let text = text.trim_matches('"');
            prop_assert_eq!(as_written(text.as_bytes()), Some(instant), "{}", text);
        }

        #[test]
        fn what_is_read_here_is_an_instant_elsewhere(
            text in "[0-9]{3,4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{0,10})?Z?",
        ) {
            if let Some(instant) = as_written(text.as_bytes()) {
                prop_assert_eq!(text.parse(), Ok(instant));
            }
        }
    }

    #[test]
    fn other_forms_are_read_too() {
        for (text, expected) in [
            ("\"2026-11-01T08:00:00+08:00\"", "2026-11-01T00:00:00Z"),
            ("\"2016-12-31T23:59:60Z\"", "2016-12-31T23:59:60Z"),
            ("\"2026-11-01t00:00:00z\"", "2026-11-01T00:00:00Z"),
        ] {
            let mut json = serde_json::Deserializer::from_str(text);
            let expected: DateTime<Utc> = expected.parse().unwrap();
            assert_eq!(deserialize(&mut json).unwrap(), expected, "{text}");
        }
        for text in ["\"2026-13-01T00:00:00Z\"", "\"\"", "\"soon\"", "7"] {
            let mut json = serde_json::Deserializer::from_str(text);
            assert!(deserialize(&mut json).is_err(), "{text}");
        }
    }
}
