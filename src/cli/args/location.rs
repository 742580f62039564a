//! How a command that is given a dataset gets to it, be it in a folder or in a bucket.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use rollbook::{Place, Result, StoreOptions};

use crate::cli::terminal::{print_note, unsynced};
use crate::cli::{Voice, state_dir, variables};

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
    ///
    /// # Errors
    ///
    /// A variable that names the state directory and cannot be used.
    pub(crate) fn place(&self, dest: &str) -> Result<Place> {
        let state_dir = match &self.state_dir {
            Some(folder) => Some(folder.clone()),
            None => state_dir::default()?,
        };
        Ok(Place {
            dest: dest.to_owned(),
            options: store_options(),
            allow_http: self.allow_http.unwrap_or_default(),
            state_dir,
        })
    }
}

impl Reach {
    /// The place of a command that writes, whose parts wait on this machine until they are in a
    /// bucket; warns of file systems that cannot sync folders.
    ///
    /// # Errors
    ///
    /// Fails as [`Reach::place`] does.
    pub(crate) fn place_to_write(&self, dest: &str, voice: &Voice) -> Result<Place> {
        let mut place = self.place(dest)?;
        if state_dir::is_store(dest)
            && let Some(reason) = state_dir::settle(&mut place.state_dir)?
        {
            print_note(&format!(
                "no state directory ({reason}): what waits for the bucket is in a temporary folder; \
                 set --state-dir to keep it"
            ));
        }
        if let Some(folders) = rollbook::unsynced(&place)? {
            voice.warn(unsynced(&folders));
        }
        Ok(place)
    }
}

/// What the environment tells stores, their credentials included.
pub(crate) fn store_options() -> StoreOptions {
    StoreOptions::of(variables::all())
}
