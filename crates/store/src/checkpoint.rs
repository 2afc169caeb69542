//! Checkpoints: what the log says up to a version, in one file, so that a table opens fast.

use deltalake::DeltaTable;

use crate::StoreError;
use crate::storage::Storage;

/// A commit whose number is divided by this is followed by a checkpoint.
pub(crate) const EVERY: u64 = 100;

/// Writes a checkpoint of a table as it is loaded. Two who write the same do no harm.
pub(crate) async fn write(storage: &Storage, table: &DeltaTable) -> Result<(), StoreError> {
    let version = table.version().unwrap_or_default();
    tracing::debug!(table = %storage.url, version, "a checkpoint is written");
    deltalake::checkpoints::create_checkpoint(table, None)
        .await
        .map_err(|error| StoreError::engine("write a checkpoint", error))
}
