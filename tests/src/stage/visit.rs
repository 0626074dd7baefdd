//! One visitor: a request on a connection of its own, and the whole answer.

use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Place;

/// No visitor waits longer for an answer.
const LIMIT: Duration = Duration::from_secs(30);

/// What a visitor got.
#[derive(Debug, Clone)]
pub struct Visit {
    /// The status of the answer.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// What followed.
    pub body: String,
}

impl Visit {
    /// The generation that the answer names.
    pub fn generation(&self) -> Option<u32> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let (_, value) =
            lines.find(|(name, _)| name.eq_ignore_ascii_case("x-stratus-generation"))?;
        value.trim().parse().ok()
    }
}

impl Place {
    /// Gets `path` of the shop.
    ///
    /// # Errors
    /// When there is no whole answer in time.
    pub async fn visit(&self, path: &str) -> anyhow::Result<Visit> {
        self.visit_host("shop.example.test", path).await
    }

    /// Gets `path` of `host`.
    ///
    /// # Errors
    /// When there is no whole answer in time.
    pub async fn visit_host(&self, host: &str, path: &str) -> anyhow::Result<Visit> {
        let exchange = async {
            let mut stream = TcpStream::connect(self.http).await?;
            let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            anyhow::Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let answer = tokio::time::timeout(LIMIT, exchange)
            .await
            .with_context(|| format!("{path} was not answered in {LIMIT:?}"))??;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .with_context(|| format!("{path} was answered with half a head: {answer:?}"))?;
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .with_context(|| format!("{path} was answered without a status: {head:?}"))?;
        Ok(Visit {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }
}
