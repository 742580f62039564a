//! `[[tenant]]`: several sets of settings in one config file.
//!
//! A section says what is different for one tenant; what it leaves out is what the file says
//! before the first section. What is wrong in one section is that tenant's failure alone; only a
//! name that is missing, malformed or there twice spoils the file, since nobody could tell whose
//! dataset is whose.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::file::{File, Positioned};
use super::settings::Config;
use crate::error::Result;

/// Longest name of a tenant.
const LONGEST_NAME: usize = 64;

/// Settings of the command as a whole.
const SHARED: [&str; 7] = [
    "out",
    "report",
    "metrics_file",
    "metrics_mode",
    "mode",
    "log_format",
    "progress",
];

/// One tenant of a config file.
#[derive(Debug)]
pub struct Tenant {
    /// Lower-case letters, digits and dashes: it is a part of paths.
    pub name: String,
    /// Its settings, or what is wrong with them.
    pub config: Result<Config>,
}

impl Tenant {
    /// Reads a config file's text: the settings that stand before the first section, and the
    /// tenants, none where there is no section.
    ///
    /// # Errors
    ///
    /// The settings that all share, as [`Config::from_toml`], and the names.
    pub fn all_from_toml(text: &str, source: &str) -> Result<(Config, Vec<Self>)> {
        let file = File::new(text, source);
        let mut shared = file.table()?;
        let Some(sections) = shared.remove("tenant") else {
            return Ok((file.settings(&shared)?, vec![]));
        };
        let config = file.settings(&shared)?;
        let refuse = |at: Range<usize>, reason: &str| file.refuse(Some(at.start), reason);
        let not_sections = |at| refuse(at, "tenant: expected [[tenant]] sections");
        let at = sections.span();
        let DeValue::Array(sections) = sections.into_inner() else {
            return Err(not_sections(at));
        };
        let mut tenants: Vec<Self> = vec![];
        for section in sections {
            let at = section.span();
            let DeValue::Table(mut section) = section.into_inner() else {
                return Err(not_sections(at));
            };
            let Some(name) = section.remove("name") else {
                return Err(refuse(at, "a [[tenant]] section without a name"));
            };
            let at = name.span();
            let name = match name.into_inner() {
                DeValue::String(name) if is_name(&name) => name.into_owned(),
                _ => {
                    let reason = format!(
                        "tenant name: expected 1 to {LONGEST_NAME} lower-case letters, digits and dashes"
                    );
                    return Err(refuse(at, &reason));
                }
            };
            if tenants.iter().any(|tenant| tenant.name == name) {
                let reason = format!("two [[tenant]] sections are named {name}");
                return Err(refuse(at, &reason));
            }
            let config = of_section(file, &shared, section);
            tenants.push(Self { name, config });
        }
        Ok((config, tenants))
    }
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(plain)
}

fn of_section<'a>(
    file: File<'a>,
    shared: &Positioned<'a>,
    section: Positioned<'a>,
) -> Result<Config> {
    let is_shared = |(key, _): &(&Spanned<_>, _)| is_one(&SHARED, key);
    if let Some((key, _)) = section.iter().find(is_shared) {
        let reason = format!(
            "{} is for all tenants: it stands before the first [[tenant]]",
            key.get_ref()
        );
        return Err(file.refuse(Some(key.span().start), &reason));
    }
    let mut all = shared.clone();
    // Whose token or key it is depends on the place: one place of its own replaces all others.
    if PLACES.iter().any(|place| section.contains_key(*place)) {
        remove(&mut all, &PLACES);
    }
    if PII_PLACES.iter().any(|key| section.contains_key(*key)) {
        remove(&mut all, &PII_PLACES);
    }
    // The meetings come from a list or from a window: one of its own replaces the other.
    if section.contains_key("meetings") {
        remove(&mut all, &["since", "until"]);
    }
    if section.contains_key("since") {
        remove(&mut all, &["meetings"]);
    }
    all.extend(section);
    file.settings(&all)
}

fn remove(table: &mut Positioned<'_>, keys: &[&str]) {
    for key in keys {
        table.remove(*key);
    }
}

fn is_one(keys: &[&str], key: &Spanned<DeString<'_>>) -> bool {
    keys.contains(&key.get_ref().as_ref())
}

/// Where a secret is read from.
const PLACES: [&str; 7] = [
    "access_token_file",
    "access_token_env",
    "app_key_file",
    "app_key_env",
    "password_file",
    "password_env",
    "token_command",
];

/// Where the key for hashed columns is read from.
const PII_PLACES: [&str; 2] = ["pii_key_file", "pii_key_env"];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Config, Vec<Tenant>)> {
        Tenant::all_from_toml(text, "my.toml")
    }

    #[test]
    fn a_section_says_what_is_different() {
        let text = r#"
            rate = "5/s"
            app_key_file = "key"
            [[tenant]]
            name = "a"
            base_url = "https://a.example.com"
            [[tenant]]
            name = "b-2"
            rate = "7/s"
            access_token_env = "B"
        "#;
        let (shared, tenants) = read(text).unwrap();
        assert_eq!(shared.rate.to_string(), "5/s");
        let [a, b] = &tenants[..] else {
            panic!("{tenants:?}");
        };
        let config = a.config.as_ref().unwrap();
        assert_eq!((a.name.as_str(), config.rate), ("a", shared.rate));
        assert_eq!(config.base_url.as_str(), "https://a.example.com/");
        assert_eq!(config.app_key_file, shared.app_key_file);
        let config = b.config.as_ref().unwrap();
        assert_eq!(
            (b.name.as_str(), config.rate.to_string()),
            ("b-2", "7/s".to_owned())
        );
        assert_eq!(config.base_url, shared.base_url);
        // Two places would contradict each other.
        assert_eq!(
            (&config.app_key_file, config.access_token_env.as_deref()),
            (&None, Some("B"))
        );
    }

    #[test]
    fn a_section_may_set_what_the_example_says_it_may() {
        let example = include_str!("../../config.example.toml");
        let (_, told) = example.split_once("A section may set any key but").unwrap();
        let (told, _) = told.split_once("which are").unwrap();
        let told: Vec<_> = told
            .split([' ', ',', '#', '\n'])
            .filter(|word| !word.is_empty() && *word != "and")
            .collect();
        assert_eq!(told, SHARED);
        let mut keys = 0;
        for line in example.lines().map(|line| line.trim_start_matches('#')) {
            let is_key = |key: &str| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| is_key(key)) else {
                continue;
            };
            let (_, tenants) = read(&format!("[[tenant]]\nname = \"a\"\n{line}")).unwrap();
            let is_taken = tenants[0].config.is_ok();
            assert_eq!(is_taken, !told.contains(&key), "{line}");
            keys += 1;
        }
        assert!(keys > 50, "{keys}");
    }

    #[test]
    fn a_section_with_a_list_has_no_window_of_the_others_and_the_other_way_round() {
        for (shared, section) in [
            ("since = \"7d\"\nuntil = \"now\"", "meetings = \"a.txt\""),
            ("meetings = \"all.txt\"", "since = \"7d\""),
        ] {
            let text = format!("{shared}\n[[tenant]]\nname = \"a\"\n{section}");
            let (_, tenants) = read(&text).unwrap();
            let config = tenants[0].config.as_ref().unwrap();
            let alone = Config::from_toml(section, "my.toml").unwrap();
            assert_eq!(*config, alone);
        }
    }

    #[test]
    fn what_is_wrong_in_a_section_is_that_tenants_failure() {
        for wrong in ["ratte = 1", "rate = 1", "out = \"x\"", "report = \"x\""] {
            let text = format!("[[tenant]]\nname = \"a\"\n{wrong}\n[[tenant]]\nname = \"b\"");
            let (_, tenants) = read(&text).unwrap();
            let error = tenants[0].config.as_ref().unwrap_err().to_string();
            let key = wrong.split(' ').next().unwrap();
            assert!(
                error.starts_with("my.toml, line 3, column ") && error.contains(key),
                "{error}"
            );
            assert!(tenants[1].config.is_ok());
        }
    }

    #[test]
    fn a_secret_in_a_section_is_not_repeated() {
        for wrong in [
            "app_key = \"hunter2\"",
            "app_key_file = [\"hunter2\"]",
            "retries = \"hunter2\"",
        ] {
            let text = format!("# first\n[[tenant]]\nname = \"a\"\n{wrong}");
            let (_, tenants) = read(&text).unwrap();
            let error = tenants[0].config.as_ref().unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains("my.toml, line 4, column "), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        for text in ["[[tenant]]\nname = \"hunter2 !\"", "tenant = \"hunter2\""] {
            let error = read(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_name_that_is_none_or_there_twice_spoils_the_file() {
        for name in ["", "A", "a b", "../a", "a=b", &"a".repeat(65), "ä"] {
            assert!(
                read(&format!("[[tenant]]\nname = {name:?}")).is_err(),
                "{name}"
            );
        }
        for text in [
            "[[tenant]]\nrate = \"5/s\"",
            "[[tenant]]\nname = \"a\"\n[[tenant]]\nname = \"a\"",
            "[tenant]\nname = \"a\"",
            "tenant = [1]",
            "ratte = 1\n[[tenant]]\nname = \"a\"",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn without_a_section_the_file_is_what_it_was() {
        let (config, tenants) = read("rate = \"5/s\"").unwrap();
        assert_eq!(
            config,
            Config::from_toml("rate = \"5/s\"", "my.toml").unwrap()
        );
        assert!(tenants.is_empty());
        let error = read("rate = \"5/s\"\nratte = 1").unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
