//! The text of a config file: read with the position of each key, and refused without its words.
//!
//! Somebody may have written a secret into the file. Messages name key, line and column, and what
//! is expected there; they never repeat a line or a value of the file.

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, Deserializer};

use crate::error::{Error, Result};

/// A table with the position of each key and value in the text.
pub(crate) type Positioned<'a> = DeTable<'a>;

/// Longest unknown key that a message repeats: a longer one may be a secret without its key.
const LONGEST_KEY: usize = 40;

/// The text of a config file, and its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct File<'a> {
    text: &'a str,
    source: &'a str,
}

impl<'a> File<'a> {
    /// A byte order mark at the beginning is passed over.
    pub(crate) fn new(text: &'a str, source: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { text, source }
    }

    /// Parses the text.
    ///
    /// # Errors
    ///
    /// The text is no TOML.
    pub(crate) fn table(self) -> Result<Positioned<'a>> {
        match DeTable::parse(self.text) {
            Ok(table) => Ok(table.into_inner()),
            // The parser names what it expects and repeats nothing.
            Err(error) => Err(self.refuse(error.span().map(|span| span.start), error.message())),
        }
    }

    /// Reads the settings of a table; each of them has a default.
    ///
    /// # Errors
    ///
    /// An unknown key, or a value of the wrong kind.
    pub(crate) fn settings<T: DeserializeOwned>(self, table: &Positioned<'_>) -> Result<T> {
        read(table.clone()).map_err(|_| self.explain::<T>(table))
    }

    /// An error at a position of the text.
    pub(crate) fn refuse(self, at: Option<usize>, reason: &str) -> Error {
        let place = at.map_or_else(String::new, |at| {
            let (line, column) = position(self.text, at);
            format!(", line {line}, column {column}")
        });
        Error::Config(format!("{}{place}: {reason}", self.source))
    }

    /// The first key that cannot be read, and what is expected of it.
    fn explain<T: DeserializeOwned>(self, table: &Positioned<'_>) -> Error {
        let wrong = table.iter().filter_map(|(key, value)| {
            let error = alone::<T>(key, value.clone())?;
            Some((key, value, error))
        });
        let Some((key, value, message)) = wrong.min_by_key(|(key, ..)| key.span().start) else {
            return self.refuse(None, "a setting is not as expected");
        };
        let name = key.get_ref().as_ref();
        if message.starts_with("unknown field") {
            return self.refuse(Some(key.span().start), &unknown(name));
        }
        let expected = match value.get_ref() {
            // What is said of another text cannot repeat this one.
            DeValue::String(_) => {
                let other = DeValue::String("?".into());
                let message = alone::<T>(key, Spanned::new(value.span(), other));
                message.map(|message| expected_in(&message).unwrap_or(&message).to_owned())
            }
            _ => expected_in(&message).map(str::to_owned),
        };
        let expected = expected.unwrap_or_else(|| "a value that cannot be used".to_owned());
        self.refuse(Some(value.span().start), &format!("{name}: {expected}"))
    }
}

fn read<T: DeserializeOwned>(table: Positioned<'_>) -> Result<T, toml::de::Error> {
    T::deserialize(Deserializer::from(Spanned::new(0..0, table)))
}

/// What is wrong with a key by itself.
fn alone<'a, T: DeserializeOwned>(
    key: &Spanned<DeString<'a>>,
    value: Spanned<DeValue<'a>>,
) -> Option<String> {
    let table = DeTable::from_iter([(key.clone(), value)]);
    let error = read::<T>(table).err()?;
    Some(error.message().to_owned())
}

/// The end of a message that says what is expected; what stands before may repeat the value.
fn expected_in(message: &str) -> Option<&str> {
    message.rfind("expected ").map(|at| &message[at..])
}

/// What to say of a key that no setting has.
fn unknown(key: &str) -> String {
    let word = key.to_ascii_lowercase().replace('-', "_");
    let has = |words: &[&str]| words.iter().any(|part| word.contains(part));
    let places = if has(&["aws", "azure", "google", "gcs", "obs_", "s3", "huaweicloud"]) {
        "stores get their credentials from the environment"
    } else if has(&["pii"]) {
        "name the place of the key with pii_key_file or pii_key_env"
    } else if has(&["token"]) {
        "name the place of the token with access_token_file, access_token_env or token_command"
    } else if has(&["password", "passwd", "passphrase"]) {
        "name the place of the password with password_file or password_env"
    } else if has(&["key", "secret", "credential"]) {
        "name the place of the app key with app_key_file or app_key_env"
    } else {
        "config.example.toml has every key"
    };
    let is_name = key.len() <= LONGEST_KEY
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    let key = if is_name { key } else { "that is no name" };
    let rule = if places.starts_with("config") {
        ""
    } else {
        "no secret stands in this file; "
    };
    format!("unknown key {key}: {rule}{places}")
}

/// The 1-based line and column of a byte.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |line| line.chars().count())
        + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use crate::config::settings::Config;

    fn refused(text: &str) -> String {
        let error = Config::from_toml(text, "my.toml").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("nter2"), "{error:?}");
        error.to_string()
    }

    #[rstest]
    #[case("app_key", "app_key_file or app_key_env")]
    #[case("app-key", "app_key_file or app_key_env")]
    #[case("client_secret", "app_key_file or app_key_env")]
    #[case("access_token", "access_token_file, access_token_env or token_command")]
    #[case("password", "password_file or password_env")]
    #[case("pii_key", "pii_key_file or pii_key_env")]
    #[case("aws_secret_access_key", "from the environment")]
    #[case("ratte", "config.example.toml has every key")]
    fn an_unknown_key_is_named_with_its_place_and_the_right_one(
        #[case] key: &str,
        #[case] hint: &str,
    ) {
        for value in ["\"hunter2\"", "[\"hunter2\"]", "{ a = \"hunter2\" }"] {
            let error = refused(&format!("rate = \"5/s\"\n  {key} = {value}\n"));
            let place = format!("my.toml, line 2, column 3: unknown key {key}: ");
            assert!(error.starts_with(&place), "{error}");
            assert!(error.ends_with(hint), "{error}");
        }
    }

    #[rstest]
    #[case(
        "rate = \"hunter2\"",
        "column 8: rate: expected a rate such as 100/min"
    )]
    #[case("retries = \"hunter2\"", "column 11: retries: expected u32")]
    #[case("page_size = 501", "column 13: page_size: expected 1 to 500")]
    #[case("app_key_file = [\"hunter2\"]", "column 16: app_key_file: expected ")]
    #[case("app_key_env = 4711", "column 15: app_key_env: expected a string")]
    #[case("base_url = \"hunter2\"", "column 12: base_url: ")]
    #[case("pii = \"display_name=hunter2\"", "column 7: pii: expected ")]
    #[case("timeout = \"hunter2\"", "column 11: timeout: ")]
    #[case("part_size = \"hunter2\"", "column 13: part_size: ")]
    #[case("since = \"hunter2\"", "column 9: since: expected a date")]
    #[case("format = \"hunter2\"", "column 10: format: expected one of")]
    #[case(
        "token_command = \"hunter2\"",
        "column 17: token_command: expected a sequence"
    )]
    #[case("search_key = { a = \"hunter2\" }", "column 14: search_key: expected ")]
    #[case("app_key = hunter2", "column 11: string values must be quoted")]
    #[case("app_key = \"hunter2", "expected ")]
    #[case("hunter2 hunter2", "expected ")]
    #[case("\"hunter2 ab==\" = 1", "column 1: unknown key that is no name")]
    fn a_value_that_cannot_be_read_is_not_repeated(#[case] text: &str, #[case] says: &str) {
        let error = refused(text);
        assert!(error.starts_with("my.toml, line 1, column "), "{error}");
        assert!(error.contains(says), "{error}");
        assert!(!error.contains("4711"), "{error}");
    }

    #[test]
    fn the_first_of_two_wrong_keys_is_named() {
        let error = refused("retries = -1\nburst = 0\n");
        assert!(error.contains("line 1, column 11: retries"), "{error}");
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        let config = Config::from_toml("\u{feff}retries = 3", "my.toml").unwrap();
        assert_eq!(config.retries, 3);
    }
}
