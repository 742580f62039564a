//! The variables of stores, cleaned and checked before a store's library sees them.
//!
//! The library ends the process where a header or a URL cannot be made of a value. So every value
//! is checked for what it becomes: a header, a part of a URL, a path or a document.

use std::ffi::OsString;
use std::fmt;

use hyper::Uri;
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Result};
use crate::values::{InputKind, InvalidInput, clean};

/// The variables by which stores are told endpoints, regions and credentials, as their own tools
/// name them. `Debug` shows none of them.
#[derive(Clone, Default)]
pub struct StoreOptions {
    values: Vec<(String, SecretString)>,
    /// Variables that cannot be used, and why; a store that needs none of them is not hindered.
    refused: Vec<(String, String)>,
}

/// How the names of those variables begin.
const FAMILIES: [&str; 5] = ["AWS_", "AZURE_", "GOOGLE_", "HUAWEICLOUD_SDK_", "OBS_"];

/// Those that begin in no such way.
const SINGLE: [&str; 3] = ["SERVICE_ACCOUNT", "IDENTITY_ENDPOINT", "IDENTITY_HEADER"];

/// Variables that the store's library reads from the environment by itself. They cannot be cleaned.
const READ_BY_THE_LIBRARY: [&str; 5] = [
    "AZURITE_BLOB_STORAGE_URL",
    "GCE_METADATA_HOST",
    "GCE_METADATA_IP",
    "GCE_METADATA_ROOT",
    "IDENTITY_HEADER",
];

impl StoreOptions {
    /// Those of these variables that a store may want; an empty one counts as none.
    pub fn of<T: Into<OsString>>(variables: impl IntoIterator<Item = (T, T)>) -> Self {
        let mut options = Self::default();
        for (name, value) in variables {
            let Ok(name) = name.into().into_string() else {
                continue;
            };
            if !is_wanted(&name) {
                continue;
            }
            match value.into().into_string() {
                Ok(value) if value.is_empty() => {}
                Ok(value) => match judge(&name, &value) {
                    Ok(Some(value)) => options.values.push((name, value.into())),
                    Ok(None) => {}
                    Err(reason) => options.refused.push((name, reason)),
                },
                Err(_) => {
                    let reason = InvalidInput::Encoding.to_string();
                    options.refused.push((name, reason));
                }
            }
        }
        options
    }

    /// Refuses variables that cannot be used, of those that are `read` for a store.
    ///
    /// # Errors
    ///
    /// Names the variable and what is wrong with it.
    pub(crate) fn check(&self, read: impl Fn(&str) -> bool) -> Result<()> {
        match self.refused.iter().find(|(name, _)| read(name)) {
            Some((name, reason)) => Err(Error::Config(format!("the variable {name} {reason}"))),
            None => Ok(()),
        }
    }

    /// What a variable says.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.values.iter();
        all.find(|(known, _)| known == name)
            .map(|(_, value)| value.expose_secret())
    }

    /// What the first of these says that says anything.
    pub(crate) fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    /// Each variable of one family.
    pub(crate) fn family(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        let ours = self
            .values
            .iter()
            .filter(move |(name, _)| name.starts_with(prefix));
        ours.map(|(name, value)| (name.as_str(), value.expose_secret()))
    }

    /// What must be seen nowhere.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &SecretString> {
        let secret = self.values.iter().filter(|(name, _)| is_secret(name));
        secret.map(|(_, value)| value)
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreOptions(..)")
    }
}

impl PartialEq for StoreOptions {
    fn eq(&self, other: &Self) -> bool {
        let pairs = |options: &Self| -> Vec<(String, String)> {
            let pairs = options.family("");
            pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
        };
        pairs(self) == pairs(other) && self.refused == other.refused
    }
}

fn is_wanted(name: &str) -> bool {
    SINGLE.contains(&name)
        || READ_BY_THE_LIBRARY.contains(&name)
        || FAMILIES.iter().any(|family| name.starts_with(family))
}

/// Returns the cleaned value, or nothing where nothing is left of it.
fn judge(name: &str, value: &str) -> Result<Option<String>, String> {
    let text = match clean(value, kind(name)) {
        Ok(text) => text,
        Err(InvalidInput::Empty) => return Ok(None),
        Err(invalid) => return Err(invalid.to_string()),
    };
    if READ_BY_THE_LIBRARY.contains(&name) && text != value {
        return Err(
            "has a blank, a line end or a byte order mark around its value: remove it".into(),
        );
    }
    if is_label(name)
        && !text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    {
        return Err("holds more than letters, digits, dashes, dots and underscores".into());
    }
    if is_address(name) {
        let whole = match text.strip_prefix('/') {
            Some(path) => format!("http://localhost/{path}"),
            None => text.to_owned(),
        };
        if whole.parse::<Uri>().is_err() {
            return Err("is no URL".into());
        }
    }
    Ok(Some(text.to_owned()))
}

/// What becomes of a variable's value.
fn kind(name: &str) -> InputKind {
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if has(&["SERVICE_ACCOUNT_KEY"]) {
        InputKind::Document
    } else if has(&[
        "_FILE",
        "_PATH",
        "SERVICE_ACCOUNT",
        "APPLICATION_CREDENTIALS",
    ]) {
        InputKind::Text
    } else if is_secret(name) || is_label(name) || is_address(name) {
        InputKind::Token
    } else {
        InputKind::Header
    }
}

fn is_secret(name: &str) -> bool {
    [
        "KEY",
        "SECRET",
        "TOKEN",
        "_AK",
        "_SK",
        "SAS",
        "SIGNATURE",
        "HEADER",
    ]
    .iter()
    .any(|word| name.contains(word))
}

/// Whether the value becomes a piece of a host name or of a path.
fn is_label(name: &str) -> bool {
    name.contains("REGION")
        || ["ACCOUNT_NAME", "TENANT_ID", "AUTHORITY_ID"]
            .iter()
            .any(|end| name.ends_with(end))
}

/// Whether the value is a URL, or its path or host.
fn is_address(name: &str) -> bool {
    let is_one = name.contains("ENDPOINT")
        || name.starts_with("GCE_METADATA_")
        || ["_HOST", "_URI", "_URL"]
            .iter()
            .any(|end| name.ends_with(end));
    is_one && !name.contains("_USE_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, value: &str) -> StoreOptions {
        StoreOptions::of([(name, value)])
    }

    #[test]
    fn options_are_those_of_stores_and_are_not_shown() {
        let options = StoreOptions::of([
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("AWS_REGION", ""),
            ("HOME", "/root"),
        ]);
        assert_eq!(options.family("").count(), 1);
        assert_eq!(options.secrets().count(), 1);
        assert_eq!(format!("{options:?}"), "StoreOptions(..)");
    }

    #[test]
    fn a_value_is_cleaned_or_refused_by_its_name_and_never_shown() {
        for (name, value, taken) in [
            ("AWS_ACCESS_KEY_ID", "\u{feff} hunter2\r\n", "hunter2"),
            ("AWS_REGION", "cn-north-4\n", "cn-north-4"),
            ("AWS_ENDPOINT_URL", "http://[::1]:9 ", "http://[::1]:9"),
            (
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                "/v2/x?y\n",
                "/v2/x?y",
            ),
            ("AWS_TIMEOUT", "1m 30s", "1m 30s"),
            (
                "GOOGLE_SERVICE_ACCOUNT",
                "/keys/my ключ.json",
                "/keys/my ключ.json",
            ),
            (
                "GOOGLE_SERVICE_ACCOUNT_KEY",
                "{\n\"a\": 1\n}\n",
                "{\n\"a\": 1\n}",
            ),
            ("AZURE_USE_FABRIC_ENDPOINT", "true\n", "true"),
            ("IDENTITY_HEADER", "hunter2", "hunter2"),
        ] {
            let options = of(name, value);
            options.check(|_| true).unwrap();
            assert_eq!(options.get(name), Some(taken), "{name}");
        }
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", "hunter2\n\n"),
            ("AWS_SESSION_TOKEN", "\"hunter2\""),
            ("AWS_SESSION_TOKEN", "hünter2"),
            ("AWS_REGION", "hunter2 north"),
            ("AWS_REGION", "hunter2/north"),
            ("AWS_ENDPOINT_URL_STS", "https://hunter2<>"),
            ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/hunter2<"),
            ("AZURE_STORAGE_ACCOUNT_NAME", "hunter2@"),
            ("AZURE_TENANT_ID", "hunter2 x"),
            ("OBS_SECRET_ACCESS_KEY", "hunter2 x"),
            ("HUAWEICLOUD_SDK_SK", "hunter2\u{7}"),
            ("GCE_METADATA_HOST", "hunter2\n"),
            ("IDENTITY_HEADER", "hunter2\n"),
        ] {
            let options = of(name, value);
            assert_eq!(options.get(name), None, "{name}");
            options.check(|_| false).unwrap();
            let error = options.check(|read| read == name).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains(name) && !text.contains("nter2"), "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_no_text_is_refused_by_its_name() {
        use std::os::unix::ffi::OsStringExt as _;
        let value = OsString::from_vec(b"hunter2\xff".to_vec());
        let options = StoreOptions::of([(OsString::from("AWS_ACCESS_KEY_ID"), value)]);
        let error = options.check(|_| true).unwrap_err().to_string();
        assert_eq!(
            error,
            "the variable AWS_ACCESS_KEY_ID is not a text in UTF-8"
        );
    }
}
