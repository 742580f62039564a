//! `[[tenant]]` sections: several exports by one command, each against a site of its own.

use std::fs;
use std::process::Command;
use std::sync::mpsc;

use rollbook::simulator::{APP_ID, APP_KEY, Effect, Fault, Options, Simulator, TOKEN};
use rollbook::{Outcome, Report};
use rstest::rstest;
use serde_json::Value;

use crate::stage::{Ended, Running, Stage, ended, gone, until};
use crate::venv;

/// Two sites, and a config file with a tenant for each.
struct Sites {
    a: Stage,
    b: Stage,
}

impl Sites {
    fn of(a: &[u64], b: &[u64]) -> Self {
        let sites = Self {
            a: Stage::of(a),
            b: Stage::of(b),
        };
        fs::write(sites.a.path("token"), TOKEN).unwrap();
        owners_alone(&sites.a, "token");
        fs::write(sites.a.path("key"), APP_KEY).unwrap();
        owners_alone(&sites.a, "key");
        fs::copy(sites.b.path("list.txt"), sites.a.path("b.txt")).unwrap();
        sites.write(&sites.section_a(), &sites.section_b());
        sites
    }

    fn section_a(&self) -> String {
        format!(
            "name = \"a\"\nbase_url = \"{}\"\nmeetings = \"list.txt\"\naccess_token_file = \"token\"",
            self.a.simulator.base_url()
        )
    }

    fn section_b(&self) -> String {
        format!(
            "name = \"b\"\nbase_url = \"{}\"\nmeetings = \"b.txt\"\napp_id = \"{APP_ID}\"\n\
             app_key_file = \"key\"\nlanguage = \"zh-CN\"",
            self.b.simulator.base_url()
        )
    }

    fn write(&self, a: &str, b: &str) {
        let shared = "out = \"lake\"\nreport = \"report.json\"\nrate = \"unlimited\"\n\
                      retry_delay = \"1ms\"\nretries = 2";
        let text = format!("{shared}\n[[tenant]]\n{a}\n[[tenant]]\n{b}\n");
        fs::write(self.a.path("nightly.toml"), text).unwrap();
    }

    /// The command in the folder of the first; no variable says what the file is to say.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.a.bare(&["export", "--config", "nightly.toml"]);
        for name in ["ROLLBOOK_BASE_URL", "ROLLBOOK_RATE", "ROLLBOOK_RETRY_DELAY"] {
            command.env_remove(name);
        }
        command.args(args);
        command
    }

    fn export(&self, args: &[&str]) -> Ended {
        ended(&mut self.command(args))
    }

    /// Exit code, error and report of each tenant, as the overall report has them.
    fn told(&self) -> Vec<(String, u64, Option<String>, Option<Report>)> {
        let overall: Value =
            serde_json::from_slice(&fs::read(self.a.path("report.json")).unwrap()).unwrap();
        assert_eq!(overall["version"], 1);
        let tenants = overall["tenants"].as_array().unwrap().iter();
        let told: Vec<_> = tenants
            .map(|tenant| {
                let report: Option<Report> =
                    serde_json::from_value(tenant["report"].clone()).unwrap();
                if let Some(report) = &report {
                    assert_eq!(overall["run_id"], report.run_id);
                }
                (
                    tenant["name"].as_str().unwrap().to_owned(),
                    tenant["exit_code"].as_u64().unwrap(),
                    tenant["error"].as_str().map(str::to_owned),
                    report,
                )
            })
            .collect();
        let code = overall["exit_code"].as_u64().unwrap();
        assert!(code == 0 || told.iter().any(|tenant| tenant.1 == code));
        told
    }
}

fn owners_alone(stage: &Stage, name: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(stage.path(name), fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn each_tenant_has_a_dataset_a_token_and_a_report_of_its_own() {
    let sites = Sites::of(&[10, 1_200], &[20, 30, 0]);
    let said = sites.export(&[]).silently(0);
    for words in [
        "2 of 2 meetings are in lake/tenant=a",
        "3 of 3 meetings are in lake/tenant=b",
    ] {
        assert!(said.contains(words), "{said}");
    }
    sites.a.assert_rows(&sites.a.rows("lake/tenant=a"), &[0, 1]);
    assert_eq!(sites.a.rows("lake/tenant=b").len(), 50);
    assert_eq!(
        (sites.a.simulator.logins(), sites.b.simulator.logins()),
        (0, 1)
    );
    let told = sites.told();
    let names: Vec<_> = told
        .iter()
        .map(|tenant| (tenant.0.as_str(), tenant.1))
        .collect();
    assert_eq!(names, [("a", 0), ("b", 0)]);
    for (name, _, _, report) in told {
        let report = report.unwrap();
        assert_eq!(report.out, format!("lake/tenant={name}"));
        let written = format!("lake/tenant={name}/_rollbook/runs/{}.json", report.run_id);
        let written: Report =
            serde_json::from_slice(&fs::read(sites.a.path(&written)).unwrap()).unwrap();
        assert_eq!(written, report);
        let sound = sites.a.run(&["verify", &format!("lake/tenant={name}")]);
        assert_eq!(sound.code, Some(0), "{}", sound.answer());
    }
    // One run for all of them, and the labels in the language of each.
    let languages = sites.b.simulator.requests();
    assert!(
        languages
            .iter()
            .filter_map(|seen| seen.accept_language.as_deref())
            .all(|tag| tag == "zh-CN")
    );
    // Nothing is asked again.
    sites.a.requests();
    sites.b.requests();
    sites.export(&[]).silently(0);
    assert_eq!((sites.a.requests(), sites.b.requests()), (0, 0));
}

#[test]
fn where_one_site_dies_the_other_tenant_is_complete() {
    const BEFORE: u64 = 7;
    let sites = Sites::of(&[10; 30], &[]);
    // A site that goes away for good when it has seen so many requests.
    let (address, told) = mpsc::channel();
    let (died, dead) = mpsc::channel();
    let site = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let simulator = Simulator::start(Options::sizes(&[10; 30])).await.unwrap();
            simulator.add_fault(Fault::new(Effect::Hang).since(BEFORE + 1));
            let known = (simulator.base_url(), simulator.meetings());
            address.send(known).unwrap();
            tokio::task::spawn_blocking(move || {
                until("the last request", || simulator.request_count() > BEFORE);
                simulator
            })
            .await
            .unwrap()
            .shutdown()
            .await;
        });
        died.send(()).unwrap();
    });
    let (url, meetings) = told.recv().unwrap();
    let list: String = meetings
        .iter()
        .map(|meeting| {
            meeting.to_string()
                + "
"
        })
        .collect();
    fs::write(sites.a.path("b.txt"), list).unwrap();
    let b = format!(
        "name = \"b\"\nbase_url = \"{url}\"\nmeetings = \"b.txt\"\naccess_token_file = \"token\"\nconcurrency = 1"
    );
    sites.write(&sites.section_a(), &b);
    let args = [
        "--metrics-file",
        "rollbook.prom",
        "--log-format",
        "json",
        "--timeout",
        "5s",
    ];
    let said = sites.export(&args).silently(1);
    dead.recv().unwrap();
    site.join().unwrap();
    let told = sites.told();
    let [a, b] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((a.1, b.1), (0, 1));
    let (a, b) = (a.3.as_ref().unwrap(), b.3.as_ref().unwrap());
    assert_eq!((a.outcome, a.meetings.complete), (Outcome::Complete, 30));
    assert_eq!(b.outcome, Outcome::Failed);
    assert_eq!(
        (b.meetings.complete, b.meetings.unfinished),
        (BEFORE, 30 - BEFORE)
    );
    for name in ["a", "b"] {
        let sound = sites.a.run(&["verify", &format!("lake/tenant={name}")]);
        assert_eq!(sound.code, Some(0), "{}", sound.answer());
    }
    // Each line of the log says whose it is.
    let lines: Vec<Value> = said
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let tenants_of = |words: &str| -> Vec<_> {
        let lines = lines.iter();
        let told = lines.filter(|line| line["message"].as_str().unwrap().starts_with(words));
        told.map(|line| line["span"]["tenant"].as_str().unwrap())
            .collect()
    };
    assert_eq!(
        tenants_of("the API gives no answer that can be used; asking"),
        ["b"]
    );
    assert_eq!(tenants_of("finished"), ["a", "b"]);
    // And each figure.
    let path = sites.a.path("rollbook.prom");
    let figures: Vec<Value> =
        serde_json::from_str(&venv::run("metrics.py", &[path.to_str().unwrap()])).unwrap();
    let figure = |name: &str, tenant: &str| -> String {
        let mut all = figures.iter();
        let found = all.find(|sample| sample[0] == name && sample[1]["tenant"] == tenant);
        format!("{:.0}", found.unwrap()[2].as_f64().unwrap())
    };
    assert_eq!(figure("rollbook_exit_code", "a"), "0");
    assert_eq!(figure("rollbook_exit_code", "b"), "1");
    assert_ne!(figure("rollbook_last_success_timestamp_seconds", "a"), "0");
    assert_eq!(figure("rollbook_last_success_timestamp_seconds", "b"), "0");
}

#[rstest]
#[case::a_key_that_is_none("ratte = 1", 3, "ratte")]
#[case::a_token_that_is_nowhere("access_token_file = \"none\"", 3, "access_token_file")]
#[case::no_credentials("", 3, "[[tenant]] section")]
#[case::a_list_that_is_nowhere("access_token_file = \"token\"\nmeetings = \"none\"", 1, "none")]
#[case::a_list_of_nonsense(
    "access_token_file = \"token\"\nmeetings = \"nightly.toml\"",
    2,
    "line 1"
)]
fn what_is_wrong_with_one_tenant_does_not_stop_the_other(
    #[case] wrong: &str,
    #[case] code: u8,
    #[case] words: &str,
) {
    let sites = Sites::of(&[10], &[20]);
    let meetings = if wrong.contains("meetings") {
        ""
    } else {
        "\nmeetings = \"list.txt\""
    };
    let a = format!(
        "name = \"a\"\nbase_url = \"{}\"{meetings}\n{wrong}",
        sites.a.simulator.base_url()
    );
    sites.write(&a, &sites.section_b());
    // Everybody's token is nobody's.
    let said = ended(sites.command(&[]).env("ROLLBOOK_ACCESS_TOKEN", TOKEN)).silently(code.into());
    assert!(said.contains("tenant a") && said.contains(words), "{said}");
    let told = sites.told();
    assert_eq!((told[0].1, told[1].1), (code.into(), 0));
    assert!(told[0].2.as_ref().unwrap().contains(words), "{told:?}");
    assert!(told[0].3.is_none() && told[1].2.is_none());
    assert_eq!(sites.a.requests(), 0);
    assert_eq!(sites.a.rows("lake/tenant=b").len(), 20);
}

#[test]
fn one_tenant_can_be_picked_and_the_others_are_left_alone() {
    let sites = Sites::of(&[10], &[20, 30]);
    sites.export(&["--tenant", "b"]).silently(0);
    assert!(!sites.a.path("lake/tenant=a").exists());
    assert_eq!(sites.told().len(), 1);
    // For one alone, meetings can be named.
    let one = sites.b.meeting(0);
    sites
        .export(&["--tenant", "b", "--out", "other", &one])
        .silently(0);
    assert_eq!(sites.a.rows("other/tenant=b").len(), 20);
}

#[rstest]
#[case::a_name_that_is_none(&["--tenant", "c"], "there are a, b")]
#[case::a_pipe(&["--out", "-", "--format", "ndjson"], "one pipe")]
#[case::a_list_for_all(&["--meetings", "list.txt"], "--tenant NAME")]
#[case::a_meeting_for_all(&["9a0fa6d10a5b11eaae5e191763c22c0e"], "--tenant NAME")]
#[case::a_site_for_all(&["--base-url", "https://example.com"], "base_url")]
#[case::an_account_for_all(&["--account", "me"], "account")]
#[case::a_key_for_all(&["--pii-key-file", "key"], "pii_key_file")]
#[case::a_token_for_all(&["--access-token-file", "token"], "access_token_file")]
fn what_can_only_be_meant_for_one_tenant_is_refused_for_several(
    #[case] args: &[&str],
    #[case] words: &str,
) {
    let sites = Sites::of(&[10], &[20]);
    let said = sites.export(args).silently(2);
    assert!(said.contains(words), "{said}");
    assert_eq!((sites.a.requests(), sites.b.requests()), (0, 0));
}

#[test]
fn a_tenant_without_a_section_is_refused_where_there_are_none() {
    let stage = Stage::of(&[10]);
    let said = stage.export(&["--tenant", "a"]).silently(2);
    assert!(said.contains("no [[tenant]] named a"), "{said}");
}

#[test]
fn a_signal_stops_all_tenants_where_everything_is_whole() {
    let sites = Sites::of(&[10; 4], &[20; 4]);
    for stage in [&sites.a, &sites.b] {
        stage
            .simulator
            .add_fault(Fault::new(Effect::Hang).meeting(3));
        stage.simulator.add_fault(Fault::new(gone()).meeting(2));
    }
    let mut run = Running::start(&mut sites.command(&["--timeout", "3s", "--retries", "0"]));
    until("both hanging requests", || {
        sites.a.simulator.request_count() == 4 && sites.b.simulator.request_count() == 5
    });
    run.signal(rustix::process::Signal::TERM);
    run.hear("once more stops at once");
    let (code, said) = run.end();
    let codes: Vec<_> = sites.told().iter().map(|tenant| tenant.1).collect();
    assert_eq!(
        code.map(i64::from),
        codes.iter().copied().max().map(u64::cast_signed),
        "{said}"
    );
    assert!(
        codes.iter().all(|code| [4, 130].contains(code)),
        "{codes:?}"
    );
}

/// The first meetings of the simulator begin in this month.
const WINDOW: [&str; 4] = ["--since", "2026-01-01", "--until", "2026-01-31"];

#[test]
fn a_tenant_may_have_a_window_beside_another_ones_list() {
    let sites = Sites::of(&[1, 2], &[3, 4, 5]);
    let window = "since = \"2026-01-01\"\nuntil = \"2026-01-31\"";
    let a = sites.section_a().replace("meetings = \"list.txt\"", window);
    sites.write(&a, &sites.section_b());
    let has_window = |sites: &Sites| -> Vec<_> {
        let told = sites.told().into_iter();
        told.map(|(.., report)| {
            let report = report.unwrap();
            (report.meetings.requested, report.window.is_some())
        })
        .collect()
    };
    sites.export(&[]).silently(0);
    assert_eq!(has_window(&sites), [(2, true), (3, false)]);
    // What is asked for here and now stands for each.
    sites.export(&WINDOW).silently(0);
    assert_eq!(has_window(&sites), [(2, true), (3, true)]);
    // One that says neither is told of both.
    let a = a.replace(window, "");
    sites.write(&a, &sites.section_b());
    sites.export(&[]).silently(3);
    let error = sites.told().remove(0).2.unwrap();
    assert!(
        error.contains("meetings = ") && error.contains("since = "),
        "{error}"
    );
}

#[test]
fn the_meetings_of_one_tenant_are_listed() {
    let sites = Sites::of(&[1, 2], &[3, 4, 5]);
    let list = |args: &[&str]| {
        let all = ["meetings", "--config", "nightly.toml", "--format", "uuids"];
        let mut command = sites.a.bare(&[&all, &WINDOW[..], args].concat());
        ended(command.env_remove("ROLLBOOK_BASE_URL"))
    };
    let said = list(&["--tenant", "b"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(String::from_utf8(said.stdout).unwrap().lines().count(), 3);
    let said = list(&[]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(said.stderr.contains("--tenant (a, b)"), "{}", said.stderr);
}

/// It would go to whichever tenant is picked.
#[test]
fn a_variable_with_what_is_a_tenants_own_is_refused_even_for_one() {
    let sites = Sites::of(&[10], &[20]);
    for (variable, value) in [("ROLLBOOK_APP_ID", "other"), ("ROLLBOOK_ACCOUNT", "me")] {
        let mut command = sites.command(&["--tenant", "b"]);
        let said = ended(command.env(variable, value)).silently(2);
        assert!(said.contains(&format!("unset {variable}")), "{said}");
    }
    assert_eq!((sites.a.requests(), sites.b.requests()), (0, 0));
}
