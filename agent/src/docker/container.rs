//! The body of a member's container: a pool's values expanded to what the engine is told, and nothing else.

use std::path::{Path, PathBuf};

use bollard::models::{
    ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions, ResourcesUlimits,
    RestartPolicy, RestartPolicyNameEnum,
};
use stratus_core::environment::{CodeAccess, Setting};
use stratus_core::{InstallationId, OperationId, Pool};

use super::body::{self, Bind, Tmpfs};
use super::error::EngineError;
use super::labels;
use crate::fpm::{config, generation};
use crate::layout::Layout;

/// Tasks that a member may have beside its workers.
const TASKS_SPARE: u32 = 64;
/// Most that a member may keep in `/tmp`; it counts as memory.
const TMP_MAX: u64 = 256 << 20;
/// Bound of `/run`.
const RUN_BYTES: u64 = 1 << 20;
/// The kernel's own bound of a backlog.
pub(crate) const SOMAXCONN: &str = "net.core.somaxconn";
/// Seconds of grace when the engine itself stops a member, at its own shutdown.
const SHUTDOWN_GRACE_SECONDS: i64 = 30;
/// Where, and below which, nothing else is mounted.
const RESERVED: [&str; 4] = ["/proc", "/sys", "/dev", "/stratus"];
/// Where nothing else is mounted; below them it may be.
const OCCUPIED: [&str; 3] = ["/", "/tmp", "/run"];

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
    pub fn binds(&self) -> Vec<Bind> {
        let (layout, pool) = (self.layout, self.pool);
        let read = |source: PathBuf, target: &Path| Bind {
            source,
            target: target.to_owned(),
            read_only: true,
        };
        let write = |source: PathBuf, target: &Path| Bind {
            read_only: false,
            ..read(source, target)
        };
        let mount = &pool.php.mount;
        let mut binds = Vec::new();
        if pool.code_access == CodeAccess::Immutable {
            binds.push(read(generation::release(layout, pool), mount));
        }
        for folder in &pool.shared {
            binds.push(write(pool.code.join(folder), &mount.join(folder)));
        }
        for root in &pool.links {
            binds.push(read(root.clone(), root));
        }
        let configuration = layout.pool_configuration(&pool.id);
        let sessions = layout.sessions(&pool.id.environment);
        let uploads = generation::uploads(layout, &pool.id, self.index);
        binds.push(read(configuration, Path::new(config::CONF)));
        binds.push(write(layout.sockets(&pool.id), Path::new(config::SOCK)));
        binds.push(write(sessions, Path::new(config::SESSIONS)));
        binds.push(write(uploads, Path::new(config::TMP)));
        binds
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
            env: Some(self.environment()),
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
        let tmpfs = [
            Tmpfs {
                target: "/tmp".into(),
                bytes: (php.memory / 4).clamp(RUN_BYTES, TMP_MAX),
            },
            Tmpfs {
                target: "/run".into(),
                bytes: RUN_BYTES,
            },
        ];
        let mut mounts = self
            .binds()
            .iter()
            .map(body::mount)
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(volume) = self.volume() {
            // First, so that the shared folders are mounted over it.
            mounts.insert(0, overlay_mount(volume, body::text(&php.mount)?));
        }
        let core = ResourcesUlimits {
            name: Some("core".to_owned()),
            soft: Some(0),
            hard: Some(0),
        };
        Ok(HostConfig {
            mounts: Some(mounts),
            network_mode: Some(self.network.to_owned()),
            // Process 1 is deaf to a signal it has no handler for: an FPM that is told to quit in its first moments, by
            // the undo of a failed init, would not hear it and be killed after the grace period. docker-init forwards.
            init: Some(true),
            pids_limit: Some(i64::from(u32::from(php.workers) * 4 + TASKS_SPARE)),
            nano_cpus: Some(i64::from(php.cpus_milli) * 1_000_000),
            ulimits: Some(vec![core]),
            // The backlog of the sockets; older kernels have 128.
            sysctls: Some([(SOMAXCONN.to_owned(), config::BACKLOG.to_string())].into()),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            ..body::restricted(php.memory, &tmpfs)?
        })
    }

    /// PHP reads our `php.ini` part after everything of the image's; an empty entry stands for PHP's own folder.
    fn environment(&self) -> Vec<String> {
        let php = &self.pool.php;
        let own = php.env.get("PHP_INI_SCAN_DIR").map(Setting::expose);
        let before = own.or(self.image_scan_dir).unwrap_or_default();
        let scanned = format!("{before}:{}/{}", config::CONF, config::INI_FOLDER);
        let mut environment: Vec<_> = php
            .env
            .iter()
            .filter(|(name, _)| *name != "PHP_INI_SCAN_DIR")
            .map(|(name, value)| format!("{name}={}", value.expose()))
            .collect();
        environment.push(format!("PHP_INI_SCAN_DIR={scanned}"));
        environment
    }

    fn check(&self) -> Result<(), EngineError> {
        let refuse = |detail: String| {
            Err(EngineError::Refused {
                what: format!("create {}", self.name()),
                detail,
            })
        };
        if self.pool.user().uid == 0 {
            return refuse(
                "php.user is root; name another user, such as the owner of the code".into(),
            );
        }
        let mount = &self.pool.php.mount;
        for target in std::iter::once(mount).chain(&self.pool.links) {
            let reserved = RESERVED.iter().any(|r| target.starts_with(r))
                || OCCUPIED.iter().any(|o| target == Path::new(o));
            if !target.is_absolute() || reserved {
                return refuse(format!("nothing can be mounted at {}", target.display()));
            }
        }
        let socket = self.layout.socket(&self.pool.id, self.index);
        if socket.as_os_str().len() > crate::layout::SOCKET_PATH_MAX {
            return refuse(format!(
                "the socket path {} is too long; use a shorter data_dir or environment name",
                socket.display()
            ));
        }
        Ok(())
    }
}

fn overlay_mount(volume: String, target: String) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(volume),
        target: Some(target),
        read_only: Some(false),
        volume_options: Some(MountVolumeOptions {
            // Else the engine copies what the image has at the mount point into the overlay.
            no_copy: Some(true),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
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
