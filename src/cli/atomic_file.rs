//! `--report FILE`, `--metrics-file FILE`: what a run leaves for others, there as a whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rollbook::Mode;
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
    /// Permissions of the file; without them, the umask decides.
    mode: Option<Mode>,
}

/// What is there already decides how the file gets there.
#[derive(Debug)]
enum Place {
    /// A regular file, or none yet, at the end of all links: replaced as a whole.
    File(PathBuf),
    /// A device or a named pipe: written into, never replaced.
    Stream,
    /// Standard output, which `-` stands for.
    Stdout,
}

/// Whether a path stands for standard output.
pub(crate) fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

impl WholeFile {
    /// Makes sure that it can be written, before the run and not after hours of it.
    pub(crate) fn prepare(what: &'static str, path: PathBuf) -> Result<Self> {
        let place = Place::of(&path).with_context(|| context(what, &path))?;
        let file = Self {
            what,
            path,
            place,
            mode: None,
        };
        if let Place::File(place) = &file.place {
            draft(place).with_context(|| context(what, &file.path))?;
        }
        Ok(file)
    }

    /// Sets the permissions: `mode`, or those of the file that is replaced, or `usual`.
    pub(crate) fn permitted(mut self, mode: Option<Mode>, usual: Mode) -> Self {
        self.mode = mode.or_else(|| self.place.mode()).or(Some(usual));
        self
    }

    /// The text that is there now, where it is in a file.
    pub(crate) fn text(&self) -> Option<String> {
        match &self.place {
            Place::File(place) => fs::read_to_string(place).ok(),
            Place::Stream | Place::Stdout => None,
        }
    }

    /// The same, where one is asked for.
    pub(crate) fn of(what: &'static str, path: Option<PathBuf>) -> Result<Option<Self>> {
        path.map(|path| Self::prepare(what, path)).transpose()
    }

    /// Writes the text and puts it under its name.
    pub(crate) fn write(&self, text: &[u8]) -> Result<()> {
        self.place
            .write(&self.path, text, self.mode)
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
        if is_stdout(path) {
            return Ok(Self::Stdout);
        }
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

    /// The permissions of the file that is there, without what no data file has.
    fn mode(&self) -> Option<Mode> {
        #[cfg(unix)]
        if let Self::File(place) = self {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(place).ok()?.permissions().mode();
            return format!("{:o}", mode & 0o666 | 0o600).parse().ok();
        }
        None
    }

    #[cfg_attr(not(unix), expect(unused_variables, reason = "no such permissions"))]
    fn write(&self, path: &Path, text: &[u8], mode: Option<Mode>) -> io::Result<()> {
        match self {
            Self::File(place) => {
                let mut draft = draft(place)?;
                draft.write_all(text)?;
                #[cfg(unix)]
                if let Some(mode) = mode {
                    use std::os::unix::fs::PermissionsExt as _;
                    let permissions = fs::Permissions::from_mode(mode.file());
                    draft.as_file().set_permissions(permissions)?;
                }
                draft.as_file().sync_all()?;
                draft.persist(place)?;
            }
            Self::Stream => OpenOptions::new().write(true).open(path)?.write_all(text)?,
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(text)?;
                stdout.flush()?;
            }
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
