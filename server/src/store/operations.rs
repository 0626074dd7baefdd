//! Operations and their events.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::de::DeserializeOwned;
use stratus_core::operation::{Entry, Event, Outcome};
use stratus_core::store::{Begun, Operation, StoreError};
use stratus_core::{EnvironmentName, OperationId};

use crate::store::database::failed;

const COLUMNS: &str = "id, request, actor, created_ms, finished_ms, outcome, plan";

pub fn begin(transaction: &Transaction<'_>, operation: &Operation) -> Result<Begun, StoreError> {
    let known: Option<String> = transaction
        .query_row(
            "SELECT id FROM operations WHERE request = ?1",
            [&operation.request],
            |r| r.get(0),
        )
        .optional()
        .map_err(failed)?;
    if let Some(id) = known {
        return Ok(Begun::Known(parse_id(&id)?));
    }
    let environment = operation.plan.environment.name.as_str();
    let holder: Option<String> = transaction
        .query_row(
            "SELECT id FROM operations WHERE environment = ?1 AND finished_ms IS NULL",
            [environment],
            |row| row.get(0),
        )
        .optional()
        .map_err(failed)?;
    if let Some(holder) = holder {
        return Err(StoreError::Busy {
            holder: parse_id(&holder)?,
        });
    }
    transaction
        .execute(
            "INSERT INTO operations (id, request, environment, actor, created_ms, plan) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                operation.id.as_str(),
                operation.request,
                environment,
                operation.actor,
                signed(operation.created_ms),
                to_json(&operation.plan)?,
            ],
        )
        .map_err(failed)?;
    Ok(Begun::New)
}

pub fn append(
    transaction: &Transaction<'_>,
    operation: &OperationId,
    at_ms: u64,
    event: &Event,
) -> Result<u64, StoreError> {
    let number: i64 = transaction
        .query_row(
            "INSERT INTO events (operation, number, at_ms, event)
             SELECT ?1, COALESCE(MAX(number), 0) + 1, ?2, ?3 FROM events WHERE operation = ?1 RETURNING number",
            params![operation.as_str(), signed(at_ms), to_json(event)?],
            |row| row.get(0),
        )
        .map_err(failed)?;
    if matches!(event, Event::Resumed | Event::Resolved { .. }) {
        transaction
            .execute(
                "UPDATE operations SET outcome = NULL WHERE id = ?1",
                [operation.as_str()],
            )
            .map_err(failed)?;
    }
    Ok(number.unsigned_abs())
}

pub fn finish(
    transaction: &Transaction<'_>,
    operation: &OperationId,
    at_ms: u64,
    outcome: Outcome,
) -> Result<u64, StoreError> {
    let number = append(transaction, operation, at_ms, &Event::Finished { outcome })?;
    let finished = match outcome {
        Outcome::Stuck { .. } => None,
        Outcome::Completed | Outcome::Undone => Some(signed(at_ms)),
    };
    transaction
        .execute(
            "UPDATE operations SET outcome = ?2, finished_ms = ?3 WHERE id = ?1",
            params![operation.as_str(), to_json(&outcome)?, finished],
        )
        .map_err(failed)?;
    Ok(number)
}

pub fn journal(
    connection: &Connection,
    operation: &OperationId,
    after: u64,
) -> Result<Vec<Entry>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT number, at_ms, event FROM events WHERE operation = ?1 AND number > ?2 ORDER BY number",
        )
        .map_err(failed)?;
    let rows = statement
        .query_map(params![operation.as_str(), signed(after)], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, String>(2)?,
            ))
        })
        .map_err(failed)?;
    rows.map(|row| {
        let (number, at_ms, event) = row.map_err(failed)?;
        let event = from_json(&event, "an event")?;
        Ok(Entry {
            number: number.unsigned_abs(),
            at_ms: at_ms.unsigned_abs(),
            event,
        })
    })
    .collect()
}

pub fn find(connection: &Connection, id: &OperationId) -> Result<Option<Operation>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM operations WHERE id = ?1");
    let row = connection
        .query_row(&sql, [id.as_str()], columns)
        .optional()
        .map_err(failed)?;
    row.map(operation).transpose()
}

pub fn requested(connection: &Connection, request: &str) -> Result<Option<Operation>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM operations WHERE request = ?1");
    let row = connection
        .query_row(&sql, [request], columns)
        .optional()
        .map_err(failed)?;
    row.map(operation).transpose()
}

pub fn list(
    connection: &Connection,
    environment: Option<&EnvironmentName>,
    limit: u32,
) -> Result<Vec<Operation>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM operations WHERE ?1 IS NULL OR environment = ?1 ORDER BY created_ms DESC, id DESC LIMIT ?2"
    );
    many(
        connection,
        &sql,
        params![environment.map(EnvironmentName::as_str), limit],
    )
}

pub fn unfinished(connection: &Connection) -> Result<Vec<Operation>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM operations WHERE finished_ms IS NULL ORDER BY id");
    many(connection, &sql, params![])
}

fn many(
    connection: &Connection,
    sql: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<Vec<Operation>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let rows = statement.query_map(values, columns).map_err(failed)?;
    rows.map(|row| operation(row.map_err(failed)?)).collect()
}

struct Columns {
    id: String,
    request: String,
    actor: String,
    created_ms: i64,
    finished_ms: Option<i64>,
    outcome: Option<String>,
    plan: String,
}

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok(Columns {
        id: row.get(0)?,
        request: row.get(1)?,
        actor: row.get(2)?,
        created_ms: row.get(3)?,
        finished_ms: row.get(4)?,
        outcome: row.get(5)?,
        plan: row.get(6)?,
    })
}

fn operation(columns: Columns) -> Result<Operation, StoreError> {
    let what = format!("operation {}", columns.id);
    Ok(Operation {
        id: parse_id(&columns.id)?,
        request: columns.request,
        actor: columns.actor,
        created_ms: columns.created_ms.unsigned_abs(),
        finished_ms: columns.finished_ms.map(i64::unsigned_abs),
        outcome: columns
            .outcome
            .map(|text| from_json(&text, &what))
            .transpose()?,
        plan: from_json(&columns.plan, &what)?,
    })
}

fn parse_id(text: &str) -> Result<OperationId, StoreError> {
    text.parse().map_err(|_| StoreError::Unreadable {
        detail: format!("operation id {text:?}"),
    })
}

/// A value as it is stored.
pub fn to_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Failed {
        detail: error.to_string(),
    })
}

/// A stored value; what is not understood is an error, never a default.
pub fn from_json<T: DeserializeOwned>(text: &str, what: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Unreadable {
        detail: format!("{what} in the state database is not understood: {error}"),
    })
}

/// SQLite's integers are signed; times and counts stay far below the limit.
pub fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
