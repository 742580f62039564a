//! `--report FILE`: the run's report as JSON, there as a whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rollbook::Report;
use tempfile::NamedTempFile;

/// Where a report will be written.
#[derive(Debug)]
pub(crate) struct ReportFile {
    /// As it was named.
    path: PathBuf,
    place: Place,
}

/// What is there already decides how a report gets there.
#[derive(Debug)]
enum Place {
    /// A regular file, or none yet, at the end of all links: replaced as a whole.
    File(PathBuf),
    /// A device or a named pipe: written into, never replaced.
    Stream,
}

impl ReportFile {
    /// Makes sure that the report can be written, before the run and not after hours of it.
    pub(crate) fn prepare(path: PathBuf) -> Result<Self> {
        let place = Place::of(&path).with_context(|| context(&path))?;
        let file = Self { path, place };
        if let Place::File(place) = &file.place {
            draft(place).with_context(|| context(&file.path))?;
        }
        Ok(file)
    }

    /// Writes the report and puts it under its name.
    pub(crate) fn write(&self, report: &Report) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(report)?;
        text.push(b'\n');
        self.place
            .write(&self.path, &text)
            .with_context(|| context(&self.path))
    }
}

impl Place {
    fn of(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) if found.is_file() => Ok(Self::File(path.canonicalize()?)),
            Ok(_) => Ok(Self::Stream),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Self::File(path.to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    fn write(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        match self {
            Self::File(place) => {
                let mut draft = draft(place)?;
                draft.write_all(text)?;
                draft.as_file().sync_all()?;
                draft.persist(place)?;
            }
            Self::Stream => OpenOptions::new().write(true).open(path)?.write_all(text)?,
        }
        Ok(())
    }
}

fn context(path: &Path) -> String {
    format!("cannot write the report {}", path.display())
}

/// A file beside the place, to be renamed.
fn draft(place: &Path) -> io::Result<NamedTempFile> {
    let folder = match place.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut draft = tempfile::Builder::new();
    draft.prefix(".rollbook-report-");
    // As other files, so that the umask decides.
    #[cfg(unix)]
    draft.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    draft.tempfile_in(folder)
}
