//! `rollbook simulate`: the embedded API as a server of its own, for trying things out.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use rollbook::simulator::{self, Fault, Options, Simulator};
use rollbook::{Error, Rate};
use tokio_util::sync::CancellationToken;

use crate::cli::exit_code::Exit;
use crate::cli::{Voice, answer, runtime, signals};

const AFTER_HELP: &str = "\
Example:
  rollbook simulate --meetings 50 --records 1..2000 --quota 100/min --list list.txt
prints what to export; then, elsewhere:
  rollbook export --out attendance";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct SimulateArgs {
    /// Where to listen; port 0 is any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// How many meetings there are
    #[arg(long, value_name = "N", default_value = "10")]
    meetings: usize,
    /// Records of each: a number, or the least and the most
    #[arg(long, value_name = "N|A..B", default_value = "1..1200")]
    records: Sizes,
    /// Everything made up follows from it
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
    /// Every n-th record has odd times
    #[arg(long, value_name = "N")]
    odd_every: Option<u64>,
    /// Time before each answer
    #[arg(long, value_name = "TIME", default_value = "0s")]
    #[arg(value_parser = humantime::parse_duration)]
    latency: Duration,
    /// Requests that are allowed, as 100/min; more are refused with 429
    #[arg(long, value_name = "RATE", default_value = "unlimited")]
    quota: Rate,
    /// Which answers go wrong, how and when: TOML, or JSON where the name says so
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Serve HTTPS, with a certificate made for this run
    #[arg(long)]
    tls: bool,
    /// Write that certificate here, for --ca-file
    #[arg(long, value_name = "FILE", requires = "tls")]
    certificate: Option<PathBuf>,
    /// Write the meetings here, for --meetings
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// Indent the answers, as the API's documentation does
    #[arg(long)]
    pretty: bool,
}

/// How many records meetings have: the least and the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    least: u64,
    most: u64,
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (least, most) = text.split_once("..").unwrap_or((text, text));
        let number = |text: &str| {
            let number = text.trim().parse::<u64>();
            number.map_err(|_| "expected a number, or two as 1..1200".to_owned())
        };
        let (least, most) = (number(least)?, number(most)?);
        if least > most {
            return Err("the least comes first".to_owned());
        }
        Ok(Self { least, most })
    }
}

impl SimulateArgs {
    pub(crate) fn run(self, voice: &Voice) -> Result<Exit> {
        let terminal = voice.terminal(&rollbook::Config::default(), None)?;
        let (list, certificate) = (self.list.clone(), self.certificate.clone());
        let options = self.options()?;
        runtime()?.block_on(async {
            let simulator = Simulator::start(options)
                .await
                .context("cannot start the simulator")?;
            if let Some(path) = &list {
                let lines: Vec<_> = simulator
                    .meetings()
                    .iter()
                    .map(|m| format!("{m}\n"))
                    .collect();
                write(path, &lines.concat())?;
            }
            if let (Some(path), Some(pem)) = (&certificate, simulator.certificate_pem()) {
                write(path, pem)?;
            }
            let stop = CancellationToken::new();
            signals::watch(stop.clone(), &terminal, "stopping");
            answer(&invitation(
                &simulator,
                list.as_deref(),
                certificate.as_deref(),
            ))?;
            stop.cancelled().await;
            // Who read the invitation may have left since.
            let _ = answer(&farewell(&simulator));
            simulator.shutdown().await;
            // Being stopped is how it ends.
            Ok(Exit::Complete)
        })
    }

    fn options(self) -> Result<Options> {
        let mut options =
            Options::meetings_of(self.meetings, self.records.least..=self.records.most);
        for meeting in &mut options.meetings {
            meeting.odd_every = self.odd_every;
        }
        options.listen = self.listen;
        options.seed = self.seed;
        options.latency = self.latency;
        options.tls = self.tls;
        options.pretty = self.pretty;
        options.log = false;
        if let Rate::Limited { requests, window } = self.quota {
            options.quota = Some(simulator::Quota::per(requests.get(), window));
        }
        if let Some(path) = &self.faults {
            options.faults = read_faults(path)?;
        }
        Ok(options)
    }
}

/// What to set so that `rollbook export` finds the simulator, as lines for a shell.
fn invitation(simulator: &Simulator, list: Option<&Path>, certificate: Option<&Path>) -> String {
    let mut lines = vec![
        format!(
            "export ROLLBOOK_BASE_URL={}",
            simulator.base_url().as_str().trim_end_matches('/')
        ),
        format!("export ROLLBOOK_ACCESS_TOKEN={}", simulator::TOKEN),
    ];
    let path = |name: &str, path: &Path| format!("export {name}={}", path.display());
    lines.extend(list.map(|list| path("ROLLBOOK_MEETINGS", list)));
    lines.extend(certificate.map(|certificate| path("ROLLBOOK_CA_FILE", certificate)));
    let (id, key) = (simulator::APP_ID, simulator::APP_KEY);
    lines.push("# or, to log in instead of ROLLBOOK_ACCESS_TOKEN:".to_owned());
    lines.push(format!(
        "# export ROLLBOOK_APP_ID={id} ROLLBOOK_APP_KEY={key}"
    ));
    if list.is_none() {
        lines.push("# some meetings (--list FILE writes them all):".to_owned());
        let meetings = simulator.meetings();
        lines.extend(
            meetings
                .iter()
                .take(5)
                .map(|meeting| format!("#   {meeting}")),
        );
    }
    if let (Some(pem), None) = (simulator.certificate_pem(), certificate) {
        lines.push("# its certificate (--certificate FILE writes it):".to_owned());
        lines.push(pem.trim_end().to_owned());
    }
    lines.push("# Ctrl-C stops it\n".to_owned());
    lines.join("\n")
}

/// What came, as a comment for a shell.
fn farewell(simulator: &Simulator) -> String {
    format!(
        "# answered: {} requests, {} pages of records, {} connections, {} at once at most\n",
        simulator.request_count(),
        simulator.pages_served(),
        simulator.connections(),
        simulator.most_in_flight(),
    )
}

fn read_faults(path: &Path) -> Result<Vec<Fault>> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::Config(format!("cannot read the faults {name}: {error}")))?;
    let faults = if path
        .extension()
        .is_some_and(|extension| extension == "json")
    {
        Fault::list_from_json(&text)
    } else {
        Fault::list_from_toml(&text)
    };
    Ok(faults.map_err(|error| Error::Config(format!("{name}: {error}")))?)
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_a_number_or_a_range() {
        let sizes = |least, most| Ok(Sizes { least, most });
        assert_eq!("7".parse(), sizes(7, 7));
        assert_eq!("0..1200".parse(), sizes(0, 1200));
        for text in ["", "a", "5..1", "1..=5"] {
            assert!(text.parse::<Sizes>().is_err(), "{text}");
        }
    }
}
