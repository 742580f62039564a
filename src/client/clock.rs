//! What time it is by the server's clock.
//!
//! Each answer tells, and from then on time passes by a clock that nobody sets: so whatever is
//! done to the clock of this machine during a run, a login is not signed for another hour, and a
//! date to wait for is not taken for a long silence.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap};
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct ServerClock(Mutex<Option<(SystemTime, Instant)>>);

impl ServerClock {
    /// Takes the time from an answer of the API that has just come. Others answer in its place, too,
    /// and some of them are in the year 1970.
    pub(super) fn hear(&self, headers: &HeaderMap) {
        if let Some(told) = told(headers) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((told, Instant::now()));
        }
    }

    /// When an answer was sent by its own word, else what time it is now.
    pub(super) fn at(&self, headers: &HeaderMap) -> SystemTime {
        told(headers).unwrap_or_else(|| self.now())
    }

    /// The time; before the first answer, by our own clock.
    pub(super) fn now(&self) -> SystemTime {
        let heard = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard
            .and_then(|(told, at)| told.checked_add(at.elapsed()))
            .unwrap_or_else(SystemTime::now)
    }

    /// How many seconds our own clock is behind, once an answer has told.
    pub(super) fn seconds_behind(&self) -> Option<i64> {
        (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let seconds = |time: SystemTime| DateTime::<Utc>::from(time).timestamp();
        Some(seconds(self.now()) - seconds(SystemTime::now()))
    }
}

fn told(headers: &HeaderMap) -> Option<SystemTime> {
    let date = headers.get(DATE)?.to_str().ok()?;
    httpdate::parse_http_date(date).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_time_is_the_servers_and_passes_by_itself() {
        let clock = ServerClock::default();
        let ours = SystemTime::now();
        assert!(clock.now() >= ours);
        assert_eq!(clock.seconds_behind(), None);
        let mut headers = HeaderMap::new();
        headers.insert(DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
        clock.hear(&headers);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(clock.seconds_behind().unwrap() < 0);
        let told = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(clock.now(), told + Duration::from_secs(5));
        // Nonsense changes nothing.
        headers.insert(DATE, "yesterday".parse().unwrap());
        clock.hear(&headers);
        clock.hear(&HeaderMap::new());
        assert_eq!(clock.now(), told + Duration::from_secs(5));
    }
}
