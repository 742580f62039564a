//! One connection, and the ways in which it can break.
//!
//! A second handle to the socket is kept, since a reset needs an option set on it while the HTTP
//! library owns the first.

use std::time::Duration;

use socket2::{SockRef, Socket};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::unpoisoned_mutex::Guarded;

/// One connection.
#[derive(Debug)]
pub(super) struct Line {
    socket: Guarded<Option<Socket>>,
    cut: CancellationToken,
}

impl Line {
    pub(super) fn new(stream: &TcpStream) -> Self {
        Self {
            socket: Guarded::new(SockRef::from(stream).try_clone().ok()),
            cut: CancellationToken::new(),
        }
    }

    /// Resolves once the connection is to be dropped.
    pub(super) async fn is_cut(&self) {
        self.cut.cancelled().await;
    }

    /// Drops the connection with a reset.
    pub(super) fn reset(&self) {
        if let Some(socket) = self.socket.lock().take() {
            // Without the option the peer sees an end instead of a reset; it is cut off anyway.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
        self.cut.cancel();
    }

    /// Drops the connection in good order.
    pub(super) fn close(&self) {
        self.release();
        self.cut.cancel();
    }

    /// Lets go of the second handle, so that the socket closes with the first.
    pub(super) fn release(&self) {
        self.socket.lock().take();
    }
}
