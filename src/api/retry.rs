//! Trying again: the one place where attempts are repeated.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use tokio::sync::Notify;

use super::client::Client;
use super::error_code::Patience;
use super::failure::Failure;

impl Client {
    /// Repeats an attempt that may succeed later, until it does, patience ends or the run is
    /// stopped; `notify` hears of each repetition.
    pub(super) async fn patiently<T, F>(
        &self,
        attempt: impl FnMut() -> F,
        mut notify: impl FnMut(&Failure, Duration),
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let patience = &self.patience;
        let backoff = backoff(patience, fastrand::u64(..));
        let (cancel, naps) = (self.cancel.clone(), self.naps.clone());
        let used_up = self.allowance.used_up().clone();
        attempt
            .retry(backoff)
            .sleep(move |delay| {
                let (cancel, used_up, nap) = (cancel.clone(), used_up.clone(), naps.begin());
                async move {
                    let _nap = nap;
                    tokio::select! {
                        () = cancel.cancelled() => {}
                        () = used_up.cancelled() => {}
                        () = tokio::time::sleep(delay) => {}
                    }
                }
            })
            .when(|failure| {
                failure.is_transient() && !self.cancel.is_cancelled() && !self.is_used_up()
            })
            .adjust(|failure, delay| {
                delay.map(|delay| {
                    let asked = failure.wait().unwrap_or_default();
                    let delay = if failure.is_slow() {
                        patience.longest_delay
                    } else {
                        delay
                    };
                    delay.max(asked)
                })
            })
            .notify(|failure, delay| {
                self.tally.retried.fetch_add(1, Ordering::Relaxed);
                notify(failure, delay);
            })
            .await
            .map_err(|failure| {
                // Its patience was not used up; the run ended first.
                if failure.is_transient() && self.cancel.is_cancelled() {
                    Failure::Cancelled
                } else if failure.is_transient() && self.is_used_up() {
                    Failure::UsedUp
                } else {
                    failure
                }
            })
    }

    /// Waits, unless the run is stopped; says whether it is not.
    pub(crate) async fn sleep(&self, time: Duration) -> bool {
        tokio::select! {
            () = self.cancel.cancelled() => false,
            () = tokio::time::sleep(time) => true,
        }
    }
}

/// The waits between attempts. Without a seed of its own, each request would wait as long as the
/// next.
fn backoff(patience: &Patience, seed: u64) -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_jitter()
        .with_jitter_seed(seed)
        .with_min_delay(patience.first_delay)
        .with_max_delay(patience.longest_delay)
        .with_total_delay(Some(patience.longest_wait))
        .with_max_times(patience.retries as usize)
}

/// Attempts that wait to be repeated: they use nothing, so others may go ahead.
#[derive(Clone, Debug, Default)]
pub(crate) struct Naps {
    count: Arc<AtomicUsize>,
    begun: Arc<Notify>,
}

impl Naps {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits for the next one to begin.
    pub(crate) async fn begun(&self) {
        self.begun.notified().await;
    }

    pub(super) fn begin(&self) -> Nap {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.begun.notify_one();
        Nap(Arc::clone(&self.count))
    }
}

/// Ends with its owner, also where that is aborted.
pub(super) struct Nap(Arc<AtomicUsize>);

impl Drop for Nap {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use backon::BackoffBuilder as _;

    use super::*;

    #[test]
    fn patience_ends_with_the_attempts_or_with_the_time() {
        let delays = |retries| {
            let patience = Patience {
                retries,
                ..Patience::default()
            };
            backoff(&patience, 7).build().collect::<Vec<_>>()
        };
        assert!(delays(0).is_empty());
        assert_eq!(delays(8).len(), 8);
        assert!(delays(8)[0] >= Patience::default().first_delay);
        let many = delays(1_000_000);
        let total: Duration = many.iter().sum();
        assert!(
            many.len() < 100 && total <= Patience::default().longest_wait,
            "{total:?}"
        );
    }

    #[test]
    fn no_two_requests_wait_alike() {
        let first = |seed| backoff(&Patience::default(), seed).build().next();
        assert_ne!(first(1), first(2));
    }
}
