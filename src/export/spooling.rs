//! The spool of a run: opened where there is a place for it, and never a reason to fail.

use std::path::Path;
use std::sync::Arc;

use crate::config::{Config, When};
use crate::error::Result;
use crate::event::{Event, Observer};
use crate::folder;
use crate::spool::{Question, Spool};
use crate::uuid::ConfUuid;

/// The spool for the questions of this run, where there is a place for it.
pub(super) async fn open(
    config: &Config,
    question: Option<Question>,
    run_id: &str,
    observer: &Observer,
) -> Result<Option<Arc<Spool>>> {
    let (Some(state_dir), Some(question)) = (&config.state_dir, question) else {
        return Ok(None);
    };
    let (state_dir, run_id, keeps) = (state_dir.clone(), run_id.to_owned(), config.keeps_pages());
    let place = state_dir.clone();
    let opened = folder::blocking("open", &place, move || {
        Spool::open(&state_dir, question, &run_id, keeps)
    });
    match opened.await {
        Ok((spool, left)) => {
            for error in left {
                let cause = error.chain();
                (observer)(Event::SpoolLeft { cause });
            }
            Ok(Some(Arc::new(spool)))
        }
        Err(error) => {
            let cause = error.chain();
            (observer)(Event::SpoolLost { cause });
            Ok(None)
        }
    }
}

/// Drops the pages that this run does not need; tells how many are left.
pub(super) fn forget_unwanted(
    spool: &Spool,
    config: &Config,
    work: &[ConfUuid],
    is_listed: bool,
    observer: &Observer,
) {
    // Who says never wants no page of an earlier run either; but what an incomplete list does not
    // name may be asked for by the next run.
    let wanted = match config.spool {
        When::Never => &[],
        _ if !is_listed => return,
        _ => work,
    };
    let pages = spool.only(wanted);
    if pages > 0 {
        (observer)(Event::Spooled { pages });
    }
}

/// Removes the spool, or leaves it to the next run. What was exported is whole either way.
pub(super) async fn close(spool: Arc<Spool>, is_through: bool, observer: &Observer) {
    let closing = folder::blocking("remove", Path::new("the spool"), move || {
        spool.close(is_through)
    });
    if let Err(error) = closing.await {
        let cause = error.chain();
        (observer)(Event::SpoolLeft { cause });
    }
}
