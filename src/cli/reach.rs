//! How a command that is given a dataset gets to it, be it in a folder or in a bucket.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use rollbook::{Place, StoreOptions};

use super::state_dir;

#[derive(Debug, Args)]
pub(crate) struct Reach {
    /// Accept http:// to a store on another host than this machine
    #[arg(long, value_name = "BOOL", env = "ROLLBOOK_ALLOW_HTTP")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    #[arg(hide_short_help = true)]
    allow_http: Option<bool>,
    /// Where runs into a bucket keep their locks on this machine [default: the user's state
    /// directory]
    #[arg(long, value_name = "DIR", env = "ROLLBOOK_STATE_DIR")]
    #[arg(hide_short_help = true)]
    state_dir: Option<PathBuf>,
}

impl Reach {
    /// The place that a destination names.
    pub(crate) fn place(&self, dest: &str) -> Place {
        Place {
            dest: dest.to_owned(),
            options: store_options(),
            allow_http: self.allow_http.unwrap_or_default(),
            state_dir: self.state_dir.clone().or_else(state_dir::default),
        }
    }
}

/// What the environment tells stores, their credentials included.
pub(crate) fn store_options() -> StoreOptions {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    StoreOptions::of(env::vars_os().filter_map(text))
}
