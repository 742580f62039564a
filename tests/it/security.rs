//! What must not leave the machine, or the process, and by which way the rest may.

use std::fs;
use std::path::Path;

use rollbook::simulator::{APP_ID, APP_KEY, Effect, Fault, Options, Refusal, ServiceError, TOKEN};
use rstest::rstest;

use crate::ears::{Ears, FORBIDDEN};
use crate::fake_store::FakeStore;
use crate::stage::{Stage, ended, gone, until};

const EXPORT: [&str; 5] = ["export", "--meetings", "list.txt", "--out", "out"];

#[test]
fn a_proxy_of_the_environment_is_asked_for_a_tunnel_and_hears_nothing_else() {
    let (stage, proxy) = (Stage::of(&[10]), Ears::answering(FORBIDDEN));
    let mut command = stage.command(&EXPORT);
    command.env("ROLLBOOK_BASE_URL", "https://api.example.invalid");
    command.args(["--retries", "0", "--search-key", "+861390000"]);
    proxy.as_proxy_of(&mut command);
    let said = ended(&mut command).silently(4);
    let heard = proxy.heard();
    assert!(
        heard.starts_with("CONNECT api.example.invalid:443 HTTP/1.1\n"),
        "{heard}{said}"
    );
    for secret in [TOKEN, &stage.meeting(0), "861390000", "confAttendeeRecord"] {
        assert!(!heard.contains(secret), "{heard}");
    }
}

#[rstest]
#[case::this_machine(None)]
#[case::another_in_the_clear(Some("http://api.example.invalid"))]
fn what_is_not_encrypted_never_goes_through_a_proxy(#[case] site: Option<&str>) {
    let (stage, proxy) = (Stage::of(&[10]), Ears::answering(FORBIDDEN));
    let mut command = stage.command(&EXPORT);
    command.args(["--retries", "0", "--timeout", "2s", "--allow-http"]);
    if let Some(site) = site {
        command.env("ROLLBOOK_BASE_URL", site);
    }
    proxy.as_proxy_of(&mut command);
    let run = ended(&mut command);
    assert_eq!(proxy.heard(), "", "{}", run.stderr);
    assert_eq!(
        run.code,
        Some(if site.is_some() { 4 } else { 0 }),
        "{}",
        run.stderr
    );
}

/// A store on this machine, as its variables name it.
#[rstest]
#[case::s3("s3://lake/x", &[("AWS_ENDPOINT_URL", ""), ("AWS_ACCESS_KEY_ID", "ak"), ("AWS_SECRET_ACCESS_KEY", "sk"), ("AWS_SESSION_TOKEN", "session")])]
#[case::obs("obs://lake/x", &[("OBS_ENDPOINT", ""), ("OBS_ACCESS_KEY_ID", "ak"), ("OBS_SECRET_ACCESS_KEY", "sk")])]
#[case::google("gs://lake/x", &[("GOOGLE_BASE_URL", ""), ("GOOGLE_BEARER_TOKEN", "hunter2")])]
#[case::azure("az://lake/x", &[("AZURE_STORAGE_ENDPOINT", ""), ("AZURE_STORAGE_ACCOUNT_NAME", "me"), ("AZURE_STORAGE_ACCOUNT_KEY", "aHVudGVyMg==")])]
#[case::role_of_an_instance("s3://lake/x", &[("AWS_METADATA_ENDPOINT", "")])]
#[case::role_of_a_container("s3://lake/x", &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", ""), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "token")])]
#[case::account_of_an_instance("gs://lake/x", &[("GCE_METADATA_HOST", "host"), ("GCE_METADATA_IP", "host")])]
#[case::managed_identity("az://lake/x", &[("IDENTITY_ENDPOINT", ""), ("IDENTITY_HEADER", "hunter2"), ("AZURE_STORAGE_ACCOUNT_NAME", "me")])]
fn neither_a_store_on_this_machine_nor_its_credentials_are_asked_for_through_a_proxy(
    #[case] dest: &str,
    #[case] variables: &[(&str, &str)],
) {
    let stage = Stage::of(&[10]);
    let (store, proxy) = (Ears::answering(FORBIDDEN), Ears::answering(FORBIDDEN));
    fs::write(stage.path("token"), "hunter2").unwrap();
    let mut command = stage.command(&["export", "--meetings", "list.txt", "--out", dest]);
    for (name, value) in variables {
        let value = match *value {
            "" => store.url.as_str(),
            "host" => store.host(),
            value => value,
        };
        command.env(name, value);
    }
    proxy.as_proxy_of(&mut command);
    let said = ended(at_once(&mut command)).silently(1);
    assert!(!store.heard().is_empty(), "{said}");
    assert_eq!(proxy.heard(), "", "{said}");
    assert_eq!(stage.requests(), 0);
}

/// Has a store that does not answer be given up soon, and nothing of this machine's be used there.
fn at_once(command: &mut std::process::Command) -> &mut std::process::Command {
    for family in ["AWS", "GOOGLE", "AZURE"] {
        command.env(format!("{family}_TIMEOUT"), "300ms");
    }
    // Credentials of who runs the tests.
    command.env("HOME", "/nowhere")
}

#[rstest]
#[case::another_host(1, &[("AWS_ENDPOINT_URL", "http://store.example.invalid"), ("AWS_ACCESS_KEY_ID", "ak"), ("AWS_SECRET_ACCESS_KEY", "sk")])]
#[case::role_of_an_instance(3, &[("AWS_ENDPOINT_URL", "https://store.example.invalid")])]
#[case::role_of_a_container(1, &[("AWS_ENDPOINT_URL", "https://store.example.invalid"), ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/x")])]
fn what_a_store_is_asked_in_the_clear_never_goes_through_a_proxy(
    #[case] code: i32,
    #[case] variables: &[(&str, &str)],
) {
    let (stage, proxy) = (Stage::of(&[10]), Ears::answering(FORBIDDEN));
    let mut command = stage.command(&["export", "--meetings", "list.txt", "--out", "s3://lake/x"]);
    command.arg("--allow-http").envs(variables.iter().copied());
    proxy.as_proxy_of(&mut command);
    let said = ended(at_once(&mut command)).silently(code);
    assert_eq!(proxy.heard(), "", "{said}");
}

#[rstest]
#[case::s3("s3://lake/x", "store.example.invalid", &[("AWS_ENDPOINT_URL", "https://store.example.invalid"), ("AWS_ACCESS_KEY_ID", "ak"), ("AWS_SECRET_ACCESS_KEY", "hunter2"), ("AWS_SESSION_TOKEN", "hunter2")])]
#[case::obs("obs://lake/x", "lake.obs.cn-north-4.myhuaweicloud.com", &[("OBS_REGION", "cn-north-4"), ("OBS_ACCESS_KEY_ID", "ak"), ("OBS_SECRET_ACCESS_KEY", "hunter2")])]
#[case::google("gs://lake/x", "storage.googleapis.com", &[("GOOGLE_BEARER_TOKEN", "hunter2")])]
#[case::azure("az://lake/x", "me.blob.core.windows.net", &[("AZURE_STORAGE_ACCOUNT_NAME", "me"), ("AZURE_STORAGE_ACCOUNT_KEY", "aHVudGVyMg==")])]
fn of_an_encrypted_store_a_proxy_hears_the_name_alone(
    #[case] dest: &str,
    #[case] host: &str,
    #[case] variables: &[(&str, &str)],
) {
    let (stage, proxy) = (Stage::of(&[10]), Ears::answering(FORBIDDEN));
    let mut command = stage.command(&["export", "--meetings", "list.txt", "--out", dest]);
    command.envs(variables.iter().copied());
    proxy.as_proxy_of(&mut command);
    let said = ended(at_once(&mut command)).silently(1);
    let heads = proxy.heads();
    assert!(!heads.is_empty(), "{said}");
    for head in heads {
        let asked = format!("CONNECT {host}:443 HTTP/1.1\n");
        assert!(head.starts_with(&asked), "{head}");
        assert!(!head.contains("nter2") && !head.contains("x-amz"), "{head}");
    }
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn a_whole_run_into_a_store_on_this_machine_sends_nothing_through_a_proxy() {
    let stage = Stage::of(&[10, 700, 0]);
    let (store, proxy) = (FakeStore::start(), Ears::answering(FORBIDDEN));
    for (command, code) in [("export", 0), ("verify", 0)] {
        let mut command = match command {
            "export" => {
                stage.command(&["export", "--meetings", "list.txt", "--out", "s3://lake/x"])
            }
            _ => stage.command(&["verify", "s3://lake/x"]),
        };
        command
            .env("AWS_ENDPOINT_URL", &store.url)
            .env("AWS_ACCESS_KEY_ID", "ak")
            .env("AWS_SECRET_ACCESS_KEY", "sk")
            .env("AWS_SESSION_TOKEN", "session");
        proxy.as_proxy_of(&mut command);
        let run = ended(&mut command);
        assert_eq!(run.code, Some(code), "{}", run.stderr);
        assert_eq!(proxy.heard(), "");
    }
    let names = store.names();
    let parts = names.iter().filter(|name| name.ends_with(".parquet"));
    assert!(parts.count() > 0, "{names:?}");
    assert!(store.requests() > 10);
}

#[test]
fn a_redirect_of_a_store_is_not_followed() {
    let stage = Stage::of(&[10]);
    let elsewhere = Ears::answering(FORBIDDEN);
    let store = Ears::answering(format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {}/lake/x\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n",
        elsewhere.url
    ));
    let mut command = stage.command(&["export", "--meetings", "list.txt", "--out", "s3://lake/x"]);
    command
        .env("AWS_ENDPOINT_URL", &store.url)
        .env("AWS_ACCESS_KEY_ID", "ak")
        .env("AWS_SECRET_ACCESS_KEY", "sk");
    let said = ended(at_once(&mut command)).silently(1);
    assert!(!store.heard().is_empty(), "{said}");
    assert_eq!(elsewhere.heard(), "", "{said}");
}

#[rstest]
#[case::records(&["export", "--meetings", "list.txt", "--out", "out"], true)]
#[case::history(&["meetings", "--since", "1d"], true)]
#[case::validation(&["login-check"], true)]
#[case::login(&["login-check"], false)]
fn no_request_wants_to_be_answered_by_a_cache(#[case] args: &[&str], #[case] has_token: bool) {
    let (stage, site) = (Stage::of(&[10]), Ears::answering(FORBIDDEN));
    let mut command = stage.bare(args);
    command
        .env("ROLLBOOK_BASE_URL", &site.url)
        .env("ROLLBOOK_RETRIES", "0");
    if has_token {
        command.env("ROLLBOOK_ACCESS_TOKEN", TOKEN);
    } else {
        command
            .env("ROLLBOOK_APP_ID", APP_ID)
            .env("ROLLBOOK_APP_KEY", APP_KEY);
    }
    let run = ended(&mut command);
    assert!(!site.heads().is_empty(), "{}", run.stderr);
    for head in site.heads() {
        assert!(head.contains("\ncache-control: no-cache\n"), "{head}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn no_crash_of_a_run_writes_its_memory_into_a_file() {
    let stage = Stage::of(&[10; 3]);
    let mut command = stage.command(&EXPORT);
    // It waits for its quota until it is stopped.
    command.args(["-q", "--rate", "1/h"]);
    let mut run = command.spawn().unwrap();
    let limits = format!("/proc/{}/limits", run.id());
    let is_off = || {
        let limits = fs::read_to_string(&limits).unwrap();
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        let core: Vec<_> = core.unwrap().split_whitespace().skip(4).take(2).collect();
        core == ["0", "0"]
    };
    // The first request is sent long after the limit is set.
    until("the run asks", || !stage.simulator.requests().is_empty());
    let was_off = is_off();
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(was_off);
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_before_the_token_is_sent() {
    let stage = Stage::with(Options {
        tls: true,
        ..Options::sizes(&[10, 700])
    });
    let args = ["--retries", "0", "--report", "report.json"];
    let mut stranger = stage.command(&EXPORT);
    let said = ended(stranger.args(args).env_remove("ROLLBOOK_CA_FILE")).silently(4);
    assert!(said.contains("certificate"), "{said}");
    assert_eq!(stage.requests(), 0);
    assert_eq!(stage.report().meetings.incomplete, 2);
    // What is no certificate vouches for nobody.
    fs::write(stage.path("none.pem"), "none\n").unwrap();
    let mut command = stage.command(&EXPORT);
    let said = ended(command.args(args).args(["--ca-file", "none.pem"])).silently(3);
    assert!(said.contains("it holds no certificate"), "{said}");
    assert_eq!(stage.requests(), 0);
    let mut friend = stage.command(&EXPORT);
    ended(friend.args(["--ca-file", "ca.pem"])).silently(0);
    assert_eq!(stage.requests(), 3);
}

#[test]
fn no_setting_turns_verification_off() {
    let stage = Stage::of(&[]);
    let help = ended(&mut stage.command(&["export", "--help"]));
    let config = include_str!("../../config.example.toml");
    for text in [help.answer(), config] {
        for word in [
            "insecure",
            "no-verify",
            "skip-",
            "verify-tls",
            "tls-verify",
            "accept-invalid",
        ] {
            assert!(!text.to_lowercase().contains(word), "{word}");
        }
    }
}

/// Every answer and lack of one that a message is made of, with every log in the process open.
#[rstest]
#[case::tls(true)]
#[case::plain(false)]
fn no_log_and_no_file_tells_a_secret_or_whom_was_searched_for(#[case] tls: bool) {
    const SECRETS: [&str; 5] = [TOKEN, APP_KEY, "861390000", "%2B8613", "searchKey="];
    let stage = Stage::with(Options {
        tls,
        ..Options::sizes(&[10, 20, 30, 700, 40, 50])
    });
    let told = ServiceError {
        status: 400,
        code: "MMC.111070001".to_owned(),
        message: "no record of +861390000".to_owned(),
    };
    for (at, effect) in [
        (0, gone()),
        (1, Effect::Reset),
        (2, Effect::Error(told)),
        (3, Effect::Truncate(10)),
        (4, Effect::ExpireTokens(Refusal::TimedOut)),
    ] {
        // In both runs.
        let fault = Fault::new(effect).meeting(at);
        stage.simulator.add_fault(fault.first(2));
    }
    let args = [
        "--search-key",
        "+861390000",
        "--retries",
        "3",
        "--report",
        "report.json",
    ];
    let mut static_token = stage.command(&[&EXPORT[..], &args].concat());
    let mut app = stage.bare(&[&EXPORT[..], &args].concat());
    app.env("ROLLBOOK_APP_ID", APP_ID)
        .env("ROLLBOOK_APP_KEY", APP_KEY);
    for command in [&mut static_token, &mut app] {
        let run = ended(command.env("ROLLBOOK_LOG", "trace"));
        let report = fs::read_to_string(stage.path("report.json")).unwrap();
        let kept = fs::read_dir(stage.path("out/_rollbook/runs")).unwrap();
        let kept = kept.map(|run| fs::read_to_string(run.unwrap().path()).unwrap());
        let kept: String = kept.collect();
        for text in [&run.stderr, &report, &kept] {
            for secret in SECRETS {
                let line = text.lines().find(|line| line.contains(secret));
                assert!(line.is_none(), "{line:?}");
            }
        }
        // The logs of the HTTP library were open.
        assert!(
            run.stderr.contains("connected to 127.0.0.1"),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn no_file_is_named_after_a_meeting() {
    let stage = Stage::of(&[10, 1_200, 0]).fault(Fault::new(gone()).meeting(0));
    stage.export(&["--buffer-rows", "600"]).silently(4);
    let mut names = Vec::new();
    collect(&stage.path("out"), &mut names);
    assert!(names.len() > 3);
    for at in 0..3 {
        let uuid = stage.meeting(at);
        assert!(!names.iter().any(|name| name.contains(&uuid)), "{names:?}");
    }
}

fn collect(folder: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        names.push(entry.file_name().into_string().unwrap());
        if entry.path().is_dir() {
            collect(&entry.path(), names);
        }
    }
}
