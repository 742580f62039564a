//! `config.example.toml` against the settings that it explains.

use std::collections::BTreeSet;

use rollbook::Config;

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// The example with every optional key in force.
fn uncommented() -> String {
    let lines = EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase()) => setting,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn keys(text: &str) -> BTreeSet<String> {
    let table: toml::Table = toml::from_str(text).unwrap();
    table.into_iter().map(|(key, _)| key).collect()
}

#[test]
fn the_example_shows_the_defaults() {
    let config = Config::from_toml(EXAMPLE, "example").unwrap();
    assert_eq!(config, Config::default());
}

#[test]
fn the_example_parses_with_every_optional_key_in_force() {
    let config = Config::from_toml(&uncommented(), "example").unwrap();
    config.check().unwrap();
    assert_ne!(config, Config::default());
}

#[test]
fn the_example_mentions_every_key() {
    let config = Config::from_toml(&uncommented(), "example").unwrap();
    assert_eq!(
        keys(&uncommented()),
        keys(&toml::to_string(&config).unwrap())
    );
    // A key that the example lacks has no value; a former name is not shown.
    let fields = format!("{config:#?}");
    let absent: Vec<_> = fields
        .lines()
        .filter(|line| line.ends_with(": None,"))
        .collect();
    let ours: Vec<_> = absent
        .iter()
        .filter(|line| !line.starts_with("     "))
        .collect();
    assert_eq!(ours, [&"    compress: None,"]);
}

#[test]
fn every_key_is_explained_by_the_line_above() {
    let lines: Vec<_> = EXAMPLE.lines().collect();
    for pair in lines.windows(2) {
        let setting = pair[1].strip_prefix('#').unwrap_or(pair[1]);
        if setting.starts_with(|c: char| c.is_ascii_lowercase()) && setting.contains(" = ") {
            assert!(
                pair[0].starts_with("# ") && pair[0].ends_with('.'),
                "{}",
                pair[1]
            );
        }
    }
}
