//! Which requests a fault befalls.
//!
//! A [`Match`] names requests by endpoint, meeting and offset, and [`Hits`] says which of those
//! that match are meant. In a file, ranges and hits are short texts: `"499.."`, `"first 2"`.

use std::fmt;
use std::ops::{RangeFrom, RangeInclusive};
use std::str::FromStr;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::values::ConfUuid;

/// Which requests a fault befalls: all that agree in everything said here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// The endpoint asked.
    pub endpoint: Endpoint,
    /// The meeting asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meeting: Option<MeetingMatch>,
    /// The offset asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<OffsetMatch>,
    /// First or later pages.
    pub pages: Pages,
    /// Which of the requests that match, in their order.
    pub hits: Hits,
}

/// A part of the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// A meeting's participant records.
    #[default]
    Records,
    /// The list of historical meetings.
    History,
    /// The App ID login.
    Login,
    /// The login with an account and its password.
    Account,
    /// Renewal of a token.
    Refresh,
    /// The end of a token.
    Logout,
    /// Whether a token is good.
    Validate,
    /// Any of them, and what is none of them.
    Any,
}

/// One meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeetingMatch {
    /// By its place in the history list, from 0.
    Index(usize),
    /// By its UUID.
    Uuid(ConfUuid),
}

/// One offset or a range of them, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetMatch {
    first: u64,
    last: u64,
}

/// First or later pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pages {
    /// Both.
    #[default]
    All,
    /// Offset 0.
    First,
    /// Any other offset.
    Later,
}

/// Which of the requests that match, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hits {
    /// `always`: each.
    #[default]
    Always,
    /// `first N`: those up to the n-th.
    First(u64),
    /// `nth N`: the n-th alone.
    Nth(u64),
    /// `since N`: the n-th and all later ones.
    Since(u64),
    /// `every N`: the n-th, the 2n-th and so on.
    Every(u64),
}

impl Hits {
    pub(super) const fn includes(self, hit: u64) -> bool {
        match self {
            Self::Always => true,
            Self::First(n) => hit <= n,
            Self::Nth(n) => hit == n,
            Self::Since(n) => hit >= n,
            Self::Every(n) => n > 0 && hit.is_multiple_of(n),
        }
    }
}

impl From<usize> for MeetingMatch {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl From<ConfUuid> for MeetingMatch {
    fn from(uuid: ConfUuid) -> Self {
        Self::Uuid(uuid)
    }
}

impl From<&ConfUuid> for MeetingMatch {
    fn from(uuid: &ConfUuid) -> Self {
        Self::Uuid(uuid.clone())
    }
}

impl From<u64> for OffsetMatch {
    fn from(offset: u64) -> Self {
        (offset..=offset).into()
    }
}

impl From<RangeInclusive<u64>> for OffsetMatch {
    fn from(range: RangeInclusive<u64>) -> Self {
        let (first, last) = range.into_inner();
        Self { first, last }
    }
}

impl From<RangeFrom<u64>> for OffsetMatch {
    fn from(range: RangeFrom<u64>) -> Self {
        (range.start..=u64::MAX).into()
    }
}

impl FromStr for OffsetMatch {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected an offset, or a range as A.., A..B or A..=B";
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong);
        let Some((first, last)) = text.split_once("..") else {
            return number(text).map(Self::from);
        };
        let first = number(first)?;
        let last = match last.strip_prefix('=') {
            Some(last) => number(last)?,
            None if last.trim().is_empty() => u64::MAX,
            None => number(last)?.checked_sub(1).ok_or(wrong)?,
        };
        Ok(Self { first, last })
    }
}

impl fmt::Display for OffsetMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            u64::MAX => write!(f, "{}..", self.first),
            last => write!(f, "{}..={last}", self.first),
        }
    }
}

impl FromStr for Hits {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected always, first N, nth N, since N or every N";
        let mut words = text.split_whitespace();
        let (kind, number) = (words.next().ok_or(wrong)?, words.next());
        if words.next().is_some() {
            return Err(wrong);
        }
        let Some(number) = number else {
            return (kind == "always").then_some(Self::Always).ok_or(wrong);
        };
        let n = number.parse().ok().filter(|&n| n > 0).ok_or(wrong)?;
        match kind {
            "first" => Ok(Self::First(n)),
            "nth" => Ok(Self::Nth(n)),
            "since" => Ok(Self::Since(n)),
            "every" => Ok(Self::Every(n)),
            _ => Err(wrong),
        }
    }
}

impl fmt::Display for Hits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("always"),
            Self::First(n) => write!(f, "first {n}"),
            Self::Nth(n) => write!(f, "nth {n}"),
            Self::Since(n) => write!(f, "since {n}"),
            Self::Every(n) => write!(f, "every {n}"),
        }
    }
}

impl Serialize for Hits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl Serialize for OffsetMatch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OffsetMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOr {
            expected: "an offset, or a range as A.., A..B or A..=B",
            number: Self::from,
            text: |text| text.parse().map_err(str::to_owned),
        })
    }
}

impl Serialize for MeetingMatch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Index(index) => index.serialize(serializer),
            Self::Uuid(uuid) => uuid.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for MeetingMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOr {
            expected: "a meeting's place in the list, or its UUID",
            number: |index| Self::Index(usize::try_from(index).unwrap_or(usize::MAX)),
            text: |text| {
                let uuid: ConfUuid = text.parse().map_err(|e| format!("{e}"))?;
                Ok(Self::Uuid(uuid))
            },
        })
    }
}

/// Reads a whole number or a text, and says what was expected when it is neither.
struct NumberOr<T> {
    expected: &'static str,
    number: fn(u64) -> T,
    text: fn(&str) -> Result<T, String>,
}

impl<T> Visitor<'_> for NumberOr<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        Ok((self.number)(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        u64::try_from(number)
            .map(self.number)
            .map_err(|_| E::invalid_value(Unexpected::Signed(number), &self.expected))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.text)(text).map_err(E::custom)
    }
}

/// What a fault may look at in a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) meeting: Option<(usize, &'a ConfUuid)>,
    pub(super) offset: Option<u64>,
}

impl Match {
    pub(super) fn includes(&self, asked: &Asked<'_>) -> bool {
        let endpoint = self.endpoint == Endpoint::Any || self.endpoint == asked.endpoint;
        let meeting = match &self.meeting {
            None => true,
            Some(MeetingMatch::Index(index)) => asked.meeting.is_some_and(|(at, _)| at == *index),
            Some(MeetingMatch::Uuid(uuid)) => asked.meeting.is_some_and(|(_, is)| is == uuid),
        };
        let offset = self.offset.is_none_or(|range| {
            asked
                .offset
                .is_some_and(|offset| (range.first..=range.last).contains(&offset))
        });
        let pages = match self.pages {
            Pages::All => true,
            Pages::First => asked.offset == Some(0),
            Pages::Later => asked.offset.is_some_and(|offset| offset > 0),
        };
        endpoint && meeting && offset && pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::effect::Effect;
    use crate::simulator::fault::Fault;

    #[test]
    fn a_range_of_offsets_is_read_as_in_rust() {
        for (text, first, last) in [
            ("7", 7, 7),
            ("7..", 7, u64::MAX),
            ("7..9", 7, 8),
            ("7..=9", 7, 9),
        ] {
            assert_eq!(text.parse(), Ok(OffsetMatch { first, last }), "{text}");
        }
        assert!("..".parse::<OffsetMatch>().is_err());
    }

    #[test]
    fn a_match_agrees_in_everything_it_says() {
        let uuid: ConfUuid = "abc".parse().unwrap();
        let asked = |endpoint, offset| Asked {
            endpoint,
            meeting: Some((3, &uuid)),
            offset: Some(offset),
        };
        let fault = Fault::new(Effect::Empty).meeting(&uuid).offset(10..=20);
        assert!(fault.when.includes(&asked(Endpoint::Records, 10)));
        assert!(!fault.when.includes(&asked(Endpoint::Records, 21)));
        assert!(!fault.when.includes(&asked(Endpoint::History, 10)));
        let later = Fault::new(Effect::Empty)
            .on(Endpoint::Any)
            .meeting(3)
            .pages(Pages::Later);
        assert!(later.when.includes(&asked(Endpoint::Login, 1)));
        assert!(!later.when.includes(&asked(Endpoint::Login, 0)));
    }
}
