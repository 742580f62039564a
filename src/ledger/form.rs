//! What an entry must be like, beyond its JSON, before it may be believed.
//!
//! What an entry names is read, moved and, where the entry is void, removed: damage must not make
//! it name what belongs to another. So it names nothing but parts of its own, and its figures add
//! up.

use super::{Entry, LEDGER_VERSION, Part, part_path};
use crate::report::MeetingStatus;

impl Entry {
    /// What is wrong with this entry, if anything.
    pub(super) fn fault(&self) -> Option<String> {
        if !(1..=LEDGER_VERSION).contains(&self.version) {
            return Some(format!("there is no ledger version {}", self.version));
        }
        let misnamed = (0..)
            .zip(&self.parts)
            .find(|(number, part)| !self.has_named(*number, part));
        if let Some((number, _)) = misnamed {
            return Some(format!("its part {number} is not named or hashed as one"));
        }
        if let Some(meeting) = self
            .meetings
            .iter()
            .find(|meeting| meeting.status != MeetingStatus::Complete)
        {
            return Some(format!("holds {}, which is not whole", meeting.conf_uuid));
        }
        let sum = |rows: &mut dyn Iterator<Item = u64>| rows.map(u128::from).sum::<u128>();
        let in_parts = sum(&mut self.parts.iter().map(|part| part.rows));
        let in_meetings = sum(&mut self.meetings.iter().map(|meeting| meeting.rows));
        (in_parts != in_meetings)
            .then(|| format!("its parts hold {in_parts} records, its meetings {in_meetings}"))
    }

    fn has_named(&self, number: usize, part: &Part) -> bool {
        let extension = part.path.split_once('.').map_or("", |(_, found)| found);
        let staged = part
            .staged
            .strip_prefix("_rollbook/staging/")
            .and_then(|rest| rest.strip_prefix(self.run_id.as_str()))
            .and_then(|rest| rest.strip_prefix('/'));
        is_plain(extension)
            && part.path == part_path(self.sequence, number, extension)
            && is_plain(&self.run_id)
            && staged.is_some_and(is_plain)
            && part.sha256.len() == 64
            && part
                .sha256
                .bytes()
                .all(|digit| b"0123456789abcdef".contains(&digit))
    }
}

/// Whether a text may be one piece of a path.
fn is_plain(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_allowed)
}
