//! The first page of a window's first day, asked for ahead of the walk over it: its answer has the
//! server's time, which the other days follow from. The walk takes the answer, so that no request is
//! spent on the time.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::auth::Credentials;
use super::client::Client;
use super::failure::Failure;
use super::history_request::Listing;
use crate::error::Result;
use crate::record::decode::HistoryPage;

/// A page of the list, and the server's id of the request.
pub(super) type Listed = Result<(HistoryPage, Option<String>), Failure>;

/// An answer that came ahead, until it is wanted.
#[derive(Default)]
pub(super) struct Ahead(Mutex<Option<(Listing, Listed)>>);

impl Ahead {
    fn keep(&self, listing: Listing, listed: Listed) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some((listing, listed));
    }

    /// The answer to this question, once.
    pub(super) fn take(&self, listing: Listing) -> Option<Listed> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take_if(|(asked, _)| *asked == listing)
            .map(|(_, listed)| listed)
    }
}

impl Client {
    /// The server's time: from the login, where this run logs in, else from this page of the list.
    /// `None` where no answer told it.
    ///
    /// # Errors
    ///
    /// What concerns every request. Another failure is the answer that the walk gets.
    pub(crate) async fn learn_time(&self, first: Listing) -> Result<Option<DateTime<Utc>>> {
        if matches!(
            self.credentials,
            Credentials::App(_) | Credentials::Account(_)
        ) && let Err(Failure::Run(error)) = self.token(None).await
        {
            return Err(error);
        }
        if self.clock.server().is_none() {
            match self.history(first).await {
                Err(Failure::Run(error)) => return Err(error),
                listed => self.ahead.keep(first, listed),
            }
        }
        Ok(self.clock.server())
    }
}
