//! The names that containers have for each other on a network: their own, and their aliases there, such as the service of
//! a compose file.

use std::collections::HashMap;
use std::net::IpAddr;

use async_trait::async_trait;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::ListContainersOptionsBuilder;
use stratus_core::cache::ClearError;
use stratus_core::fault::chain;

use super::engine::Engine;
use super::error::EngineError;
use crate::cache::Names;

/// The names on one network.
#[derive(Debug, Clone)]
pub struct ContainerNames {
    engine: Engine,
    network: String,
}

impl ContainerNames {
    /// The names that containers of `engine` have on `network`.
    pub fn new(engine: Engine, network: String) -> Self {
        Self { engine, network }
    }
}

#[async_trait]
impl Names for ContainerNames {
    async fn containers(&self, name: &str) -> Result<Vec<IpAddr>, ClearError> {
        let found = self.engine.addresses(&self.network, name).await;
        found.map_err(|error| ClearError::Unavailable {
            detail: chain(&error),
        })
    }
}

impl Engine {
    /// The addresses of every running container that has `name` on `network`, sorted; none where none has.
    pub async fn addresses(&self, network: &str, name: &str) -> Result<Vec<IpAddr>, EngineError> {
        let filters = HashMap::from([("network".to_owned(), vec![network.to_owned()])]);
        let options = ListContainersOptionsBuilder::new()
            .filters(&filters)
            .build();
        let what = format!("list the containers of network {network}");
        let asked = self.docker().list_containers(Some(options));
        let mut addresses = Vec::new();
        for container in self.ask(&what, asked).await? {
            let Some(id) = container.id else { continue };
            match self.inspect(&id).await {
                Ok(found) => addresses.extend(address(found, network, name)),
                // It went meanwhile.
                Err(EngineError::NotFound { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        addresses.sort_unstable();
        Ok(addresses)
    }
}

/// Where the container is on `network`, if it has `name` there.
fn address(found: ContainerInspectResponse, network: &str, name: &str) -> Option<IpAddr> {
    let own = found.name.unwrap_or_default();
    let mut networks = found.network_settings?.networks?;
    let endpoint = networks.remove(network)?;
    let mut aliases = endpoint.aliases.unwrap_or_default().into_iter();
    let has_name = own.trim_start_matches('/') == name || aliases.any(|alias| alias == name);
    let text = endpoint.ip_address.filter(|_| has_name)?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str) -> Option<IpAddr> {
        let text = r#"{"Name": "/shop_redis_1", "NetworkSettings": {"Networks": {
            "stratus": {"Aliases": ["redis", "1f0c9a5d"], "IPAddress": "172.18.0.3"},
            "other": {"Aliases": ["cache"], "IPAddress": "172.19.0.3"}}}}"#;
        let inspected = serde_json::from_str(text).expect("the engine's JSON");
        address(inspected, "stratus", name)
    }

    #[test]
    fn a_container_is_found_by_its_name_and_by_its_aliases_on_that_network_only() {
        let expected = Some("172.18.0.3".parse().expect("an address"));
        assert_eq!(found("redis"), expected);
        assert_eq!(found("shop_redis_1"), expected);
        assert_eq!(found("cache"), None);
        assert_eq!(found("varnish"), None);
    }
}
