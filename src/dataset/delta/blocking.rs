//! The kernel as the rest asks it: on a thread that may block, and again where the store fails.

use std::sync::Arc;
use std::time::Duration;

use delta_kernel::{KernelError, KernelResult};
use tokio::time::Instant;

use crate::dataset::store::Store;
use crate::durable_fs;
use crate::error::{Error, Result};

use super::FOLDER;
use super::kernel::Kernel;

/// Attempts after the first.
const RETRIES: u32 = 4;

/// Before the first of them; doubles with each.
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// The kernel on one store.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    pub(super) store: Store,
    kernel: Arc<Kernel>,
}

impl Calls {
    /// # Errors
    ///
    /// A store on which two commits could be taken for one.
    pub(super) fn on(store: &Store) -> Result<Self> {
        if store.is_single_writer() {
            return Err(Error::Dataset {
                path: store.shown(FOLDER),
                reason: "this store creates a name a second time, so that two commits of a Delta \
                         table could be taken for one; choose another store, or no table"
                    .to_owned(),
            });
        }
        Ok(Self {
            store: store.clone(),
            kernel: Arc::new(Kernel::new(store)),
        })
    }

    /// Asks, and asks again what failed and may pass: the work is told how often it failed.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] where the store fails, [`Error::Dataset`] for anything else.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        work: impl Fn(&Kernel, u32) -> KernelResult<T> + Clone + Send + 'static,
    ) -> Result<T> {
        let begun = Instant::now();
        let place = self.store.local(FOLDER);
        let mut failures = 0;
        loop {
            let (kernel, work) = (Arc::clone(&self.kernel), work.clone());
            let done = durable_fs::blocking("read", &place, move || Ok(work(&kernel, failures)));
            let is_in_time = failures < RETRIES && begun.elapsed() < self.store.patience();
            match done.await? {
                Err(error) if is_in_time && may_pass(&error) => {
                    tokio::time::sleep(FIRST_DELAY * 2_u32.pow(failures)).await;
                    failures += 1;
                }
                done => return done.map_err(|error| self.told(error)),
            }
        }
    }

    fn told(&self, error: KernelError) -> Error {
        match error {
            KernelError::Backtraced { source, .. } => self.told(*source),
            KernelError::ObjectStore(error) => self.store.failed("use", FOLDER)(error),
            error => {
                let error = self.store.without_secrets(error.to_string());
                self.unusable(&format!("cannot be used: {error}"))
            }
        }
    }

    /// What is wrong with the log, and what to do.
    pub(super) fn unusable(&self, reason: &str) -> Error {
        Error::Dataset {
            path: self.store.shown(FOLDER),
            reason: format!("{reason}; `rollbook verify --repair` makes it what the ledger says"),
        }
    }
}

fn may_pass(error: &KernelError) -> bool {
    match error.without_backtrace() {
        KernelError::ObjectStore(error) => Store::may_pass(error),
        // A store that refused a commit as somebody else's, and then had none.
        KernelError::EmptyLog => true,
        _ => false,
    }
}
