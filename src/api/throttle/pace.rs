//! The rate at present, between the rate asked for and what the server bears.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use crate::values::Rate;

const SECOND: Duration = Duration::from_secs(1);

/// Time without a refusal after which a halved rate grows by a step.
const STEP: Duration = Duration::from_secs(60);

/// Steps from nothing to the rate asked for.
const STEPS: u32 = 10;

/// The slowest rate is one request in this time.
const SLOWEST: Duration = Duration::from_secs(60);

/// A rate of so many requests a second is as good as none.
const FASTEST: u32 = 10_000;

/// The rate at present, and the highest that it may grow to.
#[derive(Debug)]
pub(super) struct Pace {
    highest: Rate,
    rate: Rate,
    halved_at: Option<Instant>,
    grows_at: Option<Instant>,
    /// Requests of the second that began then, and of the second before it. Counted only where there
    /// is no limit: otherwise the rate tells.
    second: Option<Instant>,
    sent: u32,
    sent_before: u32,
}

impl Pace {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            highest: rate,
            rate,
            halved_at: None,
            grows_at: None,
            second: None,
            sent: 0,
            sent_before: 0,
        }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Counts a request that no limit holds back.
    pub(super) fn count(&mut self, now: Instant) {
        let age = self.second.map(|second| now.duration_since(second));
        if age.is_none_or(|age| age >= SECOND) {
            let is_next = age.is_some_and(|age| age < 2 * SECOND);
            self.sent_before = if is_next { self.sent } else { 0 };
            (self.second, self.sent) = (Some(now), 0);
        }
        self.sent = self.sent.saturating_add(1);
    }

    /// Takes over a rate that the server told; returns whether it is slower than the present one.
    pub(super) fn learn(&mut self, rate: Rate) -> bool {
        if rate.interval() > self.highest.interval() {
            self.highest = rate;
        }
        if rate.interval() <= self.rate.interval() {
            return false;
        }
        (self.rate, self.grows_at) = (rate, None);
        true
    }

    /// Halves the rate, once a second at most; returns whether it did.
    pub(super) fn halve(&mut self, now: Instant) -> bool {
        let is_new = |at: Instant| now.duration_since(at) < SECOND;
        if self.halved_at.is_some_and(is_new) {
            return false;
        }
        self.halved_at = Some(now);
        self.grows_at = Some(now + STEP);
        let half = self.half();
        let is_slower = half != self.rate;
        self.rate = half;
        is_slower
    }

    fn half(&self) -> Rate {
        let (requests, window) = match self.rate {
            Rate::Unlimited => (self.sent.max(self.sent_before), SECOND),
            Rate::Limited { requests, window } => (requests.get(), window),
        };
        if let Some(requests) = NonZeroU32::new(requests / 2) {
            return Rate::Limited { requests, window };
        }
        // Never slower than the slowest, but for a rate that was asked for so.
        let window = (2 * window).min(SLOWEST).max(window);
        let requests = NonZeroU32::MIN;
        Rate::Limited { requests, window }
    }

    /// Lets a halved rate grow by a step where it is time; returns whether it did.
    pub(super) fn grow(&mut self, now: Instant) -> bool {
        if self.grows_at.is_none_or(|at| now < at) {
            return false;
        }
        self.rate = self.grown();
        self.grows_at = (self.rate != self.highest).then_some(now + STEP);
        true
    }

    fn grown(&self) -> Rate {
        let Rate::Limited { requests, window } = self.rate else {
            return self.highest;
        };
        let grown = match self.highest {
            Rate::Unlimited if requests.get() >= FASTEST => return Rate::Unlimited,
            Rate::Unlimited => Rate::Limited {
                requests: requests.saturating_add((requests.get() / 4).max(1)),
                window,
            },
            Rate::Limited { window: asked, .. } if window > asked => Rate::Limited {
                requests,
                window: (window / 2).max(asked),
            },
            Rate::Limited {
                requests: asked, ..
            } => Rate::Limited {
                requests: requests.saturating_add((asked.get() / STEPS).max(1)),
                window,
            },
        };
        if grown.interval() <= self.highest.interval() {
            return self.highest;
        }
        grown
    }
}
