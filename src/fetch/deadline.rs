//! The time that is set aside for a command.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Asks to stop when the time is over, or when its owner is asked to.
#[derive(Debug)]
pub(crate) struct Deadline {
    pub(crate) stop: CancellationToken,
    /// Dropped with it.
    _timer: JoinSet<()>,
}

impl Deadline {
    /// The time begins now; without one, there is no end of it.
    pub(crate) fn begin(time: Option<Duration>, cancel: &CancellationToken) -> Self {
        let stop = cancel.child_token();
        let mut timer = JoinSet::new();
        if let Some(time) = time {
            let stop = stop.clone();
            timer.spawn(async move {
                tokio::time::sleep(time).await;
                stop.cancel();
            });
        }
        Self {
            stop,
            _timer: timer,
        }
    }
}
