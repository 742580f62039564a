//! Signals: the first asks the run to stop where it is whole, the second stops at once.

use std::io;

use tokio_util::sync::CancellationToken;

use super::exit::Exit;
use crate::terminal::Terminal;

/// Cancels `token` at the first SIGINT or SIGTERM, and says so; exits at the second.
///
/// Listens from the moment of the call, for as long as the runtime lives.
pub(crate) fn watch(token: CancellationToken, terminal: &Terminal, stopping: &'static str) {
    let terminal = terminal.clone();
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::warn!("a signal will stop the run at once, without a report: {error}");
            return;
        }
    };
    tokio::spawn(async move {
        signals.next().await;
        tracing::warn!("{stopping}; once more stops at once");
        token.cancel();
        signals.next().await;
        terminal.clear();
        leave();
    });
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn listen() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}

#[expect(
    clippy::exit,
    reason = "asked twice to stop, we do not wait for anything"
)]
fn leave() -> ! {
    std::process::exit(Exit::Interrupted.code().into())
}
