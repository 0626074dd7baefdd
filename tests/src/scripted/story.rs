//! The events of an operation as a server would tell them, written in a few words.

use stratus_proto::v1::{Kind, Operation, Outcome, Phase, Progress, SubmitReply, WatchReply};

use super::{Answer, Line, Script};

/// The id of the operation in every story.
pub const ID: &str = "0190a6d2-7c00-7000-8000-000000000001";
/// When it begins, milliseconds since 1970: 2026-11-22 12:00:00 UTC.
pub const BEGAN_MS: u64 = 1_795_348_800_000;

/// The events of one operation, in order.
pub struct Story {
    lines: Vec<Line>,
    number: u64,
    at_ms: u64,
}

impl Default for Story {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            number: 0,
            at_ms: BEGAN_MS,
        }
    }
}

// === impl Story ===

impl Story {
    /// A story that goes on after event `number`.
    pub fn after(number: u64) -> Self {
        Self {
            number,
            ..Self::default()
        }
    }

    /// Lets time pass.
    #[must_use]
    pub fn wait(mut self, ms: u64) -> Self {
        self.at_ms += ms;
        self
    }

    /// Something that is in the journal.
    #[must_use]
    pub fn event(mut self, phase: Phase, step: &str, message: &str) -> Self {
        self.number += 1;
        let number = self.number;
        self.push(WatchReply {
            number,
            phase: phase.into(),
            step: step.into(),
            message: message.into(),
            ..WatchReply::default()
        })
    }

    /// A step that takes `ms` and succeeds.
    #[must_use]
    pub fn step(self, step: &str, ms: u64) -> Self {
        self.event(Phase::Started, step, "")
            .wait(ms)
            .event(Phase::Succeeded, step, "")
    }

    /// Figures of a snapshot.
    #[must_use]
    pub fn progress(self, step: &str, progress: Progress) -> Self {
        self.push(WatchReply {
            phase: Phase::Progress.into(),
            step: step.into(),
            progress: Some(progress),
            ..WatchReply::default()
        })
    }

    /// Nothing more before the test says so.
    #[must_use]
    pub fn gate(mut self) -> Self {
        self.lines.push(Line::Gate);
        self
    }

    /// The end, with the report.
    pub fn finish(mut self, mut operation: Operation) -> Vec<Line> {
        operation.finished_ms = self.at_ms;
        self.number += 1;
        let number = self.number;
        self.push(WatchReply {
            number,
            phase: Phase::Finished.into(),
            operation: Some(operation),
            ..WatchReply::default()
        })
        .lines
    }

    /// The lines so far.
    pub fn lines(self) -> Vec<Line> {
        self.lines
    }

    fn push(mut self, mut event: WatchReply) -> Self {
        event.at_ms = self.at_ms;
        self.lines.push(Line::Event(Box::new(event)));
        self
    }
}

/// An operation on `shop` that ended so.
pub fn operation(kind: Kind, outcome: Outcome) -> Operation {
    Operation {
        operation: ID.into(),
        environment: "shop".into(),
        kind: kind.into(),
        outcome: outcome.into(),
        generation: 43,
        release: "1f0c9a5d7e3b4c2a8f6d".into(),
        actor: "uid 0".into(),
        created_ms: BEGAN_MS,
        ..Operation::default()
    }
}

/// The answer to a submit that begins the operation of the story.
pub fn begun(kind: Kind) -> SubmitReply {
    SubmitReply {
        operation: ID.into(),
        environment: "shop".into(),
        kind: kind.into(),
        ..SubmitReply::default()
    }
}

/// A script in which one operation is submitted and followed.
pub fn script(kind: Kind, lines: Vec<Line>) -> Script {
    Script {
        submit: [Answer::Begun(begun(kind))].into(),
        watch: [lines].into(),
        ..Script::default()
    }
}

/// A switch that takes 0.71 s and counted its requests.
pub fn switch() -> Script {
    let lines = Story::default()
        .step("await_ready", 40)
        .step("route", 90)
        .step("promote", 20);
    let lines = lines
        .step("drain", 260)
        .step("park", 300)
        .finish(Operation {
            from: Some(42),
            to: Some(43),
            drained_ms: Some(260),
            served_old: Some(120),
            served_new: Some(310),
            lost: Some(0),
            cut: Some(0),
            unattributed: Some(0),
            ..operation(Kind::Switch, Outcome::Completed)
        });
    script(Kind::Switch, lines)
}

/// An init of 100,000 files that takes over eight seconds.
pub fn init() -> Script {
    let figures = |files, copied| Progress {
        files,
        bytes: files * 6_150,
        copied,
        linked: files - copied,
        bytes_copied: copied * 6_150,
    };
    let story = Story::default().step("reserve", 15).step("preflight", 210);
    let story = story.event(Phase::Started, "snapshot", "").wait(1_000);
    let story = story.progress("snapshot", figures(12_000, 20)).wait(5_000);
    let story = story.progress("snapshot", figures(80_000, 40)).wait(1_100);
    let story = story.progress("snapshot", figures(100_000, 50));
    let story = story
        .event(Phase::Succeeded, "snapshot", "")
        .step("create", 120);
    let story = story
        .step("start", 640)
        .step("await_ready", 410)
        .step("stage", 8);
    let lines = story.finish(Operation {
        files: Some(100_000),
        bytes: Some(615_000_000),
        copied: Some(50),
        linked: Some(99_950),
        stripped: vec!["bin/tool".into()],
        ..operation(Kind::Init, Outcome::Completed)
    });
    script(Kind::Init, lines)
}

/// An init whose new pool never becomes ready: it is undone.
pub fn undone() -> Script {
    let reason = "shop-g43-0 was not ready within 60s: GET /index.php answered 500\n\
                  <b>Fatal error</b>: Uncaught Error: no such class\n\
                  log: \u{1b}[31mNOTICE: ready to handle connections";
    let story = Story::default().step("reserve", 15).step("start", 400);
    let story = story.event(Phase::Started, "await_ready", "").wait(60_000);
    let story = story.event(Phase::Failed, "await_ready", reason);
    let story = story.event(Phase::UndoStarted, "start", "").wait(250);
    let lines = story.event(Phase::Undone, "start", "").finish(Operation {
        error: reason.into(),
        ..operation(Kind::Init, Outcome::Undone)
    });
    script(Kind::Init, lines)
}
