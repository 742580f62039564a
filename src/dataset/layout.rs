//! What lies where in a dataset, by name.

use super::ledger;
use super::ledger::{CHECKPOINTS, checkpoint};

/// Where all lies that readers are not to look at.
pub(super) const HOME: &str = "_rollbook";

/// Where the reports lie.
pub(crate) const RUNS: &str = "_rollbook/runs";

/// Where the staging folders lie.
pub(crate) const STAGING: &str = "_rollbook/staging";

/// Where parts that others replaced are kept for a while, and those of dropped commits.
pub(crate) const REPLACED: &str = "_rollbook/replaced";

/// Where a repair puts what readers must not see and nobody knows.
pub(crate) const SET_ASIDE: &str = "_rollbook/set-aside";

/// The lock that those who come and go hold for a moment.
pub(super) const GATE: &str = "_rollbook/lock";

/// Where the salt lies that digests are keyed with.
pub(crate) const SALT: &str = "_rollbook/salt";

/// Begins the names of objects that try out what the store does.
pub(super) const PROBE: &str = "_rollbook/probe-";

/// Where a part is kept once others replaced it.
pub(super) fn replaced_path(part: &str) -> String {
    format!("{REPLACED}/{}", part.replace('/', "-"))
}

/// Where a run's report lies.
pub(crate) fn report_path(run_id: &str) -> String {
    format!("{RUNS}/{run_id}.json")
}

/// Whose report lies at a path.
pub(crate) fn run_of(path: &str) -> Option<&str> {
    let name = path.strip_prefix(RUNS)?.strip_prefix('/')?;
    name.strip_suffix(".json")
}

/// Whether something in `_rollbook` has a name that rollbook gives.
pub(crate) fn is_ours(path: &str, is_folder: bool) -> bool {
    if is_folder {
        let is_staging = || {
            path.strip_prefix(STAGING)
                .is_some_and(|run| run.starts_with('/'))
        };
        let ours = [
            ledger::FOLDER,
            CHECKPOINTS,
            RUNS,
            STAGING,
            SET_ASIDE,
            REPLACED,
        ];
        return ours.contains(&path) || is_staging();
    }
    // A local store writes under a name of its own first.
    let path = match path.rsplit_once('#') {
        Some((path, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => path,
        _ => path,
    };
    [GATE, SALT].contains(&path)
        || path.starts_with(PROBE)
        || ledger::sequence_of(path).is_some()
        || checkpoint::Name::parse(path).is_some()
        || run_of(path).is_some()
}
