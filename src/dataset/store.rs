//! Where a dataset lies: named objects that are created once, moved and listed.
//!
//! The only place that knows `object_store`: a local folder, or a bucket behind the same few calls.
//! Parts are local files first; of a bucket, its folder here holds them until they are uploaded.
//! What may pass is tried again. It decides nothing: what is committed is the ledger's business.

mod connect;
mod credentials;
mod download;
#[cfg(test)]
mod faulty;
mod local;
mod multipart_upload;
mod providers;
mod redact;
mod retry;
mod transport;
mod unsynced;
mod variables;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use crate::durable_fs::Origin;
use crate::error::{Error, Result};
use crate::failpoint::{Point, point};

use self::connect::Bucket;
use self::retry::patiently;

#[cfg(test)]
pub(crate) use self::faulty::{Call, Fault, Faulty, Operation};
pub(crate) use self::multipart_upload::is_note;
pub use self::unsynced::unsynced;
pub(crate) use self::unsynced::unsynced_by_run;

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// Its path inside the dataset.
    pub(crate) path: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// When its contents changed last, by the clock of the store.
    pub(crate) modified: DateTime<Utc>,
}

/// The place of one dataset.
#[derive(Clone)]
pub(crate) struct Store {
    /// The dataset, or what this machine holds of one in a bucket.
    root: PathBuf,
    objects: Arc<dyn ObjectStore>,
    bucket: Option<Arc<Bucket>>,
    /// How long a call that fails is tried again.
    patience: Duration,
    /// The store was seen to create a name a second time: whoever comes second is not told.
    is_single_writer: bool,
}

/// Clients know credentials, and are not shown.
impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.shown("")).finish()
    }
}

impl Store {
    /// Whether it lies in a network: there are no locks, and nothing is written in place.
    pub(crate) fn is_remote(&self) -> bool {
        self.bucket.is_some()
    }

    /// Setting that names the folder of its local files.
    pub(crate) fn origin(&self) -> Origin {
        if self.is_remote() {
            Origin::StateDir
        } else {
            Origin::Destination
        }
    }

    /// An object as a local file; of a bucket, where one that is not uploaded yet is.
    pub(crate) fn local(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// An object's name as people know it.
    pub(crate) fn shown(&self, path: &str) -> String {
        match &self.bucket {
            Some(bucket) => bucket.url.shown(path),
            None => self.local(path).display().to_string(),
        }
    }

    /// Tries out whether the store creates a name only once, under a name that nobody else has.
    pub(crate) async fn probe(&mut self, path: &str) -> Result<()> {
        // Whether the first one's answer came does not matter; the second must be refused.
        self.is_single_writer = match self.create(path, "first".into()).await {
            Err(error) if is_not_implemented(&error) => true,
            Err(error) => return Err(error),
            Ok(_) => self.create(path, "second".into()).await?,
        };
        self.remove(path).await
    }

    /// Whether two writers at once would not notice each other here.
    pub(crate) fn is_single_writer(&self) -> bool {
        self.is_single_writer
    }

    /// Creates an object durably if there is none of that name; says whether it did. Where an
    /// answer was lost, it says no though it did: who must know reads it back.
    pub(crate) async fn create(&self, path: &str, bytes: Bytes) -> Result<bool> {
        let place = parse("create", path)?;
        if self.is_single_writer && self.size(path).await?.is_some() {
            return Ok(false);
        }
        // One that ignores the condition, or refuses to hear of it, needs none.
        let mode = if self.is_single_writer {
            PutMode::Overwrite
        } else {
            PutMode::Create
        };
        let put = patiently(self.patience, async || {
            let payload = PutPayload::from_bytes(bytes.clone());
            let put = self.objects.put_opts(&place, payload, mode.clone().into());
            match put.await {
                // Somebody else is about to create it, and may fail to.
                Err(object_store::Error::AlreadyExists { path, source })
                    if self.is_remote() && !self.is_there(&place).await? =>
                {
                    Err(object_store::Error::Generic {
                        store: "bucket",
                        source: format!("{path} is there and is not: {source}").into(),
                    })
                }
                put => put,
            }
        });
        match put.await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(self.failed("create", path)(error)),
        }
    }

    /// Writes an object, whatever was there.
    pub(crate) async fn write(&self, path: &str, bytes: Bytes) -> Result<()> {
        let place = parse("write", path)?;
        let put = patiently(self.patience, || {
            self.objects
                .put(&place, PutPayload::from_bytes(bytes.clone()))
        });
        put.await.map_err(self.failed("write", path))?;
        Ok(())
    }

    async fn is_there(&self, place: &Path) -> object_store::Result<bool> {
        match self.objects.head(place).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// An object's bytes, or nothing where there is no such object.
    pub(crate) async fn read(&self, path: &str) -> Result<Option<Bytes>> {
        let place = parse("read", path)?;
        let read = patiently(self.patience, async || {
            let found = self.objects.get(&place).await?;
            let expected = found.meta.size;
            let bytes = found.bytes().await?;
            if bytes.len() as u64 == expected {
                return Ok(bytes);
            }
            let got = bytes.len();
            Err(object_store::Error::Generic {
                store: "dataset",
                source: format!("{got} of {expected} bytes came").into(),
            })
        });
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", path)(error)),
        }
    }

    /// An object's size, or nothing where there is no such object.
    pub(crate) async fn size(&self, path: &str) -> Result<Option<u64>> {
        let place = parse("read", path)?;
        match patiently(self.patience, || self.objects.head(&place)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", path)(error)),
        }
    }

    /// The objects directly in a folder (`""` is the dataset's own), by name.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<Object>> {
        Ok(self.look(folder).await?.0)
    }

    /// The objects and the folders directly in a folder, by name.
    pub(crate) async fn look(&self, folder: &str) -> Result<(Vec<Object>, Vec<String>)> {
        let prefix = parse("list", folder)?;
        let listed = patiently(self.patience, || {
            self.objects.list_with_delimiter(Some(&prefix))
        });
        let listed = listed.await.map_err(self.failed("list", folder))?;
        let objects = listed.objects.into_iter().map(|object| Object {
            path: object.location.to_string(),
            bytes: object.size,
            modified: object.last_modified,
        });
        let mut objects: Vec<_> = objects.collect();
        // Some stores list a folder that was made as an object in itself.
        objects.retain(|object| object.path != prefix.as_ref());
        objects.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let folders = listed.common_prefixes.iter().map(ToString::to_string);
        let mut folders: Vec<_> = folders.collect();
        folders.sort_unstable();
        Ok((objects, folders))
    }

    /// The sizes of the objects directly in a folder, by path.
    pub(crate) async fn sizes(&self, folder: &str) -> Result<HashMap<String, u64>> {
        let objects = self.list(folder).await?.into_iter();
        Ok(objects.map(|object| (object.path, object.bytes)).collect())
    }

    /// The folders directly in a folder, by name.
    pub(crate) async fn folders(&self, folder: &str) -> Result<Vec<String>> {
        Ok(self.look(folder).await?.1)
    }

    /// Moves an object of this many bytes to its final name, durably; says whether there was one
    /// to move. Where an answer was lost, it says no though there was: what has the final name
    /// decides.
    pub(crate) async fn publish(&self, from: &str, to: &str, bytes: u64) -> Result<bool> {
        let (place, aim) = (parse("publish", from)?, parse("publish", to)?);
        if self.is_remote() {
            let was_there = self.copy(from, to, bytes).await?;
            if was_there {
                point(Point::PartCopied);
                self.remove(from).await?;
            }
            return Ok(was_there);
        }
        match patiently(self.patience, || self.objects.rename(&place, &aim)).await {
            Ok(()) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.failed("publish", to)(error)),
        }
    }

    /// Removes an object; it is fine if it is gone already.
    pub(crate) async fn remove(&self, path: &str) -> Result<()> {
        let place = parse("remove", path)?;
        match patiently(self.patience, || self.objects.delete(&place)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", path)(error)),
        }
    }

    /// The last bytes of an object of this size, or nothing where there is no such object.
    #[cfg(feature = "delta")]
    pub(crate) async fn tail(&self, path: &str, bytes: u64, length: u64) -> Result<Option<Bytes>> {
        let place = parse("read", path)?;
        match self
            .stretch(&place, bytes.saturating_sub(length)..bytes)
            .await
        {
            Ok(tail) => Ok(Some(tail)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", path)(error)),
        }
    }

    /// The objects, for the Delta kernel, which begins at the dataset's own folder.
    #[cfg(feature = "delta")]
    pub(crate) fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.objects)
    }

    /// What somebody says of a failure, without the secrets of whoever came.
    #[cfg(feature = "delta")]
    pub(crate) fn without_secrets(&self, text: String) -> String {
        match &self.bucket {
            None => text,
            Some(bucket) => redact::without_secrets(text, bucket.options.secrets()),
        }
    }

    /// How long a call that fails is tried again.
    #[cfg(feature = "delta")]
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Whether what failed may succeed in a moment.
    #[cfg(feature = "delta")]
    pub(crate) fn may_pass(error: &object_store::Error) -> bool {
        retry::may_pass(error)
    }

    /// What failed, without the secrets of whoever came.
    pub(crate) fn failed(
        &self,
        action: &'static str,
        path: &str,
    ) -> impl FnOnce(object_store::Error) -> Error {
        let bucket = self.bucket.clone();
        let path = path.to_owned();
        move |error| match bucket {
            None => failed(action, &path)(error),
            Some(bucket) => {
                let error = redact::clean(error, bucket.options.secrets());
                failed(action, &bucket.url.shown(&path))(error)
            }
        }
    }
}

/// Whether a store says that it knows no conditions at all.
fn is_not_implemented(error: &Error) -> bool {
    let text = error.chain();
    text.contains("501 Not Implemented") || text.contains("NotImplemented")
}

fn parse(action: &'static str, path: &str) -> Result<Path> {
    Path::parse(path).map_err(|error| failed(action, path)(error.into()))
}

fn failed(action: &'static str, path: &str) -> impl FnOnce(object_store::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Store {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    async fn store() -> (tempfile::TempDir, Store) {
        let home = tempfile::tempdir().unwrap();
        let dest = home.path().join("lake/attendance");
        let place = dest.to_str().unwrap().into();
        let store = Store::create_at(&place).await.unwrap();
        (home, store)
    }

    #[tokio::test]
    async fn a_name_is_created_once() {
        let (_home, store) = store().await;
        assert!(store.create("a/b", "first".into()).await.unwrap());
        assert!(!store.create("a/b", "second".into()).await.unwrap());
        assert_eq!(store.read("a/b").await.unwrap().unwrap(), "first");
        assert_eq!(store.read("a/c").await.unwrap(), None);
    }

    #[tokio::test]
    async fn publishing_twice_is_fine() {
        let (_home, store) = store().await;
        store.create("staging/x", "x".into()).await.unwrap();
        assert!(store.publish("staging/x", "part", 1).await.unwrap());
        assert!(!store.publish("staging/x", "part", 1).await.unwrap());
        assert_eq!(store.size("part").await.unwrap(), Some(1));
        assert_eq!(store.size("staging/x").await.unwrap(), None);
        store.remove("part").await.unwrap();
        store.remove("part").await.unwrap();
    }

    /// Other runs remove the folders of partitions that they find empty, also one that this run has
    /// made a moment ago.
    #[tokio::test]
    async fn a_folder_that_others_remove_meanwhile_is_made_again() {
        let (home, store) = store().await;
        let folder = home.path().join("lake/attendance/join_date=2026-11-01");
        let left = Arc::new(AtomicUsize::new(0));
        let budget = Arc::clone(&left);
        let others = std::thread::spawn(move || {
            loop {
                match budget.load(Ordering::Acquire) {
                    0 => std::thread::yield_now(),
                    usize::MAX => break,
                    _ if std::fs::remove_dir(&folder).is_ok() => {
                        budget.store(0, Ordering::Release);
                    }
                    _ => {}
                }
            }
        });
        for number in 0..20 {
            let (from, to) = (format!("staging/{number}"), "join_date=2026-11-01/part");
            store.create(&from, "x".into()).await.unwrap();
            left.store(1, Ordering::Release);
            assert!(store.publish(&from, to, 1).await.unwrap());
            left.store(1, Ordering::Release);
            store.remove(to).await.unwrap();
            while left.load(Ordering::Acquire) > 0 {
                std::thread::yield_now();
            }
        }
        left.store(usize::MAX, Ordering::Release);
        others.join().unwrap();
    }

    #[tokio::test]
    async fn a_listing_has_the_objects_of_one_folder_by_name() {
        let (_home, store) = store().await;
        for path in ["b", "a", "deep/c"] {
            store.create(path, "12".into()).await.unwrap();
        }
        let names = |objects: Vec<Object>| -> Vec<_> {
            objects.into_iter().map(|object| object.path).collect()
        };
        assert_eq!(names(store.list("").await.unwrap()), ["a", "b"]);
        assert_eq!(names(store.list("deep").await.unwrap()), ["deep/c"]);
        assert!(store.list("nowhere").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn no_path_leaves_the_dataset() {
        let (_home, store) = store().await;
        for path in ["../x", "a/../../x", "a//b"] {
            assert!(store.read(path).await.is_err(), "{path}");
        }
    }

    #[tokio::test]
    async fn an_unknown_scheme_is_refused_by_name() {
        let error = Store::create_at(&"hdfs://lake/x".into()).await.unwrap_err();
        assert!(error.to_string().contains("hdfs://"), "{error}");
    }
}
