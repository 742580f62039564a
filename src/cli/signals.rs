//! Signals: the first asks the run to stop where it is whole, the second stops at once.

use tokio_util::sync::CancellationToken;

use super::exit::Exit;
use crate::terminal::Terminal;

/// Cancels `token` at the first SIGINT or SIGTERM, and exits at the second.
///
/// Runs for as long as the runtime does.
pub(crate) fn watch(token: CancellationToken, terminal: &Terminal) {
    let terminal = terminal.clone();
    tokio::spawn(async move {
        if !arrived().await {
            return;
        }
        token.cancel();
        tracing::warn!("stopping where everything is whole; once more stops at once");
        if arrived().await {
            terminal.clear();
            leave();
        }
    });
}

/// Waits for a signal; `false` where the system does not let us listen.
#[cfg(unix)]
async fn arrived() -> bool {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return false;
    };
    tokio::select! {
        _ = interrupt.recv() => true,
        _ = terminate.recv() => true,
    }
}

/// Waits for a signal; `false` where the system does not let us listen.
#[cfg(not(unix))]
async fn arrived() -> bool {
    tokio::signal::ctrl_c().await.is_ok()
}

#[expect(
    clippy::exit,
    reason = "asked twice to stop, we do not wait for anything"
)]
fn leave() -> ! {
    std::process::exit(Exit::Interrupted.code().into())
}
