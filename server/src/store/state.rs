//! Environments, the roles of their pools, what pools are made of, pins and the route table.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use stratus_core::route::RouteTable;
use stratus_core::store::{Pin, StoreError};
use stratus_core::{
    Environment, EnvironmentName, EnvironmentState, Generation, Pool, PoolId, ReleaseId,
};

use crate::store::database::failed;
use crate::store::operations::{from_json, to_json};

pub fn next_generation(
    transaction: &Transaction<'_>,
    environment: &EnvironmentName,
) -> Result<Generation, StoreError> {
    let number = transaction
        .query_row(
            "INSERT INTO states (environment, state, last_generation) VALUES (?1, ?2, 1)
             ON CONFLICT (environment) DO UPDATE SET last_generation = last_generation + 1
             RETURNING last_generation",
            params![environment.as_str(), to_json(&EnvironmentState::default())?],
            |row| row.get(0),
        )
        .map_err(failed)?;
    Ok(Generation(number))
}

pub fn state(
    connection: &Connection,
    environment: &EnvironmentName,
) -> Result<EnvironmentState, StoreError> {
    let text: Option<String> = connection
        .query_row(
            "SELECT state FROM states WHERE environment = ?1",
            [environment.as_str()],
            |r| r.get(0),
        )
        .optional()
        .map_err(failed)?;
    text.map_or_else(
        || Ok(EnvironmentState::default()),
        |t| from_json(&t, "the state"),
    )
}

pub fn put_state(
    transaction: &Transaction<'_>,
    environment: &EnvironmentName,
    state: &EnvironmentState,
) -> Result<(), StoreError> {
    transaction
        .execute(
            "INSERT INTO states (environment, state) VALUES (?1, ?2)
             ON CONFLICT (environment) DO UPDATE SET state = excluded.state",
            params![environment.as_str(), to_json(state)?],
        )
        .map_err(failed)?;
    Ok(())
}

pub fn pool(connection: &Connection, id: &PoolId) -> Result<Option<Pool>, StoreError> {
    let text: Option<String> = connection
        .query_row(
            "SELECT pool FROM pools WHERE environment = ?1 AND generation = ?2",
            params![id.environment.as_str(), id.generation.0],
            |row| row.get(0),
        )
        .optional()
        .map_err(failed)?;
    text.map(|text| from_json(&text, "a pool")).transpose()
}

pub fn pools(
    connection: &Connection,
    environment: &EnvironmentName,
) -> Result<Vec<Pool>, StoreError> {
    texts(
        connection,
        "SELECT pool FROM pools WHERE environment = ?1 ORDER BY generation",
        params![environment.as_str()],
    )?
    .iter()
    .map(|text| from_json(text, "a pool"))
    .collect()
}

pub fn put_pool(transaction: &Transaction<'_>, pool: &Pool) -> Result<(), StoreError> {
    transaction
        .execute(
            "INSERT INTO pools (environment, generation, pool) VALUES (?1, ?2, ?3)
             ON CONFLICT (environment, generation) DO UPDATE SET pool = excluded.pool",
            params![
                pool.id.environment.as_str(),
                pool.id.generation.0,
                to_json(pool)?
            ],
        )
        .map_err(failed)?;
    Ok(())
}

pub fn forget_pool(transaction: &Transaction<'_>, id: &PoolId) -> Result<(), StoreError> {
    transaction
        .execute(
            "DELETE FROM pools WHERE environment = ?1 AND generation = ?2",
            params![id.environment.as_str(), id.generation.0],
        )
        .map_err(failed)?;
    Ok(())
}

pub fn environments(connection: &Connection) -> Result<Vec<Environment>, StoreError> {
    texts(
        connection,
        "SELECT spec FROM environments ORDER BY position",
        params![],
    )?
    .iter()
    .map(|text| from_json(text, "an environment"))
    .collect()
}

pub fn put_environments(
    transaction: &Transaction<'_>,
    environments: &[Environment],
) -> Result<(), StoreError> {
    transaction
        .execute("DELETE FROM environments", [])
        .map_err(failed)?;
    for (position, environment) in (0_i64..).zip(environments) {
        transaction
            .execute(
                "INSERT INTO environments (name, position, spec) VALUES (?1, ?2, ?3)",
                params![environment.name.as_str(), position, to_json(environment)?],
            )
            .map_err(failed)?;
    }
    Ok(())
}

pub fn routes(connection: &Connection) -> Result<RouteTable, StoreError> {
    let stored = texts(connection, "SELECT route_table FROM routes", params![])?;
    stored.first().map_or_else(
        || Ok(RouteTable::default()),
        |text| from_json(text, "the route table"),
    )
}

pub fn put_routes(transaction: &Transaction<'_>, table: &RouteTable) -> Result<(), StoreError> {
    transaction
        .execute(
            "INSERT INTO routes (id, route_table) VALUES (1, ?1)
             ON CONFLICT (id) DO UPDATE SET route_table = excluded.route_table",
            [to_json(table)?],
        )
        .map_err(failed)?;
    Ok(())
}

pub fn pinned(
    connection: &Connection,
    environment: &EnvironmentName,
) -> Result<Vec<ReleaseId>, StoreError> {
    texts(
        connection,
        "SELECT release FROM pins WHERE environment = ?1 ORDER BY release",
        params![environment.as_str()],
    )?
    .into_iter()
    .map(|text| {
        text.parse().map_err(|_| StoreError::Unreadable {
            detail: format!("pin {text:?}"),
        })
    })
    .collect()
}

pub fn pin(
    transaction: &Transaction<'_>,
    environment: &EnvironmentName,
    release: &ReleaseId,
    pin: Pin,
) -> Result<(), StoreError> {
    let sql = match pin {
        Pin::Keep => "INSERT OR IGNORE INTO pins (environment, release) VALUES (?1, ?2)",
        Pin::Release => "DELETE FROM pins WHERE environment = ?1 AND release = ?2",
    };
    transaction
        .execute(sql, params![environment.as_str(), release.as_str()])
        .map_err(failed)?;
    Ok(())
}

fn texts(
    connection: &Connection,
    sql: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let rows = statement
        .query_map(values, |row| row.get(0))
        .map_err(failed)?;
    rows.map(|row| row.map_err(failed)).collect()
}
