//! Crons: when they run, how they went, who holds them back.

use stratus_proto::v1::{Cron, CronLease, CronRun, ListCronsReply, Worker};

use super::table;
use super::units::{age, counted, date, now_ms, short, span};
use crate::output::Out;

/// A table of crons and one of workers, then who holds crons back.
pub fn list(out: &mut Out, reply: &ListCronsReply) {
    let name = &reply.environment;
    if reply.crons.is_empty() && reply.workers.is_empty() {
        out.line(&format!("{name} has no crons and no workers"));
    }
    if !reply.crons.is_empty() {
        let rows = reply.crons.iter().map(cron).collect();
        table::print(out, ["CRON", "AT", "ZONE", "NEXT", "LAST"], rows);
    }
    if !reply.workers.is_empty() {
        let rows = reply.workers.iter().map(worker).collect();
        table::print(out, ["WORKER", "STATE", "RELEASE"], rows);
    }
    if let Some(lease) = &reply.stopped {
        out.line(&format!("{name}: {}", stopped(lease)));
    }
}

fn cron(cron: &Cron) -> [String; 5] {
    let next = match cron.next {
        0 => "-".to_owned(),
        next => format!("in {}", age(next.saturating_sub(now_ms()))),
    };
    let last = cron.last.as_ref().map_or("-".to_owned(), |run| {
        let at = now_ms().saturating_sub(run.slot.max(run.last_slot));
        format!("{} ago: {}", age(at), became(run))
    });
    [
        cron.name.clone(),
        cron.at.clone(),
        cron.zone.clone(),
        next,
        last,
    ]
}

fn worker(worker: &Worker) -> [String; 3] {
    let state = match (worker.restarting, worker.running) {
        (true, _) => "ended, starts again",
        (_, true) => "running",
        _ => "down",
    };
    let release = match worker.release.as_str() {
        "" => "-".to_owned(),
        release => short(release),
    };
    [worker.name.clone(), state.to_owned(), release]
}

/// What became of a run, with its name and time. Shape: `reindex of 14:05:00: ran in 2.10 s`.
pub fn run(run: &CronRun) -> String {
    format!("{} of {}: {}", run.cron, date(run.slot), became(run))
}

fn became(run: &CronRun) -> String {
    let took = span(run.ended.saturating_sub(run.began));
    match (run.state.as_str(), run.end.as_str()) {
        ("waiting", _) => "waits for its turn".to_owned(),
        ("running", _) => format!("runs for {}", age(now_ms().saturating_sub(run.began))),
        ("skipped", _) if run.slots > 1 => {
            format!(
                "skipped {}: {}",
                counted(run.slots.into(), "time"),
                run.reason
            )
        }
        ("skipped", _) => format!("skipped: {}", run.reason),
        (_, "timed_out") => format!("was stopped at its time limit, after {took}"),
        (_, "not_started") => format!("did not begin: {}", run.reason),
        (_, "interrupted") => "was interrupted while it began".to_owned(),
        _ if run.out_of_memory => format!("ended in {took}, out of memory"),
        _ => match run.exit.unwrap_or_default() {
            0 => format!("ran in {took}"),
            code => format!("ended with {code} after {took}"),
        },
    }
}

/// Who holds crons back. Shape: `crons are stopped for another 59m 3s by crons.stop`.
pub fn stopped(lease: &CronLease) -> String {
    let left = age(lease.until.saturating_sub(now_ms()));
    match lease.owner.as_str() {
        "crons.stop" => {
            format!("crons are stopped for another {left}, or until crons.start")
        }
        operation => {
            format!("crons are stopped by operation {operation} until it ends, for {left} at most")
        }
    }
}
