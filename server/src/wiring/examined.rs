//! What the doctor looks at: this host's engine and nginx, or a demonstration that has neither.

use std::time::Duration;

use async_trait::async_trait;
use stratus_agent::docker::{Engine, EngineError, Reach};
use stratus_agent::layout::Layout;
use stratus_agent::nginx::control::Control;
use stratus_agent::nginx::master::{Container, Master as _};
use stratus_agent::nginx::version;
use stratus_core::environment::User;
use stratus_core::fault::chain;
use stratus_core::runtime::RuntimeError;
use tokio::time::timeout;

use crate::doctor::{EngineFacts, Machine, Network, NginxFacts};

/// How long nginx may take to answer on its private socket, and its image to say its version: less than the doctor
/// waits for both, so that one of them does not hide the other.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
const VERSION_LIMIT: Duration = Duration::from_secs(8);

/// This host.
pub struct Host {
    engine: Engine,
    container: String,
    master: Container,
    control: Control,
}

impl Host {
    /// The host of `engine`, whose nginx runs in `container`.
    pub fn new(engine: Engine, container: &str, layout: &Layout) -> Self {
        let folder = layout.nginx();
        Self {
            master: Container::new(engine.clone(), container, layout.installation(), folder),
            control: Control::new(layout.control_socket()),
            container: container.to_owned(),
            engine,
        }
    }

    async fn version(&self, image: &str) -> Option<String> {
        let said = timeout(VERSION_LIMIT, self.master.version(image)).await;
        let number = version::parse(&said.ok()?.ok()?.output)?;
        Some(number.to_string())
    }

    async fn answers(&self) -> bool {
        let asked = timeout(ANSWER_LIMIT, self.control.revision()).await;
        asked.is_ok_and(|answer| answer.is_ok())
    }
}

#[async_trait]
impl Machine for Host {
    async fn engine(&self) -> Result<EngineFacts, String> {
        let version = self.engine.version().await.map_err(|e| chain(&e))?;
        let setup = self.engine.setup().await.map_err(|e| chain(&e))?;
        Ok(EngineFacts {
            version: version.engine,
            api: version.api,
            storage_driver: setup.storage_driver,
            live_restore: setup.live_restore,
            swarm: setup.swarm,
        })
    }

    async fn nginx(&self) -> Result<Option<NginxFacts>, String> {
        let found = match self.engine.survey(&self.container).await {
            Ok(found) => found,
            Err(EngineError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(chain(&error)),
        };
        let (version, answers) = if found.running {
            tokio::join!(self.version(&found.image), self.answers())
        } else {
            (None, false)
        };
        Ok(Some(NginxFacts {
            running: found.running,
            version,
            user: pair(&found.user),
            answers,
            mounts: found.mounts,
            network: match found.reach {
                Reach::Host => Network::Host,
                Reach::Published(addresses) => Network::Published(addresses),
            },
            cpu_limited: found.cpu_limited,
        }))
    }

    async fn image(&self, reference: &str) -> Result<Option<String>, String> {
        match self.engine.image(reference).await {
            Ok(image) => Ok(Some(image.digest)),
            Err(RuntimeError::NoImage { .. }) => Ok(None),
            Err(error) => Err(chain(&error)),
        }
    }
}

/// Names and lone users say nothing certain: what they mean is the image's business.
fn pair(user: &str) -> Option<User> {
    let (uid, gid) = user.split_once(':')?;
    Some(User {
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
    })
}

/// A server on fakes: it says so instead of making findings up.
pub struct Demonstration;

#[async_trait]
impl Machine for Demonstration {
    async fn engine(&self) -> Result<EngineFacts, String> {
        Err("this is a demonstration without an engine; everything is in memory".to_owned())
    }
    async fn nginx(&self) -> Result<Option<NginxFacts>, String> {
        Err("this is a demonstration without nginx; everything is in memory".to_owned())
    }
    async fn image(&self, _: &str) -> Result<Option<String>, String> {
        Err("this is a demonstration without images; everything is in memory".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pair_of_numbers_is_a_user() {
        assert_eq!(pair("33:34"), Some(User { uid: 33, gid: 34 }));
        for unclear in ["", "33", "www-data", "www-data:www-data", "33:"] {
            assert_eq!(pair(unclear), None, "{unclear:?}");
        }
    }
}
