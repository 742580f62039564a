//! The config file: where it is, and the settings that come of it.

use std::path::Path;

use anyhow::Result;
use rollbook::{Config, Error, Tenant};

/// The settings of a config file and its tenants; without one, the defaults and none.
pub(crate) fn load(path: Option<&Path>) -> Result<(Config, Vec<Tenant>)> {
    let Some(path) = path else {
        return Ok((Config::default(), vec![]));
    };
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::Config(format!("cannot read the config file {name}: {error}")))?;
    Ok(Tenant::all_from_toml(&text, &name)?)
}
