//! The doctor: looks at the host, the engine and nginx, and says what is wrong and what to do about it.
//!
//! [`stratus_agent::host`] and [`Machine`] collect plain facts; everything else judges facts and does no I/O.

mod disk;
mod engine;
mod kernel;
mod nginx;
mod permissions;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use stratus_agent::host::{self, HostFacts};
use stratus_core::environment::User;
use tokio::time::timeout;

use crate::config::Config;

/// How long the engine and nginx may take to answer one question.
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about. Shape: `disk`, `nginx`, `image`.
    pub subject: String,
    /// How bad it is.
    pub health: Health,
    /// What was found.
    pub message: String,
    /// What to do; empty when good.
    pub remedy: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// As it should be.
    Good,
    /// It works, and something would be better.
    Warning,
    /// A deployment fails or loses requests.
    Bad,
}

/// Answers questions about the engine and what runs on it. An error is a sentence for the operator.
#[async_trait]
pub trait Machine: Send + Sync {
    /// What the engine is.
    async fn engine(&self) -> Result<EngineFacts, String>;
    /// What nginx's container is; none where there is no such container.
    async fn nginx(&self) -> Result<Option<NginxFacts>, String>;
    /// The digest of the image that `reference` names; none where the engine does not have it.
    async fn image(&self, reference: &str) -> Result<Option<String>, String>;
}

/// What the engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFacts {
    /// Shape: `20.10.24`.
    pub version: String,
    /// The newest API version that it speaks. Shape: `1.41`.
    pub api: String,
    /// Shape: `overlay2`.
    pub storage_driver: String,
    /// Whether containers live on while the engine is restarted.
    pub live_restore: bool,
    /// Whether it is part of a swarm, which excludes live-restore.
    pub swarm: bool,
}

/// What nginx's container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NginxFacts {
    /// Whether its first process runs.
    pub running: bool,
    /// Of nginx itself; none when it could not be found out. Shape: `1.30.6`.
    pub version: Option<String>,
    /// Who the container runs as; none for the image's default, or where it is no pair of numbers.
    pub user: Option<User>,
    /// Whether `/.stratus/revision` answers on the private socket.
    pub answers: bool,
    /// Folders of the host that it sees at the same path.
    pub mounts: Vec<PathBuf>,
    /// How visitors reach it.
    pub network: Network,
    /// Whether its CPU time is limited.
    pub cpu_limited: bool,
}

/// How a container is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// Through the host's own network.
    Host,
    /// Through these addresses of the host.
    Published(Vec<SocketAddr>),
}

/// Looks at everything that `config` needs.
pub async fn examine(config: &Config, machine: &dyn Machine) -> Vec<Finding> {
    examine_within(ASK_LIMIT, config, machine).await
}

async fn examine_within(limit: Duration, config: &Config, machine: &dyn Machine) -> Vec<Finding> {
    let (data_dir, socket) = (config.server.data_dir.clone(), config.server.socket.clone());
    let look = tokio::task::spawn_blocking(move || host::look(&data_dir, &socket));
    let host = within(limit, async {
        look.await.map_err(|error| error.to_string())
    })
    .await;
    let mut findings = match host {
        Ok(facts) => judge_host(&facts),
        Err(error) => vec![bad(
            "host",
            error,
            "look at the kernel's log: the data folder does not answer",
        )],
    };
    findings.extend(engine::judge(within(limit, machine.engine()).await));
    findings.extend(nginx::judge(within(limit, machine.nginx()).await, config));
    findings.extend(images(limit, config, machine).await);
    findings
}

fn judge_host(facts: &HostFacts) -> Vec<Finding> {
    let mut findings = disk::judge(&facts.disk);
    findings.extend(kernel::judge(&facts.kernel));
    findings.extend(permissions::judge(facts));
    findings
}

async fn images(limit: Duration, config: &Config, machine: &dyn Machine) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = Vec::new();
    for environment in &config.environments {
        let reference = environment.php.image.as_str();
        if seen.contains(&reference) {
            continue;
        }
        seen.push(reference);
        findings.push(match within(limit, machine.image(reference)).await {
            Ok(Some(digest)) => good("image", format!("{reference} is {digest}")),
            Ok(None) => bad(
                "image",
                format!(
                    "the engine has no image {reference}, which {} needs",
                    environment.name
                ),
                "pull or build it, or correct php.image",
            ),
            Err(error) => bad("image", error, "see what is said about the engine"),
        });
    }
    findings
}

async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    timeout(limit, answer)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {limit:?}")))
}

fn good(subject: &str, message: impl Into<String>) -> Finding {
    finding(subject, Health::Good, message, "")
}

fn warning(subject: &str, message: impl Into<String>, remedy: impl Into<String>) -> Finding {
    finding(subject, Health::Warning, message, remedy)
}

fn bad(subject: &str, message: impl Into<String>, remedy: impl Into<String>) -> Finding {
    finding(subject, Health::Bad, message, remedy)
}

fn finding(
    subject: &str,
    health: Health,
    message: impl Into<String>,
    remedy: impl Into<String>,
) -> Finding {
    Finding {
        subject: subject.to_owned(),
        health,
        message: message.into(),
        remedy: remedy.into(),
    }
}
