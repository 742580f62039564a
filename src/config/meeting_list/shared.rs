//! Meetings of a run, shared rather than copied: a list of millions is in memory once.

use std::sync::Arc;

use crate::values::ConfUuid;

/// Meetings in order, some or all of a list. A clone shares the list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meetings {
    list: Arc<Vec<ConfUuid>>,
    /// Positions of those that are meant; without them, all are.
    chosen: Option<Arc<Vec<usize>>>,
}

impl Meetings {
    pub(crate) fn len(&self) -> usize {
        match &self.chosen {
            Some(chosen) => chosen.len(),
            None => self.list.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &ConfUuid> {
        (0..self.len()).filter_map(|number| self.get(number))
    }

    /// Drops the meetings that are not to be kept.
    pub(crate) fn retain(&mut self, mut is_kept: impl FnMut(&ConfUuid) -> bool) {
        let kept = (0..self.len()).filter_map(|number| self.position(number));
        let kept = kept.filter(|&position| self.list.get(position).is_some_and(&mut is_kept));
        let kept: Vec<_> = kept.collect();
        if kept.len() < self.len() {
            self.chosen = Some(Arc::new(kept));
        }
    }

    fn position(&self, number: usize) -> Option<usize> {
        match &self.chosen {
            Some(chosen) => chosen.get(number).copied(),
            None => Some(number),
        }
    }

    fn get(&self, number: usize) -> Option<&ConfUuid> {
        self.list.get(self.position(number)?)
    }
}

impl From<Vec<ConfUuid>> for Meetings {
    fn from(list: Vec<ConfUuid>) -> Self {
        Self {
            list: Arc::new(list),
            chosen: None,
        }
    }
}

impl IntoIterator for Meetings {
    type Item = ConfUuid;
    type IntoIter = Waiting;

    fn into_iter(self) -> Waiting {
        Waiting {
            meetings: self,
            next: 0,
        }
    }
}

/// Meetings, one after the other.
#[derive(Debug)]
pub(crate) struct Waiting {
    meetings: Meetings,
    next: usize,
}

impl Iterator for Waiting {
    type Item = ConfUuid;

    fn next(&mut self) -> Option<ConfUuid> {
        let meeting = self.meetings.get(self.next)?;
        self.next += 1;
        Some(meeting.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_twice_is_what_both_keep_and_a_clone_stays_whole() {
        let list = ["a", "b", "c", "d"].map(|name| name.parse().unwrap());
        let all = Meetings::from(list.to_vec());
        let mut some = all.clone();
        some.retain(|meeting| meeting.as_str() != "b");
        some.retain(|_| true);
        some.retain(|meeting| meeting.as_str() != "c");
        assert_eq!((all.len(), some.len()), (4, 2));
        let names = |meetings: Meetings| {
            let names = meetings.into_iter().map(|meeting| meeting.to_string());
            names.collect::<Vec<_>>().concat()
        };
        assert_eq!(some.iter().count(), 2);
        assert_eq!((names(all), names(some)), ("abcd".into(), "ad".into()));
        assert!(Meetings::default().is_empty());
    }
}
