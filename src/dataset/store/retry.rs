//! What is tried again when a store fails, and how often.

use std::io::ErrorKind;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use object_store::{Error, Result};
use tokio::time::Instant;

/// Attempts after the first.
const RETRIES: usize = 4;

/// Before the first of them; doubles with each, and chance adds up to as much again.
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// Does it, and does it again after faults that may pass, but not after this time.
pub(super) async fn patiently<T, F: Future<Output = Result<T>>>(
    patience: Duration,
    work: impl FnMut() -> F,
) -> Result<T> {
    let begun = Instant::now();
    let delays = ExponentialBuilder::new()
        .with_min_delay(FIRST_DELAY)
        .with_max_times(RETRIES)
        .with_jitter();
    let is_worth_it = |error: &Error| begun.elapsed() < patience && may_pass(error);
    work.retry(delays).when(is_worth_it).await
}

/// Whether the same call may succeed in a moment. A store that is full, read-only or not ours is
/// no better then, and what is there or is not there is an answer.
pub(super) fn may_pass(error: &Error) -> bool {
    let Error::Generic { source, .. } = error else {
        return false;
    };
    if source.to_string().contains("501 Not Implemented") {
        return false;
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(source.as_ref());
    while let Some(error) = cause {
        if let Some(fault) = error.downcast_ref::<std::io::Error>() {
            return is_passing(fault.kind());
        }
        cause = error.source();
    }
    true
}

const fn is_passing(kind: ErrorKind) -> bool {
    matches!(
        kind,
        // No answer, which has an error of its own: a folder that others removed as an empty one,
        // before it could be synced with what is to come into it.
        ErrorKind::NotFound
            | ErrorKind::Interrupted
            | ErrorKind::TimedOut
            | ErrorKind::WouldBlock
            | ErrorKind::ResourceBusy
            | ErrorKind::StaleNetworkFileHandle
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
    )
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn generic(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Generic {
            store: "test",
            source: source.into(),
        }
    }

    fn absent() -> Error {
        Error::NotFound {
            path: "x".to_owned(),
            source: "gone".into(),
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert!(may_pass(&generic("503 Service Unavailable")));
        assert!(may_pass(&generic(io::Error::from(
            ErrorKind::ConnectionReset
        ))));
        assert!(may_pass(&generic(io::Error::from(ErrorKind::NotFound))));
        for kind in [
            ErrorKind::StorageFull,
            ErrorKind::ReadOnlyFilesystem,
            ErrorKind::PermissionDenied,
            ErrorKind::QuotaExceeded,
            ErrorKind::NotADirectory,
        ] {
            assert!(!may_pass(&generic(io::Error::from(kind))), "{kind}");
        }
        assert!(!may_pass(&absent()));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let tries = AtomicUsize::new(0);
        let begun = tokio::time::Instant::now();
        let done: Result<()> = patiently(Duration::MAX, async || {
            tries.fetch_add(1, Ordering::Relaxed);
            Err(generic("503"))
        })
        .await;
        assert!(done.is_err());
        assert_eq!(tries.load(Ordering::Relaxed), 1 + RETRIES);
        let waited = begun.elapsed();
        let bounds = Duration::from_millis(1_500)..Duration::from_secs(4);
        assert!(bounds.contains(&waited), "{waited:?}");
    }
}
