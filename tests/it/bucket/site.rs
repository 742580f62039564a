//! A stage whose datasets lie in a bucket.

use std::process::{Command, Stdio};

use crate::stage::{Ended, Stage, ended};

use super::server::{KEY, SECRET, Server};

/// A stage, and a folder of its own in a bucket.
pub(crate) struct Site {
    pub(crate) stage: Stage,
    pub(crate) server: &'static Server,
    pub(crate) folder: String,
    /// The server's, or that of a proxy before it.
    pub(crate) endpoint: String,
}

impl Site {
    pub(crate) fn new(server: &'static Server, sizes: &[u64]) -> Self {
        Self::on(server, Stage::of(sizes))
    }

    pub(crate) fn on(server: &'static Server, stage: Stage) -> Self {
        let folder = stage.folder.path().file_name().unwrap();
        let folder = folder.to_str().unwrap().trim_start_matches('.').to_owned();
        Self {
            folder,
            server,
            endpoint: server.endpoint.clone(),
            stage,
        }
    }

    /// The name of a dataset in the bucket.
    pub(crate) fn place(&self, out: &str) -> String {
        format!("s3://lake/{}/{out}", self.folder)
    }

    /// Where an object of a dataset is in the bucket.
    pub(crate) fn key(&self, out: &str, path: &str) -> String {
        let key = format!("{}/{out}/{path}", self.folder);
        key.trim_end_matches('/').to_owned()
    }

    /// A command with what it needs to know of the store.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.stage.command(args);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        command
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET);
        command
    }

    /// An export of the whole list into a dataset.
    pub(crate) fn exporting(&self, out: &str) -> Command {
        let place = self.place(out);
        let mut command = self.command(&["export", "--meetings", "list.txt", "--out", &place]);
        command.stdout(Stdio::null());
        command
    }

    pub(crate) fn export(&self, out: &str) -> Ended {
        ended(&mut self.exporting(out))
    }

    #[track_caller]
    pub(crate) fn assert_sound(&self, out: &str) {
        let sound = ended(&mut self.command(&["verify", &self.place(out)]));
        assert_eq!(sound.code, Some(0), "{}{}", sound.answer(), sound.stderr);
    }

    /// What readers see of a dataset: each meeting whole, or not at all. Tells how many are there.
    #[track_caller]
    pub(crate) fn assert_no_halves(&self, out: &str) -> usize {
        let copy = format!("copy-of-{out}");
        let from = format!("{}/{out}", self.folder);
        self.server.copy(&from, &self.stage.path(&copy));
        self.stage.assert_no_halves(&copy)
    }

    /// All that was asked for is there, and nothing is left lying about.
    #[track_caller]
    pub(crate) fn assert_complete(&self, out: &str) {
        self.assert_sound(out);
        let meetings = self.stage.simulator.meetings();
        let with_records = meetings
            .iter()
            .filter(|meeting| self.stage.simulator.count(meeting) > 0);
        assert_eq!(self.assert_no_halves(out), with_records.count());
        self.assert_tidy(out);
    }

    #[track_caller]
    pub(crate) fn assert_tidy(&self, out: &str) {
        let objects = self.server.objects(&self.key(out, "_rollbook"));
        let is_left = |name: &&String| {
            // A server may keep the folder itself.
            let is_staged = name.strip_prefix("staging/");
            is_staged.is_some_and(|rest| rest.contains('/')) || name.starts_with("probe")
        };
        let left: Vec<_> = objects.keys().filter(is_left).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// How many entries the ledger of a dataset has.
    pub(crate) fn entries(&self, out: &str) -> usize {
        let ledger = self.server.objects(&self.key(out, "_rollbook/ledger"));
        ledger.len()
    }
}
