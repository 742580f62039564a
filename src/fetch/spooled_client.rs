//! Pages that need not be asked for, since a run before this one asked.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::spool::{Fetched, PageKey, Spool};
use crate::api::{Client, Wanted};
use crate::error::{Error, Result};
use crate::report::Event;
use crate::values::ConfUuid;

impl Client {
    /// A page of a run that was cut off.
    pub(crate) async fn spooled(&self, wanted: Wanted<'_>) -> Option<Fetched> {
        let spool = self.spool()?;
        let key = key(wanted);
        if !spool.has(&key) {
            return None;
        }
        let fetched = self.on_disk(move || spool.take(key)).await??;
        self.tally.spooled.fetch_add(1, Ordering::Relaxed);
        Some(fetched)
    }

    /// Keeps a page that has just arrived. Its place among the requests in flight is given up only
    /// after this: what is not in flight any more is in the spool.
    pub(crate) async fn spool_page(&self, wanted: Wanted<'_>, fetched: Fetched) -> Fetched {
        let Some(spool) = self.spool().filter(|spool| spool.keeps()) else {
            return fetched;
        };
        let (key, kept) = (key(wanted), fetched.clone());
        self.on_disk(move || spool.keep(key, &kept)).await;
        fetched
    }

    /// Voids what the spool has of a meeting up to this walk.
    pub(crate) async fn void(&self, meeting: ConfUuid, walk: u32) {
        if let Some(spool) = self.spool() {
            self.on_disk(move || spool.void(meeting, walk)).await;
        }
    }

    /// These meetings are committed: nobody needs their pages any more.
    pub(crate) async fn settle(&self, meetings: Vec<ConfUuid>) {
        if let Some(spool) = self.spool().filter(|spool| spool.keeps()) {
            self.on_disk(move || spool.settle(&meetings)).await;
        }
    }

    fn spool(&self) -> Option<Arc<Spool>> {
        let spool = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        spool.clone()
    }

    /// Does work on the spool's files. Where that fails the run goes on without a spool, and
    /// says so.
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
