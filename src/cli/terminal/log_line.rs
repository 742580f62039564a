//! A line of the log with the run that it is about, whoever wrote it.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// A form of lines, and the run to name on each.
pub(super) struct Line<F> {
    form: F,
    run_id: Option<String>,
    is_json: bool,
}

impl<F> Line<F> {
    /// The run is a member of each line's object.
    pub(super) fn json(form: F, run_id: Option<String>) -> Self {
        let is_json = true;
        Self {
            form,
            run_id,
            is_json,
        }
    }

    /// The run is the first word of each line.
    pub(super) fn text(form: F, run_id: Option<String>) -> Self {
        let is_json = false;
        Self {
            form,
            run_id,
            is_json,
        }
    }
}

impl<S, N, F> FormatEvent<S, N> for Line<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match &self.run_id {
            Some(run_id) if self.is_json => {
                let mut line = String::new();
                self.form
                    .format_event(context, Writer::new(&mut line), event)?;
                let members = line.strip_prefix('{').unwrap_or(&line);
                // A run id needs no escapes.
                write!(writer, "{{\"run_id\":\"{run_id}\",{members}")
            }
            Some(run_id) => {
                write!(writer, "{run_id} ")?;
                self.form.format_event(context, writer, event)
            }
            None => self.form.format_event(context, writer, event),
        }
    }
}
