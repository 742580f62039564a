//! The staged files of one writer: each has a name that none had before.

use std::path::PathBuf;

use super::PartOptions;
use super::part_file::{OpenPart, StagedPart};
use crate::durable_fs;
use crate::error::Result;
use crate::failpoint::{Point, point};
use crate::record::partition::Partition;
use crate::record::table::Table;

/// Makes them in a folder that nobody else writes to.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) options: PartOptions,
    staging: PathBuf,
    /// Number of the next staged file; never reused, so that a name means one content.
    pub(super) series: u32,
    next: u64,
}

impl Files {
    pub(super) fn new(options: PartOptions, staging: PathBuf) -> Self {
        Self {
            options,
            staging,
            series: 0,
            next: 0,
        }
    }

    pub(super) fn open(&mut self, table: Table) -> Result<OpenPart> {
        let extension = self.options.extension();
        let name = format!("{}-{:08}.{extension}", self.series, self.next);
        self.next += 1;
        OpenPart::create(&self.options, table, self.staging.join(name))
    }

    /// Closes a part of a partition, or of none, and makes it durable.
    pub(super) fn close(&self, part: OpenPart, partition: Option<Partition>) -> Result<StagedPart> {
        let part = part.finish()?;
        durable_fs::sync(&self.staging)?;
        point(Point::PartStaged);
        Ok(StagedPart { partition, ..part })
    }
}
