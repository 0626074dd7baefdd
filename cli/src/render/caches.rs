//! How caches fared.

use stratus_proto::v1::{CacheReport, ClearReply, Operation, PendingCache};

use super::units::{age, now_ms, span};
use crate::error::CliError;
use crate::output::Out;

/// A line a cache; a line that says so where there is none of the kind `what`.
pub fn print(out: &mut Out, reply: &ClearReply, what: &str) {
    if reply.caches.is_empty() {
        let environment = &reply.environment;
        out.line(&format!("{environment} has no {what}: nothing to clear"));
    }
    for report in &reply.caches {
        out.line(&line(report));
    }
}

fn line(report: &CacheReport) -> String {
    let cache = &report.cache;
    if !is_cleared(report) {
        return format!("{cache} is pending: {}", report.error);
    }
    let receipt = match report.receipt.as_str() {
        "" => String::new(),
        receipt => format!(", invalidation {receipt}"),
    };
    format!("cleared {cache} in {}{receipt}", span(report.ms))
}

/// What is not clear, as a failure.
pub fn failure(reply: &ClearReply) -> Option<CliError> {
    let pending: Vec<String> = reply
        .caches
        .iter()
        .filter(|report| !is_cleared(report))
        .map(|report| format!("{}: {}", report.cache, report.error))
        .collect();
    if pending.is_empty() {
        return None;
    }
    let error = CliError::failed(format!("not cleared yet: {}", pending.join("; ")))
        .hint("the server tries it again in the background, see it with: stratus status")
        .report(serde_json::to_value(reply).unwrap_or_default());
    Some(error)
}

/// What a switch says of its caches. Shape: `; cleared redis:fpc; varnish is pending: no route`.
pub fn clause(operation: &Operation) -> String {
    let (cleared, pending): (Vec<_>, Vec<_>) = operation.caches.iter().partition(|r| is_cleared(r));
    let mut text = String::new();
    if !cleared.is_empty() {
        let names: Vec<&str> = cleared.iter().map(|report| report.cache.as_str()).collect();
        text.push_str("; cleared ");
        text.push_str(&names.join(", "));
    }
    for report in pending {
        text.push_str("; ");
        text.push_str(&line(report));
    }
    text
}

/// A cache that waits to be cleared.
pub fn waiting(pending: &PendingCache) -> String {
    let cache = &pending.cache;
    let since = age(now_ms().saturating_sub(pending.since));
    let tries = match pending.tries {
        0 => "not tried yet".to_owned(),
        1 => format!("tried once: {}", pending.error),
        tries => format!("tried {tries} times: {}", pending.error),
    };
    let next = match pending.next_ms {
        0 => "now".to_owned(),
        ms => format!("in {}", span(ms)),
    };
    format!("{cache} waits to be cleared for {since}, {tries}; next try {next}")
}

fn is_cleared(report: &CacheReport) -> bool {
    report.state == "cleared"
}
