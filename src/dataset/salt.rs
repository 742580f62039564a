//! Where a dataset's salt comes from: the first run makes it, and every later one reads it.

use crate::error::{Error, Result};
use crate::failpoint::{Point, point};
use crate::record::DatasetSalt;

use super::Dataset;
use super::layout::SALT;

impl Dataset {
    /// The key of all digests that must not be guessed without the dataset.
    pub(crate) fn salt(&self) -> &DatasetSalt {
        &self.salt
    }

    /// Reads the dataset's salt, or puts this run's where there is none. Of two runs that put one
    /// at the same moment, the second takes that of the first.
    pub(super) async fn settle_salt(&mut self) -> Result<()> {
        let mut found = self.store.read(SALT).await?;
        if found.is_none() {
            if self.store.create(SALT, self.salt.to_bytes()).await? {
                point(Point::SaltPut);
                return Ok(());
            }
            // Another run's, or this run's where the answer to the put was lost.
            found = self.store.read(SALT).await?;
        }
        let path = self.store.shown(SALT);
        let Some(bytes) = found else {
            let reason = "was there and is gone".to_owned();
            return Err(Error::Dataset { path, reason });
        };
        self.salt = DatasetSalt::parse(&path, &bytes)?;
        Ok(())
    }
}
