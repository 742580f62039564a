//! The identifier of one historical meeting: the API's `confUUID`.
//!
//! Parsed once at the border; inside the library a [`ConfUuid`] is always well formed, so it
//! may stand in a URL, a log line or a ledger entry. It never becomes a file name.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The UUID of one meeting: 1 to 64 characters of `0-9`, `A-Z`, `a-z` and `-`.
///
/// The API's examples show 32 lower-case hexadecimal digits without dashes, but nothing in its
/// documentation promises that, so the form is not held to be narrower than this.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfUuid(Arc<str>);

impl ConfUuid {
    /// The UUID as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no plausible meeting UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a meeting UUID: expected 1 to 64 letters, digits or dashes")]
pub struct InvalidConfUuid;

impl FromStr for ConfUuid {
    type Err = InvalidConfUuid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plausible = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if plausible {
            Ok(Self(text.into()))
        } else {
            Err(InvalidConfUuid)
        }
    }
}

impl fmt::Display for ConfUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for ConfUuid {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for ConfUuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
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
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_letters_digits_and_dashes_up_to_64() {
        for text in [
            "a",
            "9a0fa6d10a5b11eaae5e191763c22c0e",
            "A-b-9",
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
            assert_eq!(text.parse::<ConfUuid>(), Err(InvalidConfUuid));
        }
    }
}
