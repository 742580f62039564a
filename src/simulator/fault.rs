//! Faults by script: when something goes wrong, and what.
//!
//! A [`Fault`] is an [`Effect`] and the [`Match`] that says which requests it befalls. Several
//! may befall one request: they are applied in their order, and the first that replaces the
//! whole answer settles it. In a file they read as shown at [`Fault::list_from_toml`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::matching::{Endpoint, Hits, Match, MeetingMatch, OffsetMatch, Pages};
use super::world::Drift;

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which requests it befalls; by default every request for records.
    #[serde(default)]
    pub when: Match,
    /// What happens to them.
    pub what: Effect,
}

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

/// A list of faults that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the faults: {0}")]
pub struct InvalidFaults(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultFile {
    #[serde(default)]
    fault: Vec<Fault>,
}

impl Fault {
    /// A fault that befalls every request for records.
    pub fn new(what: Effect) -> Self {
        Self {
            when: Match::default(),
            what,
        }
    }

    /// Befalls requests to this endpoint.
    #[must_use]
    pub const fn on(mut self, endpoint: Endpoint) -> Self {
        self.when.endpoint = endpoint;
        self
    }

    /// Befalls requests for this meeting: its UUID, or its place in the history list.
    #[must_use]
    pub fn meeting(mut self, meeting: impl Into<MeetingMatch>) -> Self {
        self.when.meeting = Some(meeting.into());
        self
    }

    /// Befalls requests with this offset, or with one in this range.
    #[must_use]
    pub fn offset(mut self, offset: impl Into<OffsetMatch>) -> Self {
        self.when.offset = Some(offset.into());
        self
    }

    /// Befalls pages after the first only, or the first only.
    #[must_use]
    pub const fn pages(mut self, pages: Pages) -> Self {
        self.when.pages = pages;
        self
    }

    /// Befalls the first so many requests that match.
    #[must_use]
    pub const fn first(self, n: u64) -> Self {
        self.hits(Hits::First(n))
    }

    /// Befalls only the n-th request that matches, counted from 1.
    #[must_use]
    pub const fn nth(self, n: u64) -> Self {
        self.hits(Hits::Nth(n))
    }

    /// Befalls the n-th request that matches, counted from 1, and all later ones.
    #[must_use]
    pub const fn since(self, n: u64) -> Self {
        self.hits(Hits::Since(n))
    }

    /// Befalls every n-th request that matches.
    #[must_use]
    pub const fn every(self, n: u64) -> Self {
        self.hits(Hits::Every(n))
    }

    /// Befalls these of the requests that match.
    #[must_use]
    pub const fn hits(mut self, hits: Hits) -> Self {
        self.when.hits = hits;
        self
    }

    /// Reads faults from TOML.
    ///
    /// ```
    /// # use rollbook::simulator::Fault;
    /// let faults = Fault::list_from_toml(r#"
    ///     [[fault]]                        # the first two requests for records
    ///     when = { hits = "first 2" }
    ///     what = { throttled = { limit = 5, per = "1 minute", retry_after = 1 } }
    ///
    ///     [[fault]]                        # page at 499 of the third meeting, for ever
    ///     when = { meeting = 2, offset = 499 }
    ///     what = { status = 500 }
    ///
    ///     [[fault]]                        # a record more in front, one less at the end
    ///     when = { meeting = "9a0fa6d10a5b11eaae5e191763c22c0e", offset = "1..", hits = "nth 1" }
    ///     what = { drift = { insert_front = 1, remove_end = 1 } }
    ///
    ///     [[fault]]
    ///     when = { endpoint = "login", hits = "every 3" }
    ///     what = "reset"
    ///
    ///     [[fault]]
    ///     what = { record = { at = 7, set = { leftTime = '"soon"' } } }
    /// "#)?;
    /// assert_eq!(faults.len(), 5);
    /// # Ok::<_, rollbook::simulator::InvalidFaults>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Names the line and the member that is wrong.
    pub fn list_from_toml(text: &str) -> Result<Vec<Self>, InvalidFaults> {
        toml::from_str::<FaultFile>(text)
            .map(|file| file.fault)
            .map_err(|error| InvalidFaults(error.to_string()))
    }

    /// Reads faults from JSON: an array of objects with the members `when` and `what`.
    ///
    /// # Errors
    ///
    /// Names the line and the member that is wrong.
    pub fn list_from_json(text: &str) -> Result<Vec<Self>, InvalidFaults> {
        serde_json::from_str(text).map_err(|error| InvalidFaults(error.to_string()))
    }
}

impl From<Effect> for Fault {
    fn from(what: Effect) -> Self {
        Self::new(what)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_read_the_same_from_toml_and_json() {
        let toml = r#"
            [[fault]]
            when = { meeting = 1, offset = "499..=998", hits = "since 2" }
            what = { drip = { bytes = 3, pause = "2ms" } }
            [[fault]]
            when = { endpoint = "history", pages = "later" }
            what = "shuffle"
        "#;
        let json = r#"[
            {"when": {"meeting": 1, "offset": "499..=998", "hits": "since 2"},
             "what": {"drip": {"bytes": 3, "pause": "2ms"}}},
            {"when": {"endpoint": "history", "pages": "later"}, "what": "shuffle"}
        ]"#;
        let faults = Fault::list_from_toml(toml).unwrap();
        assert_eq!(faults, Fault::list_from_json(json).unwrap());
        let written = serde_json::to_string(&faults).unwrap();
        assert_eq!(faults, Fault::list_from_json(&written).unwrap());
        let drip = Drip {
            bytes: 3,
            pause: Duration::from_millis(2),
        };
        let first = Fault::new(Effect::Drip(drip))
            .meeting(1)
            .offset(499..=998)
            .since(2);
        assert_eq!(faults[0], first);
    }

    #[test]
    fn a_fault_that_cannot_be_read_says_what_is_wrong() {
        for (text, part) in [
            ("[[fault]]\nwhat = \"explode\"", "explode"),
            ("[[fault]]\nwhat = \"reset\"\nwhn = {}", "whn"),
            (
                "[[fault]]\nwhen = {hits = \"some\"}\nwhat = \"reset\"",
                "first N",
            ),
            (
                "[[fault]]\nwhen = {offset = \"9..x\"}\nwhat = \"reset\"",
                "A..B",
            ),
            (
                "[[fault]]\nwhen = {meeting = \"a b\"}\nwhat = \"reset\"",
                "meeting UUID",
            ),
            (
                "[[fault]]\nwhen = {endpoint = \"record\"}\nwhat = \"reset\"",
                "records",
            ),
            ("[[fault]]\nwhat = { delay = \"5\" }", "time unit"),
            ("[[fault]]\nwhat = { short = -1 }", "-1"),
            ("[[fault]]\nwhen = {}", "what"),
            ("[[flt]]", "flt"),
        ] {
            let error = Fault::list_from_toml(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
