//! The columns that are in the parts' paths instead of their files, as `name=value/`: none so far.

use std::collections::BTreeMap;

/// Their names.
pub(super) const COLUMNS: [&str; 0] = [];

/// How a path spells that there is no value.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// The values in a part's path, by column, as Delta writes them.
pub(super) fn values(path: &str) -> BTreeMap<&'static str, Option<&str>> {
    let value = |column: &&'static str| {
        let mut folders = path.split('/');
        let value = folders.find_map(|folder| folder.strip_prefix(*column)?.strip_prefix('='));
        (*column, value.filter(|value| *value != NO_VALUE))
    };
    COLUMNS.iter().map(value).collect()
}
