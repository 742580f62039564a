//! A meeting's records as pages with faults are cut from them.

use serde_json::Value;

use super::meetings::{Meeting, Roll};
use super::page::{List, Members};
use super::record::{Left, Origin};
use crate::record::Language;

/// A meeting's records as a list, all or those that a search key finds.
pub(super) struct Listed {
    origin: Origin,
    roll: Roll,
    found: Option<Vec<u64>>,
    language: Language,
}

impl Listed {
    pub(super) fn new(meeting: &Meeting, key: Option<&str>, language: Language) -> Self {
        let (origin, roll) = (meeting.origin, meeting.roll());
        let is_found = |id: &u64, key: &str| {
            let record = origin.row(*id).record(language);
            record.display_name.contains(key) || record.call_number.contains(key)
        };
        let found = key.map(|key| roll.from(0).filter(|id| is_found(id, key)).collect());
        Self {
            origin,
            roll,
            found,
            language,
        }
    }
}

impl List for Listed {
    fn count(&self) -> u64 {
        match &self.found {
            Some(found) => found.len() as u64,
            None => self.roll.count(),
        }
    }

    fn row(&self, index: u64) -> Members {
        let id = match &self.found {
            Some(found) => usize::try_from(index)
                .ok()
                .and_then(|at| found.get(at).copied()),
            None => self.roll.at(index),
        };
        let Some(row) = id.map(|id| self.origin.row(id)) else {
            return Members::new();
        };
        let record = row.record(self.language);
        let quoted = |text: &str| Value::from(text).to_string();
        let left = match row.left() {
            Left::At(time) => Some(time.to_string()),
            Left::Null => Some("null".to_owned()),
            Left::Missing => None,
        };
        [
            ("displayName", Some(quoted(&record.display_name))),
            ("callNumber", Some(quoted(&record.call_number))),
            ("deviceType", Some(quoted(&record.device_type))),
            ("joinTime", Some(record.join_time.to_string())),
            ("leftTime", left),
            ("mediaType", Some(quoted(&record.media_type))),
            ("deptName", record.dept_name.as_deref().map(quoted)),
        ]
        .into_iter()
        .filter_map(|(name, json)| Some((name.to_owned(), json?)))
        .collect()
    }
}
