//! Variables that are named like settings and are none: most are typing errors.
//!
//! A variable is known if a flag has it, if rollbook reads it by its name, or if something else that
//! the user wrote names it: an argument, the value of a known variable, the config file (tenants keep
//! their secrets in variables of any name). Kubernetes makes variables for each service of a
//! namespace; those are no settings either, and no errors.

use std::collections::BTreeSet;
use std::env;
use std::path::Path;

use clap::Command;

const PREFIX: &str = "ROLLBOOK_";

/// Variables that no flag has.
const WITHOUT_FLAG: [&str; 6] = [
    "ROLLBOOK_LOG",
    "ROLLBOOK_ACCESS_TOKEN",
    "ROLLBOOK_APP_KEY",
    "ROLLBOOK_PASSWORD",
    "ROLLBOOK_TOKEN_COMMAND",
    "ROLLBOOK_PII_KEY",
];

/// Variables that only a debug build reads.
const OF_TESTS: [&str; 3] = [
    "ROLLBOOK_CRASH_AT",
    "ROLLBOOK_CRASH_TRACE",
    "ROLLBOOK_PANIC_AT",
];

/// Largest config file that is searched for names.
const LARGEST: u64 = 1 << 20;

/// Returns a sentence for each variable that is no setting, in the order of their names.
pub(crate) fn unknown(command: &Command, config: Option<&Path>) -> Vec<String> {
    let known = known(command);
    let mut suspects = BTreeSet::new();
    let mut texts: Vec<String> = env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    for (name, value) in super::all() {
        let name = name.to_string_lossy().into_owned();
        let value = value.to_string_lossy().into_owned();
        if known.contains(&name) {
            texts.push(value);
        } else if is_ours(&name) && !is_of_kubernetes(&name, &value) {
            suspects.insert(name);
        }
    }
    if suspects.is_empty() {
        return vec![];
    }
    texts.extend(config.and_then(text_of));
    suspects.retain(|name| !texts.iter().any(|text| text.contains(name.as_str())));
    suspects.iter().map(|name| sentence(name, &known)).collect()
}

fn text_of(config: &Path) -> Option<String> {
    let size = std::fs::metadata(config).ok()?.len();
    (size <= LARGEST).then(|| std::fs::read_to_string(config).ok())?
}

fn known(command: &Command) -> BTreeSet<String> {
    let flags = command.get_arguments().filter_map(|flag| flag.get_env());
    let mut known: BTreeSet<_> = flags
        .map(|name| name.to_string_lossy().into_owned())
        .chain(WITHOUT_FLAG.map(str::to_owned))
        .collect();
    if cfg!(debug_assertions) {
        known.extend(OF_TESTS.map(str::to_owned));
    }
    for command in command.get_subcommands() {
        known.extend(self::known(command));
    }
    known
}

/// Whether a name is meant for rollbook; a system may tell letters of both cases apart.
fn is_ours(name: &str) -> bool {
    let prefix = name.get(..PREFIX.len());
    prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(PREFIX))
}

/// Whether Kubernetes, or Docker with its links, made a variable for a service whose name begins
/// with `rollbook`: `ROLLBOOK_SERVICE_HOST`, `ROLLBOOK_PORT_80_TCP`, `ROLLBOOK_UI_PORT`.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    let has_number = |(_, rest): (&str, &str)| rest.starts_with(|c: char| c.is_ascii_digit());
    name == "ROLLBOOK_PORT"
        || name.starts_with("ROLLBOOK_PORT_")
        || name.starts_with("ROLLBOOK_SERVICE_")
        || name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.split_once("_PORT_").is_some_and(has_number)
        || name.ends_with("_PORT") && is_address
}

fn sentence(name: &str, known: &BTreeSet<String>) -> String {
    let upper = name.to_ascii_uppercase();
    // A name that tests alone use is no advice.
    let names = known
        .iter()
        .filter(|known| !OF_TESTS.contains(&known.as_str()));
    // The beginning of a name says more than as many other letters.
    let is_cut = |known: &str| known.starts_with(&upper) || upper.starts_with(known);
    let nearest = names.min_by_key(|known| {
        if is_cut(known) {
            1
        } else {
            distance(&upper, known)
        }
    });
    let nearest = nearest.map_or("", |nearest| nearest.as_str());
    format!("the variable {name} is no setting and has no effect; the nearest name is {nearest}")
}

/// Edits that make one text of the other: letters put in, left out or replaced.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, a) in one.bytes().enumerate() {
        let mut corner = line;
        let mut left = line + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(other.bytes()) {
            let replaced = corner + usize::from(a != b);
            corner = *cell;
            left = replaced.min(corner + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn the_distance_counts_edits() {
        for (one, other, edits) in [
            ("", "", 0),
            ("", "ab", 2),
            ("ab", "", 2),
            ("RATE", "RATES", 1),
            ("RATTE", "RATE", 1),
            ("RETA", "RATE", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), edits, "{one} {other}");
            assert_eq!(distance(other, one), edits, "{other} {one}");
        }
    }

    #[test]
    fn variables_of_services_are_told_from_typing_errors() {
        for (name, value) in [
            ("ROLLBOOK_SERVICE_HOST", "10.0.0.1"),
            ("ROLLBOOK_SERVICE_PORT_HTTP", "80"),
            ("ROLLBOOK_PORT", "tcp://10.0.0.1:80"),
            ("ROLLBOOK_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("ROLLBOOK_UI_SERVICE_HOST", "10.0.0.1"),
            ("ROLLBOOK_UI_SERVICE_PORT", "80"),
            ("ROLLBOOK_UI_PORT", "tcp://10.0.0.1:80"),
            ("ROLLBOOK_UI_PORT_80_TCP_PROTO", "tcp"),
        ] {
            assert!(is_of_kubernetes(name, value), "{name}");
        }
        for name in ["ROLLBOOK_REPORT", "ROLLBOOK_REPORT_FILE", "ROLLBOOK_RAPORT"] {
            assert!(!is_of_kubernetes(name, "x"), "{name}");
        }
    }

    #[test]
    fn the_nearest_name_is_one_that_people_use() {
        let known = known(&Cli::command());
        for (name, nearest) in [
            ("ROLLBOOK_RATTE", "ROLLBOOK_RATE"),
            ("ROLLBOOK_BASEURL", "ROLLBOOK_BASE_URL"),
            ("ROLLBOOK_METRICS", "ROLLBOOK_METRICS_FILE"),
            ("ROLLBOOK_REPORT_FILE", "ROLLBOOK_REPORT"),
            ("rollbook_app_key", "ROLLBOOK_APP_KEY"),
        ] {
            let text = sentence(name, &known);
            assert!(text.contains(name) && text.ends_with(nearest), "{text}");
        }
        let text = sentence("ROLLBOOK_CRASH_ATT", &known);
        assert!(!OF_TESTS.iter().any(|test| text.ends_with(test)), "{text}");
    }
}
