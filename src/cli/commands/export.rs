//! `rollbook export`: from settings, meetings and credentials to a run, and to its end.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use rollbook::{
    ConfUuid, Config, Error, Export, Format, MeetingList, Observer, Report, TableFormat, Tenant,
    new_run_id,
};
use tokio_util::sync::CancellationToken;

use crate::cli::args::{Settings, location};
use crate::cli::atomic_file::WholeFile;
use crate::cli::credentials::Warn;
use crate::cli::exit_code::Exit;
use crate::cli::metrics::Metrics;
use crate::cli::terminal::{Progress, Terminal};
use crate::cli::{
    Voice, answer, atomic_file, command, config_file, credentials, panics, permit, runtime,
    signals, state_dir, tenants,
};

/// What is said at the first signal.
pub(crate) const STOPPING: &str = "stopping where everything is whole";

const AFTER_HELP: &str = "\
Credentials come from ROLLBOOK_ACCESS_TOKEN, or ROLLBOOK_APP_ID and ROLLBOOK_APP_KEY, or from \
files; never from a flag.

Examples:
  rollbook export --since yesterday --timezone Asia/Shanghai --query-all --out attendance
  rollbook export --meetings list.txt --out attendance
  rollbook export --config nightly.toml --report report.json --deadline 4h
  rollbook export 9a0fa6d10a5b11eaae5e191763c22c0e --out - --format ndjson | jq .";

const AFTER_LONG_HELP: &str = "\
Credentials come from ROLLBOOK_ACCESS_TOKEN, or ROLLBOOK_APP_ID and ROLLBOOK_APP_KEY (and \
ROLLBOOK_USER_ID, ROLLBOOK_CORP_ID), or ROLLBOOK_ACCOUNT and ROLLBOOK_PASSWORD, or the command in \
ROLLBOOK_TOKEN_COMMAND, or from files; never from a flag. A file that holds a secret must be its \
owner's alone (chmod 600). rollbook login-check proves them.

A bucket is s3://, obs://, gs://, az:// or abfss://, as in s3://lake/attendance. Its credentials, \
region and endpoint come from the variables of its own tools: AWS_*, OBS_* or HUAWEICLOUD_SDK_*, \
GOOGLE_*, AZURE_*.

Each --some-flag is also ROLLBOOK_SOME_FLAG in the environment and some_flag in the config file: a \
flag wins over the environment, the environment over the file. ROLLBOOK_LOG filters the log, as in \
ROLLBOOK_LOG=rollbook=debug.

A meeting list has one UUID a line, with blanks and # comments; or JSON objects with a confUUID \
member, one a line; or CSV with a confUUID column. One without a meeting is no error. The same command run again skips the meetings \
that the dataset holds already, and asks nothing for them.

A config file with [[tenant]] sections exports for all of them, side by side, each into \
DEST/tenant=<name>; a tenant's secrets come from the places that the file names alone.

With --since the meetings come from the history list, by their start. Dates are civil days of \
--timezone: since is the beginning of a day, until its end. Where earlier runs into the same dataset \
left something to do (missed nights, failed meetings, a day that could not be listed), those days are \
looked at again, and --lookback behind the last run for meetings that were listed late; but nothing \
before the earliest --since of all. The list finds a meeting by its start and shows it once it has \
ended. The time is the server's: where this machine's clock differs by more than a day, a window without \
a date as --until is refused.

Examples:
  rollbook export --since yesterday --timezone Asia/Shanghai --query-all --out attendance
  rollbook export --meetings list.txt --out attendance
  rollbook export --config nightly.toml --report report.json --deadline 4h
  rollbook export 9a0fa6d10a5b11eaae5e191763c22c0e --out - --format ndjson | jq .

Exit codes:
  0    every meeting asked for is in the dataset, whole
  1    internal or I/O failure, or no answer from the API for long
  2    usage, or a meeting list that cannot be read
  3    configuration or credentials
  4    some meetings are incomplete, or unfinished at --deadline or --max-requests; see the report
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
    /// Of the tenants in the config file, this one alone; may be repeated
    #[arg(long = "tenant", value_name = "NAME")]
    tenants: Vec<String>,
    /// Print the settings as they are in force, and stop
    #[arg(long, hide = true)]
    print_config: bool,
    #[command(flatten)]
    settings: Settings,
}

impl ExportArgs {
    pub(crate) fn run(self, voice: &Voice, given: &ArgMatches) -> Result<Exit> {
        if self.print_config {
            let (mut config, _) = config_file::load(self.config.as_deref())?;
            self.overlay(&mut config, voice, given)?;
            answer(&toml::to_string(&config)?)?;
            return Ok(Exit::Complete);
        }
        let mut metrics = self.settings.metrics();
        let ended = panics::caught(|| self.work(voice, given, &mut metrics));
        metrics.close(ended)
    }

    fn work(self, voice: &Voice, given: &ArgMatches, metrics: &mut Metrics) -> Result<Exit> {
        let (mut config, tenants) = config_file::load(self.config.as_deref())?;
        self.overlay(&mut config, voice, given)?;
        let no_state = settle_state(&mut config)?;
        permit(config.mode);
        metrics.prepare(config.metrics_file.clone(), config.metrics_mode)?;
        let tenants = tenants::pick(tenants, &self.tenants, !self.named.is_empty(), given)?;
        if !tenants.is_empty() {
            return self.work_for(tenants, (&config, no_state), voice, given, metrics);
        }
        config.check()?;
        let pipe = pipe(&config)?;
        let report = WholeFile::of("report", config.report.clone())?;
        let warn: Warn<'_> = &|text| voice.warn(text);
        let pii_key = credentials::pii_key(&config, Some(given), warn)?;
        let export = Export {
            meetings: meetings(self.named, &config)?,
            credentials: credentials::read(&config, Some(given), warn)?,
            config,
            pipe,
            pii_key,
        };
        let run_id = new_run_id();
        let terminal = voice.terminal(&export.config, Some(&run_id))?;
        warn_of_no_place(no_state);
        let performed = carry_out(export, &run_id, &terminal, report.as_ref());
        let (told, ended) = runtime()?.block_on(performed);
        metrics.tell(None, &ended, told);
        ended
    }

    /// The work for several, each with settings of its own.
    fn work_for(
        self,
        tenants: Vec<Tenant>,
        (shared, no_state): (&Config, Option<String>),
        voice: &Voice,
        given: &ArgMatches,
        metrics: &mut Metrics,
    ) -> Result<Exit> {
        let out = tenants::destination(shared)?;
        let report = WholeFile::of("report", shared.report.clone())?;
        let run_id = new_run_id();
        let terminal = voice.terminal(shared, Some(&run_id))?;
        warn_of_no_place(no_state);
        let ready = tenants.into_iter().map(|Tenant { name, config }| {
            let export = config.map_err(Into::into).and_then(|mut config| {
                self.overlay(&mut config, voice, given)?;
                settle_state(&mut config)?;
                let warn: Warn<'_> = &|text| voice.warn(text);
                tenants::prepare(&name, config, out, self.named.clone(), warn)
            });
            (name, export)
        });
        let ready = ready.collect();
        voice.log_warnings();
        let done = tenants::carry_out(ready, &run_id, &terminal, report.as_ref(), metrics);
        runtime()?.block_on(done)
    }

    /// Puts what was said over what the config file says.
    fn overlay(&self, config: &mut Config, voice: &Voice, given: &ArgMatches) -> Result<()> {
        // Meetings named one by one stand for themselves; a standing list joins only if asked. What
        // is asked for here and now, a list or a window, stands for itself as well.
        let is_asked = |id| given.value_source(id) == Some(ValueSource::CommandLine);
        let (list_is_asked, window_is_asked) = (is_asked("meetings"), is_asked("since"));
        let is_named = !self.named.is_empty();
        if window_is_asked && (is_named || list_is_asked) {
            return Err(refuse(
                ErrorKind::ArgumentConflict,
                "the meetings come from a window (--since) or from a list, not from both",
            ));
        }
        self.settings.clone().overlay(config, voice.log_format);
        if (is_named || window_is_asked) && !list_is_asked {
            config.meetings = None;
        }
        if is_named || list_is_asked {
            config.since = None;
            config.until = config.until.filter(|_| is_asked("until"));
        }
        if config.with_meetings && config.out.as_deref() == Some("-") {
            return Err(refuse(
                ErrorKind::ArgumentConflict,
                "a pipe carries records alone, and --with-meetings writes two tables: give --out a \
                 folder, or --with-meetings=false",
            ));
        }
        one_on_standard_output(config)?;
        if config.table == TableFormat::Delta && config.format != Format::Parquet {
            return Err(refuse(
                ErrorKind::ArgumentConflict,
                "the files of a Delta table are Parquet: leave --format out, or --table delta",
            ));
        }
        // As a standing setting it lets a list pass: its meetings have a row, too.
        if config.with_meetings && config.since.is_none() && is_asked("with_meetings") {
            return Err(refuse(
                ErrorKind::MissingRequiredArgument,
                "only the history list tells of a meeting what --with-meetings writes, and a run \
                 without --since does not ask for it: give --since TIME instead of a list, or leave \
                 --with-meetings out",
            ));
        }
        if config.state_dir.is_none() {
            config.state_dir = state_dir::default()?;
        }
        config.store = location::store_options();
        Ok(())
    }
}

/// Refuses a second thing on standard output: its reader could not tell the two apart.
fn one_on_standard_output(config: &Config) -> Result<()> {
    let is_stdout = |path: &Option<PathBuf>| path.as_deref().is_some_and(atomic_file::is_stdout);
    let there = [
        ("--out", config.out.as_deref() == Some("-")),
        ("--report", is_stdout(&config.report)),
        ("--metrics-file", is_stdout(&config.metrics_file)),
    ];
    let mut there = there.iter().filter(|(_, is_there)| *is_there);
    match (there.next(), there.next()) {
        (Some((one, _)), Some((other, _))) => Err(refuse(
            ErrorKind::ArgumentConflict,
            &format!("{one} and {other} are both standard output: give {other} a file"),
        )),
        _ => Ok(()),
    }
}

/// Does without a state directory where there is none that this user can write to; returns why.
fn settle_state(config: &mut Config) -> Result<Option<String>> {
    let out = config.out.as_deref().unwrap_or_default();
    if config.keeps_pages() || state_dir::is_store(out) {
        return Ok(state_dir::settle(&mut config.state_dir)?);
    }
    Ok(None)
}

/// Says once what is not kept on this machine.
fn warn_of_no_place(reason: Option<String>) {
    if let Some(reason) = reason {
        tracing::warn!(
            "no state directory ({reason}): what waits for a bucket is in a temporary folder, and \
             pages not yet committed are fetched again after a crash; set --state-dir to keep them"
        );
    }
}

/// Runs an export to its end, shows how it goes and what came of it.
pub(super) async fn carry_out(
    export: Export,
    run_id: &str,
    terminal: &Terminal,
    file: Option<&WholeFile>,
) -> (Option<Report>, Result<Exit>) {
    let stop = CancellationToken::new();
    signals::watch(stop.clone(), terminal, STOPPING);
    let progress = Progress::start(terminal, export.config.page_size);
    let (report, ended) = perform(export, run_id, progress.observer(), stop).await;
    progress.finish();
    let is_unwanted = is_closed_pipe(&ended);
    let mut written = Ok(());
    if let Some(report) = &report {
        // First: whatever happens while it is shown, it is there.
        written = file.map_or(Ok(()), |file| file.write_json(report));
        if !is_unwanted {
            terminal.summarise(report);
        }
    }
    // What stopped the run is said last, where it does not scroll away.
    let ended = if is_unwanted {
        Ok(Exit::Complete)
    } else {
        ended
    };
    (report, ended.and_then(|exit| written.map(|()| exit)))
}

/// Runs an export to its end; what was done is told also where the run could not go on.
pub(crate) async fn perform(
    export: Export,
    run_id: &str,
    observer: Observer,
    stop: CancellationToken,
) -> (Option<Report>, Result<Exit>) {
    match export.run_as(run_id, observer, stop.clone()).await {
        Err(error) => (None, Err(error.into())),
        Ok(finished) => {
            let exit = Exit::of(finished.report.outcome, stop.is_cancelled());
            let ended = finished.error.map_or(Ok(exit), |error| Err(error.into()));
            (Some(finished.report), ended)
        }
    }
}

fn is_closed_pipe(ended: &Result<Exit>) -> bool {
    let error = ended.as_ref().err();
    let error = error.and_then(|error| error.downcast_ref::<Error>());
    error.is_some_and(Error::is_closed_pipe)
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

/// The meetings asked for, each once; none where a window is to bring them.
pub(crate) fn meetings(named: Vec<ConfUuid>, config: &Config) -> Result<Vec<ConfUuid>> {
    if config.since.is_some() {
        if config.meetings.is_some() {
            let reason = "since and meetings: the meetings come from a window or from a list";
            return Err(Error::Config(reason.to_owned()).into());
        }
        return Ok(vec![]);
    }
    let mut meetings = MeetingList::new();
    meetings.extend(named);
    match config.meetings.as_deref() {
        Some(path) => read_list(&mut meetings, path)?,
        None if meetings.is_empty() => {
            return Err(missing(
                "no meetings: name them by their confUUID, or give --meetings FILE \
                 (- for standard input) or --since TIME",
            ));
        }
        None => {}
    }
    Ok(meetings.into_meetings())
}

/// Adds the meetings of a file, or of standard input where that is meant.
pub(super) fn read_list(meetings: &mut MeetingList, path: &Path) -> rollbook::Result<()> {
    if path == Path::new("-") {
        meetings.read(io::stdin().lock(), "standard input")
    } else {
        meetings.read_file(path)
    }
}

fn missing(message: &str) -> anyhow::Error {
    refuse(ErrorKind::MissingRequiredArgument, message)
}

/// An error of usage.
pub(crate) fn refuse(kind: ErrorKind, message: &str) -> anyhow::Error {
    let mut command = command();
    command.build();
    let export = command.find_subcommand_mut("export");
    match export {
        Some(export) => export.error(kind, message).into(),
        None => anyhow::anyhow!("{message}"),
    }
}
