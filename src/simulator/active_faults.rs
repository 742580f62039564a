//! The faults in force, and which of them befall a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::effect::Effect;
use super::fault::Fault;
use super::fault_match::Asked;
use super::unpoisoned_mutex::Guarded;

/// The faults in force, each with the number of requests that it matched.
#[derive(Debug, Default)]
pub(super) struct Faults(Guarded<Vec<Arc<Armed>>>);

#[derive(Debug)]
struct Armed {
    fault: Fault,
    matched: AtomicU64,
}

/// A fault that befalls a request.
#[derive(Clone, Debug)]
pub(super) struct Struck {
    armed: Arc<Armed>,
    /// Which of the requests that match this is, from 1.
    pub(super) hit: u64,
}

impl Struck {
    pub(super) fn effect(&self) -> &Effect {
        &self.armed.fault.what
    }
}

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        let armed = Armed {
            fault,
            matched: AtomicU64::new(0),
        };
        self.0.lock().push(Arc::new(armed));
    }

    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }

    /// The faults that befall this request, in their order.
    pub(super) fn strike(&self, asked: &Asked<'_>) -> Vec<Struck> {
        let armed = self.0.lock();
        let matching = armed
            .iter()
            .filter(|armed| armed.fault.when.includes(asked));
        matching
            .map(|armed| Struck {
                armed: Arc::clone(armed),
                hit: armed.matched.fetch_add(1, Ordering::Relaxed) + 1,
            })
            .filter(|struck| struck.armed.fault.when.hits.includes(struck.hit))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::fault_match::{Endpoint, Hits};

    fn struck(hits: Hits) -> Vec<u64> {
        let faults = Faults::default();
        faults.add(Fault::new(Effect::Empty).hits(hits));
        let asked = Asked {
            endpoint: Endpoint::Records,
            meeting: None,
            offset: Some(0),
        };
        (0..6)
            .flat_map(|_| faults.strike(&asked))
            .map(|struck| struck.hit)
            .collect()
    }

    #[test]
    fn hits_count_the_requests_that_match() {
        assert_eq!(struck(Hits::Always), [1, 2, 3, 4, 5, 6]);
        assert_eq!(struck(Hits::First(2)), [1, 2]);
        assert_eq!(struck(Hits::Nth(3)), [3]);
        assert_eq!(struck(Hits::Since(5)), [5, 6]);
        assert_eq!(struck(Hits::Every(2)), [2, 4, 6]);
    }
}
