//! What all records of a dataset have in common: the question that they answer, how they are told
//! apart, and the format of their parts.

use super::ledger::Asked;
use crate::error::{Error, Result};
use crate::record::partition::Partitioning;
use crate::record::table::Table;
use crate::values::{PartitionBy, Zone};

use super::Dataset;
use super::layout::SALT;

impl Dataset {
    /// Says what this run asks of each meeting.
    ///
    /// # Errors
    ///
    /// The dataset holds answers to another question.
    pub fn ask(&mut self, asked: Asked) -> Result<()> {
        // Each table has its own columns: those that no row is there of may be treated in any way.
        let mut standing = self.ledger.standing();
        let of_records = standing.find_map(|entry| entry.asked.as_ref());
        let of_records = of_records.filter(|before| !before.is_the_same_of_records(&asked));
        let mut described = self.ledger.standing().filter(|entry| {
            let mut parts = entry.parts_of(Table::Meetings);
            parts.any(|part| part.rows > 0)
        });
        let of_meetings = described.find_map(|entry| entry.asked.as_ref());
        let of_meetings = of_meetings.filter(|before| **before != asked);
        if let Some(before) = of_records.or(of_meetings) {
            let of_salt = |asked: &Asked| asked.search_key.as_ref().map(|key| key.salt.clone());
            if let (Some(old), Some(new)) = (of_salt(before), of_salt(&asked))
                && old != new
            {
                return Err(Error::Dataset {
                    path: self.store.shown(SALT),
                    reason: "is not the salt that the dataset's search key was kept with, so that the \
                             two keys cannot be compared: restore the file from a backup, or choose \
                             another destination"
                        .to_owned(),
                });
            }
            let what = if before.language != asked.language {
                format!("labels in {}", before.language)
            } else if before.search_key != asked.search_key {
                "another search key, or none".to_owned()
            } else {
                let pii = before.pii.as_deref().unwrap_or("all columns kept");
                format!("another pii policy or key ({pii})")
            };
            return Err(Error::Config(format!(
                "the dataset holds records that were asked for with {what}: \
                 ask for the same, or give another destination"
            )));
        }
        self.asked = Some(asked);
        Ok(())
    }

    /// Says how this run wants the records told apart: by what, and whose days dates are.
    ///
    /// # Errors
    ///
    /// The dataset's records are told apart otherwise.
    pub fn partition(&mut self, by: PartitionBy, timezone: Zone) -> Result<()> {
        let wanted = Partitioning::new(by, timezone);
        self.refuse_other_partitions(wanted)?;
        self.partitioning = wanted;
        Ok(())
    }

    /// How the records are told apart.
    pub fn partitioning(&self) -> Option<Partitioning> {
        self.partitioning
    }

    pub(super) fn refuse_other_partitions(&self, wanted: Option<Partitioning>) -> Result<()> {
        let Some(last) = self.ledger.last_standing() else {
            return Ok(());
        };
        if last.partitioning == wanted {
            return Ok(());
        }
        let (is, give) = match (last.partitioning, wanted) {
            (Some(before), Some(wanted)) if before.by == wanted.by => {
                let zone = before.timezone;
                let is = format!("partitioned by days of {zone}, not of {}", wanted.timezone);
                (is, format!("give --timezone {zone}"))
            }
            (Some(before), _) => {
                let by = before.by.setting();
                let give = format!("give --partition-by {by}, or run again without it");
                (format!("partitioned by {by}"), give)
            }
            (None, _) => {
                let give = "leave --partition-by out".to_owned();
                ("not partitioned".to_owned(), give)
            }
        };
        Err(Error::Config(format!(
            "the dataset is {is}: {give}, or choose another destination"
        )))
    }

    pub(super) fn refuse_other_formats(&self, extension: &str) -> Result<()> {
        let other = self
            .ledger
            .standing()
            .flat_map(|entry| &entry.parts)
            .find(|part| part.path.split_once('.').map(|(_, found)| found) != Some(extension));
        match other {
            Some(part) => Err(Error::Dataset {
                path: self.store.shown(&part.path),
                reason: format!(
                    "the dataset's parts are not .{extension}; keep its format, or choose another \
                     destination"
                ),
            }),
            None => Ok(()),
        }
    }
}
