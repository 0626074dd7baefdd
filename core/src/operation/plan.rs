//! Plans: what an operation will do, as data, made once from the environment's state.

use serde::{Deserialize, Serialize};

use crate::environment::{Argv, Environment};
use crate::operation::kind::{Kind, Mode};
use crate::operation::step::{Class, Step};
use crate::state::{EnvironmentState, PoolRecord};
use crate::{Generation, OperationId, PoolId, ReleaseId};

/// The format of stored plans and journals that this code writes.
pub const FORMAT: u32 = 1;

/// What an operation will do. Everything in it is fixed when it is made: the environment's lock keeps it true.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// Whose plan.
    pub operation: OperationId,
    /// What was asked.
    pub kind: Kind,
    /// The spec it was planned with.
    pub environment: Box<Environment>,
    /// The pool that is made, moved to, or removed.
    pub target: Option<Target>,
    /// The pool that serves at the time of planning.
    pub origin: Option<PoolRecord>,
    /// The previous generation at the time of planning: what an undone route goes back to.
    pub previous: Option<Generation>,
    /// The roles at the time of planning: what an undone promotion goes back to.
    #[serde(default)]
    pub before: EnvironmentState,
    /// The standby at the time of planning: stale from the first step of an `init` on.
    pub stale: Option<Generation>,
    /// The release whose unchanged files are linked.
    pub base: Option<ReleaseId>,
    /// In order.
    pub steps: Vec<Step>,
}

/// The pool that an operation is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its generation.
    pub generation: Generation,
    /// What it serves, where that is known when planning.
    pub release: Option<ReleaseId>,
    /// How many members.
    pub members: u16,
}

impl From<&PoolRecord> for Target {
    fn from(record: &PoolRecord) -> Self {
        Self {
            generation: record.generation,
            release: Some(record.release.clone()),
            members: record.members,
        }
    }
}

/// Why there is nothing to plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Switch without a ready pool.
    #[error("there is no standby to switch to; run zerodowntime.init first")]
    NoStandby,
    /// Abort without a prepared pool.
    #[error("there is no standby to drop")]
    NothingToDrop,
    /// Rollback without a previous generation.
    #[error("there is no previous generation to go back to")]
    NoPrevious,
    /// A background operation whose reason is gone.
    #[error("nothing to do: {0} has a role again or is gone")]
    NotNeeded(String),
}

/// Whether the previous pool's members still run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Warmth {
    /// They run.
    Warm,
    /// At least one must be started.
    Cold,
}

/// What planning needs to know beside the kind.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The spec.
    pub environment: &'a Environment,
    /// The roles.
    pub state: &'a EnvironmentState,
    /// The number that a new pool takes.
    pub generation: Generation,
    /// Of the previous pool.
    pub warmth: Warmth,
}

impl Plan {
    /// Makes the plan for `kind`.
    ///
    /// # Errors
    /// When the state does not allow it: no standby, no previous generation, nothing to clean up.
    pub fn new(
        operation: OperationId,
        kind: Kind,
        context: Context<'_>,
    ) -> Result<Self, PlanError> {
        let Context {
            environment, state, ..
        } = context;
        let (target, steps) = match &kind {
            Kind::Init { .. } => (
                Some(fresh(&context)),
                [prepare(environment), vec![Step::Stage]].concat(),
            ),
            Kind::Reinit { .. } => (
                Some(fresh(&context)),
                [prepare(environment), switch(environment)].concat(),
            ),
            Kind::Deploy { mode, from, .. } => {
                let mut steps = deploy(environment, *mode);
                if from.is_some() {
                    from_elsewhere(&mut steps);
                }
                (Some(fresh(&context)), steps)
            }
            Kind::Switch => {
                let standby = state.standby.as_ref().ok_or(PlanError::NoStandby)?;
                let steps = [vec![Step::AwaitReady], switch(environment)].concat();
                (Some(standby.into()), steps)
            }
            Kind::Rollback => {
                let previous = state.previous.as_ref().ok_or(PlanError::NoPrevious)?;
                (Some(previous.into()), rollback(environment, context.warmth))
            }
            Kind::Abort => {
                let standby = state.standby.as_ref().ok_or(PlanError::NothingToDrop)?;
                (Some(standby.into()), vec![Step::Unstage, Step::Discard])
            }
            Kind::Retire { generation } => (Some(retired(state, *generation)?), vec![Step::Retire]),
            Kind::Reap { release } => {
                if state.releases().any(|used| used == release) {
                    return Err(PlanError::NotNeeded(format!("release {}", release.short())));
                }
                (None, vec![Step::Reap])
            }
        };
        Ok(Self {
            format: FORMAT,
            operation,
            environment: Box::new(environment.clone()),
            target,
            origin: state.live.clone(),
            previous: state.previous.as_ref().map(|p| p.generation),
            before: state.clone(),
            stale: state.standby.as_ref().map(|s| s.generation),
            base: base(state),
            kind,
            steps,
        })
    }

    /// What a failure of the step at this index means. A deployment is undone until its check has succeeded, though traffic
    /// has moved by then.
    ///
    /// # Panics
    /// When the plan has no such step.
    pub fn class(&self, step: usize) -> Class {
        let check = self.steps.iter().position(|s| *s == Step::Check);
        match check {
            Some(check) if step <= check => Class::Undo,
            _ => self.steps[step].class(),
        }
    }

    /// Whether traffic can go back after the old pool was drained.
    pub fn is_undone_after_drain(&self) -> bool {
        let drain = self.steps.iter().position(|s| *s == Step::Drain);
        drain.is_some_and(|drain| self.class(drain) == Class::Undo)
    }

    /// Whether its pool is frozen while traffic moves to it.
    pub fn freezes(&self) -> bool {
        self.steps.contains(&Step::Freeze)
    }

    /// The pool that the operation is about.
    pub fn pool(&self) -> Option<PoolId> {
        self.target
            .as_ref()
            .map(|t| PoolId::new(&self.environment.name, t.generation))
    }

    /// The pool that served when it was planned.
    pub fn origin_pool(&self) -> Option<PoolId> {
        self.origin
            .as_ref()
            .map(|o| PoolId::new(&self.environment.name, o.generation))
    }
}

/// The pool that is made.
fn fresh(context: &Context<'_>) -> Target {
    Target {
        generation: context.generation,
        release: None,
        members: context.environment.replicas.min,
    }
}

/// From the working tree to a pool that is ready.
fn prepare(environment: &Environment) -> Vec<Step> {
    let mut steps = copy();
    steps.extend([Step::Start, Step::AwaitReady]);
    if !environment.warm.is_empty() {
        steps.push(Step::Warm);
    }
    steps
}

/// From the working tree to a pool that can be started.
fn copy() -> Vec<Step> {
    vec![Step::Reserve, Step::Preflight, Step::Snapshot, Step::Create]
}

/// A whole deployment. Up to the check everything is undone when something fails, traffic included.
fn deploy(environment: &Environment, mode: Mode) -> Vec<Step> {
    let hooks = &environment.hooks;
    let hook = |step, commands: &[Argv]| (!commands.is_empty()).then_some(step);
    let before_switch = hook(Step::BeforeSwitch, &hooks.before_switch);
    // What was configured until a moment ago may still run: the hooks of a consistent deployment have no old code beside
    // them, whatever is configured now.
    let is_alone = mode == Mode::Consistent;
    let has_crons = is_alone || !environment.crons.is_empty();
    let mut steps = Vec::from_iter(has_crons.then_some(Step::StopCrons));
    steps.extend(hook(Step::BeforeInit, &hooks.before_init));
    steps.extend(match mode {
        Mode::BlueGreen | Mode::Consistent => prepare(environment),
        Mode::Rolling => copy(),
    });
    match mode {
        Mode::BlueGreen => {
            if before_switch.is_some() {
                // A hook may take its time: the pool is looked at again.
                steps.extend([Step::BeforeSwitch, Step::AwaitReady]);
            }
            steps.extend([Step::Route, Step::Promote, Step::Drain]);
            steps.extend(workers(environment, Step::Workers));
        }
        Mode::Rolling => {
            steps.extend(before_switch);
            steps.extend([Step::Roll, Step::Promote, Step::Drain]);
            steps.extend(workers(environment, Step::Workers));
        }
        Mode::Consistent => {
            steps.extend([Step::HaltWorkers, Step::Freeze, Step::Route, Step::Drain]);
            steps.extend(before_switch);
            steps.extend([Step::Thaw, Step::Confirm, Step::Promote, Step::Workers]);
        }
    }
    steps.extend(clear(environment));
    steps.extend(hook(Step::AfterSwitch, &hooks.after_switch));
    steps.push(Step::Check);
    steps.extend(has_crons.then_some(Step::StartCrons));
    steps.push(Step::Park);
    steps
}

/// What is not the working tree is brought here before all else, and removed as soon as there is a release of it.
fn from_elsewhere(steps: &mut Vec<Step>) {
    steps.insert(0, Step::Fetch);
    let copied = steps.iter().position(|step| *step == Step::Snapshot);
    let copied = copied.expect("a deployment makes a release");
    steps.insert(copied + 1, Step::Tidy);
}

/// The steps that move traffic to a pool that is ready.
fn switch(environment: &Environment) -> Vec<Step> {
    let mut steps = vec![Step::Route, Step::Promote, Step::Drain];
    steps.extend(workers(environment, Step::Workers));
    steps.extend(clear(environment));
    steps.push(Step::Park);
    steps
}

fn workers(environment: &Environment, step: Step) -> Option<Step> {
    (!environment.workers.is_empty()).then_some(step)
}

/// Caches are cleared when the old pool can no longer fill them.
fn clear(environment: &Environment) -> Option<Step> {
    (!environment.caches.is_empty()).then_some(Step::Clear)
}

fn rollback(environment: &Environment, warmth: Warmth) -> Vec<Step> {
    let mut steps = Vec::new();
    if warmth == Warmth::Cold {
        steps.push(Step::Start);
    }
    steps.push(Step::AwaitReady);
    steps.extend(switch(environment));
    steps
}

/// The previous pool, or one that has no role at all: what an interrupted operation's engine call left.
fn retired(state: &EnvironmentState, generation: Generation) -> Result<Target, PlanError> {
    let past = [&state.previous, &state.standby];
    let mut past = past.into_iter().flatten();
    match past.find(|record| record.generation == generation) {
        Some(record) => Ok(record.into()),
        None if state.generations().any(|g| g == generation) => {
            Err(PlanError::NotNeeded(format!("generation {generation}")))
        }
        None => Ok(Target {
            generation,
            release: None,
            members: 0,
        }),
    }
}

/// The newest release that is certain to stay on disk: a standby's goes with the standby.
fn base(state: &EnvironmentState) -> Option<ReleaseId> {
    let newest = [&state.live, &state.previous]
        .into_iter()
        .flatten()
        .max_by_key(|r| r.generation)?;
    Some(newest.release.clone())
}

#[cfg(test)]
mod tests;
