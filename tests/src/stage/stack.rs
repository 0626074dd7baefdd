//! The whole stack of `compose/stack.yaml` around a stage's nginx.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};

use super::{Place, binary, command, repository};

/// How long the services may take to be well; a database is made at the first start.
const HEALTHY_WITHIN: Duration = Duration::from_mins(3);

/// What the stack is told beside what a stage has.
pub struct Stack {
    /// What visitors reach by TLS.
    pub https: SocketAddr,
    /// Whose shell for deploy scripts there is.
    pub environment: &'static str,
    /// The working tree that it sees.
    pub tree: PathBuf,
}

impl Place {
    /// The folder of the databases' passwords: one file each.
    pub fn databases(&self) -> PathBuf {
        self.root.join("databases")
    }

    /// Makes what the stack needs before its first start: the password of `database`, and folders.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn prepare_stack(&self, database: &str) -> anyhow::Result<()> {
        let prepare = repository().join("compose/prepare");
        command(&prepare.to_string_lossy(), &[database])
            .env("STRATUS_DATA", &self.data())
            .env("STRATUS_DATABASES", &self.databases())
            .run()
            .await?
            .success()
            .map(drop)
    }

    /// Starts nginx and the services around it as an operator would, and waits until all are well.
    ///
    /// # Errors
    /// When one does not start, or is not well in time.
    pub async fn stack_up(&self, stack: &Stack) -> anyhow::Result<()> {
        // The server makes the socket in it, for this environment alone.
        let shell = self.socket().with_file_name("env").join(stack.environment);
        let cli = binary("stratus")?;
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let variables = [
            ("STRATUS_HTTPS", stack.https.to_string()),
            ("STRATUS_DATABASES", text(&self.databases())),
            ("STRATUS_SHELL_CODE", text(&stack.tree)),
            ("STRATUS_SHELL_RUN", text(&shell)),
            ("STRATUS_CLI", text(&cli)),
        ];
        let variables = variables
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        self.compose(STACK, &["up", "-d"], &variables).await?;
        let well = async {
            loop {
                let ill = self.ill().await?;
                if ill.is_empty() {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        match tokio::time::timeout(HEALTHY_WITHIN, well).await {
            Ok(waited) => waited,
            Err(_) => bail!(
                "not well after {HEALTHY_WITHIN:?}: {}",
                self.ill().await?.join(", ")
            ),
        }
    }

    /// Removes nginx, the services around it, their volumes and their network.
    ///
    /// # Errors
    /// When compose fails.
    pub async fn stack_down(&self) -> anyhow::Result<()> {
        let down = ["down", "--remove-orphans", "--volumes", "-t", "5"];
        self.compose(STACK, &down, &[]).await.map(drop)
    }

    /// The address of a service in the stack's network.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn container_of(&self, service: &str) -> anyhow::Result<String> {
        let label = format!("label=com.docker.compose.service={service}");
        let found = self
            .ps(&["--filter", &label, "--format", "{{.Names}}"])
            .await?;
        let name = found.lines().next();
        Ok(name
            .with_context(|| format!("there is no {service}"))?
            .to_owned())
    }

    /// The services that are not well, each with what the engine says of it.
    async fn ill(&self) -> anyhow::Result<Vec<String>> {
        let all = self.ps(&["--format", "{{.Names}} {{.Status}}"]).await?;
        let is_well = |line: &&str| {
            let (_, status) = line.split_once(' ').unwrap_or_default();
            let checked = !status.contains("(health: starting)") && !status.contains("(unhealthy)");
            status.starts_with("Up ") && checked
        };
        let ill = all.lines().filter(|line| !is_well(line));
        Ok(ill.map(str::to_owned).collect())
    }

    async fn ps(&self, more: &[&str]) -> anyhow::Result<String> {
        let label = format!("label=com.docker.compose.project={}", self.project);
        let first = ["ps", "-a", "--filter", &label];
        let found = command("docker", &[&first, more].concat());
        Ok(found.run().await?.success()?.stdout)
    }
}

/// The files of the whole stack.
const STACK: &[&str] = &["single.yaml", "stack.yaml"];
