//! The meetings that a run listed, as rows of the meetings table.
//!
//! Kept as columns, so that many cost little more than their texts. What is personal in them is
//! treated before anything else sees it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
    UInt64Array,
};
use arrow::compute::take;
use arrow::error::ArrowError;
use chrono::{DateTime, Utc};

use crate::error::{Error, Result};
use crate::record::pii::Pii;
use crate::record::table::{MeetingColumn, Table};
use crate::record::{Meeting, TIME_ZONE, is_in_range};
use crate::values::ConfUuid;

/// What the list told of meetings.
#[derive(Debug)]
pub(super) struct Described {
    rows: RecordBatch,
    row_of: HashMap<ConfUuid, u64>,
}

impl Described {
    /// What is told of these meetings, each there once, and treated as personal data are.
    pub(super) fn new(meetings: &[Meeting], pii: Option<&Pii>) -> Result<Self> {
        let rows = rows(meetings).map_err(encode)?;
        let rows = pii.map_or(Ok(rows.clone()), |pii| pii.apply(&rows));
        let uuids = meetings.iter().map(|meeting| meeting.conf_uuid.clone());
        Ok(Self {
            rows: rows.map_err(encode)?,
            row_of: uuids.zip(0..).collect(),
        })
    }

    /// A row for each of these meetings, in their order: all but the UUID are null for one of which
    /// nothing was told.
    pub(super) fn rows<'a>(
        &self,
        meetings: impl Iterator<Item = &'a ConfUuid> + Clone,
    ) -> Result<RecordBatch> {
        let known = meetings.clone().map(|uuid| self.row_of.get(uuid).copied());
        let known: UInt64Array = known.collect();
        let uuids: StringArray = meetings.map(|uuid| Some(uuid.as_str())).collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(uuids)];
        for column in self.rows.columns().iter().skip(columns.len()) {
            columns.push(take(column, &known, None).map_err(encode)?);
        }
        RecordBatch::try_new(Table::Meetings.schema(), columns).map_err(encode)
    }
}

fn encode(error: ArrowError) -> Error {
    Error::Encode {
        format: "the meetings table",
        source: error.into(),
    }
}

fn rows(meetings: &[Meeting]) -> Result<RecordBatch, ArrowError> {
    let text = |of: fn(&Meeting) -> Option<&str>| -> ArrayRef {
        Arc::new(meetings.iter().map(of).collect::<StringArray>())
    };
    // What no format can write is no time.
    let time = |of: fn(&Meeting) -> Option<DateTime<Utc>>| -> ArrayRef {
        let ms = meetings.iter().map(of).map(|time| {
            let ms = time.map(|time| time.timestamp_millis());
            ms.filter(|ms| is_in_range(*ms))
        });
        let ms: TimestampMillisecondArray = ms.collect();
        Arc::new(ms.with_timezone(TIME_ZONE))
    };
    let columns = MeetingColumn::ALL.map(|column| match column {
        MeetingColumn::ConfUuid => text(|meeting| Some(meeting.conf_uuid.as_str())),
        MeetingColumn::ConferenceId => text(|meeting| meeting.conference_id.as_deref()),
        MeetingColumn::Subject => text(|meeting| meeting.subject.as_deref()),
        MeetingColumn::Scheduler => text(|meeting| meeting.scheduler.as_deref()),
        MeetingColumn::DeptName => text(|meeting| meeting.dept_name.as_deref()),
        MeetingColumn::StartTime => time(|meeting| meeting.start),
        MeetingColumn::EndTime => time(|meeting| meeting.end),
        MeetingColumn::Size => {
            let sizes = meetings.iter().map(|meeting| meeting.size);
            Arc::new(sizes.collect::<Int64Array>())
        }
        MeetingColumn::ConfType => text(|meeting| meeting.kind.as_deref()),
        MeetingColumn::MediaTypes => text(|meeting| meeting.media_types.as_deref()),
        MeetingColumn::Webinar => {
            let webinars = meetings.iter().map(|meeting| meeting.webinar);
            Arc::new(webinars.collect::<BooleanArray>())
        }
    });
    RecordBatch::try_new(Table::Meetings.schema(), columns.to_vec())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::TimestampMillisecondType;

    use super::*;

    fn meeting(uuid: &str, start_ms: i64) -> Meeting {
        Meeting {
            conf_uuid: uuid.parse().unwrap(),
            conference_id: Some("914083388".to_owned()),
            subject: Some(format!("about {uuid}")),
            scheduler: Some("Zhang Wei".to_owned()),
            dept_name: None,
            start: DateTime::from_timestamp_millis(start_ms),
            end: None,
            size: Some(3),
            kind: None,
            media_types: None,
            webinar: Some(true),
        }
    }

    fn uuids(names: &[&str]) -> Vec<ConfUuid> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn each_meeting_asked_for_has_a_row_and_one_that_was_not_listed_its_uuid_alone() {
        let listed = [meeting("a", 60_000), meeting("b", 120_000)];
        let described = Described::new(&listed, None).unwrap();
        let asked = uuids(&["b", "x", "a"]);
        let rows = described.rows(asked.iter()).unwrap();
        assert_eq!(rows.schema(), Table::Meetings.schema());
        let column = |column: MeetingColumn| rows.column(column.index());
        let found: Vec<_> = column(MeetingColumn::ConfUuid)
            .as_string::<i32>()
            .iter()
            .collect();
        assert_eq!(found, [Some("b"), Some("x"), Some("a")]);
        let starts = column(MeetingColumn::StartTime).as_primitive::<TimestampMillisecondType>();
        let starts: Vec<_> = starts.iter().collect();
        assert_eq!(starts, [Some(120_000), None, Some(60_000)]);
        assert!(
            MeetingColumn::ALL[1..]
                .iter()
                .all(|c| column(*c).is_null(1))
        );
        assert_eq!(described.rows([].iter()).unwrap().num_rows(), 0);
    }

    #[test]
    fn a_time_that_no_format_can_write_is_none() {
        for ms in [-1, 253_402_300_800_000] {
            let described = Described::new(&[meeting("a", ms)], None).unwrap();
            let asked = uuids(&["a"]);
            let rows = described.rows(asked.iter()).unwrap();
            assert!(rows.column(MeetingColumn::StartTime.index()).is_null(0));
        }
    }

    #[test]
    fn what_is_personal_is_treated() {
        let policy = "display_name=mask,subject=drop".parse().unwrap();
        let pii = Pii::new(&policy, None).unwrap();
        let described = Described::new(&[meeting("a", 1)], pii.as_ref()).unwrap();
        let rows = described.rows(uuids(&["a"]).iter()).unwrap();
        let column = |column: MeetingColumn| rows.column(column.index()).as_string::<i32>();
        assert_eq!(column(MeetingColumn::Scheduler).value(0), "Z***");
        assert!(column(MeetingColumn::Subject).is_null(0));
        assert_eq!(column(MeetingColumn::ConferenceId).value(0), "914083388");
    }
}
