//! Where a cache is that the configuration names: an address, a name that containers have on their network, or one that
//! this host resolves.

use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use stratus_core::cache::ClearError;

/// Knows the names of containers.
#[async_trait]
pub trait Names: Send + Sync {
    /// The addresses of every container that has this name on the members' network; none where none has.
    async fn containers(&self, name: &str) -> Result<Vec<IpAddr>, ClearError>;
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

/// The same; none where nobody knows the name.
pub(super) async fn known(
    names: &dyn Names,
    host: &str,
    port: u16,
) -> Result<Option<Vec<Vec<SocketAddr>>>, ClearError> {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = literal.parse::<IpAddr>() {
        return Ok(Some(vec![vec![SocketAddr::new(address, port)]]));
    }
    let containers = names.containers(host).await?;
    if !containers.is_empty() {
        let alone = |address| vec![SocketAddr::new(address, port)];
        return Ok(Some(containers.into_iter().map(alone).collect()));
    }
    let found = tokio::net::lookup_host((host, port)).await;
    let addresses: Vec<_> = found.map(Iterator::collect).unwrap_or_default();
    Ok((!addresses.is_empty()).then(|| vec![addresses]))
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
        let unknown = servers(&Two, "no-such-name.invalid", 80).await;
        let text = unknown.unwrap_err().to_string();
        assert!(text.contains("server.network"), "{text}");
    }
}
