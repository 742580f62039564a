//! What came out of many meetings, model by model.

use std::collections::BTreeMap;
use std::fmt;

use super::meeting::{Meeting, Verdict, policy, read};
use super::models::Model;
use super::pages::Pages;
use super::server::{Chooser, Rows, Server, mixed};
use crate::values::Verify;

/// The meetings of one model, one way of choosing replicas and one way of reading.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) model: Model,
    pub(super) chooser: Chooser,
    pub(super) verify: Verify,
    pub(super) meetings: u64,
    pub(super) right: u64,
    pub(super) silent: u64,
    pub(super) absent: BTreeMap<String, u64>,
    /// Requests for the meetings that are right, and the least number for them.
    requests: u64,
    minimum: u64,
    /// The smallest meeting that is silently wrong, by its records and its seed.
    smallest: Option<(usize, u64)>,
}

impl Tally {
    /// Reads meetings drawn from a seed.
    pub(super) fn of(
        (model, chooser, verify): (Model, Chooser, Verify),
        meetings: u64,
        seed: u64,
        pages: &mut Pages,
    ) -> Self {
        let mut tally = Self {
            model,
            chooser,
            verify,
            meetings,
            right: 0,
            silent: 0,
            absent: BTreeMap::new(),
            requests: 0,
            minimum: 0,
            smallest: None,
        };
        for number in 0..meetings {
            // The same servers for each way of reading.
            let seed = mixed(seed ^ mixed((model as u64) << 8 | chooser as u64)) ^ mixed(number);
            let (server, meeting) = tally.read_one(seed, pages, &mut |_| {});
            tally.count(seed, &server, &meeting);
        }
        tally
    }

    fn read_one(
        &self,
        seed: u64,
        pages: &mut Pages,
        trace: &mut dyn FnMut(&dyn Fn() -> String),
    ) -> (Server, Meeting) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut arrival = random.fork();
        let mut server = self.model.draw(self.chooser, random);
        let meeting = read(policy(self.verify), &mut server, &mut arrival, pages, trace);
        (server, meeting)
    }

    fn count(&mut self, seed: u64, server: &Server, meeting: &Meeting) {
        match &meeting.verdict {
            Verdict::Right => {
                self.right += 1;
                self.requests += meeting.requests;
                self.minimum += meeting.minimum;
            }
            Verdict::Silent(_) => {
                self.silent += 1;
                let found = (server.size(), seed);
                self.smallest = Some(self.smallest.map_or(found, |other| other.min(found)));
            }
            Verdict::Absent(status, _) => {
                let status = format!("{status:?}").to_lowercase();
                *self.absent.entry(status).or_default() += 1;
            }
        }
    }

    /// Requests beyond the least number, in percent of it.
    pub(super) fn extra_requests(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
        let share = self.requests as f64 / self.minimum.max(1) as f64;
        (share - 1.0) * 100.0
    }

    /// Meetings that are absent, whatever their status.
    pub(super) fn absent(&self) -> u64 {
        self.absent.values().sum()
    }

    /// Describes the smallest meeting that is silently wrong, step by step.
    pub(super) fn smallest_silent(&self, pages: &mut Pages) -> Option<String> {
        let (_, seed) = self.smallest?;
        let mut steps = vec![];
        let (server, meeting) = self.read_one(seed, pages, &mut |step| steps.push(step()));
        let Verdict::Silent(read) = meeting.verdict else {
            return None;
        };
        let states: Vec<(u64, Rows)> = server.states;
        Some(format!(
            "{:?} {:?} {:?}, seed {seed}\n  lists: {states:?}\n  replicas: {:?}\n  read: {read:?}\n  {}",
            self.model,
            self.chooser,
            self.verify,
            server.replicas,
            steps.join("\n  ")
        ))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let absent: Vec<_> = self
            .absent
            .iter()
            .map(|(status, meetings)| format!("{meetings} {status}"))
            .collect();
        write!(
            f,
            "{:<17} {:<7} {:<6} {:>8} {:>7} {:>7} {:>7.2} %  {}",
            format!("{:?}", self.model),
            format!("{:?}", self.chooser),
            format!("{:?}", self.verify),
            self.meetings,
            self.silent,
            self.absent(),
            self.extra_requests(),
            absent.join(", ")
        )
    }
}

/// The head of the table.
pub(super) fn head() -> String {
    format!(
        "{:<17} {:<7} {:<6} {:>8} {:>7} {:>7} {:>9}  absent as",
        "model", "chooser", "verify", "meetings", "silent", "absent", "requests"
    )
}
