//! Lists of operations, and one in full.

use stratus_proto::v1::{Operation, Outcome};

use super::report;
use super::table;
use super::units::{date, now_ms, span, took};
use crate::output::Out;

/// Prints a line an operation.
pub fn list(out: &mut Out, operations: &[Operation]) {
    if operations.is_empty() {
        out.line("no operations");
        return;
    }
    let rows = operations.iter().map(|operation| {
        [
            operation.operation.clone(),
            operation.environment.clone(),
            report::name(operation.kind),
            report::outcome(operation.outcome),
            date(operation.created_ms),
            time(operation),
            operation.actor.clone(),
        ]
    });
    let heading = [
        "OPERATION",
        "ENVIRONMENT",
        "KIND",
        "OUTCOME",
        "BEGAN",
        "TOOK",
        "BY",
    ];
    table::print(out, heading, rows.collect());
}

/// Prints one operation with its steps.
pub fn show(out: &mut Out, operation: &Operation) {
    out.line(&format!(
        "{} {} of {}: {}",
        report::name(operation.kind),
        operation.operation,
        operation.environment,
        report::outcome(operation.outcome)
    ));
    let began = date(operation.created_ms);
    out.line(&format!(
        "began {began}, took {}, asked by {}",
        time(operation),
        operation.actor
    ));
    let rows = operation.steps.iter().map(|step| {
        let time = if step.ms == 0 {
            "-".into()
        } else {
            span(step.ms)
        };
        let outcome = report::outcome(step.outcome);
        [
            step.name.clone(),
            time,
            outcome,
            step.error.lines().next().unwrap_or("").into(),
        ]
    });
    table::print(
        out,
        ["STEP", "TOOK", "OUTCOME", "LAST FAILURE"],
        rows.collect(),
    );
    if report::completed(operation) {
        out.line(&report::success(operation));
    }
    for line in operation.error.lines() {
        out.line(line);
    }
}

/// One clause: what it is, where it is, how old it is.
pub fn under_way(operation: &Operation) -> String {
    let step = operation.steps.iter().find(|step| {
        matches!(
            step.outcome(),
            Outcome::Running | Outcome::Failed | Outcome::Stuck
        )
    });
    let step = step
        .map(|step| format!(" at step {}", step.name))
        .unwrap_or_default();
    format!(
        "{} {} is {}{step}, begun {} ago",
        report::name(operation.kind),
        operation.operation,
        report::outcome(operation.outcome),
        time(operation)
    )
}

fn time(operation: &Operation) -> String {
    let end = if operation.finished_ms == 0 {
        now_ms()
    } else {
        operation.finished_ms
    };
    took(end.saturating_sub(operation.created_ms))
}
