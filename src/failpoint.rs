//! Points at which a debug build can be told to die, as a power switch would kill it.
//!
//! Every step after which the disk looks different has a [`Point`]. The tests stop the process at
//! each of them and look at what is left. Release builds have neither the switch nor the points.

/// One step after which a process may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The dataset's folders are made, nothing is in them.
    DatasetMade,
    /// Opening a dataset published a part that its ledger already named.
    PartRecovered,
    /// Opening a dataset retracted commits whose parts are lost.
    Retracted,
    /// A part of a commit that does not stand any more left the readers' sight.
    VoidRemoved,
    /// A part that was kept after others replaced it is removed.
    ReplacedRemoved,
    /// The leftovers of a dead run are removed.
    Cleared,
    /// The dataset's salt is there.
    SaltPut,
    /// In a bucket, the run's sign of life is there.
    PulseBegun,
    /// The run's staging folder is made.
    StagingMade,
    /// The run's spool file is there under its name.
    SpoolMade,
    /// The first half of a frame is in the spool.
    FrameTorn,
    /// A frame is in the spool.
    FrameWritten,
    /// A part's file is made.
    PartMade,
    /// Records were given to a part.
    PartGrown,
    /// A part is written, not synced.
    PartWritten,
    /// A part's bytes are durable, its name is not.
    PartSynced,
    /// A part is staged: durable, name and all.
    PartStaged,
    /// A piece of a part, or a small part, is in a bucket.
    PieceSent,
    /// A part is staged in a bucket, and still on this machine.
    PartUploaded,
    /// All parts of a batch are staged, its ledger entry is not there.
    EntryReady,
    /// The ledger entry is there, no part is published.
    EntryPut,
    /// In a bucket, a part has its final name and its former one.
    PartCopied,
    /// A part has its final name.
    PartPublished,
    /// A commit of the Delta log is made, it is not put.
    DeltaReady,
    /// A commit of the Delta log is there.
    DeltaPut,
    /// A checkpoint of the Delta log is there.
    DeltaCheckpointPut,
    /// A checkpoint of the ledger is made, it is not put.
    CheckpointReady,
    /// A checkpoint is there, those before it too.
    CheckpointPut,
    /// A checkpoint before it is removed.
    CheckpointRemoved,
    /// All is committed, the report is not written.
    ReportReady,
    /// The report is there, the staging folder too.
    ReportPut,
    /// In a bucket, the run's sign of life is gone, the staging folder on this machine is not.
    PulseEnded,
    /// The staging folder is removed.
    StagingRemoved,
    /// The run's own spool file is removed, those of runs before it are not.
    SpoolRemoved,
}

impl Point {
    /// Every point.
    pub const ALL: [Self; 34] = [
        Self::DatasetMade,
        Self::PartRecovered,
        Self::Retracted,
        Self::VoidRemoved,
        Self::ReplacedRemoved,
        Self::Cleared,
        Self::SaltPut,
        Self::PulseBegun,
        Self::StagingMade,
        Self::SpoolMade,
        Self::FrameTorn,
        Self::FrameWritten,
        Self::PartMade,
        Self::PartGrown,
        Self::PartWritten,
        Self::PartSynced,
        Self::PartStaged,
        Self::PieceSent,
        Self::PartUploaded,
        Self::EntryReady,
        Self::EntryPut,
        Self::PartCopied,
        Self::PartPublished,
        Self::DeltaReady,
        Self::DeltaPut,
        Self::DeltaCheckpointPut,
        Self::CheckpointReady,
        Self::CheckpointPut,
        Self::CheckpointRemoved,
        Self::ReportReady,
        Self::ReportPut,
        Self::PulseEnded,
        Self::StagingRemoved,
        Self::SpoolRemoved,
    ];
}

#[cfg(debug_assertions)]
pub use armed::{Plan, arm};

/// Dies here if this is the point, and the hit, that was asked for.
#[inline]
pub(crate) fn point(point: Point) {
    #[cfg(debug_assertions)]
    armed::hit(point);
    #[cfg(not(debug_assertions))]
    let _ = point;
}

#[cfg(debug_assertions)]
mod armed {
    use std::fs::{File, OpenOptions};
    use std::io::{self, Write as _};
    use std::path::Path;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Point;

    static PLAN: OnceLock<Plan> = OnceLock::new();

    /// What a process is to do at its points.
    #[derive(Debug)]
    pub struct Plan {
        /// Where each hit is noted, one name a line.
        trace: Option<File>,
        /// The point to die at, and the hits that it still has to let pass, its own included.
        deadly: Option<(String, AtomicU64)>,
        /// Panics there instead.
        panics: bool,
    }

    /// What a panic at a point says, as a library's may: it must be seen nowhere.
    const PAYLOAD: &str = "hunter2 of a panic";

    impl Plan {
        /// Notes each hit in a file.
        ///
        /// # Errors
        ///
        /// The file cannot be opened.
        pub fn trace(path: &Path) -> io::Result<Self> {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            Ok(Self {
                trace: Some(file),
                deadly: None,
                panics: false,
            })
        }

        /// Dies at the `hit`th hit of a point, given as `Point:hit`; none if it is given otherwise.
        pub fn die_at(text: &str) -> Option<Self> {
            let (name, hit) = text.split_once(':')?;
            let known = Point::ALL.iter().any(|point| format!("{point:?}") == name);
            let hit = hit.parse().ok().filter(|&hit| known && hit > 0)?;
            Some(Self {
                trace: None,
                deadly: Some((name.to_owned(), AtomicU64::new(hit))),
                panics: false,
            })
        }

        /// Panics there instead, as a library may.
        pub fn panic_at(text: &str) -> Option<Self> {
            Some(Self {
                panics: true,
                ..Self::die_at(text)?
            })
        }
    }

    /// Sets the plan of this process, once.
    pub fn arm(plan: Plan) {
        // A second plan would be a mistake of a test, which would see its point never hit.
        drop(PLAN.set(plan));
    }

    pub(super) fn hit(point: Point) {
        let Some(plan) = PLAN.get() else {
            return;
        };
        let name = format!("{point:?}");
        if let Some(mut trace) = plan.trace.as_ref() {
            // A hit that is not noted fails the test that counts them.
            drop(trace.write_all(format!("{name}\n").as_bytes()));
        }
        if let Some((deadly, left)) = &plan.deadly
            && *deadly == name
            && left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            if plan.panics {
                #[expect(clippy::panic, reason = "a test asked for it")]
                std::panic::panic_any(PAYLOAD.to_owned());
            }
            std::process::abort();
        }
    }
}
