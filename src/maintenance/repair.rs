//! Makes a dataset sound again, at the price of meetings that are to be fetched anew.
//!
//! What is committed and lies sound in staging is published; commits with a damaged part are
//! retracted by a new ledger entry, and their parts kept out of the readers' sight until their
//! meetings are there again; what has the name of a part and no entry knows it is moved as well;
//! checkpoints that contradict the entries are removed. History is never rewritten, and data that
//! nobody has elsewhere is never deleted. A repair that is cut off is finished by the next one.

use serde::Serialize;

use crate::config::location::Place;
use crate::dataset::delta::must_be_known;
use crate::dataset::ledger::{Entry, Ledger};
use crate::dataset::store::Store;
use crate::dataset::{Held, SetAside};
use crate::error::Result;
use crate::record::table::Schemas;
use crate::values::{ConfUuid, new_run_id};

use super::verify::{Finding, Survey, Verification, survey};

/// What a repair did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repair {
    /// The name under which it wrote to the ledger.
    pub run_id: String,
    /// Parts that were committed and now have their final names.
    pub published: Vec<String>,
    /// Numbers of the commits that were put anew, from parts that they had replaced.
    pub restored: Vec<u64>,
    /// Numbers of the commits that were retracted.
    pub retracted: Vec<u64>,
    /// Meetings of those commits: the next export fetches them and nothing else.
    pub dropped: Vec<ConfUuid>,
    /// Parts that were removed, since their commits are retracted.
    pub removed: Vec<String>,
    /// Parts of such commits that readers do not see any more, and where they are kept until their
    /// meetings are there again.
    pub kept: Vec<SetAside>,
    /// Checkpoints that were removed, since they were damaged or contradicted the entries.
    pub checkpoints: Vec<String>,
    /// Whether the Delta log was made what the ledger says.
    pub is_table_mended: bool,
    /// What had the name of a part, and no entry knew it; a Delta log that could not be mended.
    pub set_aside: Vec<SetAside>,
    /// What was found before.
    pub before: Verification,
    /// What was found after, where anything was done.
    pub after: Option<Verification>,
}

impl Repair {
    fn of(before: Verification) -> Self {
        Self {
            run_id: format!("repair-{}", new_run_id()),
            published: vec![],
            restored: vec![],
            retracted: vec![],
            dropped: vec![],
            removed: vec![],
            kept: vec![],
            checkpoints: vec![],
            is_table_mended: false,
            set_aside: vec![],
            before,
            after: None,
        }
    }

    /// The dataset as the repair leaves it.
    pub fn verification(&self) -> &Verification {
        self.after.as_ref().unwrap_or(&self.before)
    }
}

/// Verifies the dataset at a destination and drops what is damaged from its ledger.
///
/// Runs that begin while the ledger is written wait until it is done.
///
/// # Errors
///
/// No dataset there, a run that goes on in it, or files that the system does not let us read or
/// move. What a repair cannot mend is a finding that is left.
pub async fn repair(dest: impl Into<Place>) -> Result<Repair> {
    let place = dest.into();
    repair_on(Store::open_at(&place).await?, &place.dest).await
}

pub(super) async fn repair_on(store: Store, dest: &str) -> Result<Repair> {
    must_be_known(&store).await?;
    let schemas = Schemas::known();
    // Read without keeping anybody waiting; what is dropped is decided when nobody else writes.
    let seen = survey(&store, dest, &schemas).await?;
    if seen.found.is_sound() {
        return Ok(Repair::of(seen.found));
    }
    let held = Held::open(store.clone(), dest).await?;
    // Whatever comes of it, the dataset is open to others again.
    let went = mend(&held, dest, &schemas, seen).await;
    let released = held.release().await;
    let (mut repair, is_changed) = went?;
    released?;
    if is_changed {
        repair.after = Some(survey(&store, dest, &schemas).await?.found);
    }
    Ok(repair)
}

/// Does what is to be done while nobody else writes; says whether there was something.
async fn mend(
    held: &Held,
    dest: &str,
    schemas: &Schemas,
    mut seen: Survey,
) -> Result<(Repair, bool)> {
    let entries = Ledger::read_entries(held.store(), schemas.versions())
        .await
        .map(|ledger| ledger.entries().len());
    let known = seen.ledger.as_ref().map(|ledger| ledger.entries().len());
    if entries.ok() != known {
        seen = survey(held.store(), dest, schemas).await?;
    }
    let Survey {
        found: before,
        ledger,
        damaged,
        unreferenced,
    } = seen;
    let mut repair = Repair::of(before);
    let Some(ledger) = ledger.filter(|_| !repair.before.is_sound()) else {
        return Ok((repair, false));
    };
    let meetings = |entry: &Entry| {
        let meetings = entry.meetings.iter();
        let uuids = meetings.map(|meeting| meeting.conf_uuid.clone());
        (entry.sequence, uuids.collect::<Vec<_>>())
    };
    let lost = ledger.standing();
    let lost = lost.filter(|entry| damaged.contains(&entry.sequence));
    let lost: Vec<_> = lost.map(meetings).collect();
    let (done, set_aside) = held
        .mend(&repair.run_id, ledger, damaged, unreferenced)
        .await?;
    let is_dropped = |(sequence, _): &(u64, _)| done.retracted.contains(sequence);
    let dropped = lost.into_iter().filter(is_dropped);
    repair.dropped = dropped.flat_map(|(_, meetings)| meetings).collect();
    repair.restored = done.restored;
    repair.published = done.published;
    repair.retracted = done.retracted;
    repair.removed = done.removed;
    repair.kept = done.kept;
    repair.set_aside = set_aside;
    for finding in &repair.before.findings {
        if let Finding::Checkpoint { path, .. } = finding {
            held.store().remove(path).await?;
            repair.checkpoints.push(path.clone());
        }
    }
    let (is_mended, set_aside) = held.mend_table().await?;
    repair.is_table_mended = is_mended;
    repair.set_aside.extend(set_aside);
    Ok((repair, true))
}
