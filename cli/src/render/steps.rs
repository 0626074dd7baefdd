//! Follows an operation on a terminal or in a log: a line a step, and in between a spinner or now and then a line.

use std::collections::HashMap;

use indicatif::{ProgressBar, ProgressStyle};
use stratus_proto::v1::{Phase, Progress, WatchReply};

use super::escape;
use super::units::{bytes, count, counted, span};
use crate::follow::View;
use crate::output::Out;

/// Where there is no terminal, progress is printed this often.
const PLAIN_PROGRESS_EVERY_MS: u64 = 5_000;
/// How often the spinner turns.
const TURN_EVERY: std::time::Duration = std::time::Duration::from_millis(120);

/// Prints the steps of one operation.
pub struct Steps<'a> {
    out: &'a mut Out,
    bar: ProgressBar,
    started_ms: HashMap<String, u64>,
    progress: Option<Progress>,
    printed_ms: u64,
}

// === impl Steps ===

impl<'a> Steps<'a> {
    /// Steps that are printed to `out`; the spinner hides itself where stderr is no terminal.
    pub fn new(out: &'a mut Out) -> Self {
        let style =
            ProgressStyle::with_template("{spinner} {msg}").expect("the template is constant");
        let bar = ProgressBar::new_spinner().with_style(style);
        Self {
            out,
            bar,
            started_ms: HashMap::new(),
            progress: None,
            printed_ms: 0,
        }
    }

    fn line(&mut self, step: &str, text: &str) {
        let line = format!("{step:<12}  {text}");
        let out = &mut *self.out;
        self.bar.suspend(|| out.line(line.trim_end()));
    }

    fn begin(&mut self, event: &WatchReply, what: &str) {
        self.started_ms.insert(event.step.clone(), event.at_ms);
        self.progress = None;
        self.printed_ms = event.at_ms;
        self.spin(&format!("{}{what}", event.step));
    }

    fn spin(&mut self, text: &str) {
        if !self.bar.is_hidden() {
            self.bar.enable_steady_tick(TURN_EVERY);
            self.bar.set_message(escape::soften(&escape::line(text)));
        }
    }

    /// The time since the step began; empty when its beginning was not seen.
    fn time(&self, event: &WatchReply) -> String {
        match self.started_ms.get(&event.step) {
            Some(started) => span(event.at_ms.saturating_sub(*started)),
            None => String::new(),
        }
    }

    fn go_on(&mut self, event: &WatchReply) {
        let Some(progress) = event.progress else {
            self.spin(&format!("{}  {}", event.step, first_line(&event.message)));
            return;
        };
        self.progress = Some(progress);
        let started = self.started_ms.get(&event.step).copied();
        let elapsed_ms = event.at_ms.saturating_sub(started.unwrap_or(event.at_ms));
        let rate = (progress.bytes_copied * 1_000).checked_div(elapsed_ms);
        let rate = rate
            .map(|rate| format!(", {}/s", bytes(rate)))
            .unwrap_or_default();
        let text = figures(&progress) + &rate;
        if !self.bar.is_hidden() {
            self.spin(&format!("{}  {text}", event.step));
        } else if event.at_ms.saturating_sub(self.printed_ms) >= PLAIN_PROGRESS_EVERY_MS {
            self.printed_ms = event.at_ms;
            let time = self.time(event);
            self.line(&event.step, &format!("{time:<8}  {text} so far"));
        }
    }

    fn succeed(&mut self, event: &WatchReply) {
        let mut text = self.time(event);
        if let Some(progress) = event.progress.or(self.progress.take()) {
            text = format!("{text:<8}  {}", figures(&progress));
        } else if !event.message.is_empty() {
            text = format!("{text:<8}  {}", first_line(&event.message));
        }
        self.line(&event.step, &text);
    }
}

impl View for Steps<'_> {
    fn event(&mut self, event: &WatchReply) {
        let said = first_line(&event.message);
        match event.phase() {
            Phase::Started => self.begin(event, ""),
            Phase::Progress => self.go_on(event),
            Phase::Succeeded => self.succeed(event),
            Phase::Failed => {
                let text = format!("failed after {}: {said}", self.time(event));
                self.line(&event.step, &text);
            }
            Phase::UndoStarted => self.begin(event, " is undone"),
            Phase::Undone => {
                let text = format!("undone in {}", self.time(event));
                self.line(&event.step, &text);
            }
            Phase::UndoFailed => self.line(&event.step, &format!("could not be undone: {said}")),
            Phase::CancelRequested => self.line("", &format!("cancellation asked for {said}")),
            Phase::Resumed => self.line(&event.step, "is tried again"),
            Phase::Resolved => self.line(&event.step, "was declared to be as it should be"),
            Phase::Finished | Phase::Unspecified => {}
        }
    }

    fn notice(&mut self, text: &str) {
        let out = &mut *self.out;
        self.bar.suspend(|| out.note(text));
    }
}

impl Drop for Steps<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn figures(progress: &Progress) -> String {
    format!(
        "{}, {}: {} copied, {} linked",
        counted(progress.files, "file"),
        bytes(progress.bytes),
        count(progress.copied),
        count(progress.linked)
    )
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
