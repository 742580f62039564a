//! The command as a shell sees it: help, usage, exit codes, precedence, closed pipes.

use std::path::Path;
use std::process::{Output, Stdio};

use assert_cmd::Command;
use rstest::rstest;

/// The command in an environment without any of its variables.
fn rollbook(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ROLLBOOK_")) {
        command.env_remove(name);
    }
    command.env("COLUMNS", "100").args(args);
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What a command that must succeed prints.
fn answer(args: &[&str]) -> String {
    let output = rollbook(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    stdout(&output)
}

/// The exit code of a command that must fail, and what it says.
fn failure(mut command: Command) -> (i32, String) {
    let output = command.output().unwrap();
    assert_eq!(stdout(&output), "");
    (output.status.code().unwrap(), stderr(&output))
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The settings in force, without asking anybody anything.
fn settings(mut command: Command) -> toml::Table {
    let output = command.arg("--print-config").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    toml::from_str(&stdout(&output)).unwrap()
}

/// Every key with a default, and that default as a variable would say it.
fn defaults() -> Vec<(String, String)> {
    let table = toml::Table::try_from(rollbook::Config::default()).unwrap();
    let text = |value: toml::Value| match value {
        toml::Value::String(text) => text,
        other => other.to_string(),
    };
    table
        .into_iter()
        .map(|(key, value)| (key, text(value)))
        .collect()
}

#[rstest]
#[case::all("rollbook", &["--help"])]
#[case::export("export", &["export", "-h"])]
#[case::export_long("export-long", &["export", "--help"])]
#[case::login_check("login-check", &["login-check", "-h"])]
#[case::compact("compact", &["compact", "--help"])]
#[case::purge("purge", &["purge", "--help"])]
#[case::login_check_long("login-check-long", &["login-check", "--help"])]
#[case::meetings("meetings", &["meetings", "-h"])]
#[case::demo("demo", &["demo", "-h"])]
#[case::simulate("simulate", &["simulate", "-h"])]
#[case::status("status", &["status", "-h"])]
#[case::verify("verify", &["verify", "-h"])]
#[case::schema("schema", &["schema", "-h"])]
#[case::completions("completions", &["completions", "-h"])]
#[case::man("man", &["man", "-h"])]
fn help_teaches(#[case] name: &str, #[case] args: &[&str]) {
    insta::assert_snapshot!(format!("help-{name}"), answer(args));
}

#[test]
fn help_of_export_fits_a_screen() {
    let help = answer(&["export", "-h"]);
    assert!(help.lines().count() <= 60, "{} lines", help.lines().count());
    assert!(help.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn every_key_of_the_config_has_a_flag() {
    let help = answer(&["export", "--help"]);
    for (key, _) in defaults() {
        let flag = format!("--{}", key.replace('_', "-"));
        assert!(help.contains(&flag), "{flag}");
    }
}

#[rstest]
#[case("bash")]
#[case("zsh")]
#[case("fish")]
#[case("elvish")]
#[case("powershell")]
fn completions_know_every_command(#[case] shell: &str) {
    let script = answer(&["completions", shell]);
    for word in ["export", "verify", "simulate", "page-size"] {
        assert!(script.contains(word), "{shell}: {word}");
    }
}

#[test]
fn the_manual_describes_the_command_and_each_of_its_commands() {
    assert!(answer(&["man"]).contains(".TH rollbook 1"));
    assert!(answer(&["man", "export"]).contains(".TH rollbook-export 1"));
    let (code, text) = failure(rollbook(&["man", "nothing"]));
    assert_eq!(code, 2, "{text}");
}

#[test]
fn the_schema_is_told_in_each_form() {
    assert!(answer(&["schema"]).starts_with("conf_uuid     Utf8"));
    assert!(answer(&["schema", "--format", "json-schema"]).starts_with("{\n  \"$schema\""));
    for form in [
        "duckdb",
        "spark",
        "clickhouse",
        "postgres",
        "delta",
        "gaussdb",
    ] {
        let ddl = answer(&["schema", "--format", form]);
        assert!(ddl.starts_with("CREATE "), "{form}");
        let dated = answer(&["schema", "--format", form, "--partition-by", "meeting-date"]);
        let has_date = dated.contains("meeting_date");
        assert_eq!(has_date, form != "gaussdb", "{form}");
    }
}

#[rstest]
#[case::no_command(&[])]
#[case::unknown_flag(&["export", "--nothing"])]
#[case::no_meetings(&["export", "--out", "x"])]
#[case::no_destination(&["export", "a1"])]
#[case::parquet_into_a_pipe(&["export", "a1", "--out", "-"])]
#[case::no_uuid(&["export", "../x", "--out", "x"])]
#[case::no_rate(&["export", "a1", "--out", "x", "--rate", "fast"])]
#[case::page_too_large(&["export", "a1", "--out", "x", "--page-size", "501"])]
#[case::unknown_format(&["export", "a1", "--out", "x", "--format", "csv"])]
fn usage_errors_exit_with_2(#[case] args: &[&str]) {
    let (code, text) = failure(rollbook(args));
    assert_eq!(code, 2, "{text}");
}

#[test]
fn usage_errors_say_what_to_do() {
    let errors = [
        &["export", "--out", "x"][..],
        &["export", "a1"],
        &["export", "a1", "--out", "-"],
        &["export", "../x", "--out", "x"],
        &["export", "a1", "--out", "x", "--rate", "fast"],
    ];
    let said: Vec<_> = errors
        .iter()
        .map(|args| failure(rollbook(args)).1)
        .collect();
    insta::assert_snapshot!(said.join("---\n"));
}

#[rstest]
#[case::path("a1\n\n../../etc/passwd\n", "line 3: not a meeting UUID")]
#[case::array("[]", "line 1: a JSON array")]
fn a_bad_list_is_refused_by_file_and_line(#[case] list: &str, #[case] message: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "list.txt", list);
    let (code, text) = failure(rollbook(&["export", "--meetings", &path, "--out", "x"]));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains(&path) && text.contains(message), "{text}");
}

#[test]
fn a_list_of_one_endless_line_is_refused_briefly() {
    let mut command = rollbook(&["export", "--meetings", "-", "--out", "x"]);
    command.write_stdin("a".repeat(1 << 20));
    let (code, text) = failure(command);
    assert_eq!(code, 2);
    let line = "standard input, line 1: longer than";
    assert!(text.contains(line) && text.len() < 400, "{text}");
}

#[test]
fn a_list_that_is_not_there_is_a_failure_of_its_own() {
    let (code, text) = failure(rollbook(&["export", "--meetings", "no-such", "--out", "x"]));
    assert_eq!(code, 1);
    assert!(text.contains("cannot open no-such: "), "{text}");
}

#[test]
fn missing_credentials_exit_with_3_and_say_what_to_set() {
    let (code, text) = failure(rollbook(&["export", "a1", "--out", "x"]));
    assert_eq!(code, 3);
    for name in [
        "ROLLBOOK_ACCESS_TOKEN",
        "ROLLBOOK_APP_ID",
        "ROLLBOOK_APP_KEY",
    ] {
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn an_app_key_without_an_app_id_exits_with_3_and_shows_no_key() {
    let mut command = rollbook(&["-vv", "export", "a1", "--out", "x"]);
    command.env("ROLLBOOK_APP_KEY", "hunter2");
    let (code, text) = failure(command);
    assert_eq!(code, 3);
    assert!(
        text.contains("ROLLBOOK_APP_ID") && !text.contains("hunter2"),
        "{text}"
    );
}

#[cfg(unix)]
#[test]
fn a_secret_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "token", "hunter2\n");
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&path, open).unwrap();
    let args = ["export", "a1", "--out", "x", "--access-token-file", &path];
    let (code, text) = failure(rollbook(&args));
    assert_eq!(code, 3);
    assert!(
        text.contains("chmod 600") && !text.contains("hunter2"),
        "{text}"
    );
}

#[rstest]
#[case::unknown_key("ratte = 1\n", "ratte")]
#[case::no_value("rate = \"fast\"\n", "expected a rate")]
#[case::clear_text("base_url = \"http://example.com\"\n", "use https")]
fn a_bad_config_file_exits_with_3(#[case] config: &str, #[case] message: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "my.toml", config);
    let args = ["export", "a1", "--out", "x", "--config", &path];
    let (code, text) = failure(rollbook(&args));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains(message), "{text}");
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = "rate = \"1/s\"\nburst = 2\nretries = 3\nfail_fast = true\n";
    let path = write(folder.path(), "my.toml", file);
    let command = |args: &[&str]| {
        let mut command = rollbook(&["export"]);
        command.args(args).env("ROLLBOOK_CONFIG", &path);
        command
            .env("ROLLBOOK_RATE", "5/s")
            .env("ROLLBOOK_BURST", "6");
        command
    };
    let in_force = settings(command(&["--rate", "9/s", "--keep-going"]));
    assert_eq!(in_force["rate"].as_str(), Some("9/s"), "flag");
    assert_eq!(in_force["burst"].as_integer(), Some(6), "environment");
    assert_eq!(in_force["retries"].as_integer(), Some(3), "file");
    assert_eq!(in_force["concurrency"].as_integer(), Some(16), "default");
    assert_eq!(in_force["fail_fast"].as_bool(), Some(false), "flag");
    let in_force = settings(command(&["--allow-http", "--fail-fast=false"]));
    assert_eq!(in_force["allow_http"].as_bool(), Some(true));
    assert_eq!(in_force["fail_fast"].as_bool(), Some(false));
}

#[test]
fn meetings_named_one_by_one_stand_for_themselves() {
    let with_list = |args: &[&str]| {
        let mut command = rollbook(&["export"]);
        command.args(args).env("ROLLBOOK_MEETINGS", "nightly.txt");
        settings(command)
    };
    assert!(with_list(&[]).contains_key("meetings"));
    assert!(!with_list(&["a1"]).contains_key("meetings"));
    let both = with_list(&["a1", "--meetings", "more.txt"]);
    assert_eq!(both["meetings"].as_str(), Some("more.txt"));
}

#[test]
fn every_setting_is_a_variable_too() {
    for (key, value) in defaults() {
        let name = format!("ROLLBOOK_{}", key.to_uppercase());
        let mut command = rollbook(&["export"]);
        command.env(&name, &value);
        assert!(settings(command).contains_key(&key), "{name}={value}");
        // What is no value at all is refused: the variable was read.
        let mut command = rollbook(&["export", "--print-config"]);
        command.env(&name, "\u{1}");
        assert_eq!(failure(command).0, 3, "{name}");
    }
}

#[test]
fn a_variable_that_is_set_to_nothing_is_not_set() {
    let mut command = rollbook(&["export"]);
    command
        .env("ROLLBOOK_RATE", "")
        .env("ROLLBOOK_MEETINGS", "");
    let in_force = settings(command);
    assert_eq!(in_force["rate"].as_str(), Some("60/min"));
    assert!(!in_force.contains_key("meetings"));
}

#[test]
fn a_refused_value_names_the_variable_that_it_came_from() {
    let mut command = rollbook(&["export", "--print-config"]);
    command.env("ROLLBOOK_PAGE_SIZE", "501");
    let (code, text) = failure(command);
    assert_eq!(code, 2);
    assert!(text.contains("the variable ROLLBOOK_PAGE_SIZE"), "{text}");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_rollbook"))
        .args(["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_report_that_cannot_be_written_is_found_out_before_the_run() {
    let mut command = rollbook(&["export", "a1", "--out", "x", "--report", "no-such/r.json"]);
    command.env("ROLLBOOK_ACCESS_TOKEN", "t");
    let (code, text) = failure(command);
    assert_eq!(code, 1, "{text}");
    let cause = "cannot write the report no-such/r.json";
    assert!(text.contains(cause), "{text}");
}

#[cfg(unix)]
#[test]
fn the_simulator_says_how_to_reach_it_and_ends_when_asked() {
    use std::io::{BufRead as _, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.txt");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_rollbook"))
        .args(["simulate", "-q", "--meetings", "3", "--list"])
        .arg(&list)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said: Vec<_> = lines
        .by_ref()
        .map_while(Result::ok)
        .take_while(|line| line != "# Ctrl-C stops it")
        .collect();
    assert!(
        said[0].starts_with("export ROLLBOOK_BASE_URL=http://127.0.0.1:"),
        "{said:?}"
    );
    assert!(
        said[1].starts_with("export ROLLBOOK_ACCESS_TOKEN="),
        "{said:?}"
    );
    assert_eq!(std::fs::read_to_string(&list).unwrap().lines().count(), 3);
    // It listens for signals before it answers: the last line is out, so this one is heard.
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .ok();
    assert!(kill.is_ok());
    let farewell = lines.next().unwrap().unwrap();
    let answered = "# answered: 0 requests, 0 pages of records, 0 connections, 0 at once at most";
    assert_eq!(farewell, answered);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[rstest]
#[case::verify("verify")]
#[case::status("status")]
fn a_folder_that_is_no_dataset_is_named(#[case] command: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let (code, text) = failure(rollbook(&[command, path]));
    assert_eq!(code, 1);
    assert!(
        text.contains(path) && text.contains("not a dataset"),
        "{text}"
    );
}
