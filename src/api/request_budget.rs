//! The requests set aside for a run: so many, and not one more.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_util::sync::CancellationToken;

/// What is left of the requests set aside.
#[derive(Debug)]
pub(super) struct Allowance {
    /// None where nothing is set aside: then there is no limit.
    left: Option<AtomicU32>,
    used_up: CancellationToken,
}

impl Allowance {
    pub(super) fn new(requests: Option<NonZeroU32>) -> Self {
        Self {
            left: requests.map(|requests| requests.get().into()),
            used_up: CancellationToken::new(),
        }
    }

    /// Takes one request; false if none is left.
    pub(super) fn take(&self) -> bool {
        let Some(left) = &self.left else {
            return true;
        };
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        });
        if taken == Ok(1) {
            // Whoever waits for a turn need not wait for it.
            self.used_up.cancel();
        }
        taken.is_ok()
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.used_up.is_cancelled()
    }

    /// Cancelled once no request is left.
    pub(super) fn used_up(&self) -> &CancellationToken {
        &self.used_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_were_set_aside_can_be_taken_and_no_more() {
        let allowance = Allowance::new(NonZeroU32::new(2));
        assert!(allowance.take() && !allowance.is_used_up());
        assert!(allowance.take() && allowance.is_used_up());
        assert!(!allowance.take());
        let unlimited = Allowance::new(None);
        assert!(unlimited.take() && !unlimited.is_used_up());
    }
}
