//! Whether the data files are there and as long as the log says.

use std::collections::HashMap;

use crate::maintain::live;
use crate::table::Store;
use crate::{StoreError, maintain};

/// A file that isn't as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Damage {
    /// The file, from the table's folder on.
    pub path: String,
    /// What is wrong with it.
    pub why: String,
}

impl Store {
    /// Looks for data files that are missing or of another length: empty ones above all, as a crash
    /// leaves them where a writer doesn't sync. None is read. Queries that need one of them fail,
    /// and others don't.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Damaged`], [`StoreError::Changed`] from looking at the
    /// table.
    pub async fn check(&self) -> Result<Vec<Damage>, StoreError> {
        let table = maintain::fresh(&self.0).await?;
        let listed = self.0.storage.list(None).await?;
        let sizes: HashMap<&str, u64> =
            listed.iter().map(|file| (file.location.as_ref(), file.size)).collect();
        let mut damage = Vec::new();
        for file in live::files(&table)? {
            let why = match sizes.get(file.path.as_str()) {
                None => "it is missing".to_owned(),
                Some(&size) if i64::try_from(size) != Ok(file.size) => {
                    format!("it has {size} bytes of {}", file.size)
                }
                Some(_) => continue,
            };
            damage.push(Damage { path: file.path, why });
        }
        Ok(damage)
    }
}
