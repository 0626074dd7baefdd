//! The tables, their version, and how a database is opened.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use stratus_core::store::StoreError;

use crate::store::database::failed;

/// The version that this code reads and writes, in `PRAGMA user_version`.
const VERSION: i64 = 3;
/// `PRAGMA application_id`, "STRA": tells our file from any other database.
const APPLICATION: i64 = 0x5354_5241;

const TABLES: &str = "
CREATE TABLE environments (
    name TEXT PRIMARY KEY, position INTEGER NOT NULL, spec TEXT NOT NULL
) STRICT;
CREATE TABLE states (
    environment TEXT PRIMARY KEY, state TEXT NOT NULL DEFAULT '{}', last_generation INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE pools (
    environment TEXT NOT NULL, generation INTEGER NOT NULL, pool TEXT NOT NULL,
    PRIMARY KEY (environment, generation)
) STRICT;
CREATE TABLE pins (
    environment TEXT NOT NULL, release TEXT NOT NULL, PRIMARY KEY (environment, release)
) STRICT;
CREATE TABLE routes (id INTEGER PRIMARY KEY CHECK (id = 1), route_table TEXT NOT NULL) STRICT;
CREATE TABLE operations (
    id TEXT PRIMARY KEY, request TEXT NOT NULL UNIQUE, environment TEXT NOT NULL, actor TEXT NOT NULL,
    created_ms INTEGER NOT NULL, finished_ms INTEGER, outcome TEXT, plan TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_unfinished_operation ON operations (environment) WHERE finished_ms IS NULL;
CREATE INDEX operations_by_age ON operations (created_ms);
CREATE TABLE events (
    operation TEXT NOT NULL REFERENCES operations (id), number INTEGER NOT NULL,
    at_ms INTEGER NOT NULL, event TEXT NOT NULL,
    PRIMARY KEY (operation, number)
) STRICT, WITHOUT ROWID;
";

/// What leads from each version to the next; a new database takes all of it.
const UPGRADES: [&str; 2] = [
    "
CREATE TABLE pending_clears (
    environment TEXT NOT NULL, target TEXT NOT NULL, pending TEXT NOT NULL, PRIMARY KEY (environment, target)
) STRICT;
",
    "
CREATE TABLE cron_cursors (
    environment TEXT NOT NULL, cron TEXT NOT NULL, cursor TEXT NOT NULL, PRIMARY KEY (environment, cron)
) STRICT;
CREATE TABLE cron_runs (
    environment TEXT NOT NULL, cron TEXT NOT NULL, at_ms INTEGER NOT NULL, state TEXT NOT NULL, run TEXT NOT NULL,
    PRIMARY KEY (environment, cron, at_ms)
) STRICT;
CREATE UNIQUE INDEX one_running_cron ON cron_runs (environment) WHERE state = 'running';
CREATE INDEX cron_runs_by_age ON cron_runs (environment, at_ms);
CREATE TABLE cron_leases (
    environment TEXT NOT NULL, owner TEXT NOT NULL, lease TEXT NOT NULL, PRIMARY KEY (environment, owner)
) STRICT;
",
];

/// Plans and pools hold the secrets of `php.env`. SQLite gives its own log the mode of the database.
const OWNER_ONLY: u32 = 0o600;

/// Opens the database, making it where there is none. Nobody but its owner can read it.
pub fn open(path: &Path) -> Result<Connection, StoreError> {
    let is_new = !path.exists();
    if !is_new && fs::metadata(path).is_ok_and(|m| m.len() == 0) {
        return Err(unreadable(path, "it is empty"));
    }
    restrict(path).map_err(|error| StoreError::Failed {
        detail: format!("{} cannot be kept from others: {error}", path.display()),
    })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    let version = check(&connection, path, is_new)?;
    for (pragma, value) in [
        ("journal_mode", "WAL"),
        ("synchronous", "FULL"),
        ("foreign_keys", "ON"),
    ] {
        connection
            .pragma_update_and_check(None, pragma, value, |_| Ok(()))
            .or_else(|error| match error {
                rusqlite::Error::QueryReturnedNoRows => Ok(()),
                other => Err(other),
            })
            .map_err(failed)?;
    }
    upgrade(&connection, version)?;
    Ok(connection)
}

/// Brings the tables from `version`, 0 for none, to the present one, whole or not at all.
fn upgrade(connection: &Connection, version: i64) -> Result<(), StoreError> {
    if version == VERSION {
        return Ok(());
    }
    let first = if version == 0 { TABLES } else { "" };
    let done = usize::try_from(version - 1).unwrap_or_default();
    let rest = UPGRADES.get(done..).unwrap_or_default().concat();
    let script = format!(
        "BEGIN IMMEDIATE;{first}{rest}PRAGMA application_id = {APPLICATION};PRAGMA user_version = {VERSION};COMMIT;"
    );
    connection.execute_batch(&script).map_err(failed)
}

/// Makes the file for its owner alone, or takes away what others may do with one that is there.
fn restrict(path: &Path) -> io::Result<()> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(OWNER_ONLY)
        .open(path)?;
    for end in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(end);
        match fs::set_permissions(&file, Permissions::from_mode(OWNER_ONLY)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done?,
        }
    }
    Ok(())
}

/// Refuses a database that is not ours, newer than this code, or damaged. Returns its version.
fn check(connection: &Connection, path: &Path, is_new: bool) -> Result<i64, StoreError> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let version = number("user_version").map_err(|_| unreadable(path, "it is no database"))?;
    if is_new {
        return Ok(0);
    }
    let application = number("application_id").map_err(failed)?;
    if version > VERSION && application == APPLICATION {
        let detail = format!(
            "{} was written by a newer version (format {version}, this one knows {VERSION}); upgrade stratusd",
            path.display()
        );
        return Err(StoreError::Unreadable { detail });
    }
    if application != APPLICATION || version < 1 {
        return Err(unreadable(path, "it is not a Stratus database"));
    }
    let verdict: String = connection
        .pragma_query_value(None, "quick_check", |row| row.get(0))
        .map_err(|error| unreadable(path, &error.to_string()))?;
    if verdict == "ok" {
        Ok(version)
    } else {
        Err(unreadable(path, &verdict))
    }
}

fn unreadable(path: &Path, why: &str) -> StoreError {
    let path = path.display();
    let detail = format!(
        "{path} is damaged ({why}); restore it from a backup, or move it away to begin anew: running pools are then not known"
    );
    StoreError::Unreadable { detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_the_first_version_is_brought_to_this_one_and_keeps_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let first = Connection::open(&path).unwrap();
        let script = format!(
            "{TABLES}PRAGMA application_id = {APPLICATION};PRAGMA user_version = 1;INSERT INTO pins VALUES ('shop', 'a');"
        );
        first.execute_batch(&script).unwrap();
        drop(first);
        for _ in 0..2 {
            let opened = open(&path).unwrap();
            let count = |table: &str| {
                let sql = format!("SELECT COUNT(*) FROM {table}");
                opened
                    .query_row(&sql, [], |row| row.get::<_, i64>(0))
                    .unwrap()
            };
            assert_eq!((count("pins"), count("pending_clears")), (1, 0));
        }
    }
}
