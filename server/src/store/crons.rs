//! Slots of crons, how far their times were looked at, and who holds them back.

use async_trait::async_trait;
use rusqlite::{Connection, Transaction, params};
use stratus_core::EnvironmentName;
use stratus_core::crons::{
    Began, CronRun, CronStore, Cursor, Lease, Owner, RUNS_KEPT, RunState, Slot, Turn, holding,
};
use stratus_core::store::StoreError;

use crate::store::SqliteStore;
use crate::store::database::failed;
use crate::store::operations::{from_json, signed, to_json};

#[async_trait]
impl CronStore for SqliteStore {
    async fn cron_cursor(
        &self,
        environment: &EnvironmentName,
        cron: &str,
    ) -> Result<Option<Cursor>, StoreError> {
        let (environment, cron) = (environment.clone(), cron.to_owned());
        self.database
            .read(move |c| cursor(c, &environment, &cron))
            .await
    }

    async fn pass_slots(
        &self,
        environment: &EnvironmentName,
        cron: &str,
        cursor: &Cursor,
        runs: &[CronRun],
    ) -> Result<(), StoreError> {
        let (environment, cron) = (environment.clone(), cron.to_owned());
        let (cursor, runs) = (cursor.clone(), runs.to_vec());
        self.database
            .write(move |t| pass(t, &environment, &cron, &cursor, &runs))
            .await
    }

    async fn keep_cursors(&self, known: &[(EnvironmentName, String)]) -> Result<(), StoreError> {
        let known = known.to_vec();
        self.database.write(move |t| keep_cursors(t, &known)).await
    }

    async fn ask_run(&self, run: &CronRun) -> Result<(), StoreError> {
        let run = run.clone();
        self.database
            .write(move |t| insert(t, &run, "DO NOTHING"))
            .await
    }

    async fn begin_run(&self, slot: &Slot, began: &Began) -> Result<Turn, StoreError> {
        let (slot, began) = (slot.clone(), began.clone());
        self.database.write(move |t| begin(t, &slot, &began)).await
    }

    async fn end_run(&self, run: &CronRun) -> Result<(), StoreError> {
        let run = run.clone();
        let replace = "DO UPDATE SET state = excluded.state, run = excluded.run";
        self.database
            .write(move |t| {
                insert(t, &run, replace)?;
                forget_old(t, &run.slot.environment, &run.slot.cron)
            })
            .await
    }

    async fn cron_run(&self, slot: &Slot) -> Result<Option<CronRun>, StoreError> {
        let slot = slot.clone();
        self.database.read(move |c| run(c, &slot)).await
    }

    async fn cron_runs(
        &self,
        environment: &EnvironmentName,
        cron: Option<&str>,
        limit: u32,
    ) -> Result<Vec<CronRun>, StoreError> {
        let (environment, cron) = (environment.clone(), cron.map(str::to_owned));
        // A row keeps its id, whatever becomes of its run: that is the order in which they were recorded.
        let sql = "SELECT run FROM cron_runs WHERE environment = ?1 AND (?2 IS NULL OR cron = ?2)
                   ORDER BY rowid DESC LIMIT ?3";
        self.database
            .read(move |c| {
                let wanted = params![environment.as_str(), cron, limit];
                stored(c, sql, wanted, "a run of a cron")
            })
            .await
    }

    async fn open_runs(&self) -> Result<Vec<CronRun>, StoreError> {
        let sql = "SELECT run FROM cron_runs WHERE state IN ('waiting', 'running') ORDER BY at_ms, environment, cron";
        self.database
            .read(move |c| stored(c, sql, params![], "a run of a cron"))
            .await
    }

    async fn leases(&self, environment: &EnvironmentName) -> Result<Vec<Lease>, StoreError> {
        let environment = environment.clone();
        self.database.read(move |c| leases(c, &environment)).await
    }

    async fn put_lease(
        &self,
        environment: &EnvironmentName,
        lease: &Lease,
    ) -> Result<(), StoreError> {
        let (environment, lease) = (environment.clone(), lease.clone());
        self.database
            .write(move |t| put_lease(t, &environment, &lease))
            .await
    }

    async fn drop_lease(
        &self,
        environment: &EnvironmentName,
        owner: &Owner,
    ) -> Result<(), StoreError> {
        let (environment, owner) = (environment.clone(), owner.to_string());
        let sql = "DELETE FROM cron_leases WHERE environment = ?1 AND owner = ?2";
        self.database
            .write(move |t| {
                t.execute(sql, params![environment.as_str(), owner])
                    .map_err(failed)?;
                Ok(())
            })
            .await
    }
}

fn cursor(
    connection: &Connection,
    environment: &EnvironmentName,
    cron: &str,
) -> Result<Option<Cursor>, StoreError> {
    let sql = "SELECT cursor FROM cron_cursors WHERE environment = ?1 AND cron = ?2";
    let found = stored(
        connection,
        sql,
        params![environment.as_str(), cron],
        "a cron's cursor",
    )?;
    Ok(found.into_iter().next())
}

fn keep_cursors(
    transaction: &Transaction<'_>,
    known: &[(EnvironmentName, String)],
) -> Result<(), StoreError> {
    let mut statement = transaction
        .prepare_cached("SELECT environment, cron FROM cron_cursors")
        .map_err(failed)?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(failed)?;
    let rows: Result<Vec<(String, String)>, _> = rows.collect();
    let is_known = |environment: &str, cron: &str| {
        known
            .iter()
            .any(|(e, c)| (e.as_str(), c.as_str()) == (environment, cron))
    };
    for (environment, cron) in rows.map_err(failed)? {
        if !is_known(&environment, &cron) {
            let sql = "DELETE FROM cron_cursors WHERE environment = ?1 AND cron = ?2";
            transaction
                .execute(sql, params![environment, cron])
                .map_err(failed)?;
        }
    }
    Ok(())
}

fn pass(
    transaction: &Transaction<'_>,
    environment: &EnvironmentName,
    cron: &str,
    cursor: &Cursor,
    runs: &[CronRun],
) -> Result<(), StoreError> {
    transaction
        .execute(
            "INSERT INTO cron_cursors (environment, cron, cursor) VALUES (?1, ?2, ?3)
             ON CONFLICT (environment, cron) DO UPDATE SET cursor = excluded.cursor",
            params![environment.as_str(), cron, to_json(cursor)?],
        )
        .map_err(failed)?;
    let grow = "DO UPDATE SET state = excluded.state, run = excluded.run WHERE cron_runs.state = 'skipped'";
    for run in runs {
        insert(transaction, run, grow)?;
    }
    forget_old(transaction, environment, cron)
}

/// Stores a run; `conflict` says what is done where the slot is there.
fn insert(
    transaction: &Transaction<'_>,
    run: &CronRun,
    conflict: &'static str,
) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO cron_runs (environment, cron, at_ms, state, run) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (environment, cron, at_ms) {conflict}"
    );
    let values = params![
        run.slot.environment.as_str(),
        run.slot.cron,
        signed(run.slot.at_ms),
        run.state.name(),
        to_json(run)?
    ];
    transaction.execute(&sql, values).map_err(failed)?;
    Ok(())
}

fn forget_old(
    transaction: &Transaction<'_>,
    environment: &EnvironmentName,
    cron: &str,
) -> Result<(), StoreError> {
    transaction
        .execute(
            "DELETE FROM cron_runs WHERE environment = ?1 AND cron = ?2 AND state IN ('skipped', 'over') AND rowid NOT IN (
                 SELECT rowid FROM cron_runs WHERE environment = ?1 AND cron = ?2 ORDER BY rowid DESC LIMIT ?3
             )",
            params![environment.as_str(), cron, RUNS_KEPT],
        )
        .map_err(failed)?;
    Ok(())
}

fn begin(transaction: &Transaction<'_>, slot: &Slot, began: &Began) -> Result<Turn, StoreError> {
    let taken: bool = transaction
        .query_row(
            "SELECT EXISTS (SELECT 1 FROM cron_runs WHERE environment = ?1 AND state = 'running')",
            [slot.environment.as_str()],
            |row| row.get(0),
        )
        .map_err(failed)?;
    if taken {
        return Ok(Turn::Taken);
    }
    if let Some(lease) = holding(leases(transaction, &slot.environment)?, began.at_ms) {
        return Ok(Turn::Held(lease));
    }
    match run(transaction, slot)? {
        Some(mut run) if run.state == RunState::Waiting => {
            run.state = RunState::Running(began.clone());
            let replace = "DO UPDATE SET state = excluded.state, run = excluded.run";
            insert(transaction, &run, replace)?;
            Ok(Turn::Begun)
        }
        _ => Ok(Turn::Gone),
    }
}

fn run(connection: &Connection, slot: &Slot) -> Result<Option<CronRun>, StoreError> {
    let sql = "SELECT run FROM cron_runs WHERE environment = ?1 AND cron = ?2 AND at_ms = ?3";
    let key = params![slot.environment.as_str(), slot.cron, signed(slot.at_ms)];
    let found = stored(connection, sql, key, "a run of a cron")?;
    Ok(found.into_iter().next())
}

fn leases(
    connection: &Connection,
    environment: &EnvironmentName,
) -> Result<Vec<Lease>, StoreError> {
    let sql = "SELECT lease FROM cron_leases WHERE environment = ?1 ORDER BY owner";
    stored(connection, sql, params![environment.as_str()], "a lease")
}

fn put_lease(
    transaction: &Transaction<'_>,
    environment: &EnvironmentName,
    lease: &Lease,
) -> Result<(), StoreError> {
    let known = leases(transaction, environment)?;
    let of_owner = known.into_iter().filter(|known| known.owner == lease.owner);
    let known = holding(of_owner.collect(), lease.since_ms);
    let mut lease = lease.clone();
    lease.until_ms = lease.until_ms.max(known.map_or(0, |known| known.until_ms));
    let owner = lease.owner.to_string();
    transaction
        .execute(
            "INSERT INTO cron_leases (environment, owner, lease) VALUES (?1, ?2, ?3)
             ON CONFLICT (environment, owner) DO UPDATE SET lease = excluded.lease",
            params![environment.as_str(), owner, to_json(&lease)?],
        )
        .map_err(failed)?;
    Ok(())
}

/// What a query finds, read from its only column.
fn stored<T: serde::de::DeserializeOwned>(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
    what: &str,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let rows = statement
        .query_map(values, |row| row.get::<_, String>(0))
        .map_err(failed)?;
    rows.map(|row| from_json(&row.map_err(failed)?, what))
        .collect()
}
