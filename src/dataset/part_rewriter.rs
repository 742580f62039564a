//! The rows of commits, read from wherever they are and written again as staged parts.
//!
//! What merging, erasing and restoring have in common. A part is compared with the hash that it was
//! committed with and read from the same open file: what is damaged is never blessed by being
//! written again. Of a bucket it is brought here twice, first for what its end tells.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::Seek;
use std::path::Path;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::error::ArrowError;
use tokio::runtime::Handle;

use super::ledger::{Entry, Part};
use super::part_reader::PartReader;
use super::store::Store;
use super::writer::{BatchWriter, PartOptions, StagedPart};
use crate::durable_fs;
use crate::error::{Error, Result};
use crate::record::partition::{Partition, Partitioning};
use crate::record::table::Table;
use crate::record::{Column, Language, Provenance};
use crate::values::{Compression, ConfUuid, Format, ParquetEncodings};

use super::layout::replaced_path;
use super::{Dataset, fingerprint};

/// Between the base URLs of parts that were written as one.
const BETWEEN_SITES: &str = ", ";

/// How rows are written again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// That of the dataset.
    pub(crate) format: Format,
    /// As the parts are compressed, where nothing else is asked for.
    pub(crate) compression: Option<Compression>,
    /// Encodings in Parquet; as in the parts where nothing else is asked for, and classic where those
    /// of any part are.
    pub(crate) parquet_encodings: Option<ParquetEncodings>,
    /// Number of the staged files; one that no other writer of the run has.
    pub(crate) series: u32,
    /// Whether there are records to read beside these rows, so that no empty part needs to be there.
    pub(crate) is_readable_without: bool,
}

impl Form {
    /// The form in which the parts are, in this format.
    pub(crate) const fn as_it_is(format: Format) -> Self {
        Self {
            format,
            compression: None,
            parquet_encodings: None,
            series: 0,
            is_readable_without: true,
        }
    }
}

/// Meetings whose rows are left out.
#[derive(Clone, Debug, Default)]
struct Leaving {
    /// All their rows.
    purged: HashSet<ConfUuid>,
    /// Their records alone: what the meetings table has of them stays.
    replaced: HashSet<ConfUuid>,
}

/// One part, where it is, and the meetings in it whose rows do not count.
struct Source {
    part: Part,
    place: String,
    without: HashSet<ConfUuid>,
    /// No row of it counts.
    is_void: bool,
}

/// Origin of the rows of some parts, and how those parts are written.
struct Origin {
    provenance: Provenance,
    compression: Compression,
    parquet_encodings: ParquetEncodings,
}

/// The parts of some commits.
pub(super) struct Rows {
    sources: Vec<Source>,
    store: Store,
    /// Waits for the store where blocking is allowed.
    runtime: Handle,
    partitioning: Option<Partitioning>,
}

impl Dataset {
    /// Stages what these commits hold, but for these meetings, as few parts. Their own parts are
    /// read, or, where one is lost, those that they replaced.
    pub(crate) async fn write_again(
        &self,
        entries: &[Entry],
        purged: &[ConfUuid],
        form: Form,
    ) -> Result<Vec<StagedPart>> {
        let leaving = Leaving {
            purged: purged.iter().cloned().collect(),
            ..Leaving::default()
        };
        self.write_without(entries, &leaving, form).await
    }

    /// Stages what these commits hold, but for the records of these meetings, as few parts.
    pub(super) async fn write_kept(
        &self,
        entries: &[Entry],
        replaced: &[ConfUuid],
        form: Form,
    ) -> Result<Vec<StagedPart>> {
        let leaving = Leaving {
            replaced: replaced.iter().cloned().collect(),
            ..Leaving::default()
        };
        self.write_without(entries, &leaving, form).await
    }

    async fn write_without(
        &self,
        entries: &[Entry],
        leaving: &Leaving,
        form: Form,
    ) -> Result<Vec<StagedPart>> {
        let mut sources = Vec::new();
        for entry in entries {
            match self.sources(entry, leaving, false).await? {
                Some(found) => sources.extend(found),
                None => return Err(self.lacks_part_of(entry)),
            }
        }
        let rows = Rows {
            sources,
            store: self.store.clone(),
            runtime: Handle::current(),
            partitioning: self.partitioning,
        };
        let staging = self.staging().to_owned();
        let place = staging.clone();
        durable_fs::blocking("write", &staging, move || rows.write(form, &place)).await
    }

    /// Whether the rows of a commit whose parts are lost are all in parts that it replaced.
    pub(super) async fn can_be_restored(&self, entry: &Entry) -> Result<bool> {
        let sources = match entry.rewrite {
            Some(_) => self.sources(entry, &Leaving::default(), true).await?,
            None => None,
        };
        Ok(sources.is_some())
    }

    /// Returns where the rows of a commit are; nothing where some are nowhere. With `is_wary`, the hash and
    /// not the size decides whether a part is there.
    async fn sources(
        &self,
        entry: &Entry,
        leaving: &Leaving,
        is_wary: bool,
    ) -> Result<Option<Vec<Source>>> {
        let mut found = Vec::new();
        let mut left = vec![(entry, leaving.clone())];
        while let Some((entry, mut leaving)) = left.pop() {
            if let Some(own) = self.own_sources(entry, &leaving, is_wary).await? {
                found.extend(own);
                continue;
            }
            if leaving.is_all_of(entry) {
                continue;
            }
            let Some(rewrite) = &entry.rewrite else {
                return Ok(None);
            };
            // The new records of a replaced meeting are nowhere else.
            let mut replaced = rewrite.replaced.iter();
            if !replaced.all(|meeting| leaving.has_records_of(meeting)) {
                return Ok(None);
            }
            leaving.purged.extend(rewrite.purged.iter().cloned());
            let replaced = entry.retracts.iter().rev();
            let replaced = replaced.filter_map(|&sequence| self.ledger.entry(sequence));
            left.extend(replaced.map(|entry| (entry, leaving.clone())));
        }
        Ok(Some(found))
    }

    async fn own_sources(
        &self,
        entry: &Entry,
        leaving: &Leaving,
        is_wary: bool,
    ) -> Result<Option<Vec<Source>>> {
        let mut sources = Vec::new();
        for part in &entry.parts {
            let mut place = None;
            for path in [
                part.path.clone(),
                part.staged.clone(),
                replaced_path(&part.path),
            ] {
                let is_there = if is_wary {
                    self.is_as_written(part, &path).await?
                } else {
                    self.store.size(&path).await? == Some(part.bytes)
                };
                if is_there {
                    place = Some(path);
                    break;
                }
            }
            let Some(place) = place else {
                return Ok(None);
            };
            sources.push(Source {
                part: part.clone(),
                place,
                without: leaving.of(part.table()),
                is_void: leaving.is_all_in(part.table(), entry),
            });
        }
        Ok(Some(sources))
    }

    fn lacks_part_of(&self, entry: &Entry) -> Error {
        let path = entry.parts.first().map_or("", |part| part.path.as_str());
        damaged(&self.store, path, "is gone")
    }
}

impl Rows {
    fn write(&self, form: Form, staging: &Path) -> Result<Vec<StagedPart>> {
        let Some(origin) = self.origin()? else {
            return Ok(Vec::new());
        };
        let options = PartOptions {
            format: form.format,
            compression: form.compression.unwrap_or(origin.compression),
            parquet_encodings: form.parquet_encodings.unwrap_or(origin.parquet_encodings),
            provenance: origin.provenance,
            part_rows: u64::MAX,
            part_bytes: u64::MAX,
        };
        let mut writer = BatchWriter::new(options, staging.to_owned())
            .in_series(form.series)
            .partitioned(self.partitioning);
        let mut staged = Vec::new();
        for (partition, sources) in self.by_partition() {
            for source in sources.into_iter().filter(|source| !source.is_void) {
                for batch in self.rows(source)? {
                    // Where a row lies was decided when it was first written.
                    writer.within(partition, source.staying(batch?)?)?;
                }
            }
            // One after the other: of however many partitions, one encoder is at work.
            staged.extend(writer.finish()?);
        }
        let has_empty_parts = form.format.has_empty_parts();
        if staged.is_empty() && !form.is_readable_without && has_empty_parts {
            writer.empty_part()?;
            staged = writer.finish()?;
        }
        let mut described = Vec::new();
        for source in self.of(Table::Meetings) {
            for batch in self.rows(source)? {
                described.push(source.staying(batch?)?);
            }
        }
        if self.of(Table::Meetings).next().is_some() {
            let rows = concat_batches(&Table::Meetings.schema(), &described)
                .map_err(|fault| unwritten("the meetings table", &fault))?;
            if rows.num_rows() > 0 || has_empty_parts {
                staged.push(writer.meetings(&rows)?);
            }
        }
        Ok(staged)
    }

    fn of(&self, table: Table) -> impl Iterator<Item = &Source> {
        let sources = self.sources.iter();
        sources.filter(move |source| source.part.table() == table)
    }

    /// The parts of records by the partitions that they lie in, each in the order of the commits.
    fn by_partition(&self) -> BTreeMap<Option<Partition>, Vec<&Source>> {
        let mut sources: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for source in self.of(Table::Records) {
            let folder = source.part.folder();
            let partition = self.partitioning.and_then(|of| of.partition(folder));
            sources.entry(partition).or_default().push(source);
        }
        sources
    }

    /// The rows of a part, if it is what was committed.
    fn rows(&self, source: &Source) -> Result<PartReader> {
        let part = &source.part;
        let mut file = self.open(source)?;
        let path = self.store.local(&source.place);
        if fingerprint(&mut file, &path)? != (part.bytes, part.sha256.clone()) {
            return Err(damaged(
                &self.store,
                &source.place,
                "is not what was committed",
            ));
        }
        file.rewind().map_err(Error::file("read", &path))?;
        PartReader::new(file, &part.path, part.table())
    }

    /// Returns the origin of the rows, and how their parts are written; nothing where there is no part.
    fn origin(&self) -> Result<Option<Origin>> {
        let mut sites = BTreeSet::new();
        let (mut provenance, mut compression) = (None, None);
        let mut parquet_encodings = ParquetEncodings::Modern;
        for source in &self.sources {
            let reader =
                PartReader::new(self.open(source)?, &source.part.path, source.part.table())?;
            let found = reader.provenance().cloned().unwrap_or_else(unknown);
            sites.extend(found.base_url.split(BETWEEN_SITES).map(str::to_owned));
            provenance.get_or_insert(found);
            compression = compression.or(reader.compression());
            // Whoever reads one of the parts can read what takes their place.
            if reader.parquet_encodings() == Some(ParquetEncodings::Classic) {
                parquet_encodings = ParquetEncodings::Classic;
            }
        }
        let sites: Vec<_> = sites.into_iter().collect();
        Ok(provenance.map(|provenance| {
            let base_url = sites.join(BETWEEN_SITES);
            Origin {
                provenance: Provenance {
                    base_url,
                    ..provenance
                },
                compression: compression.unwrap_or(Compression::None),
                parquet_encodings,
            }
        }))
    }

    fn open(&self, source: &Source) -> Result<File> {
        let file = self.runtime.block_on(self.store.fetch(&source.place))?;
        file.ok_or_else(|| damaged(&self.store, &source.place, "is gone"))
    }
}

impl Leaving {
    /// The meetings whose rows in the parts of a table are left out.
    fn of(&self, table: Table) -> HashSet<ConfUuid> {
        match table {
            Table::Records => self.purged.union(&self.replaced).cloned().collect(),
            Table::Meetings => self.purged.clone(),
        }
    }

    fn has_records_of(&self, meeting: &ConfUuid) -> bool {
        self.purged.contains(meeting) || self.replaced.contains(meeting)
    }

    /// Whether no row of a commit's parts of a table counts.
    fn is_all_in(&self, table: Table, entry: &Entry) -> bool {
        let mut meetings = entry.meetings.iter().map(|meeting| &meeting.conf_uuid);
        match table {
            Table::Records => meetings.all(|meeting| self.has_records_of(meeting)),
            Table::Meetings => meetings.all(|meeting| self.purged.contains(meeting)),
        }
    }

    fn is_all_of(&self, entry: &Entry) -> bool {
        let has_table = entry.parts_of(Table::Meetings).next().is_some();
        self.is_all_in(Table::Records, entry)
            && (!has_table || self.is_all_in(Table::Meetings, entry))
    }
}

impl Source {
    /// The rows that count.
    fn staying(&self, batch: RecordBatch) -> Result<RecordBatch> {
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
        filter_record_batch(&batch, &stays).map_err(|fault| unwritten(&self.part.path, &fault))
    }
}

pub(super) fn damaged(store: &Store, path: &str, what: &str) -> Error {
    Error::Dataset {
        path: store.shown(path),
        reason: format!(
            "{what}; `rollbook verify --repair` puts that right, and what cannot be restored the \
             same export fetches again"
        ),
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
