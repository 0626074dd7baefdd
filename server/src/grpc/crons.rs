//! The service `Crons`.

use std::time::Duration;

use stratus_core::crons::{Cause, CronRun, OUTPUT_KEPT, Owner, RUNS_KEPT, RunEnd, RunState, Slot};
use stratus_core::tasks::ObservedTask;
use stratus_core::{Environment, EnvironmentName};
use stratus_proto::v1 as proto;
use stratus_proto::v1::crons_server::Crons;
use tonic::{Request, Response, Status};

use crate::crons::AskError;
use crate::crons::schedule::Schedule;
use crate::grpc::convert::to_lease;
use crate::grpc::{Api, actor, status};

/// How long one question may stay open.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// How long crons can be held back at once.
const STOP_MAX: Duration = Duration::from_hours(24);

#[tonic::async_trait]
impl Crons for Api {
    async fn list(
        &self,
        request: Request<proto::ListCronsRequest>,
    ) -> Result<Response<proto::ListCronsReply>, Status> {
        let environment = self.environment(&request.into_inner().environment).await?;
        let machine = &self.control.machine;
        let now_ms = machine.clock.now_ms();
        let mut crons = Vec::new();
        for cron in &environment.crons {
            let schedule = Schedule::parse(&cron.at, &cron.zone).ok();
            let newest = machine
                .store
                .cron_runs(&environment.name, Some(&cron.name), 1);
            let newest = newest.await.map_err(|e| status::store(&e))?;
            crons.push(proto::Cron {
                name: cron.name.clone(),
                at: cron.at.clone(),
                zone: cron.zone.clone(),
                run: cron.run.clone(),
                next: schedule.and_then(|s| s.next(now_ms)).unwrap_or_default(),
                last: newest.first().map(to_run).map(without_output),
            });
        }
        let seen = machine.tasks.list().await;
        let seen = seen.map_err(|e| status::faulty(&e))?;
        let lease = machine.crons.lease(&environment.name).await;
        Ok(Response::new(proto::ListCronsReply {
            crons,
            workers: to_workers(&environment, &seen),
            stopped: lease.map_err(|e| status::store(&e))?.as_ref().map(to_lease),
            environment: environment.name.to_string(),
        }))
    }

    async fn logs(
        &self,
        request: Request<proto::CronLogsRequest>,
    ) -> Result<Response<proto::CronLogsReply>, Status> {
        let request = request.into_inner();
        let environment = self.environment(&request.environment).await?;
        if environment.workers.iter().any(|w| w.name == request.name) {
            let output = self.worker_output(&environment.name, &request.name).await?;
            let runs = Vec::new();
            return Ok(Response::new(proto::CronLogsReply { runs, output }));
        }
        let machine = &self.control.machine;
        let limit = request.runs.clamp(1, RUNS_KEPT);
        let newest = machine
            .store
            .cron_runs(&environment.name, Some(&request.name), limit);
        let newest = newest.await.map_err(|e| status::store(&e))?;
        let is_known = environment.crons.iter().any(|c| c.name == request.name);
        if newest.is_empty() && !is_known {
            let (name, asked) = (&environment.name, &request.name);
            return Err(Status::not_found(format!(
                "{name} has no cron and no worker {asked:?}; crons.list shows those there are"
            )));
        }
        let mut runs = Vec::new();
        for run in newest.iter().rev() {
            let mut shown = to_run(run);
            if matches!(run.state, RunState::Running(_)) {
                shown.output = machine.crons.output(&run.slot).await;
            }
            runs.push(shown);
        }
        let output = String::new();
        Ok(Response::new(proto::CronLogsReply { runs, output }))
    }

    async fn run(
        &self,
        request: Request<proto::RunCronRequest>,
    ) -> Result<Response<proto::CronRun>, Status> {
        let actor = actor(&request);
        let request = request.into_inner();
        let environment = self.environment(&request.environment).await?;
        let crons = &self.control.machine.crons;
        let run = crons.ask(&environment, &request.cron, &actor).await;
        let run = run.map_err(|error| match error {
            AskError::Unknown { .. } => Status::not_found(error.to_string()),
            AskError::Held(_) => Status::failed_precondition(error.to_string()),
            AskError::Store(error) => status::store(&error),
        })?;
        Ok(Response::new(to_run(&run)))
    }

    async fn r#await(
        &self,
        request: Request<proto::AwaitCronRequest>,
    ) -> Result<Response<proto::CronRun>, Status> {
        let request = request.into_inner();
        let environment = self.environment(&request.environment).await?;
        let slot = Slot {
            environment: environment.name,
            cron: request.cron,
            at_ms: request.slot,
        };
        let crons = &self.control.machine.crons;
        let run = crons.settled(&slot, wait(request.wait_ms)).await;
        let run = run.map_err(|e| status::store(&e))?;
        let run = run.ok_or_else(|| Status::not_found(format!("there is no run {slot}")))?;
        Ok(Response::new(to_run(&run)))
    }

    async fn stop(
        &self,
        request: Request<proto::StopCronsRequest>,
    ) -> Result<Response<proto::StopCronsReply>, Status> {
        let actor = actor(&request);
        let request = request.into_inner();
        let environment = self.environment(&request.environment).await?.name;
        let time = Duration::from_millis(request.for_ms);
        if time.is_zero() || time > STOP_MAX {
            let most = humantime::format_duration(STOP_MAX);
            return Err(Status::invalid_argument(format!(
                "crons can be stopped for more than nothing, and for {most} at most"
            )));
        }
        let crons = &self.control.machine.crons;
        let stopped = crons.stop(&environment, &Owner::User, &actor, time, Duration::ZERO);
        let stopped = stopped.await.map_err(|e| status::store(&e))?;
        Ok(Response::new(proto::StopCronsReply {
            environment: environment.to_string(),
            lease: Some(to_lease(&stopped.lease)),
            running: stopped.running.iter().map(to_run).collect(),
        }))
    }

    async fn start(
        &self,
        request: Request<proto::StartCronsRequest>,
    ) -> Result<Response<proto::StartCronsReply>, Status> {
        let actor = actor(&request);
        let environment = self.environment(&request.into_inner().environment).await?;
        let name = environment.name;
        tracing::info!(environment = %name, %actor, "crons.start");
        let crons = &self.control.machine.crons;
        crons.release(&name).await.map_err(|e| status::store(&e))?;
        let still = crons.start(&name, &Owner::User).await;
        let still = still.map_err(|e| status::store(&e))?;
        Ok(Response::new(proto::StartCronsReply {
            environment: name.to_string(),
            stopped: still.as_ref().map(to_lease),
        }))
    }

    async fn idle(
        &self,
        request: Request<proto::IdleCronsRequest>,
    ) -> Result<Response<proto::IdleCronsReply>, Status> {
        let request = request.into_inner();
        let environment = self.environment(&request.environment).await?.name;
        let crons = &self.control.machine.crons;
        let running = crons.idle(&environment, wait(request.wait_ms)).await;
        let running = running.map_err(|e| status::store(&e))?;
        let running = running.iter().map(to_run).collect();
        Ok(Response::new(proto::IdleCronsReply { running }))
    }
}

impl Api {
    /// The end of what a worker wrote; empty where it does not run.
    async fn worker_output(
        &self,
        environment: &EnvironmentName,
        worker: &str,
    ) -> Result<String, Status> {
        let tasks = &self.control.machine.tasks;
        let seen = tasks.list().await.map_err(|e| status::faulty(&e))?;
        let Some(found) = seen
            .iter()
            .find(|seen| is_worker(seen, environment, worker))
        else {
            return Ok(String::new());
        };
        let output = tasks.output(&found.id, OUTPUT_KEPT).await;
        Ok(output.map_err(|e| status::faulty(&e))?.text)
    }
}

fn wait(ms: u64) -> Duration {
    Duration::from_millis(ms).min(WAIT_MAX)
}

fn is_worker(seen: &ObservedTask, environment: &EnvironmentName, worker: &str) -> bool {
    let words: Vec<&str> = seen.id.name.as_str().split('.').take(2).collect();
    &seen.id.environment == environment && words == ["worker", worker]
}

fn to_workers(environment: &Environment, seen: &[ObservedTask]) -> Vec<proto::Worker> {
    let to_worker = |worker: &stratus_core::environment::Worker| {
        let found = seen
            .iter()
            .find(|seen| is_worker(seen, &environment.name, &worker.name));
        let release = found.and_then(|seen| seen.release.as_ref());
        proto::Worker {
            name: worker.name.clone(),
            run: worker.run.clone(),
            running: found.is_some_and(|seen| seen.running),
            restarting: found.is_some_and(|seen| seen.restarting),
            release: release.map(ToString::to_string).unwrap_or_default(),
        }
    };
    environment.workers.iter().map(to_worker).collect()
}

fn without_output(run: proto::CronRun) -> proto::CronRun {
    proto::CronRun {
        output: String::new(),
        ..run
    }
}

fn to_run(run: &CronRun) -> proto::CronRun {
    let mut shown = proto::CronRun {
        environment: run.slot.environment.to_string(),
        cron: run.slot.cron.clone(),
        slot: run.slot.at_ms,
        actor: match &run.cause {
            Cause::Schedule => String::new(),
            Cause::Asked { actor } => actor.clone(),
        },
        state: run.state.name().to_owned(),
        ..proto::CronRun::default()
    };
    let began = match &run.state {
        RunState::Waiting => return shown,
        RunState::Skipped(skipped) => {
            shown.reason.clone_from(&skipped.reason);
            shown.slots = skipped.slots;
            shown.last_slot = skipped.last_ms;
            return shown;
        }
        RunState::Running(began) => began,
        RunState::Over(over) => {
            shown.ended = over.ended_ms;
            shown.output.clone_from(&over.output);
            shown.cut = over.cut;
            let (end, exit) = match &over.end {
                RunEnd::Exit { code, .. } => ("exit", Some(*code)),
                RunEnd::TimedOut => ("timed_out", None),
                RunEnd::NotStarted { .. } => ("not_started", None),
                RunEnd::Interrupted => ("interrupted", None),
            };
            end.clone_into(&mut shown.end);
            shown.exit = exit;
            if let RunEnd::NotStarted { reason } = &over.end {
                shown.reason.clone_from(reason);
            }
            shown.out_of_memory = matches!(
                over.end,
                RunEnd::Exit {
                    out_of_memory: true,
                    ..
                }
            );
            &over.began
        }
    };
    shown.release = began.release.to_string();
    shown.began = began.at_ms;
    shown
}
