//! The service `Releases`.

use std::collections::BTreeMap;

use stratus_core::release::OnDisk;
use stratus_core::store::Pin;
use stratus_core::{Environment, EnvironmentState, ReleaseId};
use stratus_proto::v1 as proto;
use stratus_proto::v1::releases_server::Releases;
use tonic::{Request, Response, Status};

use crate::grpc::{Api, actor, status};

/// Fewest digits that name a release.
const PREFIX_MIN: usize = 6;

#[tonic::async_trait]
impl Releases for Api {
    async fn list(
        &self,
        request: Request<proto::ListReleasesRequest>,
    ) -> Result<Response<proto::ListReleasesReply>, Status> {
        let environment = self.environment(&request.into_inner().environment).await?;
        let releases = self.releases(&environment).await?;
        Ok(Response::new(proto::ListReleasesReply { releases }))
    }

    async fn pin(
        &self,
        request: Request<proto::PinRequest>,
    ) -> Result<Response<proto::Release>, Status> {
        self.set_pin(request, Pin::Keep).await
    }

    async fn unpin(
        &self,
        request: Request<proto::PinRequest>,
    ) -> Result<Response<proto::Release>, Status> {
        self.set_pin(request, Pin::Release).await
    }
}

impl Api {
    async fn set_pin(
        &self,
        request: Request<proto::PinRequest>,
        pin: Pin,
    ) -> Result<Response<proto::Release>, Status> {
        let actor = actor(&request);
        let request = request.into_inner();
        let environment = self.environment(&request.environment).await?;
        let release = self.release(&environment, &request.release).await?;
        tracing::info!(environment = %environment.name, release = release.short(), ?pin, %actor, "pin");
        let store = self.control.engine.store();
        store
            .pin(&environment.name, &release, pin)
            .await
            .map_err(|e| status::store(&e))?;
        let all = self.releases(&environment).await?;
        let found = all.into_iter().find(|r| r.release == release.as_str());
        found
            .map(Response::new)
            .ok_or_else(|| Status::not_found("the release is gone"))
    }

    /// The one release on disk that `prefix` names.
    pub(super) async fn release(
        &self,
        environment: &Environment,
        prefix: &str,
    ) -> Result<ReleaseId, Status> {
        if prefix.len() < PREFIX_MIN {
            let message = format!("name a release by at least its first {PREFIX_MIN} digits");
            return Err(Status::invalid_argument(message));
        }
        let on_disk = self.on_disk(environment).await?;
        let mut found = on_disk
            .into_iter()
            .filter(|r| r.release.as_str().starts_with(prefix));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one.release),
            (Some(_), Some(_)) => Err(Status::invalid_argument(format!(
                "more than one release begins with {prefix}; give more digits"
            ))),
            (None, _) => Err(Status::not_found(format!(
                "{} has no release {prefix}; releases.list shows those there are",
                environment.name
            ))),
        }
    }

    async fn on_disk(&self, environment: &Environment) -> Result<Vec<OnDisk>, Status> {
        let listed = self.control.machine.snapshots.list(&environment.name).await;
        let mut on_disk = listed.map_err(|e| status::faulty(&e))?;
        on_disk.sort_by(|a, b| (b.created_ms, &b.release).cmp(&(a.created_ms, &a.release)));
        Ok(on_disk)
    }

    async fn releases(&self, environment: &Environment) -> Result<Vec<proto::Release>, Status> {
        let store = self.control.engine.store();
        let name = &environment.name;
        let state = store.state(name).await.map_err(|e| status::store(&e))?;
        let pinned = store.pinned(name).await.map_err(|e| status::store(&e))?;
        let pools = store.pools(name).await.map_err(|e| status::store(&e))?;
        let newest: BTreeMap<_, _> = pools
            .into_iter()
            .map(|pool| (pool.release, pool.id.generation.0))
            .collect();
        let on_disk = self.on_disk(environment).await?;
        let message = |r: OnDisk| proto::Release {
            created: r.created_ms,
            generation: newest.get(&r.release).copied().unwrap_or(0),
            pinned: pinned.contains(&r.release),
            files: r.files,
            bytes: r.bytes,
            state: role(&state, &r.release).to_owned(),
            release: r.release.to_string(),
        };
        Ok(on_disk.into_iter().map(message).collect())
    }
}

/// What a release is to an environment.
pub(super) fn role(state: &EnvironmentState, release: &ReleaseId) -> &'static str {
    let of = |record: &Option<stratus_core::state::PoolRecord>| {
        record.as_ref().is_some_and(|r| &r.release == release)
    };
    match () {
        () if of(&state.live) => "live",
        () if of(&state.standby) => "standby",
        () if of(&state.previous) => "previous",
        () => "kept",
    }
}
