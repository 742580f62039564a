//! A part's way into a bucket, and to its final name there, in pieces of a fixed size.
//!
//! A few pieces are in memory at once, however large the part is. An upload in pieces is noted
//! beside the object before its first piece, so that whoever clears up after a run that was killed
//! can abort it: what is not whole is billed, and no listing shows it.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path as LocalPath;
use std::sync::Arc;

use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use tokio::task::JoinSet;

use crate::durable_fs;
use crate::error::{Error, Result};
use crate::failpoint::{Point, point};

use super::retry::patiently;
use super::{Store, parse};

/// Bytes of a piece; a file up to this size is sent at once.
const PIECE: u64 = 8 << 20;

/// Pieces that are sent at the same time.
const AT_ONCE: usize = 3;

/// Pieces that a store takes for one object at most.
const MOST: u64 = 10_000;

/// What S3 copies at once, by itself.
const LARGEST_COPY: u64 = 5 << 30;

/// Ends the name of an upload's note.
const NOTE: &str = ".upload";

/// Whether an object notes an upload.
pub(crate) fn is_note(path: &str) -> bool {
    path.ends_with(NOTE)
}

/// Where pieces come from.
#[derive(Clone, Copy)]
enum Source<'a> {
    File(&'a File, &'a LocalPath),
    Object(&'a Path, &'a str),
}

impl Store {
    /// Puts a local file of this many bytes into the bucket, whole or not at all.
    ///
    /// # Errors
    ///
    /// The file or the store; nothing is left of the upload then, if the store permits that.
    pub(crate) async fn upload(&self, file: &LocalPath, bytes: u64, to: &str) -> Result<()> {
        let place = file.to_owned();
        let opening = move || File::open(&place).map_err(Error::file("open", &place));
        let open = durable_fs::blocking("open", file, opening).await?;
        let source = Source::File(&open, file);
        if bytes <= PIECE {
            let whole = self.piece(source, 0..bytes).await?;
            self.write(to, whole).await?;
            point(Point::PieceSent);
        } else {
            self.send(source, bytes, to, &format!("{to}{NOTE}")).await?;
        }
        match self.size(to).await? {
            Some(there) if there == bytes => Ok(()),
            there => Err(Error::Dataset {
                path: self.shown(to),
                reason: format!(
                    "{bytes} bytes were sent, and the store has {}",
                    there.map_or("none".to_owned(), |there| there.to_string())
                ),
            }),
        }
    }

    /// Copies an object inside the bucket; says whether there was one.
    pub(super) async fn copy(&self, from: &str, to: &str, bytes: u64) -> Result<bool> {
        let (place, aim) = (parse("copy", from)?, parse("copy", to)?);
        if bytes > LARGEST_COPY {
            return self.copy_in_pieces((&place, from), to, bytes).await;
        }
        let copied = patiently(self.patience, async || {
            self.objects.copy(&place, &aim).await?;
            // Whoever has no other copy does not take the store's word for it.
            match self.objects.head(&aim).await?.size {
                there if there == bytes => Ok(()),
                there => Err(object_store::Error::Generic {
                    store: "bucket",
                    source: format!("{there} of {bytes} bytes were copied").into(),
                }),
            }
        });
        match copied.await {
            Ok(()) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.failed("publish", to)(error)),
        }
    }

    /// The same by way of this machine.
    async fn copy_in_pieces(
        &self,
        (place, from): (&Path, &str),
        to: &str,
        bytes: u64,
    ) -> Result<bool> {
        if self.size(from).await?.is_none() {
            return Ok(false);
        }
        let source = Source::Object(place, from);
        self.send(source, bytes, to, &format!("{from}{NOTE}"))
            .await?;
        Ok(true)
    }

    /// Ends an upload that was never finished, by its note; it is fine if it is over already.
    pub(crate) async fn abort_upload(&self, note: &str) -> Result<()> {
        let told = self.read(note).await?;
        let told = told.and_then(|told| String::from_utf8(told.into()).ok());
        if let Some((to, id)) = told.as_deref().and_then(|told| told.split_once('\n')) {
            let (place, id) = (parse("upload", to)?, id.to_owned());
            let pieces = self.pieces()?;
            let aborted = patiently(self.patience, || pieces.abort_multipart(&place, &id)).await;
            match aborted {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed("abort the upload of", to)(error)),
            }
        }
        self.remove(note).await
    }

    /// Sends all pieces of a source, with a note while it lasts.
    async fn send(&self, source: Source<'_>, bytes: u64, to: &str, note: &str) -> Result<()> {
        let place = parse("upload", to)?;
        let pieces = self.pieces()?;
        let id = patiently(self.patience, || pieces.create_multipart(&place))
            .await
            .map_err(self.failed("upload", to))?;
        self.write(note, format!("{to}\n{id}").into()).await?;
        let sent = self.send_pieces(source, bytes, (&place, to), &id).await;
        if let Err(error) = sent {
            // What it comes to is told by the first failure alone.
            drop(self.abort_upload(note).await);
            return Err(error);
        }
        self.remove(note).await
    }

    async fn send_pieces(
        &self,
        source: Source<'_>,
        bytes: u64,
        (place, to): (&Path, &str),
        id: &String,
    ) -> Result<()> {
        let size = PIECE.max(bytes.div_ceil(MOST).next_multiple_of(1 << 20));
        let pieces = self.pieces()?;
        // Dropped, it stops those that are on their way.
        let mut sending = JoinSet::new();
        let mut sent: Vec<Option<PartId>> = Vec::new();
        let mut from = 0;
        loop {
            while from < bytes && sending.len() < AT_ONCE {
                let end = bytes.min(from + size);
                let piece = self.piece(source, from..end).await?;
                from = end;
                let number = sent.len();
                sent.push(None);
                let (pieces, place, id) = (Arc::clone(&pieces), place.clone(), id.clone());
                let patience = self.patience;
                sending.spawn(async move {
                    let sent = patiently(patience, || {
                        let piece = PutPayload::from_bytes(piece.clone());
                        pieces.put_part(&place, &id, number, piece)
                    });
                    (number, sent.await)
                });
            }
            let Some(done) = sending.join_next().await else {
                break;
            };
            let (number, part) = done.map_err(Error::task("the upload of a piece"))?;
            let part = part.map_err(self.failed("upload", to))?;
            if let Some(slot) = sent.get_mut(number) {
                *slot = Some(part);
            }
            point(Point::PieceSent);
        }
        let parts: Vec<_> = sent.into_iter().flatten().collect();
        let completed = patiently(self.patience, || {
            pieces.complete_multipart(place, id, parts.clone())
        });
        match completed.await {
            Ok(_) => Ok(()),
            // The answer may have been lost: an upload that is complete is not there any more.
            Err(_) if self.size(to).await? == Some(bytes) => Ok(()),
            Err(error) => Err(self.failed("upload", to)(error)),
        }
    }

    async fn piece(&self, source: Source<'_>, range: Range<u64>) -> Result<Bytes> {
        match source {
            Source::File(file, path) => next_piece(file, path, range.end - range.start).await,
            Source::Object(place, path) => {
                let stretch = self.stretch(place, range).await;
                stretch.map_err(self.failed("read", path))
            }
        }
    }

    fn pieces(&self) -> Result<Arc<dyn MultipartStore>> {
        let pieces = self.bucket.as_ref().map(|bucket| &bucket.pieces);
        let pieces = pieces.map(Arc::clone);
        pieces.ok_or_else(|| Error::Config("a folder takes no uploads".to_owned()))
    }
}

/// The next bytes of a file, as many as are there.
async fn next_piece(source: &File, path: &LocalPath, size: u64) -> Result<Bytes> {
    let mut source = source.try_clone().map_err(Error::file("read", path))?;
    let place = path.to_owned();
    durable_fs::blocking("read", path, move || {
        let mut piece = Vec::new();
        let read = Read::by_ref(&mut source).take(size).read_to_end(&mut piece);
        read.map_err(Error::file("read", &place))?;
        Ok(piece.into())
    })
    .await
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn what_is_too_large_to_be_copied_at_once_is_copied_in_pieces() {
        let store = Store::in_memory(Arc::new(InMemory::new()));
        let bytes = 2 * PIECE + 5;
        let part: Vec<_> = (0..bytes).map(|at| (at % 251) as u8).collect();
        store.write("staging/x", part.clone().into()).await.unwrap();
        let place = parse("copy", "staging/x").unwrap();
        let from = (&place, "staging/x");
        assert!(store.copy_in_pieces(from, "part", bytes).await.unwrap());
        assert_eq!(store.read("part").await.unwrap().unwrap(), part);
        let names: Vec<_> = store.list("staging").await.unwrap();
        assert_eq!(names.len(), 1, "{names:?}");
        let place = parse("copy", "staging/y").unwrap();
        let from = (&place, "staging/y");
        assert!(!store.copy_in_pieces(from, "other", bytes).await.unwrap());
    }
}
