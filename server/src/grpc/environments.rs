//! The service `Environments`.

use std::path::PathBuf;

use stratus_core::route::Closed;
use stratus_core::runtime::Observed;
use stratus_core::snapshots::Difference;
use stratus_core::state::PoolRecord;
use stratus_core::store::Operation;
use stratus_core::{Environment, EnvironmentName, PoolId, ReleaseId};
use stratus_proto::v1 as proto;
use stratus_proto::v1::environments_server::Environments;
use tonic::{Request, Response, Status};

use crate::config;
use crate::grpc::convert::{to_lease, to_pending};
use crate::grpc::{Api, actor, status};

/// Most differences that are named.
const DIFFERENCES_MAX: usize = 1000;

#[tonic::async_trait]
impl Environments for Api {
    async fn list(
        &self,
        _: Request<proto::ListEnvironmentsRequest>,
    ) -> Result<Response<proto::ListEnvironmentsReply>, Status> {
        let mut environments = Vec::new();
        for environment in self.all().await? {
            let state = self.control.engine.store().state(&environment.name).await;
            let live = state.map_err(|e| status::store(&e))?.live;
            environments.push(proto::EnvironmentSummary {
                name: environment.name.to_string(),
                hosts: environment.hosts,
                code: environment.code.display().to_string(),
                live: live.map_or(0, |l| l.generation.0),
            });
        }
        Ok(Response::new(proto::ListEnvironmentsReply { environments }))
    }

    async fn show(
        &self,
        request: Request<proto::ShowEnvironmentRequest>,
    ) -> Result<Response<proto::ShowEnvironmentReply>, Status> {
        let environment = self.environment(&request.into_inner().environment).await?;
        Ok(Response::new(proto::ShowEnvironmentReply {
            yaml: config::render(&environment),
        }))
    }

    async fn apply(
        &self,
        request: Request<proto::ApplyRequest>,
    ) -> Result<Response<proto::ApplyReply>, Status> {
        let actor = actor(&request);
        let dry_run = request.into_inner().dry_run;
        tracing::info!(%actor, dry_run, "apply");
        let changes = self.control.apply(dry_run).await;
        let changes = changes.map_err(|e| status::apply(&e))?;
        if let (Some(sockets), false) = (&self.sockets, dry_run) {
            let environments = self.control.config.lock().await.environments.clone();
            sockets.fit(&environments).await;
        }
        Ok(Response::new(proto::ApplyReply { changes }))
    }

    async fn diff(
        &self,
        request: Request<proto::DiffRequest>,
    ) -> Result<Response<proto::DiffReply>, Status> {
        let environment = self.environment(&request.into_inner().environment).await?;
        let state = self.control.engine.store().state(&environment.name).await;
        let live = state.map_err(|e| status::store(&e))?.live.ok_or_else(|| {
            let name = &environment.name;
            Status::failed_precondition(format!("nothing of {name} is live yet; deploy it first"))
        })?;
        let found = self
            .control
            .machine
            .snapshots
            .compare(&environment, &live.release);
        let found = found.await.map_err(|e| status::faulty(&e))?;
        let file = |(path, change): &(PathBuf, Difference)| proto::FileDifference {
            path: path.to_string_lossy().into_owned(),
            change: match change {
                Difference::Added => "added",
                Difference::Changed => "changed",
                Difference::Removed => "removed",
            }
            .to_owned(),
        };
        Ok(Response::new(proto::DiffReply {
            environment: environment.name.to_string(),
            release: live.release.to_string(),
            files: found.iter().take(DIFFERENCES_MAX).map(file).collect(),
            total: found.len() as u64,
            source: self.made_from(&environment, &live.release).await?,
        }))
    }

    async fn set_maintenance(
        &self,
        request: Request<proto::SetMaintenanceRequest>,
    ) -> Result<Response<proto::SetMaintenanceReply>, Status> {
        let actor = actor(&request);
        let request = request.into_inner();
        let environment = self.environment(&request.environment).await?.name;
        tracing::info!(%environment, %actor, enabled = request.enabled, "maintenance");
        let router = &self.control.machine.router;
        let was = router.is_closed(&environment, Closed::Maintenance).await;
        let was = was.map_err(|e| status::faulty(&e))?;
        let set = router.set_closed(&environment, Closed::Maintenance, request.enabled);
        set.await.map_err(|e| status::faulty(&e))?;
        let mut changed = was != request.enabled;
        let holder = self.holder(&environment).await?;
        let holder = holder.filter(|holder| holder.plan.freezes());
        let mut overdue = self.overdue(&environment, holder.as_ref()).await?;
        if !request.enabled && holder.is_none() && overdue.take().is_some() {
            // Left behind by an operation that is over: nobody else opens the site again.
            let open = router.set_closed(&environment, Closed::Overdue, false);
            open.await.map_err(|e| status::faulty(&e))?;
            changed = true;
        }
        Ok(Response::new(proto::SetMaintenanceReply {
            environment: environment.to_string(),
            enabled: request.enabled,
            changed,
            overdue,
        }))
    }

    async fn database(
        &self,
        request: Request<proto::DatabaseRequest>,
    ) -> Result<Response<proto::DatabaseReply>, Status> {
        let actor = actor(&request);
        let environment = self.environment(&request.into_inner().environment).await?;
        tracing::info!(environment = %environment.name, %actor, "database credentials are shown");
        let database = environment.database.ok_or_else(|| {
            let name = &environment.name;
            Status::failed_precondition(format!(
                "{name} has no database in the configuration; describe it under environments.{name}.database"
            ))
        })?;
        Ok(Response::new(proto::DatabaseReply {
            host: database.host,
            port: database.port.into(),
            name: database.name,
            user: database.user,
            password: database.password.expose().to_owned(),
        }))
    }

    async fn php_options(
        &self,
        request: Request<proto::PhpOptionsRequest>,
    ) -> Result<Response<proto::PhpOptionsReply>, Status> {
        let environment = self.environment(&request.into_inner().environment).await?;
        let state = self.control.engine.store().state(&environment.name).await;
        let set = state.map_err(|e| status::store(&e))?.php_options;
        let all = environment.with_php_options(&set).php.ini;
        let option = |(name, value): (String, String)| proto::PhpOption {
            by_command: set.contains_key(&name),
            name,
            value,
        };
        Ok(Response::new(proto::PhpOptionsReply {
            options: all.into_iter().map(option).collect(),
        }))
    }

    async fn status(
        &self,
        request: Request<proto::StatusRequest>,
    ) -> Result<Response<proto::StatusReply>, Status> {
        let asked = match request.into_inner().environment.as_str() {
            "" => self.all().await?,
            name => vec![self.environment(name).await?],
        };
        // Without an engine the roles are still known: what runs is then zero, and drift says why.
        let (seen, away) = match self.control.machine.runtime.list().await {
            Ok(seen) => (seen, None),
            Err(error) => (Vec::new(), Some(stratus_core::fault::chain(&error))),
        };
        let mut environments = Vec::new();
        for environment in asked {
            environments.push(self.one(&environment, &seen, away.as_deref()).await?);
        }
        Ok(Response::new(proto::StatusReply { environments }))
    }
}

impl Api {
    async fn one(
        &self,
        environment: &Environment,
        seen: &[Observed],
        away: Option<&str>,
    ) -> Result<proto::EnvironmentStatus, Status> {
        let engine = &self.control.engine;
        let state = engine
            .store()
            .state(&environment.name)
            .await
            .map_err(|e| status::store(&e))?;
        let holder = self.holder(&environment.name).await?;
        let pool = |record: &PoolRecord| {
            let id = PoolId::new(&environment.name, record.generation);
            let ready = seen.iter().filter(|m| m.pool == id && m.running).count();
            proto::PoolStatus {
                generation: record.generation.0,
                release: record.release.to_string(),
                members: u32::from(record.members),
                ready: u32::try_from(ready).unwrap_or(u32::MAX),
                since: record.since_ms,
                warm_until: None,
            }
        };
        let live = state.live.as_ref().map(pool);
        let standby = state.standby.as_ref().map(pool);
        let mut previous = state.previous.as_ref().map(pool);
        if let Some(previous) = &mut previous {
            previous.warm_until = state.warm_until_ms;
        }
        let drift = match away {
            Some(away) => vec![away.to_owned()],
            None if holder.is_some() => Vec::new(),
            None => {
                self.drift(environment, live.as_ref(), standby.as_ref())
                    .await?
            }
        };
        let router = &self.control.machine.router;
        let maintenance = router.is_closed(&environment.name, Closed::Maintenance);
        let maintenance = maintenance.await.map_err(|e| status::faulty(&e))?;
        let overdue = self.overdue(&environment.name, holder.as_ref()).await?;
        let operation = match &holder {
            Some(holder) => Some(self.report(holder).await?),
            None => None,
        };
        let lease = self.control.machine.crons.lease(&environment.name).await;
        let lease = lease.map_err(|e| status::store(&e))?;
        let waiting = self.control.machine.caches.waiting(&environment.name).await;
        Ok(proto::EnvironmentStatus {
            name: environment.name.to_string(),
            live,
            standby,
            previous,
            operation,
            drift,
            maintenance,
            pending: waiting.iter().map(to_pending).collect(),
            crons_stopped: lease.as_ref().map(to_lease),
            edits: self.edits(environment, state.live.as_ref()).await?,
            overdue,
        })
    }

    /// The operation that holds an environment.
    async fn holder(&self, environment: &EnvironmentName) -> Result<Option<Operation>, Status> {
        let holder = self.control.engine.holder(environment).await;
        holder.map_err(|e| status::store(&e))
    }

    /// While a site is closed because requests were held for too long: the operation that holds them, if it still does.
    async fn overdue(
        &self,
        environment: &EnvironmentName,
        holder: Option<&Operation>,
    ) -> Result<Option<String>, Status> {
        let by = holder.filter(|holder| holder.plan.freezes());
        let by = by.map(|holder| holder.id.to_string());
        let router = &self.control.machine.router;
        let closed = router.is_closed(environment, Closed::Overdue).await;
        let closed = closed.map_err(|e| status::faulty(&e))?;
        Ok(closed.then(|| by.unwrap_or_default()))
    }

    /// What a release was made from, as far as the journal of its operation is kept; empty for the working tree.
    async fn made_from(
        &self,
        environment: &Environment,
        release: &ReleaseId,
    ) -> Result<String, Status> {
        let on_disk = self.control.machine.snapshots.list(&environment.name).await;
        let mut on_disk = on_disk.map_err(|e| status::faulty(&e))?.into_iter();
        let Some(found) = on_disk.find(|r| &r.release == release) else {
            return Ok(String::new());
        };
        let store = self.control.engine.store();
        let by = store.operation(&found.operation).await;
        let by = by.map_err(|e| status::store(&e))?;
        let source = by.as_ref().and_then(|by| by.plan.kind.source());
        Ok(source.map(ToString::to_string).unwrap_or_default())
    }

    /// What was edited in the working tree and is not live; none where the live release is not of it.
    async fn edits(
        &self,
        environment: &Environment,
        live: Option<&PoolRecord>,
    ) -> Result<Option<proto::Edits>, Status> {
        let Some(live) = live else { return Ok(None) };
        if !self.made_from(environment, &live.release).await?.is_empty() {
            return Ok(None);
        }
        let edits = self.control.edits.at(environment, &live.release).await;
        let edits = edits.filter(|edits| edits.total > 0);
        Ok(edits.map(|edits| proto::Edits {
            total: edits.total,
            files: edits
                .files
                .iter()
                .map(|file| file.display().to_string())
                .collect(),
            seen: edits.seen_ms,
        }))
    }

    /// What runs differs from what should.
    async fn drift(
        &self,
        environment: &Environment,
        live: Option<&proto::PoolStatus>,
        standby: Option<&proto::PoolStatus>,
    ) -> Result<Vec<String>, Status> {
        let pools = [("live", live), ("standby", standby)];
        let present = pools
            .into_iter()
            .filter_map(|(role, pool)| Some((role, pool?)));
        let short = present.filter(|(_, pool)| pool.ready != pool.members);
        let mut drift: Vec<String> = short
            .map(|(role, pool)| {
                format!(
                    "the {role} pool of generation {} has {} of {} members running",
                    pool.generation, pool.ready, pool.members
                )
            })
            .collect();
        let links = self.control.machine.router.links(&environment.name).await;
        let served = links.map_err(|e| status::faulty(&e))?.live.map(|g| g.0);
        let recorded = live.map(|live| live.generation);
        if served != recorded {
            drift.push(format!(
                "traffic points at {served:?}, the state says {recorded:?}"
            ));
        }
        Ok(drift)
    }
}
