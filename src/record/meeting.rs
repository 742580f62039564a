//! One meeting as the history list shows it, without what opens its door.
//!
//! Only the members named here are ever read: the list also has passwords and join links. All but
//! the UUID are told for people and for joins in a warehouse, so one that is not as documented is
//! left out rather than refused.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Deserialize as DeriveDeserialize, Serialize};
use serde_json::value::RawValue;

use super::decode::whole_number;
use super::schema::TimeRange;
use crate::values::ConfUuid;

/// One historical meeting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Meeting {
    /// The meeting.
    #[serde(rename = "confUUID")]
    pub conf_uuid: ConfUuid,
    /// The number that people dial; one number has a meeting for each time it was held.
    pub conference_id: Option<String>,
    /// Its topic.
    pub subject: Option<String>,
    /// Who scheduled it.
    pub scheduler: Option<String>,
    /// The scheduler's department.
    pub dept_name: Option<String>,
    /// When it began; the API tells it to the minute.
    pub start: Option<DateTime<Utc>>,
    /// When it ended, to the minute: up to a minute later in truth.
    pub end: Option<DateTime<Utc>>,
    /// How many were invited when it was scheduled.
    pub size: Option<i64>,
    /// How it came about: `FUTURE`, `IMMEDIATELY` or `CYCLE`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Its media, as `Voice,HDVideo,Data`.
    pub media_types: Option<String>,
    /// Whether it is a webinar.
    pub webinar: Option<bool>,
}

/// The members that are read; no other is.
#[derive(DeriveDeserialize)]
struct Members<'a> {
    #[serde(borrow, rename = "confUUID")]
    conf_uuid: Option<&'a RawValue>,
    #[serde(borrow, rename = "conferenceID")]
    conference_id: Option<&'a RawValue>,
    #[serde(borrow)]
    subject: Option<&'a RawValue>,
    /// As the API spells it.
    #[serde(borrow, rename = "scheduserName")]
    scheduler: Option<&'a RawValue>,
    #[serde(borrow, rename = "deptName")]
    dept_name: Option<&'a RawValue>,
    #[serde(borrow, rename = "startTime")]
    start: Option<&'a RawValue>,
    #[serde(borrow, rename = "endTime")]
    end: Option<&'a RawValue>,
    #[serde(borrow)]
    size: Option<&'a RawValue>,
    #[serde(borrow, rename = "confType")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, rename = "mediaTypes")]
    media_types: Option<&'a RawValue>,
    #[serde(borrow)]
    webinar: Option<&'a RawValue>,
}

impl Meeting {
    /// Reads one row of the list; says what is wrong, without quoting it.
    pub(super) fn read(row: &RawValue) -> Result<Self, &'static str> {
        let members: Members<'_> = serde_json::from_str(row.get())
            .map_err(|_| "it is no object, or has a member twice")?;
        let conf_uuid = members.conf_uuid.and_then(text).unwrap_or_default();
        Ok(Self {
            conf_uuid: ConfUuid::verbatim(conf_uuid.trim())
                .map_err(|_| "it has no readable confUUID")?,
            conference_id: members.conference_id.and_then(text),
            subject: members.subject.and_then(text),
            scheduler: members.scheduler.and_then(text),
            dept_name: members.dept_name.and_then(text),
            start: members.start.and_then(time),
            end: members.end.and_then(time),
            size: members.size.and_then(integer),
            kind: members.kind.and_then(text),
            media_types: members.media_types.and_then(text),
            webinar: members
                .webinar
                .and_then(text)
                .and_then(|text| text.parse().ok()),
        })
    }
}

/// A text, or the digits of a number.
pub(super) fn text(value: &RawValue) -> Option<String> {
    let json = value.get();
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok().map(|Text(text)| text),
        b'{' | b'[' | b'n' => None,
        _ => Some(json.to_owned()),
    }
}

/// A whole number, or a text that holds one.
pub(super) fn integer(value: &RawValue) -> Option<i64> {
    i64::try_from(whole_number(&text(value)?)?).ok()
}

/// A time as the list has it, in UTC and cut to the minute; or in another of the API's forms.
fn time(value: &RawValue) -> Option<DateTime<Utc>> {
    let text = text(value)?;
    let text = text.trim();
    if let Some(ms) = whole_number(text) {
        // Seconds would be a day of 1970, on which everything is long over.
        let ms = i64::try_from(ms).ok();
        let ms = ms.filter(|ms| TimeRange::OPEN.contains(*ms));
        return ms.and_then(DateTime::from_timestamp_millis);
    }
    ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .map(|time| time.and_utc())
        .or_else(|| {
            DateTime::parse_from_rfc3339(text)
                .ok()
                .map(|time| time.to_utc())
        })
}

/// A text in which lone surrogates are replaced: no subject is worth a day of the list.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
        Ok(Text(String::from_utf8_lossy(bytes).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Meeting, &'static str> {
        let row: Box<RawValue> = serde_json::from_str(json).unwrap();
        Meeting::read(&row)
    }

    #[test]
    fn the_documented_example_is_read() {
        let meeting = read(
            r#"{"conferenceID":"914083388","subject":"a","size":1,"timeZoneID":"56",
            "startTime":"2019-11-18 23:31","endTime":"2019-11-18 23:32","scheduserName":"test008",
            "confType":"IMMEDIATELY","deptName":"wangyue","webinar":false,
            "confUUID":"9a0fa6d10a5b11eaae5e191763c22c0e"}"#,
        )
        .unwrap();
        assert_eq!(meeting.conference_id.as_deref(), Some("914083388"));
        assert_eq!(meeting.scheduler.as_deref(), Some("test008"));
        let start: DateTime<Utc> = "2019-11-18T23:31:00Z".parse().unwrap();
        assert_eq!(meeting.start, Some(start));
        assert_eq!((meeting.size, meeting.webinar), (Some(1), Some(false)));
    }

    #[test]
    fn a_member_of_another_kind_is_left_out_and_the_meeting_is_not() {
        let meeting = read(
            r#"{"confUUID":"a1","conferenceID":914083388,"subject":"x\ud800y","size":"12",
            "startTime":"soon","endTime":1574119917872,"scheduserName":{"a":1},"webinar":"true",
            "deptName":null,"confType":[1]}"#,
        )
        .unwrap();
        assert_eq!(meeting.conference_id.as_deref(), Some("914083388"));
        assert!(meeting.subject.unwrap().starts_with("x\u{FFFD}"));
        assert_eq!(meeting.end.unwrap().timestamp_millis(), 1_574_119_917_872);
        assert_eq!((meeting.size, meeting.webinar), (Some(12), Some(true)));
        let absent = [meeting.scheduler, meeting.dept_name, meeting.kind];
        assert_eq!((meeting.start, absent), (None, [None, None, None]));
    }

    #[test]
    fn a_time_in_seconds_is_no_time_and_a_float_is_a_number() {
        let meeting = read(
            r#"{"confUUID":"a1","startTime":1574119917,"endTime":1.574119917872E12,"size":"12.0"}"#,
        )
        .unwrap();
        assert_eq!(meeting.start, None);
        assert_eq!(meeting.end.unwrap().timestamp_millis(), 1_574_119_917_872);
        assert_eq!(meeting.size, Some(12));
    }

    #[test]
    fn a_meeting_without_its_uuid_is_refused_and_not_quoted() {
        for json in [
            "5",
            "{}",
            r#"{"confUUID":null}"#,
            r#"{"confUUID":"../x"}"#,
            r#"{"confUUID":"a","confUUID":"b"}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }

    #[test]
    fn passwords_and_links_are_not_among_what_is_read() {
        let meeting = read(
            r#"{"confUUID":"a1","passwordEntry":[{"password":"hunter2"}],
            "chairJoinUri":"https://x/hunter2","guestJoinUri":"hunter2","audienceJoinUri":"hunter2"}"#,
        )
        .unwrap();
        let told = format!("{meeting:?}{}", serde_json::to_string(&meeting).unwrap());
        assert!(!told.contains("hunter2"), "{told}");
    }
}
