//! The law of the pager, tried against a model of a server that moves and errs.

use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use proptest::prelude::*;

use crate::fetch::meeting_reader::{Policy, Progress, Reading, Request, minimum_requests};
use crate::record::decode::Page;
use crate::record::{Column, DigestKey};
use crate::report::Proof;
use crate::values::{CountPolicy, DuplicatePolicy, Verify};

/// A list of records, each told by its number; equal numbers are equal records.
type Rows = Vec<u16>;

#[derive(Clone, Debug)]
struct Server {
    rows: Rows,
    /// What the list becomes, and before which answer.
    edit: Option<(u32, Rows)>,
    /// Records a page at most, and whether the answer says so.
    clamp: Option<(usize, bool)>,
    /// Every n-th answer lacks its last record.
    short_every: Option<u32>,
    /// `count` is this, whatever there is.
    frozen_count: Option<u64>,
    /// Groups of so many neighbours come in another order in each answer.
    ties: Option<(usize, fastrand::Rng)>,
    answers: u32,
}

impl Server {
    fn new(rows: Rows) -> Self {
        Self {
            rows,
            edit: None,
            clamp: None,
            short_every: None,
            frozen_count: None,
            ties: None,
            answers: 0,
        }
    }

    fn answer(&mut self, request: Request) -> Page {
        self.answers += 1;
        if let Some((_, rows)) = self.edit.take_if(|(at, _)| *at < self.answers) {
            self.rows = rows;
        }
        let asked = usize::try_from(request.ask.limit).unwrap();
        let (limit, told) = match self.clamp {
            Some((most, is_told)) => (
                asked.min(most),
                if is_told { asked.min(most) } else { asked },
            ),
            None => (asked, asked),
        };
        let offset = usize::try_from(request.ask.offset).unwrap();
        if let Some((size, chance)) = &mut self.ties {
            self.rows
                .chunks_mut(*size)
                .for_each(|group| chance.shuffle(group));
        }
        let mut rows: Rows = self.rows.iter().skip(offset).take(limit).copied().collect();
        if self
            .short_every
            .is_some_and(|every| self.answers.is_multiple_of(every))
        {
            rows.pop();
        }
        let count = self.frozen_count.unwrap_or(self.rows.len() as u64);
        page(offset, told, count, &rows)
    }
}

fn page(offset: usize, limit: usize, count: u64, rows: &[u16]) -> Page {
    let records: Vec<_> = rows
        .iter()
        .map(|row| format!(r#"{{"displayName":"{row}","joinTime":{row}}}"#))
        .collect();
    let body = format!(
        r#"{{"data":[{}],"offset":{offset},"limit":{limit},"count":{count}}}"#,
        records.join(",")
    );
    Page::decode(
        body.as_bytes(),
        &"a".parse().unwrap(),
        offset as u64,
        &DigestKey::default(),
    )
    .unwrap()
}

fn policy(page_size: u64) -> Policy {
    Policy {
        page_size,
        window: 5,
        verify: Verify::Seams,
        count_policy: CountPolicy::Fail,
        duplicates: DuplicatePolicy::Fail,
        restarts: 5,
        restart_delay: Duration::from_secs(1),
    }
}

#[derive(Debug)]
enum Outcome {
    Whole(Rows, Proof),
    Absent(String),
}

struct Run {
    outcome: Outcome,
    requests: u64,
}

/// Reads a meeting to its end, `order` deciding which of the open requests is answered next.
fn read(policy: Policy, server: &mut Server, order: &mut impl FnMut(usize) -> usize) -> Run {
    read_by(policy, order, |request| server.answer(request))
}

/// Reads a meeting from whatever answers.
fn read_by(
    policy: Policy,
    order: &mut impl FnMut(usize) -> usize,
    mut answer: impl FnMut(Request) -> Page,
) -> Run {
    let mut reading = Reading::new(policy);
    let mut open: Vec<Request> = vec![];
    let mut taken: Vec<RecordBatch> = vec![];
    let mut requests = 0;
    loop {
        while open.len() < policy.window
            && let Some(request) = reading.next()
        {
            requests += 1;
            open.push(request);
        }
        assert!(
            !open.is_empty(),
            "the reading asks for nothing and is not settled: {reading:?}"
        );
        assert!(requests < 100_000, "the reading does not end");
        let request = open.remove(order(open.len()));
        let page = answer(request);
        match reading.answer(request, page) {
            Progress::On => taken.extend(reading.take_ready()),
            Progress::Again { .. } => taken.clear(),
            Progress::Absent(_, cause) => {
                return Run {
                    outcome: Outcome::Absent(cause),
                    requests,
                };
            }
        }
        if let Some(proof) = reading.proof() {
            let outcome = Outcome::Whole(numbers(&taken), proof);
            return Run { outcome, requests };
        }
    }
}

/// The records' numbers; checks on the way that `record_index` counts them through.
fn numbers(pages: &[RecordBatch]) -> Rows {
    let mut rows = vec![];
    for page in pages {
        let index = page
            .column(Column::RecordIndex.index())
            .as_primitive::<Int64Type>();
        let names = page.column(Column::DisplayName.index()).as_string::<i32>();
        for (index, name) in index.values().iter().zip(names) {
            assert_eq!(*index, i64::try_from(rows.len()).unwrap());
            rows.push(name.unwrap().parse().unwrap());
        }
    }
    rows
}

fn distinct(count: u16) -> Rows {
    (1..=count).collect()
}

fn in_order(_: usize) -> usize {
    0
}

/// Any order of arrival, from a list of random numbers.
fn shuffled(choices: Vec<usize>) -> impl FnMut(usize) -> usize {
    let mut choices = choices.into_iter().cycle();
    move |open| choices.next().unwrap_or(0) % open
}

fn orders() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..5usize, 1..20)
}

#[test]
fn a_steady_server_is_read_with_the_least_number_of_requests() {
    for count in 0..=40 {
        for page_size in 2..=9 {
            let run = read(
                policy(page_size),
                &mut Server::new(distinct(count)),
                &mut in_order,
            );
            let Outcome::Whole(rows, proof) = run.outcome else {
                panic!("{:?}", run.outcome)
            };
            assert_eq!(rows, distinct(count));
            assert_eq!(run.requests, minimum_requests(u64::from(count), page_size));
            assert_eq!(proof == Proof::SinglePage, u64::from(count) < page_size);
        }
    }
}

#[test]
fn an_offset_at_or_behind_count_is_never_asked() {
    for count in 1..=40u16 {
        let mut reading = Reading::new(policy(5));
        let mut server = Server::new(distinct(count));
        while reading.proof().is_none() {
            let request = reading.next().unwrap();
            assert!(request.ask.offset < u64::from(count));
            let page = server.answer(request);
            assert_eq!(reading.answer(request, page), Progress::On);
        }
    }
}

#[test]
fn a_count_that_is_steadily_wrong_is_told_with_both_figures() {
    for (frozen, figures) in [(12, ["12", "20"]), (30, ["30", "20"]), (0, ["0", "5"])] {
        let mut server = Server {
            frozen_count: Some(frozen),
            ..Server::new(distinct(20))
        };
        let run = read(policy(5), &mut server, &mut in_order);
        let Outcome::Absent(cause) = run.outcome else {
            panic!("{frozen}: {:?}", run.outcome)
        };
        // Where `count` is too low, what is shown is told as far as it was seen.
        assert!(
            cause.contains(figures[0]) && cause.starts_with("count is"),
            "{cause}"
        );
        assert!(run.requests < 40, "{}", run.requests);
    }
}

#[test]
fn the_end_policy_accepts_a_wrong_count_when_the_end_was_seen() {
    for frozen in [0, 1, 4, 5, 12, 19, 21, 30] {
        for page_size in [3, 5, 30] {
            let policy = Policy {
                count_policy: CountPolicy::End,
                ..policy(page_size)
            };
            let mut server = Server {
                frozen_count: Some(frozen),
                ..Server::new(distinct(20))
            };
            let run = read(policy, &mut server, &mut in_order);
            let Outcome::Whole(rows, _) = run.outcome else {
                panic!("{frozen}: {:?}", run.outcome)
            };
            assert_eq!(rows, distinct(20), "count {frozen}, page size {page_size}");
        }
    }
}

#[test]
fn twins_around_a_seam_cost_one_request_that_shows_them_all() {
    let rows = vec![1, 2, 3, 3, 3, 4, 5, 6, 7];
    let run = read(policy(4), &mut Server::new(rows.clone()), &mut in_order);
    let Outcome::Whole(read, proof) = run.outcome else {
        panic!("{:?}", run.outcome)
    };
    assert_eq!((read, proof), (rows, Proof::Seams));
    assert_eq!(run.requests, minimum_requests(9, 4) + 1);
}

#[test]
fn twins_inside_one_page_cost_no_request() {
    let rows = vec![1, 2, 2, 3, 4, 5, 5, 6, 7];
    let run = read(policy(4), &mut Server::new(rows.clone()), &mut in_order);
    assert!(matches!(run.outcome, Outcome::Whole(read, Proof::Seams) if read == rows));
    assert_eq!(run.requests, minimum_requests(9, 4));
}

#[test]
fn twins_that_no_page_can_hold_are_named_and_kept_where_the_policy_says_so() {
    let mut rows = distinct(40);
    rows[33] = rows[2];
    let run = read(policy(5), &mut Server::new(rows.clone()), &mut in_order);
    let Outcome::Absent(cause) = run.outcome else {
        panic!("{:?}", run.outcome)
    };
    let offsets = "equal records came in different answers, at offsets 2 and 33";
    assert_eq!(cause, offsets);
    // A second walk, cut at other places, shows that they stay.
    assert!(run.requests <= 2 * minimum_requests(40, 5) + 1);
    let keep = Policy {
        duplicates: DuplicatePolicy::Keep,
        ..policy(5)
    };
    let run = read(keep, &mut Server::new(rows.clone()), &mut in_order);
    assert!(matches!(run.outcome, Outcome::Whole(read, Proof::Seams) if read == rows));
}

/// Two replicas, one of which has two records in each other's place, asked in turn.
#[test]
fn records_that_change_places_far_apart_never_pass_unseen() {
    for (one, other) in [(3, 30), (0, 39), (10, 12), (4, 20)] {
        let replica = distinct(40);
        let mut swapped = replica.clone();
        swapped.swap(one, other);
        let mut replicas = [Server::new(replica), Server::new(swapped)];
        let mut turn = 0;
        let run = read_by(policy(5), &mut in_order, |request| {
            turn += 1;
            replicas[turn % 2].answer(request)
        });
        if let Outcome::Whole(mut read, _) = run.outcome {
            read.sort_unstable();
            assert_eq!(read, distinct(40));
        }
    }
}

#[test]
fn a_page_that_is_full_at_the_limit_it_echoes_is_no_end() {
    for count in [1, 3, 4, 5, 8, 9, 12] {
        let rows = distinct(count);
        // Each answer echoes the number of its rows as its limit.
        let mut server = Server::new(rows.clone());
        let run = read_by(policy(5), &mut in_order, |request| {
            let mut page = server.answer(request);
            page.limit = i64::try_from(page.digests.len()).ok();
            page
        });
        assert!(
            matches!(&run.outcome, Outcome::Whole(read, _) if *read == rows),
            "{count}: {:?}",
            run.outcome
        );
        assert!(run.requests <= minimum_requests(u64::from(count), 5) + 1);
        // A `count` that hides what comes behind such a page is found out.
        let mut server = Server::new(distinct(count + 3));
        let run = read_by(policy(5), &mut in_order, |request| {
            let mut page = server.answer(request);
            page.count = u64::from(count);
            let room = u64::from(count).saturating_sub(request.ask.offset);
            let rows = usize::try_from(room.min(request.ask.limit)).unwrap();
            if page.digests.len() > rows && rows > 1 {
                page.records = page.records.slice(0, rows);
                page.digests.truncate(rows);
                page.limit = i64::try_from(rows).ok();
            }
            page
        });
        assert!(
            matches!(&run.outcome, Outcome::Absent(cause) if cause.starts_with("count is")),
            "{count}: {:?}",
            run.outcome
        );
    }
}

#[test]
fn a_list_that_ends_at_a_window_before_its_count_is_told_with_both_figures() {
    for is_echoed in [true, false] {
        let mut server = Server::new(distinct(40));
        let run = read_by(policy(5), &mut in_order, |request| {
            let room = 33_u64.saturating_sub(request.ask.offset);
            let mut page = server.answer(request);
            let rows = usize::try_from(room).unwrap().min(page.digests.len());
            page.records = page.records.slice(0, rows);
            page.digests.truncate(rows);
            if is_echoed {
                page.limit = i64::try_from(rows).ok();
            }
            page
        });
        let Outcome::Absent(cause) = run.outcome else {
            panic!("{:?}", run.outcome)
        };
        assert_eq!(cause, "count is 40, but the records end after 33");
        assert!(run.requests < 40, "{}", run.requests);
    }
}

#[test]
fn verify_twice_walks_twice() {
    let policy = Policy {
        verify: Verify::Twice,
        ..policy(5)
    };
    for count in [0, 3, 4, 5, 20] {
        let run = read(policy, &mut Server::new(distinct(count)), &mut in_order);
        let Outcome::Whole(rows, proof) = run.outcome else {
            panic!("{:?}", run.outcome)
        };
        assert_eq!((rows, proof), (distinct(count), Proof::Twice));
        let minimum = minimum_requests(u64::from(count), 5);
        // The second walk cuts a list of several pages elsewhere.
        assert!((2 * minimum..=2 * minimum + u64::from(minimum > 1)).contains(&run.requests));
    }
}

#[test]
fn a_page_of_one_record_is_asked_as_two() {
    let run = read(policy(1), &mut Server::new(distinct(5)), &mut in_order);
    assert!(matches!(run.outcome, Outcome::Whole(rows, Proof::Seams) if rows == distinct(5)));
    let mut server = Server {
        clamp: Some((1, true)),
        ..Server::new(distinct(5))
    };
    let run = read(policy(4), &mut server, &mut in_order);
    assert!(matches!(run.outcome, Outcome::Absent(cause) if cause.contains("no room")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn whatever_the_size_the_clamp_and_the_order_a_steady_list_is_read_exactly(
        rows in proptest::collection::vec(0..30u16, 0..60),
        page_size in 1..12u64,
        clamp in proptest::option::of((2..9usize, any::<bool>())),
        short_every in proptest::option::of(2..6u32),
        order in orders(),
        twice: bool,
        keeps: bool,
    ) {
        let verify = if twice { Verify::Twice } else { Verify::Seams };
        let duplicates = if keeps { DuplicatePolicy::Keep } else { DuplicatePolicy::Fail };
        let policy = Policy { verify, duplicates, ..policy(page_size) };
        let mut server = Server { clamp, short_every, ..Server::new(rows.clone()) };
        match read(policy, &mut server, &mut shuffled(order)).outcome {
            Outcome::Whole(read, _) => prop_assert_eq!(read, rows),
            Outcome::Absent(cause) => {
                // Only a list that hides a record in every other answer may be given up, and one
                // whose equal records no answer can show together.
                let is_doubtful = !keeps && cause.starts_with("equal records");
                prop_assert!(
                    is_doubtful || short_every.is_some() || clamp.is_some_and(|(_, told)| !told),
                    "{cause}"
                );
            }
        }
    }

    #[test]
    fn one_record_more_or_less_at_any_moment_never_passes_unseen(
        mut rows in proptest::collection::vec(0..12u16, 1..50),
        page_size in 2..9u64,
        clamp in proptest::option::of((2..9usize, any::<bool>())),
        at in 0..30u32,
        position: prop::sample::Index,
        inserts: bool,
        order in orders(),
    ) {
        let before = rows.clone();
        let position = position.index(rows.len());
        if inserts { rows.insert(position, 7) } else { rows.remove(position); }
        let edit = Some((at, rows.clone()));
        let mut server = Server { edit, clamp, ..Server::new(before.clone()) };
        if let Outcome::Whole(read, _) = read(policy(page_size), &mut server, &mut shuffled(order)).outcome {
            prop_assert!(read == before || read == rows, "{read:?}\n{before:?}\n{rows:?}");
        }
    }

    #[test]
    fn a_shift_that_leaves_count_alone_never_passes_unseen(
        size in 1..50u16,
        page_size in 2..9u64,
        at in 0..30u32,
        from: prop::sample::Index,
        to: prop::sample::Index,
        order in orders(),
        is_frozen: bool,
        removes_only: bool,
    ) {
        let before = distinct(size);
        let mut after = before.clone();
        after.remove(from.index(after.len()));
        if !removes_only {
            let to = to.index(after.len() + 1);
            after.insert(to, 999);
        }
        let frozen_count = (is_frozen || removes_only).then_some(u64::from(size));
        let edit = Some((at, after.clone()));
        let mut server = Server { edit, frozen_count, ..Server::new(before.clone()) };
        if let Outcome::Whole(read, _) = read(policy(page_size), &mut server, &mut shuffled(order)).outcome {
            prop_assert!(read == before || read == after, "{read:?}\n{before:?}\n{after:?}");
        }
    }

    #[test]
    fn ties_in_another_order_each_time_never_pass_unseen(
        size in 1..40u16,
        page_size in 4..9u64,
        group in 2..4usize,
        seed: u64,
        order in orders(),
        twice: bool,
    ) {
        let ties = Some((group, fastrand::Rng::with_seed(seed)));
        let mut server = Server { ties, ..Server::new(distinct(size)) };
        let verify = if twice { Verify::Twice } else { Verify::Seams };
        let policy = Policy { verify, ..policy(page_size) };
        if let Outcome::Whole(mut read, _) = read(policy, &mut server, &mut shuffled(order)).outcome {
            read.sort_unstable();
            prop_assert_eq!(read, distinct(size));
        }
    }

    #[test]
    fn answers_without_sense_end_within_the_budget(
        answers in proptest::collection::vec((0..3u8, 0..40u64, 0..8usize, 0..8usize), 1..40),
        page_size in 1..8u64,
        end_policy: bool,
        order in orders(),
    ) {
        let count_policy = if end_policy { CountPolicy::End } else { CountPolicy::Fail };
        let mut reading = Reading::new(Policy { count_policy, ..policy(page_size) });
        let mut order = shuffled(order);
        let mut open: Vec<Request> = vec![];
        let mut requests = 0;
        for (kind, count, limit, rows) in answers.into_iter().cycle() {
            while open.len() < 4 && let Some(request) = reading.next() {
                requests += 1;
                open.push(request);
            }
            if open.is_empty() {
                break;
            }
            prop_assert!(requests <= 4 * 40 * 8 + 10 + 4, "{requests}");
            let request = open.remove(order(open.len()));
            let offset = usize::try_from(request.ask.offset).unwrap() + usize::from(kind == 0);
            let rows = distinct(u16::try_from(rows).unwrap());
            if let Progress::Absent(..) = reading.answer(request, page(offset, limit, count, &rows)) {
                break;
            }
        }
    }
}
