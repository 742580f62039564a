//! Who may read what is written: the permissions of a file, in octal digits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the owner of a file must be allowed.
const OWNER: u32 = 0o600;

/// Permissions of the files that a run makes: the owner may read and write them at least, nobody
/// may execute them. Folders may be entered by whoever may read them.
///
/// The command makes its umask of it; a library must leave the umask of its process alone, so its
/// user sets one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mode(u32);

impl Mode {
    /// Readable and writable by the owner alone.
    pub const PRIVATE: Self = Self(OWNER);

    /// Readable by every user, writable by the owner alone.
    pub const PUBLIC: Self = Self(0o644);

    /// The permissions of a file.
    pub const fn file(self) -> u32 {
        self.0
    }

    /// The permissions of a folder.
    pub const fn folder(self) -> u32 {
        self.0 | (self.0 & 0o444) >> 2
    }

    /// The umask under which files and folders get these permissions.
    pub const fn umask(self) -> u32 {
        0o777 & !self.folder()
    }
}

impl Default for Mode {
    fn default() -> Self {
        Self::PRIVATE
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |reason: &str| Err(format!("mode {text:?}: {reason}"));
        let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let bits = match u32::from_str_radix(text, 8) {
            Ok(bits) if is_octal => bits,
            _ => return refuse("expected octal permissions, as 600 or 640"),
        };
        if bits > 0o777 {
            return refuse("a data file has no set-user-ID, set-group-ID or sticky bit");
        }
        if bits & 0o111 != 0 {
            return refuse("a data file is not executed; folders follow by themselves");
        }
        if bits & OWNER != OWNER {
            return refuse("the owner must be able to read and write: 6 in front");
        }
        Ok(Self(bits))
    }
}

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> Self {
        mode.to_string()
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_umask_follow_from_the_mode_of_files() {
        for (text, folder, umask) in [
            ("600", 0o700, 0o077),
            ("640", 0o750, 0o027),
            ("0660", 0o770, 0o007),
            ("644", 0o755, 0o022),
            ("604", 0o705, 0o072),
        ] {
            let mode: Mode = text.parse().unwrap();
            assert_eq!((mode.folder(), mode.umask()), (folder, umask), "{text}");
            assert_eq!(0o666 & !mode.umask(), mode.file(), "{text}");
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "", "6", "60", "400", "200", "040", "700", "641", "4600", "1640", "10600", "680",
            "rw-", "-600", "+600", "0o600",
        ] {
            assert!(text.parse::<Mode>().is_err(), "{text}");
        }
    }
}
