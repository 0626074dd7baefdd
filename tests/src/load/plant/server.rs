//! An HTTP/1.1 server whose every answer is written by the test.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Requests so far on all connections, this one included.
    pub number: u64,
    /// Requests so far on this connection, this one included.
    pub on_connection: u64,
    /// Method and path.
    pub line: String,
    /// The request's `X-Stratus-Load`.
    pub nonce: String,
    /// The `Host` header.
    pub host: String,
    /// Whether the client asked for the connection to be closed.
    pub last: bool,
    /// The body.
    pub body: Vec<u8>,
}

/// What happens to the connection after the bytes of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is kept, where the client keeps it too.
    Keep,
    /// It is closed (FIN).
    Close,
    /// It is reset (RST).
    Reset,
    /// Nothing more ever comes; it ends when the client leaves.
    Hang,
}

/// Bytes to send, and what to do after them.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What follows.
    pub then: Then,
}

type Script = dyn Fn(Seen) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync;

/// A server on a loopback port; dropped, it ends with all its connections.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    _accepting: JoinSet<()>,
}

impl Reply {
    /// These bytes and nothing else.
    pub fn raw(bytes: impl Into<Vec<u8>>, then: Then) -> Self {
        Self {
            bytes: bytes.into(),
            then,
        }
    }

    /// A whole answer by PHP of `generation`, or by nginx alone.
    pub fn page(generation: Option<u32>, body: &[u8]) -> Self {
        Self::status(200, generation, body)
    }

    /// A whole answer with a status.
    pub fn status(status: u16, generation: Option<u32>, body: &[u8]) -> Self {
        let by = generation.map(|number| format!("X-Stratus-Generation: {number}\r\n"));
        let head = format!(
            "HTTP/1.1 {status} Planted\r\n{}Content-Length: {}\r\n\r\n",
            by.unwrap_or_default(),
            body.len()
        );
        Self {
            bytes: [head.as_bytes(), body].concat(),
            then: Then::Keep,
        }
    }

    /// The same reply with another end.
    #[must_use]
    pub fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }
}

impl Server {
    /// Starts a server that answers at once.
    pub async fn start(script: impl Fn(Seen) -> Reply + Send + Sync + 'static) -> io::Result<Self> {
        Self::start_async(move |seen| std::future::ready(script(seen))).await
    }

    /// Starts a server that may wait before it answers.
    pub async fn start_async<F>(
        script: impl Fn(Seen) -> F + Send + Sync + 'static,
    ) -> io::Result<Self>
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let script: Arc<Script> = Arc::new(move |seen| Box::pin(script(seen)));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, script));
        Ok(Self {
            address,
            _accepting: accepting,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(listener: TcpListener, script: Arc<Script>) {
    let number = Arc::new(AtomicU64::new(0));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                connections.spawn(serve(stream, Arc::clone(&script), Arc::clone(&number)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Script>, number: Arc<AtomicU64>) {
    let mut buffer = Vec::new();
    let mut on_connection = 0;
    while let Ok(Some(mut seen)) = read_request(&mut stream, &mut buffer).await {
        on_connection += 1;
        seen.number = number.fetch_add(1, Ordering::Relaxed) + 1;
        seen.on_connection = on_connection;
        let last = seen.last;
        let reply = script(seen).await;
        if stream.write_all(&reply.bytes).await.is_err() {
            return;
        }
        match reply.then {
            Then::Keep if !last => {}
            Then::Keep | Then::Close => return,
            Then::Reset => {
                stream
                    .set_zero_linger()
                    .expect("a socket that was just written to");
                return;
            }
            Then::Hang => {
                let _gone = stream.read(&mut [0]).await;
                return;
            }
        }
    }
}

/// The next request, or nothing where the client has left.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Seen>> {
    let (head, length, mut seen) = loop {
        if let Some(found) = parse(buffer) {
            break found;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    while buffer.len() < head + length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    seen.body = buffer[head..head + length].to_vec();
    buffer.drain(..head + length);
    Ok(Some(seen))
}

/// Length of the head, length of the body, and the request without its body.
fn parse(bytes: &[u8]) -> Option<(usize, usize, Seen)> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return None,
        Err(error) => panic!("the load client sent what is no HTTP: {error}"),
    };
    let header = |name: &str| {
        let found = request
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name));
        found
            .map(|header| String::from_utf8_lossy(header.value).into_owned())
            .unwrap_or_default()
    };
    let seen = Seen {
        number: 0,
        on_connection: 0,
        line: format!("{} {}", request.method?, request.path?),
        nonce: header("x-stratus-load"),
        host: header("host"),
        last: header("connection") == "close",
        body: Vec::new(),
    };
    Some((head, header("content-length").parse().unwrap_or(0), seen))
}
