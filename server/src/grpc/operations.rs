//! The service `Operations`.

use std::pin::Pin;

use stratus_core::environment::{PhpOptions, RedisDatabase, session_databases};
use stratus_core::operation::{Kind, Mode};
use stratus_core::snapshots::Verify;
use stratus_core::source::{AskedBy, Source};
use stratus_core::store::{Operation, StoreError};
use stratus_core::{Environment, OperationId};
use stratus_proto::v1 as proto;
use stratus_proto::v1::operations_server::Operations;
use stratus_proto::v1::submit_request::Action;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use crate::config;
use crate::engine::admission::Submission;
use crate::grpc::bound::Scope;
use crate::grpc::convert::{to_kind, to_operation, to_plan};
use crate::grpc::releases::role;
use crate::grpc::{Api, actor, operation_id, status, watch};

/// Longest request id, in bytes.
const REQUEST_ID_MAX: usize = 64;
/// Longest value of an option of `php.ini`, in bytes.
const PHP_OPTION_MAX: usize = 4096;
/// Most operations in one list.
const LIST_MAX: u32 = 200;

#[tonic::async_trait]
impl Operations for Api {
    async fn submit(
        &self,
        request: Request<proto::SubmitRequest>,
    ) -> Result<Response<proto::SubmitReply>, Status> {
        let actor = actor(&request);
        let request = request.into_inner();
        if !(1..=REQUEST_ID_MAX).contains(&request.request_id.len()) {
            return Err(Status::invalid_argument(
                "request_id must have 1 to 64 bytes",
            ));
        }
        let environment = self.environment(&request.environment).await?;
        let name = environment.name.clone();
        let kind = self.kind(&environment, request.action).await?;
        let submission = Submission {
            request: request.request_id,
            environment,
            kind,
            actor,
        };
        let engine = &self.control.engine;
        let (id, plan) = if request.dry_run {
            let plan = engine
                .plan(&submission)
                .await
                .map_err(|e| status::submit(&e))?;
            (String::new(), plan)
        } else {
            let operation = engine
                .submit(submission)
                .await
                .map_err(|e| status::submit(&e))?;
            if operation.plan.environment.name != name {
                let message = "request_id is that of an operation of another environment";
                return Err(Status::invalid_argument(message));
            }
            (operation.id.to_string(), operation.plan)
        };
        Ok(Response::new(proto::SubmitReply {
            operation: id,
            environment: plan.environment.name.to_string(),
            kind: to_kind(&plan.kind).into(),
            from: plan.origin.as_ref().map_or(0, |o| o.generation.0),
            to: plan.target.as_ref().map_or(0, |t| t.generation.0),
            plan: to_plan(&plan),
        }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<proto::WatchReply, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<proto::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        let operation = self.stored(&operation_id(&request.operation)?).await?;
        let stream = watch::follow(self.control.engine.clone(), operation, request.after);
        Ok(Response::new(Box::pin(stream)))
    }

    async fn cancel(
        &self,
        request: Request<proto::CancelRequest>,
    ) -> Result<Response<proto::Operation>, Status> {
        let actor = actor(&request);
        let id = operation_id(&request.into_inner().operation)?;
        self.stored(&id).await?;
        tracing::info!(operation = %id, %actor, "cancel");
        self.control
            .engine
            .cancel(&id)
            .await
            .map_err(|e| status::control(&e))?;
        self.reported(&id).await
    }

    async fn get(
        &self,
        request: Request<proto::GetOperationRequest>,
    ) -> Result<Response<proto::Operation>, Status> {
        self.reported(&operation_id(&request.into_inner().operation)?)
            .await
    }

    async fn list(
        &self,
        request: Request<proto::ListOperationsRequest>,
    ) -> Result<Response<proto::ListOperationsReply>, Status> {
        let request = request.into_inner();
        let environment = match (request.environment.as_str(), &self.scope) {
            ("", Scope::Host) => None,
            (name, _) => Some(self.environment(name).await?.name),
        };
        let limit = if request.limit == 0 {
            20
        } else {
            request.limit.min(LIST_MAX)
        };
        let store = self.control.engine.store();
        let found = if request.unfinished_only {
            store.unfinished().await
        } else {
            store.operations(environment.as_ref(), limit).await
        };
        let mut operations = Vec::new();
        for operation in found.map_err(|e| status::store(&e))? {
            if environment
                .as_ref()
                .is_none_or(|e| *e == operation.plan.environment.name)
            {
                operations.push(self.report(&operation).await?);
            }
        }
        Ok(Response::new(proto::ListOperationsReply { operations }))
    }

    async fn resume(
        &self,
        request: Request<proto::ResumeRequest>,
    ) -> Result<Response<proto::Operation>, Status> {
        let actor = actor(&request);
        let id = operation_id(&request.into_inner().operation)?;
        self.stored(&id).await?;
        tracing::info!(operation = %id, %actor, "resume");
        self.control
            .engine
            .resume(&id)
            .await
            .map_err(|e| status::control(&e))?;
        self.reported(&id).await
    }

    async fn resolve(
        &self,
        request: Request<proto::ResolveRequest>,
    ) -> Result<Response<proto::Operation>, Status> {
        let actor = actor(&request);
        let id = operation_id(&request.into_inner().operation)?;
        self.stored(&id).await?;
        tracing::info!(operation = %id, %actor, "resolve");
        self.control
            .engine
            .resolve(&id)
            .await
            .map_err(|e| status::control(&e))?;
        self.reported(&id).await
    }
}

fn verify(contents: bool) -> Verify {
    if contents {
        Verify::Contents
    } else {
        Verify::Metadata
    }
}

impl Api {
    async fn kind(
        &self,
        environment: &Environment,
        action: Option<Action>,
    ) -> Result<Kind, Status> {
        Ok(match action {
            Some(Action::Init(init)) => Kind::Init {
                verify: verify(init.verify),
            },
            Some(Action::Reinit(reinit)) => Kind::Reinit {
                verify: verify(reinit.verify),
                php_options: None,
            },
            Some(Action::PhpOptions(change)) => Kind::Reinit {
                verify: Verify::Metadata,
                php_options: Some(self.php_options(environment, change).await?),
            },
            Some(Action::Deploy(deploy)) => Kind::Deploy {
                verify: verify(deploy.verify),
                mode: match deploy.mode() {
                    proto::Mode::Unspecified | proto::Mode::BlueGreen => Mode::BlueGreen,
                    proto::Mode::Consistent => Mode::Consistent,
                    proto::Mode::Rolling => Mode::Rolling,
                },
                from: self.source(&deploy.from)?,
            },
            Some(Action::Switch(_)) => Kind::Switch,
            Some(Action::Rollback(_)) => Kind::Rollback,
            Some(Action::Abort(_)) => Kind::Abort,
            Some(Action::RemoveRelease(remove)) => {
                self.removable(environment, &remove.release).await?
            }
            None => return Err(Status::invalid_argument("no action was asked for")),
        })
    }

    /// What a release shall be made from; none: the working tree. On the socket of an environment less may be named.
    fn source(&self, text: &str) -> Result<Option<Box<Source>>, Status> {
        let asked_by = match self.scope {
            Scope::Host => AskedBy::Operator,
            Scope::Environment(_) => AskedBy::Environment,
        };
        if text.is_empty() {
            return Ok(None);
        }
        let source = Source::parse(text, asked_by);
        let source = source.map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok(Some(Box::new(source)))
    }

    /// The options of `php.ini` that `change` leads to.
    async fn php_options(
        &self,
        environment: &Environment,
        change: proto::PhpOptionsChange,
    ) -> Result<PhpOptions, Status> {
        let state = self.control.engine.store().state(&environment.name).await;
        let mut options = state.map_err(|e| status::store(&e))?.php_options;
        for name in change.remove {
            options.remove(&name);
        }
        for (name, value) in change.add {
            if !config::is_php_option(&name) {
                let message = format!(
                    "{name:?} is not the name of a php.ini setting; write one such as memory_limit"
                );
                return Err(Status::invalid_argument(message));
            }
            if value.len() > PHP_OPTION_MAX || value.chars().any(char::is_control) {
                let message =
                    format!("the value of {name} is too long or holds a control character");
                return Err(Status::invalid_argument(message));
            }
            options.insert(name, value);
        }
        self.keep_sessions_off_caches(environment, &options).await?;
        Ok(options)
    }

    /// Refuses options that put sessions into a database that is cleared, of whatever environment.
    async fn keep_sessions_off_caches(
        &self,
        environment: &Environment,
        options: &PhpOptions,
    ) -> Result<(), Status> {
        let ini = environment.clone().with_php_options(options).php.ini;
        let sessions = session_databases(&environment.sessions, &ini);
        let stored = self.control.engine.store().environments().await;
        let stored = stored.map_err(|e| status::store(&e))?;
        let caches = stored.iter().flat_map(|other| &other.caches.redis);
        for cache in caches.filter_map(|cache| RedisDatabase::of_url(cache.url.expose())) {
            if sessions.contains(&cache) {
                return Err(Status::invalid_argument(
                    "session.save_path is a database of Redis that is cleared as a cache; give the sessions another database or server",
                ));
            }
        }
        Ok(())
    }

    /// A release that may be removed: an operation that would find nothing to do says less than a refusal.
    async fn removable(&self, environment: &Environment, prefix: &str) -> Result<Kind, Status> {
        let release = self.release(environment, prefix).await?;
        let store = self.control.engine.store();
        let pinned = store.pinned(&environment.name).await;
        if pinned.map_err(|e| status::store(&e))?.contains(&release) {
            let message = format!("release {} is pinned; unpin it first", release.short());
            return Err(Status::failed_precondition(message));
        }
        let state = store.state(&environment.name).await;
        let state = state.map_err(|e| status::store(&e))?;
        if state.releases().any(|used| used == &release) {
            let message = format!(
                "release {} is {}; only a release that no pool uses can be removed, see releases.list",
                release.short(),
                role(&state, &release)
            );
            return Err(Status::failed_precondition(message));
        }
        let of_tasks = self.control.machine.releases_of_tasks(&environment.name);
        if of_tasks
            .await
            .map_err(|e| status::act(&e))?
            .contains(&release)
        {
            let message = format!(
                "a cron, a worker or a hook still runs release {}; see crons.list, and try again when it has ended",
                release.short()
            );
            return Err(Status::failed_precondition(message));
        }
        Ok(Kind::Reap { release })
    }

    /// An operation of an environment that this socket gives access to; every request that names one comes by here.
    async fn stored(&self, id: &OperationId) -> Result<Operation, Status> {
        let found = self.control.engine.store().operation(id).await;
        let found = found.map_err(|e: StoreError| status::store(&e))?;
        let seen = found.filter(|operation| self.sees(&operation.plan.environment.name));
        seen.ok_or_else(|| {
            Status::not_found(format!(
                "there is no operation {id}; operations.list shows them"
            ))
        })
    }

    async fn reported(&self, id: &OperationId) -> Result<Response<proto::Operation>, Status> {
        let operation = self.stored(id).await?;
        Ok(Response::new(self.report(&operation).await?))
    }

    /// An operation with its report.
    pub(super) async fn report(&self, operation: &Operation) -> Result<proto::Operation, Status> {
        let entries = self.control.engine.store().journal(&operation.id, 0).await;
        Ok(to_operation(
            operation,
            &entries.map_err(|e| status::store(&e))?,
        ))
    }
}
