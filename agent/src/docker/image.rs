//! Images: is it here, does it fit this machine, does it have an FPM.

use std::collections::HashMap;
use std::time::Duration;

use stratus_core::InstallationId;
use stratus_core::runtime::RuntimeError;

use super::body::Tmpfs;
use super::engine::Engine;
use super::error::EngineError;
use super::once::{Finished, Once};
use crate::fpm::answer::tail_lines;

/// How long an FPM may take to say its version.
const VERSION_LIMIT: Duration = Duration::from_mins(1);
const OUTPUT_LINES: usize = 10;
const VERSION_MEMORY: u64 = 256 << 20;
/// Nobody: it needs to own nothing to say its version.
const NOBODY: &str = "65534:65534";

/// What the engine knows of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its digest (`sha256:…`).
    pub digest: String,
    /// Shape: `linux/amd64`.
    pub platform: String,
    /// `PHP_INI_SCAN_DIR` of its environment.
    pub scan_dir: Option<String>,
}

impl Engine {
    /// What the engine knows of `reference`.
    ///
    /// # Errors
    /// [`RuntimeError::NoImage`] when it has no such image.
    pub async fn image(&self, reference: &str) -> Result<Image, RuntimeError> {
        let asked = self.docker().inspect_image(reference);
        let found = match self.ask(&format!("inspect image {reference}"), asked).await {
            Err(EngineError::NotFound { .. }) => {
                let image = reference.to_owned();
                return Err(RuntimeError::NoImage { image });
            }
            other => other?,
        };
        let environment = found.config.and_then(|c| c.env).unwrap_or_default();
        let scan_dir = environment
            .iter()
            .find_map(|pair| pair.strip_prefix("PHP_INI_SCAN_DIR="))
            .map(str::to_owned);
        let os = found.os.unwrap_or_default();
        let architecture = found.architecture.unwrap_or_default();
        Ok(Image {
            digest: found.id.unwrap_or_default(),
            platform: format!("{os}/{architecture}"),
            scan_dir,
        })
    }

    /// Checks that the image can run here and that `fpm` in it is a PHP-FPM, by running it once.
    ///
    /// # Errors
    /// [`RuntimeError::NoFpm`] when it is not; [`RuntimeError::Refused`] when the image is of another platform.
    pub async fn check_fpm(
        &self,
        installation: &InstallationId,
        reference: &str,
        image: &Image,
        fpm: &str,
    ) -> Result<(), RuntimeError> {
        let here = self.version().await?.platform;
        if image.platform != here {
            let platform = &image.platform;
            return Err(RuntimeError::Refused {
                detail: format!(
                    "image {reference:?} is for {platform}, this engine runs {here}; build or pull it for {here}"
                ),
            });
        }
        let once = Once {
            installation: installation.clone(),
            purpose: "fpm-version".to_owned(),
            image: image.digest.clone(),
            argv: vec![fpm.to_owned(), "-v".to_owned()],
            user: NOBODY.to_owned(),
            binds: Vec::new(),
            // OPcache makes a lock file before it says anything.
            tmpfs: vec![Tmpfs {
                target: "/tmp".into(),
                bytes: 1 << 20,
            }],
            memory: VERSION_MEMORY,
            timeout: VERSION_LIMIT,
            labels: HashMap::new(),
        };
        let no_fpm = || RuntimeError::NoFpm {
            image: reference.to_owned(),
            fpm: fpm.to_owned(),
        };
        match self.run_once(once).await {
            Ok(finished) if is_fpm(&finished) => Ok(()),
            Ok(Finished { exit: 0, .. }) => Err(no_fpm()),
            Ok(Finished { exit, output }) => Err(RuntimeError::Refused {
                detail: format!(
                    "{fpm:?} of image {reference:?} cannot say its version (exit {exit}):\n{}",
                    tail_lines(&output, OUTPUT_LINES)
                ),
            }),
            Err(EngineError::Refused { detail, .. } | EngineError::Failed { detail, .. })
                if is_missing_program(&detail) =>
            {
                Err(no_fpm())
            }
            Err(other) => Err(other.into()),
        }
    }
}

/// Shape: `PHP 8.2.36 (fpm-fcgi) (built: …)`.
fn is_fpm(finished: &Finished) -> bool {
    finished.exit == 0 && finished.output.contains("(fpm-fcgi)")
}

/// The words of runc.
fn is_missing_program(detail: &str) -> bool {
    [
        "executable file not found",
        "no such file or directory",
        "permission denied",
        "is a directory",
        "exec format error",
    ]
    .iter()
    .any(|words| detail.contains(words))
}
