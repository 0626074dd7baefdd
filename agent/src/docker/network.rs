//! The network of members: none, the installation's own, or one that the operator made.

use bollard::models::NetworkCreateRequest;

use super::engine::Engine;
use super::error::EngineError;
use super::labels::{self, Labels};
use stratus_core::InstallationId;

/// What members can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// Nothing: they are spoken to by unix sockets.
    None,
    /// A bridge of this installation, `stratus-5f3a9c`, made when it is missing: databases and the world.
    Installation,
    /// A network that is there already.
    Named(String),
}

impl Network {
    /// Its name in the engine.
    pub fn name(&self, installation: &InstallationId) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Installation => format!("stratus-{installation}"),
            Self::Named(name) => name.clone(),
        }
    }
}

impl Engine {
    /// Makes sure that the network is there.
    ///
    /// The caller makes one call at a time: the engine allows two networks of one name.
    ///
    /// # Errors
    /// [`EngineError::Refused`] when a named network is not there, or is the host's.
    pub async fn ensure_network(
        &self,
        network: &Network,
        installation: &InstallationId,
    ) -> Result<(), EngineError> {
        let name = network.name(installation);
        let what = format!("use network {name}");
        match network {
            Network::None => return Ok(()),
            Network::Named(named) if named == "host" || named.starts_with("container:") => {
                let detail =
                    "members never share a network of the host or of a container".to_owned();
                return Err(EngineError::Refused { what, detail });
            }
            Network::Installation | Network::Named(_) => {}
        }
        let asked = self.docker().inspect_network(&name, None);
        match self.ask(&what, asked).await {
            Ok(_) => Ok(()),
            Err(EngineError::NotFound { .. }) if *network == Network::Installation => {
                self.create_network(name, installation).await
            }
            Err(EngineError::NotFound { .. }) => Err(EngineError::Refused {
                what,
                detail: "there is no such network; create it first".to_owned(),
            }),
            Err(other) => Err(other),
        }
    }

    /// Removes the installation's own network; one that is gone is no error.
    pub async fn remove_network(&self, installation: &InstallationId) -> Result<(), EngineError> {
        let (docker, name) = (
            self.docker().clone(),
            Network::Installation.name(installation),
        );
        let removed = self
            .act(&format!("remove network {name}"), async move {
                docker.remove_network(&name).await
            })
            .await;
        match removed {
            Err(EngineError::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    async fn create_network(
        &self,
        name: String,
        installation: &InstallationId,
    ) -> Result<(), EngineError> {
        let label = (labels::INSTALLATION.to_owned(), installation.to_string());
        let request = NetworkCreateRequest {
            name: name.clone(),
            driver: Some("bridge".to_owned()),
            labels: Some(Labels::from([label])),
            ..NetworkCreateRequest::default()
        };
        let docker = self.docker().clone();
        self.act(&format!("create network {name}"), async move {
            docker.create_network(request).await
        })
        .await
        .map(drop)
    }
}
