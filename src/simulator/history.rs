//! The list of historical meetings, as the API shows each of them.

use chrono::DateTime;

use super::meetings::Meeting;
use super::page::{List, Members};
use super::record::mix;

/// Meetings chosen from all, in the order asked for.
pub(super) struct History<'a>(pub(super) Vec<&'a Meeting>);

impl List for History<'_> {
    fn count(&self) -> u64 {
        self.0.len() as u64
    }

    fn row(&self, index: u64) -> Members {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.0
            .get(index)
            .map(|meeting| members(meeting))
            .unwrap_or_default()
    }
}

/// The meeting's topic.
fn subject(meeting: &Meeting) -> String {
    format!("Meeting of {}", text(meeting.origin.start))
}

/// The meeting's number.
fn conference_id(meeting: &Meeting) -> String {
    format!("9{:08}", mix(meeting.origin.seed, 5) % 100_000_000)
}

fn scheduler(meeting: &Meeting) -> String {
    format!("test{:03}", mix(meeting.origin.seed, 6) % 1_000)
}

/// Whether a search key finds the meeting: by topic, scheduler or number.
pub(super) fn is_found(meeting: &Meeting, key: &str) -> bool {
    [subject(meeting), scheduler(meeting), conference_id(meeting)]
        .iter()
        .any(|text| text.contains(key))
}

/// A time as the list has it: UTC, cut to the minute.
fn text(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms)
        .map(|time| time.format("%Y-%m-%d %H:%M").to_string())
        .unwrap_or_default()
}

fn members(meeting: &Meeting) -> Members {
    let origin = meeting.origin;
    let end = origin.start.saturating_add_unsigned(origin.length);
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let password = mix(origin.seed, 7) % 1_000_000;
    let uri = |role: &str| quoted(&format!("https://join.example/#/j/{role}/{password:06}"));
    let size = mix(origin.seed, 8) % 200;
    [
        ("conferenceID", quoted(&conference_id(meeting))),
        ("subject", quoted(&subject(meeting))),
        ("size", size.to_string()),
        ("timeZoneID", quoted("56")),
        ("startTime", quoted(&text(origin.start))),
        ("endTime", quoted(&text(end))),
        ("conferenceState", quoted("Destroyed")),
        ("mediaTypes", quoted("Voice,HDVideo,Data")),
        ("language", quoted("zh-CN")),
        (
            "passwordEntry",
            format!(
                r#"[{{"conferenceRole":"chair","password":"{password:06}"}},{{"conferenceRole":"general","password":"{:06}"}}]"#,
                999_999 - password
            ),
        ),
        ("scheduserName", quoted(&scheduler(meeting))),
        ("conferenceType", "0".to_owned()),
        ("confType", quoted("IMMEDIATELY")),
        ("vmrFlag", "0".to_owned()),
        ("isHasRecordFile", "false".to_owned()),
        ("terminlCount", (size / 8).to_string()),
        ("normalCount", (size - size / 8).to_string()),
        ("deptName", quoted("wangyue")),
        ("chairJoinUri", uri("chair")),
        ("guestJoinUri", uri("guest")),
        ("audienceJoinUri", uri("audience")),
        ("webinar", "false".to_owned()),
        ("confUUID", quoted(meeting.uuid.as_str())),
    ]
    .map(|(name, json)| (name.to_owned(), json))
    .to_vec()
}
