//! The services, each answering from the script.

use std::pin::Pin;

use futures_util::{Stream, StreamExt, stream};
use stratus_proto::v1::caches_server::Caches;
use stratus_proto::v1::crons_server::Crons;
use stratus_proto::v1::doctor_server::Doctor;
use stratus_proto::v1::environments_server::Environments;
use stratus_proto::v1::nginx_server::Nginx;
use stratus_proto::v1::operations_server::Operations;
use stratus_proto::v1::releases_server::Releases;
use stratus_proto::v1::{self as api, Operation, WatchReply};
use tonic::{Request, Response, Status};

use super::{Answer, Call, Line, Play, scripted};

type Answered<T> = Result<Response<T>, Status>;

impl Play {
    fn operation<T: std::fmt::Debug>(&self, request: Request<T>) -> Answered<Operation> {
        self.note_other(request);
        scripted(self.script().operation.clone().transpose()?)
    }

    fn release<T: std::fmt::Debug>(&self, request: Request<T>) -> Answered<api::Release> {
        self.note_other(request);
        scripted(self.script().release.clone().transpose()?)
    }
}

#[tonic::async_trait]
impl Operations for Play {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchReply, Status>> + Send>>;

    async fn submit(&self, request: Request<api::SubmitRequest>) -> Answered<api::SubmitReply> {
        let answer = self.script().submit.pop_front();
        self.note(Call::Submit(request.into_inner()));
        match answer {
            Some(Answer::Begun(reply)) => Ok(Response::new(reply)),
            Some(Answer::Refused(status)) => Err(status),
            Some(Answer::Never) => std::future::pending().await,
            None => scripted(None),
        }
    }

    async fn watch(&self, request: Request<api::WatchRequest>) -> Answered<Self::WatchStream> {
        let lines = self.script().watch.pop_front();
        let lines = lines.ok_or_else(|| Status::not_found("there is no such operation"))?;
        self.note(Call::Watch(request.into_inner()));
        let gate = self.gate.clone();
        let events = stream::iter(lines).filter_map(move |line| {
            let gate = gate.clone();
            async move {
                match line {
                    Line::Event(event) => Some(Ok(*event)),
                    Line::End(status) => Some(Err(status)),
                    Line::Gate => {
                        let permit = gate.acquire().await.ok()?;
                        permit.forget();
                        None
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(events)))
    }

    async fn cancel(&self, request: Request<api::CancelRequest>) -> Answered<Operation> {
        self.operation(request)
    }

    async fn get(&self, request: Request<api::GetOperationRequest>) -> Answered<Operation> {
        self.operation(request)
    }

    async fn list(
        &self,
        request: Request<api::ListOperationsRequest>,
    ) -> Answered<api::ListOperationsReply> {
        self.note_other(request);
        scripted(self.script().operations.clone())
    }

    async fn resume(&self, request: Request<api::ResumeRequest>) -> Answered<Operation> {
        self.operation(request)
    }

    async fn resolve(&self, request: Request<api::ResolveRequest>) -> Answered<Operation> {
        self.operation(request)
    }
}

#[tonic::async_trait]
impl Environments for Play {
    async fn list(
        &self,
        request: Request<api::ListEnvironmentsRequest>,
    ) -> Answered<api::ListEnvironmentsReply> {
        self.note_other(request);
        scripted(self.script().environments.clone())
    }

    async fn show(
        &self,
        request: Request<api::ShowEnvironmentRequest>,
    ) -> Answered<api::ShowEnvironmentReply> {
        self.note_other(request);
        scripted(self.script().shown.clone())
    }

    async fn apply(&self, request: Request<api::ApplyRequest>) -> Answered<api::ApplyReply> {
        self.note_other(request);
        scripted(self.script().applied.clone().transpose()?)
    }

    async fn diff(&self, request: Request<api::DiffRequest>) -> Answered<api::DiffReply> {
        self.note_other(request);
        scripted(self.script().diff.clone())
    }

    async fn set_maintenance(
        &self,
        request: Request<api::SetMaintenanceRequest>,
    ) -> Answered<api::SetMaintenanceReply> {
        self.note_other(request);
        scripted(self.script().maintenance.clone())
    }

    async fn database(
        &self,
        request: Request<api::DatabaseRequest>,
    ) -> Answered<api::DatabaseReply> {
        self.note_other(request);
        scripted(self.script().database.clone().transpose()?)
    }

    async fn php_options(
        &self,
        request: Request<api::PhpOptionsRequest>,
    ) -> Answered<api::PhpOptionsReply> {
        self.note_other(request);
        scripted(self.script().php_options.clone())
    }

    async fn status(&self, request: Request<api::StatusRequest>) -> Answered<api::StatusReply> {
        self.note_other(request);
        scripted(self.script().status.clone())
    }
}

#[tonic::async_trait]
impl Releases for Play {
    async fn list(
        &self,
        request: Request<api::ListReleasesRequest>,
    ) -> Answered<api::ListReleasesReply> {
        self.note_other(request);
        scripted(self.script().releases.clone())
    }

    async fn pin(&self, request: Request<api::PinRequest>) -> Answered<api::Release> {
        self.release(request)
    }

    async fn unpin(&self, request: Request<api::PinRequest>) -> Answered<api::Release> {
        self.release(request)
    }
}

#[tonic::async_trait]
impl Caches for Play {
    async fn clear(&self, request: Request<api::ClearRequest>) -> Answered<api::ClearReply> {
        self.note_other(request);
        let reply = self.script().cleared.pop_front();
        scripted(reply.transpose()?)
    }

    async fn invalidation(
        &self,
        request: Request<api::InvalidationRequest>,
    ) -> Answered<api::InvalidationReply> {
        self.note_other(request);
        let done = self.script().invalidations.pop_front();
        let done = done.transpose()?;
        scripted(done.map(|done| api::InvalidationReply { done }))
    }
}

#[tonic::async_trait]
impl Crons for Play {
    async fn list(&self, request: Request<api::ListCronsRequest>) -> Answered<api::ListCronsReply> {
        self.note_other(request);
        scripted(self.script().crons.clone())
    }

    async fn logs(&self, request: Request<api::CronLogsRequest>) -> Answered<api::CronLogsReply> {
        self.note_other(request);
        scripted(self.script().cron_logs.clone())
    }

    async fn run(&self, request: Request<api::RunCronRequest>) -> Answered<api::CronRun> {
        self.note_other(request);
        scripted(self.script().cron_run.clone().transpose()?)
    }

    async fn r#await(&self, request: Request<api::AwaitCronRequest>) -> Answered<api::CronRun> {
        self.note_other(request);
        self.cron_wait().await;
        scripted(self.script().cron_runs.pop_front())
    }

    async fn stop(&self, request: Request<api::StopCronsRequest>) -> Answered<api::StopCronsReply> {
        self.note_other(request);
        scripted(self.script().crons_stopped.clone())
    }

    async fn start(
        &self,
        request: Request<api::StartCronsRequest>,
    ) -> Answered<api::StartCronsReply> {
        self.note_other(request);
        scripted(self.script().crons_started.clone())
    }

    async fn idle(&self, request: Request<api::IdleCronsRequest>) -> Answered<api::IdleCronsReply> {
        self.note_other(request);
        self.cron_wait().await;
        scripted(self.script().crons_idle.pop_front())
    }
}

impl Play {
    /// Never ends while the script says so.
    async fn cron_wait(&self) {
        let spent = {
            let mut script = self.script();
            let left = script.crons_wait.checked_sub(1);
            left.map(|left| script.crons_wait = left)
        };
        if spent.is_some() {
            std::future::pending::<()>().await;
        }
    }
}

#[tonic::async_trait]
impl Doctor for Play {
    async fn check(&self, request: Request<api::CheckRequest>) -> Answered<api::CheckReply> {
        self.note_other(request);
        scripted(self.script().findings.clone())
    }
}

#[tonic::async_trait]
impl Nginx for Play {
    async fn update(
        &self,
        request: Request<api::UpdateNginxRequest>,
    ) -> Answered<api::UpdateNginxReply> {
        self.note_other(request);
        scripted(self.script().nginx.clone().transpose()?)
    }
}
