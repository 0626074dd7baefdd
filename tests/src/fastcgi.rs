//! A small FastCGI responder on a unix socket: a stand-in for a PHP-FPM member that can be made to fail on demand.
//!
//! What it does is said by the query of a request: `slow=MS` waits first, `cut=head` hangs up before an answer,
//! `cut=length` in the middle of an announced body, `cut=open` in the middle of a body of unknown length, `status=N`
//! answers so, `silent` does not name the generation, `keep=SECONDS` lets a cache keep the answer, `tags=A,B` tags it. Else
//! it answers what it was given, as JSON.

use std::collections::BTreeMap;
use std::hash::Hasher as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use stratus_core::Generation;
use stratus_core::pool::{GENERATION_HEADER, PING_PATH};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

const BEGIN: u8 = 1;
const END: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;

/// What a member was asked, and its answer's body.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// The request's parameters.
    pub params: BTreeMap<String, String>,
    /// Bytes in its body.
    pub size: usize,
    /// [`digest`] of its body.
    pub digest: u64,
}

/// A digest of a body that client and member compute alike.
pub fn digest(body: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(body);
    hasher.finish()
}

/// A running member; it dies when it is dropped.
pub struct Member {
    task: JoinHandle<()>,
    requests: Arc<AtomicU64>,
    hangs: Arc<AtomicBool>,
    socket: std::path::PathBuf,
}

impl Member {
    /// Listens at `socket` as a member of `generation`, with a queue as long as PHP-FPM's.
    ///
    /// # Errors
    /// When the socket cannot be bound.
    pub fn start(socket: &Path, generation: Generation) -> Result<Self> {
        let _ = std::fs::remove_file(socket);
        let listener = std::os::unix::net::UnixListener::bind(socket)
            .with_context(|| format!("bind {}", socket.display()))?;
        rustix::net::listen(&listener, 4096)?;
        listener.set_nonblocking(true)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        std::fs::set_permissions(socket, mode)?;
        let listener = UnixListener::from_std(listener)?;
        let (requests, hangs) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let serving = serve(listener, generation, requests.clone(), hangs.clone());
        Ok(Self {
            task: tokio::spawn(serving),
            requests,
            hangs,
            socket: socket.to_owned(),
        })
    }

    /// Requests that reached it.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    /// From now on it takes requests and answers none.
    pub fn hang(&self) {
        self.hangs.store(true, Ordering::SeqCst);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.socket);
    }
}

async fn serve(
    listener: UnixListener,
    generation: Generation,
    count: Arc<AtomicU64>,
    hangs: Arc<AtomicBool>,
) {
    let mut requests = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        count.fetch_add(1, Ordering::SeqCst);
        let hangs = hangs.load(Ordering::SeqCst);
        requests.spawn(async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            // A peer that hangs up is what some tests are about.
            let _ = answer(stream, generation).await;
        });
        while requests.try_join_next().is_some() {}
    }
}

async fn answer(mut stream: UnixStream, generation: Generation) -> Result<()> {
    let (params, body) = read_request(&mut stream).await?;
    let query = params.get("QUERY_STRING").cloned().unwrap_or_default();
    let asked = |name: &str| {
        let mut pairs = query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
    };
    if let Some(ms) = asked("slow") {
        tokio::time::sleep(Duration::from_millis(ms.parse()?)).await;
    }
    let named = match asked("silent") {
        Some(_) => String::new(),
        None => format!("{GENERATION_HEADER}: {generation}\r\n"),
    };
    if params
        .get("SCRIPT_NAME")
        .is_some_and(|name| name == PING_PATH)
    {
        let head = format!("{named}Content-Type: text/plain\r\n\r\n{generation}");
        return finish(&mut stream, head.as_bytes()).await;
    }
    let half = vec![b'x'; 5000];
    match asked("cut").as_deref() {
        Some("head") => return Ok(()),
        Some("length") => {
            let head = format!("{named}Content-Type: text/plain\r\nContent-Length: 10000\r\n\r\n");
            stdout(&mut stream, head.as_bytes()).await?;
            return stdout(&mut stream, &half).await;
        }
        Some("open") => {
            let head = format!("{named}Content-Type: text/plain\r\n\r\n");
            stdout(&mut stream, head.as_bytes()).await?;
            return stdout(&mut stream, &half).await;
        }
        _ => {}
    }
    let kept = match asked("keep") {
        Some(seconds) => format!("Cache-Control: public, s-maxage={seconds}\r\n"),
        None => String::new(),
    };
    let tags = asked("tags").map(|tags| format!("X-Magento-Tags: {tags}\r\n"));
    let kept = kept + &tags.unwrap_or_default();
    let status = asked("status").unwrap_or_else(|| "200".to_owned());
    let (size, digest) = (body.len(), digest(&body));
    let echo = serde_json::to_string(&Echo {
        params,
        size,
        digest,
    })?;
    let head =
        format!("Status: {status}\r\n{named}{kept}Content-Type: application/json\r\n\r\n{echo}");
    finish(&mut stream, head.as_bytes()).await
}

async fn read_request(stream: &mut UnixStream) -> Result<(BTreeMap<String, String>, Vec<u8>)> {
    let (mut params, mut body) = (Vec::new(), Vec::new());
    loop {
        let mut head = [0; 8];
        stream.read_exact(&mut head).await?;
        let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
        let mut content = vec![0; length + usize::from(head[6])];
        stream.read_exact(&mut content).await?;
        content.truncate(length);
        match head[1] {
            BEGIN => {}
            PARAMS => params.extend(content),
            STDIN if length == 0 => return Ok((pairs(&params)?, body)),
            STDIN => body.extend(content),
            other => anyhow::bail!("a record of kind {other}"),
        }
    }
}

fn pairs(mut raw: &[u8]) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    while !raw.is_empty() {
        let (name, value) = (length(&mut raw)?, length(&mut raw)?);
        let text = raw.get(..name + value).context("a pair is cut")?;
        let (name, value) = text.split_at(name);
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        found.insert(text(name), text(value));
        raw = &raw[name.len() + value.len()..];
    }
    Ok(found)
}

fn length(raw: &mut &[u8]) -> Result<usize> {
    let first = *raw.first().context("a length is cut")?;
    let (bytes, rest) = raw
        .split_at_checked(if first < 128 { 1 } else { 4 })
        .context("cut")?;
    *raw = rest;
    let number = bytes
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    Ok(number & 0x7fff_ffff)
}

async fn stdout(stream: &mut UnixStream, content: &[u8]) -> Result<()> {
    for piece in content.chunks(32 * 1024) {
        let length = u16::try_from(piece.len())?.to_be_bytes();
        stream
            .write_all(&[1, STDOUT, 0, 1, length[0], length[1], 0, 0])
            .await?;
        stream.write_all(piece).await?;
    }
    Ok(())
}

async fn finish(stream: &mut UnixStream, content: &[u8]) -> Result<()> {
    stdout(stream, content).await?;
    stream.write_all(&[1, STDOUT, 0, 1, 0, 0, 0, 0]).await?;
    stream
        .write_all(&[1, END, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        .await?;
    Ok(())
}
