//! The bytes of a spool file: frames, each with its lengths and its checksum before it.
//!
//! A frame is torn, altered or whole; only a whole one is believed. Pure: what it means that a
//! frame is there is the spool's business.

use std::io::{self, Read, Seek, SeekFrom, Write};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::PageKey;
use crate::values::ConfUuid;

/// Version of the files' form.
pub(super) const SPOOL_VERSION: u32 = 1;

/// Length of the head, length of the body, checksum of these and of both.
const PREFIX: usize = 4 + 4 + 32;

/// Longest head that is believed; none that is written is nearly as long.
const LONGEST_HEAD: u32 = 64 << 10;

/// What a frame is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Head {
    /// The first of a file: what all its pages answer.
    Spool {
        /// [`SPOOL_VERSION`].
        version: u32,
        /// Version of the records' columns.
        schema_version: u32,
        /// Digest of the question.
        question: String,
    },
    /// One page; its records are the body.
    Page(PageHead),
    /// The pages of this meeting are void, up to a walk.
    Void {
        /// The meeting.
        meeting: ConfUuid,
        /// The first walk whose pages are not, counted over all runs.
        before: u32,
    },
}

/// A page without its records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PageHead {
    /// What was asked.
    pub(super) key: PageKey,
    /// When it was answered.
    pub(super) fetched_at: DateTime<Utc>,
    /// The server's name for the request.
    pub(super) request_id: Option<String>,
    /// The offset that the answer claims.
    pub(super) offset: Option<i64>,
    /// The limit that the answer claims.
    pub(super) limit: Option<i64>,
    /// The API's `count`.
    pub(super) count: u64,
    /// Rows in which a lone surrogate was replaced.
    pub(super) replaced: Vec<usize>,
}

/// Where a frame is in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) start: u64,
    head: u32,
    body: u32,
}

impl Place {
    fn end(self) -> u64 {
        self.start + PREFIX as u64 + u64::from(self.head) + u64::from(self.body)
    }
}

/// All of a frame but its body, which follows it.
pub(super) fn front(head: &Head, body: &[u8]) -> io::Result<Vec<u8>> {
    let head = serde_json::to_vec(head)?;
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(io::Error::other);
    let mut front = Vec::with_capacity(PREFIX + head.len());
    front.write_all(&length(&head)?.to_le_bytes())?;
    front.write_all(&length(body)?.to_le_bytes())?;
    let sum = checksum(&front, &head, body);
    front.write_all(&sum)?;
    front.write_all(&head)?;
    Ok(front)
}

/// The heads of all frames of a file up to the first that is torn. A body is not looked at before
/// it is wanted; a head without one is checked at once.
pub(super) fn heads(file: &mut (impl Read + Seek)) -> io::Result<Vec<(Head, Place)>> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut heads = Vec::new();
    let mut start = 0;
    while let Some(place) = place(file, start, end)? {
        let read = if place.body == 0 {
            read(file, place)?.map(|(head, _)| head)
        } else {
            let mut head = vec![0; place.head as usize];
            file.read_exact(&mut head)?;
            serde_json::from_slice(&head).ok()
        };
        let Some(head) = read else {
            break;
        };
        heads.push((head, place));
        start = place.end();
    }
    Ok(heads)
}

/// A frame's head and body, if they are as they were written.
pub(super) fn read(
    file: &mut (impl Read + Seek),
    place: Place,
) -> io::Result<Option<(Head, Vec<u8>)>> {
    file.seek(SeekFrom::Start(place.start))?;
    let mut prefix = [0; PREFIX];
    let mut head = vec![0; place.head as usize];
    let mut body = vec![0; place.body as usize];
    for bytes in [&mut prefix[..], &mut head, &mut body] {
        match file.read_exact(bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let (lengths, sum) = prefix.split_at(8);
    if checksum(lengths, &head, &body)[..] != *sum {
        return Ok(None);
    }
    Ok(serde_json::from_slice(&head).ok().map(|head| (head, body)))
}

/// The place of the frame that begins here, if all of it can be there. Leaves the file at its
/// head.
fn place(file: &mut (impl Read + Seek), start: u64, end: u64) -> io::Result<Option<Place>> {
    if end.saturating_sub(start) < PREFIX as u64 {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(start))?;
    let mut prefix = [0; PREFIX];
    file.read_exact(&mut prefix)?;
    let [h0, h1, h2, h3, b0, b1, b2, b3, ..] = prefix;
    let place = Place {
        start,
        head: u32::from_le_bytes([h0, h1, h2, h3]),
        body: u32::from_le_bytes([b0, b1, b2, b3]),
    };
    Ok((place.head <= LONGEST_HEAD && place.end() <= end).then_some(place))
}

fn checksum(lengths: &[u8], head: &[u8], body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(lengths);
    hash.update(head);
    hash.update(body);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn void(meeting: &str) -> Head {
        let meeting = meeting.parse().unwrap();
        Head::Void { meeting, before: 1 }
    }

    fn frames(bodies: &[Vec<u8>]) -> (Vec<u8>, Vec<Head>) {
        let mut bytes = Vec::new();
        let mut heads = Vec::new();
        for (number, body) in bodies.iter().enumerate() {
            let head = void(&format!("m{number}"));
            bytes.extend(front(&head, body).unwrap());
            bytes.extend(body);
            heads.push(head);
        }
        (bytes, heads)
    }

    /// Every frame that is believed.
    fn believed(bytes: &[u8]) -> Vec<(Head, Vec<u8>)> {
        let mut file = Cursor::new(bytes);
        let places = heads(&mut file).unwrap();
        let read = |(_, place)| read(&mut file, place).unwrap();
        places.into_iter().filter_map(read).collect()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(bodies in prop::collection::vec(any::<Vec<u8>>(), 0..6)) {
            let (bytes, heads) = frames(&bodies);
            prop_assert_eq!(believed(&bytes), heads.into_iter().zip(bodies).collect::<Vec<_>>());
        }

        #[test]
        fn a_torn_file_gives_the_frames_before_the_tear(
            bodies in prop::collection::vec(any::<Vec<u8>>(), 1..6),
            cut: prop::sample::Index,
        ) {
            let (bytes, heads) = frames(&bodies);
            let cut = cut.index(bytes.len());
            let is_whole = |frames_before: &usize| frames(&bodies[..*frames_before]).0.len() <= cut;
            let whole = (0..=bodies.len()).rfind(is_whole).unwrap();
            let expected = heads.into_iter().zip(bodies.clone()).take(whole);
            prop_assert_eq!(believed(&bytes[..cut]), expected.collect::<Vec<_>>());
        }

        #[test]
        fn an_altered_frame_is_not_believed(
            bodies in prop::collection::vec(any::<Vec<u8>>(), 1..6),
            at: prop::sample::Index,
            flip in 1_u8..,
        ) {
            let (mut bytes, heads) = frames(&bodies);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let written: Vec<_> = heads.into_iter().zip(bodies).collect();
            let found = believed(&bytes);
            prop_assert!(found.len() < written.len());
            prop_assert!(found.iter().all(|frame| written.contains(frame)));
        }

        #[test]
        fn no_bytes_at_all_are_a_reason_to_panic(bytes: Vec<u8>, noise: Vec<u8>) {
            believed(&bytes);
            let (mut frames, _) = frames(&[vec![1; 9]]);
            frames.extend(noise);
            prop_assert_eq!(believed(&frames).len(), 1);
        }
    }
}
