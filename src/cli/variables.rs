//! The process' variables: read here alone, and cleaned by the rule of [`rollbook::clean`].
//!
//! Clap reads the variables of flags by itself. Before it does, those that are not clean are
//! taken from it: a cleaned value goes back in their place, and one that is refused is an error of
//! the command that has the flag.

mod unknown;

use std::any::TypeId;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use rollbook::{Error, InputKind, InvalidInput, Result, clean, clean_bytes};

pub(crate) use self::unknown::unknown;

/// Reads a variable; one that holds nothing is not set.
///
/// # Errors
///
/// Fails where the value is not of this kind; the message names the variable.
pub(crate) fn read(name: &str, kind: InputKind) -> Result<Option<String>> {
    let Some(value) = raw(name) else {
        return Ok(None);
    };
    match clean_bytes(value.as_encoded_bytes(), kind) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(InvalidInput::Empty) => Ok(None),
        Err(invalid) => Err(refuse(name, invalid)),
    }
}

/// Reads a variable that names a file or a folder; its bytes may be no text.
///
/// # Errors
///
/// Fails as [`read`] does.
pub(crate) fn path(name: &str) -> Result<Option<PathBuf>> {
    match raw(name) {
        Some(value) if value.to_str().is_none() => Ok(Some(value.into())),
        _ => Ok(read(name, InputKind::Text)?.map(PathBuf::from)),
    }
}

/// A variable's bytes as they are, for those who clean them as they clean a file's.
pub(crate) fn bytes(name: &str) -> Option<Vec<u8>> {
    raw(name).map(OsString::into_encoded_bytes)
}

/// Whether a variable is set to anything.
pub(crate) fn is_set(name: &str) -> bool {
    raw(name).is_some()
}

/// Every variable as it is, for those who clean them by their names.
pub(crate) fn all() -> env::VarsOs {
    env::vars_os()
}

fn raw(name: &str) -> Option<OsString> {
    // Schedulers write those that are not set so.
    env::var_os(name).filter(|value| !value.is_empty())
}

fn refuse(name: &str, invalid: InvalidInput) -> Error {
    Error::Config(format!("the variable {name} {invalid}"))
}

/// A variable whose value no flag can take.
#[derive(Debug)]
pub(crate) struct Refused {
    command: String,
    flag: String,
    variable: String,
    invalid: InvalidInput,
}

/// Gives a command's flags the values of their variables, cleaned; help shows no variables, since
/// their values may be private and their names follow from the flags'.
pub(crate) fn feed(command: Command) -> (Command, Vec<Refused>) {
    let mut refused = vec![];
    (feed_into(command, &mut refused), refused)
}

fn feed_into(command: Command, refused: &mut Vec<Refused>) -> Command {
    let name = command.get_name().to_owned();
    let command = command.mut_args(|arg| feed_flag(&name, arg, refused));
    command.mut_subcommands(|command| feed_into(command, refused))
}

fn feed_flag(command: &str, arg: Arg, refused: &mut Vec<Refused>) -> Arg {
    let variable = arg.get_env().map(OsStr::to_owned);
    let arg = arg.hide_env(true);
    let Some(variable) = variable.and_then(|name| name.into_string().ok()) else {
        return arg;
    };
    let Some(value) = env::var_os(&variable) else {
        return arg;
    };
    let is_path = arg.get_value_parser().type_id() == TypeId::of::<PathBuf>();
    let cleaned = match value.to_str() {
        Some(text) => clean(text, InputKind::Text),
        None if is_path => return arg,
        None => Err(InvalidInput::Encoding),
    };
    match cleaned {
        Ok(text) if value == text => arg,
        // Clap keeps what it is given until the process ends.
        Ok(text) => {
            let text: &'static str = text.to_owned().leak();
            arg.env(None).default_value(text).hide_default_value(true)
        }
        Err(InvalidInput::Empty) => arg.env(None),
        Err(invalid) => {
            refused.push(Refused {
                command: command.to_owned(),
                flag: arg.get_id().to_string(),
                variable,
                invalid,
            });
            arg.env(None)
        }
    }
}

/// Refuses what the command that was called would have taken from a variable.
///
/// # Errors
///
/// Names the variable.
pub(crate) fn check(matches: &ArgMatches, refused: &[Refused]) -> Result<()> {
    for refused in refused {
        let matches = match matches.subcommand() {
            Some((name, matches)) if name == refused.command => matches,
            // One of all commands.
            _ if refused.command == env!("CARGO_PKG_NAME") => matches,
            _ => continue,
        };
        if matches.value_source(&refused.flag) != Some(ValueSource::CommandLine) {
            return Err(self::refuse(&refused.variable, refused.invalid));
        }
    }
    Ok(())
}

/// Whether a flag that has no default got its value from a variable.
pub(crate) fn gave(given: &ArgMatches, flag: &str) -> bool {
    // A cleaned value comes as a default.
    matches!(
        given.value_source(flag),
        Some(ValueSource::EnvVariable | ValueSource::DefaultValue)
    )
}
