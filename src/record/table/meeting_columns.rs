//! The meeting as rollbook writes it: what the history list told of it.

use arrow::datatypes::{DataType, TimeUnit};

use crate::record::schema::TIME_ZONE;

/// Version of the schema, kept in each part's metadata; the rules for a next one are in `versions`.
pub(super) const SCHEMA_VERSION: u32 = 1;

/// The columns of a meeting, in their order in every format. All but the first are null where the
/// list does not tell them, and where the run that exported the meeting did not list it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeetingColumn {
    /// Meeting UUID, as in the records.
    ConfUuid,
    /// The number that people dial.
    ConferenceId,
    /// The topic.
    Subject,
    /// Name of who scheduled it.
    Scheduler,
    /// The scheduler's department.
    DeptName,
    /// When it began.
    StartTime,
    /// When it ended.
    EndTime,
    /// How many were invited.
    Size,
    /// How it came about.
    ConfType,
    /// Its media.
    MediaTypes,
    /// Whether it is a webinar.
    Webinar,
}

impl MeetingColumn {
    /// Every column, in order.
    pub const ALL: [Self; 11] = [
        Self::ConfUuid,
        Self::ConferenceId,
        Self::Subject,
        Self::Scheduler,
        Self::DeptName,
        Self::StartTime,
        Self::EndTime,
        Self::Size,
        Self::ConfType,
        Self::MediaTypes,
        Self::Webinar,
    ];

    /// The column's position in the schema.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The column's name in every format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConfUuid => "conf_uuid",
            Self::ConferenceId => "conference_id",
            Self::Subject => "subject",
            Self::Scheduler => "scheduler",
            Self::DeptName => "dept_name",
            Self::StartTime => "start_time",
            Self::EndTime => "end_time",
            Self::Size => "size",
            Self::ConfType => "conf_type",
            Self::MediaTypes => "media_types",
            Self::Webinar => "webinar",
        }
    }

    /// The column's Arrow type.
    pub fn data_type(self) -> DataType {
        match self {
            Self::StartTime | Self::EndTime => {
                DataType::Timestamp(TimeUnit::Millisecond, Some(TIME_ZONE.into()))
            }
            Self::Size => DataType::Int64,
            Self::Webinar => DataType::Boolean,
            _ => DataType::Utf8,
        }
    }

    /// What the column means, in one line.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::ConfUuid => "meeting UUID as in the records; unique",
            Self::ConferenceId => "number that people dial; the same each time a meeting is held",
            Self::Subject => "topic",
            Self::Scheduler => "name of who scheduled it",
            Self::DeptName => "department of who scheduled it",
            Self::StartTime => "start, UTC, cut to the minute by the API",
            Self::EndTime => "end, UTC, cut to the minute by the API",
            Self::Size => "people invited when it was scheduled",
            Self::ConfType => "how it came about: FUTURE, IMMEDIATELY or CYCLE",
            Self::MediaTypes => "media, as Voice,HDVideo,Data",
            Self::Webinar => "whether it is a webinar",
        }
    }
}
