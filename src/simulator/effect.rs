//! What can happen to a request.
//!
//! Each [`Effect`] is one way in which a server, a gateway or a network lets its client down. In a
//! file its name is written in `snake_case`, alone or with what belongs to it:
//! `"reset"`, `{ status = 503 }`, `{ clamp_limit = { to = 100, echoed = true } }`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::drift::Drift;

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    // The whole answer.
    /// A status with the body that goes with it: the gateway's for 404, 429, 502 (HTML), 503 and
    /// 504, the service's else.
    Status(u16),
    /// A status with an error body of the service.
    Error(ServiceError),
    /// An answer in every detail.
    Answer(Answer),
    /// 429 as the gateway words it.
    Throttled(Throttled),
    /// 302 to this address.
    Redirect(String),
    /// 200 with these bytes as JSON, whatever they are.
    Bytes(Vec<u8>),
    /// 200 with a page nested so many levels deep.
    Nested(usize),
    /// 200 with a gzip body that unpacks to so many bytes.
    GzipBomb(u64),
    /// No answer at all until the client leaves.
    Hang,
    /// The connection is reset before the first byte.
    Reset,

    // The way the answer travels.
    /// The connection is reset after so many bytes of the body.
    ResetAfter(usize),
    /// The connection is closed after so many bytes of a body announced as longer.
    Truncate(usize),
    /// The body comes in small pieces.
    Drip(Drip),
    /// The body is followed by spaces up to so many bytes.
    Pad(u64),
    /// The answer takes longer.
    Delay(#[serde(with = "duration_text")] Duration),
    /// Headers on top of the usual ones.
    Headers(BTreeMap<String, String>),

    // Tokens.
    /// No token given out or accepted so far is accepted any more, for the reason given.
    ExpireTokens(Refusal),

    // The list itself.
    /// The meeting's records change, for good, before the answer is made.
    Drift(Drift),

    // What the page says.
    /// A larger limit is cut to this one.
    ClampLimit(ClampLimit),
    /// So many records are missing at the page's end.
    Short(u64),
    /// So many records more than asked for; at the list's end it starts again in front.
    Longer(u64),
    /// No records; the rest as it would be.
    Empty,
    /// `data` is null.
    NullData,
    /// The offset is taken as 0.
    IgnoreOffset(Echo),
    /// An offset at or beyond the count gives the last page.
    LastPage,
    /// This offset is echoed.
    EchoOffset(i64),
    /// This limit is echoed.
    EchoLimit(i64),
    /// This count is told.
    Count(i64),
    /// The count told is off by so many.
    CountOff(i64),
    /// No count is told.
    NoCount,
    /// All numbers are strings.
    NumbersAsText,
    /// The list is in another order on each request.
    Shuffle,
    /// Records at these two offsets are in each other's place.
    Swap(u64, u64),
    /// The list ends at this offset, whatever `count` says.
    Window(u64),
    /// The limit echoed is the number of rows.
    EchoRows,
    /// Each record has one member more, with a text of so many bytes that hardly compresses.
    LongRecords(usize),
    /// One record, or each, is not as it should be.
    Record(RecordEdit),
}

/// An error body of the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceError {
    /// The HTTP status; 400 where not given.
    #[serde(default = "bad_request")]
    pub status: u16,
    /// `error_code`.
    pub code: String,
    /// `error_msg`.
    #[serde(default)]
    pub message: String,
}

const fn bad_request() -> u16 {
    400
}

/// An answer in every detail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answer {
    /// The HTTP status; 200 where not given.
    pub status: u16,
    /// The body.
    pub body: String,
    /// `Content-Type`.
    pub content_type: String,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u64>,
    /// `Retry-After` as a date so many seconds from now.
    pub retry_after_date: Option<u64>,
    /// Any other header.
    pub headers: BTreeMap<String, String>,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            status: 200,
            body: String::new(),
            content_type: "application/json".to_owned(),
            retry_after: None,
            retry_after_date: None,
            headers: BTreeMap::new(),
        }
    }
}

/// 429 as the gateway words it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Throttled {
    /// Requests that the text says are allowed.
    pub limit: u32,
    /// Window that the text names.
    pub per: String,
    /// Whose limit it is: `api`, `user`, `app` or `ip`.
    pub policy: String,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u64>,
    /// `Retry-After` as a date so many seconds from now.
    pub retry_after_date: Option<u64>,
}

impl Default for Throttled {
    fn default() -> Self {
        Self {
            limit: 100,
            per: "1 minute".to_owned(),
            policy: "api".to_owned(),
            retry_after: None,
            retry_after_date: None,
        }
    }
}

/// How a body drips.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drip {
    /// Bytes in one piece; 1 where not given.
    #[serde(default = "one")]
    pub bytes: usize,
    /// Time between two pieces.
    #[serde(with = "duration_text")]
    pub pause: Duration,
}

const fn one() -> usize {
    1
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// `USG.000000004`: the session timed out.
    TimedOut,
    /// `USG.206020000`: not a token, or not any more.
    Invalid,
    /// `USG.206020002`: pushed out by a newer one.
    KickedOut,
}

/// A limit cut to a smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClampLimit {
    /// The largest limit honoured.
    pub to: u64,
    /// Whether the answer says so, or echoes the limit asked for.
    #[serde(default)]
    pub echoed: bool,
}

/// What is echoed as the offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Echo {
    /// The offset asked for.
    Asked,
    /// The offset in truth.
    True,
}

/// Changes what the answer says of one record, or of each; the meeting itself is not touched.
///
/// Values are pieces of JSON, sent as they are: `"\"soon\""`, `"null"`, `"\"\\ud800\""`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordEdit {
    /// The record's index in the whole list; each record where not given.
    pub at: Option<u64>,
    /// Members to set or add.
    pub set: BTreeMap<String, String>,
    /// Members to leave out.
    pub unset: Vec<String>,
    /// What stands in the record's place.
    pub replace: Option<String>,
}

impl RecordEdit {
    /// Sets one member of one record.
    pub fn set(at: u64, member: &str, json: &str) -> Self {
        Self {
            at: Some(at),
            set: BTreeMap::from([(member.to_owned(), json.to_owned())]),
            ..Self::default()
        }
    }

    /// Leaves one member of one record out.
    pub fn unset(at: u64, member: &str) -> Self {
        Self {
            at: Some(at),
            unset: vec![member.to_owned()],
            ..Self::default()
        }
    }

    /// Puts something else in one record's place.
    pub fn replace(at: u64, json: &str) -> Self {
        Self {
            at: Some(at),
            replace: Some(json.to_owned()),
            ..Self::default()
        }
    }
}

/// Durations as people write them: `"50ms"`, `"2s"`.
mod duration_text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_duration(&text).map_err(D::Error::custom)
    }
}
