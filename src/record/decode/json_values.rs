//! Single JSON values, read without allocating where the input allows it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};

use super::serde_visitor::Texts;

/// A whole number, with or without sign, also in the form of a float, a text that holds one, or null.
#[derive(Clone, Copy)]
pub(super) struct Integer;

impl<'de> DeserializeSeed<'de> for Integer {
    type Value = Option<i128>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Integer {
    type Value = Option<i128>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        let value = of_float(value).ok_or_else(|| E::custom("not a whole number"));
        value.map(Some)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let value = whole_number(text).ok_or_else(|| E::custom("not a whole number"));
        value.map(Some)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// The whole number that a text holds: what a number may be, a text may be, too.
pub(crate) fn whole_number(text: &str) -> Option<i128> {
    let text = text.trim();
    let integer = text.parse::<i64>().map(i128::from);
    let integer = integer.or_else(|_| text.parse::<u64>().map(i128::from));
    integer
        .ok()
        .or_else(|| text.parse().ok().and_then(of_float))
}

/// The whole number that a float is, or misses by no more than its own precision.
fn of_float(value: f64) -> Option<i128> {
    /// The smallest power of two that does not fit.
    const TOO_LARGE: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;
    let whole = value.round();
    // False for what is no number.
    let is_whole = (value - whole).abs() <= whole.abs() * f64::EPSILON;
    #[expect(clippy::cast_possible_truncation, reason = "it fits, and is whole")]
    (is_whole && whole.abs() < TOO_LARGE).then_some(whole as i128)
}

/// A member's name, and how many surrogates were replaced in it.
#[derive(Clone, Copy)]
pub(super) struct Key(pub(super) Texts);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = (Cow<'de, str>, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.0 {
            Texts::Strict => deserializer.deserialize_str(self),
            Texts::Lossy => deserializer.deserialize_bytes(self),
        }
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = (Cow<'de, str>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok((Cow::Owned(text.to_owned()), 0))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok((Cow::Borrowed(text), 0))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        let (text, replaced) = without_surrogates(bytes).map_err(E::custom)?;
        Ok((Cow::Owned(text.into_owned()), replaced))
    }
}

/// Replaces each surrogate in otherwise valid UTF-8 by U+FFFD; tells how many there were.
///
/// `serde_json` hands out a text read as bytes with its lone surrogates encoded in three bytes,
/// the first of which is `ED` and the second at least `A0`; valid UTF-8 never has that pair.
pub(super) fn without_surrogates(
    bytes: &[u8],
) -> Result<(Cow<'_, str>, usize), std::str::Utf8Error> {
    let first_error = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok((Cow::Borrowed(text), 0)),
        Err(error) => error,
    };
    let mut text = bytes.to_vec();
    let mut replaced = 0;
    let mut at = first_error.valid_up_to();
    while at + 2 < text.len() {
        if text[at] == 0xED && text[at + 1] >= 0xA0 {
            text[at..at + 3].copy_from_slice("\u{FFFD}".as_bytes());
            replaced += 1;
        }
        at += 1;
    }
    let text = String::from_utf8(text).map_err(|error| error.utf8_error())?;
    Ok((Cow::Owned(text), replaced))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_read_in_each_way_of_writing_it() {
        for (text, value) in [
            ("1574119917872", 1_574_119_917_872),
            (" +7 ", 7),
            ("1.574119917872E12", 1_574_119_917_872),
            ("1574119917872.000000000000", 1_574_119_917_872),
            ("-1.0", -1),
            ("0.0", 0),
            ("18446744073709551615", u64::MAX.into()),
            ("1e30", 1_000_000_000_000_000_019_884_624_838_656),
        ] {
            assert_eq!(whole_number(text), Some(value), "{text}");
        }
        for other in [
            "",
            "1.5",
            "1574119917872.5",
            "NaN",
            "inf",
            "1e39",
            "1_000",
            "0x10",
        ] {
            assert_eq!(whole_number(other), None, "{other}");
        }
    }

    #[test]
    fn a_surrogate_is_replaced_and_its_neighbours_are_kept() {
        let (text, replaced) = without_surrogates(b"a\xED\xA0\x80\xE4\xB8\xADb").unwrap();
        assert_eq!((text.as_ref(), replaced), ("a\u{FFFD}中b", 1));
        let (text, replaced) = without_surrogates("中\u{D7FF}".as_bytes()).unwrap();
        assert_eq!((text.as_ref(), replaced), ("中\u{D7FF}", 0));
    }

    #[test]
    fn other_broken_bytes_are_refused() {
        assert!(without_surrogates(b"a\xFFb").is_err());
        assert!(without_surrogates(b"\xED\xA0").is_err());
    }
}
