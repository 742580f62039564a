//! `rollbook export`: from settings, meetings and credentials to a run, and to its end.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use rollbook::{ConfUuid, Config, Error, Export, Format, MeetingList, Rate, When};
use tokio_util::sync::CancellationToken;

use super::exit::Exit;
use super::report_file::ReportFile;
use super::settings::Settings;
use super::{Voice, answer, config, credentials, permit, runtime, signals, state_dir};
use crate::terminal::{Progress, Terminal};

const AFTER_HELP: &str = "\
Credentials come from ROLLBOOK_ACCESS_TOKEN, or ROLLBOOK_APP_ID and ROLLBOOK_APP_KEY, or from \
files; never from a flag.

Examples:
  rollbook export --meetings list.txt --out attendance
  rollbook export --config nightly.toml --report report.json --deadline 4h
  rollbook export 9a0fa6d10a5b11eaae5e191763c22c0e --out - --format ndjson | jq .";

const AFTER_LONG_HELP: &str = "\
Credentials come from ROLLBOOK_ACCESS_TOKEN, or ROLLBOOK_APP_ID and ROLLBOOK_APP_KEY (and \
ROLLBOOK_USER_ID, ROLLBOOK_CORP_ID), or ROLLBOOK_ACCOUNT and ROLLBOOK_PASSWORD, or the command in \
ROLLBOOK_TOKEN_COMMAND, or from files; never from a flag. A file that holds a secret must be its \
owner's alone (chmod 600).

Each --some-flag is also ROLLBOOK_SOME_FLAG in the environment and some_flag in the config file: a \
flag wins over the environment, the environment over the file. ROLLBOOK_LOG filters the log, as in \
ROLLBOOK_LOG=rollbook=debug.

A meeting list has one UUID a line, with blanks and # comments; or JSON objects with a confUUID \
member, one a line; or CSV with a confUUID column. The same command run again skips the meetings \
that the dataset holds already, and asks nothing for them.

Examples:
  rollbook export --meetings list.txt --out attendance
  rollbook export --config nightly.toml --report report.json --deadline 4h
  rollbook export 9a0fa6d10a5b11eaae5e191763c22c0e --out - --format ndjson | jq .

Exit codes:
  0    every meeting asked for is in the dataset, whole
  1    internal or I/O failure
  2    usage, or a meeting list that cannot be read
  3    configuration or credentials
  4    some meetings are incomplete, or unfinished at the deadline; the report names each
  130  interrupted by a signal; the same command goes on from there";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP, after_long_help = AFTER_LONG_HELP)]
pub(crate) struct ExportArgs {
    /// Meetings by their confUUID
    #[arg(value_name = "CONF_UUID")]
    named: Vec<ConfUuid>,
    /// File of settings, as config.example.toml
    #[arg(short, long, value_name = "FILE", env = "ROLLBOOK_CONFIG")]
    config: Option<PathBuf>,
    /// Print the settings as they are in force, and stop
    #[arg(long, hide = true)]
    print_config: bool,
    #[command(flatten)]
    settings: Settings,
}

impl ExportArgs {
    pub(crate) fn run(self, voice: &Voice, given: &ArgMatches) -> Result<Exit> {
        let mut config = config::load(self.config.as_deref())?;
        // Meetings named one by one stand for themselves; a standing list joins only if asked.
        let list_is_asked = given.value_source("meetings") == Some(ValueSource::CommandLine);
        self.settings.overlay(&mut config, voice.log_format);
        if !self.named.is_empty() && !list_is_asked {
            config.meetings = None;
        }
        config.state_dir = config.state_dir.or_else(state_dir::default);
        if self.print_config {
            answer(&toml::to_string(&config)?)?;
            return Ok(Exit::Complete);
        }
        config.check()?;
        permit(config.mode);
        let pipe = pipe(&config)?;
        let report = config.report.clone().map(ReportFile::prepare).transpose()?;
        let meetings = meetings(self.named, config.meetings.as_deref())?;
        let credentials = credentials::read(&config, given)?;
        let pii_key = credentials::pii_key(&config, given)?;
        let terminal = voice.terminal(&config)?;
        if config.state_dir.is_none()
            && config.spool == When::Auto
            && config.rate != Rate::Unlimited
        {
            tracing::warn!(
                "no place to keep pages: give --state-dir, or what is fetched and not committed when a run is killed is asked for again"
            );
        }
        let export = Export {
            config,
            credentials,
            meetings,
            pipe,
            pii_key,
        };
        runtime()?.block_on(carry_out(export, &terminal, report.as_ref()))
    }
}

/// Runs an export to its end, shows how it goes and what came of it.
pub(super) async fn carry_out(
    export: Export,
    terminal: &Terminal,
    report: Option<&ReportFile>,
) -> Result<Exit> {
    let stop = CancellationToken::new();
    signals::watch(stop.clone(), terminal, "stopping where everything is whole");
    let progress = Progress::start(terminal, export.config.page_size);
    let finished = export.run(progress.observer(), stop.clone()).await;
    progress.finish();
    let finished = finished?;
    let is_unwanted = finished.error.as_ref().is_some_and(Error::is_closed_pipe);
    if !is_unwanted {
        terminal.summarise(&finished.report);
    }
    let written = report.map_or(Ok(()), |file| file.write(&finished.report));
    if is_unwanted {
        written?;
        return Ok(Exit::Complete);
    }
    // What stopped the run is said last, where it does not scroll away.
    if let Some(error) = finished.error {
        return Err(error.into());
    }
    written?;
    Ok(Exit::of(finished.report.outcome, stop.is_cancelled()))
}

/// Standard output, where the destination is `-`.
fn pipe(config: &Config) -> Result<Option<Box<dyn Write + Send>>> {
    match config.out.as_deref() {
        None | Some("") => Err(missing(
            "no destination: give --out DEST (a folder, or - for standard output)",
        )),
        Some("-") if config.format == Format::Parquet => Err(missing(
            "a pipe carries ndjson or arrow: add --format ndjson, or give --out a folder",
        )),
        Some("-") => Ok(Some(Box::new(io::stdout()))),
        Some(_) => Ok(None),
    }
}

/// The meetings asked for, each once.
fn meetings(named: Vec<ConfUuid>, list: Option<&Path>) -> Result<Vec<ConfUuid>> {
    let mut meetings = MeetingList::new();
    meetings.extend(named);
    match list {
        Some(path) if path == Path::new("-") => {
            meetings.read(io::stdin().lock(), "standard input")?;
        }
        Some(path) => meetings.read_file(path)?,
        None if meetings.is_empty() => {
            return Err(missing(
                "no meetings: name them by their confUUID, or give --meetings FILE \
                 (- for standard input)",
            ));
        }
        None => {}
    }
    Ok(meetings.into_meetings())
}

fn missing(message: &str) -> anyhow::Error {
    let mut command = super::command();
    command.build();
    let export = command.find_subcommand_mut("export");
    match export {
        Some(export) => export
            .error(ErrorKind::MissingRequiredArgument, message)
            .into(),
        None => anyhow::anyhow!("{message}"),
    }
}
