//! The step that moves traffic member by member: the new one is ready before the old one drains.
//!
//! Both pools are walked by their first members: a pool of fewer members is the same pool, so that "the first two of
//! generation 43" needs no words of its own.

use stratus_core::Pool;
use stratus_core::route::{Links, Share};
use stratus_core::runtime::Restart;

use crate::engine::act::{ActError, Machine, Situation, host};

impl Machine {
    /// Replaces the members of the old pool by those of the new one, in their order, then moves what is left of traffic.
    /// What was moved before a restart is not moved again.
    pub(super) async fn roll(&self, situation: &Situation<'_>) -> Result<(), ActError> {
        let plan = situation.plan;
        let pool = self.target_pool(plan).await?;
        if let Some(origin) = plan.origin_pool() {
            self.open_tally(plan).await;
            let old = self.known_pool(&origin).await?;
            let found = self.router.links(&plan.environment.name).await?;
            let done = match found.share {
                Share::First { members, .. } if found.live == Some(pool.id.generation) => members,
                Share::All if found.live == Some(pool.id.generation) => pool.members,
                _ => 0,
            };
            for members in (done + 1)..=old.members.min(pool.members) {
                self.begin(situation, &first(&pool, members)).await?;
                self.replace(situation, &pool, &old, members).await?;
            }
        }
        self.begin(situation, &pool).await?;
        self.route(plan).await
    }

    /// Starts members and waits until they are ready and warm.
    async fn begin(&self, situation: &Situation<'_>, pool: &Pool) -> Result<(), ActError> {
        let environment = &situation.plan.environment;
        let host = host(situation.plan);
        self.runtime.start(pool).await?;
        // They are about to have traffic, long before they are promoted: an engine that restarts brings them back.
        self.runtime.set_restart(pool, Restart::Always).await?;
        let ready = async {
            self.runtime.ready(pool, host, &environment.ready).await?;
            for path in &environment.warm {
                self.runtime.warm(pool, host, path).await?;
            }
            Ok(())
        };
        tokio::select! {
            ready = ready => ready,
            () = situation.cancel.cancelled() => Err(ActError::Cancelled),
        }
    }

    /// Gives the first `members` of `pool` the traffic of as many of `old`, and waits until those hold no request. What is
    /// left at the limit goes on: the old pool is not stopped before all of it is drained.
    async fn replace(
        &self,
        situation: &Situation<'_>,
        pool: &Pool,
        old: &Pool,
        members: u16,
    ) -> Result<(), ActError> {
        let environment = &situation.plan.environment;
        let links = Links {
            live: Some(pool.id.generation),
            previous: Some(old.id.generation),
            share: Share::First {
                members,
                of: old.members,
            },
        };
        self.router.flip(&environment.name, links).await?;
        self.router
            .confirm(&environment.name, pool.id.generation, members)
            .await?;
        tracing::info!(pool = %pool.id, members, of = pool.members, "members have taken over");
        let old = first(old, members);
        let drain = self.runtime.drain(&old, environment.drain);
        tokio::select! {
            drained = drain => drained.map(drop).map_err(ActError::from),
            () = situation.cancel.cancelled() => Err(ActError::Cancelled),
        }
    }
}

/// The same pool with its first members only.
fn first(pool: &Pool, members: u16) -> Pool {
    Pool {
        members,
        ..pool.clone()
    }
}
