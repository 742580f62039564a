//! A server in virtual time: a list that changes, copies of it that differ, and a cache.

use std::collections::HashMap;

/// A list of records, each named by its number; equal numbers are equal records.
pub(super) type Rows = Vec<u16>;

/// Virtual time in milliseconds.
pub(super) type Time = u64;

/// Record numbers stay below this.
const NUMBERS: usize = 128;

/// Decides which replica answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chooser {
    /// There is one server.
    Only,
    Chance,
    Turns,
    Offset,
    Url,
}

impl Chooser {
    pub(super) const ONE: &[Self] = &[Self::Only];
    pub(super) const BALANCERS: &[Self] = &[Self::Chance, Self::Turns, Self::Offset, Self::Url];
}

/// One copy of the list.
#[derive(Clone, Debug, Default)]
pub(super) struct Replica {
    /// How far it is behind.
    pub(super) lag: Time,
    /// The place in the list of each record that it shows; `None` shows the list as it is.
    pub(super) order: Option<Vec<usize>>,
}

/// What each answer does with the order of the list.
#[derive(Clone, Debug)]
pub(super) enum Sorting {
    Kept,
    /// Neighbours in groups of these sizes come in another order in each answer.
    Ties(Vec<usize>),
    Shuffled,
}

/// Answers kept for a while, by their URL.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    /// How long an answer is kept.
    pub(super) keeps: Time,
    /// When an answer stops to be given, and the answer.
    pub(super) answers: HashMap<(u64, u64), (Time, Answer)>,
}

/// The records and the count that one request brings.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) rows: Rows,
    pub(super) count: u64,
}

/// A simulated server with one meeting.
#[derive(Debug)]
pub(super) struct Server {
    /// The list, and since when it has been so.
    pub(super) states: Vec<(Time, Rows)>,
    pub(super) replicas: Vec<Replica>,
    pub(super) chooser: Chooser,
    pub(super) sorting: Sorting,
    pub(super) cache: Option<Cache>,
    pub(super) random: fastrand::Rng,
    salt: u64,
    answers: usize,
    /// The earliest moment whose list an answer showed.
    earliest: Time,
}

impl Server {
    /// A single server with a list that stays as it is.
    pub(super) fn new(rows: Rows, mut random: fastrand::Rng) -> Self {
        Self {
            states: vec![(0, rows)],
            replicas: vec![Replica::default()],
            chooser: Chooser::Only,
            sorting: Sorting::Kept,
            cache: None,
            salt: random.u64(..),
            random,
            answers: 0,
            earliest: Time::MAX,
        }
    }

    /// Answers a request.
    pub(super) fn answer(&mut self, offset: u64, limit: u64, now: Time) -> Answer {
        self.answers += 1;
        if let Some(cache) = &self.cache
            && let Some((until, answer)) = cache.answers.get(&(offset, limit))
            && *until > now
        {
            return answer.clone();
        }
        // Others may have asked the same before.
        let asked_at = match &self.cache {
            Some(cache) if self.random.u8(..4) == 0 => now - self.random.u64(..cache.keeps),
            _ => now,
        };
        let answer = self.look_up(offset, limit, asked_at);
        if let Some(cache) = &mut self.cache {
            let entry = (asked_at + cache.keeps, answer.clone());
            cache.answers.insert((offset, limit), entry);
        }
        answer
    }

    fn look_up(&mut self, offset: u64, limit: u64, now: Time) -> Answer {
        let choice = self.choose(offset, limit);
        let replica = &self.replicas[choice];
        let at = now - replica.lag;
        self.earliest = self.earliest.min(at);
        let list = self.state_at(at);
        let mut rows = match &replica.order {
            Some(order) if order.len() == list.len() => {
                order.iter().map(|&place| list[place]).collect()
            }
            _ => list.clone(),
        };
        match &self.sorting {
            Sorting::Kept => {}
            Sorting::Ties(sizes) => shuffle_groups(&mut rows, sizes, &mut self.random),
            Sorting::Shuffled => self.random.shuffle(&mut rows),
        }
        let count = rows.len() as u64;
        let skipped = usize::try_from(offset).unwrap();
        let taken = usize::try_from(limit).unwrap();
        let rows = rows.into_iter().skip(skipped).take(taken).collect();
        Answer { rows, count }
    }

    fn choose(&mut self, offset: u64, limit: u64) -> usize {
        let replicas = self.replicas.len();
        let hash = |key: u64| usize::try_from(mixed(key ^ self.salt) >> 32).unwrap();
        let number = match self.chooser {
            Chooser::Only => 0,
            Chooser::Chance => self.random.usize(..),
            Chooser::Turns => self.answers,
            Chooser::Offset => hash(offset),
            Chooser::Url => hash(offset << 16 | limit),
        };
        number % replicas
    }

    fn state_at(&self, time: Time) -> &Rows {
        let after = self.states.partition_point(|(since, _)| *since <= time);
        &self.states[after - 1].1
    }

    /// Records of the list at the end.
    pub(super) fn size(&self) -> usize {
        self.states.last().map_or(0, |(_, rows)| rows.len())
    }

    /// Whether `read` has every record that was there throughout, once, and none that never was.
    pub(super) fn is_right(&self, read: &[u16], end: Time) -> bool {
        let (mut least, mut most) = ([usize::MAX; NUMBERS], [0; NUMBERS]);
        for (place, (since, rows)) in self.states.iter().enumerate() {
            let until = self.states.get(place + 1).map_or(Time::MAX, |next| next.0);
            if *since > end || until <= self.earliest {
                continue;
            }
            for (number, times) in multiplicities(rows).into_iter().enumerate() {
                least[number] = least[number].min(times);
                most[number] = most[number].max(times);
            }
        }
        let read = multiplicities(read);
        (0..NUMBERS).all(|number| (least[number]..=most[number]).contains(&read[number]))
    }
}

fn multiplicities(rows: &[u16]) -> [usize; NUMBERS] {
    let mut times = [0; NUMBERS];
    for row in rows {
        times[usize::from(*row)] += 1;
    }
    times
}

/// Shuffles neighbours within groups of the given sizes.
pub(super) fn shuffle_groups<T>(items: &mut [T], sizes: &[usize], random: &mut fastrand::Rng) {
    let mut rest = items;
    for &size in sizes {
        let (group, behind) = rest.split_at_mut(size.min(rest.len()));
        random.shuffle(group);
        rest = behind;
    }
}

/// Spreads a key over all bits (the finalizer of `SplitMix64`).
pub(super) fn mixed(key: u64) -> u64 {
    let key = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let key = (key ^ key >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let key = (key ^ key >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    key ^ key >> 31
}
