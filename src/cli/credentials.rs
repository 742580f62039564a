//! Where secrets come from: variables, files and a command, never arguments.
//!
//! Each place has a rank (said as a flag, in the environment, in the config file); the highest
//! rank wins, and two places of one rank are refused rather than guessed between. A secret goes
//! from its place into a `SecretString` and is shown nowhere, in no error either.

mod secret_file;
mod token_command;

pub(crate) use self::secret_file::Warn;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ArgMatches;
use clap::parser::ValueSource;
use rollbook::{
    Account, App, Config, Credentials, Error, InputKind, InvalidInput, Result, clean, clean_bytes,
};
use secrecy::SecretString;

use self::token_command::TokenCommand;
use super::variables;

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
    /// The key for hashed columns.
    PiiKey,
    /// Not a secret, but what gives one.
    Command,
}

impl Kind {
    /// Kind of input, which decides what a secret may hold.
    const fn input(self) -> InputKind {
        match self {
            Self::Token | Self::Key => InputKind::Token,
            Self::PiiKey => InputKind::Word,
            Self::Password => InputKind::Password,
            Self::Command => InputKind::Text,
        }
    }
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
pub(crate) fn read(
    config: &Config,
    given: Option<&ArgMatches>,
    warn: Warn<'_>,
) -> Result<Credentials> {
    let Some(given) = given else {
        let named = choose(places(config, |_| Rank::File, |_| false));
        return credentials(config, &named.map_err(of_tenant)?, warn);
    };
    let rank = |id: &str| rank(given, id);
    let named = choose(places(config, rank, variables::is_set))?;
    credentials(config, &named, warn)
}

/// Source of a flag's value.
fn rank(given: &ArgMatches, id: &str) -> Rank {
    match given.value_source(id) {
        Some(ValueSource::CommandLine) => Rank::Flag,
        _ if variables::gave(given, id) => Rank::Environment,
        _ => Rank::File,
    }
}

fn credentials(config: &Config, named: &Named, warn: Warn<'_>) -> Result<Credentials> {
    let partner = |value: &Option<String>, kind, setting, missing: &str| {
        let value = id(value.as_deref(), kind, setting)?;
        value.ok_or_else(|| refuse(format!("{} is set, but {missing} as well", named.setting)))
    };
    match named.kind {
        Kind::Token => Ok(Credentials::Token(named.read(warn)?)),
        Kind::Key => Ok(Credentials::App(App {
            id: partner(
                &config.app_id,
                InputKind::Token,
                "app_id",
                "no App ID: set ROLLBOOK_APP_ID or app_id",
            )?,
            key: named.read(warn)?,
            user_id: id(config.user_id.as_deref(), InputKind::Text, "user_id")?,
            corp_id: id(config.corp_id.as_deref(), InputKind::Token, "corp_id")?,
        })),
        Kind::PiiKey => Err(refuse(format!("{}: it logs nobody in", named.setting))),
        Kind::Password => {
            let name = partner(
                &config.account,
                InputKind::Text,
                "account",
                "no account: set ROLLBOOK_ACCOUNT or account",
            )?;
            if name.contains(':') {
                let reason = "account: the name of an account has no colon";
                return Err(refuse(reason.to_owned()));
            }
            let password = named.read(warn)?;
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

/// An identifier as it is sent: cleaned, whoever said it.
fn id(value: Option<&str>, kind: InputKind, setting: &str) -> Result<Option<String>> {
    match value.map(|value| clean(value, kind)) {
        None | Some(Err(InvalidInput::Empty)) => Ok(None),
        Some(Ok(value)) => Ok(Some(value.to_owned())),
        Some(Err(invalid)) => {
            let variable = setting.to_uppercase();
            let reason = format!("{setting} (ROLLBOOK_{variable}) {invalid}");
            Err(refuse(reason))
        }
    }
}

/// Reads the key for hashed columns, where one is named; of a tenant, nothing was `given`.
///
/// # Errors
///
/// The place does not hold one, or there are two.
pub(crate) fn pii_key(
    config: &Config,
    given: Option<&ArgMatches>,
    warn: Warn<'_>,
) -> Result<Option<SecretString>> {
    let rank = |id: &str| match given {
        Some(given) => rank(given, id),
        // What a tenant's section says is meant for that tenant.
        None => Rank::Flag,
    };
    let named = |setting, rank, place| Named {
        rank,
        setting,
        kind: Kind::PiiKey,
        place,
    };
    let mut places = Vec::new();
    // A tenant's secrets come from the places that the file names alone.
    if given.is_some() && variables::is_set(PII_KEY) {
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
    choose(places)?.read(warn).map(Some)
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
    fn read(&self, warn: Warn<'_>) -> Result<SecretString> {
        let name = self.shown();
        let bytes = match &self.place {
            Place::Variable(variable) => {
                variables::bytes(variable).ok_or_else(|| refuse(format!("{name} is not set")))?
            }
            Place::File(path) => secret_file::read(path, &name, warn)?,
            Place::Here(_) => {
                return Err(refuse(format!("{}: expected no secret", self.setting)));
            }
        };
        secret(&bytes, self.kind.input(), &name)
    }

    /// The place as messages name it. Somebody may have written the secret itself where its place
    /// belongs, so that only what can be no secret is shown.
    fn shown(&self) -> String {
        match &self.place {
            Place::Variable(name) if name == self.setting => format!("the variable {name}"),
            Place::Variable(_) => format!("the variable that {} names", self.setting),
            Place::File(path) if is_plausible(path) => {
                format!("the secret file {} ({})", path.display(), self.setting)
            }
            Place::File(_) => format!("the secret file that {} names", self.setting),
            Place::Here(_) => self.setting.to_owned(),
        }
    }

    /// A command: as a JSON array, or a program alone.
    fn words(&self) -> Result<Vec<String>> {
        let name = match &self.place {
            Place::Here(words) => return Ok(words.clone()),
            Place::Variable(name) => name,
            Place::File(_) => return Ok(vec![]),
        };
        let text = variables::read(name, self.kind.input())?.unwrap_or_default();
        if !text.starts_with('[') {
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

/// Whether a path leads to something, or to a folder that is there.
fn is_plausible(path: &Path) -> bool {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    path.exists() || folder.is_some_and(Path::exists)
}

/// A secret, cleaned; `place` stands for it in messages.
pub(super) fn secret(bytes: &[u8], kind: InputKind, place: &str) -> Result<SecretString> {
    match clean_bytes(bytes, kind) {
        Ok(text) => Ok(SecretString::from(text)),
        Err(invalid) => Err(refuse(format!("{place} {invalid}"))),
    }
}

pub(super) fn refuse(reason: String) -> Error {
    Error::Credentials { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENT: Warn<'_> = &|warning| panic!("{warning}");

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
        let word = |text: &str| secret(text.as_bytes(), InputKind::Token, "place");
        assert!(word(" \n").is_err());
        let error = word("hunter2\nX-Other: 1").unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
        let fine = word("hunter2\r\n").unwrap();
        assert!(!format!("{fine:?}").contains("hunter2"));
    }

    #[test]
    fn a_password_keeps_its_spaces() {
        use secrecy::ExposeSecret as _;
        let phrase = |text: &str| secret(text.as_bytes(), InputKind::Password, "place");
        let password = phrase("\u{feff} open sesame \r\n").unwrap();
        assert_eq!(password.expose_secret(), " open sesame ");
        assert!(phrase("\n").is_err());
        let error = phrase("hunter2\nhunter3").unwrap_err();
        assert!(!format!("{error:?}").contains("hunter"));
    }

    #[test]
    fn a_secret_in_the_stead_of_its_place_is_not_shown() {
        for place in [
            Place::Variable("hunter2".into()),
            Place::File("hunter2".into()),
            Place::File("hunter2/ab==".into()),
        ] {
            let named = Named {
                rank: Rank::File,
                setting: "app_key_file",
                kind: Kind::Key,
                place,
            };
            let error = named.read(SILENT).unwrap_err().to_string();
            assert!(error.contains("that app_key_file names"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let named = Named {
            rank: Rank::File,
            setting: "app_key_file",
            kind: Kind::Key,
            place: Place::File(folder.path().join("key")),
        };
        let error = named.read(SILENT).unwrap_err().to_string();
        assert!(error.contains("key (app_key_file)"), "{error}");
    }

    #[test]
    fn an_identifier_is_cleaned_or_refused_by_its_name() {
        for text in ["alice", "\u{feff}alice\r\n", " alice "] {
            let cleaned = id(Some(text), InputKind::Text, "user_id").unwrap();
            assert_eq!(cleaned.as_deref(), Some("alice"));
        }
        for text in ["\"alice\"", "al\u{8}ice", "alice\nbob"] {
            let error = id(Some(text), InputKind::Text, "user_id").unwrap_err();
            let error = error.to_string();
            assert!(error.contains("user_id (ROLLBOOK_USER_ID)"), "{error}");
            assert!(!error.contains("ice"), "{error}");
        }
        assert_eq!(id(Some(" \n"), InputKind::Text, "user_id").unwrap(), None);
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
        named.read(SILENT).unwrap();
        let readable = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(file.path(), readable).unwrap();
        let error = named.read(SILENT).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        // Nor behind a link.
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(file.path(), &link).unwrap();
        let linked = Named {
            place: Place::File(link),
            ..named
        };
        let error = linked.read(SILENT).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(file.path(), private).unwrap();
        linked.read(SILENT).unwrap();
    }
}
