//! Which settings contradict each other, or would send the token in the clear.

use std::path::Path;

use super::settings::Config;
use super::{location, proxy_rule};
use crate::error::{Error, Result};
use crate::values::{
    Compression, Format, InputKind, InvalidInput, ParquetEncodings, PartitionBy, SearchKey,
    TableFormat, When, clean,
};

impl Config {
    /// Refuses settings that contradict each other or would send the token in the clear.
    ///
    /// # Errors
    ///
    /// The message names the setting and what to do.
    pub fn check(&self) -> Result<()> {
        let url = &self.base_url;
        let refuse = |reason: String| Err(Error::Config(reason));
        if url.host_str().is_none() || !url.username().is_empty() || url.password().is_some() {
            return refuse("base_url: expected scheme, host and port, without credentials".into());
        }
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http || self.is_local() => {}
            "http" => {
                return refuse(format!(
                    "base_url {url}: http would send the access token in the clear; \
                     use https, or allow_http where the network is trusted"
                ));
            }
            other => return refuse(format!("base_url {url}: {other} is not http or https")),
        }
        if let Some(out) = self
            .out
            .as_deref()
            .filter(|&out| !out.is_empty() && out != "-")
        {
            location::parse(out)?;
        }
        for (key, path) in [
            ("state_dir", &self.state_dir),
            ("report", &self.report),
            ("metrics_file", &self.metrics_file),
        ] {
            if let Some(path) = path.as_deref().and_then(Path::to_str) {
                check_file(key, path)?;
            }
        }
        let search_key = self.search_key.as_ref().map(SearchKey::as_str);
        for (key, text) in [("out", self.out.as_deref()), ("search_key", search_key)] {
            let cleaned = text.map(|text| clean(text, InputKind::Text));
            // An empty one counts as none, or has a message of its own.
            if let Some(Err(invalid)) = cleaned
                && invalid != InvalidInput::Empty
            {
                return refuse(format!("{key} {invalid}"));
            }
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refuse("base_url: expected no query and no fragment".into());
        }
        if self.until.is_some() && self.since.is_none() {
            return refuse("until: it needs a since".to_owned());
        }
        if self.again && self.since.is_some() {
            return refuse(
                "again: it is for meetings that are named; give a list of them, or recheck with a \
                 since"
                    .to_owned(),
            );
        }
        if self.spool == When::Always && self.state_dir.is_none() {
            return refuse("spool = always: it needs a state_dir".to_owned());
        }
        if self.table == TableFormat::Delta && !cfg!(feature = "delta") {
            return refuse(
                "table = delta: this rollbook was built without it; use one with the feature \
                 `delta`"
                    .to_owned(),
            );
        }
        if self.table == TableFormat::Delta && self.format != Format::Parquet {
            return refuse(format!(
                "table = delta: its parts are parquet, not {}",
                self.format
            ));
        }
        if self.partition_by == Some(PartitionBy::Tenant) && !self.is_a_tenants() {
            return refuse(
                "partition_by = tenant: the run is nobody's; give it a [[tenant]] section, or a \
                 destination whose last folder is tenant=NAME"
                    .to_owned(),
            );
        }
        let (compression, format) = (self.compression(), self.format);
        if !compression.suits(format) {
            let choices = Compression::choices(format);
            return refuse(format!(
                "compression = {compression}: {format} takes {choices}"
            ));
        }
        let is_classic = self.parquet_encodings == ParquetEncodings::Classic;
        if is_classic && format == Format::Parquet && compression == Compression::Lz4 {
            return refuse(
                "compression = lz4: readers that need parquet_encodings = classic do not know \
                 Parquet's LZ4_RAW; use zstd, snappy or none"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Whether the destination is the folder of one tenant.
    fn is_a_tenants(&self) -> bool {
        let out = self.out.as_deref().unwrap_or_default();
        let folder = out.trim_end_matches('/').rsplit('/').next();
        let name = folder.and_then(|folder| folder.strip_prefix("tenant="));
        name.is_some_and(|name| !name.is_empty())
    }

    /// Whether the site is on this machine.
    pub fn is_local(&self) -> bool {
        proxy_rule::is_loopback(&self.base_url)
    }
}

/// Refuses a file or folder of this machine that is written as something else.
fn check_file(key: &str, path: &str) -> Result<()> {
    if path.contains("://") {
        let reason = "it is on this machine, never in a store";
        return Err(Error::Config(format!("{key}: {reason}")));
    }
    location::check_folder(key, path)
}
