//! The test of a text before nginx sees it, in a throw-away container of nginx's own image.

use std::collections::HashMap;
use std::path::Path;

use stratus_core::router::RouterError;

use super::master::Master;
use super::version::{NEEDED, Version, parse};
use crate::docker::EngineError;

/// Characters of a line that are quoted.
const LINE_MAX: usize = 200;

/// The tests, and what they found out that does not change while an image stays the same.
#[derive(Default)]
pub(super) struct Trials {
    versions: HashMap<String, Version>,
}

/// Why a candidate was not tested, or did not pass.
pub(super) enum Trial {
    /// The engine does not have the image.
    NoImage,
    /// Everything else.
    Failed(RouterError),
}

impl Trials {
    /// Tests `<candidate>/nginx.conf` with the nginx of `image`, which must be new enough.
    pub(super) async fn run(
        &mut self,
        master: &dyn Master,
        image: &str,
        candidate: &Path,
    ) -> Result<(), Trial> {
        let version = self.version(master, image).await?;
        if version < NEEDED {
            return refused(format!(
                "nginx {version} in image {image} is too old; {NEEDED} or newer is needed, for keepalive_min_timeout"
            ));
        }
        let tested = master
            .test(image, candidate)
            .await
            .map_err(|e| sort(image, e))?;
        if tested.exit == 0 {
            return Ok(());
        }
        refused(quote(tested.output.trim(), candidate))
    }

    async fn version(&mut self, master: &dyn Master, image: &str) -> Result<Version, Trial> {
        if let Some(version) = self.versions.get(image) {
            return Ok(*version);
        }
        let found = master.version(image).await.map_err(|e| sort(image, e))?;
        let Some(version) = parse(&found.output) else {
            let said = found.output.trim();
            return refused(format!(
                "image {image} does not say the version of its nginx: {said}"
            ));
        };
        self.versions.insert(image.to_owned(), version);
        Ok(version)
    }
}

/// nginx's words, and the line of the candidate that they speak of: nobody else can look into it.
fn quote(words: &str, candidate: &Path) -> String {
    let number = words
        .lines()
        .find_map(|line| line.rsplit_once("nginx.conf:")?.1.trim().parse().ok());
    let text = std::fs::read_to_string(candidate.join("nginx.conf")).unwrap_or_default();
    let line = number.and_then(|number: usize| text.lines().nth(number.checked_sub(1)?));
    match line {
        Some(line) => {
            let line: String = line.trim().chars().take(LINE_MAX).collect();
            format!("{words} (the line is: {line})")
        }
        None => words.to_owned(),
    }
}

fn refused<T>(detail: String) -> Result<T, Trial> {
    Err(Trial::Failed(RouterError::Refused { detail }))
}

fn sort(image: &str, error: EngineError) -> Trial {
    Trial::Failed(match error {
        EngineError::NotFound { .. } => return Trial::NoImage,
        EngineError::Refused { detail, .. } => RouterError::Refused {
            detail: format!("nginx cannot be run in image {image}: {detail}"),
        },
        other => other.into(),
    })
}

impl From<Trial> for RouterError {
    fn from(trial: Trial) -> Self {
        match trial {
            Trial::NoImage => Self::Refused {
                detail: "the image of nginx's container is not on this engine any more".to_owned(),
            },
            Trial::Failed(error) => error,
        }
    }
}
