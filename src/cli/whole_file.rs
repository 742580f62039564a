//! `--report FILE`, `--metrics-file FILE`: what a run leaves for others, there as a whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;
use tempfile::NamedTempFile;

/// A file that will be written as a whole.
#[derive(Debug)]
pub(crate) struct WholeFile {
    /// What it holds, for messages.
    what: &'static str,
    /// As it was named.
    path: PathBuf,
    place: Place,
}

/// What is there already decides how the file gets there.
#[derive(Debug)]
enum Place {
    /// A regular file, or none yet, at the end of all links: replaced as a whole.
    File(PathBuf),
    /// A device or a named pipe: written into, never replaced.
    Stream,
}

impl WholeFile {
    /// Makes sure that it can be written, before the run and not after hours of it.
    pub(crate) fn prepare(what: &'static str, path: PathBuf) -> Result<Self> {
        let place = Place::of(&path).with_context(|| context(what, &path))?;
        let file = Self { what, path, place };
        if let Place::File(place) = &file.place {
            draft(place).with_context(|| context(what, &file.path))?;
        }
        Ok(file)
    }

    /// The same, where one is asked for.
    pub(crate) fn of(what: &'static str, path: Option<PathBuf>) -> Result<Option<Self>> {
        path.map(|path| Self::prepare(what, path)).transpose()
    }

    /// As it was named.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the text and puts it under its name.
    pub(crate) fn write(&self, text: &[u8]) -> Result<()> {
        self.place
            .write(&self.path, text)
            .with_context(|| context(self.what, &self.path))
    }

    /// The same for JSON.
    pub(crate) fn write_json(&self, value: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(value)?;
        text.push(b'\n');
        self.write(&text)
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

fn context(what: &str, path: &Path) -> String {
    format!("cannot write the {what} {}", path.display())
}

/// A file beside the place, to be renamed.
fn draft(place: &Path) -> io::Result<NamedTempFile> {
    let folder = match place.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut draft = tempfile::Builder::new();
    draft.prefix(".rollbook-draft-");
    // As other files, so that the umask decides.
    #[cfg(unix)]
    draft.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    draft.tempfile_in(folder)
}
