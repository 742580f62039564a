//! From a destination to its store: a folder as it is, or a bucket and its folder on this machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::multipart::MultipartStore;
use sha2::{Digest, Sha256};

use crate::config::location;
use crate::config::location::{BucketUrl, Place, StoreOptions, Target};
use crate::durable_fs;
use crate::error::{Error, Result};
use crate::values::hex::hex;

use super::credentials::Asked;
use super::local::LocalFolder;
use super::{Store, credentials, failed, providers};

/// How many request times a call to a bucket may take until it is not tried again.
const PATIENCE: u32 = 2;

/// Folder of a bucket of which this machine holds nothing: none has this name.
const NOWHERE: &str = "/nonexistent/rollbook";

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// Parts wait on this machine, and other runs of it see the lock.
    Writing,
    /// Nothing is made.
    Looking,
}

/// What a bucket has beyond a folder.
pub(super) struct Bucket {
    pub(super) url: BucketUrl,
    pub(super) pieces: Arc<dyn MultipartStore>,
    pub(super) options: StoreOptions,
    /// Goes with the last who uses it.
    _folder: Option<tempfile::TempDir>,
}

impl Store {
    /// The place that a destination names; a folder is made if it does not exist.
    pub(crate) async fn create_at(place: &Place) -> Result<Self> {
        if let Target::Folder(root) = location::parse(&place.dest)? {
            let folder = root.clone();
            durable_fs::blocking("create", &root, move || durable_fs::create(&folder)).await?;
        }
        Self::open_at(place).await
    }

    /// The place that a destination names, for a run that writes; it must exist.
    pub(crate) async fn open_at(place: &Place) -> Result<Self> {
        Self::at(place, Use::Writing).await
    }

    /// The same for a command that only looks: of a bucket, nothing is made on this machine.
    pub(crate) async fn look_at(place: &Place) -> Result<Self> {
        Self::at(place, Use::Looking).await
    }

    async fn at(place: &Place, wanted: Use) -> Result<Self> {
        match location::parse(&place.dest)? {
            Target::Folder(root) => {
                let prefix = root.clone();
                durable_fs::blocking("open", &root, move || {
                    let root = prefix
                        .canonicalize()
                        .map_err(Error::file("open", &prefix))?;
                    let objects = LocalFolder::open(&root).map_err(failed("open", ""))?;
                    Ok(Self::on(root, Arc::new(objects)))
                })
                .await
            }
            Target::Bucket(url) => {
                let place = place.clone();
                let shown = PathBuf::from(url.shown(""));
                let open = move || Self::of_bucket(url, place, wanted);
                let (store, unnamed) = durable_fs::blocking("open", &shown, open).await?;
                if let (Some(bucket), Some(unnamed)) = (&store.bucket, unnamed) {
                    credentials::prove(&bucket.url, unnamed).await?;
                }
                Ok(store)
            }
        }
    }

    /// The objects of a local folder.
    pub(super) fn on(root: PathBuf, objects: Arc<dyn ObjectStore>) -> Self {
        Self {
            root,
            objects,
            bucket: None,
            patience: Duration::MAX,
            is_single_writer: false,
        }
    }

    fn of_bucket(url: BucketUrl, place: Place, wanted: Use) -> Result<(Self, Option<Asked>)> {
        let client = providers::connect(&url, &place)?;
        let (root, folder) = if let Some(state_dir) = &place.state_dir {
            // One for each dataset, so that runs of this machine see each other's locks.
            let name = Sha256::digest(format!("{} {}", url.shown(""), client.endpoint));
            let name = hex(&name).chars().take(16).collect::<String>();
            let root = state_dir.join("buckets").join(name);
            if wanted == Use::Writing {
                durable_fs::create_private(&root)?;
            }
            (root, None)
        } else if wanted == Use::Writing {
            let folder = tempfile::tempdir().map_err(|error| {
                Error::Config(format!(
                    "{}: parts wait on this machine until they are in the bucket, and no temporary \
                     folder can be made ({error}); name a folder that this user can write to as \
                     state_dir (--state-dir)",
                    url.shown("")
                ))
            })?;
            (folder.path().to_owned(), Some(folder))
        } else {
            (PathBuf::from(NOWHERE), None)
        };
        let store = Self {
            root,
            objects: client.objects,
            bucket: Some(Arc::new(Bucket {
                url,
                pieces: client.pieces,
                options: place.options,
                _folder: folder,
            })),
            patience: client.timeout * PATIENCE,
            is_single_writer: false,
        };
        Ok((store, client.unnamed))
    }

    /// A bucket in memory.
    #[cfg(test)]
    pub(super) fn in_memory(objects: Arc<object_store::memory::InMemory>) -> Self {
        Self::in_bucket(PathBuf::new(), Arc::clone(&objects) as _, objects)
    }

    /// A bucket of these objects, of which this machine has a folder.
    #[cfg(test)]
    pub(super) fn in_bucket(
        root: PathBuf,
        objects: Arc<dyn ObjectStore>,
        pieces: Arc<dyn MultipartStore>,
    ) -> Self {
        let Ok(Target::Bucket(url)) = location::parse("s3://memory") else {
            panic!("a bucket");
        };
        let bucket = Bucket {
            url,
            pieces,
            options: StoreOptions::default(),
            _folder: None,
        };
        Self {
            bucket: Some(Arc::new(bucket)),
            ..Self::on(root, objects)
        }
    }
}
