//! The chain of entries: each has the SHA-256 of the bytes of the entry before it.
//!
//! An entry that was changed after another was put behind it breaks the chain, and the ledger is
//! refused. The digest of the last entry vouches for all of them. Reports keep it, so that `verify`
//! finds entries that were removed from the end or changed there.
//!
//! The first entry has no digest. A ledger may begin with others that have none; from the first
//! entry that has one, every entry must have it.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{Entry, Ledger, Seen, damaged, entry_path};
use crate::error::Result;
use crate::report::LedgerHead;
use crate::values::hex::hex;

/// An entry as it was read from its own object.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) entry: Entry,
    pub(super) seen: Seen,
    /// SHA-256 of the bytes.
    pub(super) sha256: String,
}

impl Ledger {
    /// The number and the digest of the last entry; nothing where there is none.
    pub(crate) fn head(&self) -> Option<LedgerHead> {
        Some(LedgerHead {
            sequence: self.entries.last()?.sequence,
            sha256: self.head.clone()?,
        })
    }

    /// SHA-256 of an entry's bytes: the last entry's, or as the entry behind it has it.
    pub(crate) fn sha256_of(&self, sequence: u64) -> Option<&str> {
        if self.entries.len() as u64 == sequence {
            return self.head.as_deref();
        }
        let next = self.entry(sequence.checked_add(1)?)?;
        next.previous_sha256.as_deref()
    }

    /// Gives an entry the digest of the last one: it must be the next.
    pub(super) fn linked(&self, entry: Entry) -> Entry {
        Entry {
            previous_sha256: self.head.clone(),
            ..entry
        }
    }

    /// Applies an entry that another run may have written, if it belongs behind the last one.
    ///
    /// # Errors
    ///
    /// The errors of [`Ledger::accept`]; an entry that was put behind other bytes.
    pub(super) fn follow(&mut self, read: Read) -> Result<()> {
        let Read {
            entry,
            seen,
            sha256,
        } = read;
        let sequence = entry.sequence;
        // Behind a gap it would be compared with an entry that is not its own.
        let last = self
            .entries
            .last()
            .filter(|last| last.sequence + 1 == sequence);
        if let (Some(last), Some(head)) = (last, &self.head) {
            match &entry.previous_sha256 {
                Some(expected) if expected != head => {
                    let reason = format!(
                        "was changed after entry {sequence} was put behind it, which expects its \
                         SHA-256 to be {expected}, and it is {head}"
                    );
                    return Err(damaged(&entry_path(last.sequence), reason));
                }
                None if last.previous_sha256.is_some() => {
                    let reason = format!(
                        "has no SHA-256 of entry {}, though the entries before it are chained",
                        last.sequence
                    );
                    return Err(damaged(&entry_path(sequence), reason));
                }
                _ => {}
            }
        }
        self.accept(entry, seen)?;
        self.head = Some(sha256);
        Ok(())
    }
}

/// SHA-256 of an entry's bytes.
pub(crate) fn sha256(bytes: &Bytes) -> String {
    hex(&Sha256::digest(bytes))
}
