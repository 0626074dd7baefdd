//! Points at which a test ends the process as a power cut would. Compiled out unless the feature `failpoints` is on.
//!
//! `STRATUS_FAILPOINT=switch.route.after_effect` kills the process at that point of that step; see [`Point`].

use stratus_core::operation::{Direction, Kind, Step};

/// A boundary of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Nothing is written yet.
    BeforeStarted,
    /// `Started` is durable, the effect has not begun.
    AfterStarted,
    /// The effect is complete, nothing is written of it.
    AfterEffect,
    /// The result is durable.
    AfterResult,
}

impl Point {
    /// All points, in order.
    pub const ALL: [Self; 4] = [
        Self::BeforeStarted,
        Self::AfterStarted,
        Self::AfterEffect,
        Self::AfterResult,
    ];

    /// Its name in `STRATUS_FAILPOINT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeStarted => "before_started",
            Self::AfterStarted => "after_started",
            Self::AfterEffect => "after_effect",
            Self::AfterResult => "after_result",
        }
    }
}

/// Passes a point, or ends the process there.
pub fn pass(kind: &Kind, step: Step, direction: Direction, point: Point) {
    #[cfg(feature = "failpoints")]
    {
        let undo = if direction == Direction::Back {
            ".undo"
        } else {
            ""
        };
        let name = format!("{kind}.{step}{undo}.{}", point.name());
        if std::env::var("STRATUS_FAILPOINT").is_ok_and(|wanted| wanted == name) {
            eprintln!("failpoint {name}: killed");
            let _ = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            );
            loop {
                std::thread::park();
            }
        }
    }
    #[cfg(not(feature = "failpoints"))]
    let _ = (kind, step, direction, point);
}
