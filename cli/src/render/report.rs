//! What an operation came to: one line of success, or the failure with what to do about it.

use std::fmt::Write as _;

use stratus_proto::json::lower;
use stratus_proto::v1::{Kind, Operation, Outcome};

use super::caches;
use super::units::{bytes, count, counted, short, span, took};
use crate::error::CliError;
use crate::output::Out;

/// How many stripped or rewritten paths are named.
const NAMED_PATHS: usize = 10;

/// The name of a kind: `init`.
pub fn name(kind: i32) -> String {
    lower(Kind::try_from(kind).unwrap_or_default().as_str_name())
}

/// The name of an outcome: `completed`.
pub fn outcome(outcome: i32) -> String {
    lower(Outcome::try_from(outcome).unwrap_or_default().as_str_name())
}

/// Whether an operation did what was asked.
pub fn completed(operation: &Operation) -> bool {
    operation.outcome() == Outcome::Completed
}

/// Prints the result of a completed operation; any other outcome is a failure.
pub fn conclude(out: &mut Out, operation: &Operation) -> Result<(), CliError> {
    if !completed(operation) {
        return Err(failure(operation));
    }
    paths(
        out,
        "removed setuid, setgid or capabilities from",
        &operation.stripped,
    );
    paths(out, "made relative:", &operation.rewritten);
    out.line(&success(operation));
    Ok(())
}

fn paths(out: &mut Out, what: &str, paths: &[String]) {
    for path in paths.iter().take(NAMED_PATHS) {
        out.line(&format!("{what} {path}"));
    }
    if paths.len() > NAMED_PATHS {
        out.line(&format!("{what} {} more", paths.len() - NAMED_PATHS));
    }
}

/// Crons that a deployment did not wait for. Shape: `; the cron reindex still runs, on the release it began on`.
fn still_running(operation: &Operation) -> String {
    match operation.still_running.as_slice() {
        [] => String::new(),
        crons => format!(
            "; the cron {} still runs, on the release it began on",
            crons.join(", ")
        ),
    }
}

/// Shape: `; the site was not looked at: in maintenance`.
fn unchecked(operation: &Operation) -> String {
    match &operation.unchecked {
        Some(why) => format!("; the site was not looked at: {why}"),
        None => String::new(),
    }
}

/// What a release was made from, where that was not the working tree. Shape: ` of https://…/shop.git#v1.2 (1b2c3d4e5f60)`.
fn source(operation: &Operation) -> String {
    let commit: String = operation.commit.chars().take(12).collect();
    match (operation.source.as_str(), commit.as_str()) {
        ("", _) => String::new(),
        (source, "") => format!(" of {source}"),
        (source, commit) => format!(" of {source} ({commit})"),
    }
}

/// The line of a completed operation, with its figures.
pub fn success(operation: &Operation) -> String {
    let environment = &operation.environment;
    let generation = operation.generation;
    let time = took(operation.finished_ms.saturating_sub(operation.created_ms));
    match operation.kind() {
        Kind::Init => format!(
            "prepared {environment} generation {generation}, release {}, in {time}{}; \
             zerodowntime.switch makes it live",
            short(&operation.release),
            copied(operation)
        ),
        Kind::Deploy | Kind::Reinit => format!(
            "deployed {environment} generation {}, release {}{}, in {time}{}; {}{}{}{}",
            operation.to.unwrap_or(generation),
            short(&operation.release),
            source(operation),
            copied(operation),
            served(operation),
            caches::clause(operation),
            still_running(operation),
            unchecked(operation)
        ),
        Kind::Switch => format!(
            "switched {environment} to generation {} in {time}: {}{}",
            operation.to.unwrap_or(generation),
            served(operation),
            caches::clause(operation)
        ),
        Kind::Rollback => format!(
            "rolled {environment} back to generation {} in {time}: {}{}",
            operation.to.unwrap_or(generation),
            served(operation),
            caches::clause(operation)
        ),
        Kind::Abort => {
            format!("dropped the standby of {environment}, generation {generation}, in {time}")
        }
        Kind::Retire => format!("stopped generation {generation} of {environment} in {time}"),
        Kind::Reap => {
            format!(
                "removed release {} of {environment} in {time}",
                short(&operation.release)
            )
        }
        Kind::Unspecified => format!("done in {time}"),
    }
}

fn copied(operation: &Operation) -> String {
    let Some(files) = operation.files else {
        return String::new();
    };
    let mut text = format!(": {}", counted(files, "file"));
    if let Some(size) = operation.bytes {
        let _ = write!(text, ", {}", bytes(size));
    }
    if let (Some(copied), Some(linked)) = (operation.copied, operation.linked) {
        let _ = write!(text, ", {} copied, {} linked", count(copied), count(linked));
    }
    text
}

fn served(operation: &Operation) -> String {
    let drained = match (operation.drained_ms, operation.from) {
        (Some(ms), _) => format!("drained in {}", span(ms)),
        (None, Some(0)) => "nothing to drain".into(),
        (None, _) => "the drain was not timed".into(),
    };
    let requests = match (operation.served_old, operation.served_new, operation.lost) {
        (Some(old), Some(new), Some(lost)) => {
            format!(
                "served {} old / {} new, {} lost",
                count(old),
                count(new),
                count(lost)
            )
        }
        _ => "requests were not counted".into(),
    };
    let cut = operation.cut.filter(|cut| *cut > 0);
    let cut = cut
        .map(|cut| format!(", {} cut", count(cut)))
        .unwrap_or_default();
    let unknown = operation.unattributed.filter(|number| *number > 0);
    let unknown = unknown
        .map(|n| format!(", {} of unknown generation", count(n)))
        .unwrap_or_default();
    let held = operation
        .hold_ms
        .map(|ms| match (operation.held, operation.longest_hold_ms) {
            (Some(held), Some(longest)) => {
                format!(", {} held for {} at most", count(held), span(longest))
            }
            _ => format!(", visitors waited for {} at most", span(ms)),
        });
    format!(
        "{drained}, {requests}{cut}{unknown}{}",
        held.unwrap_or_default()
    )
}

/// An operation that was undone or is stuck, as a failure.
pub fn failure(operation: &Operation) -> CliError {
    let what = format!("{} of {}", name(operation.kind), operation.environment);
    let id = &operation.operation;
    let reason = match operation.error.trim() {
        "" => "the server gave no reason",
        reason => reason,
    };
    // The first line is the reason, further ones are a body or a log.
    let (first, rest) = reason.split_once('\n').unwrap_or((reason, ""));
    let error = |text: String| CliError::failed(format!("{text}\n{rest}"));
    let error = match operation.outcome() {
        Outcome::Stuck => {
            let at = |step: &&stratus_proto::v1::StepReport| {
                !matches!(
                    step.outcome(),
                    Outcome::Completed | Outcome::Pending | Outcome::Undone
                )
            };
            let step = operation.steps.iter().find(at);
            let step = step
                .map(|step| format!(" at step {}", step.name))
                .unwrap_or_default();
            error(format!("{what} is stuck{step}: {first}"))
                .hint(format!(
                    "try the step again with: stratus operations.resume {id}"
                ))
                .hint(format!(
                    "or, when it is as it should be: stratus operations.resolve {id}"
                ))
        }
        Outcome::Undone => error(format!("{what} was undone: {first}"))
            .hint("what was live before is live now")
            .hint("mend the cause and repeat the command"),
        other => {
            let stands = lower(other.as_str_name());
            error(format!(
                "{what} has not come to an end, it is {stands}: {first}"
            ))
            .hint(format!("follow it with: stratus operations.watch {id}"))
        }
    };
    error.operation(operation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switch() -> Operation {
        Operation {
            environment: "shop".into(),
            kind: Kind::Switch.into(),
            outcome: Outcome::Completed.into(),
            to: Some(43),
            created_ms: 1_000,
            finished_ms: 1_710,
            ..Operation::default()
        }
    }

    #[test]
    fn a_switch_that_counted_says_so() {
        let operation = Operation {
            drained_ms: Some(260),
            served_old: Some(120),
            served_new: Some(3_100),
            lost: Some(0),
            cut: Some(2),
            ..switch()
        };
        assert_eq!(
            success(&operation),
            "switched shop to generation 43 in 0.71 s: drained in 260 ms, \
             served 120 old / 3,100 new, 0 lost, 2 cut"
        );
    }

    #[test]
    fn figures_that_are_unknown_are_not_guessed() {
        assert_eq!(
            success(&switch()),
            "switched shop to generation 43 in 0.71 s: the drain was not timed, requests were not counted"
        );
    }

    #[test]
    fn a_site_that_was_not_looked_at_is_told() {
        let deployed = |unchecked| {
            let kind = Kind::Deploy.into();
            success(&Operation {
                kind,
                unchecked,
                ..switch()
            })
        };
        let told = "; the site was not looked at: in maintenance";
        assert!(deployed(Some("in maintenance".to_owned())).ends_with(told));
        assert!(!deployed(None).contains("looked at"));
    }

    #[test]
    fn a_long_reason_keeps_its_first_line_in_the_line_and_the_rest_below() {
        let operation = Operation {
            outcome: Outcome::Undone.into(),
            error: "GET / answered 500\n<h1>Fatal</h1>".into(),
            ..switch()
        };
        let error = failure(&operation);
        assert!(
            error
                .line()
                .starts_with("ERROR: Error: switch of shop was undone: GET / answered 500;")
        );
        assert_eq!(error.details().collect::<Vec<_>>(), ["<h1>Fatal</h1>"]);
    }
}
