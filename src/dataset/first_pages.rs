//! The first records of meetings, read back from the parts that hold them.

use std::collections::{HashMap, HashSet};

use super::first_page::{FirstPage, FirstPages};
use super::ledger::{CommittedMeeting, Entry, Part};
use super::part_reader::PartReader;
use crate::durable_fs;
use crate::error::{Error, Result};
use crate::record::table::Table;
use crate::values::ConfUuid;

use super::Dataset;
use super::part_rewriter::damaged;

impl Dataset {
    /// The first `limit` records of each of these meetings, which the dataset holds. All parts of
    /// the commits that hold them are read, one after the other.
    ///
    /// # Errors
    ///
    /// A part that is gone or cannot be read, or a store that fails.
    pub(crate) async fn first_pages(
        &mut self,
        meetings: &HashMap<ConfUuid, CommittedMeeting>,
        limit: usize,
    ) -> Result<HashMap<ConfUuid, FirstPage>> {
        let has_rows = meetings.values().filter(|meeting| meeting.rows > 0);
        let wanted: HashSet<_> = has_rows.map(|meeting| &meeting.conf_uuid).collect();
        loop {
            let holders = self.holders(&wanted);
            self.show_all(&holders).await?;
            let pages = FirstPages::new(meetings.values(), limit);
            let read = self.read_into(pages, &holders).await;
            // Another run may have written them again meanwhile.
            if read.is_ok() || self.still_stand(&holders).await? {
                return read.map(FirstPages::finish);
            }
        }
    }

    async fn read_into(&self, mut pages: FirstPages, holders: &[Entry]) -> Result<FirstPages> {
        let parts = holders
            .iter()
            .flat_map(|entry| entry.parts_of(Table::Records));
        for part in parts {
            pages = self.read_part_into(pages, part).await?;
        }
        Ok(pages)
    }

    async fn read_part_into(&self, mut pages: FirstPages, part: &Part) -> Result<FirstPages> {
        let Some(file) = self.store.fetch(&part.path).await? else {
            return Err(damaged(&self.store, &part.path, "is gone"));
        };
        let path = part.path.clone();
        durable_fs::blocking("read", &self.store.local(&part.path), move || {
            for rows in PartReader::new(file, &path, Table::Records)? {
                pages.add(&rows?).map_err(|fault| Error::Dataset {
                    path: path.clone(),
                    reason: format!("cannot be read: {fault}"),
                })?;
            }
            Ok(pages)
        })
        .await
    }
}
