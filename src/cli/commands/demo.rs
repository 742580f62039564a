//! `rollbook demo`: the whole way without an account, from the simulator to a look at the data.

mod preview;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use rollbook::simulator::{self, MeetingSpec, Options, Simulator};
use rollbook::{Config, Credentials, Export, Rate, When};

use super::export;
use crate::cli::exit_code::Exit;
use crate::cli::{Voice, runtime};

/// Records of the largest meeting.
const LARGEST: u64 = 20_000;

/// Meetings beside it.
const OTHERS: u64 = 199;

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where the dataset goes
    #[arg(short, long, value_name = "DEST", default_value = "./rollbook-demo")]
    out: PathBuf,
    /// Requests a time
    #[arg(long, default_value = "100/s")]
    rate: Rate,
}

impl DemoArgs {
    pub(crate) fn run(self, voice: &Voice) -> Result<Exit> {
        let folder = self.out;
        let mut config = Config {
            out: Some(folder.display().to_string()),
            rate: self.rate,
            spool: When::Never,
            ..Config::default()
        };
        let run_id = rollbook::new_run_id();
        let terminal = voice.terminal(&config, Some(&run_id))?;
        let exit = runtime()?.block_on(async {
            let simulator = Simulator::start(options())
                .await
                .context("cannot start the simulator")?;
            config.base_url = simulator.base_url();
            let export = Export {
                config,
                credentials: Credentials::Token(simulator::TOKEN.into()),
                meetings: simulator.meetings(),
                pipe: None,
                pii_key: None,
            };
            let exit = export::carry_out(export, &run_id, &terminal, None).await.1;
            simulator.shutdown().await;
            exit
        })?;
        if exit == Exit::Complete {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(preview::describe(&folder)?.as_bytes())?;
            stdout.flush()?;
        }
        Ok(exit)
    }
}

/// A week of an enterprise: many small meetings, some webinars, some that nobody joined.
fn options() -> Options {
    let mut sizes = vec![LARGEST];
    sizes.extend((0..OTHERS).map(|n| match n % 20 {
        3 => 0,
        7 => 500 + n * 11,
        _ => 2 + n * 37 % 120,
    }));
    let meetings = sizes.into_iter().map(|records| MeetingSpec {
        odd_every: Some(211),
        ..MeetingSpec::of(records)
    });
    Options {
        latency: Duration::from_millis(40),
        meetings: meetings.collect(),
        log: false,
        ..Options::default()
    }
}
