//! `hooks`, `crons` and `workers` as configuration.

use serde::Serialize;
use stratus_core::environment::{self, Argv};

use super::duration;

#[derive(Serialize)]
pub(super) struct Hooks<'a> {
    before_init: &'a [Argv],
    before_switch: &'a [Argv],
    after_switch: &'a [Argv],
    timeout: String,
}

pub(super) fn hooks(hooks: &environment::Hooks) -> Hooks<'_> {
    Hooks {
        before_init: &hooks.before_init,
        before_switch: &hooks.before_switch,
        after_switch: &hooks.after_switch,
        timeout: duration(hooks.timeout),
    }
}

#[derive(Serialize)]
pub(super) struct Cron<'a> {
    name: &'a str,
    at: &'a str,
    zone: &'a str,
    run: &'a Argv,
    timeout: String,
}

pub(super) fn crons(crons: &[environment::Cron]) -> Vec<Cron<'_>> {
    crons
        .iter()
        .map(|c| Cron {
            name: &c.name,
            at: &c.at,
            zone: &c.zone,
            run: &c.run,
            timeout: duration(c.timeout),
        })
        .collect()
}

#[derive(Serialize)]
pub(super) struct Worker<'a> {
    name: &'a str,
    run: &'a Argv,
    grace: String,
}

pub(super) fn workers(workers: &[environment::Worker]) -> Vec<Worker<'_>> {
    workers
        .iter()
        .map(|w| Worker {
            name: &w.name,
            run: &w.run,
            grace: duration(w.grace),
        })
        .collect()
}
