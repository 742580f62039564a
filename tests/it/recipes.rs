//! The recipes of the README, each as far as it can be run here: the commands in them against the
//! embedded API, the rest by what reads it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rollbook::Tenant;
use rollbook::simulator::{APP_ID, APP_KEY, Fault, Simulator};
use serde_json::Value;

use crate::readme::block;
use crate::stage::{Ended, Stage, ended, gone};
use crate::venv;

/// A stage whose folder has the config file of the README, with paths of its own.
struct Night {
    stage: Stage,
}

impl Night {
    fn of(sizes: &[u64]) -> Self {
        let night = Self {
            stage: Stage::of(sizes),
        };
        for folder in ["etc", "var", "credentials"] {
            fs::create_dir(night.stage.path(folder)).unwrap();
        }
        fs::rename(
            night.stage.path("list.txt"),
            night.stage.path("etc/meetings.txt"),
        )
        .unwrap();
        let config = night.here(block("toml", "# /etc/rollbook/nightly.toml"));
        fs::write(night.stage.path("etc/nightly.toml"), config).unwrap();
        night.secret("etc/app-key", 0o600);
        night
    }

    fn secret(&self, name: &str, mode: u32) {
        fs::write(self.stage.path(name), APP_KEY).unwrap();
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(self.stage.path(name), permissions).unwrap();
    }

    /// A text of the README with what is elsewhere here.
    fn here(&self, text: &str) -> String {
        let path = |name: &str| self.stage.path(name).to_str().unwrap().to_owned();
        text.replace("/etc/rollbook", &path("etc"))
            .replace("/var/lib/rollbook", &path("var"))
            .replace("/usr/local/bin/rollbook", env!("CARGO_BIN_EXE_rollbook"))
            .replace("your-app-id", APP_ID)
    }

    /// A program with the few variables that a scheduler gives it, and the site of the test.
    fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.stage.path("var"))
            .env("ROLLBOOK_BASE_URL", self.simulator().base_url().as_str())
            .env("ROLLBOOK_RATE", "unlimited")
            .current_dir("/");
        command
    }

    fn simulator(&self) -> &Simulator {
        &self.stage.simulator
    }

    /// What is in the dataset after a good night.
    fn assert_whole(&self, meetings: usize) {
        let all: Vec<_> = (0..meetings).collect();
        self.stage
            .assert_rows(&self.stage.rows("var/attendance"), &all);
        let metrics = fs::read_to_string(self.stage.path("var/rollbook.prom")).unwrap();
        assert!(metrics.contains("\nrollbook_exit_code 0\n"), "{metrics}");
    }

    /// A recipe that needs a parser of its own, read by it.
    fn read(&self, kind: &str, text: &str) -> Value {
        let path = self.stage.path(kind);
        fs::write(&path, text).unwrap();
        let told = venv::run("recipes.py", &[kind, path.to_str().unwrap()]);
        serde_json::from_str(&told).unwrap()
    }

    /// Breaks a meeting of the next night, which has a list of its own.
    fn break_next(&self) {
        self.simulator().add_fault(Fault::new(gone()));
        fs::write(
            self.stage.path("etc/meetings.txt"),
            "9a0fa6d10a5b11eaae5e191763c22c0e\n",
        )
        .unwrap();
    }
}

fn words(value: &Value) -> Vec<String> {
    let words = value.as_array().unwrap().iter();
    words
        .map(|word| word.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_config_files_are_in_order() {
    let (config, tenants) =
        Tenant::all_from_toml(block("toml", "# /etc/rollbook/nightly.toml"), "nightly").unwrap();
    config.check().unwrap();
    assert!(tenants.is_empty());
    let (_, tenants) =
        Tenant::all_from_toml(block("toml", "# /etc/rollbook/tenants.toml"), "tenants").unwrap();
    let names: Vec<_> = tenants.iter().map(|tenant| tenant.name.as_str()).collect();
    assert_eq!(names, ["north", "south"]);
    for tenant in tenants {
        tenant.config.unwrap().check().unwrap();
    }
}

#[test]
fn cron_hears_something_only_where_something_is_absent() {
    let night = Night::of(&[10, 1_200]);
    let lines: Vec<_> = block("crontab", "").lines().collect();
    let [line] = lines[..] else {
        panic!("{lines:?}")
    };
    let fields: Vec<_> = line.splitn(6, ' ').collect();
    let [minute, hour, rest @ .., command] = &fields[..] else {
        panic!("{fields:?}")
    };
    assert!(minute.parse::<u8>().unwrap() < 60 && hour.parse::<u8>().unwrap() < 24);
    assert_eq!(rest, ["*", "*", "*"]);
    // cron would make a line break of it.
    assert!(!command.contains('%'));
    let run = || {
        let mut shell = night.program("/bin/sh");
        ended(shell.args(["-c", &night.here(command)]))
    };
    assert_eq!(run().silently(0), "");
    night.assert_whole(2);
    night.break_next();
    let said = run().silently(4);
    assert!(said.contains("incomplete: 0 of 1 meetings"), "{said}");
}

/// The settings of a unit's section, in order.
fn unit(text: &str) -> Vec<(&str, &str)> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .collect()
}

#[cfg(target_os = "linux")]
#[test]
fn systemd_accepts_the_units_and_finds_little_to_harden() {
    let night = Night::of(&[10]);
    let folder = night.stage.path("units");
    fs::create_dir(&folder).unwrap();
    let mut names = vec![];
    for (name, begins) in [
        ("rollbook.service", "# /etc/systemd/system/rollbook.service"),
        ("rollbook.timer", "# /etc/systemd/system/rollbook.timer"),
    ] {
        fs::write(folder.join(name), night.here(block("ini", begins))).unwrap();
        names.push(folder.join(name));
    }
    let analyze = |args: &[&str], files: &[&Path]| -> Ended {
        let mut command = Command::new("systemd-analyze");
        ended(command.args(args).args(files))
    };
    let files: Vec<_> = names.iter().map(AsRef::as_ref).collect();
    assert_eq!(analyze(&["verify"], &files).silently(0), "");
    // Worse than 2.0 would fail.
    let security = ["security", "--offline=true", "--threshold=20"];
    let said = analyze(&security, &files[..1]);
    assert_eq!(said.code, Some(0), "{}", said.answer());
    let timer = unit(block("ini", "# /etc/systemd/system/rollbook.timer"));
    let when = timer
        .iter()
        .find(|(key, _)| *key == "OnCalendar")
        .unwrap()
        .1;
    assert_eq!(analyze(&["calendar", when], &[]).code, Some(0));
}

#[test]
fn the_command_of_the_unit_finds_its_credential_and_its_state() {
    let night = Night::of(&[10, 1_200]);
    let unit = unit(block("ini", "# /etc/systemd/system/rollbook.service"));
    let setting = |wanted: &str| {
        let mut all = unit.iter().filter(|(key, _)| *key == wanted);
        let (_, value) = all.next().unwrap();
        assert!(all.next().is_none(), "{wanted}");
        *value
    };
    let (credential, _) = setting("LoadCredential").split_once(':').unwrap();
    // As systemd shows a file that an access control list opens to the service.
    night.secret(&format!("credentials/{credential}"), 0o440);
    let credentials = night.stage.path("credentials");
    let (name, value) = setting("Environment").split_once('=').unwrap();
    let value = value.replace("%d", credentials.to_str().unwrap());
    // The file that the config names is root's.
    fs::remove_file(night.stage.path("etc/app-key")).unwrap();
    let run = || {
        let command = night.here(setting("ExecStart"));
        let mut words = command.split(' ');
        let mut program = night.program(words.next().unwrap());
        program
            .args(words)
            .env(name, &value)
            .env("CREDENTIALS_DIRECTORY", &credentials)
            .env("STATE_DIRECTORY", night.stage.path("var"));
        ended(&mut program)
    };
    run().silently(0);
    night.assert_whole(2);
    night.break_next();
    assert_eq!(
        run().code.unwrap().to_string(),
        setting("SuccessExitStatus")
    );
    // Anywhere else, such a file is open to others.
    night.secret("etc/app-key", 0o440);
    let mut elsewhere = night.program(env!("CARGO_BIN_EXE_rollbook"));
    elsewhere
        .args(["export", "--config"])
        .arg(night.stage.path("etc/nightly.toml"));
    elsewhere.env("CREDENTIALS_DIRECTORY", &credentials);
    assert!(ended(&mut elsewhere).silently(3).contains("chmod 600"));
}

#[test]
fn the_cron_job_is_one_and_retries_what_a_retry_may_mend() {
    let night = Night::of(&[10, 1_200]);
    let job = night.read("cronjob", block("yaml", ""));
    assert_eq!(job["spec"]["concurrencyPolicy"], "Forbid");
    let spec = &job["spec"]["jobTemplate"]["spec"];
    let rule = &spec["podFailurePolicy"]["rules"][0];
    let pod = &spec["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(rule["onExitCodes"]["containerName"], container["name"]);
    let run = || {
        let mut program = night.program(env!("CARGO_BIN_EXE_rollbook"));
        program.args(
            words(&container["args"])
                .iter()
                .map(|word| night.here(word)),
        );
        for variable in container["env"].as_array().unwrap() {
            let value = match variable["value"].as_str() {
                Some(value) => night.here(value),
                None => APP_KEY.to_owned(),
            };
            program.env(variable["name"].as_str().unwrap(), value);
        }
        // Nothing is at home in a container.
        ended(program.env_remove("HOME"))
    };
    fs::remove_file(night.stage.path("etc/app-key")).unwrap();
    run().silently(0);
    night.assert_whole(2);
    night.break_next();
    let given_up = rule["onExitCodes"]["values"].as_array().unwrap();
    assert_eq!(rule["action"], "FailJob");
    assert!(
        given_up.contains(&run().code.unwrap().into()),
        "{given_up:?}"
    );
    for code in [2, 3] {
        assert!(given_up.contains(&code.into()));
    }
    for code in [1, 130] {
        assert!(!given_up.contains(&code.into()));
    }
    // Each volume is mounted, and nothing is written elsewhere.
    for volume in pod["volumes"].as_array().unwrap() {
        let mounts = container["volumeMounts"].as_array().unwrap();
        assert!(mounts.iter().any(|mount| mount["name"] == volume["name"]));
    }
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
}

#[test]
fn the_task_of_airflow_is_skipped_where_a_meeting_is_missing() {
    let night = Night::of(&[10, 1_200]);
    let task = night.read("dag", block("python", "from datetime"));
    let command = task["bash_command"].as_str().unwrap();
    let bin = format!("{} ", env!("CARGO_BIN_EXE_rollbook"));
    let command = night.here(&command.replacen("rollbook ", &bin, 1));
    // As the operator runs it; what the worker has is kept.
    assert_eq!(task["append_env"], true);
    let run = || {
        let mut bash = night.program("/bin/bash");
        ended(bash.args(["-c", &command]))
    };
    run().silently(0);
    night.assert_whole(2);
    night.break_next();
    let code = run().code.unwrap();
    assert_eq!(task["skip_on_exit_code"], code);
    assert_eq!(code, 4);
}

#[cfg(target_os = "linux")]
#[test]
fn the_image_has_what_the_command_needs_and_runs_it_as_nobody() {
    let night = Night::of(&[10, 1_200]);
    let steps = night.read("dockerfile", block("dockerfile", ""));
    let step = |name: &str| {
        let mut steps = steps.as_array().unwrap().iter();
        let found = steps.find(|step| step[0] == name);
        found.unwrap()[1].as_str().unwrap().to_owned()
    };
    let user = step("USER");
    let ids: Vec<u32> = user.split(':').map(|id| id.parse().unwrap()).collect();
    assert!(ids.iter().all(|id| *id > 0), "{user}");
    let parts = ["ENTRYPOINT", "CMD"].map(|name| -> Vec<String> {
        // In the form without a shell, which the image has not.
        serde_json::from_str(&step(name)).unwrap()
    });
    let command: Vec<_> = parts
        .iter()
        .flatten()
        .map(|word| night.here(word))
        .collect();
    let (_, target) = step("COPY")
        .split_once(' ')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    assert_eq!(night.here(&target), command[0]);
    ended(night.program(&command[0]).args(&command[1..])).silently(0);
    night.assert_whole(2);
    // Of the libraries of the system, those that distroless/cc has.
    let told = ended(Command::new("ldd").arg(env!("CARGO_BIN_EXE_rollbook")));
    for line in told.answer().lines() {
        let name = line.split_whitespace().next().unwrap();
        let known = [
            "linux-vdso",
            "libgcc_s.so.1",
            "libm.so.6",
            "libc.so.6",
            "/lib",
            "libpthread",
            "libdl",
        ];
        assert!(known.iter().any(|known| name.starts_with(known)), "{line}");
    }
}
