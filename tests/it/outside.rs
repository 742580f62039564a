//! Values from outside with what shells, editors and YAML leave around them: cleaned, or refused by
//! the name of their variable, file or key before any request, and never shown.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rollbook::simulator::{
    ACCOUNT, APP_ID, APP_KEY, Credentials as Known, Options, PASSWORD, TOKEN,
};
use rstest::rstest;

use crate::ears::{Ears, FORBIDDEN};
use crate::stage::{Stage, ended};

const EXPORT: [&str; 5] = ["export", "--meetings", "list.txt", "--out", "out"];

/// It refuses before any request, by this name and without any of the value.
#[track_caller]
fn assert_refused(stage: &Stage, command: &mut Command, name: &str) {
    let said = ended(command.args(["--report", "report.json"])).silently(3);
    assert!(said.contains(name), "{said}");
    assert!(!said.contains("nter2") && !said.contains("lice"), "{said}");
    assert_eq!(stage.requests(), 0, "{said}");
}

fn into_a_bucket(stage: &Stage, store: &Ears) -> Command {
    let mut command = stage.command(&["export", "--meetings", "list.txt", "--out", "s3://lake/x"]);
    command
        .env("AWS_ENDPOINT_URL", &store.url)
        .env("AWS_TIMEOUT", "300ms")
        .env("AWS_ACCESS_KEY_ID", "hunter2")
        .env("AWS_SECRET_ACCESS_KEY", "hunter2")
        .env("AWS_REGION", "cn-north-4");
    command
}

#[rstest]
#[case::quotes("AWS_ACCESS_KEY_ID", b"\"hunter2\"")]
#[case::lines("AWS_ACCESS_KEY_ID", b"hunter2\n\n")]
#[case::control("AWS_SECRET_ACCESS_KEY", b"hunter2\x07")]
#[case::two_words("AWS_SESSION_TOKEN", b"hunter2 hunter2")]
#[case::no_header("AWS_SESSION_TOKEN", "h\u{fc}nter2".as_bytes())]
#[case::no_text("AWS_SESSION_TOKEN", b"hunter2\xff")]
#[case::no_host("AWS_REGION", b"hunter2 north")]
#[case::no_url("AWS_ENDPOINT_URL_S3", b"http://hunter2<>")]
#[case::no_verification("AWS_ALLOW_INVALID_CERTIFICATES", b"true")]
fn a_variable_that_no_store_can_use_is_refused_before_any_request(
    #[case] name: &str,
    #[case] value: &[u8],
) {
    let (stage, store) = (Stage::of(&[10]), Ears::answering(FORBIDDEN));
    let mut command = into_a_bucket(&stage, &store);
    command.env(name, OsStr::from_bytes(value));
    assert_refused(&stage, &mut command, &format!("the variable {name}"));
    assert_eq!(store.heard(), "");
    // A run that needs no store is not hindered by it.
    let mut local = stage.command(&EXPORT);
    local.env(name, OsStr::from_bytes(value));
    ended(&mut local).silently(0);
}

#[test]
fn a_variable_that_is_no_setting_is_named_with_the_nearest_one_and_not_shown() {
    let stage = Stage::of(&[10]);
    let said = ended(stage.command(&EXPORT).env("ROLLBOOK_RATTE", "hunter2")).silently(0);
    let named = "the variable ROLLBOOK_RATTE is no setting and has no effect; the nearest name is \
                 ROLLBOOK_RATE\n";
    assert_eq!(said.matches(named).count(), 1, "{said}");
    assert!(said.contains("WARN") && !said.contains("hunter2"), "{said}");
    // Where there is no log yet, it may be why the command fails.
    let mut bare = stage.bare(&EXPORT);
    let said = ended(bare.env("ROLLBOOK_ACCES_TOKEN", "hunter2")).silently(3);
    let named = "the nearest name is ROLLBOOK_ACCESS_TOKEN\n";
    assert_eq!(said.matches(named).count(), 1, "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    // A command that has no log.
    let mut status = stage.command(&["status", "out"]);
    let shown = ended(status.env("ROLLBOOK_STATEDIR", "x"));
    assert_eq!(shown.code, Some(0));
    let named = "warning: the variable ROLLBOOK_STATEDIR";
    assert!(shown.stderr.starts_with(named), "{shown:?}");
    let quiet = [&EXPORT[..], &["-q"]].concat();
    let said = ended(stage.command(&quiet).env("ROLLBOOK_RATTE", "1")).silently(0);
    assert_eq!(said, "");
}

#[test]
fn a_variable_that_something_else_names_or_makes_is_no_typing_error() {
    let stage = Stage::of(&[10]);
    let config = "access_token_env = \"ROLLBOOK_TOKEN_OF_A\"\n# and ROLLBOOK_OF_THE_TEAM\n";
    fs::write(stage.path("nightly.toml"), config).unwrap();
    let args = [&EXPORT[..], &["--config", "nightly.toml"]].concat();
    let args = [
        &args[..],
        &[
            "--pii",
            "call_number=hash",
            "--pii-key-env",
            "ROLLBOOK_SALT",
        ],
    ]
    .concat();
    let mut command = stage.bare(&args);
    command
        .env("ROLLBOOK_TOKEN_OF_A", TOKEN)
        .env("ROLLBOOK_OF_THE_TEAM", "x")
        .env("ROLLBOOK_SALT", "0123456789abcdef0123456789abcdef")
        .env("ROLLBOOK_SERVICE_HOST", "10.0.0.1")
        .env("ROLLBOOK_SERVICE_PORT_HTTP", "80")
        .env("ROLLBOOK_PORT", "tcp://10.0.0.1:80")
        .env("ROLLBOOK_PORT_80_TCP_ADDR", "10.0.0.1")
        .env("ROLLBOOK_UI_SERVICE_HOST", "10.0.0.1");
    let said = ended(&mut command).silently(0);
    assert!(!said.contains("no setting"), "{said}");
}

#[test]
fn what_stands_around_a_variable_of_a_store_is_not_sent() {
    let (stage, store) = (Stage::of(&[10]), Ears::answering(FORBIDDEN));
    let mut command = into_a_bucket(&stage, &store);
    command
        .env("AWS_ACCESS_KEY_ID", "\u{feff}key\n")
        .env("AWS_SESSION_TOKEN", " session\r\n");
    let said = ended(&mut command).silently(1);
    let heads = store.heads();
    assert!(!heads.is_empty(), "{said}");
    for head in heads {
        assert!(head.contains("Credential=key/"), "{head}");
        assert!(head.contains("\nx-amz-security-token: session\n"), "{head}");
    }
}

fn with_user(user: &str) -> Stage {
    Stage::with(Options {
        credentials: Known {
            user_id: Some(user.to_owned()),
            ..Known::default()
        },
        ..Options::sizes(&[10])
    })
}

fn with_app(stage: &Stage) -> Command {
    let mut command = stage.bare(&EXPORT);
    command
        .env("ROLLBOOK_APP_ID", APP_ID)
        .env("ROLLBOOK_APP_KEY", APP_KEY);
    command
}

#[rstest]
#[case::line_end("alice\n")]
#[case::of_windows("alice\r\n")]
#[case::half_of_it("alice\r")]
#[case::mark("\u{feff}alice")]
#[case::blanks("  alice\t")]
fn an_identifier_is_sent_without_what_stands_around_it(#[case] user: &str) {
    let stage = with_user("alice");
    let mut command = with_app(&stage);
    command.env("ROLLBOOK_USER_ID", user);
    ended(&mut command).silently(0);
    // On the command line as well, and in the file.
    let mut command = with_app(&stage);
    command.args(["--user-id", user]);
    ended(&mut command).silently(0);
    let quoted = toml::Value::String(user.to_owned());
    fs::write(stage.path("my.toml"), format!("user_id = {quoted}\n")).unwrap();
    let mut command = with_app(&stage);
    command.args(["--config", "my.toml"]);
    ended(&mut command).silently(0);
}

#[rstest]
#[case::quotes("ROLLBOOK_USER_ID", "'alice'")]
#[case::control("ROLLBOOK_USER_ID", "al\u{8}ice")]
#[case::lines("ROLLBOOK_CORP_ID", "alice\nalice")]
#[case::words("ROLLBOOK_APP_ID", "alice alice")]
#[case::quoted_key("ROLLBOOK_APP_KEY", "\"hunter2\"")]
#[case::rate("ROLLBOOK_RATE", "\"hunter2\"")]
#[case::list("ROLLBOOK_MEETINGS", "'hunter2'")]
#[case::log("ROLLBOOK_LOG", "hunter2\u{1b}[2J")]
#[case::format_of_log("ROLLBOOK_LOG_FORMAT", "\"hunter2\"")]
#[case::state("ROLLBOOK_STATE_DIR", "hunter2\u{7}")]
fn a_variable_that_cannot_be_cleaned_is_refused_by_its_name(
    #[case] name: &str,
    #[case] value: &str,
) {
    let stage = with_user("alice");
    let mut command = with_app(&stage);
    if name == "ROLLBOOK_MEETINGS" {
        command = stage.command(&["export", "--out", "out"]);
    }
    command.env(name, value);
    assert_refused(&stage, &mut command, name);
    assert!(!stage.path("out").exists());
}

#[test]
fn a_flag_wins_over_a_variable_that_would_be_refused() {
    let stage = Stage::of(&[10]);
    let mut command = stage.command(&EXPORT);
    command
        .env("ROLLBOOK_RATE", "'5/s'")
        .args(["--rate", "unlimited"]);
    ended(&mut command).silently(0);
    // And a command that has no such flag does not mind.
    let mut command = stage.command(&["status", "out"]);
    command.env("ROLLBOOK_RATE", "'5/s'");
    assert_eq!(ended(&mut command).code, Some(0));
}

#[test]
fn the_variables_of_flags_are_cleaned() {
    let stage = Stage::of(&[10]);
    let mut command = stage.command(&["export"]);
    command
        .env("ROLLBOOK_MEETINGS", "\u{feff}list.txt\r\n")
        .env("ROLLBOOK_OUT", " out\n")
        .env("ROLLBOOK_RATE", "unlimited\r")
        .env("ROLLBOOK_REPORT", "report.json\n")
        .env("ROLLBOOK_FAIL_FAST", "true\n")
        .env("ROLLBOOK_ACCESS_TOKEN", format!("{TOKEN}\r\n"))
        .env("ROLLBOOK_DEADLINE", "\n");
    ended(&mut command).silently(0);
    assert_eq!(stage.report().out, "out");
    assert_eq!(stage.report().records, 10);
}

#[test]
fn a_variable_that_is_no_text_is_refused_unless_it_names_a_file() {
    let stage = with_user("alice");
    let mut command = with_app(&stage);
    command.env("ROLLBOOK_USER_ID", OsStr::from_bytes(b"alice\xff"));
    assert_refused(&stage, &mut command, "ROLLBOOK_USER_ID");
    let name = OsStr::from_bytes(b"list\xff.txt");
    fs::rename(stage.path("list.txt"), stage.path("").join(name)).unwrap();
    let mut command = stage.command(&["export", "--out", "out"]);
    command.env("ROLLBOOK_MEETINGS", name);
    ended(&mut command).silently(0);
}

/// A secret in a file of its owner.
fn secret(stage: &Stage, bytes: &[u8]) -> String {
    let path = stage.path("secret");
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[rstest]
#[case::plain(PASSWORD.to_owned())]
#[case::mark_and_line_end(format!("\u{feff}{PASSWORD}\r\n"))]
fn a_password_file_is_read_without_its_mark_and_its_line_end(#[case] text: String) {
    let stage = Stage::of(&[10]);
    let path = secret(&stage, text.as_bytes());
    let mut command = stage.bare(&EXPORT);
    command
        .env("ROLLBOOK_ACCOUNT", ACCOUNT)
        .args(["--password-file", &path]);
    ended(&mut command).silently(0);
}

#[rstest]
#[case::quotes(b"\"hunter2\"\n", "is in quotes")]
#[case::lines(b"hunter2\nhunter2\n", "more than one line")]
#[case::utf16(b"\xff\xfeh\0u\0n\0t\0e\0r\x002\0", "not a text in UTF-8")]
#[case::nothing(b"\xef\xbb\xbf\r\n", "is empty")]
fn a_secret_file_that_holds_no_secret_is_refused_by_its_name(
    #[case] bytes: &[u8],
    #[case] says: &str,
) {
    let stage = Stage::of(&[10]);
    let path = secret(&stage, bytes);
    for (flag, id) in [
        ("--access-token-file", None),
        ("--app-key-file", Some(("ROLLBOOK_APP_ID", APP_ID))),
        ("--password-file", Some(("ROLLBOOK_ACCOUNT", ACCOUNT))),
    ] {
        let mut command = stage.bare(&EXPORT);
        command.args([flag, &path]).envs(id);
        let said = ended(&mut command).silently(3);
        assert!(said.contains(&path) && said.contains(says), "{said}");
        assert!(!said.contains("unter2"), "{said}");
        assert_eq!(stage.requests(), 0);
    }
}

#[rstest]
#[case::key(
    "app_key = \"hunter2\"",
    "line 2, column 1: unknown key app_key",
    "app_key_file or app_key_env"
)]
#[case::token(
    "access_token = \"hunter2\"",
    "unknown key access_token",
    "access_token_file"
)]
#[case::password("password = \"hunter2\"", "unknown key password", "password_file")]
#[case::torn("app_key_file = \"hunter2", "line 2, column ", "")]
#[case::kind("app_key_file = [\"hunter2\"]", "line 2, column 16: app_key_file", "")]
#[case::instead_of_a_variable(
    "app_id = \"x\"\napp_key_env = \"hunter2\"",
    "the variable that app_key_env names",
    ""
)]
#[case::instead_of_a_file(
    "access_token_file = \"hunter2\"",
    "the secret file that access_token_file names",
    ""
)]
#[case::instead_of_a_command("token_command = [\"hunter2\"]", "there is no such program", "")]
#[case::tenant(
    "[[tenant]]\nname = \"a\"\napp_key = \"hunter2\"",
    "line 4, column 1: unknown key app_key",
    "app_key_file"
)]
fn a_secret_in_the_config_file_is_never_shown(
    #[case] line: &str,
    #[case] says: &str,
    #[case] hint: &str,
) {
    let stage = Stage::of(&[10]);
    fs::write(
        stage.path("my.toml"),
        format!("meetings = \"list.txt\"\n{line}\n"),
    )
    .unwrap();
    for log in [&["-vv"][..], &["--log-format", "json"]] {
        let mut command = stage.bare(&["export", "--config", "my.toml", "--out", "out"]);
        // What is a tenant's own stands in its section.
        command.env_remove("ROLLBOOK_BASE_URL");
        command.args(log).args(["--report", "report.json"]);
        let said = ended(&mut command).silently(3);
        assert!(said.contains(says) && said.contains(hint), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        let report = fs::read_to_string(stage.path("report.json")).unwrap_or_default();
        assert!(!report.contains("hunter2"), "{report}");
    }
    assert_eq!(stage.requests(), 0);
}
