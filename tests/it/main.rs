//! Tests of the whole: against the embedded API, the file system, the command line and other
//! people's readers, on nothing but this machine.

#![expect(
    clippy::unwrap_used,
    reason = "what a test needs and does not get ends it"
)]

#[cfg(unix)]
mod allowance;
#[cfg(unix)]
mod bucket;
mod cli;
#[cfg(target_os = "linux")]
mod clock;
#[cfg(unix)]
mod command;
#[cfg(unix)]
mod compact;
mod config;
mod connections;
#[cfg(unix)]
mod containers;
#[cfg(unix)]
mod crash;
#[cfg(all(unix, feature = "delta"))]
mod delta;
mod described;
#[cfg(unix)]
mod destinations;
mod drift;
#[cfg(unix)]
mod dying;
#[cfg(unix)]
mod ears;
#[cfg(unix)]
mod evolution;
mod export;
#[cfg(unix)]
mod fake_store;
mod fault_table;
mod faults;
#[cfg(target_os = "linux")]
mod file_systems;
mod history;
mod hostile;
mod house;
mod late;
#[cfg(unix)]
mod limits;
#[cfg(unix)]
mod lines;
#[cfg(unix)]
mod listing;
#[cfg(unix)]
mod lists;
mod login;
#[cfg(unix)]
mod login_check;
#[cfg(unix)]
mod meetings_table;
mod memory;
#[cfg(unix)]
mod metrics;
mod nights;
#[cfg(unix)]
mod outages;
#[cfg(unix)]
mod outside;
#[cfg(unix)]
mod panics;
#[cfg(unix)]
mod partitions;
mod peers;
#[cfg(unix)]
mod pii;
#[cfg(unix)]
mod poison;
mod readers;
#[cfg(unix)]
mod reading;
mod readme;
#[cfg(unix)]
mod recipes;
#[cfg(unix)]
mod refusals;
mod repair;
mod run;
#[cfg(unix)]
mod same_records;
mod sdk;
#[cfg(unix)]
mod security;
mod server_clock;
mod simulator;
#[cfg(unix)]
mod spark;
mod spark_3_2;
#[cfg(unix)]
mod stage;
#[cfg(unix)]
mod tenants;
#[cfg(unix)]
mod together;
mod venv;
