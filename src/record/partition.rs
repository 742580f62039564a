//! Partitions: which folder of a dataset the rows of a record part lie in, as Hive names them.
//!
//! A dataset's parts are told apart by one date, or not at all; the date is in the folder's name and
//! in no column. What has no date has a folder of its own, so that every row is somewhere.

mod day_cache;

use chrono::{Datelike as _, NaiveDate};
use serde::{Deserialize, Serialize};

use crate::values::{PartitionBy, Zone};

pub(crate) use self::day_cache::Calendar;

/// What Hive, and whoever reads as it does, calls a value that is null.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// How the record parts of a dataset are told apart: the same for all of them, from the first
/// commit on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partitioning {
    /// The date that tells them apart.
    pub by: DateOf,
    /// Whose civil days the dates are.
    pub timezone: Zone,
}

/// Whose date it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DateOf {
    /// The record's: the day of its `join_time`.
    #[serde(rename = "join-date")]
    Join,
    /// The meeting's: the day of the earliest `join_time` of its records.
    #[serde(rename = "meeting-date")]
    Meeting,
}

/// One partition. Those without a date come last, as their folder does among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Partition {
    /// The rows of a day.
    Date(NaiveDate),
    /// The rows of which no day is known.
    Dateless,
}

impl DateOf {
    const ALL: [Self; 2] = [Self::Join, Self::Meeting];

    /// The partition column's name.
    pub const fn column(self) -> &'static str {
        match self {
            Self::Join => "join_date",
            Self::Meeting => "meeting_date",
        }
    }

    /// What the partition column tells, in a few words.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Join => "civil day of join_time; null where there is none",
            Self::Meeting => {
                "civil day of the meeting's earliest join_time; null where there is none"
            }
        }
    }

    /// The setting that means it.
    pub const fn setting(self) -> PartitionBy {
        match self {
            Self::Join => PartitionBy::JoinDate,
            Self::Meeting => PartitionBy::MeetingDate,
        }
    }
}

impl Partitioning {
    /// What a setting means inside a dataset. The tenant is in the name of the dataset itself.
    pub fn new(by: PartitionBy, timezone: Zone) -> Option<Self> {
        let by = DateOf::ALL.into_iter().find(|date| date.setting() == by)?;
        Some(Self { by, timezone })
    }

    /// The folder of a partition.
    pub(crate) fn folder(self, partition: Partition) -> String {
        let column = self.by.column();
        match partition {
            Partition::Date(date) => format!("{column}={date}"),
            Partition::Dateless => format!("{column}={NULL}"),
        }
    }

    /// The partition whose folder is spelt exactly so.
    pub(crate) fn partition(self, folder: &str) -> Option<Partition> {
        let (column, partition) = parse(folder)?;
        (column == self.by.column()).then_some(partition)
    }
}

impl Partition {
    /// The partition of a day. Days that no format of ours can write are none.
    pub(crate) fn of(date: NaiveDate) -> Self {
        match date.year() {
            0..=9999 => Self::Date(date),
            _ => Self::Dateless,
        }
    }
}

/// Whether readers may take a folder for a partition of a dataset.
pub(crate) fn is_folder(name: &str) -> bool {
    let mut columns = DateOf::ALL.into_iter().map(DateOf::column);
    let rest = columns.find_map(|column| name.strip_prefix(column));
    rest.is_some_and(|rest| rest.starts_with('=')) && !name.contains('/')
}

/// The partition column and the value that a part's path tells, as other tables' logs want them;
/// the value is nothing where there is no date. Nothing at all for a part in no partition.
pub fn partition_of_part(path: &str) -> Option<(&'static str, Option<NaiveDate>)> {
    let (folder, _) = path.rsplit_once('/')?;
    let (column, partition) = parse(folder)?;
    match partition {
        Partition::Date(date) => Some((column, Some(date))),
        Partition::Dateless => Some((column, None)),
    }
}

fn parse(folder: &str) -> Option<(&'static str, Partition)> {
    let (column, value) = folder.split_once('=')?;
    let mut columns = DateOf::ALL.into_iter().map(DateOf::column);
    let column = columns.find(|known| *known == column)?;
    if value == NULL {
        return Some((column, Partition::Dateless));
    }
    let date: NaiveDate = value.parse().ok()?;
    // Each partition has one folder: no other spelling of its day is one.
    let partition = Partition::of(date);
    let is_spelt_so = partition != Partition::Dateless && date.to_string() == value;
    is_spelt_so.then_some((column, partition))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_JOIN: Partitioning = Partitioning {
        by: DateOf::Join,
        timezone: Zone::UTC,
    };

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_partition_has_one_folder_and_a_folder_one_partition() {
        for (partition, folder) in [
            (Partition::Date(date("2026-11-01")), "join_date=2026-11-01"),
            (Partition::Date(date("0999-01-31")), "join_date=0999-01-31"),
            (Partition::Dateless, "join_date=__HIVE_DEFAULT_PARTITION__"),
        ] {
            assert_eq!(BY_JOIN.folder(partition), folder);
            assert_eq!(BY_JOIN.partition(folder), Some(partition));
        }
    }

    #[test]
    fn no_other_name_is_a_partition() {
        for name in [
            "",
            "join_date",
            "join_date=",
            "join_date=2026-11-1",
            "join_date= 2026-11-01",
            "join_date=+2026-11-01",
            "join_date=2026-02-30",
            "join_date=2026-11-01/..",
            "../join_date=2026-11-01",
            "join_date=+10000-01-01",
            "join_date=null",
            "meeting_date=2026-11-01",
            "JOIN_DATE=2026-11-01",
        ] {
            assert_eq!(BY_JOIN.partition(name), None, "{name}");
        }
        let beyond = NaiveDate::from_ymd_opt(10_000, 1, 1).unwrap();
        assert_eq!(Partition::of(beyond), Partition::Dateless);
    }

    #[test]
    fn a_parts_path_tells_its_column_and_value() {
        let day = date("2026-11-01");
        for (path, told) in [
            (
                "join_date=2026-11-01/part-1-0.parquet",
                Some(("join_date", Some(day))),
            ),
            (
                "meeting_date=__HIVE_DEFAULT_PARTITION__/part-1-0.parquet",
                Some(("meeting_date", None)),
            ),
            ("part-1-0.parquet", None),
            ("meetings/part-1-0.parquet", None),
            ("x/join_date=2026-11-01/part-1-0.parquet", None),
        ] {
            assert_eq!(partition_of_part(path), told, "{path}");
        }
    }

    #[test]
    fn readers_may_take_any_value_of_the_columns_for_a_partition() {
        for name in ["join_date=", "join_date=x", "meeting_date=2026-11-01"] {
            assert!(is_folder(name), "{name}");
        }
        for name in ["join_date", "join_dates=x", "meetings", "join_date=x/y"] {
            assert!(!is_folder(name), "{name}");
        }
    }
}
