//! What waits to be cleared.

use rusqlite::{Connection, Transaction, params};
use stratus_core::EnvironmentName;
use stratus_core::cache::{PendingClear, Target};
use stratus_core::store::StoreError;

use crate::store::database::failed;
use crate::store::operations::{from_json, to_json};

pub fn pending(connection: &Connection) -> Result<Vec<PendingClear>, StoreError> {
    let sql = "SELECT pending FROM pending_clears ORDER BY environment, target";
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let rows = statement
        .query_map([], |row| row.get::<_, String>(0))
        .map_err(failed)?;
    rows.map(|row| from_json(&row.map_err(failed)?, "a cache that waits to be cleared"))
        .collect()
}

pub fn put(transaction: &Transaction<'_>, pending: &PendingClear) -> Result<(), StoreError> {
    transaction
        .execute(
            "INSERT INTO pending_clears (environment, target, pending) VALUES (?1, ?2, ?3)
             ON CONFLICT (environment, target) DO UPDATE SET pending = excluded.pending",
            params![
                pending.environment.as_str(),
                pending.target.to_string(),
                to_json(pending)?
            ],
        )
        .map_err(failed)?;
    Ok(())
}

pub fn forget(
    transaction: &Transaction<'_>,
    environment: &EnvironmentName,
    target: &Target,
) -> Result<(), StoreError> {
    transaction
        .execute(
            "DELETE FROM pending_clears WHERE environment = ?1 AND target = ?2",
            params![environment.as_str(), target.to_string()],
        )
        .map_err(failed)?;
    Ok(())
}
