//! Faults by script: when something goes wrong, and what.
//!
//! A [`Fault`] is an [`Effect`] and the [`Match`] that says which requests it befalls. Several
//! may befall one request: they are applied in their order, and the first that replaces the
//! whole answer settles it. In a file they read as shown at [`Fault::list_from_toml`].

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::fault_match::{Endpoint, Hits, Match, MeetingMatch, OffsetMatch, Pages};

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::simulator::effect::Drip;

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
    fn every_effect_can_be_written_in_a_file() {
        let effects = r#"
            { status = 503 }
            { error = { status = 200, code = "MMC.200000001", message = "BUSY" } }
            { answer = { status = 503, body = "later", retry_after_date = 2 } }
            { answer = { content_type = "text/html", headers = { Server = "portal" } } }
            { throttled = { limit = 5, per = "1 minute", policy = "ip", retry_after = 1 } }
            { redirect = "http://127.0.0.2/" }
            { bytes = [123, 255] }
            { nested = 200000 }
            { gzip_bomb = 1073741824 }
            "hang"
            "reset"
            { reset_after = 100 }
            { truncate = 100 }
            { drip = { pause = "5ms" } }
            { pad = 100000000 }
            { delay = "1s 500ms" }
            { headers = { X-Apig-Ratelimit-Api = "remain:0,limit:5,time:1 minute" } }
            { expire_tokens = "timed_out" }
            { drift = { remove_front = 1, insert_front = 2, remove_end = 3, append = 4 } }
            { clamp_limit = { to = 100, echoed = true } }
            { short = 1 }
            { longer = 1 }
            "empty"
            "null_data"
            { ignore_offset = "asked" }
            "last_page"
            { echo_offset = 0 }
            { echo_limit = 20 }
            { count = -1 }
            { count_off = -1 }
            "no_count"
            "numbers_as_text"
            "shuffle"
            { record = { at = 0, replace = "42" } }
            { record = { set = { leftTime = "0" }, unset = ["deptName"] } }
        "#;
        for what in effects.lines().filter(|line| !line.trim().is_empty()) {
            let faults = Fault::list_from_toml(&format!("[[fault]]\nwhat = {what}")).unwrap();
            let json = serde_json::to_string(&faults).unwrap();
            assert_eq!(faults, Fault::list_from_json(&json).unwrap(), "{what}");
        }
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
