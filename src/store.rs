//! Where a dataset lies: named objects that are created once, moved and listed.
//!
//! The only place that knows `object_store`. Today it is a local folder; a bucket fits behind the
//! same few calls, with parts uploaded from a local staging folder. What may pass is tried again.
//! It decides nothing: what is committed is the ledger's business.

#[cfg(test)]
mod faulty;
mod patience;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use crate::error::{Error, Result};
use crate::folder;

use self::patience::patiently;

#[cfg(test)]
pub(crate) use self::faulty::{Call, Fault, Faulty, Operation};

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
#[derive(Clone, Debug)]
pub(crate) struct Store {
    root: PathBuf,
    objects: Arc<dyn ObjectStore>,
    /// The store was seen to create a name a second time: whoever comes second is not told.
    is_single_writer: bool,
}

impl Store {
    /// The place that a destination names; made if it does not exist.
    pub(crate) async fn create_at(dest: &str) -> Result<Self> {
        let root = local_root(dest)?;
        let folder = root.clone();
        folder::blocking("create", &root, move || folder::create(&folder)).await?;
        Self::open_at(dest).await
    }

    /// The place that a destination names; it must exist.
    pub(crate) async fn open_at(dest: &str) -> Result<Self> {
        let root = local_root(dest)?;
        let prefix = root.clone();
        folder::blocking("open", &root, move || {
            let root = prefix
                .canonicalize()
                .map_err(Error::file("open", &prefix))?;
            let objects = LocalFileSystem::new_with_prefix(&root)
                .map_err(failed("open", ""))?
                // Contents and names are synced before a call says that they are there.
                .with_fsync(true);
            Ok(Self {
                root,
                objects: Arc::new(objects),
                is_single_writer: false,
            })
        })
        .await
    }

    /// An object as a local file.
    pub(crate) fn local(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Tries out whether the store creates a name only once, under a name that nobody else has.
    pub(crate) async fn probe(&mut self, path: &str) -> Result<()> {
        // Whether the first one's answer came does not matter; the second must be refused.
        self.create(path, "first".into()).await?;
        self.is_single_writer = self.create(path, "second".into()).await?;
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
        let put = patiently(|| {
            let payload = PutPayload::from_bytes(bytes.clone());
            self.objects
                .put_opts(&place, payload, PutMode::Create.into())
        });
        match put.await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(failed("create", path)(error)),
        }
    }

    /// An object's bytes, or nothing where there is no such object.
    pub(crate) async fn read(&self, path: &str) -> Result<Option<Bytes>> {
        let place = parse("read", path)?;
        let read = patiently(async || {
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
            Err(error) => Err(failed("read", path)(error)),
        }
    }

    /// An object's size, or nothing where there is no such object.
    pub(crate) async fn size(&self, path: &str) -> Result<Option<u64>> {
        let place = parse("read", path)?;
        match patiently(|| self.objects.head(&place)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("read", path)(error)),
        }
    }

    /// The objects directly in a folder (`""` is the dataset's own), by name.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<Object>> {
        let prefix = parse("list", folder)?;
        let mut objects: Vec<_> = patiently(|| self.objects.list_with_delimiter(Some(&prefix)))
            .await
            .map_err(failed("list", folder))?
            .objects
            .into_iter()
            .map(|object| Object {
                path: object.location.to_string(),
                bytes: object.size,
                modified: object.last_modified,
            })
            .collect();
        objects.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(objects)
    }

    /// The sizes of the objects directly in a folder, by path.
    pub(crate) async fn sizes(&self, folder: &str) -> Result<HashMap<String, u64>> {
        let objects = self.list(folder).await?.into_iter();
        Ok(objects.map(|object| (object.path, object.bytes)).collect())
    }

    /// Moves an object to its final name, durably; says whether there was one to move. Where an
    /// answer was lost, it says no though there was: what has the final name decides.
    pub(crate) async fn publish(&self, from: &str, to: &str) -> Result<bool> {
        let (place, aim) = (parse("publish", from)?, parse("publish", to)?);
        match patiently(|| self.objects.rename(&place, &aim)).await {
            Ok(()) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failed("publish", to)(error)),
        }
    }

    /// Removes an object; it is fine if it is gone already.
    pub(crate) async fn remove(&self, path: &str) -> Result<()> {
        let place = parse("remove", path)?;
        match patiently(|| self.objects.delete(&place)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("remove", path)(error)),
        }
    }
}

fn local_root(dest: &str) -> Result<PathBuf> {
    match dest.split_once("://") {
        Some((scheme, _)) => Err(Error::Config(format!(
            "{dest}: {scheme} destinations are not supported; use a folder"
        ))),
        None if dest.is_empty() => Err(Error::Config("the destination is empty".to_owned())),
        None => Ok(PathBuf::from(dest)),
    }
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
    use super::*;

    async fn store() -> (tempfile::TempDir, Store) {
        let home = tempfile::tempdir().unwrap();
        let dest = home.path().join("lake/attendance");
        let store = Store::create_at(dest.to_str().unwrap()).await.unwrap();
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
        assert!(store.publish("staging/x", "part").await.unwrap());
        assert!(!store.publish("staging/x", "part").await.unwrap());
        assert_eq!(store.size("part").await.unwrap(), Some(1));
        assert_eq!(store.size("staging/x").await.unwrap(), None);
        store.remove("part").await.unwrap();
        store.remove("part").await.unwrap();
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
    async fn a_bucket_is_refused_by_name() {
        let error = Store::create_at("s3://lake/x").await.unwrap_err();
        assert!(error.to_string().contains("s3 destinations"), "{error}");
    }
}
