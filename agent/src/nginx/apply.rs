//! Makes nginx serve a route table, provably, or leaves it as it was.
//!
//! ```text
//! render ─► same text, and served? ─────────────────────────────────────────► done, nothing reloaded
//!    └─► candidate ─► nginx -t, unprivileged ─► rename ─► SIGHUP ─► revision answers? ─► done
//!                          └─► Refused              └─► no: old text back, SIGHUP ─► NotConfirmed
//! ```
//!
//! A crash anywhere leaves an old text, or a new one that nginx does not serve yet; the next call sees the difference
//! between the file and nginx's answer, and reloads. nginx's exit codes prove nothing and are not looked at.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use stratus_core::fault::chain;
use stratus_core::route::{Closed, Links, RouteTable, Site};
use stratus_core::router::{Loaded, Router, RouterError, Visit};
use stratus_core::tenant::{TenantError, TenantRules};
use stratus_core::{EnvironmentName, Generation};
use tokio::sync::Mutex;

use super::close;
use super::confirm::Confirm;
use super::control::Control;
use super::disk::Disk;
use super::flip;
use super::logs::{self, Reopen};
use super::master::{Container, Master, State};
use super::render::{AccessLog, RenderError, Settings, passwords, render, revision};
use super::tenant;
use super::trial::{Trial, Trials};
use super::visit::visit;
use crate::docker::Engine;
use crate::layout::Layout;

/// Generations of old workers that may be over their last requests when nginx is reloaded.
const OLD_GENERATIONS_MAX: usize = 3;

/// nginx on this host.
pub struct NginxRouter {
    layout: Layout,
    settings: Settings,
    master: Arc<dyn Master>,
    disk: Disk,
    control: Control,
    /// Held over a whole `load`: two would confirm each other's revision.
    turn: Mutex<Turn>,
}

/// What the last turn leaves for the next.
#[derive(Default)]
struct Turn {
    trials: Trials,
    /// The sites that were loaded last: who reads their logs.
    sites: Vec<Site>,
}

impl NginxRouter {
    /// The nginx of `settings.container`.
    pub fn new(layout: Layout, settings: Settings, engine: Engine) -> Self {
        let (name, folder) = (&settings.container, layout.nginx());
        let master = Container::new(engine, name, layout.installation(), folder);
        Self::with_master(layout, settings, Arc::new(master))
    }

    /// The nginx behind `master`.
    pub fn with_master(layout: Layout, settings: Settings, master: Arc<dyn Master>) -> Self {
        Self {
            disk: Disk::new(layout.clone(), settings.user),
            control: Control::new(layout.control_socket()),
            turn: Mutex::default(),
            layout,
            settings,
            master,
        }
    }

    /// Writes what nginx needs to start with `table`: its folders and its file. Touches nothing where nginx answers.
    ///
    /// # Errors
    /// As [`Router::load`], but a container that is not there is none.
    pub async fn prepare(&self, table: &RouteTable) -> Result<(), RouterError> {
        let mut turn = self.turn.lock().await;
        self.disk.folders()?;
        match self.control.revision().await {
            Err(e) if nobody_listens(&e) => {
                let state = self.master.state().await?;
                self.write_for_start(table, &state, &mut turn).await
            }
            _ => Ok(()),
        }
    }

    /// Puts the text for `table` in place for an nginx that does not listen.
    async fn write_for_start(
        &self,
        table: &RouteTable,
        state: &State,
        turn: &mut Turn,
    ) -> Result<(), RouterError> {
        // Between binding and listening nginx refuses, too: only a lasting refusal means that nobody is there.
        tokio::time::sleep(Duration::from_millis(200)).await;
        if self
            .control
            .revision()
            .await
            .is_err_and(|e| nobody_listens(&e))
        {
            self.disk.clear_leftovers()?;
        }
        self.make_logs(table, turn)?;
        let on_disk = self.disk.read()?;
        let number = on_disk.as_deref().and_then(revision).unwrap_or(0);
        if number > 0 && on_disk == Some(self.render(table, number)?) {
            return Ok(());
        }
        self.write_candidate(table, number + 1)?;
        let image = self.image(state);
        let candidate = self.disk.candidate();
        match turn
            .trials
            .run(self.master.as_ref(), image, &candidate)
            .await
        {
            Err(Trial::NoImage) => {
                tracing::warn!(
                    image,
                    "nginx's image is not on this engine: its file is not tested"
                );
            }
            Err(Trial::Failed(error)) => return Err(error),
            Ok(()) => {}
        }
        self.disk.commit()
    }

    async fn load_running(
        &self,
        table: &RouteTable,
        image: &str,
        served: u64,
        turn: &mut Turn,
    ) -> Result<Loaded, RouterError> {
        self.make_logs(table, turn)?;
        let before = self.disk.read()?;
        let number = before.as_deref().and_then(revision);
        let same = match number {
            Some(number) => before == Some(self.render(table, number)?),
            None => false,
        };
        if let (true, Some(revision)) = (same, number) {
            if served == revision {
                return Ok(Loaded {
                    revision,
                    reloaded: false,
                });
            }
            // A process before this one stopped between its rename and its reload.
            self.reload(revision).await?;
            return Ok(Loaded {
                revision,
                reloaded: true,
            });
        }
        let next = number.unwrap_or(0).max(served) + 1;
        self.write_candidate(table, next)?;
        let candidate = self.disk.candidate();
        turn.trials
            .run(self.master.as_ref(), image, &candidate)
            .await?;
        self.disk.commit()?;
        if let Err(error) = self.reload(next).await {
            return Err(self.put_back(before, error).await);
        }
        Ok(Loaded {
            revision: next,
            reloaded: true,
        })
    }

    /// Tells nginx to read its file, and waits until `revision` answers everywhere.
    async fn reload(&self, revision: u64) -> Result<(), RouterError> {
        let leaving = self.master.workers().await?.leaving;
        if leaving > OLD_GENERATIONS_MAX * usize::from(self.settings.workers) {
            return Err(RouterError::Unavailable {
                detail: format!(
                    "{leaving} workers of earlier reloads are still over their last requests"
                ),
            });
        }
        self.master.reload().await?;
        self.confirming().revision(revision).await
    }

    /// Puts the text of before back in place and makes nginx serve it; answers `why` with what came of it.
    async fn put_back(&self, before: Option<String>, why: RouterError) -> RouterError {
        let words = self.last_words().await;
        let restored = async {
            let Some(text) = before else {
                return Ok(());
            };
            self.disk.write_candidate(&text)?;
            self.disk.commit()?;
            match revision(&text) {
                Some(number) => self.reload(number).await,
                None => Ok(self.master.reload().await?),
            }
        };
        let came_back = match restored.await {
            Ok(()) => "the old configuration is back".to_owned(),
            Err(error) => format!(
                "putting the old configuration back failed, too: {}",
                chain(&error)
            ),
        };
        match why {
            RouterError::NotConfirmed { detail } => RouterError::NotConfirmed {
                detail: format!("{detail}; {came_back}{words}"),
            },
            RouterError::Unavailable { detail } => RouterError::Unavailable {
                detail: format!("{detail}; {came_back}"),
            },
            other => other,
        }
    }

    /// Why nginx did not take its file, in its own words.
    async fn last_words(&self) -> String {
        let log = self.master.log_tail().await.unwrap_or_default();
        let mut words = Vec::new();
        for (_, word) in log.lines().filter_map(|line| line.split_once("[emerg] ")) {
            // It tries a busy port five times; the numbers before the words are its own.
            let word = word.split_once(": ").map_or(word, |(_, word)| word);
            if words.last() != Some(&word) {
                words.push(word);
            }
        }
        if words.is_empty() {
            return String::new();
        }
        format!(
            "; nginx wrote: {}",
            words[words.len().saturating_sub(2)..].join(", ")
        )
    }

    fn render(&self, table: &RouteTable, revision: u64) -> Result<String, RouterError> {
        render(table, revision, &self.settings, &self.layout).map_err(not_rendered)
    }

    /// Makes the folders of the logs, also where the text stays: they may have been removed, or not been restored.
    fn make_logs(&self, table: &RouteTable, turn: &mut Turn) -> Result<(), RouterError> {
        if self.settings.access_log == AccessLog::Absent {
            return Ok(());
        }
        turn.sites.clone_from(&table.sites);
        self.disk.logs(table)
    }

    /// Writes a text that is not in place yet, and the files that it names.
    fn write_candidate(&self, table: &RouteTable, revision: u64) -> Result<(), RouterError> {
        let text = self.render(table, revision)?;
        if self.settings.access_log == AccessLog::Written {
            self.disk.trial_logs(table)?;
        }
        self.disk
            .write_passwords(&passwords(table).map_err(not_rendered)?)?;
        self.disk.write_candidate(&text)
    }

    /// The image that a text is tested with.
    fn image<'a>(&'a self, state: &'a State) -> &'a str {
        match state {
            State::Missing => &self.settings.image,
            State::Stopped { image } | State::Running { image } => image,
        }
    }

    fn confirming(&self) -> Confirm<'_> {
        Confirm {
            control: &self.control,
            master: self.master.as_ref(),
            settings: &self.settings,
        }
    }

    /// Says how nginx is started.
    fn how_to_start(&self, state: &State) -> RouterError {
        let name = &self.settings.container;
        let socket = self.control.socket().display();
        let detail = match state {
            State::Missing => format!(
                "there is no container {name:?}; its configuration is written, start it with the compose stack (compose/single.yaml)"
            ),
            State::Stopped { .. } => format!(
                "the container {name:?} is stopped; its configuration is written, start it with `docker start {name}`"
            ),
            State::Running { .. } => format!(
                "the container {name:?} runs, but nobody listens at {socket}; see `docker logs {name}`, then `docker restart {name}`"
            ),
        };
        match state {
            State::Missing | State::Stopped { .. } => RouterError::Absent { detail },
            State::Running { .. } => RouterError::Unavailable { detail },
        }
    }
}

#[async_trait]
impl Router for NginxRouter {
    async fn load(&self, table: &RouteTable) -> Result<Loaded, RouterError> {
        let mut turn = self.turn.lock().await;
        self.disk.folders()?;
        let state = self.master.state().await?;
        match (self.control.revision().await, &state) {
            (Ok(served), State::Running { image }) => {
                self.load_running(table, image, served, &mut turn).await
            }
            (Ok(_), _) => Err(RouterError::Unavailable {
                detail: format!(
                    "something answers at {} while the container {:?} does not run; stop it first",
                    self.control.socket().display(),
                    self.settings.container
                ),
            }),
            (Err(e), _) if nobody_listens(&e) => {
                self.write_for_start(table, &state, &mut turn).await?;
                Err(self.how_to_start(&state))
            }
            (Err(e), _) => Err(RouterError::Unavailable {
                detail: format!("ask {}: {e}", self.control.socket().display()),
            }),
        }
    }

    async fn test(&self, table: &RouteTable) -> Result<(), RouterError> {
        let mut turn = self.turn.lock().await;
        self.disk.folders()?;
        let state = self.master.state().await?;
        self.write_candidate(table, 0)?;
        let candidate = self.disk.candidate();
        let tested = turn
            .trials
            .run(self.master.as_ref(), self.image(&state), &candidate);
        Ok(tested.await?)
    }

    async fn read_rules(&self, site: &Site) -> Result<TenantRules, TenantError> {
        let site = site.clone();
        let reading = tokio::task::spawn_blocking(move || tenant::read(&site));
        reading.await.unwrap_or_else(|ended| {
            Err(TenantError::Unreadable {
                detail: "reading a tenant's files ended early".to_owned(),
                source: io::Error::other(ended),
            })
        })
    }

    async fn settle(&self) -> Result<(), RouterError> {
        if matches!(
            self.master.state().await?,
            State::Missing | State::Stopped { .. }
        ) {
            return Ok(());
        }
        self.confirming().settled().await
    }

    async fn flip(&self, environment: &EnvironmentName, links: Links) -> Result<(), RouterError> {
        let (layout, environment) = (self.layout.clone(), environment.clone());
        off_the_loop(move || flip::flip(&layout, &environment, links)).await
    }

    async fn links(&self, environment: &EnvironmentName) -> Result<Links, RouterError> {
        let (layout, environment) = (self.layout.clone(), environment.clone());
        off_the_loop(move || flip::links(&layout, &environment)).await
    }

    async fn set_closed(
        &self,
        environment: &EnvironmentName,
        why: Closed,
        closed: bool,
    ) -> Result<(), RouterError> {
        let (layout, environment) = (self.layout.clone(), environment.clone());
        off_the_loop(move || close::set(&layout, &environment, why, closed)).await
    }

    async fn is_closed(
        &self,
        environment: &EnvironmentName,
        why: Closed,
    ) -> Result<bool, RouterError> {
        let (layout, environment) = (self.layout.clone(), environment.clone());
        off_the_loop(move || close::is(&layout, &environment, why)).await
    }

    async fn tend_logs(&self) -> Result<(), RouterError> {
        // A text that is being put in place names folders that were made for it.
        let turn = self.turn.lock().await;
        // Without a text nobody knows which logs are nobody's.
        let Some(text) = self.disk.read()? else {
            return Ok(());
        };
        if self.settings.access_log == AccessLog::Written {
            self.disk.folders()?;
        }
        let (layout, owners) = (self.layout.clone(), self.disk.owners(turn.sites.clone()));
        let (reopen, tended) =
            off_the_loop(move || Ok(logs::tend_all(&layout, &text, &owners))).await?;
        let is_running = async || matches!(self.master.state().await, Ok(State::Running { .. }));
        // Where it does not run, it opens them when it starts.
        if reopen == Reopen::Yes && is_running().await {
            self.master.reopen().await?;
        }
        tended.map_err(|source| RouterError::Io {
            detail: format!("tend the logs in {}", self.layout.nginx_log().display()),
            source,
        })
    }

    async fn visit(&self, host: &str, path: &str) -> Result<Visit, RouterError> {
        visit(self.settings.http, host, path).await
    }

    async fn confirm(
        &self,
        environment: &EnvironmentName,
        generation: Generation,
        members: u16,
    ) -> Result<(), RouterError> {
        // Asking an nginx that does not run takes all of the limit and says nothing of how to start it.
        if let Ok(state @ (State::Missing | State::Stopped { .. })) = self.master.state().await {
            return Err(self.how_to_start(&state));
        }
        self.confirming()
            .pool(environment, generation, members)
            .await
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape map_err asks for")]
fn not_rendered(error: RenderError) -> RouterError {
    RouterError::Refused {
        detail: error.to_string(),
    }
}

fn nobody_listens(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

async fn off_the_loop<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RouterError> + Send + 'static,
) -> Result<T, RouterError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|ended| {
            Err(RouterError::Io {
                detail: "work on nginx's files ended early".to_owned(),
                source: io::Error::other(ended),
            })
        })
}
