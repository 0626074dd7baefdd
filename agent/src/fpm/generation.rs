//! The folder of one generation: what nginx follows, what members read, and where they listen.
//!
//! ```text
//! generations/42/sock/          0750 php user : nginx's group; 0.sock appears here
//! generations/42/conf/          0750 root : php group; 0.conf, prepend.php, ini/stratus.ini
//! generations/42/tmp/0/         0700 php user; uploads of member 0
//! generations/42/overlay/0/     upper and work folder of member 0, where the code is writable
//! generations/42/code           -> ../../releases/<digest>
//! generations/42/generation     the text "42"
//! ```

use std::path::{Path, PathBuf};

use stratus_core::environment::CodeAccess;
use stratus_core::{Pool, PoolId};

use super::config::{self, ConfigError};
use super::durable::{self, Access, DurableError};
use super::shared::{self, SharedError};
use crate::layout::Layout;

/// Why a generation's folder is not there.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    /// A folder or file.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// The configuration cannot be written as specified.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A shared folder.
    #[error(transparent)]
    Shared(#[from] SharedError),
    /// The release is not there.
    #[error("release {0:?} is not there; run init again")]
    NoRelease(PathBuf),
    /// A shared folder has no place in the release.
    #[error(
        "release {release:?} has no folder {folder:?} to mount the shared folder at; run init again"
    )]
    NoMountPoint {
        /// The release.
        release: PathBuf,
        /// The shared folder.
        folder: PathBuf,
    },
}

/// Where a member's overlay keeps what it writes.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// What the member changed.
    pub upper: PathBuf,
    /// The kernel's own.
    pub work: PathBuf,
}

impl Overlay {
    /// The folders of member `index`.
    pub fn of(layout: &Layout, pool: &PoolId, index: u16) -> Self {
        let folder = overlay_folder(layout, pool, index);
        Self {
            upper: folder.join("upper"),
            work: folder.join("work"),
        }
    }
}

/// The release of a pool, as this host sees it.
pub fn release(layout: &Layout, pool: &Pool) -> PathBuf {
    layout
        .releases(&pool.id.environment)
        .join(pool.release.as_str())
}

/// Where the uploads of a member go.
pub fn uploads(layout: &Layout, pool: &PoolId, index: u16) -> PathBuf {
    layout.generation(pool).join("tmp").join(index.to_string())
}

/// Writes the folder. Twice is once.
///
/// # Errors
/// When something that it leads to is not there, or it cannot be written.
pub fn ensure(layout: &Layout, pool: &Pool, nginx_gid: u32) -> Result<(), GenerationError> {
    let release = release(layout, pool);
    if !release.is_dir() {
        return Err(GenerationError::NoRelease(release));
    }
    for folder in &pool.shared {
        shared::ensure(&pool.code, folder, pool.user())?;
        if !is_folder(&release.join(folder)) {
            let folder = folder.clone();
            return Err(GenerationError::NoMountPoint { release, folder });
        }
    }
    let user = pool.user();
    let php = (user.uid, user.gid);
    let top = layout.generation(&pool.id);
    for path in [layout.generations(&pool.id.environment), top.clone()] {
        durable::folder(&path, access(None, 0o755))?;
    }
    let sessions = layout.sessions(&pool.id.environment);
    durable::folder(&sessions, access(Some(php), 0o700))?;
    let sockets = layout.sockets(&pool.id);
    durable::folder(&sockets, access(Some((user.uid, nginx_gid)), 0o750))?;
    durable::folder(&top.join("tmp"), access(None, 0o755))?;
    for index in 0..pool.members {
        durable::folder(&uploads(layout, &pool.id, index), access(Some(php), 0o700))?;
    }
    write_configuration(layout, pool)?;
    let target = Path::new("../../releases").join(pool.release.as_str());
    durable::link(&top.join("code"), &target)?;
    let number = pool.id.generation.to_string();
    durable::file(&top.join("generation"), &number, access(None, 0o644))?;
    durable::sync(&top)?;
    durable::sync(&layout.generations(&pool.id.environment))?;
    Ok(())
}

/// Gives member `index` an empty overlay, owned like the release's own root.
///
/// # Errors
/// When it cannot be written.
pub fn renew_overlay(layout: &Layout, pool: &Pool, index: u16) -> Result<(), GenerationError> {
    if pool.code_access == CodeAccess::Immutable {
        return Ok(());
    }
    let folder = overlay_folder(layout, &pool.id, index);
    durable::remove(&folder)?;
    let overlay = Overlay::of(layout, &pool.id, index);
    let user = pool.user();
    let php = Some((user.uid, user.gid));
    durable::folder(
        &layout.generation(&pool.id).join("overlay"),
        access(None, 0o711),
    )?;
    durable::folder(&folder, access(None, 0o711))?;
    durable::folder(&overlay.upper, access(php, 0o755))?;
    durable::folder(&overlay.work, access(php, 0o700))?;
    Ok(())
}

/// Removes the folder; one that is gone is no error.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(layout: &Layout, pool: &PoolId) -> Result<(), GenerationError> {
    durable::remove(&layout.generation(pool))?;
    let generations = layout.generations(&pool.environment);
    if generations.is_dir() {
        durable::sync(&generations)?;
    }
    Ok(())
}

/// Removes what an ended member left at its socket's path.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_stale_socket(
    layout: &Layout,
    pool: &PoolId,
    index: u16,
) -> Result<(), GenerationError> {
    let socket = layout.socket(pool, index);
    match std::fs::remove_file(&socket) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(durable::at("remove", &socket)(e).into())
        }
        _ => Ok(()),
    }
}

fn write_configuration(layout: &Layout, pool: &Pool) -> Result<(), GenerationError> {
    let folder = layout.pool_configuration(&pool.id);
    let ini = folder.join(config::INI_FOLDER);
    // Members read it by their group; it may hold a password of the operator's.
    let own = rustix::process::geteuid().as_raw();
    let owner = Some((own, pool.user().gid));
    durable::folder(&folder, access(owner, 0o750))?;
    durable::folder(&ini, access(owner, 0o750))?;
    let readable = access(owner, 0o640);
    for index in 0..pool.members {
        let path = folder.join(format!("{index}.conf"));
        durable::file(&path, &config::fpm(pool, index)?, readable)?;
    }
    durable::file(
        &folder.join("prepend.php"),
        &config::prepend(pool)?,
        readable,
    )?;
    durable::file(&ini.join("stratus.ini"), &config::php_ini(pool)?, readable)?;
    durable::sync(&ini)?;
    durable::sync(&folder)?;
    Ok(())
}

fn overlay_folder(layout: &Layout, pool: &PoolId, index: u16) -> PathBuf {
    layout
        .generation(pool)
        .join("overlay")
        .join(index.to_string())
}

fn access(owner: Option<(u32, u32)>, mode: u32) -> Access {
    Access { owner, mode }
}

fn is_folder(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}
