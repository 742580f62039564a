//! `rollbook meetings`: what the history list has, for people or for another command.

use std::path::PathBuf;

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::error::ErrorKind;
use clap::{ArgMatches, Args, ValueEnum};
use indicatif::HumanCount;
use rollbook::{Event, History, Listed, Meeting, Rate};
use tokio_util::sync::CancellationToken;

use crate::cli::args::{Site, Span, set};
use crate::cli::exit_code::Exit;
use crate::cli::terminal::{Align, Table, observe, shortened};
use crate::cli::{Voice, answer, command, credentials, runtime, signals, tenants};

/// Columns that a topic or a name may take in the table.
const TEXT: usize = 40;

const AFTER_HELP: &str = "\
Passwords and join links of meetings are never read, and so never shown. What a day's list could \
not prove whole is named on standard error, and the exit code is 4.

Examples:
  rollbook meetings --since 7d --query-all
  rollbook meetings --since 2026-11-01 --until 2026-11-30 --format ndjson > november.ndjson
  rollbook meetings --since 7d --format uuids > list.txt && rollbook export --meetings list.txt --out x";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct MeetingsArgs {
    /// File of settings, as config.example.toml
    #[arg(short, long, value_name = "FILE", env = "ROLLBOOK_CONFIG")]
    config: Option<PathBuf>,
    /// Of the tenants in the config file, this one
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Form of the list
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Form,
    /// Requests a time: N/s, N/min, N/h or unlimited [default: 60/min]
    #[arg(long, env = "ROLLBOOK_RATE")]
    rate: Option<Rate>,
    #[command(flatten)]
    span: Span,
    #[command(flatten)]
    site: Site,
}

/// How meetings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Columns for people
    Table,
    /// One JSON object a line, as `export --meetings` reads it
    Ndjson,
    /// One UUID a line
    Uuids,
}

impl MeetingsArgs {
    pub(crate) fn run(self, voice: &Voice, given: &ArgMatches) -> Result<Exit> {
        let (mut config, given) =
            tenants::load_one(self.config.as_deref(), self.tenant.as_deref(), given)?;
        self.span.overlay(&mut config);
        self.site.overlay(&mut config);
        set(&mut config.rate, self.rate);
        // A standing list is for exports.
        config.meetings = None;
        if config.since.is_none() {
            return Err(no_window());
        }
        config.check()?;
        let credentials = credentials::read(&config, given, &|text| voice.warn(text))?;
        let terminal = voice.terminal(&config, None)?;
        let stop = CancellationToken::new();
        let history = History {
            config,
            credentials,
        };
        let listed = runtime()?.block_on(async {
            signals::watch(stop.clone(), &terminal, "stopping");
            history
                .list(
                    std::sync::Arc::new(|event: Event| observe(&event)),
                    stop.clone(),
                )
                .await
        })?;
        if stop.is_cancelled() {
            return Ok(Exit::Interrupted);
        }
        answer(&self.format.write(&listed)?)?;
        Ok(if listed.unlisted.is_empty() {
            Exit::Complete
        } else {
            Exit::Incomplete
        })
    }
}

impl Form {
    fn write(self, listed: &Listed) -> Result<String> {
        let mut text = String::new();
        match self {
            Self::Table => text = table(listed),
            Self::Ndjson => {
                for meeting in &listed.meetings {
                    text.push_str(&one_line(&serde_json::to_string(meeting)?));
                    text.push('\n');
                }
            }
            Self::Uuids => {
                for meeting in &listed.meetings {
                    text.extend([meeting.conf_uuid.as_str(), "\n"]);
                }
            }
        }
        Ok(text)
    }
}

/// Escapes in JSON the characters that readers of lines take for the end of a line.
fn one_line(json: &str) -> String {
    json.replace('\u{85}', r"\u0085")
        .replace('\u{2028}', r"\u2028")
        .replace('\u{2029}', r"\u2029")
}

fn table(listed: &Listed) -> String {
    let mut table = Table::new(&[Align::Left; 6]);
    table.row(["start", "end", "number", "scheduler", "subject", "confUUID"]);
    for meeting in &listed.meetings {
        table.row(row(meeting));
    }
    let count = HumanCount(listed.meetings.len() as u64);
    format!("{}\n{count} meetings\n", table.render())
}

fn row(meeting: &Meeting) -> [String; 6] {
    let time = |time: Option<DateTime<Utc>>, form| {
        time.map_or_else(|| "-".to_owned(), |time| time.format(form).to_string())
    };
    let text = |text: &Option<String>| shortened(text.as_deref().unwrap_or("-"), TEXT);
    let is_same_day = meeting
        .start
        .zip(meeting.end)
        .is_some_and(|(start, end)| start.date_naive() == end.date_naive());
    let end = if is_same_day {
        "%H:%MZ"
    } else {
        "%Y-%m-%d %H:%MZ"
    };
    [
        time(meeting.start, "%Y-%m-%d %H:%MZ"),
        time(meeting.end, end),
        text(&meeting.conference_id),
        text(&meeting.scheduler),
        text(&meeting.subject),
        meeting.conf_uuid.to_string(),
    ]
}

fn no_window() -> anyhow::Error {
    let mut command = command();
    command.build();
    let message = "no window: give --since TIME (yesterday, 7d, 2026-11-01), and --until";
    match command.find_subcommand_mut("meetings") {
        Some(meetings) => meetings
            .error(ErrorKind::MissingRequiredArgument, message)
            .into(),
        None => anyhow::anyhow!("{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> Listed {
        let time = |text: &str| Some(text.parse().unwrap());
        let meeting = Meeting {
            conf_uuid: "a1".parse().unwrap(),
            conference_id: Some("914083388".into()),
            subject: Some("Budget\u{1b}[2J\u{202e} 会议".into()),
            scheduler: Some("line\nbreak".into()),
            dept_name: None,
            start: time("2026-11-01T22:30:00Z"),
            end: time("2026-11-01T23:30:00Z"),
            size: Some(3),
            kind: Some("CYCLE".into()),
            media_types: None,
            webinar: Some(false),
        };
        let other = Meeting {
            conf_uuid: "b2".parse().unwrap(),
            conference_id: None,
            subject: None,
            scheduler: None,
            end: time("2026-11-02T00:30:00Z"),
            ..meeting.clone()
        };
        Listed {
            meetings: vec![meeting, other],
            unlisted: vec![],
        }
    }

    #[test]
    fn nothing_in_the_table_steers_the_terminal() {
        insta::assert_snapshot!(Form::Table.write(&listed()).unwrap());
    }

    #[test]
    fn a_meeting_is_one_line_to_readers_that_end_lines_at_other_separators() {
        let mut listed = listed();
        listed.meetings[0].subject = Some("a\u{85}b\u{2028}c\u{2029}d\u{b}e\u{c}f".into());
        let text = Form::Ndjson.write(&listed).unwrap();
        let ends = ['\u{85}', '\u{2028}', '\u{2029}', '\u{b}', '\u{c}'];
        assert!(!text.contains(ends), "{text:?}");
        let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(
            first["subject"].as_str(),
            listed.meetings[0].subject.as_deref()
        );
    }

    #[test]
    fn what_is_written_for_export_is_read_by_it() {
        for form in [Form::Ndjson, Form::Uuids] {
            let text = form.write(&listed()).unwrap();
            let mut list = rollbook::MeetingList::new();
            list.read(text.as_bytes(), "x").unwrap();
            assert_eq!(list.into_meetings().len(), 2, "{text}");
        }
    }
}
