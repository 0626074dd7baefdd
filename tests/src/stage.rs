//! A whole Stratus on this machine for a test or a demonstration: a folder, a server process, an nginx, and the CLI.
//!
//! Everything is real: `stratusd` and `stratus` are the built binaries, nginx is started by `compose/single.yaml`, pools
//! are started by the server.

mod command;
mod disk;
mod ports;
mod refusal;
mod running;
mod server;
mod shop;
mod stack;
mod traces;
mod visit;
mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::Value;

pub use command::{Output, command};
pub use disk::SmallDisk;
pub use ports::free_port;
pub use running::Running;
pub use server::{Server, stop_pid};
pub use shop::Shop;
pub use stack::Stack;
pub use traces::Traces;
pub use visit::Visit;
pub use wire::Wire;

/// Where a stage stands and what it is called.
#[derive(Debug, Clone)]
pub struct Place {
    /// Everything lies below: `data`, `code`, the configuration, logs.
    pub root: PathBuf,
    /// What visitors reach.
    pub http: SocketAddr,
    /// Prefix of the nginx container's and the network's name.
    pub project: String,
}

impl Place {
    /// The server's data folder.
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The folder above the working trees.
    pub fn code(&self) -> PathBuf {
        self.root.join("code")
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.root.join("stratus.yaml")
    }

    /// The server's socket.
    pub fn socket(&self) -> PathBuf {
        self.root.join("stratus.sock")
    }

    /// The nginx container.
    pub fn nginx(&self) -> String {
        format!("{}-nginx", self.project)
    }

    /// Writes the configuration: the head that every stage needs, and `environments` (YAML, indented by two).
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn configure(&self, environments: &str) -> anyhow::Result<()> {
        let text = format!(
            "server:\n  data_dir: {data}\n  socket: {socket}\nnginx:\n  container: {nginx}\n  http: {http}\n  debug_header: true\nenvironments:\n{environments}",
            data = self.data().display(),
            socket = self.socket().display(),
            nginx = self.nginx(),
            http = self.http,
        );
        std::fs::create_dir_all(&self.root)?;
        std::fs::write(self.config(), text).context("the configuration cannot be written")
    }

    /// Starts nginx as an operator would, with whichever compose there is.
    ///
    /// # Errors
    /// When there is none, or nginx does not start.
    pub async fn compose_up(&self) -> anyhow::Result<()> {
        self.compose(ALONE, &["up", "-d"], &[]).await.map(drop)
    }

    /// Starts an nginx of another image.
    ///
    /// # Errors
    /// When there is no compose, or nginx does not start.
    pub async fn compose_up_image(&self, image: &str) -> anyhow::Result<()> {
        self.compose(ALONE, &["up", "-d"], &[("STRATUS_NGINX_IMAGE", image)])
            .await
            .map(drop)
    }

    /// Removes nginx and its network.
    ///
    /// # Errors
    /// When compose fails.
    pub async fn compose_down(&self) -> anyhow::Result<()> {
        let down = ["down", "--remove-orphans", "--volumes", "-t", "5"];
        self.compose(ALONE, &down, &[]).await.map(drop)
    }

    async fn compose(
        &self,
        files: &[&str],
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Output> {
        let folder = repository().join("compose");
        let path = |file: &&str| folder.join(file).to_string_lossy().into_owned();
        let files: Vec<String> = files.iter().map(path).collect();
        let files = files.iter().flat_map(|file| ["-f", file.as_str()]);
        let common: Vec<&str> = files.chain(["-p", &self.project]).collect();
        let standalone = command("docker-compose", &["version"]).run().await.is_ok();
        let (program, first) = if standalone {
            ("docker-compose", &[][..])
        } else {
            ("docker", &["compose"][..])
        };
        let all: Vec<&str> = first
            .iter()
            .chain(&common)
            .chain(arguments)
            .copied()
            .collect();
        let program = command(program, &all);
        let program = variables
            .iter()
            .fold(program, |program, (name, value)| program.env(name, value));
        let output = program
            .env("STRATUS_DATA", &self.data())
            .env("STRATUS_CODE_ROOT", &self.code())
            .env("STRATUS_HTTP", &self.http.to_string())
            .env("STRATUS_NGINX_CONTAINER", &self.nginx())
            .env("STRATUS_NETWORK", &self.project)
            .run()
            .await?;
        output.success()
    }

    /// Runs the CLI with `--json`; the object it printed, whatever its exit code.
    ///
    /// # Errors
    /// When it printed none.
    pub async fn stratus(&self, arguments: &[&str]) -> anyhow::Result<(i32, Value)> {
        let output = self.cli(&[&["--json"], arguments].concat()).await?;
        let line = output.stdout.lines().last().unwrap_or_default();
        let value = serde_json::from_str(line)
            .or_else(|_| serde_json::from_str(&output.stdout))
            .with_context(|| format!("stratus {arguments:?} printed no JSON: {output}"))?;
        Ok((output.code, value))
    }

    /// Runs the CLI, which must succeed; the object it printed.
    ///
    /// # Errors
    /// When it fails.
    pub async fn done(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let (code, value) = self.stratus(arguments).await?;
        if code != 0 {
            bail!("stratus {arguments:?} ended with {code}: {value}");
        }
        Ok(value)
    }

    /// Runs the CLI as it is.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub async fn cli(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let server = format!("unix:{}", self.socket().display());
        let all = [&["--server", &server], arguments].concat();
        command(&binary("stratus")?.to_string_lossy(), &all)
            .run()
            .await
    }

    /// Removes every container of the installation in this place.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn remove_containers(&self) -> anyhow::Result<()> {
        let Ok(installation) = std::fs::read_to_string(self.data().join("installation")) else {
            return Ok(());
        };
        let filter = format!("label=org.stratus.installation={}", installation.trim());
        let found = command("docker", &["ps", "-aq", "--filter", &filter])
            .run()
            .await?
            .success()?;
        let ids: Vec<&str> = found.stdout.split_whitespace().collect();
        if !ids.is_empty() {
            let all = [&["rm", "-f", "-v"], ids.as_slice()].concat();
            command("docker", &all).run().await?.success()?;
        }
        // The network of the members, which the server makes.
        let networks = command("docker", &["network", "ls", "-q", "--filter", &filter]);
        for network in networks.run().await?.success()?.stdout.split_whitespace() {
            command("docker", &["network", "rm", network])
                .run()
                .await?
                .success()?;
        }
        let volumes = command("docker", &["volume", "ls", "-q", "--filter", &filter])
            .run()
            .await?
            .success()?;
        let names: Vec<&str> = volumes.stdout.split_whitespace().collect();
        if !names.is_empty() {
            command("docker", &[&["volume", "rm"], names.as_slice()].concat())
                .run()
                .await?
                .success()?;
        }
        Ok(())
    }
}

/// The file of nginx alone.
const ALONE: &[&str] = &["single.yaml"];

/// The repository's folder.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .map_or_else(|| tests.to_owned(), Path::to_owned)
}

/// A binary of the workspace, beside the running one.
///
/// # Errors
/// When it was not built.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folders = own.ancestors().skip(1).take(3);
    let found = folders
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.with_context(|| format!("{name} is not built; run cargo build --workspace first"))
}
