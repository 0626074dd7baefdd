//! A TCP proxy that plants one fault at one request and is otherwise transparent.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const BUFFER: usize = 16 * 1024;

/// What happens to the connection that carries the chosen request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is closed (FIN) when the request has arrived; the server never sees the request.
    Drop,
    /// It is reset (RST) when the request has arrived.
    Reset,
    /// It is closed after so many bytes of the answer.
    Cut(usize),
}

/// A proxy on a loopback port; dropped, it ends with all its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    _accepting: JoinSet<()>,
}

#[derive(Debug, Clone)]
struct Plan {
    server: SocketAddr,
    at: u64,
    fault: Fault,
    requests: Arc<AtomicU64>,
}

impl Proxy {
    /// Starts a proxy in front of `server` that plants `fault` at the request with number `at`, counted from 1.
    pub async fn start(server: SocketAddr, at: u64, fault: Fault) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let requests = Arc::new(AtomicU64::new(0));
        let plan = Plan {
            server,
            at,
            fault,
            requests: Arc::clone(&requests),
        };
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((client, _)) = accepted else { return };
                        connections.spawn(relay(client, plan.clone()));
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self {
            address,
            requests,
            _accepting: accepting,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that arrived, by its own count.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

/// Carries bytes both ways until one side ends, which ends the other.
async fn relay(mut client: TcpStream, plan: Plan) {
    let Ok(mut server) = TcpStream::connect(plan.server).await else {
        return;
    };
    let (mut up, mut down) = (vec![0; BUFFER], vec![0; BUFFER]);
    let mut cut_after: Option<usize> = None;
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(length @ 1..) = read else { return };
                if plan.chosen(&up[..length]) {
                    match plan.fault {
                        Fault::Drop => return,
                        Fault::Reset => {
                            client.set_zero_linger().expect("a socket that was just read from");
                            return;
                        }
                        Fault::Cut(bytes) => cut_after = Some(bytes),
                    }
                }
                if server.write_all(&up[..length]).await.is_err() { return }
            }
            read = server.read(&mut down) => {
                let Ok(length @ 1..) = read else { return };
                let rest = cut_after.unwrap_or(length).min(length);
                if client.write_all(&down[..rest]).await.is_err() { return }
                if let Some(left) = &mut cut_after {
                    *left -= rest;
                    if *left == 0 { return }
                }
            }
        }
    }
}

impl Plan {
    /// Counts what begins a request, and says whether it is the one. The load client writes a head in one piece.
    fn chosen(&self, bytes: &[u8]) -> bool {
        let begins = bytes.starts_with(b"GET ") || bytes.starts_with(b"POST ");
        begins && self.requests.fetch_add(1, Ordering::Relaxed) + 1 == self.at
    }
}
