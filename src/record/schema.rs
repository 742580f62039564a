//! The record: one stay of one participant, as rollbook writes it.
//!
//! The vocabulary that every other module shares: the output schema, the language of the
//! labels, and the rule that turns the API's two times into columns. Pure; it knows nothing of
//! JSON, files or requests.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde::{Deserialize, Serialize};

/// Version of the output schema, kept in each part's metadata. A next one may only add columns
/// that may be null behind those that there are: `table::versions` has the rules.
pub const SCHEMA_VERSION: u32 = 1;

/// The time zone label of the timestamp columns, as pyarrow, Polars, `DuckDB` and Spark write it.
pub const TIME_ZONE: &str = "UTC";

/// Milliseconds of 9999-12-31T23:59:59.999Z: the last instant that RFC 3339, Python and the
/// warehouses can all write.
const LAST_TIME_MS: i64 = 253_402_300_799_999;

/// 2010-01-01: before the service was there. A time in seconds, taken for milliseconds, lies in 1970.
const EARLIEST_MS: i64 = 1_262_304_000_000;

/// How much later than its answer a time may be, in milliseconds: clocks differ.
const AHEAD_MS: i64 = 86_400_000;

/// The columns of a record, in their order in every format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Meeting UUID as requested.
    ConfUuid,
    /// 0-based offset of the record in the API's order.
    RecordIndex,
    /// Name as shown in the meeting.
    DisplayName,
    /// Number (SIP) of the participant.
    CallNumber,
    /// Localised label of the device.
    DeviceType,
    /// Localised label of the media.
    MediaType,
    /// Department name.
    DeptName,
    /// When the stay began.
    JoinTime,
    /// When the stay ended.
    LeftTime,
    /// `left_time - join_time` in milliseconds.
    DurationMs,
    /// What is odd about the record's times.
    Anomaly,
    /// Members that this version does not know, as a JSON object.
    Extra,
}

impl Column {
    /// Every column, in order.
    pub const ALL: [Self; 12] = [
        Self::ConfUuid,
        Self::RecordIndex,
        Self::DisplayName,
        Self::CallNumber,
        Self::DeviceType,
        Self::MediaType,
        Self::DeptName,
        Self::JoinTime,
        Self::LeftTime,
        Self::DurationMs,
        Self::Anomaly,
        Self::Extra,
    ];

    /// The column's position in the schema.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The column's name in every format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConfUuid => "conf_uuid",
            Self::RecordIndex => "record_index",
            Self::DisplayName => "display_name",
            Self::CallNumber => "call_number",
            Self::DeviceType => "device_type",
            Self::MediaType => "media_type",
            Self::DeptName => "dept_name",
            Self::JoinTime => "join_time",
            Self::LeftTime => "left_time",
            Self::DurationMs => "duration_ms",
            Self::Anomaly => "anomaly",
            Self::Extra => "extra",
        }
    }

    /// Whether a record may have no value here.
    pub const fn is_nullable(self) -> bool {
        !matches!(self, Self::ConfUuid | Self::RecordIndex)
    }

    /// The column's Arrow type.
    pub fn data_type(self) -> DataType {
        match self {
            Self::RecordIndex | Self::DurationMs => DataType::Int64,
            Self::JoinTime | Self::LeftTime => {
                DataType::Timestamp(TimeUnit::Millisecond, Some(TIME_ZONE.into()))
            }
            _ => DataType::Utf8,
        }
    }

    /// What the column means, in one line.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::ConfUuid => "meeting UUID as requested",
            Self::RecordIndex => {
                "0-based offset of the record in the API's order; unique with conf_uuid"
            }
            Self::DisplayName => "name as shown in the meeting",
            Self::CallNumber => "number (SIP) of the participant",
            Self::DeviceType => "device label in the language asked for",
            Self::MediaType => "media label in the language asked for",
            Self::DeptName => "department name",
            Self::JoinTime => "start of the stay, UTC; null when unknown",
            Self::LeftTime => "end of the stay, UTC; null when unknown",
            Self::DurationMs => {
                "left_time - join_time in milliseconds; null unless both are known and in order"
            }
            Self::Anomaly => {
                "null when clean, else missing_join, missing_left, negative_duration or out_of_range_time (before 2010, or a day after the answer)"
            }
            Self::Extra => {
                "JSON object of the members that this version does not know, kept verbatim, and of times out of range"
            }
        }
    }
}

/// The schema of a record, without metadata.
pub fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let fields = Column::ALL
            .map(|column| Field::new(column.name(), column.data_type(), column.is_nullable()));
        Arc::new(Schema::new(fields.to_vec()))
    });
    Arc::clone(&SCHEMA)
}

/// The language of the labels `device_type` and `media_type`, sent as `Accept-Language`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Language {
    /// English labels: `en-US`.
    #[default]
    #[serde(rename = "en-US")]
    EnUs,
    /// Chinese labels: `zh-CN`.
    #[serde(rename = "zh-CN")]
    ZhCn,
}

impl Language {
    /// The language tag.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EnUs => "en-US",
            Self::ZhCn => "zh-CN",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::EnUs, Self::ZhCn]
            .into_iter()
            .find(|language| language.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| "expected en-US or zh-CN".to_owned())
    }
}

/// Where the records of a dataset come from; kept as metadata of each part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Scheme, host and port of the API, without credentials, path or query.
    pub base_url: String,
    /// The language the labels were asked for in.
    pub language: Language,
    /// What became of personal columns, and with which key, by name; nothing where all are as the
    /// API gives them.
    pub pii: Option<String>,
}

impl Provenance {
    /// The key-value pairs of a part's metadata, in a fixed order, where its table's schema has
    /// this version.
    pub(crate) fn metadata(&self, schema_version: u32) -> Vec<(&'static str, String)> {
        let mut metadata = vec![
            ("rollbook.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("rollbook.schema_version", schema_version.to_string()),
            ("rollbook.base_url", self.base_url.clone()),
            ("rollbook.language", self.language.to_string()),
        ];
        metadata.extend(self.pii.clone().map(|pii| ("rollbook.pii", pii)));
        metadata
    }

    /// What the metadata of a part tells; nothing where it is not rollbook's.
    pub(crate) fn from_metadata(metadata: &HashMap<String, String>) -> Option<Self> {
        Some(Self {
            base_url: metadata.get("rollbook.base_url")?.clone(),
            language: metadata.get("rollbook.language")?.parse().ok()?,
            pii: metadata.get("rollbook.pii").cloned(),
        })
    }
}

/// What is odd about a record's times. At most one is told; they are tried in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Anomaly {
    /// A time lies outside the [`TimeRange`]; it is written as null and kept in `extra`.
    OutOfRangeTime,
    /// The API gives no join time, null or 0.
    MissingJoin,
    /// The API gives no left time, null or 0.
    MissingLeft,
    /// The record leaves before it joins.
    NegativeDuration,
}

impl Anomaly {
    /// Every anomaly, in the order in which they are tried.
    pub const ALL: [Self; 4] = [
        Self::OutOfRangeTime,
        Self::MissingJoin,
        Self::MissingLeft,
        Self::NegativeDuration,
    ];

    /// The value in the `anomaly` column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutOfRangeTime => "out_of_range_time",
            Self::MissingJoin => "missing_join",
            Self::MissingLeft => "missing_left",
            Self::NegativeDuration => "negative_duration",
        }
    }
}

/// The times that records of one answer can have, in milliseconds since 1970-01-01 UTC: from 2010 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    latest: i64,
}

impl TimeRange {
    /// Up to the last instant that every format can write.
    pub const OPEN: Self = Self {
        latest: LAST_TIME_MS,
    };

    /// Up to a day after an answer, by the clock of its server: so the same answer is read alike at
    /// any time. A clock that shows a time before 2010 is not believed.
    pub fn of_answer(at: SystemTime) -> Self {
        let at = at.duration_since(SystemTime::UNIX_EPOCH).ok();
        let at = at.and_then(|at| i64::try_from(at.as_millis()).ok());
        let at = at.filter(|&at| at >= EARLIEST_MS);
        let latest = at.map_or(LAST_TIME_MS, |at| at.saturating_add(AHEAD_MS));
        Self {
            latest: latest.min(LAST_TIME_MS),
        }
    }

    /// Whether a time is one of them.
    #[inline]
    pub const fn contains(self, ms: i64) -> bool {
        EARLIEST_MS <= ms && ms <= self.latest
    }
}

/// The time columns of one record, in milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stay {
    /// Start of the stay, where known.
    pub join: Option<i64>,
    /// End of the stay, where known.
    pub left: Option<i64>,
    /// `left - join`, where both are known and in order.
    pub duration: Option<i64>,
    /// What is odd about them.
    pub anomaly: Option<Anomaly>,
}

impl Stay {
    /// Normalises the API's two times, where they can be any from 2010 on.
    ///
    /// ```
    /// # use rollbook::{Anomaly, Stay};
    /// let stay = |join, left| Stay::new(Some(join), Some(left));
    /// assert_eq!(stay(1_574_119_917_872, 1_574_119_956_881).duration, Some(39_009));
    /// assert_eq!(stay(1_574_119_917_872, 0).anomaly, Some(Anomaly::MissingLeft));
    /// // Seconds instead of milliseconds.
    /// assert_eq!(stay(1_574_119_917, 1_574_119_956).anomaly, Some(Anomaly::OutOfRangeTime));
    /// ```
    pub fn new(join: Option<i64>, left: Option<i64>) -> Self {
        Self::within(TimeRange::OPEN, join, left)
    }

    /// Normalises the API's two times: 0 is a time not given, and one out of range is no time either.
    #[inline]
    pub fn within(times: TimeRange, join: Option<i64>, left: Option<i64>) -> Self {
        let given = |time: Option<i64>| time.filter(|&ms| ms != 0);
        let (join, left) = (given(join), given(left));
        let odd = [join, left]
            .into_iter()
            .flatten()
            .any(|ms| !times.contains(ms));
        let (join, left) = (
            join.filter(|&ms| times.contains(ms)),
            left.filter(|&ms| times.contains(ms)),
        );
        let difference = join.zip(left).map(|(join, left)| left - join);
        let anomaly = if odd {
            Some(Anomaly::OutOfRangeTime)
        } else if join.is_none() {
            Some(Anomaly::MissingJoin)
        } else if left.is_none() {
            Some(Anomaly::MissingLeft)
        } else {
            difference
                .filter(|&ms| ms < 0)
                .map(|_| Anomaly::NegativeDuration)
        };
        Self {
            join,
            left,
            duration: difference.filter(|&ms| ms >= 0),
            anomaly,
        }
    }
}

/// Whether a time can be written as a timestamp everywhere.
pub(crate) fn is_in_range(ms: i64) -> bool {
    (0..=LAST_TIME_MS).contains(&ms)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn columns_stand_at_their_index() {
        for (position, column) in Column::ALL.into_iter().enumerate() {
            assert_eq!(column.index(), position);
            assert_eq!(schema().field(position).name(), column.name());
        }
    }

    const NOON: i64 = 1_574_164_800_000;

    fn stay(join: Option<i64>, left: Option<i64>) -> Stay {
        let answer = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
        Stay::within(TimeRange::of_answer(answer), join, left)
    }

    #[test]
    fn a_time_that_is_missing_null_or_zero_is_unknown() {
        let some = Some(NOON);
        assert_eq!(stay(None, some).anomaly, Some(Anomaly::MissingJoin));
        assert_eq!(stay(Some(0), some), stay(None, some));
        assert_eq!(stay(some, Some(0)), stay(some, None));
        assert_eq!(stay(None, None).anomaly, Some(Anomaly::MissingJoin));
    }

    #[test]
    fn leaving_before_joining_has_no_duration_but_keeps_both_times() {
        let stay = stay(Some(NOON + 5), Some(NOON));
        assert_eq!(
            (stay.join, stay.left, stay.duration),
            (Some(NOON + 5), Some(NOON), None)
        );
        assert_eq!(stay.anomaly, Some(Anomaly::NegativeDuration));
    }

    #[test]
    fn a_stay_of_no_time_is_clean() {
        let stay = stay(Some(NOON), Some(NOON));
        assert_eq!((stay.duration, stay.anomaly), (Some(0), None));
    }

    #[test]
    fn a_time_before_2010_or_long_after_its_answer_is_out_of_range() {
        let latest = 1_600_000_000_000 + AHEAD_MS;
        for odd in [
            -1,
            1,
            NOON / 1_000,
            EARLIEST_MS - 1,
            latest + 1,
            i64::MAX,
            i64::MIN,
        ] {
            let odd_join = stay(Some(odd), Some(NOON));
            assert_eq!(odd_join.anomaly, Some(Anomaly::OutOfRangeTime), "{odd}");
            assert_eq!((odd_join.join, odd_join.left), (None, Some(NOON)));
            assert_eq!(stay(Some(NOON), Some(odd)).left, None);
        }
        for at in [EARLIEST_MS, NOON, latest] {
            assert_eq!(stay(Some(at), Some(at)).anomaly, None, "{at}");
        }
    }

    #[test]
    fn a_clock_that_cannot_be_right_sets_no_end_to_the_times() {
        for clock in [
            SystemTime::UNIX_EPOCH,
            SystemTime::UNIX_EPOCH - Duration::from_secs(1),
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_262_303_999),
        ] {
            assert_eq!(TimeRange::of_answer(clock), TimeRange::OPEN);
        }
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!(TimeRange::of_answer(far), TimeRange::OPEN);
    }
}
