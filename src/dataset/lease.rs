//! Signs of life in a bucket, where there are no locks: which runs go on, and which left things.
//!
//! A run keeps an object in its staging folder young. All ages are told by the store's clock, as the
//! run's own object has it. Somebody who is silent for a while no longer counts as at work; only
//! one who is silent for very long, or has reported, or is known to be dead on this machine, is
//! cleared up after. Were that wrong, the commit at hand would fail, and nothing be half.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::task::AbortOnDropHandle;

use super::store::{Object, Store, is_note};
use crate::error::{Error, Result};
use crate::failpoint::{Point, point};

use super::layout::{STAGING, report_path};

/// The object that is kept young.
const PULSE: &str = "pulse";

/// How often.
const BEAT: Duration = Duration::from_secs(5 * 60);

/// A run that was silent for longer is not at work any more.
const SILENT: TimeDelta = TimeDelta::minutes(16);

/// A run that was silent for longer cannot be sure that the others take it to be at work until its
/// next call has ended.
const FAINT: TimeDelta = TimeDelta::minutes(8);

/// A clock that is set back by more than this was not merely corrected.
const CLOCK_STEP: TimeDelta = TimeDelta::minutes(1);

/// A run that was silent for longer does not come back.
const ABANDONED: TimeDelta = TimeDelta::hours(24);

/// The sign of life of this run; it stops when dropped, and fades.
#[derive(Debug)]
pub(super) struct Pulse {
    run_id: String,
    seen: Arc<Seen>,
    _beats: AbortOnDropHandle<()>,
}

/// Until when the others saw a run at work, by its own clock in milliseconds; 0 once it was silent
/// for too long, until it has looked who came meanwhile.
#[derive(Debug)]
struct Seen(AtomicI64);

impl Seen {
    /// A sign that was begun now came through.
    fn again(&self, now: DateTime<Utc>) {
        let until = if self.is_sure(now) {
            now.timestamp_millis()
        } else {
            0
        };
        self.0.store(until, Ordering::Relaxed);
    }

    /// Returns false also where the clock was set back: how long the silence was is unknown then.
    fn is_sure(&self, now: DateTime<Utc>) -> bool {
        let silence = now.timestamp_millis() - self.0.load(Ordering::Relaxed);
        (-CLOCK_STEP.num_milliseconds()..FAINT.num_milliseconds()).contains(&silence)
    }
}

/// What a run has in its staging folder in a bucket.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) run_id: String,
    objects: Vec<Object>,
}

/// The others, as their traces tell.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// They are at work.
    pub(super) live: Vec<String>,
    /// Nobody will come back for these.
    pub(super) abandoned: Vec<Trace>,
}

/// What is to be thought of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Live,
    /// It may come back: nothing of it is touched, and nobody waits for it.
    Silent,
    Abandoned,
}

impl Fate {
    fn of(silence: TimeDelta, has_ended: bool) -> Self {
        if has_ended || silence >= ABANDONED {
            Self::Abandoned
        } else if silence >= SILENT {
            Self::Silent
        } else {
            Self::Live
        }
    }
}

impl Pulse {
    /// Shows a run to the others, and tells how they are; those in `dead` are known to have ended.
    pub(super) async fn begin(
        store: &Store,
        run_id: &str,
        dead: &[String],
    ) -> Result<(Self, Others)> {
        let path = path_of(run_id);
        let seen = Arc::new(Seen(AtomicI64::new(Utc::now().timestamp_millis())));
        store.write(&path, Bytes::new()).await?;
        point(Point::PulseBegun);
        let beats = {
            let (store, seen) = (store.clone(), Arc::clone(&seen));
            async move {
                loop {
                    tokio::time::sleep(BEAT).await;
                    let now = Utc::now();
                    // What fails now succeeds next time; the parts that come are a sign as well.
                    if store.write(&path, Bytes::new()).await.is_ok() {
                        seen.again(now);
                    }
                }
            }
        };
        let pulse = Self {
            run_id: run_id.to_owned(),
            seen,
            _beats: AbortOnDropHandle::new(tokio::spawn(beats)),
        };
        match pulse.others(store, dead).await {
            Ok(others) => Ok((pulse, others)),
            Err(error) => {
                drop(pulse.stop(store).await);
                Err(error)
            }
        }
    }

    /// A run that came while this one was silent, and is at work; the others leave it to this one to
    /// give way.
    pub(super) async fn rival(&self, store: &Store) -> Result<Option<String>> {
        let now = Utc::now();
        if self.seen.is_sure(now) {
            return Ok(None);
        }
        // From here on nobody else begins.
        store.write(&path_of(&self.run_id), Bytes::new()).await?;
        let mut live = self.others(store, &[]).await?.live;
        if live.is_empty() {
            self.seen.0.store(now.timestamp_millis(), Ordering::Relaxed);
        }
        Ok(live.pop())
    }

    /// As if the run had been stopped for a while, or cut off from the store.
    #[cfg(test)]
    pub(super) fn was_silent(&self) {
        self.seen.0.store(0, Ordering::Relaxed);
    }

    /// How the others are, by the age of this run's last sign; those in `dead` are known to have
    /// ended.
    async fn others(&self, store: &Store, dead: &[String]) -> Result<Others> {
        let mut traces = traces(store).await?;
        let own = traces.iter().position(|trace| trace.run_id == self.run_id);
        let own = own.map(|at| traces.swap_remove(at));
        let Some(now) = own.and_then(|own| own.last_sign()) else {
            return Err(Error::Dataset {
                path: store.shown(&path_of(&self.run_id)),
                reason: "was written, and the store does not list it".to_owned(),
            });
        };
        let mut others = Others::default();
        for trace in traces {
            let silence = now - trace.last_sign().unwrap_or(now);
            let has_ended = dead.contains(&trace.run_id)
                || store.size(&report_path(&trace.run_id)).await?.is_some();
            match Fate::of(silence, has_ended) {
                // Its run failed: nobody is at work, and it may have committed what lies there.
                Fate::Live if !trace.has_pulse() => {}
                Fate::Live => others.live.push(trace.run_id),
                Fate::Silent => {}
                Fate::Abandoned => others.abandoned.push(trace),
            }
        }
        Ok(others)
    }

    /// Takes all that this run has in its staging folder away.
    pub(super) async fn end(self, store: &Store) -> Result<()> {
        let folder = format!("{STAGING}/{}", self.run_id);
        let objects = store.list(&folder).await?;
        let run_id = self.run_id.clone();
        // Before the sign is removed, so that it does not come back.
        drop(self);
        Trace { run_id, objects }.clear(store).await?;
        point(Point::PulseEnded);
        Ok(())
    }

    /// Takes the sign of life away and leaves the parts, which may be committed.
    pub(super) async fn stop(self, store: &Store) -> Result<()> {
        let path = path_of(&self.run_id);
        drop(self);
        store.remove(&path).await
    }
}

impl Trace {
    /// Parts, and what was uploaded of them.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Object> {
        let pulse = path_of(&self.run_id);
        let objects = self.objects.iter();
        objects.filter(move |object| object.path != pulse && !is_note(&object.path))
    }

    /// Whether its run was at work a moment ago, by this machine's clock.
    pub(super) fn is_live(&self) -> bool {
        let sign = self.last_sign().filter(|_| self.has_pulse());
        sign.is_some_and(|sign| Utc::now() - sign < SILENT)
    }

    fn has_pulse(&self) -> bool {
        let pulse = path_of(&self.run_id);
        self.objects.iter().any(|object| object.path == pulse)
    }

    /// Removes its objects and aborts its uploads.
    pub(super) async fn clear(self, store: &Store) -> Result<()> {
        let (notes, others): (Vec<_>, Vec<_>) = self
            .objects
            .iter()
            .partition(|object| is_note(&object.path));
        for note in notes {
            store.abort_upload(&note.path).await?;
        }
        let pulse = path_of(&self.run_id);
        for object in others.iter().filter(|object| object.path != pulse) {
            store.remove(&object.path).await?;
        }
        // Last, so that it is not forgotten while there is something.
        store.remove(&pulse).await
    }

    fn last_sign(&self) -> Option<DateTime<Utc>> {
        let objects = self.objects.iter();
        objects.map(|object| object.modified).max()
    }
}

/// What all runs have in staging.
pub(super) async fn traces(store: &Store) -> Result<Vec<Trace>> {
    let mut traces = Vec::new();
    for folder in store.folders(STAGING).await? {
        let run_id = folder.rsplit('/').next().unwrap_or_default().to_owned();
        let objects = store.list(&folder).await?;
        // It may have been cleared since.
        if !objects.is_empty() {
            traces.push(Trace { run_id, objects });
        }
    }
    Ok(traces)
}

fn path_of(run_id: &str) -> String {
    format!("{STAGING}/{run_id}/{PULSE}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_ended_or_was_silent_for_very_long_is_cleared_up_after() {
        let beats = TimeDelta::from_std(BEAT * 3).unwrap();
        for (silence, has_ended, fate) in [
            (TimeDelta::zero(), false, Fate::Live),
            (TimeDelta::seconds(-3), false, Fate::Live),
            (beats, false, Fate::Live),
            (TimeDelta::minutes(17), false, Fate::Silent),
            (TimeDelta::hours(23), false, Fate::Silent),
            (TimeDelta::hours(24), false, Fate::Abandoned),
            (TimeDelta::zero(), true, Fate::Abandoned),
        ] {
            assert_eq!(Fate::of(silence, has_ended), fate, "{silence}");
        }
    }

    #[test]
    fn who_was_silent_for_too_long_is_not_sure_until_it_has_looked() {
        let at = |minutes| DateTime::UNIX_EPOCH + TimeDelta::days(9) + TimeDelta::minutes(minutes);
        let seen = Seen(AtomicI64::new(at(0).timestamp_millis()));
        assert!(seen.is_sure(at(7)) && !seen.is_sure(at(8)));
        // The clock was set back: the silence may have been long.
        assert!(seen.is_sure(at(-1)) && !seen.is_sure(at(-2)));
        seen.again(at(5));
        assert!(seen.is_sure(at(12)));
        // A sign after a long silence does not tell what was in between.
        seen.again(at(22));
        assert!(!seen.is_sure(at(22)));
        seen.again(at(27));
        assert!(!seen.is_sure(at(27)));
        assert!(FAINT * 2 <= SILENT);
    }
}
