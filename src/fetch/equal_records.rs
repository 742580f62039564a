//! Equal records of one walk, found by their digests, and which of them are in doubt.
//!
//! Each answer is one snapshot of the server's list. Equal records inside one answer are therefore
//! two records. Equal records that came in two answers, the seam apart, may be one record that
//! stood at two places: a replica in another order, a list that was sorted again, a cached answer.
//! Where no records are in doubt, no record came twice. With as many records as `count`, none can
//! be missing then, in whatever order each answer was cut from a list of the same records.
//!
//! Memory: 8 bytes a record, and as much again, up to 8 MiB, while equal records are looked for.

/// Records whose digests are sorted at once.
const SORTED_AT_ONCE: u64 = 1 << 20;

/// Doubts that are kept with their places; more are only counted.
const KEPT_DOUBTS: usize = 16;

/// The digests of a walk's answers, in order. Each answer but the first begins with the last record
/// of the one before: the seam.
#[derive(Debug, Default)]
pub(super) struct WalkDigests {
    answers: Vec<Answer>,
    records: u64,
}

#[derive(Debug)]
struct Answer {
    /// Offset of its first record.
    offset: u64,
    digests: Vec<u64>,
}

/// A multiset of records: equal for the same records in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Multiset {
    sum: u128,
    records: u64,
}

impl Multiset {
    /// Number of records.
    pub(crate) const fn len(self) -> u64 {
        self.records
    }

    /// Returns the multiset in 16 bytes.
    pub(crate) fn digest(self) -> u128 {
        self.sum ^ (u128::from(self.records) << 96)
    }
}

impl FromIterator<u64> for Multiset {
    fn from_iter<T: IntoIterator<Item = u64>>(digests: T) -> Self {
        digests
            .into_iter()
            .fold(Self::default(), |all, digest| Self {
                sum: all.sum.wrapping_add(u128::from(digest)),
                records: all.records + 1,
            })
    }
}

/// Equal records of which no single answer holds all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// Offset of the first of them.
    pub(crate) first: u64,
    /// Offset of the last of them.
    pub(crate) last: u64,
    /// Number of places they stand at.
    pub(crate) places: u64,
}

/// What a walk shows about equal records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EqualRecords {
    /// Records that equal another one at a lower offset.
    pub(crate) repeats: u64,
    /// Doubts by their first offset, [`KEPT_DOUBTS`] at most.
    pub(crate) doubts: Vec<Doubt>,
    /// All doubts, those that are not kept included.
    pub(crate) all_doubts: u64,
}

impl WalkDigests {
    /// Adds the next answer.
    pub(super) fn push(&mut self, digests: Vec<u64>) {
        let offset = self.records.saturating_sub(1);
        self.records = offset + digests.len() as u64;
        self.answers.push(Answer { offset, digests });
    }

    /// Returns the multiset of the records.
    pub(super) fn multiset(&self) -> Multiset {
        self.fresh().flatten().copied().collect()
    }

    /// Returns the digests of the records from `first` to `last`, both included.
    pub(super) fn between(&self, first: u64, last: u64) -> Vec<u64> {
        let behind = self
            .answers
            .partition_point(|answer| answer.offset + answer.digests.len() as u64 <= first);
        let records = self.records_from(behind);
        let wanted = records
            .skip_while(|(offset, _)| *offset < first)
            .take_while(|(offset, _)| *offset <= last);
        wanted.map(|(_, digest)| digest).collect()
    }

    /// Looks for equal records, in parts of the digests' range so that the memory stays bounded.
    pub(super) fn equal_records(&self) -> EqualRecords {
        let parts = self.records.div_ceil(SORTED_AT_ONCE).next_power_of_two();
        let bits = parts.trailing_zeros();
        let part_of = |digest: u64| digest.checked_shr(u64::BITS - bits).unwrap_or(0);
        let mut equal = EqualRecords::default();
        let mut sorted = Vec::new();
        for part in 0..parts {
            let of_part = || {
                self.records()
                    .filter(move |(_, digest)| part_of(*digest) == part)
            };
            sorted.clear();
            for digests in self.fresh() {
                let of_part = digests.iter().filter(|digest| part_of(**digest) == part);
                of_part.for_each(|digest| sorted.push(*digest));
            }
            sorted.sort_unstable();
            let repeated: Vec<u64> = sorted
                .chunk_by(|one, two| one == two)
                .filter(|equal| equal.len() > 1)
                .map(|equal| equal[0])
                .collect();
            if repeated.is_empty() {
                continue;
            }
            let mut places: Vec<Option<Doubt>> = vec![None; repeated.len()];
            for (offset, digest) in of_part() {
                let Ok(index) = repeated.binary_search(&digest) else {
                    continue;
                };
                let places = places[index].get_or_insert(Doubt {
                    first: offset,
                    last: offset,
                    places: 0,
                });
                places.last = offset;
                places.places += 1;
            }
            for places in places.into_iter().flatten() {
                equal.repeats += places.places - 1;
                if !self.is_one_answer(places.first, places.last) {
                    equal.all_doubts += 1;
                    equal.doubts.push(places);
                }
            }
            equal.doubts.sort_unstable_by_key(|doubt| doubt.first);
            equal.doubts.truncate(KEPT_DOUBTS);
        }
        equal
    }

    /// Whether one answer holds both records.
    fn is_one_answer(&self, first: u64, last: u64) -> bool {
        // The earliest answer that holds the last one: a seam is in two.
        let begun = self.answers.partition_point(|answer| answer.offset < last);
        let earliest = begun
            .checked_sub(1)
            .and_then(|index| self.answers.get(index));
        earliest.is_some_and(|answer| answer.offset <= first)
    }

    /// The digests of each answer without those of the answer before.
    fn fresh(&self) -> impl Iterator<Item = &[u64]> {
        let answers = self.answers.iter().enumerate();
        answers.map(|(index, answer)| answer.digests.get(usize::from(index > 0)..).unwrap_or(&[]))
    }

    /// Each record's offset and digest, in order.
    fn records(&self) -> impl Iterator<Item = (u64, u64)> {
        self.records_from(0)
    }

    /// The same from an answer on.
    fn records_from(&self, index: usize) -> impl Iterator<Item = (u64, u64)> {
        let answers = self.answers.iter().enumerate().skip(index);
        answers.flat_map(|(index, answer)| {
            let seam = usize::from(index > 0);
            (answer.offset..)
                .zip(answer.digests.iter().copied())
                .skip(seam)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The digests of records, cut into answers of these sizes, the seam aside.
    fn walk(records: &[u64], sizes: &[usize]) -> WalkDigests {
        let mut walk = WalkDigests::default();
        let mut from = 0;
        for size in sizes.iter().cycle() {
            let to = (from + size + usize::from(from > 0)).min(records.len());
            walk.push(records[from..to].to_vec());
            if to == records.len() {
                return walk;
            }
            from = to - 1;
        }
        walk
    }

    #[test]
    fn equal_records_inside_one_answer_are_no_doubt() {
        let equal = walk(&[1, 2, 2, 3, 4, 5, 5], &[4]).equal_records();
        assert_eq!((equal.repeats, equal.all_doubts), (2, 0));
    }

    #[test]
    fn a_record_at_the_seam_is_in_both_answers() {
        // The seam is at offset 3, and its twin in the answer before it or behind it.
        for records in [[1, 3, 2, 3, 4, 5, 6], [1, 2, 0, 3, 3, 5, 6]] {
            let equal = walk(&records, &[4, 3]).equal_records();
            assert_eq!((equal.repeats, equal.all_doubts), (1, 0), "{records:?}");
        }
    }

    #[test]
    fn equal_records_of_two_answers_are_a_doubt_with_their_places() {
        let equal = walk(&[9, 1, 2, 3, 9, 5, 9], &[4, 3]).equal_records();
        let doubt = Doubt {
            first: 0,
            last: 6,
            places: 3,
        };
        assert_eq!((equal.repeats, equal.doubts), (2, vec![doubt]));
    }

    #[test]
    fn more_doubts_than_are_kept_are_counted() {
        let records: Vec<u64> = (0..40).chain(0..40).collect();
        let equal = walk(&records, &[10]).equal_records();
        assert_eq!((equal.repeats, equal.all_doubts), (40, 40));
        assert_eq!(equal.doubts.len(), KEPT_DOUBTS);
        assert_eq!(equal.doubts[0].first, 0);
    }

    #[test]
    fn a_meeting_that_is_looked_at_in_parts_gives_the_same() {
        let spread = |record: u64| record.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut records: Vec<u64> = (0..SORTED_AT_ONCE * 2 + 5).map(spread).collect();
        let far = records.len() - 1;
        records[far] = records[7];
        records[100] = records[101];
        let equal = walk(&records, &[500]).equal_records();
        let doubt = Doubt {
            first: 7,
            last: far as u64,
            places: 2,
        };
        assert_eq!((equal.repeats, equal.doubts), (2, vec![doubt]));
    }

    proptest! {
        #[test]
        fn a_doubt_is_what_no_answer_holds_whole(
            records in proptest::collection::vec(0..12_u64, 1..40),
            sizes in proptest::collection::vec(2..9_usize, 1..5),
        ) {
            let walk = walk(&records, &sizes);
            let equal = walk.equal_records();
            let mut expected = vec![];
            for value in 0..12 {
                let at: Vec<u64> = (0..).zip(&records).filter(|(_, record)| **record == value)
                    .map(|(offset, _)| offset).collect();
                let holds = |answer: &Answer| at.iter().all(|offset| {
                    (answer.offset..answer.offset + answer.digests.len() as u64).contains(offset)
                });
                if at.len() > 1 && !walk.answers.iter().any(holds) {
                    expected.push((at[0], at[at.len() - 1], at.len() as u64));
                }
            }
            expected.sort_unstable();
            let doubts = equal.doubts.iter();
            let doubts: Vec<_> = doubts.map(|doubt| (doubt.first, doubt.last, doubt.places)).collect();
            prop_assert_eq!(doubts, expected);
            let last = records.len() - 1;
            for first in [0, last / 2, last] {
                prop_assert_eq!(walk.between(first as u64, last as u64), records[first..].to_vec());
            }
        }
    }
}
