//! One cache of one environment: what waits for it, what is being tried, and who wants to know.
//!
//! Memory changes only after the store has: what is told to be taken is on disk.

use std::time::Duration;

use stratus_core::EnvironmentName;
use stratus_core::Store;
use stratus_core::cache::{ClearError, Cleared, PendingClear, Target};
use stratus_core::store::StoreError;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::Instant;

use crate::caches::bucket::Bucket;
use crate::caches::{Key, Waiting, pace};

/// A cache and its queue of one.
pub(super) struct Slot {
    key: Key,
    state: Mutex<State>,
    progress: watch::Sender<Progress>,
    wake: Notify,
}

struct State {
    /// Asked for since the present try began.
    waiting: Option<PendingClear>,
    /// Being tried.
    doing: Option<PendingClear>,
    /// How many wishes there were.
    asked: u64,
    /// A new wish does not wait for it.
    retry_at: Option<Instant>,
    /// What the provider asked for: everybody waits.
    hold_until: Option<Instant>,
    bucket: Option<Bucket>,
    employed: bool,
}

/// How far the wishes are: tickets up to `tried` were tried, up to `cleared` fulfilled.
#[derive(Debug, Clone, Default)]
struct Progress {
    tried: u64,
    cleared: u64,
    answer: Cleared,
    error: String,
}

/// A try, and the last ticket that it is for.
pub(super) struct Try {
    pub pending: PendingClear,
    pub ticket: u64,
}

impl Slot {
    pub(super) fn new(key: Key) -> Self {
        let state = State {
            waiting: None,
            doing: None,
            asked: 0,
            retry_at: None,
            hold_until: None,
            bucket: Bucket::of(&key.1),
            employed: false,
        };
        Self {
            key,
            state: Mutex::new(state),
            progress: watch::Sender::default(),
            wake: Notify::new(),
        }
    }

    pub(super) fn environment(&self) -> &EnvironmentName {
        &self.key.0
    }

    pub(super) fn target(&self) -> &Target {
        &self.key.1
    }

    /// Takes over what an earlier process left.
    pub(super) async fn restore(&self, pending: PendingClear) {
        let mut state = self.state.lock().await;
        state.waiting = Some(match state.waiting.take() {
            Some(newer) => pending.merge(newer),
            None => pending,
        });
    }

    /// Joins a wish with what waits; answers its ticket.
    pub(super) async fn add(
        &self,
        wish: PendingClear,
        store: &dyn Store,
    ) -> Result<u64, StoreError> {
        let mut state = self.state.lock().await;
        let waiting = match state.waiting.clone() {
            Some(earlier) => earlier.merge(wish),
            None => wish,
        };
        let row = match state.doing.clone() {
            Some(doing) => doing.merge(waiting.clone()),
            None => waiting.clone(),
        };
        store.put_pending_clear(&row).await?;
        state.waiting = Some(waiting);
        state.asked += 1;
        state.retry_at = None;
        self.wake.notify_one();
        Ok(state.asked)
    }

    /// Whether somebody has to be employed for what waits; who is told so is.
    pub(super) async fn employ(&self) -> bool {
        let mut state = self.state.lock().await;
        let needed = !state.employed && state.waiting.is_some();
        state.employed |= needed;
        needed
    }

    /// How long until the next try; none: nothing waits, and the worker is dismissed.
    pub(super) async fn due(&self) -> Option<Duration> {
        let mut state = self.state.lock().await;
        if state.waiting.is_none() {
            state.employed = false;
            return None;
        }
        Some(state.wait(Instant::now()))
    }

    /// Waits for a new wish.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Begins a try of everything that waits.
    pub(super) async fn begin(&self) -> Option<Try> {
        let mut state = self.state.lock().await;
        let pending = state.waiting.take()?;
        if let Some(bucket) = &mut state.bucket {
            bucket.take(&pending.scope, Instant::now());
        }
        state.doing = Some(pending.clone());
        Some(Try {
            pending,
            ticket: state.asked,
        })
    }

    /// The try succeeded: what was asked for meanwhile is all that is left.
    ///
    /// # Errors
    /// When that cannot be stored. The cache is clear all the same; it is cleared once more.
    pub(super) async fn cleared(
        &self,
        done: &Try,
        answer: Cleared,
        store: &dyn Store,
    ) -> Result<(), StoreError> {
        let mut state = self.state.lock().await;
        match &state.waiting {
            Some(next) => store.put_pending_clear(next).await?,
            None => store.forget_pending_clear(&self.key.0, &self.key.1).await?,
        }
        state.doing = None;
        state.retry_at = None;
        state.hold_until = None;
        self.progress.send_modify(|progress| {
            progress.tried = done.ticket;
            progress.cleared = done.ticket;
            progress.answer = answer;
        });
        Ok(())
    }

    /// The try failed: everything waits for the next one.
    pub(super) async fn failed(&self, done: &Try, error: &ClearError, store: &dyn Store) {
        let mut state = self.state.lock().await;
        let failed = PendingClear {
            tries: done.pending.tries.saturating_add(1),
            error: error.to_string(),
            ..done.pending.clone()
        };
        let wait = pace::after(error, failed.tries);
        let row = if let Some(newer) = state.waiting.take() {
            // Somebody wants it now.
            failed.merge(newer)
        } else {
            state.retry_at = Some(Instant::now() + wait);
            failed
        };
        if matches!(error, ClearError::Throttled { .. }) {
            state.hold_until = Some(Instant::now() + wait);
        }
        if let Err(problem) = store.put_pending_clear(&row).await {
            // It waits in memory; what is stored clears no less.
            tracing::error!(cache = %row.target, error = %problem, "the reason of a failed clear is not stored");
        }
        state.waiting = Some(row);
        state.doing = None;
        self.progress.send_modify(|progress| {
            progress.tried = done.ticket;
            progress.error = error.to_string();
        });
    }

    /// How the first try that is for `ticket` ended.
    pub(super) async fn tried(&self, ticket: u64) -> Result<Cleared, String> {
        let mut progress = self.progress.subscribe();
        let tried = progress.wait_for(|progress| progress.tried >= ticket).await;
        let Ok(progress) = tried else {
            return Err("nobody clears any more".to_owned());
        };
        if progress.cleared >= ticket {
            Ok(progress.answer.clone())
        } else {
            Err(progress.error.clone())
        }
    }

    /// What is not clear yet.
    pub(super) async fn waiting(&self) -> Option<Waiting> {
        let state = self.state.lock().await;
        if let Some(doing) = &state.doing {
            return Some(Waiting {
                pending: doing.clone(),
                next: Duration::ZERO,
            });
        }
        let pending = state.waiting.clone()?;
        let next = state.wait(Instant::now());
        Some(Waiting { pending, next })
    }
}

impl State {
    fn wait(&self, now: Instant) -> Duration {
        let until = |at: Option<Instant>| at.map_or(Duration::ZERO, |at| at - now.min(at));
        let next = self.bucket.as_ref().zip(self.waiting.as_ref());
        let rate = next.map_or(Duration::ZERO, |(bucket, next)| {
            bucket.wait(&next.scope, now)
        });
        until(self.retry_at).max(until(self.hold_until)).max(rate)
    }
}
