//! Redis and Varnish for a test, in containers of the project's own images, on loopback; they go with the value.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use redis::aio::MultiplexedConnection;

use crate::pools::docker;
use crate::stage::free_port;

/// How long a service has to answer.
const LIMIT: Duration = Duration::from_secs(20);

/// A container with one published port.
pub struct Service {
    name: String,
    /// Where it is reached.
    pub address: SocketAddr,
}

impl Service {
    /// A Redis with these options, after which it answers on its port.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn redis(options: &[&str]) -> anyhow::Result<Self> {
        // Without a password it would speak to its own container only.
        let first = [
            "redis-server",
            "--port",
            "6379",
            "--save",
            "",
            "--protected-mode",
            "no",
        ];
        let argv = [&first, options].concat();
        let service = Self::run("stratus/redis:7", 6379, &[], &argv)?;
        service.listens().await?;
        Ok(service)
    }

    /// A Redis that speaks TLS only, with the certificate and the key in `folder`.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn redis_tls(folder: &Path) -> anyhow::Result<Self> {
        let volume = format!("{}:/tls:ro", folder.display());
        let argv = [
            "redis-server",
            "--port",
            "0",
            "--tls-port",
            "6379",
            "--tls-cert-file",
            "/tls/cert.pem",
            "--tls-key-file",
            "/tls/key.pem",
            "--tls-ca-cert-file",
            "/tls/cert.pem",
            "--tls-auth-clients",
            "no",
            "--protected-mode",
            "no",
            "--save",
            "",
        ];
        let service = Self::run("stratus/redis:7", 6379, &["-v", &volume], &argv)?;
        service.listens().await?;
        Ok(service)
    }

    /// A Varnish on `network` with the VCL `default.vcl` of `folder`.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn varnish(folder: &Path, network: &str) -> anyhow::Result<Self> {
        let volume = format!("{}:/vcl:ro", folder.display());
        let argv = [
            "varnishd",
            "-F",
            "-f",
            "/vcl/default.vcl",
            "-a",
            ":80",
            "-n",
            "/tmp/varnish",
        ];
        let service = Self::run(
            "stratus/varnish:7",
            80,
            &["-v", &volume, "--network", network],
            &argv,
        )?;
        service.listens().await?;
        Ok(service)
    }

    fn run(image: &str, port: u16, options: &[&str], argv: &[&str]) -> anyhow::Result<Self> {
        let address = free_port()?;
        let name = format!("stratus-test-{}", uuid::Uuid::new_v4().simple());
        let published = format!("{address}:{port}");
        let first = ["run", "-d", "--name", &name, "-p", &published, "--init"];
        let said = docker(&[&first, options, &[image], argv].concat());
        let service = Self { name, address };
        if said.is_empty() {
            bail!("{image} does not start; make it with compose/images/build");
        }
        Ok(service)
    }

    async fn listens(&self) -> anyhow::Result<()> {
        let ready = async {
            // The engine's own proxy takes connections before the service does: one that stays open is the service's.
            while !self.stays_open().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(LIMIT, ready)
            .await
            .with_context(|| format!("{} does not answer: {}", self.name, self.log()))
    }

    async fn stays_open(&self) -> bool {
        use tokio::io::AsyncReadExt as _;
        let Ok(mut stream) = tokio::net::TcpStream::connect(self.address).await else {
            return false;
        };
        let read = tokio::time::timeout(Duration::from_millis(200), stream.read_u8()).await;
        read.is_err()
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        docker(&["logs", "--tail", "30", &self.name])
    }

    /// Its container.
    pub fn container(&self) -> &str {
        &self.name
    }

    /// A connection to a Redis.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn client(&self, database: i64) -> anyhow::Result<MultiplexedConnection> {
        let client = redis::Client::open(format!("redis://{}/{database}", self.address))?;
        Ok(client.get_multiplexed_async_connection().await?)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        docker(&["rm", "-f", "-v", &self.name]);
    }
}
