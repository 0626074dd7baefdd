//! Domain values as messages: free functions named `to_x`.

use stratus_core::cache::ClearReport;
use stratus_core::crons::{Lease, Owner};
use stratus_core::operation::Direction;
use stratus_core::operation::{Class, Entry, Event, Kind, Outcome, Plan, Ran};
use stratus_core::release::Counts;
use stratus_core::store::Operation;
use stratus_proto::v1 as proto;

use crate::caches::Waiting;
use crate::report::{Report, StepReport, StepState, describe};

/// An operation with its report.
pub fn to_operation(operation: &Operation, entries: &[Entry]) -> proto::Operation {
    let plan = &operation.plan;
    let report = Report::new(plan, entries);
    let counts = report.snapshot.as_ref().map(|s| s.counts);
    let target = plan.target.as_ref();
    let moves = plan.kind.moves_traffic();
    let tally = report.drain.and_then(|(_, tally)| tally);
    proto::Operation {
        operation: operation.id.to_string(),
        environment: plan.environment.name.to_string(),
        kind: to_kind(&plan.kind).into(),
        outcome: to_outcome(operation.outcome).into(),
        generation: target.map_or(0, |t| t.generation.0),
        release: to_release(plan, &report),
        files: counts.map(|c| c.files),
        bytes: counts.map(|c| c.bytes),
        copied: counts.map(|c| c.copied),
        linked: counts.map(|c| c.linked),
        steps: report.steps.iter().map(to_step).collect(),
        from: moves.then(|| plan.origin.as_ref().map_or(0, |o| o.generation.0)),
        to: target.filter(|_| moves).map(|t| t.generation.0),
        drained_ms: report.drain.map(|(ms, _)| ms),
        served_old: tally.map(|t| t.served_old),
        served_new: tally.map(|t| t.served_new),
        lost: tally.map(|t| t.lost),
        cut: tally.map(|t| t.cut),
        unattributed: tally.map(|t| t.unattributed),
        actor: operation.actor.clone(),
        created_ms: operation.created_ms,
        finished_ms: operation.finished_ms.unwrap_or(0),
        error: match operation.outcome {
            Some(Outcome::Completed) => String::new(),
            _ => report.error.clone().unwrap_or_default(),
        },
        stripped: report
            .snapshot
            .as_ref()
            .map(|s| s.stripped.clone())
            .unwrap_or_default(),
        hold_ms: report.hold_ms,
        held: report.hold_ms.and(tally).map(|t| t.held),
        longest_hold_ms: report.hold_ms.and(tally).map(|t| t.longest_hold_ms),
        hooks: report.hooks.iter().map(to_hook).collect(),
        rewritten: report.snapshot.map(|s| s.rewritten).unwrap_or_default(),
        caches: report.caches.iter().map(to_cache).collect(),
        still_running: report.still_running.clone(),
        source: plan
            .kind
            .source()
            .map(ToString::to_string)
            .unwrap_or_default(),
        commit: report.commit.unwrap_or_default(),
        unchecked: report.unchecked,
    }
}

/// How a cache fared.
pub fn to_cache(report: &ClearReport) -> proto::CacheReport {
    proto::CacheReport {
        cache: report.target.to_string(),
        state: report.state.name().to_owned(),
        ms: report.ms,
        error: report.error.clone(),
        receipt: report.receipt.clone().unwrap_or_default(),
    }
}

/// A cache that waits to be cleared.
pub fn to_pending(waiting: &Waiting) -> proto::PendingCache {
    let pending = &waiting.pending;
    proto::PendingCache {
        cache: pending.target.to_string(),
        since: pending.since_ms,
        tries: pending.tries,
        error: pending.error.clone(),
        next_ms: u64::try_from(waiting.next.as_millis()).unwrap_or(u64::MAX),
    }
}

fn to_release(plan: &Plan, report: &Report) -> String {
    let made = report.snapshot.as_ref().map(|s| &s.release);
    let known = plan.target.as_ref().and_then(|t| t.release.as_ref());
    let reaped = match &plan.kind {
        Kind::Reap { release } => Some(release),
        _ => None,
    };
    made.or(known)
        .or(reaped)
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn to_hook(ran: &Ran) -> proto::HookReport {
    proto::HookReport {
        command: ran.command.clone(),
        ms: ran.ms,
        output: ran.output.clone(),
    }
}

fn to_step(step: &StepReport) -> proto::StepReport {
    let outcome = match step.state {
        StepState::Pending => proto::Outcome::Pending,
        StepState::Running => proto::Outcome::Running,
        StepState::Completed => proto::Outcome::Completed,
        StepState::Failed => proto::Outcome::Failed,
        StepState::Undone => proto::Outcome::Undone,
    };
    proto::StepReport {
        name: step.step.name().to_owned(),
        ms: step.ms,
        outcome: outcome.into(),
        error: step.error.clone().unwrap_or_default(),
    }
}

/// A kind.
pub fn to_kind(kind: &Kind) -> proto::Kind {
    match kind {
        Kind::Init { .. } => proto::Kind::Init,
        Kind::Switch => proto::Kind::Switch,
        Kind::Rollback => proto::Kind::Rollback,
        Kind::Reinit { .. } => proto::Kind::Reinit,
        Kind::Deploy { .. } => proto::Kind::Deploy,
        Kind::Abort => proto::Kind::Abort,
        Kind::Retire { .. } => proto::Kind::Retire,
        Kind::Reap { .. } => proto::Kind::Reap,
    }
}

fn to_outcome(outcome: Option<Outcome>) -> proto::Outcome {
    match outcome {
        None => proto::Outcome::Running,
        Some(Outcome::Completed) => proto::Outcome::Completed,
        Some(Outcome::Undone) => proto::Outcome::Undone,
        Some(Outcome::Stuck { .. }) => proto::Outcome::Stuck,
    }
}

/// A plan as a dry run shows it.
pub fn to_plan(plan: &Plan) -> Vec<proto::PlannedStep> {
    let class = |class| match class {
        Class::Undo => "undo",
        Class::Pivot => "pivot",
        Class::Retry => "retry",
    };
    let steps = plan
        .steps
        .iter()
        .enumerate()
        .map(|(index, step)| proto::PlannedStep {
            name: step.name().to_owned(),
            class: class(plan.class(index)).to_owned(),
            description: describe(plan, *step),
        });
    steps.collect()
}

/// An event of `operation`.
pub fn to_event(operation: &Operation, entry: &Entry) -> proto::WatchReply {
    let name = |step: usize| {
        operation
            .plan
            .steps
            .get(step)
            .map_or("", |s| s.name())
            .to_owned()
    };
    let (phase, step, message) = match &entry.event {
        Event::Started { step, direction } => {
            let phase = either(*direction, proto::Phase::Started, proto::Phase::UndoStarted);
            let sentence = operation
                .plan
                .steps
                .get(*step)
                .map(|s| describe(&operation.plan, *s));
            (phase, name(*step), sentence.unwrap_or_default())
        }
        Event::Succeeded {
            step, direction, ..
        } => {
            let phase = either(*direction, proto::Phase::Succeeded, proto::Phase::Undone);
            (phase, name(*step), String::new())
        }
        Event::Failed {
            step,
            direction,
            message,
            ..
        } => {
            let phase = either(*direction, proto::Phase::Failed, proto::Phase::UndoFailed);
            (phase, name(*step), message.clone())
        }
        Event::CancelRequested => (proto::Phase::CancelRequested, String::new(), String::new()),
        Event::Resumed => (proto::Phase::Resumed, String::new(), String::new()),
        Event::Resolved { step, .. } => (proto::Phase::Resolved, name(*step), String::new()),
        Event::Finished { outcome } => (
            proto::Phase::Finished,
            String::new(),
            outcome.name().to_owned(),
        ),
    };
    proto::WatchReply {
        number: entry.number,
        at_ms: entry.at_ms,
        phase: phase.into(),
        step,
        message,
        progress: None,
        operation: None,
    }
}

fn either(direction: Direction, forward: proto::Phase, back: proto::Phase) -> proto::Phase {
    match direction {
        Direction::Forward => forward,
        Direction::Back => back,
    }
}

/// How far a snapshot is.
pub fn to_progress(counts: Counts, at_ms: u64) -> proto::WatchReply {
    proto::WatchReply {
        at_ms,
        phase: proto::Phase::Progress.into(),
        step: stratus_core::operation::Step::Snapshot.name().to_owned(),
        progress: Some(proto::Progress {
            files: counts.files,
            bytes: counts.bytes,
            copied: counts.copied,
            linked: counts.linked,
            bytes_copied: counts.bytes_copied,
        }),
        ..proto::WatchReply::default()
    }
}

/// Who holds crons back.
pub fn to_lease(lease: &Lease) -> proto::CronLease {
    proto::CronLease {
        until: lease.until_ms,
        since: lease.since_ms,
        owner: match &lease.owner {
            Owner::User => "crons.stop".to_owned(),
            Owner::Operation(id) => id.to_string(),
        },
        actor: lease.actor.clone(),
    }
}
