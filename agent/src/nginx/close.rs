//! The files that close a site to visitors: nginx looks for them at every request, so nothing is reloaded.

use std::fs::{self, File};
use std::io;

use stratus_core::EnvironmentName;
use stratus_core::route::Closed;
use stratus_core::router::RouterError;

use super::flip::sync_folder;
use crate::layout::Layout;

/// Closes `environment`, or opens it again; durable when it returns.
pub(super) fn set(
    layout: &Layout,
    environment: &EnvironmentName,
    why: Closed,
    closed: bool,
) -> Result<(), RouterError> {
    let path = layout.closed(environment, why);
    let folder = layout.environment(environment);
    let made = || -> io::Result<()> {
        if closed {
            fs::create_dir_all(&folder)?;
            File::create(&path)?;
        } else {
            match fs::remove_file(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
                other => other?,
            }
        }
        sync_folder(&folder)
    };
    made().map_err(|source| RouterError::Io {
        detail: format!("write or remove {}", path.display()),
        source,
    })
}

/// Whether `environment` is closed for that reason.
pub(super) fn is(
    layout: &Layout,
    environment: &EnvironmentName,
    why: Closed,
) -> Result<bool, RouterError> {
    let path = layout.closed(environment, why);
    path.try_exists().map_err(|source| RouterError::Io {
        detail: format!("look for {}", path.display()),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_closed_and_opened_as_often_as_one_likes() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path(), "5f3a9c".parse().unwrap());
        let shop: EnvironmentName = "shop".parse().unwrap();
        for closed in [false, true, true, false, false, true] {
            set(&layout, &shop, Closed::Maintenance, closed).unwrap();
            assert_eq!(is(&layout, &shop, Closed::Maintenance).unwrap(), closed);
            assert!(!is(&layout, &shop, Closed::Overdue).unwrap());
        }
    }
}
