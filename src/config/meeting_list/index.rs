//! Which meetings a list has already, without a second copy of any.

use std::hash::{BuildHasher as _, RandomState};

use crate::values::ConfUuid;

/// A place that no meeting has.
const FREE: usize = usize::MAX;

/// Places for the first meetings.
const FEWEST: usize = 16;

/// A hash table of positions in a list: eight bytes a place, where a set would hold each UUID again.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// A power of two of them, at most three quarters taken.
    places: Vec<usize>,
    state: RandomState,
}

impl Index {
    /// Takes in the next meeting of a list; returns whether the list does not have it yet.
    pub(super) fn insert(&mut self, list: &[ConfUuid], meeting: &ConfUuid) -> bool {
        if list.len() * 4 >= self.places.len() * 3 {
            self.grow(list);
        }
        let place = self.place_of(list, meeting);
        match self.places.get_mut(place) {
            Some(free) if *free == FREE => {
                *free = list.len();
                true
            }
            _ => false,
        }
    }

    /// The place of a meeting, or the free one where it belongs.
    fn place_of(&self, list: &[ConfUuid], meeting: &ConfUuid) -> usize {
        let mask = self.places.len() - 1;
        let hash = self.state.hash_one(meeting);
        // The low bits decide.
        let mut place = usize::try_from(hash & mask as u64).unwrap_or_default();
        while let Some(position) = self.places.get(place) {
            if list.get(*position).is_none_or(|there| there == meeting) {
                break;
            }
            place = (place + 1) & mask;
        }
        place
    }

    fn grow(&mut self, list: &[ConfUuid]) {
        let places = (self.places.len() * 2).max(FEWEST);
        // Not both at once.
        self.places = vec![];
        self.places = vec![FREE; places];
        for (position, meeting) in list.iter().enumerate() {
            let place = self.place_of(list, meeting);
            if let Some(place) = self.places.get_mut(place) {
                *place = position;
            }
        }
    }
}
