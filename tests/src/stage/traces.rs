//! What an environment leaves on the machine: containers, folders of generations, releases.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;

use super::Running;

/// What is removed in the background is gone after so long.
const LIMIT: Duration = Duration::from_secs(15);

/// Everything of the shop that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traces {
    /// Names of its containers.
    pub containers: Vec<String>,
    /// Folders of its generations.
    pub generations: Vec<String>,
    /// What lies in the folder of its releases, finished or not.
    pub releases: Vec<String>,
    /// Operations whose fetched code lies about.
    pub fetched: Vec<String>,
}

impl Running {
    /// What exists now.
    ///
    /// # Errors
    /// When the engine does not answer or a folder cannot be read.
    pub async fn traces(&self) -> anyhow::Result<Traces> {
        let folder = self.place.data().join("env/shop");
        Ok(Traces {
            containers: self.containers().await?,
            generations: names(&folder.join("generations"))?,
            releases: names(&folder.join("releases"))?,
            fetched: names(&folder.join("fetched"))?,
        })
    }

    /// Waits until exactly `wanted` exists.
    ///
    /// # Errors
    /// When something else exists at the end of the time.
    pub async fn left_only(&self, wanted: &Traces) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + LIMIT;
        loop {
            let found = self.traces().await?;
            if &found == wanted {
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                bail!("left over: {found:#?}\nthere should be: {wanted:#?}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Sorted names in a folder; none where there is no folder. Folders of the copier's own, empty, are no trace.
fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(found);
    };
    for entry in entries {
        let entry = entry?;
        let is_empty =
            std::fs::read_dir(entry.path()).is_ok_and(|mut inside| inside.next().is_none());
        let name = entry.file_name().to_string_lossy().into_owned();
        if !(is_empty && name.starts_with('.')) {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}
