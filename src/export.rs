//! One run: every meeting of a list from the API into a dataset or a pipe.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::auth::Credentials;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::event::Observer;
use crate::report::Report;
use crate::uuid::ConfUuid;

/// What one run needs.
#[derive(Debug)]
pub struct Export {
    /// The settings.
    pub config: Config,
    /// Who asks.
    pub credentials: Credentials,
    /// The meetings, in order, each once.
    pub meetings: Vec<ConfUuid>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Finished {
    /// What was done, also where the run could not go on.
    pub report: Report,
    /// What stopped it, where something did.
    pub error: Option<Error>,
}
