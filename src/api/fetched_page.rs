//! A page of records, with what its answer said beside it.

use chrono::{DateTime, Utc};

use crate::record::decode::Page;

/// A page as it was fetched.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    /// The page.
    pub(crate) page: Page,
    /// When it was answered.
    pub(crate) at: DateTime<Utc>,
    /// The server's name for the request.
    pub(crate) request_id: Option<String>,
}
