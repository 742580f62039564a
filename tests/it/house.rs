//! The house rules of `src`: a module imports its own wing and the wings below it, nothing above.
//!
//! The `use` lines are read as text, those of tests included. The lists below are the rules: a new
//! wing is added there.

use std::fs;
use std::path::{Path, PathBuf};

/// The wings of the library, from the top to the bottom. Each may use those behind it in the list.
const WINGS: [&str; 12] = [
    "export",
    "maintenance",
    "fetch",
    "dataset",
    "api",
    "config",
    "report",
    "record",
    "durable_fs",
    "error",
    "failpoint",
    "values",
];

/// The wings that the simulator may use, beside itself.
const BELOW_THE_SIMULATOR: [&str; 2] = ["record", "values"];

/// Modules of the command, which use the library as any other program does.
const COMMAND: [&str; 2] = ["cli", "main"];

/// Modules that only tests may import, each in any wing.
const TESTS: [&str; 3] = ["tests", "faulty", "properties"];

/// Files of `src`, with their paths below it.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut files) = (vec![root.clone()], vec![]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    files.sort();
    files
}

/// Returns the first part of a module's path: its wing.
fn wing(path: &Path) -> String {
    let first = path.components().next().unwrap();
    let name = Path::new(first.as_os_str()).with_extension("");
    name.display().to_string()
}

/// Returns the wings that a line of code names, with `crate::` before them.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

/// Returns the rule that an import breaks.
fn broken_rule(from: &str, to: &str) -> Option<String> {
    if from == to {
        return None;
    }
    if from == "simulator" {
        let is_below = BELOW_THE_SIMULATOR.contains(&to);
        return (!is_below).then(|| format!("the simulator may use {BELOW_THE_SIMULATOR:?} alone"));
    }
    let place = |name| WINGS.iter().position(|wing| *wing == name);
    match (place(from), place(to)) {
        (Some(upper), Some(lower)) if upper < lower => None,
        (Some(_), Some(_)) => Some(format!("{from} lies below {to}: arrows point down")),
        _ => Some(format!(
            "{from} or {to} is no wing of the list in tests/it/house.rs"
        )),
    }
}

/// Returns whether a file, or the rest of it from a line on, is for tests.
fn is_for_tests(path: &Path) -> bool {
    path.components().any(|part| {
        let name = Path::new(part.as_os_str()).with_extension("");
        let name = name.to_string_lossy();
        TESTS.contains(&&*name) || name.ends_with("_tests")
    })
}

#[test]
fn every_import_points_down() {
    let mut broken = vec![];
    for (path, text) in sources() {
        let from = wing(&path);
        if from == "lib" || COMMAND.contains(&&*from) || is_for_tests(&path) {
            continue;
        }
        let code = text.lines().enumerate();
        let code = code.take_while(|(_, line)| !line.ends_with("mod tests {"));
        for (number, line) in code.filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for rule in named(line).filter_map(|to| broken_rule(&from, to)) {
                let number = number + 1;
                broken.push(format!(
                    "src/{}:{number}: {}: {rule}",
                    path.display(),
                    line.trim()
                ));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn an_import_that_points_up_is_named_with_its_rule() {
    assert_eq!(broken_rule("fetch", "api"), None);
    assert_eq!(broken_rule("api", "api"), None);
    let rule = broken_rule("api", "fetch").unwrap();
    assert_eq!(rule, "api lies below fetch: arrows point down");
    assert!(broken_rule("simulator", "dataset").is_some());
    assert!(broken_rule("api", "helpers").unwrap().contains("no wing"));
    let line = "use crate::fetch::{Pager, output}; let x = crate::error::Error::task;";
    assert_eq!(named(line).collect::<Vec<_>>(), ["fetch", "error"]);
}
