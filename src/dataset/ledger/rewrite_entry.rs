//! A commit that brings nothing new: it holds what earlier ones held, in other parts.
//!
//! So small parts become large ones, and so a meeting is erased. The earlier commits are void from
//! then on, as those whose parts were lost are; but nothing of them is to be fetched again. A meeting
//! that was read again is replaced in the same way: the entry holds it with its new records.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{CommittedMeeting, Entry};
use crate::values::ConfUuid;

/// What makes an entry one that rewrites those that it retracts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rewrite {
    /// Until then the parts of the retracted entries are kept, where readers do not look.
    pub(crate) keep_until: DateTime<Utc>,
    /// Meetings that are erased: their records are in no part, and are never fetched again. A later
    /// entry that holds one is not believed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) purged: Vec<ConfUuid>,
    /// Meetings that were read again: the entry holds them with other records than the retracted
    /// entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) replaced: Vec<ConfUuid>,
}

impl Rewrite {
    /// What is wrong with an entry that rewrites these, if anything: it must hold each of their
    /// meetings as they do, but for those that it purges or replaces. Beside these it may purge what
    /// a void entry held and none holds any more, as `is_left` tells: rows of it may be kept.
    pub(super) fn fault(
        &self,
        entry: &Entry,
        rewritten: &[&Entry],
        is_left: impl Fn(&ConfUuid) -> bool,
    ) -> Option<String> {
        let mut before: HashMap<&ConfUuid, &CommittedMeeting> = rewritten
            .iter()
            .flat_map(|entry| &entry.meetings)
            .map(|meeting| (&meeting.conf_uuid, meeting))
            .collect();
        for purged in &self.purged {
            if before.remove(purged).is_none() && !is_left(purged) {
                return Some(format!(
                    "purges {purged}, which it does not rewrite, nor did a void entry alone hold it"
                ));
            }
        }
        let replaced: HashSet<_> = self.replaced.iter().collect();
        if let Some(unknown) = replaced
            .iter()
            .filter(|replaced| !before.contains_key(*replaced))
            .min()
        {
            return Some(format!("replaces {unknown}, which it does not rewrite"));
        }
        for meeting in &entry.meetings {
            let held = before.remove(&meeting.conf_uuid);
            let is_replaced = held.is_some() && replaced.contains(&meeting.conf_uuid);
            if held != Some(meeting) && !is_replaced {
                let meeting = &meeting.conf_uuid;
                return Some(format!("holds {meeting} otherwise than what it rewrites"));
            }
        }
        let lost = before.into_keys().min()?;
        Some(format!("rewrites {lost} and does not hold it"))
    }
}
