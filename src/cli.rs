//! The command line: what is asked for, from flags, environment and config file.
//!
//! Each command is a file that parses its arguments and hands them to the library. Only here and
//! in `terminal` live clap, anyhow, signals and the environment. Secrets are never arguments.

mod args;
mod atomic_file;
mod commands;
mod config_file;
pub(crate) mod credentials;
mod exit_code;
mod metrics;
mod panics;
mod signals;
mod state_dir;
mod tenants;
pub(crate) mod terminal;
pub(crate) mod variables;

use std::cell::RefCell;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use rollbook::{InputKind, LogFormat, Mode};
use serde::Serialize;

use self::exit_code::Exit;
use self::terminal::Terminal;

const AFTER_HELP: &str = "\
Examples:
  rollbook demo                               see it work, without an account
  rollbook export --since yesterday --out attendance
  rollbook verify attendance

Exit codes:
  0    everything that was asked for is complete
  1    internal or I/O failure, or a damaged dataset
  2    usage, or a meeting list that cannot be read
  3    configuration or credentials
  4    some meetings are incomplete; the report names each with its cause
  130  interrupted; the same command goes on from there";

/// Exports every participant record of historical Huawei Cloud Meeting meetings, provably whole.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Action,
    #[command(flatten)]
    voice: Voice,
}

/// How much the command says, and in which form.
#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct Voice {
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more; twice: everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Form of the log on standard error: text or json [default: text]
    #[arg(long, global = true, value_name = "FORM", env = "ROLLBOOK_LOG_FORMAT")]
    #[arg(value_parser = args::settings::choice::<LogFormat>(), hide_possible_values = true)]
    log_format: Option<LogFormat>,
    /// Warnings that came before there was a log.
    #[arg(skip)]
    warnings: RefCell<Vec<String>>,
}

impl Voice {
    /// Opens the terminal and the log.
    fn terminal(
        &self,
        config: &rollbook::Config,
        run_id: Option<&str>,
    ) -> anyhow::Result<Terminal> {
        let format = self.log_format.unwrap_or(config.log_format);
        let filter = variables::read("ROLLBOOK_LOG", InputKind::Text)?;
        let terminal = Terminal::open(
            self.quiet,
            self.verbose,
            format,
            config.progress,
            filter,
            run_id,
        )?;
        self.log_warnings();
        Ok(terminal)
    }

    /// Keeps a warning until there is a log, once however often it comes.
    fn warn(&self, warning: String) {
        let mut warnings = self.warnings.borrow_mut();
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    /// Logs the warnings that were kept.
    fn log_warnings(&self) {
        for warning in self.warnings.take() {
            tracing::warn!("{}", terminal::plain(&warning));
        }
    }

    /// Prints the warnings that no log took, unless nothing but errors is wanted.
    fn print_warnings(&self) {
        for warning in self.warnings.take() {
            if !self.quiet {
                terminal::print_note(&format!("warning: {warning}"));
            }
        }
    }
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Export the records of meetings into a dataset or a pipe
    Export(Box<commands::export::ExportArgs>),
    /// Prove the credentials: who they are, and what they may see
    LoginCheck(Box<commands::login_check::LoginCheckArgs>),
    /// List historical meetings
    Meetings(Box<commands::meetings::MeetingsArgs>),
    /// Run the simulator, export all of it and look at the data
    Demo(commands::demo::DemoArgs),
    /// Run the API, embedded, with faults on demand
    Simulate(commands::simulate::SimulateArgs),
    /// Show what a dataset's ledger holds
    Status(commands::status::StatusArgs),
    /// Recount and rehash a dataset against its ledger
    Verify(commands::verify::VerifyArgs),
    /// Merge the small parts of a dataset into large ones
    Compact(commands::compact::CompactArgs),
    /// Erase meetings from a dataset, for good
    Purge(commands::purge::PurgeArgs),
    /// Print the schema of a record, or the DDL of a table for it
    Schema(commands::schema::SchemaArgs),
    /// Print a completion script for a shell
    Completions(commands::completions::CompletionsArgs),
    /// Print the manual page
    Man(commands::man::ManArgs),
}

impl Action {
    /// Whether the command reads settings, which variables may hold.
    const fn has_settings(&self) -> bool {
        !matches!(
            self,
            Self::Schema(_) | Self::Completions(_) | Self::Man(_) | Self::Demo(_)
        )
    }
}

/// The whole command, as help, completions and manual show it.
pub(crate) fn command() -> Command {
    variables::feed(Cli::command()).0
}

/// Runs the command and turns its end into an exit code.
pub(crate) fn main() -> ExitCode {
    permit(Mode::PRIVATE);
    without_core_dumps();
    panics::hide_payloads();
    #[cfg(debug_assertions)]
    crashes_on_demand();
    match panics::caught(parse_and_run) {
        Ok(exit) => exit.into(),
        Err(error) => exit_code::fail(&error).into(),
    }
}

fn parse_and_run() -> anyhow::Result<Exit> {
    let (command, refused) = variables::feed(Cli::command());
    let matches = command.try_get_matches()?;
    variables::check(&matches, &refused)?;
    let Cli { command, voice } = Cli::from_arg_matches(&matches)?;
    if command.has_settings() {
        let arguments = matches.subcommand().map(|(_, arguments)| arguments);
        let config = arguments.and_then(|given| given.try_get_one::<PathBuf>("config").ok()?);
        voice.warnings.replace(variables::unknown(
            &Cli::command(),
            config.map(PathBuf::as_path),
        ));
    }
    let ended = run(command, &voice, &matches);
    voice.print_warnings();
    ended
}

fn run(command: Action, voice: &Voice, matches: &ArgMatches) -> anyhow::Result<Exit> {
    match command {
        Action::Export(args) => {
            let given = matches.subcommand_matches("export").unwrap_or(matches);
            args.run(voice, given)
        }
        Action::LoginCheck(args) => {
            let given = matches.subcommand_matches("login-check").unwrap_or(matches);
            args.run(voice, given)
        }
        Action::Meetings(args) => {
            let given = matches.subcommand_matches("meetings").unwrap_or(matches);
            args.run(voice, given)
        }
        Action::Demo(args) => args.run(voice),
        Action::Simulate(args) => args.run(voice),
        Action::Status(args) => args.run(),
        Action::Verify(args) => args.run(voice),
        Action::Compact(args) => args.run(voice),
        Action::Purge(args) => args.run(voice),
        Action::Schema(args) => args.run(),
        Action::Completions(args) => args.run(),
        Action::Man(args) => args.run(),
    }
}

/// Writes a command's result to standard output in one go.
fn answer(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// Answers with what was found: for machines as JSON, for people as a text.
fn answer_as<T: Serialize>(
    json: bool,
    found: &T,
    text: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    answer(&if json {
        serde_json::to_string_pretty(found)? + "\n"
    } else {
        text(found)
    })
}

/// The runtime for the commands that talk to somebody.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    use anyhow::Context as _;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// Attendance is personal data: what is written is for its owner alone, unless that is widened.
#[cfg_attr(not(unix), expect(unused_variables, reason = "no such permissions"))]
fn permit(mode: Mode) {
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mode.umask()));
}

/// Secrets and personal data are in this process' memory: no crash may write it into a file.
fn without_core_dumps() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        // A limit may always be lowered.
        let _ = setrlimit(Resource::Core, none);
    }
}

/// Lets the tests of a debug build stop it where it hurts.
#[cfg(debug_assertions)]
fn crashes_on_demand() {
    use rollbook::failpoint::{Plan, arm};
    let at = |name| variables::read(name, InputKind::Word).ok().flatten();
    let trace = std::env::var_os("ROLLBOOK_CRASH_TRACE");
    let plan = at("ROLLBOOK_CRASH_AT").and_then(|at| Plan::die_at(&at));
    let plan = plan.or_else(|| Plan::panic_at(&at("ROLLBOOK_PANIC_AT")?));
    let plan = plan.or_else(|| Plan::trace(trace?.as_ref()).ok());
    if let Some(plan) = plan {
        arm(plan);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn no_flag_takes_a_secret() {
        let commands: Vec<_> = command().get_subcommands().cloned().collect();
        for arg in commands.iter().flat_map(Command::get_arguments) {
            let long = arg.get_long().unwrap_or_default();
            let names_a_place = long.ends_with("-file") || long.ends_with("-env");
            for secret in ["token", "key", "password", "secret"] {
                let says_so = long.split('-').any(|word| word == secret);
                assert!(
                    !says_so || names_a_place || long == "search-key",
                    "--{long}"
                );
            }
        }
    }
}
