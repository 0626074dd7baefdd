//! The Varnish of `compose/stack.yaml` beside a bench's nginx.

use std::time::Duration;

use anyhow::{Context as _, Result};
use stratus_agent::nginx::{Tls, Varnish};

use super::{Bench, docker};
use crate::fastcgi::Member;
use crate::stage::repository;

/// The image that `compose/images/build` makes.
const IMAGE: &str = "stratus/varnish:7";

/// A Varnish; its container goes with the value.
pub struct Cache {
    container: String,
}

impl Bench {
    /// A bench whose nginx speaks TLS and serves `shop` behind Varnish, with pool 1 live, and its members.
    pub async fn behind_varnish(members: u16) -> Result<(Self, Cache, Vec<Member>)> {
        Self::behind(members, |_| ()).await
    }

    /// The same with other settings.
    pub async fn behind(
        members: u16,
        change: impl FnOnce(&mut stratus_agent::nginx::Settings),
    ) -> Result<(Self, Cache, Vec<Member>)> {
        let mut bench = Self::new().await?;
        bench.settings.varnish = Varnish::Beside;
        bench.settings.tls = Tls::Offered;
        bench.settings.ports = vec![80, 8080];
        change(&mut bench.settings);
        bench.router = bench.another_router(&bench.settings).await?;
        let table = bench.table(members);
        bench.router.prepare(&table).await?;
        let running = bench.pool(1, members)?;
        bench.go_live(1, None).await?;
        bench.start().await?;
        let cache = Cache::start(&bench).await?;
        Ok((bench, cache, running))
    }

    /// Where visitors come in by TLS.
    pub fn tls_port(&self) -> Result<u16> {
        let address = docker(&["port", &self.settings.container, "443/tcp"])?;
        let port = address
            .lines()
            .next()
            .and_then(|line| line.rsplit_once(':'));
        Ok(port.context("no port")?.1.trim().parse()?)
    }
}

impl Cache {
    /// Starts it as the compose file does, and waits until it listens for nginx.
    async fn start(bench: &Bench) -> Result<Self> {
        let container = format!("{}-varnish", bench.settings.container);
        let sockets = format!("{}:/run/varnish", bench.layout.nginx_varnish().display());
        let vcl = repository().join("compose/varnish");
        let vcl = format!("{}:/etc/stratus:ro", vcl.display());
        let network = format!("container:{}", bench.settings.container);
        let mut argv = vec!["run", "-d", "--name", &container, "--network", &network];
        argv.extend(["--user", "6081:33", "--read-only", "--cap-drop", "ALL"]);
        argv.extend(["--tmpfs", "/tmp:size=64m,mode=1777,exec"]);
        let state = "/var/lib/varnish:size=128m,mode=700,uid=6081,gid=33,exec";
        argv.extend(["--tmpfs", state, "-v", &vcl, "-v", &sockets, IMAGE]);
        argv.extend([
            "varnishd",
            "-F",
            "-n",
            "/var/lib/varnish/stratus",
            "-j",
            "none",
        ]);
        argv.extend(["-f", "/etc/stratus/default.vcl"]);
        argv.extend(["-a", "visitors=/run/varnish/visitors.sock,HTTP,mode=660"]);
        // In the network of nginx's container port 80 is taken.
        argv.extend(["-a", "network=:81,HTTP", "-s", "malloc,64m", "-t", "0"]);
        docker(&argv)?;
        let cache = Self { container };
        cache.listens(bench).await?;
        Ok(cache)
    }

    async fn listens(&self, bench: &Bench) -> Result<()> {
        for _ in 0..400 {
            let socket = bench.layout.visitors_socket();
            if tokio::net::UnixStream::connect(socket).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = docker(&["logs", "--tail", "20", &self.container]);
        anyhow::bail!("Varnish does not start: {log:?}")
    }

    /// Where the network finds it, for purges. Shape: `http://172.17.0.3:81`.
    pub fn network_url(&self, bench: &Bench) -> Result<String> {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
        let found = docker(&["inspect", "-f", format, &bench.settings.container])?;
        let address = found.split_whitespace().next().context("no address")?;
        Ok(format!("http://{address}:81"))
    }

    /// Kills it, as when it runs out of memory.
    pub fn kill(&self) -> Result<()> {
        docker(&["kill", &self.container]).map(drop)
    }

    /// Starts it again.
    pub async fn revive(&self, bench: &Bench) -> Result<()> {
        docker(&["start", &self.container])?;
        self.listens(bench).await
    }

    /// Sends a PURGE with a header, as the server does after a switch; answers its status.
    pub fn purge(&self, bench: &Bench, headers: &[&str]) -> Result<u16> {
        let mut lines = vec!["PURGE / HTTP/1.0".to_owned(), "Host: varnish".to_owned()];
        lines.extend(headers.iter().map(|&header| header.to_owned()));
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/81; printf '{}\\r\\n\\r\\n' >&3; read -r _ status _ <&3; echo $status",
            lines.join("\\r\\n")
        );
        let said = docker(&["exec", &bench.settings.container, "bash", "-c", &script])?;
        Ok(said.trim().parse()?)
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let _ = docker(&["rm", "-f", "-v", &self.container]);
    }
}
