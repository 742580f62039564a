//! What must not leave the machine, or the process, and by which way the rest may.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use rollbook::simulator::{APP_ID, APP_KEY, Effect, Fault, Options, Refusal, ServiceError, TOKEN};
use rstest::rstest;

use crate::stage::{Stage, ended, gone};

const EXPORT: [&str; 5] = ["export", "--meetings", "list.txt", "--out", "out"];

/// A proxy that hears what it is asked for, and refuses it.
struct Proxy {
    url: String,
    heard: Arc<Mutex<String>>,
}

impl Proxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::<Mutex<String>>::default();
        let ears = Arc::clone(&heard);
        // Ends with the process of the tests.
        thread::spawn(move || {
            for client in listener.incoming() {
                hear(client.unwrap(), &ears);
            }
        });
        Self { url, heard }
    }

    fn heard(&self) -> String {
        self.heard.lock().unwrap().clone()
    }
}

fn hear(mut client: TcpStream, ears: &Mutex<String>) {
    let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
    let head = lines.by_ref().map_while(Result::ok);
    let head: Vec<_> = head.take_while(|line| !line.is_empty()).collect();
    *ears.lock().unwrap() += &(head.join("\n") + "\n");
    // A client that has left does not mind.
    drop(client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"));
    drop(client.read(&mut [0; 64]));
}

/// The variables that name a proxy, each in both spellings.
fn with_proxy(command: &mut std::process::Command, proxy: &Proxy) {
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(name, &proxy.url);
        command.env(name.to_lowercase(), &proxy.url);
    }
    for name in ["NO_PROXY", "no_proxy"] {
        command.env_remove(name);
    }
}

#[test]
fn a_proxy_of_the_environment_is_asked_for_a_tunnel_and_hears_nothing_else() {
    let (stage, proxy) = (Stage::of(&[10]), Proxy::start());
    let mut command = stage.command(&EXPORT);
    command.env("ROLLBOOK_BASE_URL", "https://api.example.invalid");
    command.args(["--retries", "0", "--search-key", "+861390000"]);
    with_proxy(&mut command, &proxy);
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
    let (stage, proxy) = (Stage::of(&[10]), Proxy::start());
    let mut command = stage.command(&EXPORT);
    command.args(["--retries", "0", "--timeout", "2s", "--allow-http"]);
    if let Some(site) = site {
        command.env("ROLLBOOK_BASE_URL", site);
    }
    with_proxy(&mut command, &proxy);
    let run = ended(&mut command);
    assert_eq!(proxy.heard(), "", "{}", run.stderr);
    assert_eq!(
        run.code,
        Some(if site.is_some() { 4 } else { 0 }),
        "{}",
        run.stderr
    );
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
