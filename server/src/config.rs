//! The configuration: what the operator wrote, checked and completed with defaults.
//!
//! [`load`] is the only way in. It reports everything that is wrong at once, each with line, column and key.
//!
//! ```text
//! file ──document──► nodes with places ──section, scalar──► typed values ──environment──► Config
//! ```

mod caches;
mod document;
mod environment;
mod error;
mod file;
mod host;
mod name;
mod path;
mod php;
mod render;
mod scalar;
mod secret;
mod section;
mod server;
mod services;
mod tasks;
#[cfg(test)]
mod tests;
mod tree;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use stratus_core::environment::User;
use stratus_core::{Environment, EnvironmentName};

pub use error::{ConfigError, Problem};
pub use php::is_option as is_php_option;
pub use render::render;

use section::{Report, Value};

/// Where the configuration is when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/stratus/stratus.yaml";
/// Largest configuration file, in bytes.
pub const FILE_MAX: usize = 256 * 1024;

/// Everything that the configuration says.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The server's own settings.
    pub server: Server,
    /// The nginx in front.
    pub nginx: Nginx,
    /// In the order of the file: the first also answers for unknown host names.
    pub environments: Vec<Environment>,
}

/// The server's own settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// State, releases and sockets: absolute.
    pub data_dir: PathBuf,
    /// Where the server listens for the CLI: absolute.
    pub socket: PathBuf,
    /// Docker network that members join, and where Redis and Varnish are found by name; none: the installation's own.
    pub network: Option<String>,
}

/// The nginx in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nginx {
    /// Name of its container.
    pub container: String,
    /// The address that visitors reach.
    pub http: SocketAddr,
    /// The address that visitors reach by TLS; none: they do not.
    pub https: Option<SocketAddr>,
    /// Whether a Varnish shares the sockets in `<data_dir>/nginx/varnish` with it, as in `compose/stack.yaml`.
    pub varnish: bool,
    /// Whether what visitors ask for is written to `<data_dir>/nginx/log/NAME/access.log`, a file an environment.
    pub access_log: bool,
    /// Whether responses of PHP name their generation in `X-Stratus-Generation`.
    pub debug_header: bool,
    /// Who its workers run as.
    pub user: User,
}

impl Server {
    /// Where the socket of `environment` alone is, in a folder of its own beside the server's.
    pub fn environment_socket(&self, environment: &EnvironmentName) -> PathBuf {
        let folder = self.environments_folder().join(environment.as_str());
        folder.join("stratus.sock")
    }

    /// The folder of those folders.
    pub fn environments_folder(&self) -> PathBuf {
        self.socket.with_file_name("env")
    }
}

impl Config {
    /// The file to load: `flag` (`--config`), else `STRATUS_CONFIG`, else [`DEFAULT_PATH`].
    pub fn find(flag: Option<&Path>) -> PathBuf {
        find(flag, std::env::var_os("STRATUS_CONFIG").map(PathBuf::from))
    }

    /// The environment called `name`.
    pub fn environment(&self, name: &str) -> Option<&Environment> {
        self.environments.iter().find(|e| e.name.as_str() == name)
    }
}

fn find(flag: Option<&Path>, variable: Option<PathBuf>) -> PathBuf {
    flag.map(Path::to_owned)
        .or(variable.filter(|path| !path.as_os_str().is_empty()))
        .unwrap_or_else(|| DEFAULT_PATH.into())
}

/// Reads and checks the configuration at `path`. Code folders must exist; the data folder need not.
///
/// # Errors
/// When the file cannot be read, and with every problem in it otherwise.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    load_with(path, &|name| std::env::var(name).ok())
}

/// Looks up an environment variable of the server.
type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

fn load_with(path: &Path, variables: Variables<'_>) -> Result<Config, ConfigError> {
    let text = file::read(path, FILE_MAX)?;
    let report = Report::default();
    let config = parse(&text, &report, variables);
    let problems = report.into_problems();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(ConfigError::Invalid {
            path: path.to_owned(),
            problems,
        }),
    }
}

fn parse(text: &str, report: &Report, variables: Variables<'_>) -> Option<Config> {
    let root = match document::parse(text) {
        Ok(root) => root,
        Err(problem) => {
            report.add(problem);
            return None;
        }
    };
    let root = Value::root(&root, report);
    if root.is_null() {
        root.fault("the file is empty; it needs at least `environments:` with one environment");
        return None;
    }
    let root = root.section(&["server", "nginx", "environments"], &[])?;
    let server = server::read(root.get("server").as_ref());
    let nginx = server::read_nginx(root.get("nginx").as_ref());
    let environments = environment::read_all(&root, &server, &nginx, variables);
    Some(Config {
        server,
        nginx,
        environments,
    })
}
