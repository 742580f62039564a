//! A store that fails by script, for the tests of what must be true afterwards.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, Extensions, GetOptions, GetResult, GetResultPayload,
    ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use super::Store;

/// What a store is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Put,
    Get,
    List,
    Copy,
    Delete,
    Rename,
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// From 0, over all operations.
    pub(crate) number: u64,
    pub(crate) operation: Operation,
    pub(crate) path: String,
}

/// What goes wrong with it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It fails, and nothing has happened.
    Before,
    /// It happens, and the answer is lost.
    AnswerLost,
    /// It is refused for good.
    Denied,
    /// The system refuses it.
    System(io::ErrorKind),
    /// It takes its time.
    Slow(Duration),
    /// Half of what is read comes.
    Short,
}

/// Which call meets with which fault.
type Script = dyn FnMut(&Call) -> Option<Fault> + Send;

/// A local store that fails by script.
#[derive(Clone)]
pub(crate) struct Faulty(Arc<Inner>);

struct Inner {
    objects: LocalFileSystem,
    calls: AtomicU64,
    faults: AtomicU64,
    script: Mutex<Box<Script>>,
    /// Moves are a copy and a removal, as in a bucket.
    moves_by_copy: bool,
    ignores_create: bool,
}

impl Faulty {
    /// A folder as a store; not synced, since no power is lost here.
    pub(crate) fn new(
        root: &std::path::Path,
        script: impl FnMut(&Call) -> Option<Fault> + Send + 'static,
    ) -> Self {
        std::fs::create_dir_all(root).unwrap();
        Self(Arc::new(Inner {
            objects: LocalFileSystem::new_with_prefix(root).unwrap(),
            calls: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            script: Mutex::new(Box::new(script)),
            moves_by_copy: false,
            ignores_create: false,
        }))
    }

    pub(crate) fn moving_by_copy(mut self) -> Self {
        Arc::get_mut(&mut self.0).unwrap().moves_by_copy = true;
        self
    }

    pub(crate) fn ignoring_create(mut self) -> Self {
        Arc::get_mut(&mut self.0).unwrap().ignores_create = true;
        self
    }

    /// Calls that met with a fault.
    pub(crate) fn faults(&self) -> u64 {
        self.0.faults.load(Ordering::Relaxed)
    }

    /// A dataset's place on this store.
    pub(crate) fn store(&self, root: &std::path::Path) -> Store {
        Store::on(root.to_owned(), Arc::new(self.clone()))
    }

    /// The same as a bucket, of which this machine has that folder; it takes no pieces.
    pub(crate) fn bucket(&self, root: &std::path::Path) -> Store {
        std::fs::create_dir_all(root).unwrap();
        let pieces = Arc::new(InMemory::new());
        Store::in_bucket(root.to_owned(), Arc::new(self.clone()), pieces)
    }

    /// Lets a call happen, or not, as the script says.
    async fn call<T>(
        &self,
        operation: Operation,
        path: &Path,
        work: BoxFuture<'_, Result<T>>,
    ) -> Result<(T, Option<Fault>)> {
        let call = Call {
            number: self.0.calls.fetch_add(1, Ordering::Relaxed),
            operation,
            path: path.to_string(),
        };
        let fault = (self.0.script.lock().unwrap())(&call);
        if fault.is_some() {
            self.0.faults.fetch_add(1, Ordering::Relaxed);
        }
        match fault {
            Some(Fault::Before) => return Err(generic("503 Service Unavailable")),
            Some(Fault::System(kind)) => return Err(generic(io::Error::from(kind))),
            Some(Fault::Denied) => {
                return Err(Error::PermissionDenied {
                    path: call.path,
                    source: "403 Forbidden".into(),
                });
            }
            Some(Fault::Slow(delay)) => tokio::time::sleep(delay).await,
            Some(Fault::AnswerLost | Fault::Short) | None => {}
        }
        let done = work.await?;
        match fault {
            Some(Fault::AnswerLost) => Err(generic("connection reset")),
            fault => Ok((done, fault)),
        }
    }
}

fn generic(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic {
        store: "faulty",
        source: source.into(),
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").finish_non_exhaustive()
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> Result<PutResult> {
        if self.0.ignores_create {
            options.mode = PutMode::Overwrite;
        }
        let work = self.0.objects.put_opts(location, payload, options);
        let (put, _) = self.call(Operation::Put, location, work).await?;
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(generic("nobody asks for this"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let is_head = options.head;
        let work = self.0.objects.get_opts(location, options);
        let (found, fault) = self.call(Operation::Get, location, work).await?;
        if is_head {
            return Ok(found);
        }
        let (meta, range) = (found.meta.clone(), found.range.clone());
        let mut bytes = found.bytes().await?;
        if let Some(Fault::Short) = fault {
            bytes.truncate(bytes.len() / 2);
        }
        Ok(GetResult {
            payload: as_sent(bytes),
            meta,
            range,
            attributes: Attributes::default(),
            extensions: Extensions::default(),
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        locations
            .then(move |location| {
                let this = this.clone();
                async move {
                    let location = location?;
                    let work = this.0.objects.delete(&location);
                    let work = Box::pin(work);
                    this.call(Operation::Delete, &location, work).await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, prefix) = (self.clone(), prefix.cloned());
        let listed = async move {
            let folder = prefix.clone().unwrap_or_default();
            let work = this.0.objects.list(prefix.as_ref()).try_collect::<Vec<_>>();
            let listed = this.call(Operation::List, &folder, Box::pin(work)).await;
            listed.map(|(objects, _)| stream::iter(objects.into_iter().map(Ok)))
        };
        stream::once(listed).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let folder = prefix.cloned().unwrap_or_default();
        let work = self.0.objects.list_with_delimiter(prefix);
        let (listed, _) = self.call(Operation::List, &folder, work).await?;
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, _options: CopyOptions) -> Result<()> {
        // Not by a link, as the local store does it: of a copy that is made again nothing is left.
        let objects = &self.0.objects;
        // Before the script is asked: what it does meanwhile happens in the middle of the copy.
        let bytes = objects.get(from).await?.bytes().await?;
        let work = async {
            objects.put(to, bytes.into()).await?;
            Ok(())
        };
        self.call(Operation::Copy, to, Box::pin(work)).await?;
        Ok(())
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        if self.0.moves_by_copy {
            self.copy_opts(from, to, CopyOptions::default()).await?;
            return self.delete(from).await;
        }
        let work = self.0.objects.rename_opts(from, to, options);
        self.call(Operation::Rename, to, work).await?;
        Ok(())
    }
}

/// Bytes as a store sends them.
fn as_sent(bytes: Bytes) -> GetResultPayload {
    GetResultPayload::Stream(stream::once(async move { Ok(bytes) }).boxed())
}
