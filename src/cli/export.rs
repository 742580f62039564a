//! `rollbook export`: from settings, meetings and credentials to a run, and to its end.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use rollbook::{ConfUuid, Config, Export, Format, MeetingList, Report};
use tokio_util::sync::CancellationToken;

use super::exit::Exit;
use super::report_file::ReportFile;
use super::settings::Settings;
use super::{Voice, answer, config, credentials, runtime, signals};
use crate::terminal::{Progress, Terminal};

const AFTER_HELP: &str = "\
Credentials come from ROLLBOOK_ACCESS_TOKEN, or ROLLBOOK_APP_ID and ROLLBOOK_APP_KEY, or from \
files; never from a flag. Each --some-flag is also ROLLBOOK_SOME_FLAG, and some_flag in the config \
file. A flag wins over the environment, the environment over the file.

Examples:
  rollbook export --meetings list.txt --out attendance
  rollbook export 9a0fa6d10a5b11eaae5e191763c22c0e --out - --format ndjson | jq .
  rollbook export --config nightly.toml --report report.json --deadline 4h

Exit codes: 0 complete, 1 I/O, 2 usage, 3 configuration or credentials, 4 some meetings are
incomplete, 130 interrupted. The same command goes on where the last one ended.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
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
        if self.print_config {
            answer(&toml::to_string(&config)?)?;
            return Ok(Exit::Complete);
        }
        config.check()?;
        let pipe = pipe(&config)?;
        let report = config.report.clone().map(ReportFile::prepare).transpose()?;
        let meetings = meetings(self.named, config.meetings.as_deref())?;
        let credentials = credentials::read(&config, given)?;
        let terminal = voice.terminal(&config)?;
        let export = Export {
            config,
            credentials,
            meetings,
            pipe,
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
    signals::watch(stop.clone(), terminal);
    let progress = Progress::start(terminal, export.config.page_size);
    let finished = export.run(progress.observer(), stop.clone()).await;
    progress.finish();
    let finished = finished?;
    if let Some(error) = finished.error {
        // Ahead of the summary, the cause would scroll away: main says it last.
        terminal.summarise(&finished.report);
        write_report(report, &finished.report)?;
        return Err(error.into());
    }
    terminal.summarise(&finished.report);
    write_report(report, &finished.report)?;
    Ok(Exit::of(finished.report.outcome, stop.is_cancelled()))
}

fn write_report(file: Option<&ReportFile>, report: &Report) -> Result<()> {
    file.map_or(Ok(()), |file| file.write(report))
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
    let export = command.find_subcommand_mut("export");
    match export {
        Some(export) => export
            .error(ErrorKind::MissingRequiredArgument, message)
            .into(),
        None => anyhow::anyhow!("{message}"),
    }
}
