//! The identifier of one historical meeting: the API's `confUUID`.
//!
//! Parsed once at the border; inside the library a [`ConfUuid`] is always well formed, so it
//! may stand in a URL, a log line or a ledger entry. It never becomes a file name.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Longest UUID that is held in place: ample for 32 digits with dashes, and lists have millions.
const SHORT: usize = 38;

/// Digits of a conference ID, which people dial.
const CONFERENCE_ID: usize = 9;

/// Positions of the dashes in the usual spelling of a UUID.
const DASHES: [usize; 4] = [8, 13, 18, 23];

/// The UUID of one meeting: 1 to 64 characters of `0-9`, `A-Z`, `a-z` and `-`.
///
/// The API's examples show 32 lower-case hexadecimal digits without dashes, but nothing in its
/// documentation promises that, so the form is not held to be narrower than this. Parsing a text of
/// a person or a spreadsheet brings 32 such digits, in upper case or with the usual dashes, into the
/// API's form: all spellings are one meeting.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfUuid(Repr);

#[derive(Clone, PartialEq, Eq)]
enum Repr {
    /// Padded with zeros.
    Short {
        length: u8,
        bytes: [u8; SHORT],
    },
    Long(Arc<str>),
}

impl ConfUuid {
    /// Reads a UUID as the API or a ledger spells it, whatever that spelling is.
    pub(crate) fn verbatim(text: &str) -> Result<Self, InvalidConfUuid> {
        let plausible = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if plausible {
            Ok(Self::of(text))
        } else {
            Err(InvalidConfUuid::Form)
        }
    }

    fn of(text: &str) -> Self {
        let mut bytes = [0; SHORT];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(text.as_bytes());
                Self(Repr::Short { length, bytes })
            }
            _ => Self(Repr::Long(text.into())),
        }
    }

    /// The UUID as the API spells it.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Short { length, bytes } => {
                let text = bytes.get(..usize::from(*length)).unwrap_or_default();
                // ASCII by construction.
                std::str::from_utf8(text).unwrap_or_default()
            }
            Repr::Long(text) => text,
        }
    }

    /// Whether the UUID has the API's documented form: 32 lower-case hexadecimal digits.
    pub(crate) fn is_documented(&self) -> bool {
        let text = self.as_str();
        text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    }
}

/// A text that is no plausible meeting UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConfUuid {
    /// The text is too long, or has characters that no UUID has.
    #[error("not a meeting UUID: expected 1 to 64 letters, digits or dashes")]
    Form,
    /// The text is the number that people dial: each meeting held under it has a UUID of its own.
    #[error(
        "a conference ID of nine digits, which people dial, and no meeting UUID: the history list \
         has the confUUID of each meeting that was held under it"
    )]
    ConferenceId,
}

impl FromStr for ConfUuid {
    type Err = InvalidConfUuid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_conference_id(text) {
            return Err(InvalidConfUuid::ConferenceId);
        }
        match documented(text) {
            Some(text) => Ok(Self::of(&text)),
            None => Self::verbatim(text),
        }
    }
}

/// Whether a text is a conference ID, in groups or not.
fn is_conference_id(text: &str) -> bool {
    let is_group = |b: u8| b.is_ascii_digit() || b == b' ' || b == b'-';
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    digits == CONFERENCE_ID && text.bytes().all(is_group)
}

/// Brings 32 hexadecimal digits, in upper case or with the usual dashes, into the API's form.
fn documented(text: &str) -> Option<String> {
    let is_dashed = match text.len() {
        32 => false,
        36 => DASHES
            .iter()
            .all(|&at| text.as_bytes().get(at) == Some(&b'-')),
        _ => return None,
    };
    let digits: String = text
        .char_indices()
        .filter(|(at, _)| !(is_dashed && DASHES.contains(at)))
        .map(|(_, digit)| digit.to_ascii_lowercase())
        .collect();
    let is_hex = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex.then_some(digits)
}

impl PartialOrd for ConfUuid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ConfUuid {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

/// As its text does, which stands for it in look-ups.
impl Hash for ConfUuid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for ConfUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConfUuid").field(&self.as_str()).finish()
    }
}

impl fmt::Display for ConfUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Borrow<str> for ConfUuid {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl Serialize for ConfUuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ConfUuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Parsing)
    }
}

/// Parses the text where it lies: a ledger has a million of them.
struct Parsing;

impl de::Visitor<'_> for Parsing {
    type Value = ConfUuid;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a meeting UUID")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ConfUuid, E> {
        ConfUuid::verbatim(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_letters_digits_and_dashes_up_to_64() {
        for text in [
            "a",
            "9a0fa6d10a5b11eaae5e191763c22c0e",
            "A-b-9",
            &"x".repeat(38),
            &"x".repeat(39),
            &"x".repeat(64),
        ] {
            assert_eq!(text.parse::<ConfUuid>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn refuses_what_could_leave_a_url_or_a_folder() {
        for text in [
            "",
            "../../etc/passwd",
            "a b",
            "a/b",
            "a?b",
            "é",
            &"x".repeat(65),
        ] {
            assert_eq!(text.parse::<ConfUuid>(), Err(InvalidConfUuid::Form));
        }
    }

    #[test]
    fn each_spelling_of_32_digits_is_one_meeting_in_the_apis_form() {
        for text in [
            "9a0fa6d10a5b11eaae5e191763c22c0e",
            "9A0FA6D10A5B11EAAE5E191763C22C0E",
            "9a0fa6d1-0a5b-11ea-ae5e-191763c22c0e",
            "9A0FA6D1-0A5B-11EA-AE5E-191763C22C0E",
        ] {
            let meeting: ConfUuid = text.parse().unwrap();
            assert_eq!(meeting.as_str(), "9a0fa6d10a5b11eaae5e191763c22c0e");
            assert!(meeting.is_documented());
            // What the API says is asked as it says it.
            let told: ConfUuid = serde_json::from_str(&format!("\"{text}\"")).unwrap();
            assert_eq!(told.as_str(), text);
        }
        // Another form may be the API's.
        for text in [
            "9A0FA6D1-0A5B-11EA-AE5E191763C22C0E",
            "9A0FA6D10-A5B-11EA-AE5E-191763C22C0E",
            "GA0FA6D10A5B11EAAE5E191763C22C0E",
            "9A0FA6D10A5B11EAAE5E191763C22C0E0",
        ] {
            let meeting: ConfUuid = text.parse().unwrap();
            assert_eq!(meeting.as_str(), text);
            assert!(!meeting.is_documented());
        }
    }

    #[test]
    fn a_conference_id_is_told_from_a_uuid() {
        for text in ["914083388", "914 083 388", "914-083-388"] {
            let refused = text.parse::<ConfUuid>();
            assert_eq!(refused, Err(InvalidConfUuid::ConferenceId), "{text}");
        }
        for text in ["91408338", "9140833880", "a14083388", "914083388-1"] {
            assert!(text.parse::<ConfUuid>().is_ok(), "{text}");
        }
    }

    #[test]
    fn a_list_of_millions_costs_forty_bytes_each() {
        assert_eq!(size_of::<ConfUuid>(), 40);
    }

    proptest! {
        #[test]
        fn a_uuid_stands_for_its_text(one in "[0-9a-zA-Z-]{1,64}", other in "[0-9a-zA-Z-]{1,64}") {
            let (a, b) = (ConfUuid::of(&one), ConfUuid::of(&other));
            prop_assert_eq!(a.as_str(), &one);
            prop_assert_eq!(a.cmp(&b), one.cmp(&other));
            prop_assert_eq!(a == b, one == other);
            let state = std::hash::RandomState::new();
            prop_assert_eq!(state.hash_one(&a), state.hash_one(one.as_str()));
            prop_assert_eq!(serde_json::to_value(&a).unwrap(), one);
        }
    }
}
