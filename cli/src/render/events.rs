//! Follows an operation without a word, or as one JSON object an event.

use stratus_proto::v1::WatchReply;

use super::report;
use crate::follow::View;
use crate::output::Out;

/// Prints remarks only.
pub struct Quiet<'a>(pub &'a mut Out);

impl View for Quiet<'_> {
    fn event(&mut self, _: &WatchReply) {}

    fn notice(&mut self, text: &str) {
        self.0.note(text);
    }
}

/// Prints every event as an object on a line of its own.
pub struct Events<'a>(pub &'a mut Out);

impl View for Events<'_> {
    fn event(&mut self, event: &WatchReply) {
        match &event.operation {
            Some(operation) if !report::completed(operation) => {
                let failure = report::failure(operation).object();
                let mut object = serde_json::to_value(event).unwrap_or_default();
                object["operation"] = failure;
                self.0.failed_object(&object);
            }
            _ => self.0.json(event),
        }
    }

    fn notice(&mut self, text: &str) {
        self.0.note(text);
    }
}
