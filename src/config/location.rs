//! Where a dataset lies, as users write it, and what a store in a network wants to know of them.
//!
//! Texts are judged here; what is behind them is the store's business. A place may be shown to
//! anybody: one that carries a secret is refused. Reads no environment: whoever does hands the
//! variables in.

mod likely;
mod store_options;

use std::path::PathBuf;

use url::Url;

use crate::error::{Error, Result};

pub(crate) use self::likely::check_folder;
pub use self::store_options::StoreOptions;

/// Where a dataset lies.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// A folder, a `file://` URL, or `s3://`, `obs://`, `gs://`, `az://` or `abfss://` with a
    /// bucket and, if wanted, a path.
    pub dest: String,
    /// Who comes, for a store in a network.
    pub options: StoreOptions,
    /// Accept an endpoint with `http://` on another host than this machine.
    pub allow_http: bool,
    /// Where parts wait on this machine until they are in a bucket; none is a temporary folder.
    pub state_dir: Option<PathBuf>,
}

impl From<&str> for Place {
    fn from(dest: &str) -> Self {
        Self {
            dest: dest.to_owned(),
            ..Self::default()
        }
    }
}

impl From<&String> for Place {
    fn from(dest: &String) -> Self {
        dest.as_str().into()
    }
}

/// What a destination names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Folder(PathBuf),
    Bucket(BucketUrl),
}

/// A bucket, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BucketUrl {
    pub(crate) kind: Kind,
    /// Scheme, bucket and, for Azure, account: what is left without the path.
    pub(crate) base: String,
    pub(crate) bucket: String,
    /// Percent-encoded, without slashes at its ends.
    pub(crate) path: String,
}

/// Whose protocol a bucket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    S3,
    Obs,
    Google,
    Azure,
}

/// Reads a destination.
///
/// # Errors
///
/// An unknown scheme, a URL without a bucket, or one with credentials: the message does not repeat
/// what may be secret.
pub(crate) fn parse(dest: &str) -> Result<Target> {
    let refuse = |reason: String| Err(Error::Config(reason));
    let Some((scheme, rest)) = dest.split_once("://") else {
        return match dest {
            "" => refuse("the destination is empty".to_owned()),
            folder => {
                likely::check_folder("the destination", folder)?;
                Ok(Target::Folder(folder.into()))
            }
        };
    };
    let kind = match scheme {
        "file" => None,
        "s3" | "s3a" => Some(Kind::S3),
        "obs" => Some(Kind::Obs),
        "gs" => Some(Kind::Google),
        "az" | "abfs" | "abfss" => Some(Kind::Azure),
        _ => {
            return refuse(format!(
                "{scheme}:// destinations are not supported; use a folder, file://, s3://, obs://, \
                 gs://, az:// or abfss://"
            ));
        }
    };
    let may_name_account = kind == Some(Kind::Azure);
    let url = Url::parse(dest);
    let url = match url {
        Ok(url)
            if url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
                && url.port().is_none()
                && (url.username().is_empty() || may_name_account) =>
        {
            url
        }
        _ => {
            return refuse(format!(
                "out: expected {scheme}://BUCKET/PATH, without credentials, port or query; secrets \
                 come from the environment"
            ));
        }
    };
    let Some(kind) = kind else {
        return match url.to_file_path() {
            Ok(folder) => Ok(Target::Folder(folder)),
            Err(()) => refuse(format!("{dest}: expected file:///an/absolute/path")),
        };
    };
    let Some(bucket) = url.host_str().filter(|bucket| !bucket.is_empty()) else {
        return refuse(format!("{dest}: expected {scheme}://BUCKET/PATH"));
    };
    let authority = rest.split('/').next().unwrap_or_default();
    Ok(Target::Bucket(BucketUrl {
        kind,
        base: format!("{scheme}://{authority}"),
        bucket: bucket.to_owned(),
        path: url.path().trim_matches('/').to_owned(),
    }))
}

impl BucketUrl {
    /// What a place in it is called.
    pub(crate) fn shown(&self, path: &str) -> String {
        let mut shown = self.base.clone();
        for piece in [&self.path, path] {
            if !piece.is_empty() {
                shown.push('/');
                shown.push_str(piece);
            }
        }
        shown
    }
}

/// Whether a destination lies in a network, where every look costs a request.
pub(crate) fn is_remote(dest: &str) -> bool {
    matches!(parse(dest), Ok(Target::Bucket(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(dest: &str) -> (Kind, String, String) {
        match parse(dest).unwrap() {
            Target::Bucket(url) => (url.kind, url.shown("part"), url.bucket),
            Target::Folder(folder) => panic!("{folder:?}"),
        }
    }

    #[test]
    fn a_bucket_is_named_by_its_scheme() {
        for (dest, kind, shown, name) in [
            ("s3://lake", Kind::S3, "s3://lake/part", "lake"),
            ("s3a://lake/a/b/", Kind::S3, "s3a://lake/a/b/part", "lake"),
            ("obs://lake/a", Kind::Obs, "obs://lake/a/part", "lake"),
            ("gs://la_ke//a", Kind::Google, "gs://la_ke/a/part", "la_ke"),
            ("az://lake/a", Kind::Azure, "az://lake/a/part", "lake"),
            (
                "abfss://lake@me.dfs.core.windows.net/a",
                Kind::Azure,
                "abfss://lake@me.dfs.core.windows.net/a/part",
                "me.dfs.core.windows.net",
            ),
        ] {
            assert_eq!(bucket(dest), (kind, shown.to_owned(), name.to_owned()));
        }
    }

    #[test]
    fn a_folder_is_named_with_or_without_a_scheme() {
        for (dest, folder) in [("lake/a", "lake/a"), ("file:///lake/a%20b", "/lake/a b")] {
            assert_eq!(parse(dest).unwrap(), Target::Folder(folder.into()));
        }
    }

    #[test]
    fn what_carries_a_secret_or_names_nothing_is_refused_without_repeating_it() {
        for dest in [
            "",
            "s3://",
            "s3:///path",
            "s3://key:hunter2@lake/a",
            "s3://hunter2@lake/a",
            "s3://lake:9000/a",
            "az://lake:hunter2@me/a",
            "https://lake.example.com/a?sig=hunter2",
            "abfss://lake@me.dfs.core.windows.net/a?sig=hunter2",
            "gs://lake/a#hunter2",
            "ftp://lake/a",
        ] {
            let error = parse(dest).unwrap_err();
            assert!(matches!(error, Error::Config(_)), "{error:?}");
            assert!(!error.chain().contains("hunter2"), "{error}");
        }
    }
}
