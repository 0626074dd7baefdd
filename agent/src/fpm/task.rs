//! The folder of one task: what its command reads as configuration, and where it may write beside the shared folders.
//!
//! ```text
//! tasks/cron.reindex.20261122T1500Z/conf/      0750 root : php group; prepend.php, ini/stratus.ini
//! tasks/cron.reindex.20261122T1500Z/tmp/       0700 php user
//! tasks/cron.reindex.20261122T1500Z/overlay/   upper and work folder, where the code is writable
//! ```

use std::path::PathBuf;

use stratus_core::environment::CodeAccess;
use stratus_core::tasks::{Task, TaskCode, TaskId};

use super::durable;
use super::generation::{self, GenerationError, Overlay, access};
use crate::layout::Layout;

/// Writes the folder. Twice is once.
///
/// # Errors
/// When the release is not there, or something cannot be written.
pub fn ensure(layout: &Layout, task: &Task) -> Result<(), GenerationError> {
    let pool = &task.pool;
    if task.code == TaskCode::Release {
        generation::check_release(layout, pool)?;
    }
    let user = pool.user();
    let php = Some((user.uid, user.gid));
    let environment = &task.id.environment;
    let folder = layout.task(&task.id);
    for path in [layout.tasks(environment), folder.clone()] {
        durable::folder(&path, access(None, 0o755))?;
    }
    durable::folder(&layout.sessions(environment), access(php, 0o700))?;
    durable::folder(&folder.join("tmp"), access(php, 0o700))?;
    generation::write_php(&folder.join("conf"), pool)?;
    if task.code == TaskCode::Release && pool.code_access == CodeAccess::Overlay {
        generation::make_overlay(&overlay_folder(layout, &task.id), user)?;
    }
    durable::sync(&folder)?;
    durable::sync(&layout.tasks(environment))?;
    Ok(())
}

/// Where a task's overlay keeps what it writes.
pub fn overlay(layout: &Layout, task: &TaskId) -> Overlay {
    Overlay::in_folder(&overlay_folder(layout, task))
}

fn overlay_folder(layout: &Layout, task: &TaskId) -> PathBuf {
    layout.task(task).join("overlay")
}

/// Removes the folder; one that is gone is no error.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(layout: &Layout, task: &TaskId) -> Result<(), GenerationError> {
    Ok(durable::remove(&layout.task(task))?)
}
