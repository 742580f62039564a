//! A container: a user without a home, a name or a writable place.

mod secrets;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

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
            // By a process of its own: what this one holds open for writing, a child of another
            // test may inherit, and then the system does not run it.
            let mut copying = Command::new("cp");
            copying.arg(env!("CARGO_BIN_EXE_rollbook")).arg(&copy);
            assert!(copying.status().unwrap().success());
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
