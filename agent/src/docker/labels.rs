//! Labels: how containers, volumes and networks say whose they are. Names may be taken by others; labels decide.

use std::collections::HashMap;

use bollard::models::ContainerSummaryStateEnum;
use stratus_core::runtime::Observed;
use stratus_core::tasks::{ObservedTask, Task, TaskCode, TaskId};
use stratus_core::{Generation, InstallationId, OperationId, Pool, PoolId};

/// Which data folder it belongs to.
pub const INSTALLATION: &str = "org.stratus.installation";
/// Which environment it serves.
pub const ENVIRONMENT: &str = "org.stratus.environment";
/// In which generation.
pub const GENERATION: &str = "org.stratus.generation";
/// Which member it is, counted from 0.
pub const MEMBER: &str = "org.stratus.member";
/// Which release it runs.
pub const RELEASE: &str = "org.stratus.release";
/// Which operation created it.
pub const OPERATION: &str = "org.stratus.operation";
/// Which task it is; none of the labels of a pool is beside it.
pub const TASK: &str = "org.stratus.task";
/// Digest of the whole specification of a pool or a task.
pub const SPECIFICATION: &str = "org.stratus.specification";

/// Labels, as the engine has them.
pub type Labels = HashMap<String, String>;

/// The labels of a member.
pub fn member(
    installation: &InstallationId,
    pool: &Pool,
    index: u16,
    operation: &OperationId,
    specification: &str,
) -> Labels {
    let mut labels = of_pool(installation, &pool.id);
    labels.insert(MEMBER.to_owned(), index.to_string());
    labels.insert(RELEASE.to_owned(), pool.release.to_string());
    labels.insert(OPERATION.to_owned(), operation.to_string());
    labels.insert(SPECIFICATION.to_owned(), specification.to_owned());
    labels
}

/// What everything of a pool carries.
pub fn of_pool(installation: &InstallationId, pool: &PoolId) -> Labels {
    HashMap::from([
        (INSTALLATION.to_owned(), installation.to_string()),
        (ENVIRONMENT.to_owned(), pool.environment.to_string()),
        (GENERATION.to_owned(), pool.generation.to_string()),
    ])
}

/// The labels of a task.
pub fn task(installation: &InstallationId, task: &Task, specification: &str) -> Labels {
    let mut labels = of_task(installation, &task.id);
    if task.code == TaskCode::Release {
        labels.insert(RELEASE.to_owned(), task.pool.release.to_string());
    }
    labels.insert(SPECIFICATION.to_owned(), specification.to_owned());
    labels
}

/// What everything of a task carries.
pub fn of_task(installation: &InstallationId, id: &TaskId) -> Labels {
    HashMap::from([
        (INSTALLATION.to_owned(), installation.to_string()),
        (ENVIRONMENT.to_owned(), id.environment.to_string()),
        (TASK.to_owned(), id.name.to_string()),
    ])
}

/// The task that labels describe, with its container's state; `None` when they describe none.
pub fn observed_task(
    labels: &Labels,
    state: Option<ContainerSummaryStateEnum>,
) -> Option<ObservedTask> {
    let restarting = state == Some(ContainerSummaryStateEnum::RESTARTING);
    let text = |name: &str| labels.get(name).map(String::as_str);
    Some(ObservedTask {
        id: TaskId {
            environment: text(ENVIRONMENT)?.parse().ok()?,
            name: text(TASK)?.parse().ok()?,
        },
        release: text(RELEASE).and_then(|release| release.parse().ok()),
        running: restarting || state == Some(ContainerSummaryStateEnum::RUNNING),
        restarting,
    })
}

/// The engine's filter for everything that carries `labels`.
pub(crate) fn filter(labels: &Labels) -> HashMap<String, Vec<String>> {
    let pairs = labels.iter().map(|(name, value)| format!("{name}={value}"));
    HashMap::from([("label".to_owned(), pairs.collect())])
}

/// The member that labels describe; `None` when they describe none.
pub fn observed(labels: &Labels, running: bool) -> Option<Observed> {
    let text = |name: &str| labels.get(name).map(String::as_str);
    Some(Observed {
        pool: PoolId {
            environment: text(ENVIRONMENT)?.parse().ok()?,
            generation: Generation(text(GENERATION)?.parse().ok()?),
        },
        index: text(MEMBER)?.parse().ok()?,
        running,
        operation: text(OPERATION).and_then(|id| id.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fpm::sample;

    #[test]
    fn a_member_is_recognised_by_its_own_labels_and_a_stranger_is_not() {
        let installation = "5f3a9c".parse().unwrap();
        let operation: OperationId = "op-1".parse().unwrap();
        let pool = sample::pool();
        let mut labels = member(&installation, &pool, 1, &operation, "abc");
        let seen = observed(&labels, true).unwrap();
        assert_eq!((seen.pool, seen.index), (pool.id, 1));
        assert_eq!(seen.operation, Some(operation));
        labels.insert(MEMBER.to_owned(), "x".to_owned());
        assert_eq!(observed(&labels, true), None);
        assert_eq!(observed(&Labels::new(), true), None);
    }
}
