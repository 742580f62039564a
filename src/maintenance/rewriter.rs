//! Puts one commit in the place of several, with all that they hold.
//!
//! What compaction and erasure have in common: the rows are written again, and committed unless
//! another run was quicker with one of those commits.

use crate::config::location::Place;
use crate::dataset::ledger::{Entry, Rewrite};
use crate::dataset::writer::StagedPart;
use crate::dataset::{Dataset, Form};
use crate::error::Result;
use crate::record::table::Table;
use crate::values::ConfUuid;

/// A run that does nothing else.
#[derive(Debug)]
pub(crate) struct Rewriter {
    pub(crate) dataset: Dataset,
    form: Form,
}

/// What one commit did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rewritten {
    pub(crate) parts: u64,
    pub(crate) bytes: u64,
    pub(crate) records: u64,
}

impl Rewriter {
    /// Opens a dataset for it, as a run of this name.
    pub(crate) async fn open(place: &Place, run_id: &str) -> Result<Self> {
        let (dataset, format) = Dataset::open_as_it_is(place, run_id).await?;
        let form = Form::as_it_is(format);
        Ok(Self { dataset, form })
    }

    /// Commits what these commits hold as one, without the purged meetings. Nothing where another
    /// run was quicker with one of them.
    ///
    /// # Errors
    ///
    /// A part that is not what was committed, and whatever the commit fails with.
    pub(crate) async fn rewrite(
        &mut self,
        entries: &[Entry],
        rewrite: Rewrite,
    ) -> Result<Option<Rewritten>> {
        self.dataset.show_all(entries).await?;
        let parts = self.write_again(entries, &rewrite.purged).await;
        // Where another run was quicker, it took the parts away.
        if parts.is_err() && !self.dataset.still_stand(entries).await? {
            return Ok(None);
        }
        let parts = parts?;
        let of_records = parts.iter().filter(|part| part.table == Table::Records);
        let rewritten = Rewritten {
            parts: parts.len() as u64,
            bytes: parts.iter().map(|part| part.bytes).sum(),
            records: of_records.map(|part| part.rows).sum(),
        };
        let done = self.dataset.rewrite(parts, entries, rewrite).await?;
        Ok(done.then_some(rewritten))
    }

    /// Stages what these commits hold. What is merged shares parts; what is left of an erasure does
    /// not: it may be any number of commits, each with parts as large as they should be.
    async fn write_again(
        &mut self,
        entries: &[Entry],
        purged: &[ConfUuid],
    ) -> Result<Vec<StagedPart>> {
        let size = if purged.is_empty() { entries.len() } else { 1 };
        let has_beside = self.dataset.has_parts_beside(entries);
        let mut parts: Vec<StagedPart> = Vec::new();
        let mut rest = entries;
        while !rest.is_empty() {
            let (some, others) = rest.split_at(size.min(rest.len()));
            rest = others;
            let mut staged = parts.iter();
            let is_readable_without = has_beside
                || others.iter().any(Entry::has_records)
                || staged.any(|part| part.table == Table::Records);
            let form = Form {
                is_readable_without,
                ..self.form
            };
            self.form.series += 1;
            parts.extend(self.dataset.write_again(some, purged, form).await?);
        }
        Ok(parts)
    }
}
