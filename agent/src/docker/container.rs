//! The body of a member's container: a pool's values expanded to what the engine is told, and nothing else.

use std::path::Path;

use bollard::models::{ContainerCreateBody, HostConfig};
use stratus_core::environment::CodeAccess;
use stratus_core::{InstallationId, OperationId, Pool};

use super::body::{self, Bind};
use super::error::EngineError;
use super::labels;
use super::policy::Expected;
use crate::fpm::{config, generation};
use crate::layout::Layout;

/// Tasks that a member may have beside its workers.
const TASKS_SPARE: u32 = 64;
/// The kernel's own bound of a backlog.
pub(crate) const SOMAXCONN: &str = "net.core.somaxconn";
/// Seconds of grace when the engine itself stops a member, at its own shutdown.
const SHUTDOWN_GRACE_SECONDS: i64 = 30;
/// One member to create.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Where everything lies.
    pub layout: &'a Layout,
    /// Its pool.
    pub pool: &'a Pool,
    /// Counted from 0.
    pub index: u16,
    /// Who creates it.
    pub operation: &'a OperationId,
    /// Name of its network; `none` for none.
    pub network: &'a str,
    /// `PHP_INI_SCAN_DIR` of its image.
    pub image_scan_dir: Option<&'a str>,
}

impl Member<'_> {
    fn installation(&self) -> &InstallationId {
        self.layout.installation()
    }

    /// Its container's name.
    pub fn name(&self) -> String {
        self.pool.id.member(self.index, self.installation())
    }

    /// The volume of its code, where that is writable.
    pub fn volume(&self) -> Option<String> {
        (self.pool.code_access == CodeAccess::Overlay).then(|| format!("{}-code", self.name()))
    }

    /// Everything it sees of the host.
    fn binds(&self) -> Vec<Bind> {
        let (layout, pool) = (self.layout, self.pool);
        let mount = &pool.php.mount;
        let mut binds = Vec::new();
        if pool.code_access == CodeAccess::Immutable {
            binds.push(Bind::read(generation::release(layout, pool), mount));
        }
        for folder in &pool.shared {
            binds.push(Bind::write(pool.code.join(folder), &mount.join(folder)));
        }
        for root in &pool.links {
            binds.push(Bind::read(root.clone(), root));
        }
        let configuration = layout.pool_configuration(&pool.id);
        let sessions = layout.sessions(&pool.id.environment);
        let uploads = generation::uploads(layout, &pool.id, self.index);
        binds.push(Bind::read(configuration, Path::new(config::CONF)));
        binds.push(Bind::write(
            layout.sockets(&pool.id),
            Path::new(config::SOCK),
        ));
        binds.push(Bind::write(sessions, Path::new(config::SESSIONS)));
        binds.push(Bind::write(uploads, Path::new(config::TMP)));
        binds
    }

    /// What it must be and may not be more than.
    pub fn expected(&self) -> Expected {
        let php = &self.pool.php;
        Expected {
            image: self.pool.image.clone(),
            user: self.pool.user(),
            entry_point: php.fpm.clone(),
            stop_signal: "SIGQUIT",
            network: self.network.to_owned(),
            memory: php.memory,
            cpus_milli: php.cpus_milli,
            binds: self.binds(),
            code: self.volume().map(|volume| (volume, php.mount.clone())),
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`EngineError::Refused`] when the pool asks for something that no member may have.
    pub fn body(&self, specification: &str) -> Result<ContainerCreateBody, EngineError> {
        self.check()?;
        let pool = self.pool;
        let file = format!("{}/{}.conf", config::CONF, self.index);
        let arguments = ["-F", "-y", &file].map(str::to_owned);
        let user = pool.user();
        Ok(ContainerCreateBody {
            hostname: Some(pool.id.to_string()),
            image: Some(pool.image.clone()),
            // The image's own entry point (a shell script in the official images) would stand between SIGQUIT and FPM.
            entrypoint: Some(vec![pool.php.fpm.clone()]),
            cmd: Some(arguments.into()),
            user: Some(format!("{}:{}", user.uid, user.gid)),
            working_dir: Some(body::text(&pool.php.mount)?),
            env: Some(body::environment(&pool.php, self.image_scan_dir)),
            stop_signal: Some("SIGQUIT".to_owned()),
            stop_timeout: Some(SHUTDOWN_GRACE_SECONDS),
            labels: Some(labels::member(
                self.installation(),
                pool,
                self.index,
                self.operation,
                specification,
            )),
            host_config: Some(self.host()?),
            ..ContainerCreateBody::default()
        })
    }

    fn host(&self) -> Result<HostConfig, EngineError> {
        let php = &self.pool.php;
        let processes = i64::from(u32::from(php.workers) * 4 + TASKS_SPARE);
        let expected = self.expected();
        Ok(HostConfig {
            // The backlog of the sockets; older kernels have 128.
            sysctls: Some([(SOMAXCONN.to_owned(), config::BACKLOG.to_string())].into()),
            ..body::confined(php, self.network, processes, &expected.binds, expected.code)?
        })
    }

    fn check(&self) -> Result<(), EngineError> {
        let what = format!("create {}", self.name());
        body::check(&what, &self.pool.php, &self.pool.links)?;
        let socket = self.layout.socket(&self.pool.id, self.index);
        if socket.as_os_str().len() > crate::layout::SOCKET_PATH_MAX {
            let detail = format!(
                "the socket path {} is too long; use a shorter data_dir or environment name",
                socket.display()
            );
            return Err(EngineError::Refused { what, detail });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fpm::sample;

    fn body(pool: &Pool) -> Result<ContainerCreateBody, EngineError> {
        let layout = Layout::new("/data", "5f3a9c".parse().unwrap());
        let operation = "op-1".parse().unwrap();
        Member {
            layout: &layout,
            pool,
            index: 1,
            operation: &operation,
            network: "none",
            image_scan_dir: None,
        }
        .body("abc")
    }

    #[test]
    fn the_body_of_a_member() {
        let mut pool = sample::pool();
        pool.shared.push("pub/media".into());
        pool.links.push("/srv/assets".into());
        pool.php.env.insert("APP_ENV".into(), "a b\nc".into());
        let value = serde_json::to_value(body(&pool).unwrap()).unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&value).unwrap());
    }

    #[test]
    fn writable_code_is_a_volume_of_the_members_own() {
        let mut pool = sample::pool();
        pool.code_access = CodeAccess::Overlay;
        let host = body(&pool).unwrap().host_config.unwrap();
        let first = &host.mounts.unwrap()[0];
        assert_eq!(first.source.as_deref(), Some("shop-g42-1-5f3a9c-code"));
        assert_eq!(first.target.as_deref(), Some("/var/www/html"));
    }

    #[test]
    fn root_and_mounts_over_the_system_are_refused() {
        let mut root = sample::pool();
        root.php.user.uid = 0;
        assert!(body(&root).is_err());
        for target in ["/", "/proc/x", "/stratus/conf", "/tmp", "relative"] {
            let mut pool = sample::pool();
            pool.links.push(target.into());
            assert!(body(&pool).is_err(), "{target}");
            let mut pool = sample::pool();
            pool.php.mount = target.into();
            assert!(body(&pool).is_err(), "{target}");
        }
    }

    #[test]
    fn a_socket_path_that_the_kernel_would_cut_is_refused() {
        let mut pool = sample::pool();
        pool.id.environment = "a".repeat(40).parse().unwrap();
        assert!(body(&pool).is_ok());
        let layout = Layout::new(format!("/{}", "d".repeat(60)), "5f3a9c".parse().unwrap());
        let operation = "op-1".parse().unwrap();
        let member = Member {
            layout: &layout,
            pool: &pool,
            index: 0,
            operation: &operation,
            network: "none",
            image_scan_dir: None,
        };
        let error = member.body("abc").unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }
}
