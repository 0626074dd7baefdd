//! Commands that run in containers of an environment: hooks of a deploy, crons, workers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A program and its arguments, never a shell's line.
pub type Argv = Vec<String>;

/// Commands that a deploy runs, each at most once: one that was interrupted has failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// In a container of the environment's image, the working tree mounted read-write.
    pub before_init: Vec<Argv>,
    /// In a container of the new release, before traffic moves.
    pub before_switch: Vec<Argv>,
    /// In a container of the new release, after traffic moved.
    pub after_switch: Vec<Argv>,
    /// How long one command may take.
    pub timeout: Duration,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            before_init: Vec::new(),
            before_switch: Vec::new(),
            after_switch: Vec::new(),
            timeout: Duration::from_mins(30),
        }
    }
}

/// A command that runs at set times in a container of the live release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cron {
    /// Its name, as environments are named.
    pub name: String,
    /// Five fields: minute, hour, day of month, month, day of week.
    pub at: String,
    /// Time zone in which `at` is read. Shape: `Europe/Berlin`, `UTC`.
    pub zone: String,
    /// What runs.
    pub run: Argv,
    /// How long it may take.
    pub timeout: Duration,
}

/// A command that runs all the time in a container of the live release, such as a queue's consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its name, as environments are named.
    pub name: String,
    /// What runs.
    pub run: Argv,
    /// How long it has after SIGTERM before SIGKILL.
    pub grace: Duration,
}
