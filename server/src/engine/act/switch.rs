//! The steps of `switch` and `rollback`: move traffic, write it down, drain the old pool.

use std::time::Duration;

use stratus_core::operation::{Kind, Output, Plan, Step};
use stratus_core::route::{Links, Move, Share, Site, moves};
use stratus_core::router::RouterError;
use stratus_core::runtime::{Drained, Restart};
use stratus_core::traffic::Tally;
use stratus_core::{Generation, Pool};

use crate::engine::act::{ActError, Machine, Situation, host};
use crate::engine::route::site;

/// How long requests that outlived the drain limit have for SIGQUIT before SIGKILL.
const CUT_GRACE: Duration = Duration::from_secs(1);

/// A change of route: where to, and how many members were and will be in the upstream.
struct Change {
    links: Links,
    site: Site,
    from: u16,
    to: u16,
}

impl Machine {
    pub(super) async fn route(&self, plan: &Plan) -> Result<(), ActError> {
        let pool = self.target_pool(plan).await?;
        self.open_tally(plan).await;
        let origin = plan.origin.as_ref();
        let change = Change {
            links: Links {
                live: Some(pool.id.generation),
                previous: origin.map(|o| o.generation),
                share: Share::All,
            },
            site: site(&plan.environment, &pool),
            from: origin.map_or(0, |o| o.members),
            to: pool.members,
        };
        self.change_route(plan, change).await?;
        if plan.freezes() {
            // Nobody answers before it is thawed.
            return Ok(());
        }
        self.confirm(plan).await
    }

    /// Asks the pool through nginx.
    pub(super) async fn confirm(&self, plan: &Plan) -> Result<(), ActError> {
        let pool = self.target_pool(plan).await?;
        let (environment, generation) = (&plan.environment.name, pool.id.generation);
        let confirmed = self.router.confirm(environment, generation, pool.members);
        Ok(confirmed.await?)
    }

    /// Moves traffic back to where it was, drains the pool that had it for a moment, and clears the caches of its pages.
    pub(super) async fn unroute(&self, situation: &Situation<'_>) -> Result<(), ActError> {
        let plan = situation.plan;
        let pool = self.target_pool(plan).await?;
        let site = match plan.origin_pool() {
            Some(id) => site(&plan.environment, &self.known_pool(&id).await?),
            None => Site::of(&plan.environment, 0),
        };
        let origin = plan.origin.as_ref();
        let links = Links {
            live: origin.map(|o| o.generation),
            previous: plan.previous,
            share: Share::All,
        };
        let change = Change {
            links,
            site,
            from: pool.members,
            to: origin.map_or(0, |o| o.members),
        };
        let wanted = change.site.clone();
        if plan.freezes() {
            self.while_held(situation, self.wake_origin(plan)).await?;
        }
        let undone = self.change_route(plan, change).await;
        self.accept_without_nginx(plan, links, &wanted, undone)
            .await?;
        if plan.freezes() {
            // What waited for it is answered by it.
            self.let_go(plan).await?;
        }
        self.drained(&pool, plan.environment.drain).await?;
        // Nobody asks for the count of what was undone; it must not go on for ever.
        self.close_tally(plan).await;
        self.clear_undone(plan).await
    }

    /// Makes sure that the pool that traffic goes back to answers: a consistent deployment stops one that is not drained
    /// in time. Where it does not come up traffic goes back all the same: nobody else is left to take it. One that never
    /// stopped is not asked: what its answer is now was as good as it gets a moment ago.
    async fn wake_origin(&self, plan: &Plan) -> Result<(), ActError> {
        let Some(origin) = plan.origin_pool() else {
            return Ok(());
        };
        let old = self.known_pool(&origin).await?;
        let seen = self.runtime.list().await?;
        let running = seen.iter().filter(|m| m.pool == origin && m.running);
        if running.count() >= usize::from(old.members) {
            return Ok(());
        }
        self.runtime.start(&old).await?;
        let ready = self
            .runtime
            .ready(&old, host(plan), &plan.environment.ready);
        if let Err(error) = ready.await {
            tracing::error!(pool = %old.id, %error, "the pool that traffic goes back to is not ready");
        }
        Ok(())
    }

    /// Without an nginx that can serve, a route is undone when the links are back: nobody is served meanwhile, and what
    /// is stored, which nginx is given when it comes back, is what it was before. One that refuses its text has not taken
    /// the new one either, if what is stored is still the old.
    async fn accept_without_nginx(
        &self,
        plan: &Plan,
        links: Links,
        wanted: &Site,
        undone: Result<(), ActError>,
    ) -> Result<(), ActError> {
        let Err(error) = undone else { return Ok(()) };
        let accepted = match &error {
            ActError::Router(RouterError::Absent { .. }) => true,
            ActError::Router(RouterError::Refused { .. }) => {
                let stored = self.store.routes().await?;
                let site = stored.site(&plan.environment.name);
                site.map_or(wanted.members == 0, |site| site == wanted)
            }
            _ => false,
        };
        if !accepted {
            return Err(error);
        }
        tracing::warn!(%error, "nginx cannot serve while a route is undone");
        self.flip(plan, links).await
    }

    async fn change_route(&self, plan: &Plan, change: Change) -> Result<(), ActError> {
        for step in moves(change.from, change.to) {
            match step {
                Move::Flip => self.flip(plan, change.links).await?,
                Move::Load => self.load_site(change.site.clone()).await?,
                Move::Settle => self.router.settle().await?,
            }
        }
        Ok(())
    }

    async fn flip(&self, plan: &Plan, links: Links) -> Result<(), ActError> {
        Ok(self.router.flip(&plan.environment.name, links).await?)
    }

    pub(super) async fn promote(&self, plan: &Plan) -> Result<(), ActError> {
        let pool = self.target_pool(plan).await?;
        let environment = &plan.environment.name;
        let mut state = self.store.state(environment).await?;
        state.promote(self.record(&pool));
        if let Kind::Reinit {
            php_options: Some(options),
            ..
        } = &plan.kind
        {
            state.php_options.clone_from(options);
        }
        self.store.put_state(environment, &state).await?;
        self.runtime.set_restart(&pool, Restart::Always).await?;
        if let Some(origin) = plan.origin_pool() {
            let old = self.known_pool(&origin).await?;
            self.runtime.set_restart(&old, Restart::Never).await?;
        }
        Ok(())
    }

    /// Gives everybody the role and the restart policy of before back. A standby that was dropped stays dropped.
    pub(super) async fn demote(&self, plan: &Plan) -> Result<(), ActError> {
        let mut state = plan.before.clone();
        if plan.steps.contains(&Step::Reserve) {
            state.standby = None;
        }
        let environment = &plan.environment.name;
        self.store.put_state(environment, &state).await?;
        if let Some(origin) = plan.origin_pool() {
            let old = self.known_pool(&origin).await?;
            self.runtime.set_restart(&old, Restart::Always).await?;
        }
        let pool = self.target_pool(plan).await?;
        Ok(self.runtime.set_restart(&pool, Restart::Never).await?)
    }

    pub(super) async fn drain(&self, plan: &Plan) -> Result<Output, ActError> {
        let began = self.clock.now_ms();
        let remaining = match plan.origin_pool() {
            Some(origin) => {
                let old = self.known_pool(&origin).await?;
                let limit = plan.environment.drain;
                if plan.is_undone_after_drain() && !plan.freezes() {
                    // Traffic may still go back to it: what is left is cut when it is parked.
                    self.runtime.drain(&old, limit).await?.remaining
                } else {
                    self.drained(&old, limit).await?.remaining
                }
            }
            None => 0,
        };
        // The count goes on until requests that wait for the new pool are answered, and those of the old one are cut.
        let tally = if plan.freezes() || (remaining > 0 && plan.is_undone_after_drain()) {
            None
        } else {
            self.close_tally(plan).await
        };
        let drained_ms = self.clock.now_ms().saturating_sub(began);
        Ok(Output::Drained {
            drained_ms,
            remaining,
            tally,
        })
    }

    /// Begins to count. It asks nginx, so it runs where blocking is allowed.
    pub(super) async fn open_tally(&self, plan: &Plan) {
        let traffic = self.traffic.clone();
        let (operation, environment) = (plan.operation.clone(), plan.environment.name.clone());
        let open = move || traffic.open(&operation, &environment);
        if let Err(error) = tokio::task::spawn_blocking(open).await {
            tracing::error!(%error, "requests are not counted");
        }
    }

    /// Ends the count; none where it could not be told.
    pub(super) async fn close_tally(&self, plan: &Plan) -> Option<Tally> {
        let (traffic, operation) = (self.traffic.clone(), plan.operation.clone());
        let old = plan.origin.as_ref().map_or(Generation(0), |o| o.generation);
        let new = plan.target.as_ref().map_or(Generation(0), |t| t.generation);
        let close = move || traffic.close(&operation, old, new);
        tokio::task::spawn_blocking(close).await.ok().flatten()
    }

    /// Drains `pool`; what is still running at the limit is cut: SIGQUIT first, SIGKILL only after it.
    async fn drained(&self, pool: &Pool, limit: Duration) -> Result<Drained, ActError> {
        let drained = self.runtime.drain(pool, limit).await?;
        if drained.remaining > 0 {
            self.runtime.stop(&pool.id, CUT_GRACE).await?;
        }
        Ok(drained)
    }
}
