//! Files that hold secrets, and the users that may read them.
//!
//! A file that other users may read is refused while this user can change its mode. Orchestrators
//! mount secrets as root's files of mode 0444 or 0440: there the mode is not this user's to change,
//! and a warning must do.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rollbook::Result;

use super::credentials::refuse;
use super::variables;

/// Takes warnings until there is a log.
pub(super) type Warn<'a> = &'a dyn Fn(String);

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
    let metadata = file.metadata()?;
    let user = rustix::process::geteuid().as_raw();
    let flags = rustix::fs::fstatvfs(file)?.f_flag;
    let is_read_only = flags.contains(rustix::fs::StatVfsMountFlags::RDONLY);
    Ok(judge(metadata.mode(), metadata.uid(), user, is_read_only))
}

/// Looks up how far a file is open to other users; told by Unix alone.
#[cfg(not(unix))]
fn exposure(_file: &File) -> std::io::Result<Exposure> {
    Ok(Exposure::Private)
}

/// Judges a file by its mode and owner, for this user, on a mount that may be read-only.
#[cfg_attr(not(unix), expect(dead_code, reason = "no such permissions"))]
const fn judge(mode: u32, owner: u32, user: u32, is_read_only: bool) -> Exposure {
    const ROOT: u32 = 0;
    let can_change = !is_read_only && (user == owner || user == ROOT);
    // A secret that others may write is theirs to choose.
    let can_be_written = !is_read_only && mode & 0o022 != 0;
    let others = mode & 0o077;
    if others == 0 {
        Exposure::Private
    } else if can_change || can_be_written {
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

    const ROOT: u32 = 0;
    const USER: u32 = 1_000;
    const OTHER: u32 = 1_001;

    #[rstest]
    #[case::own_and_closed(0o100_600, USER, USER, false, Private)]
    #[case::own_and_open(0o100_444, USER, USER, false, Open)]
    #[case::own_on_a_read_only_mount(0o100_444, USER, USER, true, Fixed(0o444))]
    #[case::of_root_and_open_to_all(0o100_444, ROOT, USER, false, Fixed(0o444))]
    #[case::of_root_and_open_to_a_group(0o100_440, ROOT, USER, false, Fixed(0o440))]
    #[case::of_another(0o100_644, OTHER, USER, false, Fixed(0o644))]
    #[case::of_another_and_written_by_a_group(0o100_664, OTHER, USER, false, Open)]
    #[case::written_by_all_but_for_the_mount(0o100_666, OTHER, USER, true, Fixed(0o666))]
    #[case::root_owns_its_own(0o100_444, ROOT, ROOT, false, Open)]
    #[case::root_owns_everything(0o100_440, USER, ROOT, false, Open)]
    #[case::root_cannot_change_a_read_only_mount(0o100_444, ROOT, ROOT, true, Fixed(0o444))]
    fn a_mode_is_refused_where_this_user_can_change_it(
        #[case] mode: u32,
        #[case] owner: u32,
        #[case] user: u32,
        #[case] is_read_only: bool,
        #[case] expected: Exposure,
    ) {
        assert_eq!(judge(mode, owner, user, is_read_only), expected);
    }
}
