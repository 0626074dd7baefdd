//! A stage with a small shop that is already live, cleaned up whatever happens.

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde_json::Value;

use super::{Place, Server, Shop, SmallDisk, free_port};

/// A small shop, live on a whole Stratus of its own.
pub struct Running {
    /// Where it stands.
    pub place: Place,
    /// Its working tree.
    pub shop: Shop,
    /// The server; none while it is down.
    pub server: Option<Server>,
    /// A filesystem mounted in its folder, if there is one; unmounted before the folder goes.
    pub disk: Option<SmallDisk>,
    _folder: tempfile::TempDir,
}

impl Running {
    /// Sets the stage up to its first switch: generation 1 of `shop` is live.
    ///
    /// # Errors
    /// When any part of it fails.
    pub async fn open(name: &str, members: u16, more: &str) -> anyhow::Result<Self> {
        let mut running = Self::make(name, members, more)?;
        running.go_live(&[]).await?;
        Ok(running)
    }

    /// Makes the folder, the shop and the configuration; starts nothing.
    ///
    /// # Errors
    /// When one of them cannot be written.
    pub fn make(name: &str, members: u16, more: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("stratus-")
            .tempdir_in("/var/tmp")?;
        open_to_all(folder.path())?;
        let project = format!("stratus-{name}-{}", std::process::id());
        let place = Place {
            root: folder.path().to_owned(),
            http: free_port()?,
            project,
        };
        let shop = Shop::make(&place.code().join("shop"))?;
        place.configure(&shop.yaml("shop", &format!("    replicas: {members}\n{more}")))?;
        Ok(Self {
            place,
            shop,
            server: None,
            disk: None,
            _folder: folder,
        })
    }

    /// Starts the server, with `variables` in its environment, and nginx, and makes generation 1 live.
    ///
    /// # Errors
    /// When any part of it fails.
    pub async fn go_live(&mut self, variables: &[(&str, &str)]) -> anyhow::Result<()> {
        let mut server = Server::spawn_with(&self.place, variables)?;
        server.answers(&self.place).await?;
        self.server = Some(server);
        self.place
            .compose_up()
            .await
            .context("nginx does not start")?;
        self.place.done(&["zerodowntime.init"]).await?;
        self.place.done(&["zerodowntime.switch"]).await?;
        Ok(())
    }

    /// Deploys release `number` of the shop; what init and switch reported.
    ///
    /// # Errors
    /// When one of them fails.
    pub async fn deploy(&self, number: u32) -> anyhow::Result<(Value, Value)> {
        self.shop.release(number)?;
        let init = self.place.done(&["zerodowntime.init"]).await?;
        let switch = self.place.done(&["zerodowntime.switch"]).await?;
        Ok((init, switch))
    }

    /// Names of this installation's containers, sorted.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn containers(&self) -> anyhow::Result<Vec<String>> {
        let installation = std::fs::read_to_string(self.place.data().join("installation"))?;
        let filter = format!("label=org.stratus.installation={}", installation.trim());
        let arguments = ["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"];
        let found = super::command("docker", &arguments)
            .run()
            .await?
            .success()?;
        let mut names: Vec<String> = found.stdout.lines().map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }
}

/// nginx and the members run as other users: they must be able to look into the folder.
fn open_to_all(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

impl Drop for Running {
    /// Runs after a failed test too, hence without the async parts; what fails here fails the next test's eyes.
    fn drop(&mut self) {
        drop(self.server.take());
        let mut names = vec![self.place.nginx()];
        let mut networks = vec![self.place.project.clone()];
        if let Ok(installation) = std::fs::read_to_string(self.place.data().join("installation")) {
            networks.push(format!("stratus-{}", installation.trim()));
            let filter = format!("label=org.stratus.installation={}", installation.trim());
            let found = Command::new("docker")
                .args(["ps", "-aq", "--filter", &filter])
                .output();
            let text = found.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
            names.extend(
                text.unwrap_or_default()
                    .split_whitespace()
                    .map(str::to_owned),
            );
        }
        let _ = Command::new("docker")
            .args(["rm", "-f", "-v"])
            .args(&names)
            .output();
        let _ = Command::new("docker")
            .args(["network", "rm"])
            .args(&networks)
            .output();
    }
}
