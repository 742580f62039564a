//! The spool of a run: opened where there is a place for it, and never a reason to fail.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::Config;
use crate::dataset::ledger::CommittedMeeting;
use crate::durable_fs;
use crate::error::Result;
use crate::fetch::spool::{Question, Spool};
use crate::report::{Event, Observer};
use crate::values::{ConfUuid, When};

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
    let opened = durable_fs::blocking("open", &place, move || {
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

/// The spool goes by this machine's clock and the ledger by the server's: pages that may be this much
/// older than a commit are taken for older.
const MARGIN: TimeDelta = TimeDelta::minutes(5);

/// Drops the pages that came before the last commit of these meetings: they tell nothing of how the
/// meetings are now. `now` is the server's time.
pub(super) fn outdate(
    spool: &Spool,
    held: &HashMap<ConfUuid, CommittedMeeting>,
    now: DateTime<Utc>,
) {
    let ahead = Utc::now() - now + MARGIN;
    let until = held.iter().map(|(meeting, held)| {
        let until = held.last_fetch.checked_add_signed(ahead);
        (meeting.clone(), until.unwrap_or(held.last_fetch))
    });
    spool.outdate(&until.collect());
}

/// Drops the pages that this run does not need; tells how many are left.
pub(super) fn forget_unwanted<'a>(
    spool: &Spool,
    config: &Config,
    work: impl Iterator<Item = &'a ConfUuid>,
    is_listed: bool,
    observer: &Observer,
) {
    // Who says never wants no page of an earlier run either; but what an incomplete list does not
    // name may be asked for by the next run.
    let pages = match config.spool {
        When::Never => spool.only([]),
        _ if !is_listed => return,
        _ => spool.only(work),
    };
    if pages > 0 {
        (observer)(Event::Spooled { pages });
    }
}

/// Removes the spool, or leaves it to the next run. What was exported is whole either way.
pub(super) async fn close(spool: Arc<Spool>, is_through: bool, observer: &Observer) {
    let closing = durable_fs::blocking("remove", Path::new("the spool"), move || {
        spool.close(is_through)
    });
    if let Err(error) = closing.await {
        let cause = error.chain();
        (observer)(Event::SpoolLeft { cause });
    }
}
