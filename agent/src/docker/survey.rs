//! What the engine is set to, and how a container that somebody else made stands on this host. Asks, never acts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use bollard::models::{
    ContainerInspectResponse, HostConfig, LocalNodeState, MountPoint, PortMap, SystemInfo,
};
use serde::Serialize;

use super::engine::Engine;
use super::error::EngineError;

/// What the engine is set to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setup {
    /// Shape: `overlay2`.
    pub storage_driver: String,
    /// Whether containers live on while the engine is restarted.
    pub live_restore: bool,
    /// Whether it is part of a swarm.
    pub swarm: bool,
}

/// How a container stands on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Whether its first process runs.
    pub running: bool,
    /// Digest of its image.
    pub image: String,
    /// Who it runs as, as it was asked for. Shape: `33:33`; empty for the image's default.
    pub user: String,
    /// Folders of the host that it sees at the same path, sorted.
    pub mounts: Vec<PathBuf>,
    /// How it is reached.
    pub reach: Reach,
    /// Whether its CPU time is limited.
    pub cpu_limited: bool,
}

/// How a container is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Through the host's own network.
    Host,
    /// Through these TCP addresses of the host, sorted.
    Published(Vec<SocketAddr>),
}

impl Engine {
    /// What the engine is set to.
    pub async fn setup(&self) -> Result<Setup, EngineError> {
        let asked = self.docker().info();
        Ok(setup(self.ask("ask for the settings", asked).await?))
    }

    /// How `container` stands on this host.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] when there is none of that name.
    pub async fn survey(&self, container: &str) -> Result<Survey, EngineError> {
        Ok(survey(self.inspect(container).await?))
    }
}

fn setup(found: SystemInfo) -> Setup {
    let state = found.swarm.and_then(|swarm| swarm.local_node_state);
    Setup {
        storage_driver: found.driver.unwrap_or_else(|| "unknown".to_owned()),
        live_restore: found.live_restore_enabled.unwrap_or(false),
        swarm: !matches!(
            state,
            None | Some(LocalNodeState::EMPTY | LocalNodeState::INACTIVE)
        ),
    }
}

fn survey(found: ContainerInspectResponse) -> Survey {
    let host = found.host_config.unwrap_or_default();
    let ports = found.network_settings.and_then(|network| network.ports);
    Survey {
        running: found.state.and_then(|s| s.running).unwrap_or(false),
        image: found.image.unwrap_or_default(),
        user: found.config.and_then(|c| c.user).unwrap_or_default(),
        mounts: same_path(found.mounts.unwrap_or_default()),
        reach: match host.network_mode.as_deref() {
            Some("host") => Reach::Host,
            _ => Reach::Published(published(ports.unwrap_or_default())),
        },
        cpu_limited: is_cpu_limited(&host),
    }
}

fn same_path(mounts: Vec<MountPoint>) -> Vec<PathBuf> {
    let same = |mount: MountPoint| {
        mount
            .source
            .filter(|s| mount.destination.as_ref() == Some(s))
    };
    let mut paths: Vec<PathBuf> = mounts
        .into_iter()
        .filter_map(same)
        .map(Into::into)
        .collect();
    paths.sort();
    paths
}

/// An address without a host part is every address.
fn published(ports: PortMap) -> Vec<SocketAddr> {
    let tcp = ports.into_iter().filter(|(port, _)| port.ends_with("/tcp"));
    let mut addresses: Vec<SocketAddr> = tcp
        .flat_map(|(_, bindings)| bindings.unwrap_or_default())
        .filter_map(|binding| {
            let ip = match binding.host_ip.as_deref() {
                None | Some("") => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                Some(ip) => ip.parse().ok()?,
            };
            Some(SocketAddr::new(ip, binding.host_port?.parse().ok()?))
        })
        .collect();
    addresses.sort();
    addresses
}

/// A quota of -1 is none.
fn is_cpu_limited(host: &HostConfig) -> bool {
    [host.nano_cpus, host.cpu_quota]
        .iter()
        .any(|limit| limit.is_some_and(|limit| limit > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected(text: &str) -> Survey {
        survey(serde_json::from_str(text).expect("the engine's JSON"))
    }

    #[test]
    fn only_what_is_mounted_at_its_own_path_counts() {
        let found = inspected(
            r#"{"Mounts": [
                {"Type": "bind", "Source": "/srv", "Destination": "/srv"},
                {"Type": "bind", "Source": "/data", "Destination": "/elsewhere"},
                {"Type": "tmpfs", "Source": "", "Destination": "/tmp"}]}"#,
        );
        assert_eq!(found.mounts, [PathBuf::from("/srv")]);
    }

    #[test]
    fn published_ports_are_addresses_and_udp_is_none_of_them() {
        let found = inspected(
            r#"{"NetworkSettings": {"Ports": {
                "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8000"}, {"HostIp": "::1", "HostPort": "8000"}],
                "443/tcp": [{"HostIp": "", "HostPort": "443"}], "81/tcp": null,
                "443/udp": [{"HostIp": "0.0.0.0", "HostPort": "444"}]}}}"#,
        );
        let expected = ["0.0.0.0:443", "127.0.0.1:8000", "[::1]:8000"];
        let expected = expected.map(|a| a.parse().expect("an address"));
        assert_eq!(found.reach, Reach::Published(expected.to_vec()));
    }

    #[test]
    fn the_hosts_network_publishes_nothing() {
        let found = inspected(r#"{"HostConfig": {"NetworkMode": "host"}}"#);
        assert_eq!(found.reach, Reach::Host);
    }

    #[test]
    fn a_quota_or_a_number_of_cpus_limits_and_none_does_not() {
        for (text, limited) in [
            (r#"{"NanoCpus": 0, "CpuQuota": 0}"#, false),
            (r#"{"NanoCpus": 0, "CpuQuota": -1}"#, false),
            (r#"{"NanoCpus": 500000000, "CpuQuota": 0}"#, true),
            (r#"{"CpuQuota": 50000}"#, true),
        ] {
            let found = inspected(&format!(r#"{{"HostConfig": {text}}}"#));
            assert_eq!(found.cpu_limited, limited, "{text}");
        }
    }

    #[test]
    fn a_node_that_left_its_swarm_is_in_none() {
        for (state, swarm) in [
            ("", false),
            ("inactive", false),
            ("active", true),
            ("locked", true),
        ] {
            let text = format!(r#"{{"Swarm": {{"LocalNodeState": "{state}"}}}}"#);
            let found = setup(serde_json::from_str(&text).expect("the engine's JSON"));
            assert_eq!(found.swarm, swarm, "{state}");
        }
    }
}
