//! The keys `hooks`, `crons` and `workers`: commands in containers of the environment.

use std::time::Duration;

use stratus_core::environment::{Argv, Cron, Hooks, Worker};

use crate::crons::schedule::Schedule;

use super::section::{Section, Value, shown};
use super::{name, scalar};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Reads `hooks`.
pub(super) fn hooks(environment: &Section<'_>) -> Hooks {
    let known = ["before_init", "before_switch", "after_switch", "timeout"];
    let value = environment.get("hooks");
    let Some(section) = value.and_then(|value| value.section(&known, &[])) else {
        return Hooks::default();
    };
    Hooks {
        before_init: commands(&section, "before_init"),
        before_switch: commands(&section, "before_switch"),
        after_switch: commands(&section, "after_switch"),
        timeout: section.or("timeout", 30 * MINUTE, scalar::duration(SECOND..=DAY)),
    }
}

/// Reads `crons`.
pub(super) fn crons(environment: &Section<'_>) -> Vec<Cron> {
    named(
        environment,
        "crons",
        &[],
        &["name", "at", "zone", "run", "timeout"],
        |section, name| {
            let at = section.need("at", "\"*/5 * * * *\"");
            let run = section.need("run", "[\"php\", \"bin/cron.php\"]");
            let zone = section.or("zone", "UTC".to_owned(), |text| {
                Schedule::parse("* * * * *", text).map(|_| text.to_owned())
            });
            let at = at?.parse(|text| Schedule::parse(text, "UTC").map(|_| text.to_owned()));
            Some(Cron {
                name,
                at: at?,
                zone,
                run: argv(&run?)?,
                timeout: section.or("timeout", HOUR, scalar::duration(SECOND..=7 * DAY)),
            })
        },
    )
}

/// Reads `workers`. None has the name of one of `crons`: `crons.logs` tells what either wrote.
pub(super) fn workers(environment: &Section<'_>, crons: &[Cron]) -> Vec<Worker> {
    let taken: Vec<&str> = crons.iter().map(|cron| cron.name.as_str()).collect();
    named(
        environment,
        "workers",
        &taken,
        &["name", "run", "grace"],
        |section, name| {
            let run = section.need("run", "[\"php\", \"bin/consumer.php\"]");
            Some(Worker {
                name,
                run: argv(&run?)?,
                grace: section.or("grace", MINUTE, scalar::duration(SECOND..=HOUR)),
            })
        },
    )
}

/// A list of groups that each have a `name`, none twice and none of `taken`.
fn named<T>(
    environment: &Section<'_>,
    key: &str,
    taken: &[&str],
    known: &[&'static str],
    read: impl Fn(&Section<'_>, String) -> Option<T>,
) -> Vec<T> {
    let mut names: Vec<String> = Vec::new();
    let mut found = Vec::new();
    for item in environment
        .get(key)
        .and_then(|value| value.items())
        .unwrap_or_default()
    {
        let Some(section) = item.section(known, &[]) else {
            continue;
        };
        let name = section
            .need("name", "reindex")
            .and_then(|value| value.parse(name::parse));
        let Some(name) = name else { continue };
        if names.contains(&name) {
            item.fault(format!("`{name}` stands here twice; rename one"));
            continue;
        }
        if taken.contains(&name.as_str()) {
            item.fault(format!("`{name}` is a cron already; rename one"));
            continue;
        }
        names.push(name.clone());
        found.extend(read(&section, name));
    }
    found
}

fn commands(section: &Section<'_>, key: &str) -> Vec<Argv> {
    let items = section.get(key).and_then(|value| value.items());
    items.unwrap_or_default().iter().filter_map(argv).collect()
}

/// A program and its arguments. A single text is refused: nothing here splits words as a shell would.
fn argv(value: &Value<'_>) -> Option<Argv> {
    if !value.is_list() {
        value.fault("is one text; write the program and each argument as an item, such as [\"php\", \"bin/task.php\"]");
        return None;
    }
    let items = value.items()?;
    let words: Vec<String> = items
        .iter()
        .filter_map(Value::scalar)
        .map(str::to_owned)
        .collect();
    match words.first() {
        Some(program) if !program.is_empty() && !program.starts_with('-') => Some(words),
        Some(program) => {
            value.fault(format!(
                "`{}` is not a program; write one such as php",
                shown(program)
            ));
            None
        }
        None => {
            value.fault("is empty; write the program and its arguments");
            None
        }
    }
}
