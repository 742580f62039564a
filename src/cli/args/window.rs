//! Which meetings: the flags of the commands that find them in the history list.

use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use rollbook::{Config, Moment, Zone};

use super::api::{set, set_some};

const WINDOW: &str = "Meetings by time";

/// The window as flags; `None` is what was not said.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Span {
    /// Meetings that began then or later: yesterday, 7d, a date, RFC 3339
    #[arg(long, value_name = "TIME", env = "ROLLBOOK_SINCE", help_heading = WINDOW)]
    since: Option<Moment>,
    /// And before then; a date is meant as a whole [default: now]
    #[arg(long, value_name = "TIME", env = "ROLLBOOK_UNTIL", help_heading = WINDOW)]
    until: Option<Moment>,
    /// Whose days dates are, as Asia/Shanghai [default: UTC]
    #[arg(long, value_name = "ZONE", env = "ROLLBOOK_TIMEZONE", help_heading = WINDOW)]
    timezone: Option<Zone>,
    /// The meetings of all users, which administrators may see
    #[arg(long, value_name = "BOOL", env = "ROLLBOOK_QUERY_ALL", help_heading = WINDOW)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    query_all: Option<bool>,
}

/// The window of an export as flags, and what it leaves to the next.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Window {
    #[command(flatten)]
    span: Span,
    /// Meetings that ended more recently are left to the next run [default: 30m]
    #[arg(long, value_name = "TIME", env = "ROLLBOOK_SETTLE", help_heading = WINDOW)]
    #[arg(value_parser = humantime::parse_duration)]
    #[arg(hide_short_help = true)]
    settle: Option<Duration>,
    /// How far behind the last run to look again: longer than the longest meeting [default: 7d]
    #[arg(long, value_name = "TIME", env = "ROLLBOOK_LOOKBACK", help_heading = WINDOW)]
    #[arg(value_parser = humantime::parse_duration)]
    #[arg(hide_short_help = true)]
    lookback: Option<Duration>,
    /// Write the meetings as well, into a table of their own
    #[arg(long, value_name = "BOOL", env = "ROLLBOOK_WITH_MEETINGS", help_heading = WINDOW)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    with_meetings: Option<bool>,
}

impl Span {
    /// Puts what was said over what the config file says.
    pub(crate) fn overlay(self, config: &mut Config) {
        let Self {
            since,
            until,
            timezone,
            query_all,
        } = self;
        set_some(&mut config.since, since);
        set_some(&mut config.until, until);
        set(&mut config.timezone, timezone);
        set(&mut config.query_all, query_all);
    }
}

impl Window {
    /// Puts what was said over what the config file says.
    pub(crate) fn overlay(self, config: &mut Config) {
        let Self {
            span,
            settle,
            lookback,
            with_meetings,
        } = self;
        span.overlay(config);
        set(&mut config.settle, settle);
        set(&mut config.lookback, lookback);
        set(&mut config.with_meetings, with_meetings);
    }
}
