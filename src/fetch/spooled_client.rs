//! Client of the pager: a page comes from the spool of an earlier run, or from the API.
//!
//! Each page that the API answers is kept in the spool before its slot among the requests in flight is
//! free again: a page that is no longer in flight is in the spool.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::spool::{PageKey, Spool};
use crate::api::{Client, Failure, Fetched, Wanted};
use crate::error::{Error, Result};
use crate::report::{Event, Observer};
use crate::values::ConfUuid;

/// Client for single requests, and the spool that is asked first.
pub(crate) struct SpooledClient {
    api: Arc<Client>,
    /// None without a spool, or after a failure of its files.
    spool: Mutex<Option<Arc<Spool>>>,
    observer: Observer,
    pages_from_spool: AtomicU64,
}

impl SpooledClient {
    pub(crate) fn new(api: Arc<Client>, spool: Option<Arc<Spool>>, observer: Observer) -> Self {
        Self {
            api,
            spool: Mutex::new(spool),
            observer,
            pages_from_spool: AtomicU64::new(0),
        }
    }

    /// Returns the client for single requests.
    pub(crate) const fn api(&self) -> &Arc<Client> {
        &self.api
    }

    /// Returns how many pages came from the spool.
    pub(crate) fn pages_from_spool(&self) -> u64 {
        self.pages_from_spool.load(Ordering::Relaxed)
    }

    /// Returns one page. A request is repeated until an answer comes or another attempt is useless.
    pub(crate) async fn page(&self, wanted: Wanted<'_>) -> Result<Fetched, Failure> {
        let mut fetched = if let Some(fetched) = self.spooled(wanted).await {
            fetched
        } else {
            let (fetched, _slot) = self.api.page(wanted).await?;
            self.keep(wanted, fetched).await
        };
        // The spool compares its times with this machine's clock, the ledger with the server's.
        fetched.at = self.api.clock().at_machine_time(fetched.at);
        Ok(fetched)
    }

    /// Removes the pages of a meeting up to this walk from the spool.
    pub(crate) async fn void(&self, meeting: ConfUuid, walk: u32) {
        if let Some(spool) = self.spool() {
            self.on_disk(move || spool.void(meeting, walk)).await;
        }
    }

    /// Removes the pages of committed meetings from the spool.
    pub(crate) async fn settle(&self, meetings: Vec<ConfUuid>) {
        if let Some(spool) = self.spool().filter(|spool| spool.keeps()) {
            self.on_disk(move || spool.settle(&meetings)).await;
        }
    }

    async fn spooled(&self, wanted: Wanted<'_>) -> Option<Fetched> {
        let spool = self.spool()?;
        let key = key(wanted);
        if !spool.has(&key) {
            return None;
        }
        let fetched = self.on_disk(move || spool.take(key)).await??;
        self.pages_from_spool.fetch_add(1, Ordering::Relaxed);
        Some(fetched)
    }

    async fn keep(&self, wanted: Wanted<'_>, fetched: Fetched) -> Fetched {
        let Some(spool) = self.spool().filter(|spool| spool.keeps()) else {
            return fetched;
        };
        let (key, kept) = (key(wanted), fetched.clone());
        self.on_disk(move || spool.keep(key, &kept)).await;
        fetched
    }

    fn spool(&self) -> Option<Arc<Spool>> {
        let spool = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        spool.clone()
    }

    /// Works on the spool's files. After a failure the run goes on without a spool, and reports it.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Option<T> {
        let done = tokio::task::spawn_blocking(work).await;
        let done = done.map_err(Error::task("the spool")).flatten();
        match done {
            Ok(done) => Some(done),
            Err(error) => {
                let mut spool = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
                if spool.take().is_some() {
                    let cause = error.chain();
                    (self.observer)(Event::SpoolLost { cause });
                }
                None
            }
        }
    }
}

fn key(wanted: Wanted<'_>) -> PageKey {
    PageKey {
        meeting: wanted.meeting.clone(),
        walk: wanted.walk,
        offset: wanted.offset,
        limit: wanted.limit,
    }
}
