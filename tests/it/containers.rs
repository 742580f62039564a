//! A container: a user without a home, a name or a writable place.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rollbook::simulator::TOKEN;
use rstest::rstest;

use crate::fake_store::FakeStore;
use crate::stage::{Ended, Stage, ended};

/// A user whom no machine of the tests knows.
const NOBODY: u32 = 54_321;

const DEST: &str = "s3://lake/x";

/// Runs commands as a container does, into a store on this machine.
struct Container {
    stage: Stage,
    store: FakeStore,
    /// A copy that every user may run, where this user may change to another.
    binary: Option<PathBuf>,
}

impl Container {
    fn new() -> Self {
        let stage = Stage::of(&[3, 40]);
        let binary = rustix::process::geteuid().is_root().then(|| {
            let copy = stage.path("rollbook");
            fs::copy(env!("CARGO_BIN_EXE_rollbook"), &copy).unwrap();
            fs::set_permissions(stage.folder.path(), Permissions::from_mode(0o777)).unwrap();
            copy
        });
        Self {
            stage,
            store: FakeStore::start(),
            binary,
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let usual = self.stage.command(args);
        let program = self.binary.as_ref().map(|binary| binary.as_os_str());
        let mut command = Command::new(program.unwrap_or(usual.get_program()));
        let variables = usual.get_envs();
        command
            .args(usual.get_args())
            .env_clear()
            .envs(variables.filter_map(|(name, value)| Some((name, value?))))
            .env_remove("ROLLBOOK_STATE_DIR")
            .env("HOME", "/")
            .env("AWS_ENDPOINT_URL", &self.store.url)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "ak")
            .env("AWS_SECRET_ACCESS_KEY", "sk")
            .current_dir(self.stage.folder.path());
        if self.binary.is_some() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        ended(&mut self.command(args))
    }

    fn export(&self) -> Command {
        self.command(&["export", "--meetings", "list.txt", "--out", DEST])
    }
}

#[test]
fn a_user_without_a_home_or_a_name_writes_into_a_bucket_and_is_told_once_what_is_not_kept() {
    let container = Container::new();
    let said = ended(&mut container.export()).silently(0);
    assert_eq!(said.matches("--state-dir").count(), 1, "{said}");
    assert!(
        said.contains("no state directory (/.local/state/rollbook: "),
        "{said}"
    );
    assert!(said.contains("complete: 2 of 2 meetings"), "{said}");
    for looking in ["status", "verify"] {
        let ended = container.run(&[looking, DEST]);
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{looking}"
        );
    }
    let said = container.run(&["compact", DEST]).with(0);
    assert_eq!(said.matches("--state-dir").count(), 1, "{said}");
}

#[test]
fn where_nothing_can_be_written_status_and_verify_still_look_and_an_export_names_the_way_out() {
    let container = Container::new();
    ended(&mut container.export()).silently(0);
    let nowhere = |command: &mut Command| ended(command.env("TMPDIR", "/nonexistent"));
    for looking in ["status", "verify"] {
        let ended = nowhere(&mut container.command(&[looking, DEST]));
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{looking}"
        );
        // Nor does a directory that was named have to be there.
        let named = [looking, DEST, "--state-dir", "/nonexistent/state"];
        let ended = nowhere(&mut container.command(&named));
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{looking}"
        );
    }
    let said = nowhere(&mut container.export()).with(3);
    let last = said.trim_end().lines().last().unwrap();
    assert!(last.contains("--state-dir"), "{said}");
}

/// Mounts a token as an orchestrator does: root's file, which this group or everybody may read.
fn mount_secret(container: &Container, mode: u32) -> Option<PathBuf> {
    container.binary.as_ref()?;
    let path = container.stage.path("token");
    fs::write(&path, format!("{TOKEN}\n")).unwrap();
    std::os::unix::fs::chown(&path, Some(0), Some(NOBODY)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    Some(path)
}

fn with_token_file(mut command: Command, path: &Path) -> Ended {
    command.env_remove("ROLLBOOK_ACCESS_TOKEN");
    ended(command.env("ROLLBOOK_ACCESS_TOKEN_FILE", path))
}

#[rstest]
#[case::open_to_all(0o444)]
#[case::open_to_the_group(0o440)]
fn a_mounted_secret_whose_mode_another_user_decides_is_used_with_one_warning(#[case] mode: u32) {
    let container = Container::new();
    // Only root can make files of other users.
    let Some(path) = mount_secret(&container, mode) else {
        return;
    };
    let said = with_token_file(container.export(), &path).silently(0);
    let expected = format!(
        "{} is open to other users (mode {mode:04o})",
        path.display()
    );
    assert_eq!(said.matches(&expected).count(), 1, "{said}");
    assert!(said.contains("complete: 2 of 2 meetings"), "{said}");
}

#[test]
fn a_mounted_secret_that_this_user_can_close_or_others_can_write_is_refused() {
    let container = Container::new();
    let Some(path) = mount_secret(&container, 0o464) else {
        return;
    };
    let said = with_token_file(container.export(), &path).with(3);
    assert!(
        said.contains("is open to other users: chmod 600 it"),
        "{said}"
    );
    std::os::unix::fs::chown(&path, Some(NOBODY), None).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o440)).unwrap();
    let said = with_token_file(container.export(), &path).with(3);
    assert!(
        said.contains("is open to other users: chmod 600 it"),
        "{said}"
    );
}

#[test]
fn a_secret_that_root_without_the_capability_cannot_close_is_used_with_one_warning() {
    let container = Container::new();
    let Some(path) = mount_secret(&container, 0o444) else {
        return;
    };
    std::os::unix::fs::chown(&path, Some(NOBODY), None).unwrap();
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
    let said = with_token_file(with_all, &path).with(3);
    assert!(said.contains("chmod 600 it"), "{said}");
    let said = with_token_file(without, &path).silently(0);
    assert_eq!(said.matches("is open to other users").count(), 1, "{said}");
}
