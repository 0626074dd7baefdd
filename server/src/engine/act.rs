//! What each step does, forward and back: the only place that calls the traits on behalf of an operation.
//!
//! | step | apply | undo |
//! | --- | --- | --- |
//! | fetch | bring code that is not the working tree's into a folder of the operation | remove it |
//! | reserve | forget and remove a stale standby | the same: it stays stale |
//! | preflight | image, tree, disk | – |
//! | snapshot | copy the code | remove what was copied |
//! | tidy | remove what was fetched | – |
//! | create | folder and containers | remove them |
//! | start | start the members | stop them |
//! | `await_ready`, warm | ask the members | – |
//! | stage | offer the pool | take it back |
//! | freeze | stop the new pool in its tracks | let it go on |
//! | route | move traffic, confirm | move it back, drain the pool |
//! | roll | the same member by member, each started and ready before | the same |
//! | thaw, confirm | let it go on, ask it through nginx | – |
//! | promote | write down who is live; restart policies | the roles and policies as they were |
//! | drain | wait until the old pool holds nothing | – |
//! | `stop_crons` | hold crons back, wait until none runs | let them run again |
//! | `start_crons` | let them run again | – |
//! | `halt_workers`, workers | stop them; start those of the new release | those of the live release |
//! | `before_init`, `before_switch`, `after_switch` | run the hooks, once | stop and remove what is left of them |
//! | check | look at the site as a visitor does; closed for maintenance, it may not be seen | – |
//! | clear | clear the caches; what fails goes on in the background | – |
//! | park | keep the old pool warm, or stop it and clear again if it held requests; remove older ones | – |
//! | unstage, discard | take the standby back, remove it | – |
//! | retire, reap | stop or remove a pool, remove a release, if still due | – |

mod caches;
mod crons;
mod deploy;
mod fetch;
mod hold;
mod hooks;
mod init;
mod retention;
mod roll;
mod switch;
mod workers;

use std::sync::Arc;

use async_trait::async_trait;
use stratus_core::fault::{Fault, Faulty};
use stratus_core::operation::{Entry, Output, Plan, Step};
use stratus_core::router::RouterError;
use stratus_core::runtime::RuntimeError;
use stratus_core::snapshots::SnapshotError;
use stratus_core::state::PoolRecord;
use stratus_core::store::StoreError;
use stratus_core::tasks::TaskError;
use stratus_core::{Pool, PoolId, Router, Runtime, Snapshots, Store, Tasks, Traffic};
use tokio_util::sync::CancellationToken;

use crate::caches::Clearing;
use crate::clock::Clock;
use crate::crons::Crons;
pub(in crate::engine) use crate::engine::act::hold::{has_moved, holds};
pub use crate::engine::act::workers::Turns;
use crate::engine::feed::Feed;

/// Applies and undoes steps. Both read "ensure": twice is the same as once.
#[async_trait]
pub trait Act: Send + Sync {
    /// Applies a step.
    async fn apply(&self, step: Step, situation: &Situation<'_>) -> Result<Output, ActError>;
    /// Undoes a step, which may have had all, some or none of its effect.
    async fn undo(&self, step: Step, situation: &Situation<'_>) -> Result<(), ActError>;
    /// The operation is stuck: nobody goes on before a person helps.
    async fn gave_up(&self, situation: &Situation<'_>);
}

/// What a step may look at.
pub struct Situation<'a> {
    /// The plan it belongs to.
    pub plan: &'a Plan,
    /// What happened so far.
    pub entries: &'a [Entry],
    /// Set when a user asked to stop.
    pub cancel: CancellationToken,
    /// Where progress is announced.
    pub feed: &'a Feed,
}

/// Acts on the machine.
#[derive(Clone)]
pub struct Machine {
    /// Runs pools.
    pub runtime: Arc<dyn Runtime>,
    /// Runs commands beside them.
    pub tasks: Arc<dyn Tasks>,
    /// Routes visitors.
    pub router: Arc<dyn Router>,
    /// Makes releases.
    pub snapshots: Arc<dyn Snapshots>,
    /// Counts requests.
    pub traffic: Arc<dyn Traffic>,
    /// Clears caches.
    pub caches: Clearing,
    /// Runs crons.
    pub crons: Crons,
    /// Keeps state.
    pub store: Arc<dyn Store>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Serialises changes of the route table.
    pub routes: Arc<tokio::sync::Mutex<()>>,
    /// Serialises changes of workers.
    pub workers: Turns,
}

/// Acts for the engine.
pub type Actor = Arc<dyn Act>;

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The container engine.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// nginx.
    #[error(transparent)]
    Router(#[from] RouterError),
    /// The copy.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A hook failed.
    #[error("{0}")]
    Hook(String),
    /// A cron does not end.
    #[error("{0}")]
    Cron(String),
    /// The site does not answer as it should.
    #[error("{0}")]
    Site(String),
    /// A user asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The server stops before the step is done: it is taken again when the server is back.
    #[error("the server stops; it goes on when it is back")]
    ShuttingDown,
    /// The plan and the stored state do not fit: nothing is guessed.
    #[error("{0}")]
    Inconsistent(String),
    /// A test wants it so.
    #[error("{message}")]
    Injected {
        /// Its message.
        message: &'static str,
        /// Its kind.
        fault: Fault,
    },
}

impl ActError {
    /// Whether it may pass.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Runtime(error) => error.fault(),
            Self::Router(error) => error.fault(),
            Self::Snapshot(error) => error.fault(),
            Self::Store(error) => error.fault(),
            Self::Task(error) => error.fault(),
            Self::ShuttingDown => Fault::Transient,
            Self::Hook(_)
            | Self::Cron(_)
            | Self::Site(_)
            | Self::Cancelled
            | Self::Inconsistent(_) => Fault::Permanent,
            Self::Injected { fault, .. } => *fault,
        }
    }
}

#[async_trait]
impl Act for Machine {
    async fn apply(&self, step: Step, situation: &Situation<'_>) -> Result<Output, ActError> {
        let plan = situation.plan;
        match step {
            Step::BeforeInit | Step::BeforeSwitch | Step::AfterSwitch => {
                let hooks = self.hooks(step, situation);
                return match step {
                    Step::BeforeSwitch => self.while_held(situation, hooks).await,
                    _ => hooks.await,
                };
            }
            Step::StopCrons => return self.stop_crons(situation).await,
            Step::StartCrons => self.start_crons(plan).await?,
            Step::HaltWorkers => self.halt_workers(plan).await?,
            Step::Workers => self.move_workers(plan).await?,
            Step::Fetch => return self.fetch(situation).await,
            Step::Tidy => self.forget_fetched(plan).await?,
            Step::Reserve => self.reserve(plan).await?,
            Step::Preflight => return self.preflight(plan).await,
            Step::Snapshot => return self.snapshot(situation).await,
            Step::Create => self.create(situation).await?,
            Step::Start => self.start(plan).await?,
            Step::AwaitReady => self.await_ready(situation).await?,
            Step::Warm => self.warm(situation).await?,
            Step::Stage => self.stage(plan).await?,
            Step::Freeze => self.runtime.freeze(&target(plan)?).await?,
            Step::Route => self.route(plan).await?,
            Step::Roll => self.roll(situation).await?,
            Step::Thaw => self.thaw(plan).await?,
            Step::Confirm => self.confirm(plan).await?,
            Step::Promote => self.promote(plan).await?,
            Step::Drain => return self.while_held(situation, self.drain(plan)).await,
            Step::Check => return self.check(situation).await,
            Step::Clear => return self.clear(plan).await,
            Step::Park => return self.park(situation).await,
            Step::Unstage => self.unstage(plan).await?,
            Step::Discard => self.discard(plan).await?,
            Step::Retire => self.retire(plan).await?,
            Step::Reap => self.reap(plan).await?,
        }
        Ok(Output::None)
    }

    async fn undo(&self, step: Step, situation: &Situation<'_>) -> Result<(), ActError> {
        let plan = situation.plan;
        match step {
            // A failed init leaves no standby that a script could switch to, even where Reserve itself is what failed.
            Step::Reserve => self.reserve(plan).await?,
            Step::Fetch => self.forget_fetched(plan).await?,
            Step::Snapshot => {
                self.snapshots
                    .discard(&plan.environment.name, &plan.operation)
                    .await?;
            }
            Step::Create => self.discard(plan).await?,
            Step::BeforeInit | Step::BeforeSwitch | Step::AfterSwitch => {
                self.remove_hooks(plan).await?;
            }
            Step::StopCrons => self.start_crons(plan).await?,
            Step::HaltWorkers | Step::Workers => self.restore_workers(plan).await?,
            Step::Start => self.runtime.stop(&target(plan)?, init::STOP_GRACE).await?,
            Step::Stage => self.unstage(plan).await?,
            Step::Freeze => self.let_go(plan).await?,
            Step::Route | Step::Roll => self.unroute(situation).await?,
            Step::Promote => self.demote(plan).await?,
            // They have no effect of their own, or are not undone: see the table above.
            Step::Preflight
            | Step::Tidy
            | Step::AwaitReady
            | Step::Warm
            | Step::Thaw
            | Step::Confirm
            | Step::Drain
            | Step::StartCrons
            | Step::Check
            | Step::Clear
            | Step::Park
            | Step::Unstage
            | Step::Discard
            | Step::Retire
            | Step::Reap => {}
        }
        Ok(())
    }

    async fn gave_up(&self, situation: &Situation<'_>) {
        self.close_if_held(situation).await;
    }
}

impl Machine {
    /// What the target pool was made of.
    async fn target_pool(&self, plan: &Plan) -> Result<Pool, ActError> {
        self.known_pool(&target(plan)?).await
    }

    pub(in crate::engine) async fn known_pool(&self, id: &PoolId) -> Result<Pool, ActError> {
        let pool = self.store.pool(id).await?;
        pool.ok_or_else(|| ActError::Inconsistent(format!("pool {id} is not in the state")))
    }

    fn record(&self, pool: &Pool) -> PoolRecord {
        PoolRecord {
            generation: pool.id.generation,
            release: pool.release.clone(),
            members: pool.members,
            since_ms: self.clock.now_ms(),
        }
    }
}

fn target(plan: &Plan) -> Result<PoolId, ActError> {
    plan.pool()
        .ok_or_else(|| ActError::Inconsistent(format!("{} has no target", plan.kind)))
}

/// The host name that members are asked with.
fn host(plan: &Plan) -> &str {
    plan.environment
        .hosts
        .first()
        .map_or("localhost", String::as_str)
}
