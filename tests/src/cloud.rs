//! A provider of a CDN as far as its API goes: an HTTP server that answers as told, tells what it was asked, and verifies
//! what the real one verifies.

pub mod aws;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Most headers of a request.
const HEADERS_MAX: usize = 32;
/// No request takes longer to come.
const LIMIT: Duration = Duration::from_secs(20);

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Shape: `POST`.
    pub method: String,
    /// As it was sent, with its query.
    pub path: String,
    /// In the order they came; names in lower case.
    pub headers: Vec<(String, String)>,
    /// All of it.
    pub body: String,
}

impl Asked {
    /// The value of a header; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value)
    }
}

/// What the provider does with a request.
#[derive(Debug, Clone)]
pub enum Does {
    /// Answers.
    Answer {
        /// Shape: 429.
        status: u16,
        /// Lines such as `Retry-After: 7`.
        headers: Vec<String>,
        /// All of it.
        body: String,
    },
    /// Reads the request and says nothing.
    Hang,
    /// Reads the request and resets the connection.
    Reset,
    /// Says half an answer and goes.
    Cut,
}

impl Does {
    /// An answer without headers.
    pub fn say(status: u16, body: &str) -> Self {
        Self::Answer {
            status,
            headers: Vec::new(),
            body: body.to_owned(),
        }
    }

    /// An answer with one header.
    #[must_use]
    pub fn with(status: u16, header: &str) -> Self {
        Self::Answer {
            status,
            headers: vec![header.to_owned()],
            body: String::new(),
        }
    }
}

/// What a request gets that nothing was scripted for, after those that came before it.
type Otherwise = Arc<dyn Fn(&Asked, &[Asked]) -> Does + Send + Sync>;

/// A running provider.
pub struct Cloud {
    address: SocketAddr,
    desk: Arc<Mutex<Desk>>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Desk {
    script: VecDeque<Does>,
    asked: Vec<Asked>,
}

impl Cloud {
    /// Starts a provider on loopback that answers by `otherwise` where nothing else is said.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(otherwise: impl Fn(&Asked) -> Does + Send + Sync + 'static) -> Self {
        Self::remembering(move |asked, _| otherwise(asked)).await
    }

    /// The same where an answer may depend on what was asked before.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn remembering(
        otherwise: impl Fn(&Asked, &[Asked]) -> Does + Send + Sync + 'static,
    ) -> Self {
        let otherwise: Otherwise = Arc::new(otherwise);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let desk: Arc<Mutex<Desk>> = Arc::default();
        let serving = tokio::spawn(serve(listener, desk.clone(), otherwise));
        Self {
            address,
            desk,
            serving,
        }
    }

    /// Its address. Shape: `http://127.0.0.1:1234`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it does with the next requests, in turn.
    pub fn then(&self, does: impl IntoIterator<Item = Does>) {
        lock(&self.desk).script.extend(does);
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.desk).asked.clone()
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, desk: Arc<Mutex<Desk>>, otherwise: Otherwise) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (desk, otherwise) = (desk.clone(), otherwise.clone());
        connections.spawn(async move {
            let answered = tokio::time::timeout(LIMIT, answer(stream, &desk, &otherwise));
            // A client that went away is its own business.
            let _ = answered.await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// One request, one answer, and the end of the connection.
async fn answer(
    mut stream: TcpStream,
    desk: &Mutex<Desk>,
    otherwise: &Otherwise,
) -> std::io::Result<()> {
    let Some(asked) = read(&mut stream).await? else {
        return Ok(());
    };
    let does = {
        let mut desk = lock(desk);
        let scripted = desk.script.pop_front();
        let does = scripted.unwrap_or_else(|| otherwise(&asked, &desk.asked));
        desk.asked.push(asked);
        does
    };
    match does {
        Does::Answer {
            status,
            headers,
            body,
        } => {
            let mut lines = headers.join("\r\n");
            if !lines.is_empty() {
                lines.push_str("\r\n");
            }
            let text = format!(
                "HTTP/1.1 {status} So\r\nConnection: close\r\nContent-Length: {}\r\n{lines}\r\n{body}",
                body.len()
            );
            stream.write_all(text.as_bytes()).await?;
            stream.shutdown().await
        }
        Does::Hang => std::future::pending().await,
        Does::Reset => rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))
            .map_err(Into::into),
        Does::Cut => {
            let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
            stream.write_all(half).await
        }
    }
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Option<Asked>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(asked) = parse(&bytes) {
            return Ok(Some(asked));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
}

/// The request, once all of it is there.
fn parse(bytes: &[u8]) -> Option<Asked> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(bytes).expect("clients speak HTTP");
    let httparse::Status::Complete(head) = parsed else {
        return None;
    };
    let headers: Vec<_> = request
        .headers
        .iter()
        .map(|header| {
            let value = String::from_utf8_lossy(header.value).into_owned();
            (header.name.to_ascii_lowercase(), value)
        })
        .collect();
    let mut asked = Asked {
        method: request.method.unwrap_or_default().to_owned(),
        path: request.path.unwrap_or_default().to_owned(),
        headers,
        body: String::new(),
    };
    let length = asked.header("content-length").parse().unwrap_or(0);
    let body = bytes[head..].get(..length)?;
    asked.body = String::from_utf8_lossy(body).into_owned();
    Some(asked)
}
