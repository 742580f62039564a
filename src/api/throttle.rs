//! The quota of requests, and the silence that a server asks for.
//!
//! One throttle is shared by everything that draws on one quota. Each attempt takes a permit
//! before it is sent; a 429 pauses everybody. A 429 that tells no quota halves the rate, which then
//! grows back slowly. Permits are handed out in the order in which they were asked for, on tokio's
//! clock, so that tests can run it on virtual time.

mod pace;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use self::pace::Pace;
use crate::report::{Event, Observer};
use crate::values::Rate;

/// The interval between permits is longer than the rate says by this part of it, so that
/// neither a timer nor the network can squeeze one request too many into the server's window.
const SLACK: u32 = 400;

/// How late a permit may be and still not delay the next: a timer's tick and a busy moment.
const LATENESS: Duration = Duration::from_millis(2);

type Limiter = RateLimiter<NotKeyed, InMemoryState, Slate, NoOpMiddleware<Duration>>;

/// Hands out permits to send.
pub struct Throttle {
    state: Mutex<State>,
    /// Who waits for the next permit; the others queue behind.
    turn: Semaphore,
    queue: Queue,
    burst: NonZeroU32,
    clock: Slate,
    observer: Observer,
}

struct State {
    pace: Pace,
    limiter: Option<Limiter>,
    silent_until: Option<Instant>,
    paused: Duration,
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle")
            .field("rate", &self.rate())
            .finish_non_exhaustive()
    }
}

impl Throttle {
    /// A throttle that allows `burst` requests at once after a silence and `rate` from then on.
    pub fn new(rate: Rate, burst: NonZeroU32, observer: Observer) -> Self {
        let clock = Slate::new();
        let limiter = limiter(rate, burst, &clock);
        let state = State {
            pace: Pace::new(rate),
            limiter,
            silent_until: None,
            paused: Duration::ZERO,
        };
        Self {
            state: Mutex::new(state),
            turn: Semaphore::new(1),
            queue: Queue::default(),
            burst,
            clock,
            observer,
        }
    }

    /// The rate at present: the one asked for, or a slower one that the server told or showed.
    pub fn rate(&self) -> Rate {
        self.state().pace.rate()
    }

    /// Time spent so far in silence that the server had asked for.
    pub fn paused(&self) -> Duration {
        let state = self.state();
        let to_come = state
            .silent_until
            .map(|until| until.saturating_duration_since(Instant::now()));
        state.paused.saturating_sub(to_come.unwrap_or_default())
    }

    /// What is left of a silence.
    pub fn silence(&self) -> Duration {
        let until = self.state().silent_until;
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        left.unwrap_or_default()
    }

    /// How many more may queue for a permit without having come too early: whoever queues has
    /// decided what to ask, and may know better by the time of its turn.
    pub(crate) fn room(&self) -> usize {
        if self.rate() == Rate::Unlimited {
            return usize::MAX;
        }
        let useful = self.burst.get() as usize + 1;
        useful.saturating_sub(self.queue.length.load(Ordering::Relaxed))
    }

    /// Waits until somebody leaves the queue.
    pub(crate) async fn moved(&self) {
        self.queue.moved.notified().await;
    }

    /// Waits until one request may be sent.
    pub async fn permit(&self) {
        let _place = Place::take(&self.queue);
        // A closed semaphore would only mean that nobody queues.
        let _turn = self.turn.acquire().await.ok();
        let mut due: Option<Instant> = None;
        while let Err(wait) = self.try_permit(due) {
            let until = match wait {
                Wait::Silence(until) | Wait::Quota(until) => until,
            };
            due = matches!(wait, Wait::Quota(_)).then_some(until);
            tokio::time::sleep_until(until).await;
        }
    }

    fn try_permit(&self, due: Option<Instant>) -> Result<(), Wait> {
        let mut state = self.state();
        let now = Instant::now();
        if let Some(until) = state.silent_until.filter(|&until| until > now) {
            return Err(Wait::Silence(until));
        }
        if state.pace.grow(now) {
            state.limiter = self.limiter_from(state.pace.rate(), now);
        }
        let Some(limiter) = &state.limiter else {
            state.pace.count(now);
            return Ok(());
        };
        // The permit counts from when it was due, not from when the timer got round to it:
        // otherwise every tick of delay would be lost for good.
        let due = due.map_or(now, |due| due.max(now.checked_sub(LATENESS).unwrap_or(now)));
        self.clock.set(due);
        limiter
            .check()
            .map_err(|not_yet| Wait::Quota(self.clock.origin + not_yet.earliest_possible()))
    }

    /// Nobody sends for `delay`; a longer silence that stands already is kept.
    pub fn pause(&self, delay: Duration, cause: &str) {
        let now = Instant::now();
        let until = now + delay;
        let mut state = self.state();
        let begins = state.silent_until.map_or(now, |before| before.max(now));
        if until <= begins {
            return;
        }
        state.paused += until - begins;
        state.silent_until = Some(until);
        drop(state);
        (self.observer)(Event::Paused {
            delay,
            cause: cause.to_owned(),
        });
    }

    /// Takes over the quota that the server told, if it is slower than the rate so far.
    pub fn learn(&self, rate: Rate) {
        let mut state = self.state();
        if !state.pace.learn(rate) {
            return;
        }
        state.limiter = limiter(rate, NonZeroU32::MIN, &self.clock);
        drop(state);
        (self.observer)(Event::QuotaLearned { rate });
    }

    /// Halves the rate, since the server refused a request for a quota that it did not tell. What
    /// was on its way at the same time, and is refused as well, halves it no further.
    pub fn slow_down(&self) {
        let mut state = self.state();
        let now = Instant::now();
        if state.silent_until.is_some_and(|until| until > now) || !state.pace.halve(now) {
            return;
        }
        let rate = state.pace.rate();
        state.limiter = limiter(rate, NonZeroU32::MIN, &self.clock);
        drop(state);
        (self.observer)(Event::RateHalved { rate });
    }

    /// A limiter whose first permit was given out just now.
    fn limiter_from(&self, rate: Rate, now: Instant) -> Option<Limiter> {
        let limiter = limiter(rate, NonZeroU32::MIN, &self.clock)?;
        self.clock.set(now);
        // The first check of a new limiter always passes.
        limiter.check().ok();
        Some(limiter)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who waits for a permit.
#[derive(Default)]
struct Queue {
    length: AtomicUsize,
    moved: Notify,
}

/// A place in the queue; left also by those who give up.
struct Place<'a>(&'a Queue);

impl<'a> Place<'a> {
    fn take(queue: &'a Queue) -> Self {
        queue.length.fetch_add(1, Ordering::Relaxed);
        Self(queue)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.length.fetch_sub(1, Ordering::Relaxed);
        self.0.moved.notify_one();
    }
}

enum Wait {
    Silence(Instant),
    Quota(Instant),
}

fn limiter(rate: Rate, burst: NonZeroU32, clock: &Slate) -> Option<Limiter> {
    let interval = rate.interval()?;
    let quota = Quota::with_period(interval + interval / SLACK)?.allow_burst(burst);
    Some(RateLimiter::direct_with_clock(quota, clock.clone()))
}

/// A clock that shows the time that is written on it, since its making.
#[derive(Clone, Debug)]
struct Slate {
    origin: Instant,
    nanos: Arc<AtomicU64>,
}

impl Slate {
    fn new() -> Self {
        Self {
            origin: Instant::now(),
            nanos: Arc::new(AtomicU64::new(0)),
        }
    }

    fn set(&self, now: Instant) {
        let nanos = now.saturating_duration_since(self.origin).as_nanos();
        self.nanos
            .store(u64::try_from(nanos).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Clock for Slate {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::silent;

    fn throttle(rate: &str, burst: u32) -> Throttle {
        Throttle::new(
            rate.parse().unwrap(),
            NonZeroU32::new(burst).unwrap(),
            silent(),
        )
    }

    /// When each of `permits` permits was given, from now.
    async fn times(throttle: &Throttle, permits: usize) -> Vec<Duration> {
        let begin = Instant::now();
        let mut times = vec![];
        for _ in 0..permits {
            throttle.permit().await;
            times.push(begin.elapsed());
        }
        times
    }

    #[tokio::test(start_paused = true)]
    async fn permits_come_evenly_and_never_too_many_in_a_window() {
        for rate in [1u32, 7, 50, 900] {
            let throttle = throttle(&format!("{rate}/s"), 1);
            let times = times(&throttle, 3 * rate as usize).await;
            for window in times.windows(rate as usize + 1) {
                let span = window[rate as usize].abs_diff(window[0]);
                assert!(span >= Duration::from_secs(1), "{rate}/s: {span:?}");
            }
            let bound = Rate::per_minute(60 * rate).bound(times.len() as u64);
            let last = times[times.len() - 1];
            assert!(
                last <= bound.mul_f64(1.006) + Duration::from_millis(2),
                "{rate}/s: {last:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_allowed_after_a_silence_and_only_then() {
        let throttle = throttle("1/s", 3);
        let times = times(&throttle, 5).await;
        assert!(times[2] < Duration::from_millis(2), "{times:?}");
        assert!(
            times[3] >= Duration::from_secs(1) && times[4] >= Duration::from_secs(2),
            "{times:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everybody_and_the_longer_one_wins() {
        let throttle = Arc::new(throttle("unlimited", 1));
        throttle.pause(Duration::from_secs(10), "429");
        throttle.pause(Duration::from_secs(3), "429");
        let begin = Instant::now();
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                let throttle = Arc::clone(&throttle);
                tokio::spawn(async move { throttle.permit().await })
            })
            .collect();
        for waiter in waiting {
            waiter.await.unwrap();
        }
        assert!(begin.elapsed() >= Duration::from_secs(10));
        assert_eq!(throttle.paused(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_comes_while_waiting_is_honoured() {
        let throttle = Arc::new(throttle("1/s", 1));
        throttle.permit().await;
        let begin = Instant::now();
        let waiter = tokio::spawn({
            let throttle = Arc::clone(&throttle);
            async move { throttle.permit().await }
        });
        tokio::task::yield_now().await;
        throttle.pause(Duration::from_secs(30), "429");
        waiter.await.unwrap();
        assert!(begin.elapsed() >= Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_told_quota_is_learned_when_it_is_slower() {
        let throttle = throttle("100/min", 5);
        throttle.learn("200/min".parse().unwrap());
        assert_eq!(throttle.rate().to_string(), "100/min");
        throttle.learn("5/min".parse().unwrap());
        assert_eq!(throttle.rate().to_string(), "5/min");
        let times = times(&throttle, 3).await;
        assert!(
            times[1] >= Duration::from_secs(12) && times[2] >= Duration::from_secs(24),
            "{times:?}"
        );
    }

    /// Permits in the minute from now on.
    async fn in_a_minute(throttle: &Throttle) -> usize {
        let end = Instant::now() + Duration::from_secs(60);
        let mut permits = 0;
        while tokio::time::timeout_at(end, throttle.permit())
            .await
            .is_ok()
        {
            permits += 1;
        }
        permits
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_without_a_hint_halves_the_rate_which_recovers_slowly() {
        let throttle = throttle("100/min", 1);
        throttle.permit().await;
        throttle.slow_down();
        assert_eq!(throttle.rate().to_string(), "50/min");
        let mut permits = vec![];
        for _ in 0..7 {
            permits.push(in_a_minute(&throttle).await);
        }
        assert!((49..=51).contains(&permits[0]), "{permits:?}");
        assert!(
            permits.is_sorted_by(|one, next| *one <= next + 1),
            "{permits:?}"
        );
        assert!((55..=65).contains(&permits[1]), "{permits:?}");
        assert!(permits[6] >= 99, "{permits:?}");
        assert_eq!(throttle.rate().to_string(), "100/min");
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_of_one_moment_halve_the_rate_once() {
        let throttle = throttle("100/min", 1);
        for _ in 0..16 {
            throttle.slow_down();
            throttle.pause(Duration::from_millis(1), "429");
        }
        assert_eq!(throttle.rate().to_string(), "50/min");
        tokio::time::advance(Duration::from_secs(5)).await;
        throttle.slow_down();
        assert_eq!(throttle.rate().to_string(), "25/min");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_without_a_limit_is_halved_to_half_of_what_was_sent() {
        let throttle = throttle("unlimited", 1);
        for _ in 0..40 {
            throttle.permit().await;
            tokio::time::advance(Duration::from_millis(25)).await;
        }
        throttle.slow_down();
        assert_eq!(throttle.rate().to_string(), "20/s");
        // Ever faster again, until there is no limit.
        for _ in 0..60 {
            tokio::time::advance(Duration::from_secs(61)).await;
            throttle.permit().await;
        }
        assert_eq!(throttle.rate(), Rate::Unlimited);
    }

    #[tokio::test(start_paused = true)]
    async fn a_told_quota_stays_the_limit_of_a_rate_that_recovers() {
        let throttle = throttle("100/min", 1);
        throttle.slow_down();
        throttle.learn("80/min".parse().unwrap());
        assert_eq!(throttle.rate().to_string(), "50/min");
        for _ in 0..20 {
            tokio::time::advance(Duration::from_secs(61)).await;
            throttle.permit().await;
        }
        assert_eq!(throttle.rate().to_string(), "80/min");
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_too_late_is_not_lost() {
        // The timer of tokio has ticks of a millisecond; 300 permits at 900/s would lose a
        // third of the rate if each tick were lost.
        let throttle = throttle("900/s", 1);
        let times = times(&throttle, 301).await;
        assert!(times[300] < Duration::from_millis(340), "{:?}", times[300]);
    }
}
