//! Asks nginx for a page where visitors ask, each time on a fresh connection, and for one that is made now: a cookie of
//! ours keeps caches of pages out of it.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use stratus_core::router::{RouterError, Visit};
use tokio::net::TcpStream;

/// How long one visit may take.
const VISIT_LIMIT: Duration = Duration::from_secs(30);
/// A cookie that means nothing: pages for visitors with cookies are not kept.
const FRESH: &str = "stratus_check=1";
/// How much of a page is read, in bytes.
const PAGE_MAX: usize = 4 << 20;

/// Fetches `path` of `host` from the nginx at `address`.
pub(super) async fn visit(
    address: SocketAddr,
    host: &str,
    path: &str,
) -> Result<Visit, RouterError> {
    let asked = tokio::time::timeout(VISIT_LIMIT, fetch(address, host, path)).await;
    let failed = |detail: String| RouterError::Unavailable {
        detail: format!("http://{host}{path} was asked of {address}: {detail}"),
    };
    match asked {
        Ok(Ok(visit)) => Ok(visit),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("no answer came".to_owned())),
    }
}

async fn fetch(
    address: SocketAddr,
    host: &str,
    path: &str,
) -> Result<Visit, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, "stratus-check")
        .header(header::CONNECTION, "close")
        .header(header::COOKIE, FRESH)
        .body(Empty::<Bytes>::new())?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), PAGE_MAX).collect().await?;
        Ok(Visit {
            status,
            body: body.to_bytes().to_vec(),
        })
    };
    // The connection is driven here, so that nothing of it is left when the visit is given up.
    tokio::pin!(exchange);
    tokio::select! {
        visit = &mut exchange => visit,
        ended = connection => {
            ended?;
            exchange.await
        }
    }
}
