//! What an operation did, told from its plan and journal: the one place that sums them up.

use stratus_core::cache::{ClearReport, Target};
use stratus_core::operation::{Direction, Entry, Event, Kind, Output, Plan, Ran, Step};
use stratus_core::release::Snapshot;
use stratus_core::traffic::Tally;

/// An operation and what it did so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Every step of the plan, in order.
    pub steps: Vec<StepReport>,
    /// What the snapshot made.
    pub snapshot: Option<Snapshot>,
    /// How long requests were held, milliseconds.
    pub hold_ms: Option<u64>,
    /// The hooks that ran.
    pub hooks: Vec<Ran>,
    /// How the drain went: milliseconds, and what visitors saw.
    pub drain: Option<(u64, Option<Tally>)>,
    /// How each cache fared.
    pub caches: Vec<ClearReport>,
    /// Crons that a deployment did not wait for.
    pub still_running: Vec<String>,
    /// The commit that was fetched.
    pub commit: Option<String>,
    /// Why the site was not looked at before the end of a deployment.
    pub unchecked: Option<String>,
    /// The first failure that was not overcome.
    pub error: Option<String>,
}

/// A step and how it went.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Which.
    pub step: Step,
    /// From its first start to its last end, milliseconds.
    pub ms: u64,
    /// How it stands.
    pub state: StepState,
    /// Its last failure.
    pub error: Option<String>,
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// Not reached.
    Pending,
    /// Begun.
    Running,
    /// Applied.
    Completed,
    /// Failed, not undone.
    Failed,
    /// Undone.
    Undone,
}

impl Report {
    /// Sums up `entries` of `plan`.
    pub fn new(plan: &Plan, entries: &[Entry]) -> Self {
        let steps = plan
            .steps
            .iter()
            .enumerate()
            .map(|(i, step)| step_report(i, *step, entries));
        let mut report = Self {
            steps: steps.collect(),
            snapshot: None,
            hold_ms: None,
            hooks: Vec::new(),
            still_running: Vec::new(),
            drain: None,
            caches: Vec::new(),
            commit: None,
            unchecked: None,
            error: first_error(entries),
        };
        for entry in entries {
            let Event::Succeeded { output, .. } = &entry.event else {
                continue;
            };
            match output {
                Output::Held { hold_ms, tally } => {
                    report.hold_ms = Some(*hold_ms);
                    if let Some((_, counted)) = &mut report.drain {
                        *counted = *tally;
                    }
                }
                Output::Counted(tally) => {
                    if let Some((_, counted)) = &mut report.drain {
                        *counted = *tally;
                    }
                }
                Output::Fetched(fetched) => report.commit.clone_from(&fetched.commit),
                Output::Ran(ran) => report.hooks.extend(ran.iter().cloned()),
                Output::Copied(snapshot) => report.snapshot = Some(snapshot.clone()),
                Output::Drained {
                    drained_ms, tally, ..
                } => {
                    report.drain = Some((*drained_ms, *tally));
                }
                Output::Cleared(caches) => report.caches.clone_from(caches),
                Output::NotLookedAt(why) => report.unchecked = Some(why.clone()),
                Output::StillRunning(crons) => report.still_running.clone_from(crons),
                Output::None | Output::Checked { .. } => {}
            }
        }
        report
    }
}

fn step_report(index: usize, step: Step, entries: &[Entry]) -> StepReport {
    let mut report = StepReport {
        step,
        ms: 0,
        state: StepState::Pending,
        error: None,
    };
    let mut began = None;
    for entry in entries {
        let state = match &entry.event {
            Event::Started { step, .. } if *step == index => StepState::Running,
            Event::Succeeded {
                step, direction, ..
            }
            | Event::Resolved { step, direction }
                if *step == index =>
            {
                settled(*direction)
            }
            Event::Failed { step, message, .. } if *step == index => {
                report.error = Some(message.clone());
                StepState::Failed
            }
            _ => continue,
        };
        let first = *began.get_or_insert(entry.at_ms);
        report.ms = entry.at_ms.saturating_sub(first);
        report.state = state;
    }
    report
}

fn settled(direction: Direction) -> StepState {
    match direction {
        Direction::Forward => StepState::Completed,
        Direction::Back => StepState::Undone,
    }
}

/// The failure that began the unwinding, or that is stuck; none where every failure was overcome.
fn first_error(entries: &[Entry]) -> Option<String> {
    let overcome = |index: usize| {
        entries.iter().any(|e| {
            matches!(&e.event, Event::Succeeded { step, direction: Direction::Forward, .. } if *step == index)
        })
    };
    let failure = entries.iter().find_map(|entry| match &entry.event {
        Event::Failed {
            step,
            direction: Direction::Forward,
            message,
            ..
        } if !overcome(*step) => Some(message.clone()),
        _ => None,
    });
    let cancelled = || entries.iter().any(|e| e.event == Event::CancelRequested);
    failure.or_else(|| cancelled().then(|| "cancelled".to_owned()))
}

fn run(hooks: usize) -> String {
    match hooks {
        1 => "run a hook; what it does is not undone".to_owned(),
        many => format!("run {many} hooks; what they do is not undone"),
    }
}

/// One sentence on what a step of `plan` will do.
pub fn describe(plan: &Plan, step: Step) -> String {
    let environment = &plan.environment;
    let target = plan.target.as_ref().map_or(0, |t| t.generation.0);
    let members = plan.target.as_ref().map_or(0, |t| t.members);
    let origin = plan.origin.as_ref().map(|o| o.generation.0);
    match step {
        Step::StopCrons => "hold crons back, wait for those that run".to_owned(),
        Step::StartCrons => "let crons run again".to_owned(),
        Step::HaltWorkers => "stop the workers".to_owned(),
        Step::Workers => format!("move the workers to generation {target}"),
        Step::Reserve => match plan.stale {
            Some(stale) => format!("drop the standby of generation {stale}, which is stale"),
            None => "make sure there is no older standby".to_owned(),
        },
        Step::Preflight => format!("check {}, the tree and the disk", environment.php.image),
        Step::Fetch => match plan.kind.source() {
            Some(source) => format!("fetch {source}"),
            None => "fetch nothing".to_owned(),
        },
        Step::Snapshot => match plan.kind.source() {
            Some(_) => "copy what was fetched into a release".to_owned(),
            None => format!("copy {} into a release", environment.code.display()),
        },
        Step::Tidy => "remove what was fetched".to_owned(),
        Step::Create => format!("create {members} members of generation {target}"),
        Step::Start => format!("start {members} members of generation {target}"),
        Step::AwaitReady => format!(
            "wait until every member answers {} with {}",
            environment.ready.path, environment.ready.status
        ),
        Step::Warm => format!("fetch {} paths on every member", environment.warm.len()),
        Step::Stage => format!("offer generation {target} to a switch"),
        Step::BeforeInit => run(environment.hooks.before_init.len()),
        Step::BeforeSwitch => run(environment.hooks.before_switch.len()),
        Step::AfterSwitch => run(environment.hooks.after_switch.len()),
        Step::Freeze => format!("let requests wait for generation {target}"),
        Step::Thaw => format!("let generation {target} answer what waited"),
        Step::Confirm => format!("ask generation {target} through nginx"),
        Step::Check => format!("look at {} as a visitor does", environment.check.path),
        Step::Route => match origin {
            Some(origin) => format!("move traffic from generation {origin} to {target}"),
            None => format!("move traffic to generation {target}"),
        },
        Step::Roll => format!(
            "move traffic to generation {target} member by member; both releases serve meanwhile"
        ),
        Step::Promote => format!("write down that generation {target} is live"),
        Step::Drain => match origin {
            Some(origin) => format!("wait until generation {origin} holds no request"),
            None => "nothing to drain".to_owned(),
        },
        Step::Clear => {
            let targets = Target::after_a_switch(&environment.caches);
            let names: Vec<_> = targets.iter().map(ToString::to_string).collect();
            format!("clear {}", names.join(", "))
        }
        Step::Park => "keep the old pool warm for a rollback, remove older ones".to_owned(),
        Step::Unstage => format!("take generation {target} out of reach of a switch"),
        Step::Discard => format!("stop and remove the members of generation {target}"),
        Step::Retire => format!("stop generation {target}, which is no longer wanted warm"),
        Step::Reap => match &plan.kind {
            Kind::Reap { release } => format!("remove release {}", release.short()),
            _ => "remove a release".to_owned(),
        },
    }
}
