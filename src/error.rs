//! Everything that can go wrong, as one enum.
//!
//! A message says what failed and where; the cause is its `source()` and is not repeated in the
//! text. Questions about an error (may it be tried again? whose fault is it?) are methods: no
//! caller matches on a text. No message carries a query string, a header or a record, since a
//! search key may be a phone number and a record is personal data.

mod failure_kind;

use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use tokio::task::JoinError;

pub use self::failure_kind::FailureKind;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A local file or folder could not be used.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried, as a verb: `read`, `write`, `create`, `sync`, `rename`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An object of the dataset could not be used.
    #[error("cannot {action} {path} of the dataset")]
    Store {
        /// What was tried, as a verb.
        action: &'static str,
        /// The object's path inside the dataset.
        path: String,
        /// What the store said.
        source: object_store::Error,
    },
    /// Records could not be encoded.
    #[error("cannot encode {format}")]
    Encode {
        /// The output format.
        format: &'static str,
        /// What the encoder said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The destination or its ledger is not what it should be.
    #[error("{path}: {reason}")]
    Dataset {
        /// The offending object or folder.
        path: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The dataset was extended by a newer rollbook, which wrote what this one does not know.
    #[error("{path}: has {what}, and this rollbook knows {known}; use a newer rollbook")]
    Newer {
        /// The ledger entry.
        path: String,
        /// What it has, and which version of it.
        what: String,
        /// The newest version that is known.
        known: u32,
    },
    /// The dataset was wanted for one run alone, and others are at work on it.
    #[error("another run is at work on this dataset: {}", runs.join(", "))]
    Busy {
        /// Their names.
        runs: Vec<String>,
    },
    /// A setting is missing, malformed or contradicts another.
    #[error("{0}")]
    Config(String),
    /// This machine's clock and the server's differ by more than a day, and the window follows from
    /// the time.
    #[error(
        "this machine's clock shows {} and the server's {}: which meetings are in the window follows \
         from the time; set this machine's clock, or give the window's end (until) as a date",
        crate::values::shown(*machine),
        crate::values::shown(*server)
    )]
    Clock {
        /// The time of this machine's clock.
        machine: DateTime<Utc>,
        /// The time of the server's clock at the same moment.
        server: DateTime<Utc>,
    },
    /// A meeting list holds something that is no meeting.
    #[error("{list}, line {line}: {reason}")]
    MeetingList {
        /// The file, or `standard input`.
        list: String,
        /// 1-based line.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The credentials are missing or were refused: the whole run stops.
    #[error("{reason}")]
    Credentials {
        /// What was refused, and what to do.
        reason: String,
    },
    /// No login came to an answer.
    #[error("cannot log in: {reason}")]
    Login {
        /// What the last attempt met with.
        reason: String,
    },
    /// A part of the run panicked: a defect of rollbook or of a library. The words of a panic may
    /// hold secrets or personal data, so they are not kept.
    #[error("{what} died, which is a defect of rollbook")]
    Task {
        /// Which.
        what: &'static str,
    },
    /// No request had an answer that can be used, for longer than a run waits.
    #[error("the API gives no answer that can be used, for {}: {cause}; run again later", humantime::format_duration(Duration::from_secs(lasted.as_secs())))]
    Outage {
        /// How long none came.
        lasted: Duration,
        /// Cause of the last failure.
        cause: String,
        /// Kind of the last failure.
        kind: FailureKind,
    },
    /// The server asks for a silence that no run should wait for.
    #[error("the quota is used up: the server asks to wait {}; run again after that", humantime::format_duration(*wait))]
    Quota {
        /// What it asks for.
        wait: Duration,
    },
}

/// Shorthand for results of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether the reader of the output stream has gone: no fault, nobody wants more.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::File { .. }
            | Self::Store { .. }
            | Self::Encode { .. }
            | Self::Dataset { .. }
            | Self::Newer { .. }
            | Self::Busy { .. } => FailureKind::Storage,
            Self::Config(_) | Self::Clock { .. } | Self::MeetingList { .. } => FailureKind::Config,
            Self::Credentials { .. } | Self::Login { .. } => FailureKind::Token,
            Self::Task { .. } => FailureKind::Internal,
            Self::Quota { .. } => FailureKind::Throttled,
            Self::Outage { kind, .. } => *kind,
        }
    }

    /// The error and its causes, on one line.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    }

    /// A task that died, ready for `map_err`.
    pub(crate) fn task(what: &'static str) -> impl FnOnce(JoinError) -> Self {
        // How it died may be told with the words of the panic.
        move |_| Self::Task { what }
    }

    /// Returns what a future returns, or the error of `what` where it panics.
    pub(crate) async fn unless_it_panics<T>(
        what: &'static str,
        future: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        // What the future changed may be half done; the caller ends the run.
        let done = AssertUnwindSafe(future).catch_unwind().await;
        done.unwrap_or(Err(Self::Task { what }))
    }

    /// A failed file operation, ready for `map_err`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}
