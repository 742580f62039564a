//! Where secrets come from: variables, files and a command, never arguments.
//!
//! Each place has a rank (said as a flag, in the environment, in the config file); the highest
//! rank wins, and two places of one rank are refused rather than guessed between. A secret goes
//! from its place into a `SecretString` and is shown nowhere, in no error either.

use std::env;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ArgMatches;
use clap::parser::ValueSource;
use rollbook::{Account, App, Config, Credentials, Error, Result};
use secrecy::SecretString;

use super::token_command::TokenCommand;

/// Longest secret that is read; tokens have a few hundred characters.
const LONGEST: u64 = 64 * 1024;

const TOKEN: &str = "ROLLBOOK_ACCESS_TOKEN";
const KEY: &str = "ROLLBOOK_APP_KEY";
const PII_KEY: &str = "ROLLBOOK_PII_KEY";
const PASSWORD: &str = "ROLLBOOK_PASSWORD";
const COMMAND: &str = "ROLLBOOK_TOKEN_COMMAND";

const MISSING: &str = "no credentials: set ROLLBOOK_ACCESS_TOKEN, or ROLLBOOK_APP_ID and \
    ROLLBOOK_APP_KEY, or ROLLBOOK_ACCOUNT and ROLLBOOK_PASSWORD, or ROLLBOOK_TOKEN_COMMAND; or \
    name their places with access_token_file, app_id and app_key_file, account and \
    password_file, or token_command, in the config file";

const MISSING_OF_TENANT: &str = "no credentials: name their place in the [[tenant]] section, with \
    access_token_file or access_token_env, or app_id and app_key_file or app_key_env, or account and \
    password_file or password_env, or token_command";

/// Who said something; the later wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    File,
    Environment,
    Flag,
}

/// What a secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Token,
    Key,
    Password,
    /// Not a secret, but what gives one.
    Command,
}

/// Where a secret lies.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Variable(String),
    File(PathBuf),
    /// In the config file itself: a command is no secret.
    Here(Vec<String>),
}

/// A place that somebody named, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    rank: Rank,
    setting: &'static str,
    kind: Kind,
    place: Place,
}

/// Reads the credentials of a run. Of a tenant, nothing was `given`: they come from the places that
/// its settings name and from no other.
///
/// # Errors
///
/// None are named, two are, or the place does not hold one; the message says what to set.
pub(crate) fn read(config: &Config, given: Option<&ArgMatches>) -> Result<Credentials> {
    let Some(given) = given else {
        let named = choose(places(config, |_| Rank::File, |_| false));
        return credentials(config, &named.map_err(of_tenant)?);
    };
    let rank = |id: &str| match given.value_source(id) {
        Some(ValueSource::CommandLine) => Rank::Flag,
        Some(ValueSource::EnvVariable) => Rank::Environment,
        _ => Rank::File,
    };
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    credentials(config, &choose(places(config, rank, set))?)
}

fn credentials(config: &Config, named: &Named) -> Result<Credentials> {
    let partner = |value: &Option<String>, name: &str| {
        let value = value.clone().filter(|value| !value.is_empty());
        value.ok_or_else(|| refuse(format!("{} is set, but {name} as well", named.setting)))
    };
    match named.kind {
        Kind::Token => Ok(Credentials::Token(named.read()?)),
        Kind::Key => Ok(Credentials::App(App {
            id: partner(&config.app_id, "no App ID: set ROLLBOOK_APP_ID or app_id")?,
            key: named.read()?,
            user_id: config.user_id.clone(),
            corp_id: config.corp_id.clone(),
        })),
        Kind::Password => {
            let name = partner(
                &config.account,
                "no account: set ROLLBOOK_ACCOUNT or account",
            )?;
            if name.contains(':') {
                let reason = "account: the name of an account has no colon";
                return Err(refuse(reason.to_owned()));
            }
            let password = named.read()?;
            Ok(Credentials::Account(Account { name, password }))
        }
        Kind::Command => {
            let command = TokenCommand::new(named.words()?);
            let command = command.ok_or_else(|| {
                refuse(format!(
                    "{}: expected a program and its arguments",
                    named.setting
                ))
            })?;
            Ok(Credentials::Source(Arc::new(command)))
        }
    }
}

/// Reads the key for hashed columns, where one is named; of a tenant, nothing was `given`.
///
/// # Errors
///
/// The place does not hold one, or there are two.
pub(crate) fn pii_key(config: &Config, given: Option<&ArgMatches>) -> Result<Option<SecretString>> {
    let rank = |id: &str| match given.and_then(|given| given.value_source(id)) {
        Some(ValueSource::CommandLine) => Rank::Flag,
        Some(ValueSource::EnvVariable) => Rank::Environment,
        // What a tenant's section says is meant for that tenant.
        _ if given.is_none() => Rank::Flag,
        _ => Rank::File,
    };
    let named = |setting, rank, place| Named {
        rank,
        setting,
        kind: Kind::Key,
        place,
    };
    let mut places = Vec::new();
    // A tenant's secrets come from the places that the file names alone.
    if given.is_some() && env::var_os(PII_KEY).is_some_and(|value| !value.is_empty()) {
        let place = Place::Variable(PII_KEY.to_owned());
        places.push(named(PII_KEY, Rank::Environment, place));
    }
    if let Some(path) = &config.pii_key_file {
        let place = Place::File(path.clone());
        places.push(named("pii_key_file", rank("pii_key_file"), place));
    }
    if let Some(name) = &config.pii_key_env {
        let place = Place::Variable(name.clone());
        places.push(named("pii_key_env", rank("pii_key_env"), place));
    }
    if places.is_empty() {
        return Ok(None);
    }
    choose(places)?.read().map(Some)
}

/// What would help a run without tenants does not help here.
fn of_tenant(error: Error) -> Error {
    match error {
        Error::Credentials { reason } if reason == MISSING => refuse(MISSING_OF_TENANT.to_owned()),
        other => other,
    }
}

/// Every place that was named.
fn places(
    config: &Config,
    rank: impl Fn(&str) -> Rank,
    is_set: impl Fn(&str) -> bool,
) -> Vec<Named> {
    let mut named = Vec::new();
    for (setting, kind) in [
        (TOKEN, Kind::Token),
        (KEY, Kind::Key),
        (PASSWORD, Kind::Password),
        (COMMAND, Kind::Command),
    ] {
        if is_set(setting) {
            let place = Place::Variable(setting.to_owned());
            named.push(Named {
                rank: Rank::Environment,
                setting,
                kind,
                place,
            });
        }
    }
    let files = [
        ("access_token_file", Kind::Token, &config.access_token_file),
        ("app_key_file", Kind::Key, &config.app_key_file),
        ("password_file", Kind::Password, &config.password_file),
    ];
    let variables = [
        ("access_token_env", Kind::Token, &config.access_token_env),
        ("app_key_env", Kind::Key, &config.app_key_env),
        ("password_env", Kind::Password, &config.password_env),
    ];
    let files = files
        .into_iter()
        .filter_map(|(setting, kind, path)| Some((setting, kind, Place::File(path.clone()?))));
    let variables = variables
        .into_iter()
        .filter_map(|(setting, kind, name)| Some((setting, kind, Place::Variable(name.clone()?))));
    named.extend(files.chain(variables).map(|(setting, kind, place)| Named {
        rank: rank(setting),
        setting,
        kind,
        place,
    }));
    // It has no flag: arguments may be secret, and a command line is public.
    named.extend(config.token_command.clone().map(|words| Named {
        rank: Rank::File,
        setting: "token_command",
        kind: Kind::Command,
        place: Place::Here(words.into_words()),
    }));
    named
}

/// The place of the highest rank; a second one of that rank is one too many.
fn choose(named: Vec<Named>) -> Result<Named> {
    let Some(highest) = named.iter().map(|place| place.rank).max() else {
        return Err(refuse(MISSING.to_owned()));
    };
    let mut candidates = named.into_iter().filter(|place| place.rank == highest);
    match (candidates.next(), candidates.next()) {
        (Some(place), None) => Ok(place),
        (Some(one), Some(other)) => Err(refuse(format!(
            "both {} and {} are set, and one is enough: unset the other",
            one.setting, other.setting
        ))),
        (None, _) => Err(refuse(MISSING.to_owned())),
    }
}

impl Named {
    fn read(&self) -> Result<SecretString> {
        let (text, name) = match &self.place {
            Place::Variable(name) => (read_variable(name)?, name.clone()),
            Place::File(path) => {
                let name = format!("{} ({})", path.display(), self.setting);
                (read_file(path, &name)?, name)
            }
            Place::Here(_) => {
                return Err(refuse(format!("{}: expected no secret", self.setting)));
            }
        };
        match self.kind {
            Kind::Password => phrase(&text, &name),
            _ => secret(&text, &name),
        }
    }

    /// A command: as a JSON array, or a program alone.
    fn words(&self) -> Result<Vec<String>> {
        let name = match &self.place {
            Place::Here(words) => return Ok(words.clone()),
            Place::Variable(name) => name,
            Place::File(_) => return Ok(vec![]),
        };
        let text = read_variable(name)?;
        if !text.trim_start().starts_with('[') {
            return Ok(vec![text]);
        }
        // The text is not quoted: an argument may be secret.
        serde_json::from_str(&text).map_err(|_| {
            refuse(format!(
                "{name}: expected a program, or a JSON array of texts: [\"program\", \"argument\"]"
            ))
        })
    }
}

fn read_file(path: &Path, name: &str) -> Result<String> {
    let unreadable =
        |error: std::io::Error| refuse(format!("cannot read the secret file {name}: {error}"));
    // What a link leads to counts, not the link.
    let file = File::open(path).map_err(unreadable)?;
    if !is_from_systemd(path) && is_shared(&file).map_err(unreadable)? {
        return Err(refuse(format!(
            "the secret file {name} is open to other users: chmod 600 it"
        )));
    }
    let mut text = String::new();
    file.take(LONGEST)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    Ok(text)
}

fn read_variable(name: &str) -> Result<String> {
    match env::var(name) {
        Ok(text) => Ok(text),
        Err(env::VarError::NotPresent) => Err(refuse(format!("the variable {name} is not set"))),
        Err(env::VarError::NotUnicode(_)) => Err(refuse(format!("{name} is not a text"))),
    }
}

/// A secret without the line break that editors leave; `place` stands for it in messages.
pub(super) fn secret(text: &str, place: &str) -> Result<SecretString> {
    let text = text.trim();
    if text.is_empty() {
        return Err(refuse(format!("{place} is empty")));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(refuse(format!(
            "{place} holds more than one word: it must hold the secret alone"
        )));
    }
    Ok(SecretString::from(text))
}

/// A secret of people: as it is, but for the line break that editors leave.
fn phrase(text: &str, place: &str) -> Result<SecretString> {
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(refuse(format!("{place} is empty")));
    }
    if text.chars().any(char::is_control) {
        return Err(refuse(format!(
            "{place} holds more than one line: it must hold the secret alone"
        )));
    }
    Ok(SecretString::from(text))
}

/// Whether systemd put the file there (`LoadCredential=`): it lets the service alone into the
/// folder, and how it lets it read the file looks like the group's permission.
fn is_from_systemd(path: &Path) -> bool {
    let folder = env::var_os("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty());
    folder.is_some_and(|folder| path.parent() == Some(Path::new(&folder)))
}

/// Whether others than its owner may use a file.
#[cfg(unix)]
fn is_shared(file: &File) -> std::io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(file.metadata()?.permissions().mode() & 0o077 != 0)
}

/// Whether others than its owner may use a file; told by Unix alone.
#[cfg(not(unix))]
fn is_shared(_file: &File) -> std::io::Result<bool> {
    Ok(false)
}

fn refuse(reason: String) -> Error {
    Error::Credentials { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(config: &Config, rank: Rank, set: &[&str]) -> Result<Named> {
        choose(places(config, |_| rank, |name| set.contains(&name)))
    }

    /// What the message leaves out, nobody finds.
    #[test]
    fn a_tenant_without_any_is_told_every_place_that_a_section_may_name() {
        let config: Config = toml::from_str(
            r#"
                access_token_file = "x"
                access_token_env = "x"
                app_id = "x"
                app_key_file = "x"
                app_key_env = "x"
                account = "x"
                password_file = "x"
                password_env = "x"
                token_command = ["x"]
            "#,
        )
        .unwrap();
        let places = places(&config, |_| Rank::File, |_| false);
        assert_eq!(places.len(), 7);
        let settings = places.iter().map(|place| place.setting);
        for setting in settings.chain(["app_id", "account"]) {
            assert!(MISSING_OF_TENANT.contains(setting), "{setting}");
        }
    }

    fn with_token_file() -> Config {
        Config {
            access_token_file: Some("token".into()),
            ..Config::default()
        }
    }

    #[test]
    fn without_any_the_message_says_what_to_set() {
        let error = chosen(&Config::default(), Rank::File, &[]).unwrap_err();
        for name in [TOKEN, "ROLLBOOK_APP_ID", KEY, "access_token_file"] {
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn a_variable_wins_over_the_config_file_and_a_flag_over_both() {
        let config = with_token_file();
        let from_env = chosen(&config, Rank::File, &[KEY]).unwrap();
        assert_eq!(from_env.kind, Kind::Key);
        let from_flag = chosen(&config, Rank::Flag, &[KEY]).unwrap();
        assert_eq!(from_flag.place, Place::File("token".into()));
    }

    #[test]
    fn two_of_one_rank_are_refused_by_name() {
        let error = chosen(&Config::default(), Rank::File, &[TOKEN, KEY]).unwrap_err();
        assert!(error.to_string().contains(TOKEN) && error.to_string().contains(KEY));
        let config = Config {
            app_key_env: Some("KEY".into()),
            ..with_token_file()
        };
        assert!(chosen(&config, Rank::File, &[]).is_err());
    }

    #[test]
    fn a_secret_that_is_none_is_refused_without_being_shown() {
        assert!(secret(" \n", "place").is_err());
        let error = secret("hunter2\nX-Other: 1", "place").unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
        let fine = secret("hunter2\r\n", "place").unwrap();
        assert!(!format!("{fine:?}").contains("hunter2"));
    }

    #[test]
    fn a_password_keeps_its_spaces() {
        use secrecy::ExposeSecret as _;
        let password = phrase(" open sesame \r\n", "place").unwrap();
        assert_eq!(password.expose_secret(), " open sesame ");
        assert!(phrase("\n", "place").is_err());
        let error = phrase("hunter2\nhunter3", "place").unwrap_err();
        assert!(!format!("{error:?}").contains("hunter"));
    }

    #[test]
    fn a_password_or_a_command_is_chosen_as_any_other() {
        let from_env = chosen(&with_token_file(), Rank::File, &[COMMAND]).unwrap();
        assert_eq!(from_env.kind, Kind::Command);
        let config = Config {
            token_command: Some(vec!["vault".to_owned()].into()),
            ..with_token_file()
        };
        let error = chosen(&config, Rank::File, &[]).unwrap_err().to_string();
        assert!(error.contains("token_command"), "{error}");
        let config = Config {
            password_env: Some("MINE".into()),
            ..Config::default()
        };
        let named = chosen(&config, Rank::File, &[]).unwrap();
        assert_eq!(named.kind, Kind::Password);
        assert_eq!(named.place, Place::Variable("MINE".into()));
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2\n").unwrap();
        let named = Named {
            rank: Rank::File,
            setting: "access_token_file",
            kind: Kind::Token,
            place: Place::File(file.path().to_owned()),
        };
        named.read().unwrap();
        let readable = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(file.path(), readable).unwrap();
        let error = named.read().unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        // Nor behind a link.
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(file.path(), &link).unwrap();
        let linked = Named {
            place: Place::File(link),
            ..named
        };
        let error = linked.read().unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(file.path(), private).unwrap();
        linked.read().unwrap();
    }
}
