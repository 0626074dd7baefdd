//! The worker of one cache: waits for its turn, tries, and writes down what came of it.

use stratus_core::cache::{Clear, ClearError, Cleared, Outer, PendingClear, SessionStore, Target};
use stratus_core::environment::caches::CLEAR_WITHIN;
use stratus_core::environment::session_databases;
use stratus_core::fault::chain;
use stratus_core::store::StoreError;
use stratus_core::{Environment, Pool, PoolId};
use tokio::time::{sleep, timeout};

use crate::caches::Clearing;
use crate::caches::slot::{Slot, Try};

impl Clearing {
    /// Tries until nothing waits, or the server stops: what is not clear then is stored.
    pub(super) async fn attend(&self, slot: &Slot) {
        let shutdown = &self.inner.shutdown;
        while let Some(wait) = slot.due().await {
            if !wait.is_zero() {
                tokio::select! {
                    () = sleep(wait) => {}
                    () = slot.woken() => {}
                    () = shutdown.cancelled() => return,
                }
                continue;
            }
            let Some(next) = slot.begin().await else {
                continue;
            };
            let answer = tokio::select! {
                answer = self.attempt(&next.pending) => answer,
                () = shutdown.cancelled() => return,
            };
            self.settle(slot, &next, answer).await;
        }
    }

    async fn settle(&self, slot: &Slot, done: &Try, answer: Result<Cleared, ClearError>) {
        let store = self.inner.store.as_ref();
        let settled = match answer {
            Ok(answer) => self.succeed(slot, done, answer).await,
            Err(error) => Err(error),
        };
        let Err(error) = settled else { return };
        let pending = &done.pending;
        tracing::warn!(
            environment = %pending.environment, cache = %pending.target, tries = pending.tries + 1, %error,
            "not cleared; it is tried again"
        );
        slot.failed(done, &error, store).await;
    }

    async fn succeed(&self, slot: &Slot, done: &Try, answer: Cleared) -> Result<(), ClearError> {
        let pending = &done.pending;
        tracing::info!(environment = %pending.environment, cache = %pending.target, "cleared");
        // Asked for before this one is forgotten, so that a crash in between loses nothing.
        self.go_outwards(pending).await.map_err(|e| unstored(&e))?;
        let cleared = slot.cleared(done, answer, self.inner.store.as_ref());
        cleared.await.map_err(|e| unstored(&e))
    }

    /// The caches further out may have been filled from this one while it was not clear.
    async fn go_outwards(&self, done: &PendingClear) -> Result<(), StoreError> {
        let late = done.outer == Outer::IfLate && done.tries > 0;
        if !late && done.outer != Outer::Always {
            return Ok(());
        }
        let Some(environment) = self.environment(done).await? else {
            return Ok(());
        };
        let further = Target::after_a_switch(&environment.caches);
        let further = further
            .iter()
            .filter(|target| target.place() > done.target.place());
        let nearest = further.clone().map(Target::place).min();
        for target in further.filter(|target| Some(target.place()) == nearest) {
            let key = (done.environment.clone(), target.clone());
            self.ask(key, &done.scope, Outer::Always).await?;
        }
        Ok(())
    }

    async fn attempt(&self, pending: &PendingClear) -> Result<Cleared, ClearError> {
        let environment = self.environment(pending).await.map_err(|e| unstored(&e))?;
        let Some(environment) = environment else {
            return Ok(Cleared::default());
        };
        if !Target::all(&environment.caches).contains(&pending.target) {
            return Ok(Cleared::default());
        }
        let live = self.live(&environment).await.map_err(|e| unstored(&e))?;
        let sessions = match pending.target {
            Target::Redis(_) => self.sessions().await.map_err(|e| unstored(&e))?,
            _ => Vec::new(),
        };
        let clear = Clear {
            environment: &environment,
            live: live.as_ref(),
            target: &pending.target,
            scope: &pending.scope,
            reference: &pending.reference,
            sessions: &sessions,
        };
        let tried = timeout(CLEAR_WITHIN, self.inner.cleaner.clear(clear)).await;
        tried.unwrap_or_else(|_| {
            let detail = format!("{} did not answer within {CLEAR_WITHIN:?}", pending.target);
            Err(ClearError::Unavailable { detail })
        })
    }

    /// As it is configured now: what was wrong may have been mended.
    async fn environment(&self, pending: &PendingClear) -> Result<Option<Environment>, StoreError> {
        let environments = self.inner.store.environments().await?;
        Ok(environments
            .into_iter()
            .find(|environment| environment.name == pending.environment))
    }

    /// Where the sessions of every environment are: as it is configured, with the options that were set by command, and
    /// as its live pool was made.
    async fn sessions(&self) -> Result<Vec<SessionStore>, StoreError> {
        let mut stores = Vec::new();
        for environment in self.inner.store.environments().await? {
            let state = self.inner.store.state(&environment.name).await?;
            let live = self.live(&environment).await?;
            let environment = environment.with_php_options(&state.php_options);
            let mut found = session_databases(&environment.sessions, &environment.php.ini);
            if let Some(pool) = live {
                found.extend(session_databases(&pool.sessions, &pool.php.ini));
            }
            stores.extend(found.into_iter().map(|database| SessionStore {
                environment: environment.name.clone(),
                database,
            }));
        }
        Ok(stores)
    }

    async fn live(&self, environment: &Environment) -> Result<Option<Pool>, StoreError> {
        let store = &self.inner.store;
        let Some(live) = store.state(&environment.name).await?.live else {
            return Ok(None);
        };
        store
            .pool(&PoolId::new(&environment.name, live.generation))
            .await
    }
}

fn unstored(error: &StoreError) -> ClearError {
    ClearError::Unavailable {
        detail: chain(error),
    }
}
