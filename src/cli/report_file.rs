//! `--report FILE`: the run's report as JSON, there as a whole or not at all.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rollbook::Report;
use tempfile::NamedTempFile;

/// Where a report will be written.
#[derive(Debug)]
pub(crate) struct ReportFile {
    path: PathBuf,
}

impl ReportFile {
    /// Makes sure that the report can be written, before the run and not after hours of it.
    pub(crate) fn prepare(path: PathBuf) -> Result<Self> {
        let file = Self { path };
        file.draft()?;
        Ok(file)
    }

    /// Writes the report and puts it under its name.
    pub(crate) fn write(&self, report: &Report) -> Result<()> {
        let context = || format!("cannot write the report {}", self.path.display());
        let mut draft = self.draft()?;
        serde_json::to_writer_pretty(&mut draft, report).with_context(context)?;
        draft.write_all(b"\n").with_context(context)?;
        draft.as_file().sync_all().with_context(context)?;
        draft.persist(&self.path).with_context(context)?;
        Ok(())
    }

    fn draft(&self) -> Result<NamedTempFile> {
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        tempfile::Builder::new()
            .prefix(".rollbook-report-")
            .tempfile_in(folder)
            .with_context(|| format!("cannot write the report {}", self.path.display()))
    }
}
