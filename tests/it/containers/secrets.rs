//! Secrets as orchestrators mount them: files whose mode this user cannot change.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use rollbook::simulator::{APP_ID, APP_KEY, TOKEN};
use rstest::rstest;

use super::{Container, DEST, NOBODY};
#[cfg(target_os = "linux")]
use crate::limits::{said, with_a_disk};
use crate::stage::{Stage, ended};

const PII_KEY: &str = "0123456789abcdef0123456789abcdef";

/// The first meetings of the simulator begin in this month.
const WINDOW: [&str; 4] = ["--since", "2026-01-01", "--until", "2026-01-31"];

/// Settings of tenants whose secrets lie in these files.
fn tenants(stage: &Stage, [token, key, pii_key]: [&Path; 3]) -> String {
    let section = |name: &str, secrets: &str| {
        format!(
            "[[tenant]]\nname = \"{name}\"\nbase_url = \"{}\"\nmeetings = \"list.txt\"\n{secrets}\n",
            stage.simulator.base_url()
        )
    };
    let file = |setting: &str, path: &Path| format!("{setting} = \"{}\"\n", path.display());
    let first = file("access_token_file", token)
        + "pii = \"display_name=hash\"\n"
        + &file("pii_key_file", pii_key);
    let second = format!("app_id = \"{APP_ID}\"\n{}", file("app_key_file", key));
    section("a", &first) + &section("b", &second)
}

/// Mounts a secret as an orchestrator does: root's file, which this group or everybody may read.
/// Only root can make files of other users.
fn mount(container: &Container, name: &str, secret: &str, mode: u32) -> Option<PathBuf> {
    container.binary.as_ref()?;
    let path = container.stage.path(name);
    fs::write(&path, format!("{secret}\n")).unwrap();
    chown(&path, Some(0), Some(NOBODY)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    Some(path)
}

/// A command and its secrets: names of files, and what they hold.
struct Case {
    secrets: &'static [(&'static str, &'static str)],
    command: fn(&Container, &[PathBuf]) -> Command,
}

fn with_token_file(mut command: Command, path: &Path) -> Command {
    command.env_remove("ROLLBOOK_ACCESS_TOKEN");
    command.env("ROLLBOOK_ACCESS_TOKEN_FILE", path);
    command
}

const EXPORT: Case = Case {
    secrets: &[("token", TOKEN)],
    command: |container, paths| with_token_file(container.export(), &paths[0]),
};

const MEETINGS: Case = Case {
    secrets: &[("token", TOKEN)],
    command: |container, paths| {
        let command = container.command(&[&["meetings"], &WINDOW[..]].concat());
        with_token_file(command, &paths[0])
    },
};

const LOGIN_CHECK: Case = Case {
    secrets: &[("key", APP_KEY)],
    command: |container, paths| {
        let mut command = container.command(&["login-check"]);
        command.env_remove("ROLLBOOK_ACCESS_TOKEN");
        command.env("ROLLBOOK_APP_ID", APP_ID);
        command.env("ROLLBOOK_APP_KEY_FILE", &paths[0]);
        command
    },
};

const HASHING: Case = Case {
    secrets: &[("pii-key", PII_KEY)],
    command: |container, paths| {
        let mut command = container.export();
        command.env("ROLLBOOK_PII", "display_name=hash");
        command.env("ROLLBOOK_PII_KEY_FILE", &paths[0]);
        command
    },
};

const TENANTS: Case = Case {
    secrets: &[("token", TOKEN), ("key", APP_KEY), ("pii-key", PII_KEY)],
    command: |container, paths| {
        let text = tenants(&container.stage, [&paths[0], &paths[1], &paths[2]]);
        let config = container.stage.path("tenants.toml");
        fs::write(&config, text).unwrap();
        fs::set_permissions(&config, Permissions::from_mode(0o644)).unwrap();
        let args = ["export", "--config", "tenants.toml", "--out", DEST];
        let mut command = container.command(&args);
        command.env_remove("ROLLBOOK_ACCESS_TOKEN");
        command.env_remove("ROLLBOOK_BASE_URL");
        command
    },
};

#[rstest]
fn mounted_secrets_whose_mode_another_user_decides_are_used_with_one_warning_each(
    #[values(0o444, 0o440)] mode: u32,
    #[values(EXPORT, MEETINGS, LOGIN_CHECK, HASHING, TENANTS)] case: Case,
) {
    let container = Container::new();
    let secrets = case.secrets.iter();
    let paths = secrets.map(|(name, secret)| mount(&container, name, secret, mode));
    let Some(paths) = paths.collect::<Option<Vec<_>>>() else {
        return;
    };
    let said = ended(&mut (case.command)(&container, &paths)).with(0);
    for path in paths {
        let warning = format!(
            "{} is open to other users (mode {mode:04o})",
            path.display()
        );
        assert_eq!(said.matches(&warning).count(), 1, "{said}");
    }
}

#[rstest]
#[case::its_mode_is_this_users(NOBODY, 0o440)]
#[case::others_can_write_it(0, 0o464)]
fn a_mounted_secret_that_this_user_can_close_or_others_can_write_is_refused(
    #[case] owner: u32,
    #[case] mode: u32,
    #[values(EXPORT, MEETINGS, LOGIN_CHECK, HASHING, TENANTS)] case: Case,
) {
    let container = Container::new();
    for open in 0..case.secrets.len() {
        let secrets = case.secrets.iter();
        let paths = secrets.map(|(name, secret)| mount(&container, name, secret, 0o440));
        let Some(paths) = paths.collect::<Option<Vec<_>>>() else {
            return;
        };
        chown(&paths[open], Some(owner), None).unwrap();
        fs::set_permissions(&paths[open], Permissions::from_mode(mode)).unwrap();
        let said = ended(&mut (case.command)(&container, &paths)).with(3);
        let named = format!("the secret file {} (", paths[open].display());
        let refused = said.lines().find(|line| line.contains("chmod 600 it"));
        assert!(refused.unwrap().contains(&named), "{said}");
        assert_eq!(said.matches("chmod 600 it").count(), 1, "{said}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_read_only_mount_the_files_of_this_user_are_used_with_one_warning_each() {
    let stage = Stage::of(&[3, 40]);
    let paths = ["token", "key", "pii-key"].map(|name| stage.path("disk").join(name));
    let [token, key, pii_key] = &paths;
    fs::write(
        stage.path("tenants.toml"),
        tenants(&stage, [token, key, pii_key]),
    )
    .unwrap();
    let script = format!(
        r"
printf %s {TOKEN} >disk/token
printf %s {APP_KEY} >disk/key
printf %s {PII_KEY} >disk/pii-key
chmod 444 disk/* && mount -o remount,ro disk || exit 99
unset ROLLBOOK_ACCESS_TOKEN
(
    export ROLLBOOK_ACCESS_TOKEN_FILE=disk/token
    run meetings 0 meetings {}
    run login-check 0 login-check
    export ROLLBOOK_PII=display_name=hash ROLLBOOK_PII_KEY_FILE=disk/pii-key
    run hashing 0 export --meetings list.txt --out out
) || exit
unset ROLLBOOK_BASE_URL
run tenants 0 export --config tenants.toml --out lake
",
        WINDOW.join(" ")
    );
    with_a_disk(&stage, &script);
    for (name, secrets) in [
        ("meetings", &["token"][..]),
        ("login-check", &["token"]),
        ("hashing", &["token", "pii-key"]),
        ("tenants", &["token", "key", "pii-key"]),
    ] {
        let said = said(&stage, name);
        for secret in secrets {
            let warning = format!("disk/{secret} is open to other users (mode 0444)");
            assert_eq!(said.matches(&warning).count(), 1, "{name}: {said}");
        }
    }
}

#[test]
fn a_secret_that_root_without_the_capability_cannot_close_is_used_with_one_warning() {
    let container = Container::new();
    let Some(path) = mount(&container, "token", TOKEN, 0o444) else {
        return;
    };
    chown(&path, Some(NOBODY), None).unwrap();
    let export = ["export", "--meetings", "list.txt", "--out", "out"];
    let usual = container.stage.command(&export);
    // Root with the capability closes every file.
    let mut with_all = Command::new(usual.get_program());
    let mut without = Command::new("setpriv");
    without
        .args(["--bounding-set", "-fowner", "--inh-caps", "-fowner"])
        .arg(usual.get_program());
    for command in [&mut with_all, &mut without] {
        let variables = usual.get_envs();
        command
            .args(usual.get_args())
            .envs(variables.filter_map(|(name, value)| Some((name, value?))))
            .current_dir(container.stage.folder.path());
    }
    let said = ended(&mut with_token_file(with_all, &path)).with(3);
    assert!(said.contains("chmod 600 it"), "{said}");
    let said = ended(&mut with_token_file(without, &path)).silently(0);
    assert_eq!(said.matches("is open to other users").count(), 1, "{said}");
}
