//! What the README says, held against what there is.

use std::process::Command;

pub(crate) const README: &str = include_str!("../../README.md");

/// The block of a language that begins with these words.
#[track_caller]
pub(crate) fn block(language: &str, begins: &str) -> &'static str {
    let fence = format!("```{language}\n");
    let mut blocks = README.split(&fence).skip(1);
    let found = blocks.find(|text| text.starts_with(begins));
    found.unwrap().split("```").next().unwrap()
}

fn rollbook(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
    let output = command.env("COLUMNS", "100").args(args).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn shows_the_usage_as_the_command_does() {
    let (_, usage) = README
        .split_once("held against the command by a test")
        .unwrap();
    let (_, usage) = usage.split_once("```text\n").unwrap();
    let (usage, _) = usage.split_once("```").unwrap();
    assert_eq!(usage, rollbook(&["export", "-h"]));
}

#[test]
fn names_only_flags_and_commands_that_exist() {
    let commands = [
        "compact",
        "export",
        "login-check",
        "meetings",
        "purge",
        "schema",
        "verify",
    ];
    let help = commands.map(|command| rollbook(&[command, "--help"]));
    let help = help.concat();
    let words = README.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
    let flags: Vec<_> = words
        .filter(|word| word.starts_with("--") && word.len() > 3)
        .collect();
    assert!(flags.len() > 10, "{flags:?}");
    for flag in flags {
        let is_cargo = flag == "--release" || flag == "--path";
        assert!(is_cargo || help.contains(flag), "{flag}");
    }
    let commands = rollbook(&["--help"]);
    // In a text a command stands in backticks; in a block, at the beginning of a line.
    let texts = README
        .split("```")
        .step_by(2)
        .flat_map(|text| text.split("`rollbook ").skip(1));
    let blocks = README.split("```").skip(1).step_by(2);
    let lines = blocks.flat_map(|block| block.split("\nrollbook ").skip(1));
    let named: Vec<_> = texts
        .chain(lines)
        .filter_map(|rest| rest.split([' ', '`']).next())
        .collect();
    assert!(named.len() > 5, "{named:?}");
    for command in named {
        assert!(commands.contains(&format!("\n  {command} ")), "{command}");
    }
}

#[test]
fn tells_each_exit_code_that_the_help_tells() {
    let help = rollbook(&["--help"]);
    let (_, codes) = help.split_once("Exit codes:\n").unwrap();
    for line in codes.lines() {
        let code = line.split_whitespace().next().unwrap();
        assert!(README.contains(&format!("\n| {code} | ")), "{line}");
    }
}

#[test]
fn names_each_column() {
    for column in rollbook::Column::ALL {
        assert!(
            README.contains(&format!("`{}`", column.name())),
            "{}",
            column.name()
        );
    }
}
