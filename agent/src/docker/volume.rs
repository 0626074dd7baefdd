//! Overlays: writable code that goes with its container. The engine's local volume driver mounts them.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptions};

use super::body;
use super::engine::Engine;
use super::error::EngineError;
use super::labels::{self, Labels};
use crate::fpm::generation::Overlay;

impl Engine {
    /// Creates the overlay volume `name`: what is written goes to `overlay.upper`, the rest is read from `lower`.
    ///
    /// # Errors
    /// [`EngineError::Refused`] when a path has a character that mount options cannot carry.
    pub(crate) async fn create_overlay(
        &self,
        name: &str,
        lower: &Path,
        overlay: &Overlay,
        labels: Labels,
    ) -> Result<(), EngineError> {
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            option(lower)?,
            option(&overlay.upper)?,
            option(&overlay.work)?
        );
        let driver_opts = [("type", "overlay"), ("device", "overlay"), ("o", &options)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            driver: Some("local".to_owned()),
            driver_opts: Some(HashMap::from(driver_opts)),
            labels: Some(labels),
            ..VolumeCreateRequest::default()
        };
        let docker = self.docker().clone();
        self.act(&format!("create volume {name}"), async move {
            docker.create_volume(request).await
        })
        .await
        .map(drop)
    }

    /// Removes a volume; one that is gone is no error.
    pub(crate) async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        let (docker, owned) = (self.docker().clone(), name.to_owned());
        let removed = self
            .act(&format!("remove volume {name}"), async move {
                let none = None::<RemoveVolumeOptions>;
                docker.remove_volume(&owned, none).await
            })
            .await;
        match removed {
            Err(EngineError::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    /// The names of all volumes that carry `labels`.
    pub(crate) async fn volumes(&self, labels: &Labels) -> Result<Vec<String>, EngineError> {
        let options = ListVolumesOptionsBuilder::new()
            .filters(&labels::filter(labels))
            .build();
        let asked = self.docker().list_volumes(Some(options));
        let found = self.ask("list volumes", asked).await?.volumes;
        Ok(found.into_iter().flatten().map(|v| v.name).collect())
    }
}

/// A path inside overlay mount options, where commas and colons separate.
fn option(path: &Path) -> Result<String, EngineError> {
    let text = body::text(path)?;
    if text.contains([',', ':', '\\', '"']) {
        return Err(EngineError::Refused {
            what: format!("mount an overlay of {text}"),
            detail: "the path has a comma, colon, quote or backslash; use another data_dir"
                .to_owned(),
        });
    }
    Ok(text)
}
