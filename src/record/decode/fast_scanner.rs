//! The fast way through an answer: a scanner for the shape that the API sends every day.
//!
//! It takes members in any order, any whitespace, escapes, nulls, times in texts and members that
//! it does not know. It refuses nothing: where something is unusual or wrong it gives up, and the
//! whole answer is read by [`mod@crate::record::decode::serde_visitor`], whose word counts. So it may take only what that
//! takes, and must read it as that does; proptests hold the two together.
//!
//! Two things make it fast. Texts are searched for their end eight bytes at a time. And what stood
//! between two values in the record before, commas, names and whitespace, is expected to stand
//! there again: one comparison of bytes then stands for all of it.

#![expect(
    clippy::option_option,
    reason = "the outer one tells whether the scanner goes on, the inner one what it found"
)]

use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny};
use serde_json::value::RawValue;

use super::column_builders::{MEMBERS, TEXTS, TIMES, is_shallow};
use super::serde_visitor::{Text, Texts};
use super::{Envelope, MOST_RECORDS};
use crate::record::schema::TimeRange;

/// Reads an answer, or gives up.
pub(super) fn scan(text: &str, times: TimeRange) -> Option<Envelope> {
    let mut scanner = Scanner {
        text,
        at: 0,
        envelope: Envelope::new(text.len(), times),
        seen: 0,
        times: [None; TIMES.len()],
        after: [None; MEMBERS.len()],
    };
    scanner.envelope()?;
    Some(scanner.envelope)
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    envelope: Envelope,
    /// The members of the record at hand, by their bits.
    seen: u8,
    times: [Option<i64>; TIMES.len()],
    /// What followed each member's value when it last came.
    after: [Option<Gap<'a>>; MEMBERS.len()],
}

/// What stands between the values of two known members: nothing that is a value.
#[derive(Clone, Copy)]
struct Gap<'a> {
    bytes: &'a [u8],
    /// The second member is the next record's.
    ends_record: bool,
    /// The second member.
    member: usize,
}

/// Where a value stands before which the scanner has come.
struct Next {
    member: usize,
    /// There was no value on the way, and no more than one end of a record.
    is_plain: bool,
}

impl<'a> Scanner<'a> {
    fn envelope(&mut self) -> Option<()> {
        self.expect(b'{')?;
        let mut seen = [false; 4];
        let mut first = |known: usize| (!std::mem::replace(&mut seen[known], true)).then_some(());
        if !self.skip(b'}') {
            loop {
                self.expect(b'"')?;
                match self.name()? {
                    "data" => {
                        first(0)?;
                        self.data()?;
                    }
                    "offset" => {
                        first(1)?;
                        self.envelope.offset = self.integer()?;
                    }
                    "limit" => {
                        first(2)?;
                        self.envelope.limit = self.integer()?;
                    }
                    "count" => {
                        first(3)?;
                        self.envelope.count = self.integer()?;
                    }
                    "error_code" | "errorCode" => return None,
                    _ => {
                        self.value::<IgnoredAny>()?;
                    }
                }
                if self.skip(b'}') {
                    break;
                }
                self.expect(b',')?;
            }
        }
        self.peek().is_none().then_some(())
    }

    fn data(&mut self) -> Option<()> {
        self.expect(b'[')?;
        self.envelope.has_data = true;
        if self.skip(b']') {
            return Some(());
        }
        self.expect(b'{')?;
        let Some(Next { mut member, .. }) = self.next_member(true)? else {
            return Some(());
        };
        loop {
            self.member(member)?;
            if let Some(gap) = &self.after[member]
                && self.rest().starts_with(gap.bytes)
            {
                self.at += gap.bytes.len();
                member = gap.member;
                if gap.ends_record {
                    self.end_record()?;
                }
            } else if let Some(next) = self.step(member)? {
                member = next.member;
            } else {
                return Some(());
            }
        }
    }

    /// From behind the value of a member to before that of the next, remembering what is between.
    fn step(&mut self, member: usize) -> Option<Option<Next>> {
        let rest = self.rest();
        let (from, rows) = (self.at, self.envelope.columns.rows());
        let next = self.next_member(false)?;
        let plain = next.as_ref().filter(|next| next.is_plain);
        self.after[member] = plain.map(|next| Gap {
            bytes: &rest[..self.at - from],
            ends_record: self.envelope.columns.rows() > rows,
            member: next.member,
        });
        Some(next)
    }

    /// Goes on to the value of the next known member, over all that comes before: members that
    /// are not known, the ends of records. Nothing where the data end.
    fn next_member(&mut self, mut is_first: bool) -> Option<Option<Next>> {
        let (mut ends, mut unknown) = (0, 0);
        loop {
            if self.skip(b'}') {
                self.end_record()?;
                ends += 1;
                if self.skip(b']') {
                    return Some(None);
                }
                self.expect(b',')?;
                self.expect(b'{')?;
                is_first = true;
                continue;
            }
            if !std::mem::replace(&mut is_first, false) {
                self.expect(b',')?;
            }
            self.expect(b'"')?;
            let name = self.name()?;
            if let Some(member) = MEMBERS.iter().position(|known| *known == name) {
                let is_plain = ends <= 1 && unknown == 0;
                return Some(Some(Next { member, is_plain }));
            }
            let value: &RawValue = self.value()?;
            if !is_shallow(value.get()) {
                return None;
            }
            self.envelope.columns.keep_unknown(name, value.get());
            unknown += 1;
        }
    }

    /// Reads the value of a known member.
    #[inline]
    fn member(&mut self, member: usize) -> Option<()> {
        let bit = 1 << member;
        if self.seen & bit != 0 {
            return None;
        }
        self.seen |= bit;
        if let Some(time) = member.checked_sub(TEXTS.len()) {
            *self.times.get_mut(time)? = self.integer()?;
            return Some(());
        }
        let column = self.envelope.columns.text(member)?;
        let bytes = self.text.as_bytes();
        if bytes.get(self.at) != Some(&b'"') {
            column.append_null();
            return self.null();
        }
        let from = self.at + 1;
        let end = from + plain(bytes.get(from..)?);
        if bytes.get(end) == Some(&b'"') {
            column.append_value(self.text.get(from..end)?);
            self.at = end + 1;
        } else {
            self.escaped(member, from, end)?;
        }
        Some(())
    }

    /// Reads a text that is plain until `end`, where an escape begins or what no text may hold.
    #[cold]
    fn escaped(&mut self, member: usize, from: usize, mut end: usize) -> Option<()> {
        let bytes = self.text.as_bytes();
        while bytes.get(end) == Some(&b'\\') {
            end += 2;
            end += plain(bytes.get(end..)?);
        }
        let mut json = serde_json::Deserializer::from_str(self.text.get(from - 1..=end)?);
        let text = Text {
            into: self.envelope.columns.text(member)?,
            texts: Texts::Strict,
        };
        text.deserialize(&mut json).ok()?;
        self.at = end + 1;
        Some(())
    }

    fn end_record(&mut self) -> Option<()> {
        let times = std::mem::take(&mut self.times);
        let columns = &mut self.envelope.columns;
        columns.end_record(std::mem::take(&mut self.seen), times);
        (columns.rows() <= MOST_RECORDS).then_some(())
    }

    /// The name behind a quote, with the colon and the whitespace that follow it.
    fn name(&mut self) -> Option<&'a str> {
        let rest = self.text.get(self.at..)?;
        let name = rest.get(..plain(rest.as_bytes()))?;
        self.at += name.len();
        (*self.rest().first()? == b'"').then(|| self.at += 1)?;
        self.expect(b':')?;
        self.peek()?;
        Some(name)
    }

    /// A whole number that is not negative, as it is or as a text, or null.
    #[inline]
    fn integer(&mut self) -> Option<Option<i64>> {
        let first = *self.rest().first()?;
        if first == b'n' {
            return self.null().map(|()| None);
        }
        let is_text = first == b'"';
        self.at += usize::from(is_text);
        let (value, length) = digits(self.rest());
        self.at += length;
        if is_text {
            // What stands here, space or not, is part of the text.
            (self.rest().first() == Some(&b'"')).then(|| self.at += 1)?;
        } else if first == b'0' && length > 1 {
            // No JSON number begins with a zero and goes on.
            return None;
        }
        (length > 0).then_some(Some(value))
    }

    fn null(&mut self) -> Option<()> {
        self.rest().starts_with(b"null").then(|| self.at += 4)
    }

    /// Any value, by the rules of `serde_json`.
    fn value<T: Deserialize<'a>>(&mut self) -> Option<T> {
        let json = serde_json::Deserializer::from_str(self.text.get(self.at..)?);
        let mut values = json.into_iter();
        let value = values.next()?.ok()?;
        self.at += values.byte_offset();
        Some(value)
    }

    /// The next byte that is no whitespace.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.rest().first()? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(*byte),
            }
        }
    }

    fn skip(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.skip(byte).then_some(())
    }

    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }
}

/// How many bytes stand before the first that a text cannot hold as it is: a quote, a backslash
/// or a control character.
#[inline]
fn plain(bytes: &[u8]) -> usize {
    let mut length = 0;
    loop {
        let word = word(bytes, length);
        // The lowest byte that is found is one; those above it may be borrows.
        let found = equal(word, b'"') | equal(word, b'\\') | below(word, b' ');
        let found = found & repeat(0x80);
        if found != 0 {
            return length + found.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
}

/// The number that these bytes begin with, of 16 digits at most, and how many it has.
#[inline]
fn digits(bytes: &[u8]) -> (i64, usize) {
    let (value, length) = eight_digits(word(bytes, 0));
    if length < 8 {
        return (value, length);
    }
    let (low, more) = eight_digits(word(bytes, 8));
    (value * TENS[more] + low, length + more)
}

/// The number that a word begins with, and how many digits it has.
#[inline]
fn eight_digits(word: u64) -> (i64, usize) {
    let digits = word ^ repeat(b'0');
    // The lowest byte that is found is no digit; those above it may be carries.
    let others = (digits.wrapping_add(repeat(0x80 - 10)) | digits) & repeat(0x80);
    let length = others.trailing_zeros() / 8;
    // In front of fewer than eight stand zeros. Then pairs, fours and all eight become one.
    let digits = digits.checked_shl(64 - 8 * length).unwrap_or_default();
    let digits = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let digits = digits.wrapping_mul(100).wrapping_add(digits >> 16) & 0x0000_ffff_0000_ffff;
    let digits = digits.wrapping_mul(10_000).wrapping_add(digits >> 32) & 0xffff_ffff;
    (digits.cast_signed(), length as usize)
}

/// The powers of ten.
const TENS: [i64; 9] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

/// Eight bytes from there on, the first as the lowest; behind the end stand zeros.
#[inline]
fn word(bytes: &[u8], from: usize) -> u64 {
    let bytes = bytes.get(from..).unwrap_or_default();
    if let Some(word) = bytes.first_chunk() {
        return u64::from_le_bytes(*word);
    }
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

const fn repeat(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The bytes of a word that are this one have their highest bit set.
const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ repeat(byte), 1)
}

/// The bytes of a word that are ASCII and smaller have their highest bit set.
const fn below(word: u64, byte: u8) -> u64 {
    word.wrapping_sub(repeat(byte)) & !word
}

#[cfg(test)]
mod tests;
