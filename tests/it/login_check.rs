//! `rollbook login-check`, and credentials of every kind, as a user sees them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rollbook::simulator::{
    ACCOUNT, APP_ID, APP_KEY, Answer, Credentials as Known, Effect, Endpoint, Fault, MeetingSpec,
    Options, PASSWORD, ServiceError, TOKEN,
};
use rstest::{Context, rstest};
use serde_json::Value;

use crate::stage::{Ended, Stage, ended};

const APP: [(&str, &str); 2] = [("ROLLBOOK_APP_ID", APP_ID), ("ROLLBOOK_APP_KEY", APP_KEY)];

fn stage(known: Known) -> Stage {
    Stage::with(Options {
        credentials: known,
        ..Options::sizes(&[700, 3])
    })
}

fn check(stage: &Stage, variables: &[(&str, &str)], args: &[&str]) -> Ended {
    let mut command = stage.bare(&["login-check"]);
    command.args(args).envs(variables.iter().copied());
    ended(&mut command)
}

/// What a person reads, without what differs from run to run.
fn told(stage: &Stage, ended: &Ended) -> String {
    let site = stage.simulator.base_url();
    let site = site.as_str().trim_end_matches('/');
    let text = format!("{}{}", ended.answer(), ended.stderr);
    let text = text.replace(site, "http://the-site");
    match text.split_once("(request id ") {
        Some((before, after)) => {
            let (_, after) = after.split_once(')').unwrap();
            format!("{before}(request id …){after}")
        }
        None => text,
    }
}

fn requests(stage: &Stage) -> Vec<Endpoint> {
    let seen = stage.simulator.requests();
    seen.iter().map(|seen| seen.endpoint).collect()
}

fn service_error(status: u16, code: &str, message: &str) -> Effect {
    Effect::Error(ServiceError {
        status,
        code: code.into(),
        message: message.into(),
    })
}

// Good credentials.

#[test]
fn an_app_id_of_the_administrator_is_good() {
    let stage = stage(Known::default());
    let checked = check(&stage, &APP, &[]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    insta::assert_snapshot!(told(&stage, &checked));
    // One place is taken, and given back.
    assert_eq!(
        requests(&stage),
        [
            Endpoint::Login,
            Endpoint::History,
            Endpoint::History,
            Endpoint::Logout
        ]
    );
    assert_eq!(stage.simulator.live_tokens(), 0);
    assert_eq!(stage.simulator.most_live_tokens(), 1);
}

#[test]
fn a_user_who_is_no_administrator_is_warned_and_the_code_is_0() {
    let stage = stage(Known::default());
    let variables = [&APP[..], &[("ROLLBOOK_USER_ID", "alice")]].concat();
    let checked = check(&stage, &variables, &[]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    insta::assert_snapshot!(told(&stage, &checked));
}

#[test]
fn a_service_providers_app_id_names_its_enterprise() {
    let stage = stage(Known {
        multi_tenant: true,
        ..Known::default()
    });
    let variables = [&APP[..], &[("ROLLBOOK_CORP_ID", "807074304")]].concat();
    let checked = check(&stage, &variables, &["--json"]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let answer: Value = serde_json::from_str(checked.answer()).unwrap();
    assert_eq!(answer["enterprise"], "807074304");
    assert_eq!(answer["login"], "app_id");
}

#[test]
fn a_given_token_is_looked_at_and_not_logged_out() {
    let stage = stage(Known::default());
    let checked = check(&stage, &[("ROLLBOOK_ACCESS_TOKEN", TOKEN)], &["--json"]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert!(!checked.answer().contains(TOKEN));
    let mut answer: Value = serde_json::from_str(checked.answer()).unwrap();
    answer["site"] = "http://the-site".into();
    insta::assert_json_snapshot!(answer);
    assert_eq!(
        requests(&stage),
        [Endpoint::Validate, Endpoint::History, Endpoint::History]
    );
    // Still good.
    stage.export(&[]).silently(0);
}

#[test]
fn what_the_site_does_not_tell_is_unknown() {
    let bare = Answer {
        body: format!(r#"{{"accessToken":"{TOKEN}","validPeriod":1200,"user":null}}"#),
        ..Answer::default()
    };
    let stage =
        stage(Known::default()).fault(Fault::new(Effect::Answer(bare)).on(Endpoint::Validate));
    let checked = check(&stage, &[("ROLLBOOK_ACCESS_TOKEN", TOKEN)], &[]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    insta::assert_snapshot!(told(&stage, &checked));
}

#[test]
fn a_closed_history_list_is_a_warning() {
    let closed = service_error(403, "MMC.111070002", "NO\u{1b}[2JPERMISSION");
    let stage = stage(Known::default()).fault(Fault::new(closed).on(Endpoint::History));
    let checked = check(&stage, &APP, &[]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    insta::assert_snapshot!(told(&stage, &checked));
    assert_eq!(stage.simulator.live_tokens(), 0);
}

#[test]
fn the_meetings_of_the_last_day_are_counted_with_and_without_those_of_others() {
    let now = chrono::Utc::now().timestamp_millis();
    let meeting = |foreign| MeetingSpec {
        start: Some(now - 3_600_000),
        foreign,
        ..MeetingSpec::of(3)
    };
    let stage = Stage::with(Options {
        meetings: vec![meeting(false), meeting(true), meeting(true)],
        ..Options::sizes(&[])
    });
    for (user, all) in [("", 3), ("alice", 1)] {
        let variables = [&APP[..], &[("ROLLBOOK_USER_ID", user)]].concat();
        let checked = check(&stage, &variables, &["--json"]);
        let answer: Value = serde_json::from_str(checked.answer()).unwrap();
        assert_eq!(answer["meetings"], 1);
        assert_eq!(answer["meetings_of_all"], all);
    }
}

// Bad credentials: the message tells the cause and the next step, and no secret.

#[rstest]
#[case::wrong_key(&[("ROLLBOOK_APP_ID", APP_ID), ("ROLLBOOK_APP_KEY", "hunter2")], Known::default(), None)]
#[case::unknown_app_id(&[("ROLLBOOK_APP_ID", "nobody"), ("ROLLBOOK_APP_KEY", APP_KEY)], Known::default(), None)]
#[case::clock_an_hour_late(&APP, Known { clock_offset: 3_630, ..Known::default() }, None)]
#[case::corp_id_of_a_single_enterprise(&[APP[0], APP[1], ("ROLLBOOK_CORP_ID", "807074304")], Known::default(), None)]
#[case::no_corp_id_of_a_provider(&APP, Known { multi_tenant: true, ..Known::default() }, None)]
#[case::other_site(&APP, Known::default(), Some((Endpoint::Login, "USG.206010064", "SITE_MISMATCH")))]
#[case::moved_to_another_site(&APP, Known::default(), Some((Endpoint::Login, "USG.206010074", "CHANGE_SITE")))]
#[case::not_activated(&APP, Known::default(), Some((Endpoint::Login, "USG.206010007", "USER_NOT_ACTIVATED")))]
#[case::not_bound(&APP, Known::default(), Some((Endpoint::Login, "USG.206010058", "USER_NOT_BOUND")))]
#[case::unknown_user(&[APP[0], APP[1], ("ROLLBOOK_USER_ID", "alcie")], Known { user_id: Some("alice".into()), ..Known::default() }, None)]
#[case::locked_user(&APP, Known::default(), Some((Endpoint::Login, "USG.206030015", "USER_LOCKED")))]
#[case::dead_token(&[("ROLLBOOK_ACCESS_TOKEN", "hunter2")], Known::default(), None)]
#[case::wrong_password(&[("ROLLBOOK_ACCOUNT", ACCOUNT), ("ROLLBOOK_PASSWORD", "hunter2 hunter2")], Known::default(), None)]
#[case::locked_account(&[("ROLLBOOK_ACCOUNT", ACCOUNT), ("ROLLBOOK_PASSWORD", PASSWORD)], Known { lock_after: 0, ..Known::default() }, None)]
#[case::dead_token_of_a_command(&[("ROLLBOOK_TOKEN_COMMAND", r#"["echo","hunter2"]"#)], Known::default(), None)]
fn bad_credentials_exit_with_3_and_are_explained(
    #[context] case: Context,
    #[case] variables: &[(&str, &str)],
    #[case] known: Known,
    #[case] refusal: Option<(Endpoint, &str, &str)>,
) {
    let mut stage = stage(known);
    if let Some((endpoint, code, message)) = refusal {
        let refusal = service_error(401, code, message);
        stage = stage.fault(Fault::new(refusal).on(endpoint));
    }
    let checked = check(&stage, variables, &["-vv"]);
    assert_eq!(checked.code, Some(3), "{}", checked.stderr);
    assert_eq!(checked.answer(), "");
    for secret in ["hunter2", APP_KEY, PASSWORD] {
        assert!(!checked.stderr.contains(secret), "{}", checked.stderr);
    }
    let name = case.description.unwrap();
    insta::assert_snapshot!(format!("bad_{name}"), told(&stage, &checked));
    assert_eq!(stage.simulator.live_tokens(), 0);
    // Nobody is locked out by asking.
    let asked = requests(&stage).len();
    assert!(asked <= 2, "{asked}");
}

/// With the logs of the HTTP library open.
#[test]
fn no_secret_is_shown_whatever_is_logged() {
    let pair = BASE64.encode(format!("{ACCOUNT}:{PASSWORD}"));
    let command = format!(r#"["echo","{TOKEN}"]"#);
    let kinds: [&[(&str, &str)]; 4] = [
        &APP,
        &[
            ("ROLLBOOK_ACCOUNT", ACCOUNT),
            ("ROLLBOOK_PASSWORD", PASSWORD),
        ],
        &[("ROLLBOOK_ACCESS_TOKEN", TOKEN)],
        &[("ROLLBOOK_TOKEN_COMMAND", &command)],
    ];
    for variables in kinds {
        let stage = stage(Known::default());
        let variables = [variables, &[("ROLLBOOK_LOG", "trace")]].concat();
        let checked = check(&stage, &variables, &["--json"]);
        assert_eq!(checked.code, Some(0), "{}", checked.stderr);
        assert!(checked.stderr.contains("connected to 127.0.0.1"));
        for secret in [APP_KEY, PASSWORD, &pair, TOKEN, "HMAC-SHA256 signature"] {
            let all = format!("{}{}", checked.answer(), checked.stderr);
            let line = all.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{line:?}");
        }
    }
}

#[test]
fn a_site_that_is_out_of_reach_is_no_refusal() {
    let stage = stage(Known::default());
    let checked = check(&stage, &APP, &["--base-url", "http://127.0.0.1:9"]);
    assert_eq!(checked.code, Some(1), "{}", checked.stderr);
    assert!(
        checked.stderr.contains("cannot log in"),
        "{}",
        checked.stderr
    );
}

#[test]
fn a_person_waits_for_three_logins_and_no_outage() {
    let away = Fault::new(Effect::Status(503)).on(Endpoint::Login);
    let stage = stage(Known::default()).fault(away);
    let checked = check(&stage, &APP, &[]);
    assert_eq!(checked.code, Some(1), "{}", checked.stderr);
    assert_eq!(requests(&stage), [Endpoint::Login; 3]);
}

// Where credentials come from.

/// Exports with the settings of a file.
fn export(stage: &Stage, config: &str) -> Command {
    fs::write(stage.path("my.toml"), config).unwrap();
    stage.bare(&[
        "export",
        "--meetings",
        "list.txt",
        "--out",
        "out",
        "--config",
        "my.toml",
        "-vv",
    ])
}

fn private(stage: &Stage, name: &str, text: &str) {
    let path = stage.path(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn an_account_is_read_from_the_config_and_its_password_from_a_file() {
    let stage = stage(Known::default());
    private(&stage, "password", &format!("{PASSWORD}\n"));
    let config = format!("account = \"{ACCOUNT}\"\npassword_file = \"password\"\n");
    let said = ended(&mut export(&stage, &config)).silently(0);
    assert!(!said.contains(PASSWORD), "{said}");
    assert_eq!(stage.simulator.logins(), 1);
    assert_eq!(stage.simulator.live_tokens(), 0);

    let open = fs::Permissions::from_mode(0o604);
    fs::set_permissions(stage.path("password"), open).unwrap();
    let said = ended(&mut export(&stage, &config)).silently(3);
    assert!(said.contains("chmod 600"), "{said}");
    assert_eq!(stage.simulator.logins(), 1);
}

#[test]
fn a_password_without_an_account_is_named() {
    let stage = stage(Known::default());
    let checked = check(&stage, &[("ROLLBOOK_PASSWORD", PASSWORD)], &[]);
    let said = checked.silently(3);
    assert!(
        said.contains("ROLLBOOK_ACCOUNT") && !said.contains(PASSWORD),
        "{said}"
    );
    assert_eq!(requests(&stage), []);
}

#[test]
fn a_token_command_is_asked_at_the_start_and_when_its_token_dies() {
    // A new token is tried twice before it counts as refused.
    let stage = stage(Known::default()).fault(Fault::new(Effect::Status(401)).first(2));
    fs::write(stage.path("calls"), "").unwrap();
    let script = format!("echo called >> calls; echo {TOKEN}");
    let config = format!("token_command = [\"sh\", \"-c\", \"{script}\"]\nconcurrency = 1\n");
    let said = ended(export(&stage, &config).env("ROLLBOOK_LOG", "trace")).silently(0);
    assert!(!said.contains(TOKEN), "{said}");
    let calls = fs::read_to_string(stage.path("calls")).unwrap();
    assert_eq!(calls.lines().count(), 2);
    assert!(!requests(&stage).contains(&Endpoint::Logout));
}

#[rstest]
#[case::array(r#"["sh","-c","cat token"]"#)]
#[case::program("./give token")]
fn a_token_command_of_the_environment_is_an_array_or_a_program_alone(#[case] command: &str) {
    let stage = stage(Known::default());
    fs::write(stage.path("token"), TOKEN).unwrap();
    // One word, spaces and all: nothing is split.
    fs::write(stage.path("give token"), "#!/bin/sh\ncat token\n").unwrap();
    let executable = fs::Permissions::from_mode(0o700);
    fs::set_permissions(stage.path("give token"), executable).unwrap();
    let checked = check(&stage, &[("ROLLBOOK_TOKEN_COMMAND", command)], &[]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert!(checked.answer().contains("token command"));
}

#[rstest]
#[case::no_array("[\"sh\", hunter2", "a JSON array of texts")]
#[case::empty("[]", "expected a program")]
#[case::fails(
    r#"["sh","-c","echo sealed >&2; exit 7","hunter2"]"#,
    "token_command sh failed (exit status: 7): sealed"
)]
#[case::prints_nothing(r#"["true","hunter2"]"#, "token_command true printed no token")]
fn a_token_command_that_gives_none_exits_with_3(#[case] command: &str, #[case] words: &str) {
    let stage = stage(Known::default());
    let checked = check(&stage, &[("ROLLBOOK_TOKEN_COMMAND", command)], &["-vv"]);
    let said = checked.silently(3);
    assert!(said.contains(words) && !said.contains("hunter2"), "{said}");
    assert_eq!(requests(&stage), []);
}
