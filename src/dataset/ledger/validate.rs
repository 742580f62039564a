//! What an entry must be like, beyond its JSON, before it may be believed.
//!
//! What an entry names is read, moved and, where the entry is void, removed: damage must not make
//! it name what belongs to another. So it names nothing but parts of its own, and its figures add
//! up.

use super::{Entry, LEDGER_VERSION, Part, RECORDS_ALONE, Rewrite, WITH_MEETINGS, part_path_in};
use crate::record::table::{MEETINGS, Table};
use crate::report::MeetingStatus;

impl Entry {
    /// The oldest version that has a place for what this entry says.
    pub(crate) fn oldest_version(&self) -> u32 {
        if self.rewrite.is_some()
            || self.partitioning.is_some()
            || !self.schema_versions.are_first()
        {
            LEDGER_VERSION
        } else if self.parts_of(Table::Meetings).next().is_some() {
            WITH_MEETINGS
        } else {
            RECORDS_ALONE
        }
    }

    /// The entry, of that version.
    pub(crate) fn versioned(self) -> Self {
        Self {
            version: self.oldest_version(),
            ..self
        }
    }

    /// What is wrong with this entry, if anything.
    pub(super) fn fault(&self) -> Option<String> {
        if !(1..=LEDGER_VERSION).contains(&self.version) {
            return Some(format!("there is no ledger version {}", self.version));
        }
        if [Table::Records, Table::Meetings]
            .map(|table| self.schema_versions.table(table))
            .contains(&0)
        {
            return Some("there is no schema version 0".to_owned());
        }
        if self.version != self.oldest_version() {
            let version = self.version;
            return Some(format!("ledger version {version} is not that of its parts"));
        }
        let is_link = |previous: &String| self.sequence > 1 && is_sha256(previous);
        if !self.previous_sha256.iter().all(is_link) {
            return Some("has no SHA-256 of the entry before it".to_owned());
        }
        // Without one it may purge alone.
        let is_purge = |rewrite: &Rewrite| !rewrite.purged.is_empty() && self.parts.is_empty();
        let mut rewrites = self.rewrite.iter();
        if self.retracts.is_empty() && !rewrites.all(is_purge) {
            return Some("rewrites no entry".to_owned());
        }
        for table in [Table::Records, Table::Meetings] {
            let misnamed = (0..)
                .zip(self.parts_of(table))
                .find(|(number, part)| !self.has_named(*number, part));
            if let Some((number, _)) = misnamed {
                return Some(format!("its part {number} is not named or hashed as one"));
            }
        }
        // Whoever publishes goes by their order.
        let is_of_records = |part: &Part| part.table() == Table::Records;
        if !self.parts.is_sorted_by_key(is_of_records) {
            return Some("its parts are not in the order of their names".to_owned());
        }
        if let Some(meeting) = self
            .meetings
            .iter()
            .find(|meeting| meeting.status != MeetingStatus::Complete)
        {
            return Some(format!("holds {}, which is not whole", meeting.conf_uuid));
        }
        let sum = |rows: &mut dyn Iterator<Item = u64>| rows.map(u128::from).sum::<u128>();
        let rows_of = |table| sum(&mut self.parts_of(table).map(|part| part.rows));
        let in_parts = rows_of(Table::Records);
        let in_meetings = sum(&mut self.meetings.iter().map(|meeting| meeting.rows));
        if in_parts != in_meetings {
            return Some(format!(
                "its parts hold {in_parts} records, its meetings {in_meetings}"
            ));
        }
        let (described, held) = (rows_of(Table::Meetings), self.meetings.len() as u128);
        let has_rows = self.parts_of(Table::Meetings).next().is_some();
        (has_rows && described != held)
            .then(|| format!("its parts describe {described} meetings, and it holds {held}"))
    }

    fn has_named(&self, number: usize, part: &Part) -> bool {
        let extension = part.path.split_once('.').map_or("", |(_, found)| found);
        let staged = part
            .staged
            .strip_prefix("_rollbook/staging/")
            .and_then(|rest| rest.strip_prefix(self.run_id.as_str()))
            .and_then(|rest| rest.strip_prefix('/'));
        is_plain(extension)
            && self.has_folder(part)
            && part.path == part_path_in(part.folder(), self.sequence, number, extension)
            && is_plain(&self.run_id)
            && staged.is_some_and(is_plain)
            && is_sha256(&part.sha256)
    }

    /// Whether a part lies where those of its table do.
    fn has_folder(&self, part: &Part) -> bool {
        let folder = part.folder();
        match (part.table(), self.partitioning) {
            (Table::Meetings, _) => folder == MEETINGS,
            (Table::Records, None) => folder.is_empty(),
            (Table::Records, Some(of)) => of.partition(folder).is_some(),
        }
    }
}

/// Whether a text is a SHA-256 in lower-case hexadecimal digits.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|digit| b"0123456789abcdef".contains(&digit))
}

/// Whether a text may be one piece of a path.
fn is_plain(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_allowed)
}
