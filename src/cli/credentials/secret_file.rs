//! Files that hold secrets, and the users that may read them.
//!
//! A file that other users may read is refused while this user can change its mode. Orchestrators
//! mount secrets as root's files of mode 0444 or 0440: there the mode is not this user's to change,
//! and a warning must do.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rollbook::Result;

use super::refuse;
use crate::cli::variables;

/// Takes warnings until there is a log.
pub(crate) type Warn<'a> = &'a dyn Fn(String);

/// Longest secret that is read; tokens have a few hundred characters.
const LONGEST: u64 = 64 * 1024;

/// How far a file is open to other users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exposure {
    /// Not at all.
    Private,
    /// So far that this user must close it.
    Open,
    /// By a mode that this user cannot change.
    Fixed(u32),
}

/// Reads a secret file; `name` stands for it in messages.
///
/// # Errors
///
/// The file cannot be read, is too long, or is open to other users without need.
pub(super) fn read(path: &Path, name: &str, warn: Warn<'_>) -> Result<Vec<u8>> {
    let unreadable = |error: std::io::Error| refuse(format!("cannot read {name}: {error}"));
    // What a link leads to counts, not the link.
    let file = File::open(path).map_err(unreadable)?;
    if !is_from_systemd(path) {
        match exposure(&file).map_err(unreadable)? {
            Exposure::Private => {}
            Exposure::Open => {
                return Err(refuse(format!(
                    "{name} is open to other users: chmod 600 it"
                )));
            }
            Exposure::Fixed(mode) => warn(format!(
                "the secret file {} is open to other users (mode {mode:04o}), and this user cannot \
                 change that: mount it with mode 0400 for this user if that is possible",
                path.display()
            )),
        }
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST {
        return Err(refuse(format!("{name} holds more than 64 KiB")));
    }
    Ok(bytes)
}

/// Whether systemd put the file there (`LoadCredential=`): it lets the service alone into the
/// folder, and how it lets it read the file looks like the group's permission.
fn is_from_systemd(path: &Path) -> bool {
    let folder = variables::path("CREDENTIALS_DIRECTORY").ok().flatten();
    folder.is_some_and(|folder| path.parent() == Some(&folder))
}

/// Looks up how far a file is open to other users.
#[cfg(unix)]
fn exposure(file: &File) -> std::io::Result<Exposure> {
    use std::os::unix::fs::MetadataExt as _;
    let mode = file.metadata()?.mode();
    let flags = rustix::fs::fstatvfs(file)?.f_flag;
    let is_read_only = flags.contains(rustix::fs::StatVfsMountFlags::RDONLY);
    Ok(judge(mode, is_read_only, || can_change(file, mode)))
}

/// Whether this user can change the mode of a file: tried with the mode that it has. The owner alone
/// would not tell, since root may lack the capability, also over files of users whom its namespace
/// does not know.
#[cfg(unix)]
fn can_change(file: &File, mode: u32) -> bool {
    let same = rustix::fs::Mode::from_bits_truncate((mode & 0o7777) as _);
    rustix::fs::fchmod(file, same).is_ok()
}

/// Looks up how far a file is open to other users; told by Unix alone.
#[cfg(not(unix))]
fn exposure(_file: &File) -> std::io::Result<Exposure> {
    Ok(Exposure::Private)
}

/// Judges a file by its mode, on a mount that may be read-only, and by whether this user can change
/// the mode.
#[cfg_attr(not(unix), expect(dead_code, reason = "no such permissions"))]
fn judge(mode: u32, is_read_only: bool, can_change: impl FnOnce() -> bool) -> Exposure {
    // A secret that others may write is theirs to choose.
    let can_be_written = !is_read_only && mode & 0o022 != 0;
    let others = mode & 0o077;
    if others == 0 {
        Exposure::Private
    } else if can_be_written || can_change() {
        Exposure::Open
    } else {
        Exposure::Fixed(mode & 0o7777)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use rstest::rstest;

    use super::Exposure::{Fixed, Open, Private};
    use super::*;

    #[rstest]
    #[case::closed(0o100_600, false, true, Private)]
    #[case::open(0o100_444, false, true, Open)]
    #[case::open_to_a_group(0o100_440, false, true, Open)]
    #[case::fixed_and_open_to_all(0o100_444, false, false, Fixed(0o444))]
    #[case::fixed_and_open_to_a_group(0o100_440, false, false, Fixed(0o440))]
    #[case::fixed_and_written_by_a_group(0o100_664, false, false, Open)]
    #[case::on_a_read_only_mount(0o100_444, true, false, Fixed(0o444))]
    #[case::written_by_all_but_for_the_mount(0o100_666, true, false, Fixed(0o666))]
    fn a_mode_is_refused_where_this_user_can_change_it(
        #[case] mode: u32,
        #[case] is_read_only: bool,
        #[case] can_change: bool,
        #[case] expected: Exposure,
    ) {
        assert_eq!(judge(mode, is_read_only, || can_change), expected);
    }

    #[test]
    fn a_closed_file_is_not_touched() {
        let exposure = judge(0o100_600, false, || unreachable!("the mode was tried"));
        assert_eq!(exposure, Private);
    }

    #[test]
    fn the_owner_can_change_a_mode_and_the_trial_leaves_it() {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let file = tempfile::NamedTempFile::new().unwrap();
        let file = file.as_file();
        let open = std::fs::Permissions::from_mode(0o644);
        file.set_permissions(open).unwrap();
        assert_eq!(exposure(file).unwrap(), Open);
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o644);
    }
}
