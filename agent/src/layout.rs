//! Where everything of an installation lies under its data folder. Paths only: nothing is read or written here.
//!
//! ```text
//! <data>/env/shop/releases/<digest>/            the immutable trees, their manifests beside them
//! <data>/env/shop/fetched/<operation>/tree/     code that is not the working tree's, until there is a release of it
//! <data>/env/shop/generations/42/sock/0.sock    PHP-FPM of member 0 listens here
//! <data>/env/shop/generations/42/conf/          its FPM configuration, mounted read-only
//! <data>/env/shop/generations/42/code           -> ../../releases/<digest>
//! <data>/env/shop/generations/42/generation     the text "42"
//! <data>/env/shop/sessions/                     PHP's file sessions, shared by all generations
//! <data>/env/shop/tasks/cron.reindex.…/         configuration and uploads of one task
//! <data>/env/shop/live, previous                -> generations/42, generations/41
//! <data>/env/shop/maintenance                   while it is there, visitors get 503; so with overdue
//! <data>/nginx/nginx.conf                       what nginx reads
//! <data>/nginx/passwords/                       what tenants' rules ask visitors for, named after its content
//! <data>/nginx/run/                             private sockets: control.sock, access.sock
//! <data>/nginx/run/tls/                         the certificate: cert.pem, key.pem
//! <data>/nginx/log/shop/access.log              what visitors asked for, where nginx.access_log says so
//! <data>/nginx/varnish/                         sockets between nginx and Varnish: visitors.sock, origin.sock
//! ```

use std::path::{Path, PathBuf};

use stratus_core::route::Closed;
use stratus_core::tasks::TaskId;
use stratus_core::{EnvironmentName, InstallationId, OperationId, PoolId};

/// Longest path of a unix socket, in bytes. Source: `sun_path` in unix(7), less the final NUL.
pub const SOCKET_PATH_MAX: usize = 107;

/// The data folder and whose it is.
#[derive(Debug, Clone)]
pub struct Layout {
    data: PathBuf,
    installation: InstallationId,
}

impl Layout {
    /// The layout under `data`, an absolute path.
    pub fn new(data: impl Into<PathBuf>, installation: InstallationId) -> Self {
        Self {
            data: data.into(),
            installation,
        }
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Whose data folder it is.
    pub fn installation(&self) -> &InstallationId {
        &self.installation
    }

    /// The folder of all environments, which nginx sees.
    pub fn environments(&self) -> PathBuf {
        self.data.join("env")
    }

    /// The folder of one environment.
    pub fn environment(&self, name: &EnvironmentName) -> PathBuf {
        self.environments().join(name.as_str())
    }

    /// The releases of an environment.
    pub fn releases(&self, name: &EnvironmentName) -> PathBuf {
        self.environment(name).join("releases")
    }

    /// What operations fetched to make releases of.
    pub fn all_fetched(&self, name: &EnvironmentName) -> PathBuf {
        self.environment(name).join("fetched")
    }

    /// The folder of what one operation fetched.
    pub fn fetched(&self, name: &EnvironmentName, operation: &OperationId) -> PathBuf {
        self.all_fetched(name).join(operation.as_str())
    }

    /// The tree in it.
    pub fn fetched_tree(&self, name: &EnvironmentName, operation: &OperationId) -> PathBuf {
        self.fetched(name, operation).join("tree")
    }

    /// The generations of an environment.
    pub fn generations(&self, name: &EnvironmentName) -> PathBuf {
        self.environment(name).join("generations")
    }

    /// The folder of one generation.
    pub fn generation(&self, pool: &PoolId) -> PathBuf {
        self.generations(&pool.environment)
            .join(pool.generation.to_string())
    }

    /// The folder of a pool's sockets.
    pub fn sockets(&self, pool: &PoolId) -> PathBuf {
        self.generation(pool).join("sock")
    }

    /// The socket of a member.
    pub fn socket(&self, pool: &PoolId, index: u16) -> PathBuf {
        self.sockets(pool).join(format!("{index}.sock"))
    }

    /// The folder of a pool's FPM configuration.
    pub fn pool_configuration(&self, pool: &PoolId) -> PathBuf {
        self.generation(pool).join("conf")
    }

    /// PHP's file sessions, shared by all generations.
    pub fn sessions(&self, name: &EnvironmentName) -> PathBuf {
        self.environment(name).join("sessions")
    }

    /// The folders of an environment's tasks.
    pub fn tasks(&self, name: &EnvironmentName) -> PathBuf {
        self.environment(name).join("tasks")
    }

    /// The folder of one task.
    pub fn task(&self, task: &TaskId) -> PathBuf {
        self.tasks(&task.environment).join(task.name.as_str())
    }

    /// The link to the generation that serves.
    pub fn live(&self, name: &EnvironmentName) -> PathBuf {
        self.environment(name).join("live")
    }

    /// The link to the generation whose static files are still offered.
    pub fn previous(&self, name: &EnvironmentName) -> PathBuf {
        self.environment(name).join("previous")
    }

    /// The file that closes an environment to visitors while it is there.
    pub fn closed(&self, name: &EnvironmentName, why: Closed) -> PathBuf {
        self.environment(name).join(match why {
            Closed::Maintenance => "maintenance",
            Closed::Overdue => "overdue",
        })
    }

    /// nginx's folder.
    pub fn nginx(&self) -> PathBuf {
        self.data.join("nginx")
    }

    /// What nginx reads.
    pub fn nginx_configuration(&self) -> PathBuf {
        self.nginx().join("nginx.conf")
    }

    /// The folder of the password files that tenants' rules name.
    pub fn nginx_passwords(&self) -> PathBuf {
        self.nginx().join("passwords")
    }

    /// The folder of the private sockets between nginx and the server.
    pub fn nginx_run(&self) -> PathBuf {
        self.nginx().join("run")
    }

    /// nginx answers `/.stratus/…` here.
    pub fn control_socket(&self) -> PathBuf {
        self.nginx_run().join("control.sock")
    }

    /// nginx sends its access records here.
    pub fn access_socket(&self) -> PathBuf {
        self.nginx_run().join("access.sock")
    }

    /// The folder of the certificate that nginx shows to visitors.
    pub fn nginx_tls(&self) -> PathBuf {
        self.nginx_run().join("tls")
    }

    /// The folder of the logs of visitors' requests.
    pub fn nginx_log(&self) -> PathBuf {
        self.nginx().join("log")
    }

    /// The log of the requests of an environment's visitors.
    pub fn access_log(&self, environment: &EnvironmentName) -> PathBuf {
        let folder = self.nginx_log().join(environment.as_str());
        folder.join("access.log")
    }

    /// The folder of the sockets between nginx and Varnish.
    pub fn nginx_varnish(&self) -> PathBuf {
        self.nginx().join("varnish")
    }

    /// Varnish answers for visitors here.
    pub fn visitors_socket(&self) -> PathBuf {
        self.nginx_varnish().join("visitors.sock")
    }

    /// nginx answers Varnish here.
    pub fn origin_socket(&self) -> PathBuf {
        self.nginx_varnish().join("origin.sock")
    }

    /// The state database.
    pub fn database(&self) -> PathBuf {
        self.data.join("state.db")
    }
}
