//! Which meetings of one commit have their row in the meetings table.

use std::collections::{HashMap, HashSet};

use crate::dataset::ledger::Entry;
use crate::record::table::Table;

use super::Finding;
use super::record_index_set::PartRows;

/// The rows of the meetings table that one commit brought, by meeting.
#[derive(Debug, Default)]
pub(super) struct Described {
    rows: HashMap<String, u64>,
}

impl Described {
    /// The rows of one part; those of meetings that the commit does not hold are findings.
    pub(super) fn add(
        &mut self,
        entry: &Entry,
        path: &str,
        rows: PartRows,
        findings: &mut Vec<Finding>,
    ) {
        let held: HashSet<_> = entry
            .meetings
            .iter()
            .map(|meeting| meeting.conf_uuid.as_str())
            .collect();
        for (conf_uuid, rows) in rows.by_meeting() {
            if held.contains(conf_uuid.as_str()) {
                *self.rows.entry(conf_uuid).or_default() += rows;
            } else {
                findings.push(Finding::Stray {
                    path: path.to_owned(),
                    conf_uuid,
                    rows,
                });
            }
        }
    }

    /// A commit that brought a part of the table has one row for each of its meetings.
    pub(super) fn compare(&self, entry: &Entry, findings: &mut Vec<Finding>) {
        if entry.parts_of(Table::Meetings).next().is_none() {
            return;
        }
        for meeting in &entry.meetings {
            let conf_uuid = &meeting.conf_uuid;
            let rows = self.rows.get(conf_uuid.as_str()).copied();
            let rows = rows.unwrap_or_default();
            if rows != 1 {
                findings.push(Finding::NotDescribed {
                    conf_uuid: conf_uuid.clone(),
                    rows,
                });
            }
        }
    }
}
