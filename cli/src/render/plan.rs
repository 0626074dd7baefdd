//! A dry run: the steps that would be taken.

use stratus_proto::v1::SubmitReply;

use super::table;
use super::units::count;
use crate::output::Out;
use crate::render::report;

/// Prints what would be done, step by step.
pub fn print(out: &mut Out, reply: &SubmitReply) {
    let what = report::name(reply.kind);
    let generations = match (reply.from, reply.to) {
        (0, 0) => String::new(),
        (0, to) => format!(", generation {to}"),
        (from, 0) => format!(", generation {from}"),
        (from, to) => format!(", generation {from} to {to}"),
    };
    out.line(&format!(
        "{what} of {}{generations}; nothing has been done",
        reply.environment
    ));
    let rows = reply.plan.iter().zip(1..).map(|(step, number)| {
        let class = match step.class.as_str() {
            "undo" => "undone if it fails",
            "pivot" => "point of no return",
            "retry" => "repeated until it succeeds",
            other => other,
        };
        [
            count(number),
            step.name.clone(),
            class.into(),
            step.description.clone(),
        ]
    });
    table::print(out, ["", "STEP", "FAILURE", "WHAT"], rows.collect());
}
