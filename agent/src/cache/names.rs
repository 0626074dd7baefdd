//! Where a cache is that the configuration names: an address, a name that containers have on their network, or one that
//! this host resolves.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use stratus_core::cache::ClearError;
use tokio::time::timeout;

/// How long the container engine, and then this host's resolver, may take over one name: together less than a try.
const ENGINE_LIMIT: Duration = Duration::from_secs(4);
const RESOLVER_LIMIT: Duration = Duration::from_secs(2);

/// How C libraries say that there is no such name, or none with an address: first glibc's words, then musl's. Rust hands
/// on the words and no number; every other word, such as "Temporary failure in name resolution", says nothing of the name.
const NO_SUCH_NAME: [&str; 4] = [
    "Name or service not known",
    "No address associated with hostname",
    "Name does not resolve",
    "Name has no usable address",
];

/// Knows the names of containers.
#[async_trait]
pub trait Names: Send + Sync {
    /// The addresses of every container that has this name on the members' network; none where none has.
    async fn containers(&self, name: &str) -> Result<Vec<IpAddr>, ClearError>;

    /// The addresses that this host's resolver has for a name, each with `port`.
    ///
    /// # Errors
    /// The resolver's: that there is no such name, or that it could not find out.
    async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((name, port)).await?.collect())
    }
}

/// Knows no containers: names are what this host makes of them.
#[derive(Debug, Clone, Copy)]
pub struct HostNames;

#[async_trait]
impl Names for HostNames {
    async fn containers(&self, _: &str) -> Result<Vec<IpAddr>, ClearError> {
        Ok(Vec::new())
    }
}

/// Every server that `host` stands for, each with all its addresses: several containers of one name are several caches,
/// several addresses of one name in the DNS are one.
pub(super) async fn servers(
    names: &dyn Names,
    host: &str,
    port: u16,
) -> Result<Vec<Vec<SocketAddr>>, ClearError> {
    known(names, host, port).await?.ok_or_else(|| unknown(host))
}

/// The same; none where nobody knows the name. That nobody could be asked is an error, which names it.
pub(super) async fn known(
    names: &dyn Names,
    host: &str,
    port: u16,
) -> Result<Option<Vec<Vec<SocketAddr>>>, ClearError> {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = literal.parse::<IpAddr>() {
        return Ok(Some(vec![vec![SocketAddr::new(address, port)]]));
    }
    let containers = match timeout(ENGINE_LIMIT, names.containers(host)).await {
        Ok(Ok(containers)) => containers,
        Ok(Err(error)) => return Err(not_told(host, &error.to_string())),
        Err(_) => {
            let why = format!("the container engine did not answer within {ENGINE_LIMIT:?}");
            return Err(not_told(host, &why));
        }
    };
    if !containers.is_empty() {
        let alone = |address| vec![SocketAddr::new(address, port)];
        return Ok(Some(containers.into_iter().map(alone).collect()));
    }
    match timeout(RESOLVER_LIMIT, names.resolve(host, port)).await {
        Ok(Ok(addresses)) => Ok((!addresses.is_empty()).then(|| vec![addresses])),
        Ok(Err(error)) if is_no_such_name(&error) => Ok(None),
        Ok(Err(error)) => Err(not_told(host, &error.to_string())),
        Err(_) => {
            let why = format!("this host's resolver did not answer within {RESOLVER_LIMIT:?}");
            Err(not_told(host, &why))
        }
    }
}

/// Whether the resolver found out that there is no such name.
fn is_no_such_name(error: &io::Error) -> bool {
    let text = error.to_string();
    NO_SUCH_NAME.iter().any(|words| text.ends_with(words))
}

/// That it could not be found out where the name leads.
fn not_told(host: &str, why: &str) -> ClearError {
    ClearError::Unavailable {
        detail: format!("where {host:?} is could not be found out: {why}"),
    }
}

/// That nobody knows the name.
pub(super) fn unknown(host: &str) -> ClearError {
    ClearError::Unavailable {
        detail: format!(
            "nobody knows {host:?}: it is no container of the members' network and no name of this host; see server.network"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two;

    #[async_trait]
    impl Names for Two {
        async fn containers(&self, name: &str) -> Result<Vec<IpAddr>, ClearError> {
            let two = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().expect("an address"));
            Ok(two.into_iter().filter(|_| name == "varnish").collect())
        }
    }

    #[tokio::test]
    async fn two_containers_of_one_name_are_two_servers_and_an_address_is_itself() {
        let found = servers(&Two, "varnish", 80).await.unwrap();
        assert_eq!(found.len(), 2);
        let found = servers(&Two, "192.0.2.1", 80).await.unwrap();
        assert_eq!(found, [["192.0.2.1:80".parse().unwrap()]]);
        let found = servers(&Two, "[::1]", 80).await.unwrap();
        assert_eq!(found, [["[::1]:80".parse().unwrap()]]);
    }

    #[tokio::test]
    async fn what_is_no_container_is_a_name_of_this_host_or_nobody() {
        let found = servers(&Two, "localhost", 80).await.unwrap();
        assert_eq!(found.len(), 1);
        // One that no name server is asked for.
        let unknown = servers(&Two, "no..name", 80).await;
        let text = unknown.unwrap_err().to_string();
        assert!(text.contains("server.network"), "{text}");
    }
    /// A resolver that fails with these words, or, without any, never answers.
    struct Fails(&'static str);

    #[async_trait]
    impl Names for Fails {
        async fn containers(&self, _: &str) -> Result<Vec<IpAddr>, ClearError> {
            Ok(Vec::new())
        }

        async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
            if self.0.is_empty() {
                return std::future::pending().await;
            }
            let words = format!("failed to lookup address information: {}", self.0);
            Err(io::Error::other(words))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_name_that_does_not_exist_is_nobodys() {
        for words in NO_SUCH_NAME {
            assert_eq!(known(&Fails(words), "redis", 80).await.unwrap(), None);
        }
        for words in [
            "Temporary failure in name resolution",
            "Non-recoverable failure in name resolution",
            "Try again",
            "",
        ] {
            let error = known(&Fails(words), "redis", 80).await.unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, ClearError::Unavailable { .. }), "{text}");
            assert!(text.contains("\"redis\"") && text.contains(words), "{text}");
        }
    }
}
