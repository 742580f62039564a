//! What people see: progress, log, summary and errors, all on standard error.
//!
//! Standard output is for data. The log and the bar share one writer, so that neither tears the
//! other; without a terminal there is no bar, but a line now and then.

mod log_line;
pub(crate) mod progress;
mod summary;
mod table;

use std::io::{IsTerminal as _, Write as _};

use anyhow::Result;
use console::{Style, Term};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rollbook::{Error, LogFormat, Report, When};
use tracing_indicatif::writer::{IndicatifWriter, Stderr};
use tracing_subscriber::EnvFilter;

use self::log_line::Line;
pub(crate) use self::progress::{Progress, checkpoints_lost, observe, unsynced};
pub(crate) use self::table::{Align, Table, plain, shortened};

/// How often a bar is drawn at most, a second.
const FRAMES: u8 = 10;

/// The way to the person or the log that listens.
#[derive(Clone, Debug)]
pub(crate) struct Terminal {
    screen: MultiProgress,
    voice: Voice,
}

/// How the command speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voice {
    /// Nothing but errors.
    Quiet,
    /// A bar, and messages above it.
    Bar,
    /// Lines for people.
    Lines,
    /// Lines for machines.
    Json,
}

impl Terminal {
    /// Chooses how to speak, and opens the log. A log for machines names the run on each line,
    /// one for people where they want to know more.
    ///
    /// # Errors
    ///
    /// `filter` is no log filter.
    pub(crate) fn open(
        quiet: bool,
        verbose: u8,
        format: LogFormat,
        progress: When,
        filter: Option<String>,
        run_id: Option<&str>,
    ) -> Result<Self> {
        let stderr = Term::buffered_stderr();
        let has_bar = match progress {
            When::Auto => stderr.is_term(),
            When::Always => true,
            When::Never => false,
        };
        let voice = match (quiet, format) {
            (true, _) => Voice::Quiet,
            (false, LogFormat::Json) => Voice::Json,
            (false, LogFormat::Text) if has_bar => Voice::Bar,
            (false, LogFormat::Text) => Voice::Lines,
        };
        let target = if voice == Voice::Bar {
            // Not `term`, which hides itself without a terminal even where one insists.
            ProgressDrawTarget::term_like_with_hz(Box::new(stderr), FRAMES)
        } else {
            ProgressDrawTarget::hidden()
        };
        let screen = MultiProgress::with_draw_target(target);
        let filter = match filter.filter(|filter| !filter.trim().is_empty()) {
            Some(filter) => EnvFilter::try_new(&filter).map_err(|error| {
                Error::Config(format!("ROLLBOOK_LOG is no log filter: {error}"))
            })?,
            // Whatever the Delta kernel fails with is told as ours, if it is a failure at all.
            None => EnvFilter::new(match (quiet, verbose) {
                (true, _) => "error,delta_kernel=off",
                (false, 0) => "warn,delta_kernel=off,rollbook=info",
                (false, 1) => "info,delta_kernel=off,rollbook=debug",
                (false, _) => "info,rollbook=trace",
            }),
        };
        let is_wanted = format == LogFormat::Json || verbose > 0;
        let run_id = run_id.filter(|_| is_wanted).map(str::to_owned);
        let writer = IndicatifWriter::new(screen.clone());
        log(filter, voice, format, writer, run_id);
        Ok(Self { screen, voice })
    }

    /// Takes the bar off the screen.
    pub(crate) fn clear(&self) {
        // A screen that cannot be cleared is left as it is.
        drop(self.screen.clear());
    }

    /// Shows what came of a run.
    pub(crate) fn summarise(&self, report: &Report) {
        match self.voice {
            Voice::Quiet => summary::complain(report),
            Voice::Json => summary::log(report),
            Voice::Bar | Voice::Lines => write(&summary::render(report, is_coloured())),
        }
    }

    /// A bar of `length` steps, where there is one to see.
    fn bar(&self, length: u64) -> Option<ProgressBar> {
        if self.voice != Voice::Bar {
            return None;
        }
        let bar = self.screen.add(ProgressBar::new(length));
        // The template is a constant; without it the default one does.
        if let Ok(style) = ProgressStyle::with_template("{bar:16.cyan} {percent:>3}% {wide_msg}") {
            bar.set_style(style.progress_chars("━╸ "));
        }
        Some(bar)
    }
}

/// Shows why a command failed: its causes in one line, and what to do about it.
pub(crate) fn print_error(error: &anyhow::Error, next_step: Option<&str>) {
    let red = Style::new().force_styling(is_coloured()).red().bold();
    let mut causes: Vec<String> = Vec::new();
    for cause in error.chain() {
        let cause = plain(&cause.to_string());
        // Some causes repeat theirs; once is enough.
        if !causes.last().is_some_and(|last| last.ends_with(&cause)) {
            causes.push(cause);
        }
    }
    let mut text = format!("{} {}\n", red.apply_to("error:"), causes.join(": "));
    if let Some(step) = next_step {
        text.push_str("  ");
        text.push_str(step);
        text.push('\n');
    }
    write(&text);
}

/// Adds a line to what was said.
pub(crate) fn print_note(text: &str) {
    write(&format!("{}\n", plain(text)));
}

/// Writes to standard error in one go; where nobody listens, nothing is lost.
fn write(text: &str) {
    drop(std::io::stderr().lock().write_all(text.as_bytes()));
}

/// Whether colours reach somebody who wants them; `NO_COLOR` says no.
fn is_coloured() -> bool {
    std::io::stderr().is_terminal() && console::colors_enabled_stderr()
}

fn log(
    filter: EnvFilter,
    voice: Voice,
    format: LogFormat,
    writer: IndicatifWriter<Stderr>,
    run_id: Option<String>,
) {
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        // Complaints about a log that nobody reads would go to the same place, and panic there.
        .log_internal_errors(false)
        .with_ansi(is_coloured());
    // A log that stands already, as in tests, is as good.
    drop(match (format, voice) {
        (LogFormat::Json, _) => log
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .map_event_format(|form| Line::json(form, run_id))
            .try_init(),
        // Who watches a bar knows what time it is.
        (LogFormat::Text, Voice::Bar) => log
            .with_target(false)
            .compact()
            .without_time()
            .map_event_format(|form| Line::text(form, run_id))
            .try_init(),
        (LogFormat::Text, _) => log
            .with_target(false)
            .compact()
            .map_event_format(|form| Line::text(form, run_id))
            .try_init(),
    });
}
