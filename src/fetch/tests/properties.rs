//! What must hold for servers of each kind.

use std::env;

use super::models::Model;
use super::pages::Pages;
use super::table::{Tally, head};
use crate::values::Verify;

/// Meetings of each model, where nothing else is asked for.
const MEETINGS: u64 = 300;

/// The seed, where nothing else is asked for.
const SEED: u64 = 13;

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Reads meetings of each model and prints the table.
fn tallies(models: &[Model], verify: Verify) -> Vec<Tally> {
    let meetings = setting("ROLLBOOK_LABORATORY_MEETINGS", MEETINGS);
    let seed = setting("ROLLBOOK_LABORATORY_SEED", SEED);
    let pages = &mut Pages::new();
    let mut tallies = vec![];
    let mut lines = vec![format!("seed {seed}"), head()];
    for &model in models {
        let choosers = model.choosers();
        for &chooser in choosers {
            let share = meetings.div_ceil(choosers.len() as u64);
            let tally = Tally::of((model, chooser, verify), share, seed, pages);
            lines.push(tally.to_string());
            tallies.push(tally);
        }
    }
    lines.extend(
        tallies
            .iter()
            .filter_map(|tally| tally.smallest_silent(pages)),
    );
    println!("{}", lines.join("\n"));
    tallies
}

fn assert_none_is_silent(tallies: &[Tally]) {
    for tally in tallies {
        assert_eq!(tally.silent, 0, "{tally}");
    }
}

#[test]
fn no_meeting_whose_set_is_fixed_comes_out_wrong() {
    assert_none_is_silent(&tallies(Model::FIXED, Verify::Seams));
}

#[test]
fn no_meeting_whose_set_is_fixed_comes_out_wrong_of_two_walks() {
    assert_none_is_silent(&tallies(Model::FIXED, Verify::Twice));
}

#[test]
fn hardly_a_meeting_whose_set_changes_comes_out_wrong() {
    let tallies = tallies(Model::CHANGING, Verify::Seams);
    let meetings: u64 = tallies.iter().map(|tally| tally.meetings).sum();
    let silent: u64 = tallies.iter().map(|tally| tally.silent).sum();
    assert!(silent * 1000 <= meetings, "{silent} of {meetings}");
}

#[test]
fn no_meeting_whose_set_changes_comes_out_wrong_of_two_walks() {
    assert_none_is_silent(&tallies(Model::CHANGING, Verify::Twice));
}

#[test]
fn a_steady_list_with_equal_records_near_each_other_is_complete_for_a_few_requests_more() {
    let tallies = tallies(&[Model::NearTwins], Verify::Seams);
    let tally = &tallies[0];
    assert!(tally.absent() * 50 <= tally.meetings, "{tally}");
    assert!(tally.extra_requests() < 20.0, "{tally}");
}

#[test]
fn a_steady_list_without_equal_records_costs_the_least_number_of_requests() {
    let tallies = tallies(&[Model::Steady], Verify::Seams);
    assert_eq!(tallies[0].right, tallies[0].meetings);
    assert!(
        tallies[0].extra_requests().abs() < f64::EPSILON,
        "{}",
        tallies[0]
    );
}
