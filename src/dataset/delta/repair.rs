//! Makes a log that others changed what the ledger says.
//!
//! One commit brings the parts that the table lacks and takes out the files that are too many; what
//! the ledger's entries were is told by the commits before it, and stays.

use std::sync::Arc;

use crate::dataset::ledger::Ledger;
use crate::error::{Error, Result};

use super::actions::Removed;
use super::add_files::added;
use super::diff::{Difference, differences};
use super::kernel::Kernel;
use super::log::DeltaLog;

/// Repairs, where others commit in between.
const REPAIRS: u32 = 5;

impl DeltaLog {
    /// Makes the table hold what the ledger holds, by one commit; says whether it had to. All
    /// entries must be in the log.
    pub(crate) async fn mend(&mut self, ledger: &Ledger) -> Result<bool> {
        let mut is_mended = false;
        for _ in 0..REPAIRS {
            self.look().await?;
            let contents = self.contents().await?;
            let differences = differences(ledger, &contents);
            if differences.is_empty() {
                return Ok(is_mended);
            }
            is_mended = true;
            let (mut enter, mut remove) = (Vec::new(), Vec::new());
            for difference in differences {
                match difference {
                    // What is marked belongs to the file's name in the log: it would stay.
                    Difference::Other(_, _, live) if live.has_deletions => {
                        return Err(self.calls.unusable("has rows that are marked as deleted"));
                    }
                    // A file that enters again replaces what was said of it.
                    Difference::Absent(part, entry) | Difference::Other(part, entry, _) => {
                        enter.push((part, entry));
                    }
                    Difference::Beyond(path, live) => remove.push(Removed {
                        path: path.to_owned(),
                        bytes: live.bytes,
                    }),
                }
            }
            let add = added(&self.calls.store, enter.into_iter()).await?;
            let snapshot = Arc::clone(&self.snapshot);
            let changes = Arc::new((add, remove));
            let mend = move |kernel: &Kernel, _| kernel.mend(&snapshot, &changes.0, &changes.1);
            // Whether it was done is seen by looking again.
            let mended = self.calls.ask(mend);
            match mended.await {
                Ok(_) | Err(Error::Store { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(self.calls.unusable("does not become what the ledger says"))
    }
}
