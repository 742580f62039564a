//! The kinds of servers, each drawn at random.

use std::collections::HashMap;

use super::meeting::{PAGE_SIZE, START, STEP};
use super::server::{Cache, Chooser, Replica, Rows, Server, Sorting, Time, shuffle_groups};
use crate::fetch::meeting_reader::minimum_requests;

/// Records of a meeting at most.
const MOST_RECORDS: u16 = 60;

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    /// One order, no equal records.
    Steady,
    /// One order, one to three pairs of equal records, less than a page apart.
    NearTwins,
    /// One order, one to three pairs of equal records, wherever they stand.
    Twins,
    /// Replicas with exchanged pairs of records.
    SwappedPairs,
    /// Replicas with exchanged blocks of records.
    SwappedBlocks,
    /// Replicas with neighbours in another order.
    TiedReplicas,
    /// Neighbours in another order in each answer.
    TiedAnswers,
    /// Replicas in any order.
    ShuffledReplicas,
    /// Any order in each answer.
    ShuffledAnswers,
    /// Equal records in replicas with exchanged pairs.
    TwinsSwapped,
    /// Equal records in replicas in any order.
    TwinsShuffled,
    /// Records move while they are read.
    Moves,
    /// Records exchange their places while they are read.
    Exchanges,
    /// The list is sorted anew while it is read.
    Resorted,
    /// Records move, and replicas lag.
    LaggingMoves,
    /// Replicas with exchanged pairs, behind a cache.
    CachedReplicas,
    /// Records move, behind a cache.
    CachedMoves,
    Appends,
    Inserts,
    Removals,
    /// One inserted, one removed.
    InsertAndRemoval,
    MoveAndInsert,
    MoveAndRemoval,
    LaggingAppends,
    LaggingInserts,
    LaggingRemovals,
    /// Any changes, and replicas lag.
    LaggingChanges,
    /// Records are added and removed, behind a cache.
    CachedAdditions,
    /// Any changes, behind a cache.
    CachedChanges,
    /// Records are added and removed; some are equal.
    TwinsChanging,
}

/// One change of the list.
#[derive(Clone, Copy)]
enum Change {
    Append,
    Insert,
    Remove,
    Move,
    Exchange,
    Sort,
}

impl Model {
    /// Models whose set of records is fixed.
    pub(super) const FIXED: &[Self] = &[
        Self::Steady,
        Self::NearTwins,
        Self::Twins,
        Self::SwappedPairs,
        Self::SwappedBlocks,
        Self::TiedReplicas,
        Self::TiedAnswers,
        Self::ShuffledReplicas,
        Self::ShuffledAnswers,
        Self::TwinsSwapped,
        Self::TwinsShuffled,
        Self::Moves,
        Self::Exchanges,
        Self::Resorted,
        Self::LaggingMoves,
        Self::CachedReplicas,
        Self::CachedMoves,
    ];
    /// Models whose set of records changes while it is read.
    pub(super) const CHANGING: &[Self] = &[
        Self::Appends,
        Self::Inserts,
        Self::Removals,
        Self::InsertAndRemoval,
        Self::MoveAndInsert,
        Self::MoveAndRemoval,
        Self::LaggingAppends,
        Self::LaggingInserts,
        Self::LaggingRemovals,
        Self::LaggingChanges,
        Self::CachedAdditions,
        Self::CachedChanges,
        Self::TwinsChanging,
    ];

    /// The ways in which its replicas are chosen.
    pub(super) fn choosers(self) -> &'static [Chooser] {
        match self {
            Self::SwappedPairs
            | Self::SwappedBlocks
            | Self::TiedReplicas
            | Self::ShuffledReplicas
            | Self::TwinsSwapped
            | Self::TwinsShuffled
            | Self::LaggingMoves
            | Self::CachedReplicas
            | Self::LaggingAppends
            | Self::LaggingInserts
            | Self::LaggingRemovals
            | Self::LaggingChanges => Chooser::BALANCERS,
            _ => Chooser::ONE,
        }
    }

    /// Draws a server of this kind.
    pub(super) fn draw(self, chooser: Chooser, mut random: fastrand::Rng) -> Server {
        let size = random.u16(1..=MOST_RECORDS);
        let mut rows: Rows = (1..=size).collect();
        if self == Self::NearTwins {
            make_twins(&mut rows, &mut random, 2);
        }
        if matches!(
            self,
            Self::Twins | Self::TwinsSwapped | Self::TwinsShuffled | Self::TwinsChanging
        ) {
            make_twins(&mut rows, &mut random, 3);
        }
        let mut server = Server::new(rows, random);
        server.chooser = chooser;
        self.draw_orders(&mut server);
        self.draw_times(&mut server);
        server
    }

    fn draw_orders(self, server: &mut Server) {
        let random = &mut server.random;
        let size = server.states[0].1.len();
        let change: fn(&mut Vec<usize>, &mut fastrand::Rng) = match self {
            Self::SwappedPairs | Self::TwinsSwapped | Self::CachedReplicas => |order, random| {
                for _ in 0..random.u8(1..=3) {
                    swap_any(order, random);
                }
            },
            Self::SwappedBlocks => swap_blocks,
            Self::TiedReplicas => |order, random| {
                let sizes = groups(order.len(), random);
                shuffle_groups(order, &sizes, random);
            },
            Self::ShuffledReplicas | Self::TwinsShuffled => |order, random| random.shuffle(order),
            Self::TiedAnswers => {
                server.sorting = Sorting::Ties(groups(size, random));
                return;
            }
            Self::ShuffledAnswers => {
                server.sorting = Sorting::Shuffled;
                return;
            }
            _ => return,
        };
        server.replicas = (0..random.usize(2..=3))
            .map(|number| {
                let mut order: Vec<usize> = (0..size).collect();
                if number > 0 {
                    change(&mut order, random);
                }
                Replica {
                    lag: 0,
                    order: Some(order),
                }
            })
            .collect();
    }

    /// Draws what depends on time: replicas that lag, a cache, and when the list changes.
    fn draw_times(self, server: &mut Server) {
        let random = &mut server.random;
        let size = server.states[0].1.len() as u64;
        let walk = STEP * (minimum_requests(size, PAGE_SIZE) + 3);
        let mut before = 0;
        match self {
            Self::LaggingMoves
            | Self::LaggingAppends
            | Self::LaggingInserts
            | Self::LaggingRemovals
            | Self::LaggingChanges => {
                before = random.u64(STEP..=3 * walk);
                server.replicas = (0..random.u64(2..=3))
                    .map(|number| Replica {
                        lag: number.min(1) * random.u64(1..=before),
                        order: None,
                    })
                    .collect();
            }
            Self::CachedReplicas
            | Self::CachedMoves
            | Self::CachedAdditions
            | Self::CachedChanges => {
                before = random.u64(STEP..=20_000);
                server.cache = Some(Cache {
                    keeps: before,
                    answers: HashMap::new(),
                });
            }
            _ => {}
        }
        let mut changes = self.draw_changes(random);
        random.shuffle(&mut changes);
        let mut draw_time = || random.u64(START - before..=START + walk);
        let at_once = draw_time();
        let mut times: Vec<Time> = changes.iter().map(|_| draw_time()).collect();
        if random.bool() {
            times.fill(at_once);
        }
        times.sort_unstable();
        let mut rows = server.states[0].1.clone();
        for (next, (change, time)) in
            (u16::try_from(size).unwrap() + 1..).zip(changes.into_iter().zip(times))
        {
            change.apply(&mut rows, next, random);
            server.states.push((time, rows.clone()));
        }
    }

    fn draw_changes(self, random: &mut fastrand::Rng) -> Vec<Change> {
        let mut some = |kinds: &[Change]| -> Vec<Change> {
            (0..random.u8(1..=3))
                .map(|_| kinds[random.usize(..kinds.len())])
                .collect()
        };
        match self {
            Self::Moves | Self::LaggingMoves | Self::CachedMoves => some(&[Change::Move]),
            Self::Exchanges => some(&[Change::Exchange]),
            Self::Resorted => vec![Change::Sort],
            Self::Appends | Self::LaggingAppends => some(&[Change::Append]),
            Self::Inserts | Self::LaggingInserts => some(&[Change::Insert]),
            Self::Removals | Self::LaggingRemovals => some(&[Change::Remove]),
            Self::InsertAndRemoval => vec![Change::Insert, Change::Remove],
            Self::MoveAndInsert => vec![Change::Move, Change::Insert],
            Self::MoveAndRemoval => vec![Change::Move, Change::Remove],
            Self::LaggingChanges | Self::CachedChanges => {
                some(&[Change::Append, Change::Insert, Change::Remove, Change::Move])
            }
            Self::CachedAdditions | Self::TwinsChanging => {
                some(&[Change::Append, Change::Insert, Change::Remove])
            }
            _ => vec![],
        }
    }
}

impl Change {
    fn apply(self, rows: &mut Rows, next: u16, random: &mut fastrand::Rng) {
        match self {
            Self::Append => rows.push(next),
            Self::Insert => rows.insert(random.usize(..=rows.len()), next),
            Self::Sort => random.shuffle(rows),
            // The others need a record to change.
            _ if rows.is_empty() => {}
            Self::Remove => {
                rows.remove(random.usize(..rows.len()));
            }
            Self::Move => {
                let row = rows.remove(random.usize(..rows.len()));
                rows.insert(random.usize(..=rows.len()), row);
            }
            Self::Exchange => swap_any(rows, random),
        }
    }
}

/// Exchanges two items, wherever they stand.
fn swap_any<T>(items: &mut [T], random: &mut fastrand::Rng) {
    let (one, other) = (random.usize(..items.len()), random.usize(..items.len()));
    items.swap(one, other);
}

/// Makes one to three pairs of equal records. Of the three kinds: neighbours, less than a page
/// apart, anywhere, so many come.
fn make_twins(rows: &mut Rows, random: &mut fastrand::Rng, kinds: u8) {
    for _ in 0..random.u8(1..=3) {
        let first = random.usize(..rows.len());
        let apart = match random.u8(..kinds) {
            0 => 1,
            1 => random.usize(1..usize::try_from(PAGE_SIZE).unwrap()),
            _ => random.usize(..rows.len()),
        };
        let second = (first + apart).min(rows.len() - 1);
        rows[second] = rows[first];
    }
}

/// Sizes of groups of neighbours, most of them small, some larger than a page.
fn groups(size: usize, random: &mut fastrand::Rng) -> Vec<usize> {
    let mut sizes = vec![];
    let mut left = size;
    while left > 0 {
        let most = if random.u8(..8) == 0 { 12 } else { 4 };
        let group = random.usize(1..=most).min(left);
        sizes.push(group);
        left -= group;
    }
    sizes
}

/// Exchanges two blocks that do not overlap.
fn swap_blocks(order: &mut Vec<usize>, random: &mut fastrand::Rng) {
    let mut cuts: [usize; 4] = std::array::from_fn(|_| random.usize(..=order.len()));
    cuts.sort_unstable();
    let [a, b, c, d] = cuts;
    *order = [
        &order[..a],
        &order[c..d],
        &order[b..c],
        &order[a..b],
        &order[d..],
    ]
    .concat();
}
