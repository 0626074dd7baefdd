//! Downloads an archive by http or https into a file.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Response, Url, redirect};
use stratus_core::fault::chain;
use stratus_core::source::AskedBy;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::error::FetchError;
use super::{Bounds, LOOK_EVERY, cancelled, check_room};
use crate::tree::CancelFlag;

/// Redirects that are followed.
const HOPS: usize = 5;
/// Where clouds hand out a machine's credentials, beside the link-local address that most of them share: Alibaba, Azure,
/// Oracle, AWS.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];
/// The port to which nothing is sent.
const DISCARD: u16 = 9;

/// Writes what `url` answers to the file at `to`.
///
/// # Errors
/// `Unreachable` when there is no such thing, or it does not come in time; `Refused` when it is too large.
pub(super) async fn download(
    url: &str,
    asked_by: AskedBy,
    to: &Path,
    bounds: &Bounds,
    cancel: &CancelFlag,
) -> Result<(), FetchError> {
    let url = Url::parse(url).map_err(|e| FetchError::Refused(format!("it is no address: {e}")))?;
    if asked_by == AskedBy::Environment {
        check_literal(&url).map_err(FetchError::Refused)?;
    }
    let shown = shown(&url);
    let client = client(asked_by, bounds)
        .map_err(|e| FetchError::Unreachable(format!("no request can be made: {}", reason(e))))?;
    let loading = load(&client, url, &shown, to, bounds);
    tokio::select! {
        loaded = tokio::time::timeout(bounds.within, loading) => match loaded {
            Ok(loaded) => loaded,
            Err(_) => Err(FetchError::Unreachable(format!(
                "{shown} did not come within {} s", bounds.within.as_secs()
            ))),
        },
        stopped = cancelled(cancel) => Err(stopped),
    }
}

async fn load(
    client: &Client,
    url: Url,
    shown: &str,
    to: &Path,
    bounds: &Bounds,
) -> Result<(), FetchError> {
    let failed = |e| FetchError::Unreachable(format!("{shown} cannot be read: {}", reason(e)));
    let mut response = client.get(url).send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(FetchError::Unreachable(format!(
            "{shown} answered {}",
            response.status().as_u16()
        )));
    }
    check_size(&response, bounds)?;
    let error = |e: io::Error| FetchError::io("write", to, e);
    let mut file = File::create_new(to).await.map_err(error)?;
    let mut got: u64 = 0;
    let mut looked = 0;
    check_room(to, response.content_length().unwrap_or(0), bounds)?;
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        got += piece.len() as u64;
        if got > bounds.packed {
            return Err(too_large(bounds));
        }
        if got >= looked + LOOK_EVERY {
            check_room(to, 0, bounds)?;
            looked = got;
        }
        file.write_all(&piece).await.map_err(error)?;
    }
    file.flush().await.map_err(error)
}

fn check_size(response: &Response, bounds: &Bounds) -> Result<(), FetchError> {
    match response.content_length() {
        Some(size) if size > bounds.packed => Err(too_large(bounds)),
        _ => Ok(()),
    }
}

fn too_large(bounds: &Bounds) -> FetchError {
    FetchError::Refused(format!("it has more than {} bytes", bounds.packed))
}

fn client(asked_by: AskedBy, bounds: &Bounds) -> Result<Client, reqwest::Error> {
    // An error means that there is a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::custom(move |attempt| {
            follow(asked_by, attempt)
        }))
        .connect_timeout(bounds.stall)
        .read_timeout(bounds.stall)
        .user_agent("stratus");
    match asked_by {
        AskedBy::Operator => builder.build(),
        AskedBy::Environment => builder.dns_resolver(Arc::new(Outside)).build(),
    }
}

/// A redirect leads to the web, never back from https to http, and for an environment never to this host.
fn follow(asked_by: AskedBy, attempt: redirect::Attempt<'_>) -> redirect::Action {
    let was_safe = attempt
        .previous()
        .last()
        .is_some_and(|url| url.scheme() == "https");
    let next = attempt.url();
    let why = match next.scheme() {
        "https" => None,
        "http" if !was_safe => None,
        scheme => Some(format!("it leads on to {scheme}://, which is not followed")),
    };
    let why = why.or_else(|| match asked_by {
        AskedBy::Operator => None,
        AskedBy::Environment => check_literal(next).err(),
    });
    match why {
        Some(why) => attempt.error(why),
        None if attempt.previous().len() > HOPS => attempt.error("it leads on and on"),
        None => attempt.follow(),
    }
}

/// Refuses an address of this host that is written in numbers: such a one is looked up nowhere.
fn check_literal(url: &Url) -> Result<(), String> {
    let number = url.host_str().unwrap_or_default();
    let number = number.trim_matches(['[', ']']).parse::<IpAddr>();
    match number {
        Ok(ip) if !is_outside(ip) => Err(format!("{ip} is not reached from an environment")),
        _ => Ok(()),
    }
}

/// Looks names up, and finds only what is not this host.
struct Outside;

impl Resolve for Outside {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = outside(name.as_str(), 0).await?;
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// The addresses of `host` that an environment may reach.
pub(super) async fn outside(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((host, port)).await?;
    let found: Vec<_> = found.filter(|address| is_outside(address.ip())).collect();
    if found.is_empty() {
        let message = format!("{host} is no host that is reached from an environment");
        return Err(io::Error::other(message));
    }
    Ok(found)
}

/// Whether an environment may reach an address: what listens on this host, or hands out its credentials, it may not.
pub(super) fn is_outside(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let own = ip.is_loopback() || ip.is_unspecified() || ip.is_multicast();
    let near = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast() || ip.octets()[0] == 0,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !own && !near && !METADATA.contains(&ip) && !is_this_host(ip)
}

/// Whether an interface of this host has the address: what is sent there comes from there. Nothing is sent.
fn is_this_host(ip: IpAddr) -> bool {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((ip, DISCARD))?;
        socket.local_addr()
    });
    from.is_ok_and(|from| from.ip() == ip)
}

/// An address without what may be secret.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.into()
}

/// What went wrong, without the address, whose query may be secret.
fn reason(error: reqwest::Error) -> String {
    chain(&error.without_url())
}
