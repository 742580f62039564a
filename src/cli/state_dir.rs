//! Where state is kept that a run leaves to the next: the system's own place for it.

use std::cell::RefCell;
use std::env;
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::path::{Path, PathBuf};

use rollbook::Result;

use super::variables;

/// The user's, or the service's, directory for rollbook's state, where the system names one.
///
/// # Errors
///
/// A variable on the way to it that cannot be used.
pub(crate) fn default() -> Result<Option<PathBuf>> {
    let refused = RefCell::new(None);
    let found = find(|name| match variables::path(name) {
        Ok(path) => path.map(OsString::from),
        Err(error) => {
            refused.replace(Some(error));
            None
        }
    });
    refused.into_inner().map_or(Ok(found), Err)
}

/// Takes the default directory away where this user cannot write there: no home, one of another
/// user, a disk that is read-only. What is kept on this machine then lies in a temporary folder, and
/// ends with the run. Returns why; nothing where a directory is there or was named by the user.
///
/// # Errors
///
/// Fails as [`default`] does.
pub(crate) fn settle(state_dir: &mut Option<PathBuf>) -> Result<Option<String>> {
    let default = default()?;
    if *state_dir != default {
        return Ok(None);
    }
    let Some(folder) = default else {
        return Ok(Some("no home folder is known".to_owned()));
    };
    let reason = try_out(&folder).err();
    if reason.is_some() {
        *state_dir = None;
    }
    Ok(reason.map(|reason| format!("{}: {reason}", folder.display())))
}

/// Makes the folder, and a file in it that has no name.
fn try_out(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.recursive(true).create(folder)?;
    tempfile::tempfile_in(folder).map(drop)
}

/// Whether a destination lies in a store, whose parts wait on this machine.
pub(crate) fn is_store(dest: &str) -> bool {
    dest.split_once("://")
        .is_some_and(|(scheme, _)| scheme != "file")
}

fn find(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name: &str| {
        let folder = variable(name).map(PathBuf::from)?;
        // A relative one would depend on where the command was called.
        folder.is_absolute().then_some(folder)
    };
    // A systemd unit with several directories names them in a row.
    let units = variable("STATE_DIRECTORY");
    if let Some(first) = units.and_then(|all| env::split_paths(&all).next())
        && first.is_absolute()
    {
        return Some(first);
    }
    let home = || folder("HOME").map(|home| home.join(".local/state"));
    folder("XDG_STATE_HOME")
        .or_else(home)
        .or_else(|| folder("LOCALAPPDATA"))
        .map(|folder| folder.join("rollbook"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> Option<PathBuf> {
        find(|name| {
            let mut all = variables.iter();
            all.find(|(known, _)| *known == name)
                .map(|(_, value)| value.into())
        })
    }

    #[test]
    #[cfg(unix)]
    fn the_service_comes_before_the_user() {
        let home = ("HOME", "/home/me");
        let xdg = ("XDG_STATE_HOME", "/state");
        let unit = ("STATE_DIRECTORY", "/var/lib/rollbook:/var/lib/other");
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(found(&[home, xdg, unit]), path("/var/lib/rollbook"));
        assert_eq!(found(&[home, xdg]), path("/state/rollbook"));
        assert_eq!(found(&[home]), path("/home/me/.local/state/rollbook"));
        assert_eq!(found(&[("XDG_STATE_HOME", "here"), home]), found(&[home]));
        assert_eq!(found(&[]), None);
    }
}
