//! Redis: one database is emptied in the background of the server (`FLUSHDB ASYNC`), never more, and never one that holds
//! the sessions of an environment, whosever.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use redis::io::AsyncDNSResolver;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    RedisError, RedisFuture, ServerErrorKind, TlsCertificates,
};
use stratus_core::cache::{Clear, ClearError};
use stratus_core::environment::caches::RedisCache;

use super::names::{self, Names};

/// How long a connection may take to be made, and an answer to come: together less than the worker waits.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Empties the database of `cache`, on every server that its name stands for.
pub(super) async fn flush(
    names: &dyn Names,
    cache: &RedisCache,
    clear: &Clear<'_>,
) -> Result<(), ClearError> {
    let info = parse(cache.url.expose())?;
    let (host, port) = host(&info)?;
    let servers = names::servers(names, &host, port).await?;
    keep_off_sessions(names, &info, &servers, clear).await?;
    let client = client(info, cache)?;
    for addresses in servers {
        flush_one(&client, addresses).await?;
    }
    Ok(())
}

/// Two names may stand for one server: what counts is where they lead. All are looked up at once, so that the slowest is
/// what this takes.
async fn keep_off_sessions(
    names: &dyn Names,
    cache: &ConnectionInfo,
    servers: &[Vec<SocketAddr>],
    clear: &Clear<'_>,
) -> Result<(), ClearError> {
    let number = cache.redis_settings().db();
    // Each server once, and whether it is this environment's own.
    let mut stores: BTreeMap<(&str, u16), bool> = BTreeMap::new();
    for kept in clear.sessions {
        let database = &kept.database;
        // A socket is what no URL of a cache can name.
        if database.number == number && !database.host.starts_with('/') {
            let is_own = stores.entry((&database.host, database.port)).or_default();
            *is_own |= kept.environment == clear.environment.name;
        }
    }
    let looked_up = stores
        .into_iter()
        .map(async |((host, port), is_own)| (host, is_own, names::known(names, host, port).await));
    let looked_up = join_all(looked_up).await;
    let leads_here = |found: &[Vec<SocketAddr>]| {
        let mut found = found.iter().flatten();
        found.any(|address| servers.iter().flatten().any(|other| other == address))
    };
    // What is known to be forbidden comes before what is not known.
    for (_, is_own, found) in &looked_up {
        if matches!(found, Ok(Some(found)) if leads_here(found)) {
            let whose = whose(*is_own);
            return Err(refused(format!(
                "it is the database that holds the sessions{whose}, which are never cleared; give the cache another database or server"
            )));
        }
    }
    for (host, is_own, found) in looked_up {
        match found {
            Ok(None) if is_own => return Err(names::unknown(host)),
            // What leads nowhere does not lead here: another environment's mistake is not this one's.
            Ok(_) => {}
            Err(error) => {
                let whose = whose(is_own);
                return Err(ClearError::Unavailable {
                    detail: format!(
                        "it may be the database that holds the sessions{whose}: {error}"
                    ),
                });
            }
        }
    }
    Ok(())
}

fn whose(is_own: bool) -> &'static str {
    if is_own {
        ""
    } else {
        " of another environment"
    }
}

fn client(info: ConnectionInfo, cache: &RedisCache) -> Result<Client, ClearError> {
    let built = match info.addr() {
        ConnectionAddr::TcpTls { .. } => {
            // An error means that there is a provider already.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let root_cert = authority(cache)?;
            let certificates = TlsCertificates {
                client_tls: None,
                root_cert,
            };
            Client::build_with_tls(info, certificates)
        }
        _ => Client::open(info),
    };
    built.map_err(|error| sort(&error))
}

/// The certificates of a private authority, in PEM.
fn authority(cache: &RedisCache) -> Result<Option<Vec<u8>>, ClearError> {
    let read = |path: &std::path::PathBuf| {
        std::fs::read(path)
            .map_err(|error| refused(format!("{} cannot be read: {error}", path.display())))
    };
    cache.ca.as_ref().map(read).transpose()
}

async fn flush_one(client: &Client, addresses: Vec<SocketAddr>) -> Result<(), ClearError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_LIMIT))
        .set_response_timeout(Some(ANSWER_LIMIT))
        .set_dns_resolver(Known(addresses));
    let connected = client.get_multiplexed_async_connection_with_config(&config);
    let mut connection = connected.await.map_err(|error| sort(&error))?;
    let mut flush = redis::cmd("FLUSHDB");
    flush.arg("ASYNC");
    flush
        .query_async::<()>(&mut connection)
        .await
        .map_err(|error| sort(&error))
}

/// Addresses that are known already.
struct Known(Vec<SocketAddr>);

impl AsyncDNSResolver for Known {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        _: &'b str,
        _: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        let known: Box<dyn Iterator<Item = SocketAddr> + Send + 'a> =
            Box::new(self.0.iter().copied());
        Box::pin(async move { Ok(known) })
    }
}

fn parse(url: &str) -> Result<ConnectionInfo, ClearError> {
    url.into_connection_info().map_err(|error| {
        refused(format!(
            "its URL cannot be understood: {}",
            error.category()
        ))
    })
}

fn host(info: &ConnectionInfo) -> Result<(String, u16), ClearError> {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            Ok((host.clone(), *port))
        }
        _ => Err(refused("its URL names no host".to_owned())),
    }
}

/// What the client says of itself never holds the password.
fn sort(error: &RedisError) -> ClearError {
    let detail = format!("Redis: {error}");
    match error.kind() {
        ErrorKind::AuthenticationFailed => refused(format!(
            "{detail}; mend the user and the password in its URL"
        )),
        ErrorKind::Server(ServerErrorKind::NoPerm) => refused(format!(
            "{detail}; let its user run FLUSHDB: ACL SETUSER NAME +flushdb"
        )),
        ErrorKind::Server(ServerErrorKind::ReadOnly) => {
            refused(format!("{detail}; name the primary in its URL"))
        }
        ErrorKind::Server(ServerErrorKind::ResponseError) | ErrorKind::Extension
            if error.code() != Some("BUSY") =>
        {
            refused(detail)
        }
        ErrorKind::InvalidClientConfig => refused(detail),
        _ => ClearError::Unavailable { detail },
    }
}

fn refused(detail: String) -> ClearError {
    ClearError::Refused { detail }
}
