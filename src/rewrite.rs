//! Writes the rows of commits again, as one commit of other parts.
//!
//! What compaction and erasure have in common. Each part is read once, after it was compared with
//! the hash that it was committed with: what is damaged is never blessed by being written again.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::Seek;
use std::path::Path;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::error::ArrowError;
use chrono::{DateTime, Utc};
use tokio::runtime::Handle;

use crate::compression::Compression;
use crate::config::Format;
use crate::dataset::{Dataset, fingerprint};
use crate::error::{Error, Result};
use crate::folder;
use crate::ledger::{Entry, Part, Rewrite};
use crate::place::Place;
use crate::reader::PartReader;
use crate::record::{Column, Language, Provenance};
use crate::store::Store;
use crate::table::Table;
use crate::uuid::ConfUuid;
use crate::writer::{BatchWriter, PartOptions, StagedPart};

/// How rows are written again.
#[derive(Debug)]
pub(crate) struct Rewriter {
    pub(crate) dataset: Dataset,
    pub(crate) format: Format,
    pub(crate) compression: Compression,
    /// Number of the next commit's staged files.
    pub(crate) series: u32,
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
        let (dataset, format, compression) = Dataset::open_as_it_is(place, run_id).await?;
        Ok(Self {
            dataset,
            format,
            compression,
            series: 0,
        })
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
        purged: &[ConfUuid],
        keep_until: DateTime<Utc>,
    ) -> Result<Option<Rewritten>> {
        let staging = self.dataset.staging().to_owned();
        let sources = Sources {
            parts: entries
                .iter()
                .flat_map(|entry| entry.parts.clone())
                .collect(),
            store: self.dataset.store().clone(),
            runtime: Handle::current(),
            without: purged.iter().map(|uuid| uuid.as_str().to_owned()).collect(),
            is_readable_without: self.dataset.has_parts_beside(entries),
        };
        let (format, compression, series) = (self.format, self.compression, self.series);
        self.series += 1;
        let place = staging.clone();
        let parts = folder::blocking("write", &staging, move || {
            sources.write(format, compression, &place, series)
        })
        .await;
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
        let rewrite = Rewrite {
            keep_until,
            purged: purged.to_vec(),
        };
        let done = self.dataset.rewrite(parts, entries, rewrite).await?;
        Ok(done.map(|_| rewritten))
    }
}

/// The parts of some commits, and which of their rows stay.
struct Sources {
    parts: Vec<Part>,
    store: Store,
    /// Waits for the store where blocking is allowed.
    runtime: Handle,
    /// Meetings whose rows do not stay.
    without: HashSet<String>,
    /// There are other parts, so that none is needed where no row stays.
    is_readable_without: bool,
}

impl Sources {
    fn write(
        &self,
        format: Format,
        compression: Compression,
        staging: &Path,
        series: u32,
    ) -> Result<Vec<StagedPart>> {
        let Some(provenance) = self.provenance()? else {
            return Ok(Vec::new());
        };
        let options = PartOptions {
            format,
            compression,
            provenance,
            part_rows: u64::MAX,
            part_bytes: u64::MAX,
        };
        let mut writer = BatchWriter::new(options, staging.to_owned()).in_series(series);
        let mut described = Vec::new();
        for part in &self.parts {
            for batch in PartReader::new(self.open(part)?, &part.path, part.table())? {
                let batch = self.staying(batch?, part)?;
                match part.table() {
                    Table::Records => writer.whole(&[batch])?,
                    Table::Meetings => described.push(batch),
                }
            }
        }
        if writer.rows() == 0 && !self.is_readable_without {
            writer.empty_part()?;
        }
        let mut staged: Vec<_> = writer.finish()?.into_iter().collect();
        let mut parts = self.parts.iter();
        if parts.any(|part| part.table() == Table::Meetings) {
            let rows = concat_batches(&Table::Meetings.schema(), &described)
                .map_err(|fault| unwritten("the meetings table", &fault))?;
            staged.extend(writer.meetings(&rows)?);
        }
        Ok(staged)
    }

    /// Where the rows come from, if every part is what was committed; nothing where there is none.
    fn provenance(&self) -> Result<Option<Provenance>> {
        let mut sites = BTreeSet::new();
        let mut all = None;
        for part in &self.parts {
            let mut file = self.open(part)?;
            let path = self.store.local(&part.path);
            if fingerprint(&mut file, &path)? != (part.bytes, part.sha256.clone()) {
                return Err(self.damaged(part, "is not what was committed"));
            }
            file.rewind().map_err(Error::file("read", &path))?;
            let reader = PartReader::new(file, &part.path, part.table())?;
            let found = reader.provenance().cloned().unwrap_or_else(unknown);
            sites.insert(found.base_url.clone());
            all.get_or_insert(found);
        }
        let sites: Vec<_> = sites.into_iter().collect();
        Ok(all.map(|all| Provenance {
            base_url: sites.join(", "),
            ..all
        }))
    }

    fn open(&self, part: &Part) -> Result<File> {
        let file = self.runtime.block_on(self.store.fetch(&part.path))?;
        file.ok_or_else(|| self.damaged(part, "is gone"))
    }

    fn damaged(&self, part: &Part, what: &str) -> Error {
        Error::Dataset {
            path: self.store.shown(&part.path),
            reason: format!(
                "{what}; `rollbook verify --repair` drops it, and the same export fetches it again"
            ),
        }
    }

    /// The rows that stay.
    fn staying(&self, batch: RecordBatch, part: &Part) -> Result<RecordBatch> {
        if self.without.is_empty() {
            return Ok(batch);
        }
        let meetings = batch
            .column_by_name(Column::ConfUuid.name())
            .and_then(|column| column.as_string_opt::<i32>());
        let stays: BooleanArray = meetings
            .into_iter()
            .flat_map(|meetings| meetings.iter())
            .map(|meeting| Some(meeting.is_none_or(|meeting| !self.without.contains(meeting))))
            .collect();
        filter_record_batch(&batch, &stays).map_err(|fault| unwritten(&part.path, &fault))
    }
}

fn unwritten(path: &str, fault: &ArrowError) -> Error {
    Error::Dataset {
        path: path.to_owned(),
        reason: format!("cannot be written again: {fault}"),
    }
}

/// For a format that keeps nothing of the kind.
fn unknown() -> Provenance {
    Provenance {
        base_url: String::new(),
        language: Language::default(),
        pii: None,
    }
}
