//! One made-up record: what the API says of one stay of one participant.
//!
//! The record with a given number is worked out from the meeting's [`Origin`] and the number
//! alone, so that a meeting of ten million records needs no memory for them. [`Row`] is the
//! compact form that pages are written from, [`Record`] the form that tests compare with.

use serde::{Deserialize, Serialize};

use super::word_lists;
use crate::record::Language;

/// One record as the API gives it, with the API's member names when written as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Name as shown in the meeting.
    pub display_name: String,
    /// Number of the participant; unlike any other of the same meeting.
    pub call_number: String,
    /// Label of the device in the language asked for.
    pub device_type: String,
    /// Start of the stay in milliseconds since 1970.
    pub join_time: i64,
    /// End of the stay in milliseconds since 1970; `None` where the member is missing or null.
    pub left_time: Option<i64>,
    /// Label of the media in the language asked for.
    pub media_type: String,
    /// Department; `None` where the member is missing.
    pub dept_name: Option<String>,
}

/// Where a meeting's records come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// Seed of this meeting, not of the whole world.
    pub(super) seed: u64,
    /// Start of the meeting in milliseconds since 1970.
    pub(super) start: i64,
    /// Length of the meeting in milliseconds.
    pub(super) length: u64,
    /// Records that the meeting had before any edit.
    pub(super) records: u64,
    /// Every how manyth record is odd, if any.
    pub(super) odd_every: Option<u64>,
}

/// When a stay ended, as the API may put it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    At(i64),
    Null,
    Missing,
}

/// One record before it is put into words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// `None` where the number stands as the name, as for an endpoint without a name.
    name: Option<u64>,
    number: u64,
    labels: u64,
    join: i64,
    left: Left,
}

/// A well mixed number from a seed and a position (the finaliser of `SplitMix64`).
pub(super) const fn mix(seed: u64, position: u64) -> u64 {
    let mut z = seed.wrapping_add(position.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Origin {
    /// The record with this number. Numbers from [`Origin::records`] on are those that came in
    /// by a later edit.
    pub(super) fn row(&self, id: u64) -> Row {
        let chance = mix(self.seed, id);
        let half = self.length / 2;
        let within = half.saturating_sub(61_000).max(1);
        let position = id.min(self.records);
        let step = (u128::from(within) * u128::from(position)) / u128::from(self.records.max(1));
        // Neighbours overtake each other now and then: the API promises no order.
        let offset = u64::try_from(step).unwrap_or(0) + chance % 5_000;
        let join = self.start.saturating_add_unsigned(offset);
        let stay = 1_000 + (chance >> 20) % within;
        let left = match self.odd_every {
            Some(every) if id.is_multiple_of(every.max(1)) => match (id / every.max(1)) % 4 {
                0 => Left::Missing,
                1 => Left::Null,
                2 => Left::At(0),
                _ => Left::At(join - 1_000),
            },
            _ => Left::At(join.saturating_add_unsigned(stay)),
        };
        Row {
            name: (!chance.is_multiple_of(32)).then_some((chance >> 5) % word_lists::NAMES),
            // A multiplication by a number prime to 10^10 gives each id a number of its own.
            number: (id.wrapping_mul(7_368_787_291) + self.seed % 1_000_000_007) % 10_000_000_000,
            labels: chance >> 40,
            join,
            left,
        }
    }
}

impl Row {
    /// The record in words.
    pub(super) fn record(&self, language: Language) -> Record {
        let call_number = format!("+99{:010}", self.number);
        let display_name = self.name.map_or_else(
            || call_number.clone(),
            |name| {
                let mut text = String::new();
                word_lists::spell(name, |piece| text.push_str(piece));
                text
            },
        );
        Record {
            display_name,
            call_number,
            device_type: word_lists::device(self.labels, language).to_owned(),
            join_time: self.join,
            left_time: match self.left {
                Left::At(time) => Some(time),
                Left::Null | Left::Missing => None,
            },
            media_type: word_lists::media(self.labels / 5, language).to_owned(),
            dept_name: Some(word_lists::department(self.labels / 15).to_owned()),
        }
    }

    /// How the record puts the end of its stay.
    pub(super) const fn left(&self) -> Left {
        self.left
    }

    /// Appends the record as compact JSON, members in the order of the API's examples.
    pub(super) fn write(&self, language: Language, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"displayName\":\"");
        match self.name {
            Some(name) => word_lists::spell(name, |piece| match piece {
                "\"" | "\\" => out.extend_from_slice(&[b'\\', piece.as_bytes()[0]]),
                _ => out.extend_from_slice(piece.as_bytes()),
            }),
            None => self.write_number(out),
        }
        out.extend_from_slice(b"\",\"callNumber\":\"");
        self.write_number(out);
        out.extend_from_slice(b"\",\"deviceType\":\"");
        out.extend_from_slice(word_lists::device(self.labels, language).as_bytes());
        out.extend_from_slice(b"\",\"joinTime\":");
        write_integer(self.join, out);
        match self.left {
            Left::At(time) => {
                out.extend_from_slice(b",\"leftTime\":");
                write_integer(time, out);
            }
            Left::Null => out.extend_from_slice(b",\"leftTime\":null"),
            Left::Missing => {}
        }
        out.extend_from_slice(b",\"mediaType\":\"");
        out.extend_from_slice(word_lists::media(self.labels / 5, language).as_bytes());
        out.extend_from_slice(b"\",\"deptName\":\"");
        for &byte in word_lists::department(self.labels / 15).as_bytes() {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.extend_from_slice(b"\"}");
    }

    fn write_number(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"+99");
        write_digits(self.number, 10, out);
    }
}

/// Appends a whole number in decimal.
pub(super) fn write_integer(number: i64, out: &mut Vec<u8>) {
    if number < 0 {
        out.push(b'-');
    }
    write_digits(number.unsigned_abs(), 1, out);
}

/// Appends a number in decimal, with zeros in front up to `width` digits.
fn write_digits(mut number: u64, width: usize, out: &mut Vec<u8>) {
    const PAIRS: [u8; 200] = {
        let mut pairs = [0; 200];
        let mut n = 0;
        let mut tens = b'0';
        while tens <= b'9' {
            let mut ones = b'0';
            while ones <= b'9' {
                pairs[n] = tens;
                pairs[n + 1] = ones;
                n += 2;
                ones += 1;
            }
            tens += 1;
        }
        pairs
    };
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while number >= 10 {
        let pair = usize::try_from(number % 100).unwrap_or(0) * 2;
        number /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if number > 0 {
        at -= 1;
        digits[at] = PAIRS[usize::try_from(number).unwrap_or(0) * 2 + 1];
    }
    out.extend_from_slice(&digits[at.min(digits.len() - width)..]);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const ORIGIN: Origin = Origin {
        seed: 7,
        start: 1_767_571_200_000,
        length: 7_200_000,
        records: 2_000,
        odd_every: None,
    };

    #[test]
    fn the_written_form_says_what_the_record_says() {
        let origin = Origin {
            odd_every: Some(3),
            ..ORIGIN
        };
        for language in [Language::EnUs, Language::ZhCn] {
            for id in 0..2_000 {
                let row = origin.row(id);
                let mut json = Vec::new();
                row.write(language, &mut json);
                let read: Record = serde_json::from_slice(&json).unwrap();
                assert_eq!(read, row.record(language));
            }
        }
    }

    #[test]
    fn records_of_a_meeting_differ_also_those_that_come_late() {
        let seen: HashSet<_> = (0..5_000)
            .map(|id| ORIGIN.row(id).record(Language::EnUs).call_number)
            .collect();
        assert_eq!(seen.len(), 5_000);
    }

    #[test]
    fn a_stay_lies_within_its_meeting_and_ends_after_it_began() {
        for id in 0..3_000 {
            let record = ORIGIN.row(id).record(Language::EnUs);
            let end = ORIGIN.start.saturating_add_unsigned(ORIGIN.length);
            assert!(record.join_time >= ORIGIN.start);
            assert!(
                record
                    .left_time
                    .is_some_and(|left| left > record.join_time && left < end)
            );
        }
    }

    #[test]
    fn a_record_has_about_the_size_of_a_real_one() {
        let mut page = Vec::new();
        (0..2_000).for_each(|id| ORIGIN.row(id).write(Language::EnUs, &mut page));
        let mean = page.len() / 2_000;
        assert!((165..200).contains(&mean), "{mean} bytes a record");
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        let numbers = [
            0,
            7,
            10,
            99,
            100,
            101,
            1_000,
            65_536,
            -1,
            -250,
            i64::MAX,
            i64::MIN,
        ];
        for number in numbers {
            let mut text = Vec::new();
            write_integer(number, &mut text);
            assert_eq!(String::from_utf8(text).unwrap(), number.to_string());
        }
        let mut padded = Vec::new();
        write_digits(1_234, 10, &mut padded);
        assert_eq!(padded, b"0000001234");
    }
}
