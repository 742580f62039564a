//! How much may be in memory until its meetings are whole.

use crate::config::Config;

/// Of the answers after a large one, each lowers the expectation by this part of it.
const FADING: u64 = 16;

/// An answer is in memory as it came and as records, while these are made from it.
const ANSWER_COPIES: u64 = 2;

/// Bounds of what is fetched and not handed out, in records and in bytes.
///
/// What an answer brings is known when it is here. Until the first one, a quarter of the bytes is
/// expected of each; then as much as the largest one brought of late.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buffer {
    rows: u64,
    bytes: u64,
    page_rows: u64,
    page_bytes: Option<u64>,
}

/// Records in memory, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl Buffer {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            rows: config.buffer_rows,
            bytes: config.buffer_size.as_u64(),
            page_rows: config.page_size.get().into(),
            page_bytes: None,
        }
    }

    /// Takes the size of an answer's records.
    pub(super) fn learn(&mut self, bytes: u64) {
        let expected = self.page_bytes.unwrap_or(0);
        self.page_bytes = Some(bytes.max(expected - expected / FADING));
    }

    /// Whether one more request may be under way beside so many, for a meeting whose full pages have
    /// `page_bytes`, as far as that is known.
    pub(super) fn has_room(&self, held: Load, requests: usize, page_bytes: u64) -> bool {
        let requests = requests as u64 + 1;
        held.rows + requests * self.page_rows <= self.rows
            && self.has_bytes(held, requests, page_bytes)
    }

    /// Whether as many more requests for the meeting that is handed out first may be under way: its
    /// records do not wait for others.
    pub(super) fn has_room_for_first(&self, held: Load, requests: usize, page_bytes: u64) -> bool {
        self.has_bytes(held, requests as u64 + 1, page_bytes)
    }

    fn has_bytes(&self, held: Load, requests: u64, page_bytes: u64) -> bool {
        let expected = match self.page_bytes {
            Some(recent) => recent.max(page_bytes).saturating_mul(ANSWER_COPIES),
            None => self.bytes / 4,
        };
        held.bytes.saturating_add(requests.saturating_mul(expected)) <= self.bytes
    }

    /// Whether so much of one meeting is too much to be held.
    pub(super) fn is_large(&self, meeting: Load) -> bool {
        meeting.rows > self.rows / 2 || meeting.bytes > self.bytes / 2
    }
}

impl std::iter::Sum for Load {
    fn sum<I: Iterator<Item = Self>>(loads: I) -> Self {
        loads.fold(Self::default(), |sum, load| Self {
            rows: sum.rows + load.rows,
            bytes: sum.bytes + load.bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer() -> Buffer {
        Buffer {
            rows: 10_000,
            bytes: 1_000,
            page_rows: 500,
            page_bytes: None,
        }
    }

    /// Requests that may be under way at once while so much is held.
    fn requests(buffer: &Buffer, held: Load, page_bytes: u64) -> usize {
        let has_room = |&requests: &usize| buffer.has_room(held, requests, page_bytes);
        (0..1_000).take_while(has_room).count()
    }

    const NOTHING: Load = Load { rows: 0, bytes: 0 };

    #[test]
    fn four_requests_are_under_way_until_the_first_answer_tells_the_size_of_a_page() {
        let mut buffer = buffer();
        assert_eq!(requests(&buffer, NOTHING, 0), 4);
        buffer.learn(10);
        assert_eq!(requests(&buffer, NOTHING, 0), 20);
        buffer.learn(250);
        assert_eq!(requests(&buffer, NOTHING, 0), 2);
    }

    #[test]
    fn a_large_answer_is_expected_again_for_a_while() {
        let mut buffer = buffer();
        buffer.learn(250);
        buffer.learn(1);
        assert_eq!(requests(&buffer, NOTHING, 0), 2);
        (0..100).for_each(|_| buffer.learn(1));
        assert_eq!(requests(&buffer, NOTHING, 0), 20);
    }

    #[test]
    fn what_is_held_and_what_a_meeting_is_known_to_bring_count() {
        let mut buffer = buffer();
        buffer.learn(1);
        let held = |rows, bytes| Load { rows, bytes };
        assert_eq!(requests(&buffer, held(9_000, 0), 0), 2);
        assert_eq!(requests(&buffer, held(0, 990), 0), 5);
        assert_eq!(requests(&buffer, NOTHING, 250), 2);
        assert_eq!(requests(&buffer, held(0, u64::MAX), 0), 0);
        assert_eq!(requests(&buffer, NOTHING, u64::MAX), 0);
        // The first meeting's records do not wait: how many there are is no matter.
        assert!(buffer.has_room_for_first(held(20_000, 0), 4, 100));
        assert!(!buffer.has_room_for_first(held(20_000, 0), 5, 100));
    }

    #[test]
    fn a_meeting_is_large_by_its_records_or_by_their_bytes() {
        let buffer = buffer();
        for (rows, bytes, is_large) in [(5_000, 500, false), (5_001, 0, true), (1, 501, true)] {
            assert_eq!(buffer.is_large(Load { rows, bytes }), is_large);
        }
    }
}
