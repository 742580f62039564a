//! Whether the dataset still has the salt that its ledger was written with.

use crate::dataset::SALT;
use crate::dataset::ledger::Ledger;
use crate::dataset::store::Store;
use crate::error::{Error, Result};
use crate::record::DatasetSalt;

use super::Finding;

/// Finds a salt that cannot be read, and one that is lost though the ledger needs it. A dataset to
/// which nothing was written since salts are made has none, and needs none.
pub(super) async fn check(store: &Store, ledger: &Ledger) -> Result<Option<Finding>> {
    let finding = |reason: &str| Finding::Salt {
        path: SALT.to_owned(),
        reason: reason.to_owned(),
    };
    let bytes = store.read(SALT).await?;
    let parsed = bytes.map(|bytes| DatasetSalt::parse(SALT, &bytes));
    let salt = match parsed.transpose() {
        Ok(salt) => salt.map(|salt| salt.id()),
        Err(Error::Dataset { reason, .. }) => return Ok(Some(finding(&reason))),
        Err(error) => return Err(error),
    };
    let mut standing = ledger.standing();
    let is_lost = standing.any(|entry| {
        let asked = entry.asked.as_ref();
        let key = asked.and_then(|asked| asked.search_key.as_ref());
        key.is_some_and(|key| salt.as_ref() != Some(&key.salt))
    });
    Ok(is_lost.then(|| match salt {
        None => finding("is missing; the ledger's search key was kept with it"),
        Some(_) => finding("is another than the ledger's search key was kept with"),
    }))
}
