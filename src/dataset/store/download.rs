//! Objects as files on this machine, read from a bucket one stretch after the other.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::ops::Range;
use std::path::Path as LocalPath;

use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::durable_fs;
use crate::error::{Error, Result};

use super::retry::patiently;
use super::{Store, parse};

/// What is read at once.
const STRETCH: u64 = 8 << 20;

impl Store {
    /// An object as an open file, or nothing where there is no such object. Of a bucket it is a
    /// copy that nobody else sees.
    pub(crate) async fn fetch(&self, path: &str) -> Result<Option<File>> {
        let local = self.local(path);
        if !self.is_remote() {
            let place = local.clone();
            return durable_fs::blocking("open", &local, move || open(&place)).await;
        }
        let Some(bytes) = self.size(path).await? else {
            return Ok(None);
        };
        let place = parse("read", path)?;
        let root = self.root.clone();
        let create = move || temporary(&root).map_err(Error::file("create", &root));
        let mut file = durable_fs::blocking("create", &local, create).await?;
        let mut from = 0;
        while from < bytes {
            let end = bytes.min(from + STRETCH);
            let stretch = match self.stretch(&place, from..end).await {
                Ok(stretch) => stretch,
                // Somebody else moved it on.
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(self.failed("read", path)(error)),
            };
            from = end;
            let place = local.clone();
            file = durable_fs::blocking("write", &local, move || {
                file.write_all(&stretch)
                    .map_err(Error::file("write", &place))?;
                Ok(file)
            })
            .await?;
        }
        file.rewind().map_err(Error::file("read", &local))?;
        Ok(Some(file))
    }

    /// Some bytes of an object that is there.
    pub(super) async fn stretch(
        &self,
        place: &Path,
        range: Range<u64>,
    ) -> object_store::Result<Bytes> {
        let wanted = range.end - range.start;
        let read = patiently(self.patience, async || {
            let stretch = self.objects.get_range(place, range.clone()).await?;
            match stretch.len() as u64 {
                got if got == wanted => Ok(stretch),
                got => Err(object_store::Error::Generic {
                    store: "bucket",
                    source: format!("{got} of {wanted} bytes came").into(),
                }),
            }
        });
        read.await
    }
}

/// A file without a name: in this folder, else in the system's own for such, else in memory. A command
/// that only looks must not need a writable place.
fn temporary(folder: &LocalPath) -> io::Result<File> {
    let file = tempfile::tempfile_in(folder).or_else(|_| tempfile::tempfile());
    #[cfg(target_os = "linux")]
    let file = file.or_else(|_| {
        let memory = rustix::fs::memfd_create("rollbook", rustix::fs::MemfdFlags::CLOEXEC)?;
        Ok(File::from(memory))
    });
    file
}

/// A local file, or nothing where there is none.
fn open(path: &LocalPath) -> Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("open", path)(error)),
    }
}
