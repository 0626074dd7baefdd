//! Counts what visitors saw during a change of route, from the record that nginx sends of every request.
//!
//! A record that got lost is never guessed: [`Traffic::close`] then answers `None`. Lost ones are found twice: by a gap
//! in a connection's own count of its requests, and by nginx's counter of all requests, which must have moved by as
//! much as records came in. nginx's side of that comparison is asked for on its private socket; the answer's own record
//! (a *mark*) tells how far the stream of records had come by then.

mod ledger;
mod listen;
mod record;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use stratus_core::environment::User;
use stratus_core::traffic::{Tally, Traffic};
use stratus_core::{EnvironmentName, Generation, OperationId};

use self::ledger::Ledger;
use self::listen::Listener;
use super::control::Control;
use super::disk::Disk;
use crate::layout::Layout;

/// Equal results that make a balance.
const AGREEING: u32 = 5;
/// Samples before it is given up.
const SAMPLES: u32 = 40;
/// Balances that are drawn at the end before a difference counts.
const TRIES: u32 = 3;
/// How long a mark may take from nginx to us.
const MARK_LIMIT: Duration = Duration::from_millis(300);

/// The receiver of nginx's access records.
pub struct AccessRecords {
    books: Arc<Books>,
    control: Control,
    _listener: Listener,
}

/// The ledger, and word of every mark in it.
#[derive(Default)]
struct Books {
    ledger: Mutex<Ledger>,
    marked: Condvar,
}

impl Books {
    fn open(&self) -> MutexGuard<'_, Ledger> {
        // A panic while counting leaves the counts as they are: at worst a difference shows.
        self.ledger
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn take(&self, datagram: &[u8]) {
        self.open().take(datagram);
        self.marked.notify_all();
    }

    /// How many records had come in before the mark; `None` when it does not come.
    fn wait_for(&self, mark: &str) -> Option<u64> {
        let until = Instant::now() + MARK_LIMIT;
        let mut ledger = self.open();
        loop {
            if let Some(before) = ledger.marks.remove(mark) {
                return Some(before);
            }
            let left = until.checked_duration_since(Instant::now())?;
            let woken = self.marked.wait_timeout(ledger, left);
            ledger = woken.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }
}

impl AccessRecords {
    /// Listens for the records of the nginx of `layout`, whose `user` may send them, on a thread of its own.
    ///
    /// # Errors
    /// When the folder or the socket cannot be made.
    pub fn listen(layout: &Layout, user: User) -> io::Result<Self> {
        Disk::new(layout.clone(), user)
            .folders()
            .map_err(io::Error::other)?;
        let books = Arc::<Books>::default();
        let receiver = books.clone();
        let listener = Listener::start(&layout.access_socket(), move |datagram| {
            receiver.take(datagram);
        })?;
        Ok(Self {
            books,
            control: Control::new(layout.control_socket()),
            _listener: listener,
        })
    }

    /// nginx's finished requests less the records of them: what matters is that it stays the same.
    ///
    /// Two workers count and send at their own pace, so that one sample may be off by a few; the usual one is not.
    fn balance(&self) -> Option<i64> {
        let mut seen = HashMap::new();
        for _ in 0..SAMPLES {
            let sample = self.sample()?;
            let count = seen.entry(sample).or_insert(0);
            *count += 1;
            if *count == AGREEING {
                return Some(sample);
            }
        }
        None
    }

    fn sample(&self) -> Option<i64> {
        let mark = self.books.open().next_mark();
        let answer = self
            .control
            .get_now(&format!("/.stratus/status?mark={mark}"))
            .ok()?;
        let counters = answer.counters()?;
        let received = i64::try_from(self.books.wait_for(&mark)?).ok()?;
        Some(counters.requests - counters.reading - counters.writing - received)
    }
}

/// To open and to close ask nginx a few questions and block for some milliseconds; two seconds where nginx hangs.
impl Traffic for AccessRecords {
    fn open(&self, operation: &OperationId, environment: &EnvironmentName) {
        if self.books.open().has(operation) {
            return;
        }
        let balance = self.balance();
        self.books.open().begin(operation, environment, balance);
    }

    fn let_go(&self, operation: &OperationId) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.books.open().let_go(operation, now);
    }

    fn close(&self, operation: &OperationId, old: Generation, new: Generation) -> Option<Tally> {
        let began_with = self.books.open().balance_of(operation);
        let complete =
            began_with.is_some_and(|before| (0..TRIES).any(|_| self.balance() == Some(before)));
        let tally = self.books.open().end(operation, old, new)?;
        if !complete {
            tracing::warn!(%operation, "access records of this switch were lost: it is not counted");
        }
        complete.then_some(tally)
    }
}
