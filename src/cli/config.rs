//! The config file: where it is, and the settings that come of it.

use std::path::Path;

use anyhow::Result;
use rollbook::{Config, Error};

/// The settings of a config file; without one, the defaults.
pub(crate) fn load(path: Option<&Path>) -> Result<Config> {
    let Some(path) = path else {
        return Ok(Config::default());
    };
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::Config(format!("cannot read the config file {name}: {error}")))?;
    Ok(Config::from_toml(&text, &name)?)
}
