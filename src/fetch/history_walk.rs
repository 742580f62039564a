//! One walk over the history list of a day: what to ask next, and whether what came is the whole.
//!
//! The rules of the walk over a meeting's records (see `pager`), for a list that rarely has a
//! second page: one request after the other, each beginning with the last meeting of the one
//! before. A meeting, other than a record, has a name: one that two pages show elsewhere than at
//! their seam tells that the list moved. One that stands twice in a single answer hides no other:
//! its second row is named as one that cannot be read.

use std::collections::HashMap;

use crate::record::decode::{HistoryPage, Row};
use crate::values::ConfUuid;

/// Answers without a new meeting at one place, after which that place is the end.
const IDLE_ANSWERS: u32 = 3;

/// Below this a page has no room for a seam.
const SMALLEST_LIMIT: u64 = 2;

/// One walk over a list.
#[derive(Debug)]
pub(super) struct HistoryWalk {
    limit: u64,
    count: Option<u64>,
    rows: Vec<Row>,
    /// The meetings of the pages so far, and the offsets of their rows.
    seen: HashMap<ConfUuid, u64>,
    /// Offsets of rows whose meeting another row of the same answer has.
    again: Vec<usize>,
    asked: u64,
    largest: u64,
    idle: u32,
    is_whole: bool,
}

impl HistoryWalk {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit: limit.max(SMALLEST_LIMIT),
            count: None,
            rows: vec![],
            seen: HashMap::new(),
            again: vec![],
            asked: 0,
            largest: 0,
            idle: 0,
            is_whole: false,
        }
    }

    /// The offset and the limit to ask with, until the list is whole.
    pub(super) fn next(&mut self) -> Option<(u64, u64)> {
        self.asked += 1;
        let offset = (self.rows.len() as u64).saturating_sub(1);
        (!self.is_whole).then_some((offset, self.limit))
    }

    /// Takes the answer to what was asked; says why the walk is worth nothing, where it is.
    pub(super) fn answer(
        &mut self,
        (offset, limit): (u64, u64),
        page: HistoryPage,
    ) -> Result<(), String> {
        let got = page.rows.len() as u64;
        if page.offset.and_then(|told| u64::try_from(told).ok()) != Some(offset) {
            return Err(match page.offset {
                Some(told) => format!("asked for offset {offset}, the answer says {told}"),
                None => {
                    format!("asked for offset {offset}, the answer does not say where it begins")
                }
            });
        }
        if got > limit {
            return Err(format!(
                "asked for {limit} meetings at offset {offset}, got {got}"
            ));
        }
        let count = *self.count.get_or_insert(page.count);
        if page.count != count {
            return Err(format!("count changed from {count} to {}", page.count));
        }
        // What the largest page so far brought that the one before it had not.
        self.largest = self.largest.max(got.saturating_sub(1)).max(1);
        if self.asked > 4 * count.div_ceil(self.largest) + 10 {
            return Err(format!(
                "{count} meetings did not come in {} requests",
                self.asked
            ));
        }
        let mut rows = page.rows.into_iter();
        if let Some(last) = self.rows.last() {
            // An empty answer is one without new meetings, not a broken seam.
            if rows.next().is_some_and(|first| first != *last) {
                return Err(format!(
                    "the meeting at offset {offset} differs between two pages"
                ));
            }
        }
        let before = self.rows.len();
        self.rows.extend(rows);
        for (at, row) in self.rows.iter().enumerate().skip(before) {
            let Some(meeting) = row.conf_uuid() else {
                continue;
            };
            match self.seen.get(meeting) {
                None => {
                    self.seen.insert(meeting.clone(), at as u64);
                }
                // Both are in this answer, which is one look at the list.
                Some(first) if *first >= offset => self.again.push(at),
                Some(_) => return Err(format!("{meeting} stands at two places of the list")),
            }
        }
        let have = self.rows.len() as u64;
        if have > count {
            return Err(format!(
                "count is {count}, but there are {have} meetings or more"
            ));
        }
        let is_idle = have == before as u64;
        self.idle = if is_idle { self.idle + 1 } else { 0 };
        if have < count && self.idle >= IDLE_ANSWERS {
            return Err(format!(
                "count is {count}, but the meetings end after {have}"
            ));
        }
        // The end is seen, not assumed: the last page has room to spare at the limit that the server
        // used, or a look behind a full one brings nothing new. A server may echo the number of
        // meetings that it gives as its limit, so that every page is full.
        let echoed = page.limit.and_then(|limit| u64::try_from(limit).ok());
        let room = echoed.filter(|echoed| (1..limit).contains(echoed));
        let is_full = got >= room.unwrap_or(limit);
        let is_look_behind = is_idle && before > 0;
        self.is_whole = have == count && (!is_full || is_look_behind || count == 0);
        Ok(())
    }

    /// The rows, once they are whole.
    pub(super) fn into_rows(mut self) -> Vec<Row> {
        for at in self.again {
            self.rows[at] = Row::Unreadable("it has the confUUID of a row before it", [0; 32]);
        }
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Meeting;

    /// Every seventh row cannot be read.
    fn row(number: u64) -> Row {
        if number % 7 == 3 {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_le_bytes());
            return Row::Unreadable("", digest);
        }
        Row::Meeting(Box::new(meeting(number)))
    }

    fn number(row: &Row) -> u64 {
        match row {
            Row::Meeting(meeting) => meeting.conf_uuid.as_str()[1..].parse().unwrap(),
            Row::Unreadable(_, digest) => u64::from_le_bytes(*digest.first_chunk().unwrap()),
        }
    }

    fn meeting(number: u64) -> Meeting {
        Meeting {
            conf_uuid: format!("m{number}").parse().unwrap(),
            conference_id: None,
            subject: None,
            scheduler: None,
            dept_name: None,
            start: None,
            end: None,
            size: None,
            kind: None,
            media_types: None,
            webinar: None,
        }
    }

    /// A list, and how the server that has it cuts pages.
    #[derive(Clone, Debug)]
    struct Server {
        list: Vec<u64>,
        clamp: u64,
        echoes_clamp: bool,
        /// Its limit is the number of its rows, whatever was asked.
        echoes_rows: bool,
        /// At most so many a page, in turn.
        short: Vec<u64>,
        asked: usize,
    }

    impl Server {
        fn page(&mut self, (offset, limit): (u64, u64)) -> HistoryPage {
            let limit = limit.min(self.clamp);
            let short = self.short.get(self.asked).copied().unwrap_or(u64::MAX);
            self.asked += 1;
            let rows = self.list.iter().skip(usize::try_from(offset).unwrap());
            let rows: Vec<_> = rows
                .take(usize::try_from(limit.min(short)).unwrap())
                .map(|number| row(*number))
                .collect();
            let echoed = if self.echoes_rows {
                rows.len() as u64
            } else {
                limit
            };
            HistoryPage {
                offset: i64::try_from(offset).ok(),
                limit: (self.echoes_clamp || self.echoes_rows)
                    .then(|| i64::try_from(echoed).unwrap()),
                count: self.list.len() as u64,
                rows,
            }
        }
    }

    /// A change of the list before a request.
    #[derive(Clone, Copy, Debug)]
    struct Change {
        before: usize,
        insert: usize,
        remove: usize,
        append: usize,
    }

    fn walk(server: &mut Server, limit: u64, changes: &[Change]) -> Result<Vec<u64>, String> {
        let mut walk = HistoryWalk::new(limit);
        let mut fresh = 1_000_000;
        while let Some(ask) = walk.next() {
            for change in changes
                .iter()
                .filter(|change| change.before == server.asked)
            {
                server.list.drain(..change.remove.min(server.list.len()));
                let mut number = || {
                    fresh += 1;
                    fresh
                };
                let front: Vec<_> = (0..change.insert).map(|_| number()).collect();
                server.list.splice(0..0, front);
                server.list.extend((0..change.append).map(|_| number()));
            }
            walk.answer(ask, server.page(ask))?;
        }
        Ok(walk.into_rows().iter().map(number).collect())
    }

    fn server(count: u64) -> Server {
        Server {
            list: (0..count).collect(),
            clamp: 500,
            echoes_clamp: true,
            echoes_rows: false,
            short: vec![],
            asked: 0,
        }
    }

    #[test]
    fn as_many_requests_as_it_takes_to_see_the_end() {
        for (count, requests) in [
            (0, 1),
            (1, 1),
            (499, 1),
            (500, 2),
            (501, 2),
            (998, 2),
            (999, 3),
        ] {
            let mut server = server(count);
            let got = walk(&mut server, 500, &[]).unwrap();
            assert_eq!(
                (got.len() as u64, server.asked),
                (count, requests),
                "{count}"
            );
        }
    }

    #[test]
    fn a_count_that_is_wrong_is_found_out() {
        for off in [-1_i64, 1] {
            let mut walk = HistoryWalk::new(10);
            let mut server = server(30);
            let outcome = std::iter::from_fn(|| {
                let ask = walk.next()?;
                let mut page = server.page(ask);
                page.count = page.count.saturating_add_signed(off);
                Some(walk.answer(ask, page))
            })
            .find(Result::is_err);
            let cause = outcome.unwrap().unwrap_err();
            assert!(
                cause.starts_with(&format!("count is {}", 30 + off)),
                "{cause}"
            );
        }
    }

    #[test]
    fn a_meeting_that_stands_twice_in_one_answer_costs_no_other() {
        for (list, limit, again) in [
            (vec![1, 1, 2], 500, [1]),
            (vec![1, 2, 1], 500, [2]),
            // The first one is the seam, the second one the next seam.
            (vec![0, 1, 1, 2], 2, [2]),
        ] {
            let mut server = Server {
                list: list.clone(),
                ..server(0)
            };
            let mut walk = HistoryWalk::new(limit);
            while let Some(ask) = walk.next() {
                walk.answer(ask, server.page(ask)).unwrap();
            }
            let rows = walk.into_rows();
            assert_eq!(rows.len(), list.len());
            let unreadable = (0..rows.len()).filter(|&at| rows[at].conf_uuid().is_none());
            assert_eq!(unreadable.collect::<Vec<_>>(), again);
        }
    }

    #[test]
    fn a_meeting_that_stands_in_two_answers_is_found_out() {
        let mut server = Server {
            list: vec![1, 0, 2, 1, 5],
            ..server(0)
        };
        let cause = walk(&mut server, 2, &[]).unwrap_err();
        assert!(cause.contains("m1 stands at two places"), "{cause}");
    }

    #[test]
    fn a_page_that_was_clamped_to_count_is_not_the_end_for_sure() {
        let mut server = Server {
            clamp: 100,
            echoes_clamp: true,
            ..server(100)
        };
        assert_eq!(walk(&mut server, 500, &[]).unwrap().len(), 100);
        assert_eq!(server.asked, 2);
    }

    #[test]
    fn a_server_that_echoes_the_number_of_rows_as_its_limit_is_asked_once_more() {
        for (count, requests) in [(0, 1), (1, 2), (3, 2), (499, 2), (500, 2), (501, 3)] {
            let mut server = Server {
                echoes_rows: true,
                ..server(count)
            };
            let got = walk(&mut server, 500, &[]).unwrap();
            assert_eq!(
                (got.len() as u64, server.asked),
                (count, requests),
                "{count}"
            );
        }
    }

    #[test]
    fn a_server_that_ignores_the_offset_is_found_out() {
        let mut walk = HistoryWalk::new(10);
        let mut server = server(30);
        let ask = walk.next().unwrap();
        walk.answer(ask, server.page(ask)).unwrap();
        let ask = walk.next().unwrap();
        let mut page = server.page((0, ask.1));
        page.offset = i64::try_from(ask.0).ok();
        assert!(walk.answer(ask, page).unwrap_err().contains("differs"));
    }

    proptest! {
        #[test]
        fn whatever_pages_are_cut_to_the_list_comes_whole(
            count in 0_u64..80,
            limit in 2_u64..12,
            clamp in 2_u64..12,
            echoes_clamp: bool,
            echoes_rows: bool,
            // As many answers without a new meeting as are borne, behind a first one with one.
            short in prop::collection::vec(1_u64..12, 0..=IDLE_ANSWERS as usize),
        ) {
            let mut server = Server { clamp, echoes_clamp, echoes_rows, short, ..server(count) };
            let got = walk(&mut server, limit, &[]);
            prop_assert_eq!(got, Ok((0..count).collect()));
        }

        // A change that leaves every meeting behind it at its place, as one out and one in front
        // at the same moment, is the one that no seam sees.
        #[test]
        fn a_list_that_moves_comes_whole_or_not_at_all(
            count in 0_u64..60,
            limit in 2_u64..12,
            changes in prop::collection::btree_map(
                1_usize..8,
                (0_usize..4, 0_usize..4, 0_usize..4)
                    .prop_filter("moves", |(insert, remove, _)| insert != remove),
                1..3,
            ),
        ) {
            let mut server = server(count);
            let changes: Vec<_> = changes
                .into_iter()
                .map(|(before, (insert, remove, append))| Change {
                    before,
                    insert,
                    remove,
                    append,
                })
                .collect();
            if let Ok(got) = walk(&mut server, limit, &changes) {
                prop_assert_eq!(got, server.list);
            }
        }
    }
}
