//! A part's way into a bucket: from a local file, in pieces of a fixed size.
//!
//! A few pieces are in memory at once, however large the part is. An upload in pieces is noted
//! beside the object before its first piece, so that whoever clears up after a run that was killed
//! can abort it: what is not whole is billed, and no listing shows it.

use std::fs::File;
use std::io::Read;
use std::path::Path as LocalPath;
use std::sync::Arc;

use bytes::Bytes;
use object_store::PutPayload;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use tokio::task::JoinSet;

use crate::crash::{Point, point};
use crate::error::{Error, Result};
use crate::folder;

use super::patience::patiently;
use super::{Store, parse};

/// Bytes of a piece; a file up to this size is sent at once.
const PIECE: u64 = 8 << 20;

/// Pieces that are sent at the same time.
const AT_ONCE: usize = 3;

/// Pieces that a store takes for one object at most.
const MOST: u64 = 10_000;

/// Ends the name of an upload's note.
const NOTE: &str = ".upload";

/// Whether an object notes an upload.
pub(crate) fn is_note(path: &str) -> bool {
    path.ends_with(NOTE)
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
        let source = folder::blocking("open", file, opening).await?;
        if bytes <= PIECE {
            let whole = next_piece(&source, file, PIECE + 1).await?;
            self.write(to, whole).await?;
            point(Point::PieceSent);
        } else {
            let size = PIECE.max(bytes.div_ceil(MOST).next_multiple_of(1 << 20));
            let place = parse("upload", to)?;
            let note = format!("{to}{NOTE}");
            let id = self.begin_upload(&place, to).await?;
            self.write(&note, id.clone().into()).await?;
            let sent = self
                .send_pieces((&source, file, bytes), size, (&place, to), &id)
                .await;
            if let Err(error) = sent {
                // What it comes to is told by the first failure alone.
                drop(self.abort_upload(&note).await);
                return Err(error);
            }
            self.remove(&note).await?;
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

    /// Ends an upload that was never finished, by its note; it is fine if it is over already.
    pub(crate) async fn abort_upload(&self, note: &str) -> Result<()> {
        let id = self.read(note).await?;
        let id = id.and_then(|id| String::from_utf8(id.into()).ok());
        if let (Some(id), Some(to)) = (id, note.strip_suffix(NOTE)) {
            let place = parse("upload", to)?;
            let pieces = self.pieces()?;
            let aborted = patiently(self.patience, || pieces.abort_multipart(&place, &id)).await;
            match aborted {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed("abort the upload of", to)(error)),
            }
        }
        self.remove(note).await
    }

    async fn begin_upload(&self, place: &Path, to: &str) -> Result<String> {
        let pieces = self.pieces()?;
        patiently(self.patience, || pieces.create_multipart(place))
            .await
            .map_err(self.failed("upload", to))
    }

    async fn send_pieces(
        &self,
        (source, file, bytes): (&File, &LocalPath, u64),
        size: u64,
        (place, to): (&Path, &str),
        id: &String,
    ) -> Result<()> {
        let pieces = self.pieces()?;
        // Dropped, it stops those that are on their way.
        let mut sending = JoinSet::new();
        let mut sent: Vec<Option<PartId>> = Vec::new();
        let mut is_over = false;
        loop {
            while !is_over && sending.len() < AT_ONCE {
                let number = sent.len();
                let piece = next_piece(source, file, size).await?;
                is_over = (number as u64 + 1) * size >= bytes;
                let (pieces, place, id) = (Arc::clone(&pieces), place.clone(), id.clone());
                let patience = self.patience;
                sending.spawn(async move {
                    let sent = patiently(patience, || {
                        let piece = PutPayload::from_bytes(piece.clone());
                        pieces.put_part(&place, &id, number, piece)
                    });
                    (number, sent.await)
                });
                sent.push(None);
            }
            let Some(done) = sending.join_next().await else {
                break;
            };
            let what = "the upload of a piece";
            let (number, part) = done.map_err(|source| Error::Task { what, source })?;
            let part = part.map_err(self.failed("upload", to))?;
            if let Some(slot) = sent.get_mut(number) {
                *slot = Some(part);
            }
            point(Point::PieceSent);
        }
        let parts: Vec<_> = sent.into_iter().flatten().collect();
        let completed = patiently(self.patience, || {
            pieces.complete_multipart(place, id, parts.clone())
        })
        .await;
        match completed {
            Ok(_) => Ok(()),
            // The answer may have been lost: an upload that is complete is not there any more.
            Err(_) if self.size(to).await? == Some(bytes) => Ok(()),
            Err(error) => Err(self.failed("upload", to)(error)),
        }
    }

    fn pieces(&self) -> Result<Arc<dyn MultipartStore>> {
        let bucket = self.bucket.as_ref();
        bucket
            .map(|bucket| Arc::clone(&bucket.pieces))
            .ok_or_else(|| Error::Config("a folder takes no uploads".to_owned()))
    }
}

/// The next bytes of a file, as many as are there.
async fn next_piece(source: &File, path: &LocalPath, size: u64) -> Result<Bytes> {
    let mut source = source.try_clone().map_err(Error::file("read", path))?;
    let place = path.to_owned();
    folder::blocking("read", path, move || {
        let mut piece = Vec::new();
        let read = Read::by_ref(&mut source).take(size).read_to_end(&mut piece);
        read.map_err(Error::file("read", &place))?;
        Ok(piece.into())
    })
    .await
}
