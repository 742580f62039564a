//! The `rollbook` command: what the library does, said in flags and shown on a terminal.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
