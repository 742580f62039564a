//! Panics, of ours or of a library: none ends the process without a report and an exit code.
//!
//! The words of a panic may hold secrets or personal data and are shown nowhere; where it happened
//! is shown, so that it can be mended.

use std::panic::{self, AssertUnwindSafe, Location};

use anyhow::{Error, Result};

use super::terminal;

/// Has panics show where they happened, and nothing else.
pub(crate) fn hide_payloads() {
    panic::set_hook(Box::new(|info| {
        let place = info
            .location()
            .map_or_else(|| "a place unknown".into(), shown);
        terminal::print_note(&format!(
            "internal error at {place}, which is a defect of rollbook"
        ));
    }));
}

/// Runs work to its end; a panic is an error.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // What the work changed is not looked at again, but for what is told of it.
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Error::msg(
            "the command died, which is a defect of rollbook",
        ))
    })
}

/// File, line and column; of a library without the folders of whoever built it.
fn shown(place: &Location<'_>) -> String {
    let (file, line, column) = (place.file(), place.line(), place.column());
    let library = file
        .split_once("/registry/src/")
        .and_then(|(_, rest)| Some(rest.split_once('/')?.1));
    format!("{}:{line}:{column}", library.unwrap_or(file))
}
