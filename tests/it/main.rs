//! Tests of the whole: against the embedded API, the file system, and other people's readers.

#![expect(
    clippy::unwrap_used,
    reason = "what a test needs and does not get ends it"
)]

mod cli;
mod config;
mod export;
mod readers;
mod sdk;
mod simulator;
mod venv;

//! The crate and the command from outside, against nothing but this machine.
