//! How a command ends: the exit codes, which schedulers rely on, and the last words on the way.

use std::io;
use std::process::ExitCode;

use anyhow::Error;
use clap::error::{ContextKind, ContextValue};
use rollbook::{InputKind, Outcome};

use super::{terminal, variables};

/// Each end that a command can come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything asked for is complete.
    Complete,
    /// Internal or I/O failure, or a damaged dataset.
    Failed,
    /// A usage error, or a meeting list that cannot be read.
    Usage,
    /// Configuration or credentials.
    Setup,
    /// Some meetings are not in the dataset, for their own fault or for the deadline's.
    Incomplete,
    /// Stopped by a signal.
    Interrupted,
}

impl Exit {
    /// The code, as documented in `--help`.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Setup => 3,
            Self::Incomplete => 4,
            Self::Interrupted => 130,
        }
    }

    /// The end of a run that went as far as its report; a deadline interrupts without a signal.
    pub(crate) const fn of(outcome: Outcome, signalled: bool) -> Self {
        match (outcome, signalled) {
            (Outcome::Complete | Outcome::Skipped, _) => Self::Complete,
            (Outcome::Interrupted, true) => Self::Interrupted,
            (Outcome::Incomplete, _) | (Outcome::Interrupted, false) => Self::Incomplete,
            (Outcome::Failed, _) => Self::Failed,
        }
    }

    /// The end of a command that came to both: what somebody must mend comes before what the next
    /// run mends, a defect or a full disk first of all.
    pub(crate) fn or_worse(self, other: Self) -> Self {
        let rank = |exit| match exit {
            Self::Complete => 0,
            Self::Incomplete => 1,
            Self::Interrupted => 2,
            Self::Usage => 3,
            Self::Setup => 4,
            Self::Failed => 5,
        };
        if rank(other) > rank(self) {
            other
        } else {
            self
        }
    }

    /// The end that an error means.
    pub(crate) fn of_error(error: &Error) -> Self {
        if has_closed_pipe(error) {
            return Self::Complete;
        }
        if let Some(usage) = error.downcast_ref::<clap::Error>() {
            return if usage.use_stderr() {
                Self::Usage
            } else {
                Self::Complete
            };
        }
        match error.chain().find_map(|cause| cause.downcast_ref()) {
            Some(rollbook::Error::MeetingList { .. }) => Self::Usage,
            Some(rollbook::Error::Quota { .. }) => Self::Incomplete,
            Some(
                rollbook::Error::Config(_)
                | rollbook::Error::Clock { .. }
                | rollbook::Error::Credentials { .. },
            ) => Self::Setup,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Says why a command failed, once, and how it ends.
pub(crate) fn fail(error: &Error) -> Exit {
    let exit = Exit::of_error(error);
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        // Where nobody listens, the exit code still speaks.
        drop(usage.print());
        if let Some(name) = variable_at_fault(usage) {
            terminal::print_note(&format!("the value comes from the variable {name}"));
        }
    } else if exit != Exit::Complete {
        terminal::print_error(error, next_step(exit, error));
    }
    exit
}

/// The variable that holds the refused value, where a flag did not give it.
fn variable_at_fault(error: &clap::Error) -> Option<String> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let flag = context(ContextKind::InvalidArg)?
        .split(['=', '[', ' '])
        .next()?;
    let name = flag.strip_prefix("--")?.replace('-', "_").to_uppercase();
    let name = format!("ROLLBOOK_{name}");
    let value = variables::read(&name, InputKind::Text).ok().flatten();
    let holds_it = value.as_deref() == context(ContextKind::InvalidValue);
    let is_argument = std::env::args().any(|given| given.starts_with(flag));
    (holds_it && !is_argument).then_some(name)
}

/// What to do about it, where the message does not say so itself.
fn next_step(exit: Exit, error: &Error) -> Option<&'static str> {
    match exit {
        Exit::Usage => Some("mend the list and run the command again; nothing was requested"),
        Exit::Failed => io_errors(error).find_map(room).or_else(|| login(error)),
        Exit::Complete | Exit::Setup | Exit::Incomplete | Exit::Interrupted => None,
    }
}

/// Next step where no login came to an answer.
fn login(error: &Error) -> Option<&'static str> {
    let mut causes = error.chain();
    let is_login = |cause: &(dyn std::error::Error + 'static)| {
        matches!(
            cause.downcast_ref::<rollbook::Error>(),
            Some(rollbook::Error::Login { .. })
        )
    };
    causes
        .any(is_login)
        .then_some("run again later; if it fails again, check the network, a proxy and --base-url")
}

/// What the machine lacks, and how to get it.
fn room(error: &io::Error) -> Option<&'static str> {
    #[cfg(unix)]
    if let Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) =
        rustix::io::Errno::from_io_error(error)
    {
        return Some(
            "raise the limit of open files (ulimit -n), or lower --concurrency; the same command \
             goes on from what is there",
        );
    }
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(
            "free some space, or choose another place; the same command goes on from what is there",
        ),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Some(
            "make it writable for this user, or choose another place (--state-dir, for what is \
                 kept on this machine)",
        ),
        _ => None,
    }
}

/// A reader that has had enough is no failure.
fn has_closed_pipe(error: &Error) -> bool {
    io_errors(error).any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// What the system said, wherever in the chain.
fn io_errors(error: &Error) -> impl Iterator<Item = &io::Error> {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_signal_means_130() {
        assert_eq!(Exit::of(Outcome::Interrupted, true).code(), 130);
        assert_eq!(Exit::of(Outcome::Interrupted, false).code(), 4);
        assert_eq!(Exit::of(Outcome::Complete, true).code(), 0);
        assert_eq!(Exit::of(Outcome::Incomplete, true).code(), 4);
    }

    #[test]
    fn of_two_ends_the_worse_one_counts() {
        let from_best = [0, 4, 130, 2, 3, 1];
        let all = [
            Exit::Complete,
            Exit::Incomplete,
            Exit::Interrupted,
            Exit::Usage,
            Exit::Setup,
            Exit::Failed,
        ];
        assert_eq!(all.map(Exit::code), from_best);
        for pair in all.windows(2) {
            assert_eq!(pair[0].or_worse(pair[1]), pair[1]);
            assert_eq!(pair[1].or_worse(pair[0]), pair[1]);
        }
    }

    #[test]
    fn a_closed_pipe_is_success_wherever_it_is_noticed() {
        let closed = io::Error::from(io::ErrorKind::BrokenPipe);
        let error = Error::from(closed).context("cannot write records");
        assert_eq!(Exit::of_error(&error), Exit::Complete);
    }

    #[test]
    fn errors_of_the_user_are_told_apart_from_failures() {
        let list = rollbook::Error::MeetingList {
            list: "a".into(),
            line: 1,
            reason: "b".into(),
        };
        assert_eq!(Exit::of_error(&list.into()), Exit::Usage);
        let config = Error::from(rollbook::Error::Config("a".into())).context("b");
        assert_eq!(Exit::of_error(&config), Exit::Setup);
        assert_eq!(Exit::of_error(&anyhow::anyhow!("a")), Exit::Failed);
    }
}
