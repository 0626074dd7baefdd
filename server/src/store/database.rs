//! The connection: a thread of its own that owns it, jobs that run one after the other, errors in the domain's words.

use std::path::Path;
use std::sync::mpsc;
use std::thread;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use stratus_core::store::StoreError;
use tokio::sync::oneshot;

use crate::store::reserve::Reserve;
use crate::store::schema;

/// Jobs that may wait for the thread.
const QUEUE: usize = 64;

type Job = Box<dyn FnOnce(&mut Connection, &Reserve) + Send>;

/// Runs jobs on the connection, one after the other.
pub struct Database {
    /// Taken when it is dropped: the thread ends when nobody can send.
    jobs: Option<mpsc::SyncSender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Database {
    /// Opens or makes the database and its reserve.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let reserve = Reserve::beside(path);
        let connection = schema::open(path)?;
        reserve.take();
        let (jobs, queue) = mpsc::sync_channel::<Job>(QUEUE);
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                let mut connection = connection;
                for job in queue {
                    job(&mut connection, &reserve);
                }
            })
            .map_err(|error| StoreError::Failed {
                detail: format!("no thread: {error}"),
            })?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Runs `job` in a transaction that is on disk when this returns. A full disk costs the reserve and one more try.
    pub async fn write<T: Send + 'static>(
        &self,
        job: impl Fn(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(move |connection, reserve| {
            let first = transact(connection, &job);
            if !matches!(first, Err(StoreError::Full)) {
                if first.is_ok() {
                    reserve.take();
                }
                return first;
            }
            if !reserve.give_up() {
                return first;
            }
            tracing::error!("the state folder's disk is full; the reserve is given up");
            transact(connection, &job)
        })
        .await
    }

    /// Runs `job` on what is committed.
    pub async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(move |connection, _| job(connection)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection, &Reserve) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection, reserve| {
            // A caller that went away does not want the answer; the job ran all the same.
            let _ = answer.send(job(connection, reserve));
        });
        let stopped = |_| StoreError::Failed {
            detail: "its thread has stopped".to_owned(),
        };
        let jobs = self.jobs.clone();
        let jobs = jobs.expect("taken only when the database is dropped");
        match jobs.try_send(job) {
            Ok(()) => {}
            Err(mpsc::TrySendError::Full(job)) => {
                let sent = tokio::task::spawn_blocking(move || jobs.send(job).is_ok()).await;
                if !sent.unwrap_or(false) {
                    return Err(StoreError::Failed {
                        detail: "its thread has stopped".to_owned(),
                    });
                }
            }
            Err(mpsc::TrySendError::Disconnected(_)) => {
                return Err(StoreError::Failed {
                    detail: "its thread has stopped".to_owned(),
                });
            }
        }
        answered.await.map_err(stopped)?
    }
}

impl Drop for Database {
    /// Waits until what was asked is done and the connection is closed: its log is then part of the database.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

fn transact<T>(
    connection: &mut Connection,
    job: &impl Fn(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    let result = job(&transaction)?;
    transaction.commit().map_err(failed)?;
    Ok(result)
}

/// A database error in the domain's words.
#[expect(clippy::needless_pass_by_value, reason = "the shape map_err asks for")]
pub fn failed(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Unreadable {
            detail: format!("the state database is damaged: {error}"),
        },
        _ => StoreError::Failed {
            detail: error.to_string(),
        },
    }
}
