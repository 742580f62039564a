//! One part: an exclusive file, hashed while it is written, durable when it is closed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::record_batch::RecordBatch;
use sha2::{Digest, Sha256};

use crate::durable_fs;
use crate::error::{Error, Result};
use crate::failpoint::{Point, point};
use crate::record::partition::Partition;
use crate::record::table::Table;
use crate::values::Format;
use crate::values::hex::hex;

use super::PartOptions;
use super::batch_buffer::Gathering;
use super::encoder::{Fault, Outlet};

/// A closed part in the staging folder, not yet committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedPart {
    /// Where it is now.
    pub path: PathBuf,
    /// What its rows are.
    pub table: Table,
    /// The version of the schema that it is written by.
    pub schema_version: u32,
    /// The partition that they are of, where the records are told apart.
    pub partition: Option<Partition>,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, in lower-case hexadecimal digits.
    pub sha256: String,
    /// Its file name extension, without the first dot.
    pub extension: &'static str,
}

/// A part that still grows.
#[derive(Debug)]
pub(super) struct OpenPart {
    path: PathBuf,
    table: Table,
    format: Format,
    extension: &'static str,
    records: Gathering<HashingFile>,
    refusal: Refusal,
}

/// The system's code for why it took no more bytes: an encoder may tell it as a text only.
type Refusal = Arc<OnceLock<i32>>;

impl OpenPart {
    pub(super) fn create(options: &PartOptions, table: Table, path: PathBuf) -> Result<Self> {
        let refusal = Refusal::default();
        let file = HashingFile {
            file: durable_fs::create_file(&path)?,
            hash: Sha256::new(),
            bytes: 0,
            refusal: Arc::clone(&refusal),
        };
        point(Point::PartMade);
        let format = options.format;
        let records = Gathering::new(options, table, Outlet::Part, file)
            .map_err(|fault| fault.at(&path, format))?;
        Ok(Self {
            path,
            table,
            format,
            extension: options.extension(),
            records,
            refusal,
        })
    }

    pub(super) fn push(&mut self, page: &RecordBatch) -> Result<()> {
        self.records
            .push(page)
            .map_err(|fault| fault.or(&self.refusal).at(&self.path, self.format))?;
        point(Point::PartGrown);
        Ok(())
    }

    pub(super) fn rows(&self) -> u64 {
        self.records.rows()
    }

    /// The size so far, without the records that are still gathered.
    pub(super) fn size(&self) -> u64 {
        self.records.sink().map_or(0, |file| file.bytes) + self.buffered()
    }

    /// Of that, what is encoded and in memory.
    fn buffered(&self) -> u64 {
        self.records.buffered()
    }

    /// Bytes in memory, about.
    pub(super) fn held(&self) -> u64 {
        self.records.held()
    }

    pub(super) fn finish(self) -> Result<StagedPart> {
        let Self {
            path,
            table,
            format,
            extension,
            records,
            refusal,
        } = self;
        let rows = records.rows();
        let HashingFile {
            file, hash, bytes, ..
        } = records
            .finish()
            .map_err(|fault| fault.or(&refusal).at(&path, format))?;
        point(Point::PartWritten);
        // After this, closing can lose nothing: whatever a close could report, the sync did.
        file.sync_all().map_err(Error::file("sync", &path))?;
        drop(file);
        point(Point::PartSynced);
        let length = fs::metadata(&path)
            .map_err(Error::file("read", &path))?
            .len();
        if length != bytes {
            return Err(Error::Dataset {
                path: path.display().to_string(),
                reason: format!("{bytes} bytes were written, but the file has {length}"),
            });
        }
        Ok(StagedPart {
            path,
            table,
            schema_version: table.schema_version(),
            partition: None,
            rows,
            bytes,
            sha256: hex(&hash.finalize()),
            extension,
        })
    }

    pub(super) fn discard(self) -> Result<()> {
        let Self { path, records, .. } = self;
        drop(records);
        fs::remove_file(&path).map_err(Error::file("remove", &path))
    }
}

impl Fault {
    /// The file's refusal, where that is behind it.
    fn or(self, refusal: &Refusal) -> Self {
        match (self, refusal.get()) {
            (Self::Encode(_), Some(&code)) => Self::Sink(io::Error::from_raw_os_error(code)),
            (fault, _) => fault,
        }
    }

    /// The fault of writing this file.
    pub(super) fn at(self, path: &Path, format: Format) -> Error {
        match self {
            Self::Sink(error) => Error::file("write", path)(error),
            Self::Encode(source) => Error::Encode {
                format: format.as_str(),
                source,
            },
        }
    }
}

/// A file that knows the length and the hash of what went into it.
#[derive(Debug)]
struct HashingFile {
    file: File,
    hash: Sha256,
    bytes: u64,
    refusal: Refusal,
}

impl Write for HashingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes).inspect_err(|error| {
            if let Some(code) = error.raw_os_error() {
                self.refusal.get_or_init(|| code);
            }
        })?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
