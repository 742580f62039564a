//! Destinations that would be folders with an odd name, and are meant otherwise.
//!
//! Such a folder would fill up beside the dataset that is meant, and nobody would be told. A folder
//! that really has such a name is written with `./` before it.

use crate::error::{Error, Result};

/// Schemes of stores and files, known here or not.
const SCHEMES: [&str; 26] = [
    "abfs", "abfss", "adl", "az", "azure", "cos", "cosn", "dbfs", "file", "ftp", "gcs", "gs",
    "hdfs", "http", "https", "minio", "obs", "oss", "s3", "s3a", "s3n", "sftp", "swift", "wasb",
    "wasbs", "webhdfs",
];

/// Refuses a path that is meant for something else than the local folder that it names here.
///
/// # Errors
///
/// Names what is likely meant, and how a folder of that name is written.
pub(crate) fn check_folder(key: &str, path: &str) -> Result<()> {
    let Some(meant) = meant(path) else {
        return Ok(());
    };
    // What may be a secret is not repeated.
    if path.contains(['@', '?', '#']) {
        return Err(Error::Config(format!(
            "{key} names no folder but a store or a home folder, misspelt; a folder of this very name \
             begins with ./"
        )));
    }
    let shown = path.escape_debug();
    Err(Error::Config(format!(
        "{key} {shown}: {meant}; a folder of this very name is ./{shown}"
    )))
}

/// What is likely meant by a path, where it is not a folder of that name.
fn meant(path: &str) -> Option<String> {
    let (first, rest) = match path.find(['/', '\\']) {
        Some(end) => path.split_at(end),
        None => (path, ""),
    };
    if first.starts_with('~') {
        return Some("~ is a home folder to a shell alone; write the path in full".to_owned());
    }
    if first.starts_with(['$', '%']) {
        return Some("variables are for a shell to fill in; write the path in full".to_owned());
    }
    if cfg!(not(windows)) && (is_drive(first) || path.starts_with("\\\\")) {
        return Some("a path of Windows, and this is another system".to_owned());
    }
    let (scheme, after) = match first.split_once(':') {
        Some((scheme, after)) => (scheme, after),
        // One that lost its colon.
        None if rest.starts_with("//") => (first, ""),
        None => return None,
    };
    let scheme = scheme.to_ascii_lowercase();
    if !SCHEMES.contains(&scheme.as_str()) {
        return None;
    }
    let place = format!("{after}{rest}");
    let place = place.trim_start_matches(['/', '\\']).replace('\\', "/");
    let slashes = if scheme == "file" { ":///" } else { "://" };
    Some(format!("did you mean {scheme}{slashes}{place}?"))
}

/// Whether it is the letter of a drive, with or without a folder behind it.
fn is_drive(first: &str) -> bool {
    matches!(first.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_for_a_store_or_a_home_is_refused_with_the_likely_meaning() {
        for (path, meant) in [
            ("s3:/lake/x", "did you mean s3://lake/x?"),
            ("s3:lake/x", "did you mean s3://lake/x?"),
            ("S3:\\lake\\x", "did you mean s3://lake/x?"),
            ("s3//lake/x", "did you mean s3://lake/x?"),
            ("obs:lake", "did you mean obs://lake?"),
            ("oss:/lake", "did you mean oss://lake?"),
            ("file:/lake/x", "did you mean file:///lake/x?"),
            ("~", "write the path in full"),
            ("~/att", "write the path in full"),
            ("~me/att", "write the path in full"),
            ("$HOME/att", "write the path in full"),
            ("${HOME}/att", "write the path in full"),
            ("%USERPROFILE%\\att", "write the path in full"),
        ] {
            let error = check_folder("out", path).unwrap_err().to_string();
            let folder = format!("./{}", path.escape_debug());
            assert!(error.contains(meant) && error.ends_with(&folder), "{error}");
        }
    }

    #[test]
    fn what_may_be_a_secret_is_not_repeated() {
        for path in ["s3:/key:hunter2@lake/x", "obs:lake?sig=hunter2"] {
            let error = check_folder("out", path).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[cfg(not(windows))]
    #[test]
    fn a_path_of_windows_is_refused_elsewhere() {
        for path in ["C:\\data", "c:/data", "d:", "C:data", "\\\\server\\share"] {
            let error = check_folder("out", path).unwrap_err().to_string();
            assert!(error.contains("a path of Windows"), "{error}");
        }
    }

    #[test]
    fn folders_of_other_names_are_folders() {
        for path in [
            "lake/s3:",
            "./s3:/lake/x",
            "./~/att",
            "/C:/data",
            "2026-11-01T10:00",
            "run:7/x",
            "s3/lake",
            "a$b",
            "att~",
            "lake//x",
        ] {
            assert!(check_folder("out", path).is_ok(), "{path}");
        }
    }
}
