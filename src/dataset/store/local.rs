//! A folder of this machine as a store, also on a file system that lacks a call.
//!
//! An object gets its name in one step, after its bytes are durable:
//!
//! 1. The bytes are written and synced under a staged name (`name#1`), which no listing shows.
//! 2. A hard link gives them the final name, and fails if that is taken.
//! 3. A file system without hard links renames instead, by the call that replaces nothing: also one
//!    step, with the same answer for a second writer. Without that call either, nothing is created.
//! 4. The folder is synced, where the file system can do that.
//!
//! A crash before step 2 leaves a staged file, a crash after it the whole object.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path as LocalPath, PathBuf};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, Extensions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    RenameTargetMode, Result,
};

use crate::durable_fs;

/// Gives a file a name that is free.
type Naming = fn(&LocalPath, &LocalPath) -> io::Result<()>;

/// Store in a folder; reading, listing and removing are those of `object_store`.
#[derive(Debug)]
pub(super) struct LocalFolder(LocalFileSystem);

impl LocalFolder {
    /// Opens a folder that exists.
    pub(super) fn open(root: &LocalPath) -> Result<Self> {
        let inner = LocalFileSystem::new_with_prefix(root)?;
        Ok(Self(inner.with_fsync(true)))
    }
}

impl fmt::Display for LocalFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for LocalFolder {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let is_new = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return self.0.put_opts(location, payload, options).await,
        };
        let path = self.0.path_to_filesystem(location)?;
        blocking(move || put(&path, &payload, is_new)).await?;
        Ok(PutResult {
            e_tag: None,
            version: None,
            extensions: Extensions::default(),
        })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<Vec<bytes::Bytes>> {
        self.0.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        if !matches!(options.target_mode, RenameTargetMode::Overwrite) {
            return self.0.rename_opts(from, to, options).await;
        }
        let from = self.0.path_to_filesystem(from)?;
        let to = self.0.path_to_filesystem(to)?;
        blocking(move || rename(&from, &to)).await
    }
}

/// Does file work on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(failed(error)),
    }
}

/// Writes an object, whole and durable; a new one only where the name is free.
fn put(path: &LocalPath, payload: &PutPayload, is_new: bool) -> Result<()> {
    let (file, staged) = stage(path)?;
    let link: Naming = |from, to| fs::hard_link(from, to);
    let named = fill(file, payload).map_err(failed).and_then(|()| {
        if is_new {
            name(&staged, path, link, rename_new)
        } else {
            fs::rename(&staged, path).map_err(failed)?;
            Ok(Named::Renamed)
        }
    });
    // After a rename, the staged name may be another writer's already.
    if !matches!(named, Ok(Named::Renamed)) {
        // No listing shows what cannot be removed.
        drop(fs::remove_file(&staged));
    }
    named?;
    sync_parent(path)
}

/// Makes a file under a staged name that is free, and the folders above it.
fn stage(path: &LocalPath) -> Result<(File, PathBuf)> {
    let mut number = 1_u64;
    loop {
        let mut staged = path.as_os_str().to_owned();
        staged.push(format!("#{number}"));
        let staged = PathBuf::from(staged);
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&staged)
        {
            Ok(file) => return Ok((file, staged)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) if error.kind() == ErrorKind::NotFound => create_parent(path)?,
            Err(error) => return Err(failed(error)),
        }
    }
}

fn fill(mut file: File, payload: &PutPayload) -> io::Result<()> {
    for bytes in payload {
        file.write_all(bytes)?;
    }
    file.sync_all()
}

/// How a staged file got its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    /// The file has both names.
    Linked,
    /// The staged name is free.
    Renamed,
}

/// Gives a staged file its name by a hard link, or, where there are none, by a rename that replaces
/// nothing.
fn name(staged: &LocalPath, path: &LocalPath, link: Naming, rename_new: Naming) -> Result<Named> {
    let taken = |error: io::Error| Error::AlreadyExists {
        path: path.display().to_string(),
        source: error.into(),
    };
    let refused = match link(staged, path) {
        Ok(()) => return Ok(Named::Linked),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(taken(error)),
        Err(error) if durable_fs::lacks_links(&error) => error,
        Err(error) => return Err(failed(error)),
    };
    match rename_new(staged, path) {
        Ok(()) => Ok(Named::Renamed),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(taken(error)),
        Err(error) if durable_fs::lacks_links(&error) || durable_fs::lacks(&error) => {
            let folder = path.parent().unwrap_or(path).display();
            Err(Error::NotSupported {
                source: format!(
                    "the file system of {folder} has no hard links ({refused}), without which two \
                     runs could overwrite each other's files: use a folder on another file system, \
                     or a bucket"
                )
                .into(),
            })
        }
        Err(error) => Err(failed(error)),
    }
}

/// Renames a file in one step, unless the name is taken.
#[cfg(target_os = "linux")]
fn rename_new(from: &LocalPath, to: &LocalPath) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

/// Renames a file in one step, unless the name is taken; only Linux has that.
#[cfg(not(target_os = "linux"))]
fn rename_new(_from: &LocalPath, _to: &LocalPath) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// Moves a file, whatever was there, and makes both names durable.
fn rename(from: &LocalPath, to: &LocalPath) -> Result<()> {
    loop {
        match fs::rename(from, to) {
            Ok(()) => break,
            Err(error) if error.kind() == ErrorKind::NotFound && from.exists() => {
                create_parent(to)?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::NotFound {
                    path: from.display().to_string(),
                    source: error.into(),
                });
            }
            Err(error) => return Err(failed(error)),
        }
    }
    sync_parent(to)?;
    if from.parent() != to.parent() {
        sync_parent(from)?;
    }
    Ok(())
}

fn create_parent(path: &LocalPath) -> Result<()> {
    path.parent()
        .map_or(Ok(()), durable_fs::create)
        .map_err(failed)
}

fn sync_parent(path: &LocalPath) -> Result<()> {
    path.parent()
        .map_or(Ok(()), durable_fs::sync)
        .map_err(failed)
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic {
        store: "LocalFileSystem",
        source: Box::new(error),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::io::Errno;

    use super::*;

    fn staged(home: &LocalPath, text: &str) -> io::Result<PathBuf> {
        let staged = home.join("name#1");
        fs::write(&staged, text)?;
        Ok(staged)
    }

    #[test]
    fn without_hard_links_a_name_is_still_given_once() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("name");
        let link: Naming = |_, _| Err(Errno::PERM.into());
        let first = staged(home.path(), "first").unwrap();
        assert_eq!(
            name(&first, &path, link, rename_new).unwrap(),
            Named::Renamed
        );
        let second = staged(home.path(), "second").unwrap();
        let error = name(&second, &path, link, rename_new).unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
    }

    #[test]
    fn where_no_call_creates_exclusively_the_message_says_what_is_missing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("name");
        let file = staged(home.path(), "first").unwrap();
        let link: Naming = |_, _| Err(Errno::OPNOTSUPP.into());
        let error = name(&file, &path, link, |_, _| Err(Errno::INVAL.into())).unwrap_err();
        let said = error.to_string();
        let folder = home.path().display().to_string();
        for word in ["hard links", &folder, "another file system", "a bucket"] {
            assert!(said.contains(word), "{said}");
        }
        assert!(!path.exists());
    }

    #[test]
    fn any_other_failure_of_a_link_stays_one() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("name");
        let file = staged(home.path(), "first").unwrap();
        let link: Naming = |_, _| Err(Errno::IO.into());
        assert!(name(&file, &path, link, rename_new).is_err());
        assert!(!path.exists());
    }
}
