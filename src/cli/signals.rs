//! Signals: the first asks the run to stop where it is whole, the second stops at once.

use std::io;

use tokio_util::sync::CancellationToken;

use super::exit_code::Exit;
use super::terminal::Terminal;

/// Cancels `token` at the first SIGINT, SIGTERM or SIGHUP and logs it; exits at the second.
///
/// Listens from the moment of the call, for as long as the runtime lives. A SIGHUP that is ignored,
/// as `nohup` has it, stays ignored.
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
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: if is_hangup_ignored() {
                None
            } else {
                Some(signal(SignalKind::hangup())?)
            },
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = hung_up(self.hangup.as_mut()) => {}
        }
    }
}

/// Waits for a SIGHUP; for ever where none is listened for.
#[cfg(unix)]
async fn hung_up(hangup: Option<&mut tokio::signal::unix::Signal>) {
    match hangup {
        Some(hangup) => drop(hangup.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether the parent process had SIGHUP ignored. Only Linux shows that without unsafe code; elsewhere
/// a SIGHUP stops the run in good order.
#[cfg(unix)]
fn is_hangup_ignored() -> bool {
    const HANGUP_BIT: u64 = 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & HANGUP_BIT != 0)
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
