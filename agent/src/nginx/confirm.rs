//! Asks nginx until it serves what it should: on fresh connections, never longer than a bound.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use stratus_core::router::RouterError;
use stratus_core::{EnvironmentName, Generation};
use tokio::time::{Instant, sleep};

use super::control::Control;
use super::master::{Master, Workers};
use super::render::Settings;

/// Answers in a row, each on a connection of its own, that count as "everywhere".
const ANSWERS: u32 = 8;
/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(10);
/// What old workers may take beyond `worker_shutdown_timeout`.
const MARGIN: Duration = Duration::from_secs(10);

/// Whom to ask.
pub(super) struct Confirm<'a> {
    pub(super) control: &'a Control,
    pub(super) master: &'a dyn Master,
    pub(super) settings: &'a Settings,
}

impl Confirm<'_> {
    /// Waits until `revision` answers on every connection and no older worker accepts any.
    pub(super) async fn revision(&self, revision: u64) -> Result<(), RouterError> {
        let deadline = Instant::now() + self.settings.confirm_within;
        let mut streak = 0;
        loop {
            let answer = self.control.revision().await;
            streak = if matches!(answer, Ok(found) if found == revision) {
                streak + 1
            } else {
                0
            };
            // Old workers accept until the master tells them to leave, 100 ms after it started the new ones.
            if streak >= ANSWERS && self.workers().await?.serving == self.expected() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let found = match answer {
                    Ok(found) => format!("revision {found} answers"),
                    Err(error) => format!("nothing answers ({error})"),
                };
                let limit = self.settings.confirm_within.as_secs();
                let detail = format!("revision {revision} was asked for, {found} after {limit} s");
                return Err(RouterError::NotConfirmed { detail });
            }
            sleep(if streak > 0 { PAUSE } else { 5 * PAUSE }).await;
        }
    }

    /// Waits until every worker is one of the newest configuration.
    pub(super) async fn settled(&self) -> Result<(), RouterError> {
        let deadline = Instant::now() + self.settings.shutdown_timeout + MARGIN;
        loop {
            let Workers { serving, leaving } = self.workers().await?;
            if (serving, leaving) == (self.expected(), 0) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let expected = self.expected();
                let detail = format!(
                    "{expected} workers should serve; {serving} serve and {leaving} still leave"
                );
                return Err(RouterError::NotConfirmed { detail });
            }
            sleep(5 * PAUSE).await;
        }
    }

    /// Waits until each of `members` has answered as `generation` through the environment's own upstream, and nginx
    /// finds the generation's files.
    pub(super) async fn pool(
        &self,
        environment: &EnvironmentName,
        generation: Generation,
        members: u16,
    ) -> Result<(), RouterError> {
        let deadline = Instant::now() + self.settings.confirm_within;
        let mut missing: BTreeSet<u16> = (0..members).collect();
        loop {
            let last = match self.control.ping(environment).await {
                Ok(Some(pong)) if pong.generation == generation => {
                    missing.remove(&pong.member);
                    None
                }
                Ok(Some(pong)) => Some(format!(
                    "member {} is generation {}",
                    pong.member, pong.generation
                )),
                Ok(None) => Some("a member does not answer".to_owned()),
                Err(error) => Some(format!("nginx does not answer: {error}")),
            };
            let files = self.control.generation(environment).await;
            if missing.is_empty() && matches!(files, Ok(Some(found)) if found == generation) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(not_confirmed(
                    environment,
                    generation,
                    &missing,
                    last,
                    &files,
                ));
            }
            // Members take turns: with no failure there is nothing to wait for.
            sleep(if last.is_some() {
                5 * PAUSE
            } else {
                Duration::from_millis(1)
            })
            .await;
        }
    }

    fn expected(&self) -> usize {
        usize::from(self.settings.workers)
    }

    async fn workers(&self) -> Result<Workers, RouterError> {
        Ok(self.master.workers().await?)
    }
}

fn not_confirmed(
    environment: &EnvironmentName,
    generation: Generation,
    missing: &BTreeSet<u16>,
    last: Option<String>,
    files: &io::Result<Option<Generation>>,
) -> RouterError {
    let mut said = vec![format!(
        "generation {generation} of {environment} was asked for"
    )];
    if !missing.is_empty() {
        let missing: Vec<String> = missing.iter().map(u16::to_string).collect();
        said.push(format!("no such answer of member {}", missing.join(", ")));
    }
    said.extend(last);
    match files {
        Ok(Some(found)) if *found != generation => {
            said.push(format!("the files are of generation {found}"));
        }
        Ok(None) => said.push("the live files name no generation".to_owned()),
        _ => {}
    }
    let detail = said.join("; ");
    RouterError::NotConfirmed { detail }
}
