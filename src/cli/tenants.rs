//! `[[tenant]]` sections: one command exports for all of them, side by side.
//!
//! Each has its own throttle, token, dataset and report; what goes wrong for one does not stop the
//! others. A tenant's secrets are read from the places that the config file names for it, and from
//! no variable or flag that would be everybody's.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Error, Result};
use chrono::{DateTime, Utc};
use clap::ArgMatches;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use rollbook::{ConfUuid, Config, Event, Export, Observer, Report, Tenant};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::atomic_file::WholeFile;
use super::commands::{STOPPING, export};
use super::credentials::Warn;
use super::exit_code::Exit;
use super::metrics::Metrics;
use super::terminal::{Progress, Terminal};
use super::{config_file, credentials, exit_code, signals, variables};

/// Version of the overall report's form.
const REPORT_VERSION: u32 = 1;

/// Settings that are a tenant's own: said once for several, they would be wrong for most.
const OWN: [&str; 14] = [
    "meetings",
    "base_url",
    "app_id",
    "app_key_file",
    "app_key_env",
    "user_id",
    "corp_id",
    "access_token_file",
    "access_token_env",
    "account",
    "password_file",
    "password_env",
    "pii_key_file",
    "pii_key_env",
];

/// The tenants asked for: those of these names, or all; none where the file has none.
///
/// # Errors
///
/// A name without a section; what can be said for one tenant only, said for several.
pub(super) fn pick(
    mut tenants: Vec<Tenant>,
    names: &[String],
    has_meetings: bool,
    given: &ArgMatches,
) -> Result<Vec<Tenant>> {
    let known: Vec<_> = tenants.iter().map(|tenant| tenant.name.clone()).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        let known = match known.len() {
            0 => "there is none".to_owned(),
            _ => format!("there are {}", known.join(", ")),
        };
        return Err(usage(&format!(
            "the config file has no [[tenant]] named {name}: {known}"
        )));
    }
    if !names.is_empty() {
        tenants.retain(|tenant| names.contains(&tenant.name));
    }
    if !tenants.is_empty() {
        refuse_variables(given)?;
    }
    if tenants.len() < 2 {
        return Ok(tenants);
    }
    let said = |id: &&str| given.value_source(id) == Some(ValueSource::CommandLine);
    let own = OWN.into_iter().find(said);
    if let Some(own) = own.or(has_meetings.then_some("CONF_UUID")) {
        return Err(usage(&format!(
            "{own} is a tenant's own, and {} tenants are asked for: say it in the [[tenant]] \
             section, or pick one with --tenant NAME",
            tenants.len()
        )));
    }
    Ok(tenants)
}

/// Refuses what is a tenant's own where a variable says it: it would go to whoever is picked.
///
/// # Errors
///
/// Such a variable is set.
fn refuse_variables(given: &ArgMatches) -> Result<()> {
    // Not every command has every flag.
    let is_variable = |id: &&str| given.try_contains_id(id).is_ok() && variables::gave(given, id);
    match OWN.into_iter().find(is_variable) {
        Some(own) => Err(usage(&format!(
            "{own} is a tenant's own, and a variable says it: unset ROLLBOOK_{}, and say it in the \
             [[tenant]] section",
            own.to_uppercase()
        ))),
        None => Ok(()),
    }
}

/// The settings of a command that asks one site: those of the config file, or of the tenant in it
/// that is meant. For a tenant nothing counts as given beside them.
///
/// # Errors
///
/// The file; no name where it has tenants, or one without a section; a variable with what is a
/// tenant's own.
pub(super) fn load_one<'a>(
    path: Option<&Path>,
    name: Option<&str>,
    given: &'a ArgMatches,
) -> Result<(Config, Option<&'a ArgMatches>)> {
    let (config, tenants) = config_file::load(path)?;
    if tenants.is_empty() && name.is_none() {
        return Ok((config, Some(given)));
    }
    refuse_variables(given)?;
    Ok((one(tenants, name)?, None))
}

fn one(tenants: Vec<Tenant>, name: Option<&str>) -> Result<Config> {
    let names: Vec<_> = tenants.iter().map(|tenant| tenant.name.clone()).collect();
    let all = names.join(", ");
    let refuse = |reason: String| Err(rollbook::Error::Config(reason).into());
    let Some(name) = name else {
        return refuse(format!(
            "the config file has tenants: name one with --tenant ({all})"
        ));
    };
    match tenants.into_iter().find(|tenant| tenant.name == name) {
        Some(tenant) => Ok(tenant.config?),
        None => refuse(format!("no tenant {name}: the config file has {all}")),
    }
}

/// What one tenant's export needs.
pub(super) fn prepare(
    name: &str,
    mut config: Config,
    out: &str,
    named: Vec<ConfUuid>,
    warn: Warn<'_>,
) -> Result<Export> {
    config.out = Some(format!("{}/tenant={name}", out.trim_end_matches('/')));
    config.check()?;
    if named.is_empty() && config.meetings.is_none() && config.since.is_none() {
        let reason = "no meetings: give the section a list, as meetings = \"list.txt\", or a \
                      window, as since = \"yesterday\"";
        return Err(rollbook::Error::Config(reason.to_owned()).into());
    }
    Ok(Export {
        meetings: export::meetings(named, &config)?,
        credentials: credentials::read(&config, None, warn)?,
        pii_key: credentials::pii_key(&config, None, warn)?,
        config,
        pipe: None,
    })
}

/// The destination that the tenants' datasets lie in.
pub(super) fn destination(config: &Config) -> Result<&str> {
    match config.out.as_deref() {
        None | Some("") => Err(usage(
            "no destination: give --out DEST, a folder for the datasets of all tenants",
        )),
        Some("-") => Err(usage(
            "tenants are not mixed in one pipe: give --out a folder",
        )),
        Some(out) => Ok(out),
    }
}

/// Runs all exports to their ends, shows how they go and what came of each.
pub(super) async fn carry_out(
    ready: Vec<(String, Result<Export>)>,
    run_id: &str,
    terminal: &Terminal,
    file: Option<&WholeFile>,
    metrics: &mut Metrics,
) -> Result<Exit> {
    let started = Utc::now();
    let stop = CancellationToken::new();
    signals::watch(stop.clone(), terminal, STOPPING);
    let mut ends: Vec<_> = ready.iter().map(|_| None).collect();
    let mut names = vec![];
    let mut runs = JoinSet::new();
    let unsynced = Arc::new(AtomicBool::new(false));
    for (number, (name, export)) in ready.into_iter().enumerate() {
        names.push(name.clone());
        let export = match export {
            Ok(export) => export,
            Err(error) => {
                ends[number] = Some((None, Err(error)));
                continue;
            }
        };
        let (run_id, terminal, stop) = (run_id.to_owned(), terminal.clone(), stop.clone());
        let unsynced = Arc::clone(&unsynced);
        runs.spawn(async move {
            let progress = Progress::of_tenant(&terminal, export.config.page_size, &name);
            let observer = warning_once(progress.observer(), unsynced);
            let end = export::perform(export, &run_id, observer, stop).await;
            progress.finish();
            (number, end)
        });
    }
    while let Some(run) = runs.join_next().await {
        // One that died leaves its place empty.
        if let Ok((number, end)) = run {
            ends[number] = Some(end);
        }
    }
    let mut overall = Overall {
        version: REPORT_VERSION,
        rollbook: env!("CARGO_PKG_VERSION"),
        run_id,
        started,
        finished: Utc::now(),
        exit_code: 0,
        tenants: vec![],
    };
    let mut worst = Exit::Complete;
    for (name, end) in names.into_iter().zip(ends) {
        // The summary, too, says whose it is.
        let _inside = tracing::error_span!("export", tenant = name).entered();
        let died = || Err(Error::msg("its run died, which is a defect of rollbook"));
        let (report, ended) = end.unwrap_or_else(|| (None, died()));
        if let Some(report) = &report {
            terminal.summarise(report);
        }
        metrics.tell(Some(&name), &ended, report.clone());
        let (exit, error) = match ended.with_context(|| format!("tenant {name}")) {
            Ok(exit) => (exit, None),
            Err(error) => (exit_code::fail(&error), Some(format!("{error:#}"))),
        };
        worst = worst.or_worse(exit);
        overall.tenants.push(OfTenant {
            name,
            exit_code: exit.code(),
            error,
            report,
        });
    }
    overall.exit_code = worst.code();
    file.map_or(Ok(()), |file| file.write_json(&overall))?;
    Ok(worst)
}

/// Wraps an observer so that only the first tenant warns of folders that cannot be synced: the
/// datasets of all tenants lie side by side.
fn warning_once(observer: Observer, is_warned: Arc<AtomicBool>) -> Observer {
    Arc::new(move |event| {
        let is_warning = matches!(event, Event::Unsynced { .. });
        if !is_warning || !is_warned.swap(true, Ordering::Relaxed) {
            observer(event);
        }
    })
}

/// The report of a command with tenants.
#[derive(Serialize)]
struct Overall<'a> {
    version: u32,
    rollbook: &'static str,
    run_id: &'a str,
    started: DateTime<Utc>,
    finished: DateTime<Utc>,
    exit_code: u8,
    tenants: Vec<OfTenant>,
}

/// What became of one tenant.
#[derive(Serialize)]
struct OfTenant {
    name: String,
    exit_code: u8,
    /// What stopped it, where something did.
    error: Option<String>,
    /// What was done, where it got as far as a run.
    report: Option<Report>,
}

fn usage(message: &str) -> Error {
    export::refuse(ErrorKind::ArgumentConflict, message)
}
