//! The members of pools, as containers: created or adopted, started, stopped, removed, listed.

use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum,
    ContainerUpdateBody, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, EventsOptionsBuilder, ListContainersOptionsBuilder,
    StopContainerOptionsBuilder,
};
use futures_util::StreamExt;
use jiff::Timestamp;
use stratus_core::runtime::{Observed, Restart};
use stratus_core::{InstallationId, PoolId};

use super::container::Member;
use super::engine::Engine;
use super::error::EngineError;
use super::labels::{self, Labels};
use super::policy::{self, Expected};

/// What the engine may take beyond the grace period to stop a container.
const STOP_MARGIN: Duration = Duration::from_mins(1);
/// How long past events are listened for.
const EVENTS_LIMIT: Duration = Duration::from_millis(300);

/// What stands under a member's name.
pub(crate) enum Standing {
    /// Nothing.
    Nothing,
    /// The very member, whichever operation made it.
    Same,
    /// Another try at the same member, which does not run: it can go.
    Outdated,
}

impl Engine {
    /// What stands under the member's name.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] when it is somebody else's, or runs with another specification.
    pub(crate) async fn standing(
        &self,
        member: &Member<'_>,
        specification: &str,
    ) -> Result<Standing, EngineError> {
        let name = member.name();
        let found = match self.inspect(&name).await {
            Err(EngineError::NotFound { .. }) => return Ok(Standing::Nothing),
            other => other?,
        };
        let conflict = |detail: &str| {
            Err(EngineError::Conflict {
                what: format!("create {name}"),
                detail: detail.to_owned(),
            })
        };
        if !is_ours(&found, member) {
            return conflict("a container of that name is not ours; rename or remove it");
        }
        if has_label(&found, labels::SPECIFICATION, specification)
            && policy::check(&found, &member.expected()).is_empty()
        {
            return Ok(Standing::Same);
        }
        if found.state.is_some_and(|state| state.running == Some(true)) {
            return conflict("it runs with another specification; stop it first");
        }
        Ok(Standing::Outdated)
    }

    /// Creates the member's container.
    pub(crate) async fn create_member(
        &self,
        member: &Member<'_>,
        specification: &str,
    ) -> Result<(), EngineError> {
        let body = member.body(specification)?;
        self.create_checked(&member.name(), body, &member.expected())
            .await
    }

    /// Creates a container and checks what was really created; what may do more than `expected` is removed.
    pub(crate) async fn create_checked(
        &self,
        name: &str,
        body: ContainerCreateBody,
        expected: &Expected,
    ) -> Result<(), EngineError> {
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let docker = self.docker().clone();
        let what = format!("create {name}");
        let created = self
            .act(&what, async move {
                docker.create_container(Some(options), body).await
            })
            .await?;
        for warning in &created.warnings {
            tracing::warn!(container = name, "{warning}");
        }
        let violations = policy::check(&self.inspect(&created.id).await?, expected);
        if violations.is_empty() {
            return Ok(());
        }
        self.discard(&created.id).await?;
        let list: Vec<_> = violations.iter().map(ToString::to_string).collect();
        Err(EngineError::Refused {
            what,
            detail: format!(
                "the engine made a container that may do more than it should, so it was removed: {}",
                list.join("; ")
            ),
        })
    }

    /// Starts a container; one that runs is left as it is.
    pub(crate) async fn start(&self, name: &str) -> Result<(), EngineError> {
        let (docker, owned) = (self.docker().clone(), name.to_owned());
        self.act(&format!("start {name}"), async move {
            docker.start_container(&owned, None).await
        })
        .await
    }

    /// Stops a container by its own signal, and kills it after `grace`; one that is gone is no error.
    pub(crate) async fn stop(&self, id: &str, grace: Duration) -> Result<(), EngineError> {
        let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
        let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        // The client's own limit would otherwise end the wait before the grace period does.
        let docker = self.docker().clone().with_timeout(grace + STOP_MARGIN);
        let owned = id.to_owned();
        let stopped = self
            .act(&format!("stop {id}"), async move {
                docker.stop_container(&owned, Some(options)).await
            })
            .await;
        match stopped {
            Err(EngineError::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    /// Stops every process of a container in its tracks; one that stands still already is left as it is.
    ///
    /// # Errors
    /// [`EngineError::Refused`] when it does not run.
    pub(crate) async fn freeze(&self, id: &str) -> Result<(), EngineError> {
        if self.is_frozen(id).await? {
            return Ok(());
        }
        let (docker, owned) = (self.docker().clone(), id.to_owned());
        self.act(&format!("pause {id}"), async move {
            docker.pause_container(&owned).await
        })
        .await
    }

    /// Lets the processes of a container go on; one that does not stand still, or is gone, is left as it is.
    pub(crate) async fn thaw(&self, id: &str) -> Result<(), EngineError> {
        match self.is_frozen(id).await {
            Ok(true) => {}
            Ok(false) | Err(EngineError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        let (docker, owned) = (self.docker().clone(), id.to_owned());
        self.act(&format!("unpause {id}"), async move {
            docker.unpause_container(&owned).await
        })
        .await
    }

    async fn is_frozen(&self, id: &str) -> Result<bool, EngineError> {
        let found = self.inspect(id).await?;
        Ok(found.state.is_some_and(|state| state.paused == Some(true)))
    }

    /// Sets whether the engine restarts a container by itself.
    pub(crate) async fn restart_policy(
        &self,
        name: &str,
        restart: Restart,
    ) -> Result<(), EngineError> {
        let update = ContainerUpdateBody {
            restart_policy: Some(RestartPolicy {
                name: Some(restart_policy(restart)),
                maximum_retry_count: None,
            }),
            ..ContainerUpdateBody::default()
        };
        let (docker, owned) = (self.docker().clone(), name.to_owned());
        self.act(&format!("set the restart policy of {name}"), async move {
            docker.update_container(&owned, update).await
        })
        .await
    }

    /// The ids of a pool's containers, by label.
    pub(crate) async fn containers_of(
        &self,
        installation: &InstallationId,
        pool: &PoolId,
    ) -> Result<Vec<String>, EngineError> {
        let found = self.labelled(&labels::of_pool(installation, pool)).await?;
        Ok(found.into_iter().filter_map(|c| c.id).collect())
    }

    /// All members of an installation.
    pub(crate) async fn observe(
        &self,
        installation: &InstallationId,
    ) -> Result<Vec<Observed>, EngineError> {
        let label = (labels::INSTALLATION.to_owned(), installation.to_string());
        let found = self.labelled(&Labels::from([label])).await?;
        let mut members = Vec::new();
        for container in found {
            let running = container.state == Some(ContainerSummaryStateEnum::RUNNING);
            let found = container.labels.unwrap_or_default();
            if found.contains_key(labels::TASK) {
                continue;
            }
            if let Some(member) = labels::observed(&found, running) {
                members.push(member);
            } else {
                tracing::warn!(names = ?container.names, "labels of no member");
            }
        }
        members.sort_by(|a, b| (&a.pool, a.index).cmp(&(&b.pool, b.index)));
        Ok(members)
    }

    /// Whether the engine saw the kernel kill a process of `container` for memory since `since` (RFC 3339, by the
    /// engine's own clock).
    pub(crate) async fn saw_out_of_memory(&self, container: &str, since: &str) -> bool {
        let Ok(since) = since.parse::<Timestamp>() else {
            return false;
        };
        let filters = [
            ("type", "container"),
            ("event", "oom"),
            ("container", container),
        ]
        .map(|(name, value)| (name.to_owned(), vec![value.to_owned()]));
        let options = EventsOptionsBuilder::new()
            .since(&since.as_second().to_string())
            .filters(&filters.into())
            .build();
        let mut events = std::pin::pin!(self.docker().events(Some(options)));
        let first = tokio::time::timeout(EVENTS_LIMIT, events.next()).await;
        matches!(first, Ok(Some(Ok(_))))
    }

    /// The containers that carry `labels`, running or not.
    pub(crate) async fn labelled(
        &self,
        labels: &Labels,
    ) -> Result<Vec<ContainerSummary>, EngineError> {
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&labels::filter(labels))
            .build();
        let asked = self.docker().list_containers(Some(options));
        self.ask("list containers", asked).await
    }
}

/// What the engine calls it.
pub(crate) fn restart_policy(restart: Restart) -> RestartPolicyNameEnum {
    match restart {
        Restart::Always => RestartPolicyNameEnum::UNLESS_STOPPED,
        Restart::Never => RestartPolicyNameEnum::NO,
    }
}

/// Whether a container says that it is this member of this installation.
fn is_ours(found: &ContainerInspectResponse, member: &Member<'_>) -> bool {
    let mut asked = labels::of_pool(member.layout.installation(), &member.pool.id);
    asked.insert(labels::MEMBER.to_owned(), member.index.to_string());
    asked
        .iter()
        .all(|(name, value)| has_label(found, name, value))
}

/// Whether a container carries a label with this value.
pub(crate) fn has_label(found: &ContainerInspectResponse, name: &str, value: &str) -> bool {
    let labels = found.config.as_ref().and_then(|c| c.labels.as_ref());
    labels.and_then(|l| l.get(name)).is_some_and(|v| v == value)
}
