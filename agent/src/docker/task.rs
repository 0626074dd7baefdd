//! The body of a task's container: the values of a member of its pool, with a command in place of PHP-FPM.

use std::path::{Path, PathBuf};

use bollard::models::{ContainerCreateBody, HostConfig, RestartPolicy};
use stratus_core::environment::CodeAccess;
use stratus_core::tasks::{Task, TaskCode};

use super::body::{self, Bind};
use super::error::EngineError;
use super::labels;
use super::members::restart_policy;
use super::policy::Expected;
use crate::fpm::{config, generation};
use crate::layout::Layout;

/// Processes and threads that a task may have: what forks without end meets this, and nothing else suffers.
const PROCESSES: i64 = 256;

/// One task's container.
#[derive(Debug, Clone, Copy)]
pub struct TaskContainer<'a> {
    /// Where everything lies.
    pub layout: &'a Layout,
    /// What it runs.
    pub task: &'a Task,
    /// Name of its network; `none` for none.
    pub network: &'a str,
    /// `PHP_INI_SCAN_DIR` of its image.
    pub image_scan_dir: Option<&'a str>,
}

impl TaskContainer<'_> {
    /// Its name.
    pub fn name(&self) -> String {
        self.task.id.container(self.layout.installation())
    }

    /// The volume of its code, where it sees a release that it may write over.
    pub fn volume(&self) -> Option<String> {
        let overlaid = self.task.code == TaskCode::Release
            && self.task.pool.code_access == CodeAccess::Overlay;
        overlaid.then(|| format!("{}-code", self.name()))
    }

    /// Everything it sees of the host.
    fn binds(&self) -> Vec<Bind> {
        let (layout, pool) = (self.layout, &self.task.pool);
        let mount = &pool.php.mount;
        let mut binds = Vec::new();
        match (self.task.code, pool.code_access) {
            (TaskCode::WorkingTree, _) => binds.push(Bind::write(pool.code.clone(), mount)),
            (TaskCode::Release, CodeAccess::Immutable) => {
                binds.push(Bind::read(generation::release(layout, pool), mount));
            }
            (TaskCode::Release, CodeAccess::Overlay) => {}
        }
        if self.task.code == TaskCode::Release {
            let shared = pool.shared.iter();
            binds.extend(shared.map(|f| Bind::write(pool.code.join(f), &mount.join(f))));
        }
        binds.extend(pool.links.iter().map(|root| Bind::read(root.clone(), root)));
        let folder = layout.task(&self.task.id);
        let sessions = layout.sessions(&self.task.id.environment);
        binds.push(Bind::read(folder.join("conf"), Path::new(config::CONF)));
        binds.push(Bind::write(folder.join("tmp"), Path::new(config::TMP)));
        binds.push(Bind::write(sessions, Path::new(config::SESSIONS)));
        binds
    }

    /// What it must be and may not be more than.
    pub fn expected(&self) -> Expected {
        let pool = &self.task.pool;
        Expected {
            image: pool.image.clone(),
            user: pool.user(),
            entry_point: self.task.argv.first().cloned().unwrap_or_default(),
            stop_signal: "SIGTERM",
            network: self.network.to_owned(),
            memory: pool.php.memory,
            cpus_milli: pool.php.cpus_milli,
            binds: self.binds(),
            code: self.volume().map(|volume| (volume, pool.php.mount.clone())),
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`EngineError::Refused`] when the task asks for something that none may have.
    pub fn body(&self, specification: &str) -> Result<ContainerCreateBody, EngineError> {
        let (task, pool) = (self.task, &self.task.pool);
        let what = format!("create {}", self.name());
        body::check(&what, &pool.php, &pool.links)?;
        let Some((program, arguments)) = task.argv.split_first() else {
            let detail = "there is no command to run".to_owned();
            return Err(EngineError::Refused { what, detail });
        };
        let user = pool.user();
        Ok(ContainerCreateBody {
            hostname: Some(task.id.environment.to_string()),
            image: Some(pool.image.clone()),
            entrypoint: Some(vec![program.clone()]),
            cmd: Some(arguments.to_vec()),
            user: Some(format!("{}:{}", user.uid, user.gid)),
            working_dir: Some(body::text(&pool.php.mount)?),
            env: Some(body::environment(&pool.php, self.image_scan_dir)),
            stop_signal: Some("SIGTERM".to_owned()),
            stop_timeout: Some(i64::try_from(task.grace.as_secs()).unwrap_or(i64::MAX)),
            labels: Some(labels::task(
                self.layout.installation(),
                task,
                specification,
            )),
            host_config: Some(self.host()?),
            ..ContainerCreateBody::default()
        })
    }

    fn host(&self) -> Result<HostConfig, EngineError> {
        let php = &self.task.pool.php;
        let binds = self.binds();
        let code: Option<(String, PathBuf)> = self.expected().code;
        Ok(HostConfig {
            restart_policy: Some(RestartPolicy {
                name: Some(restart_policy(self.task.restart.into())),
                maximum_retry_count: None,
            }),
            ..body::confined(php, self.network, PROCESSES, &binds, code)?
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bollard::models::RestartPolicyNameEnum;
    use stratus_core::tasks::{TaskId, TaskRestart};

    use super::*;
    use crate::fpm::sample;

    fn task() -> Task {
        let mut pool = sample::pool();
        pool.shared.push("pub/media".into());
        pool.links.push("/srv/assets".into());
        Task {
            id: TaskId::new(&pool.id.environment, "cron.a.1".parse().unwrap()),
            pool,
            code: TaskCode::Release,
            argv: ["php", "bin/a.php", "--all"].map(str::to_owned).into(),
            restart: TaskRestart::Never,
            grace: Duration::from_secs(10),
        }
    }

    fn body(task: &Task) -> Result<ContainerCreateBody, EngineError> {
        let layout = Layout::new("/data", "5f3a9c".parse().unwrap());
        TaskContainer {
            layout: &layout,
            task,
            network: "none",
            image_scan_dir: None,
        }
        .body("abc")
    }

    #[test]
    fn the_body_of_a_task() {
        let value = serde_json::to_value(body(&task()).unwrap()).unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&value).unwrap());
    }

    #[test]
    fn the_working_tree_is_written_to_and_the_release_is_not() {
        let mut tree = task();
        tree.code = TaskCode::WorkingTree;
        for (task, source, read_only) in [
            (&task(), "/data/env/shop/releases", true),
            (&tree, "/srv/shop", false),
        ] {
            let mounts = body(task).unwrap().host_config.unwrap().mounts.unwrap();
            let code = &mounts[0];
            assert!(
                code.source.as_ref().unwrap().starts_with(source),
                "{code:?}"
            );
            assert_eq!(code.target.as_deref(), Some("/var/www/html"));
            assert_eq!(code.read_only, Some(read_only));
        }
    }

    #[test]
    fn a_writable_release_is_a_volume_of_the_tasks_own() {
        let mut task = task();
        task.pool.code_access = CodeAccess::Overlay;
        let mounts = body(&task).unwrap().host_config.unwrap().mounts.unwrap();
        assert_eq!(
            mounts[0].source.as_deref(),
            Some("shop-cron.a.1-5f3a9c-code")
        );
    }

    #[test]
    fn only_what_runs_all_the_time_is_started_again_by_the_engine() {
        let policy = |restart| {
            let task = Task { restart, ..task() };
            let host = body(&task).unwrap().host_config.unwrap();
            host.restart_policy.unwrap().name.unwrap()
        };
        assert_eq!(policy(TaskRestart::Never), RestartPolicyNameEnum::NO);
        assert_eq!(
            policy(TaskRestart::Always),
            RestartPolicyNameEnum::UNLESS_STOPPED
        );
    }

    #[test]
    fn root_and_a_task_without_a_command_are_refused() {
        let mut root = task();
        root.pool.php.user.uid = 0;
        assert!(body(&root).is_err());
        let mut nothing = task();
        nothing.argv.clear();
        assert!(body(&nothing).is_err());
    }
}
