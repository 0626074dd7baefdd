//! The folder of one generation: what nginx follows, what members read, and where they listen.
//!
//! ```text
//! generations/42/sock/          0750 php user : nginx's group; 0.sock appears here
//! generations/42/conf/          0750 root : php group; 0.conf, prepend.php, opcache.php, ini/stratus.ini
//! generations/42/tmp/0/         0700 php user; uploads of member 0
//! generations/42/overlay/0/     upper and work folder of member 0, where the code is writable
//! generations/42/code           -> ../../releases/<digest>
//! generations/42/generation     the text "42"
//! ```

use std::path::{Path, PathBuf};

use stratus_core::environment::{CodeAccess, User};
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
        Self::in_folder(&overlay_folder(layout, pool, index))
    }

    pub(super) fn in_folder(folder: &Path) -> Self {
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
    check_release(layout, pool)?;
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

/// Checks that the release is there with a place for every shared folder, and makes those that are missing.
///
/// # Errors
/// When it is not so.
pub(super) fn check_release(layout: &Layout, pool: &Pool) -> Result<(), GenerationError> {
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
    durable::folder(
        &layout.generation(&pool.id).join("overlay"),
        access(None, 0o711),
    )?;
    make_overlay(&overlay_folder(layout, &pool.id, index), pool.user())
}

/// Makes `folder` hold an empty overlay.
pub(super) fn make_overlay(folder: &Path, user: User) -> Result<(), GenerationError> {
    durable::remove(folder)?;
    let overlay = Overlay::in_folder(folder);
    let php = Some((user.uid, user.gid));
    durable::folder(folder, access(None, 0o711))?;
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
    write_php(&folder, pool)?;
    let readable = access(Some(readers(pool)), 0o640);
    for index in 0..pool.members {
        let path = folder.join(format!("{index}.conf"));
        durable::file(&path, &config::fpm(pool, index)?, readable)?;
    }
    durable::sync(&folder)?;
    Ok(())
}

/// Members read their configuration by their group: it may hold a password of the operator's.
fn readers(pool: &Pool) -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), pool.user().gid)
}

/// Writes what PHP itself reads, whether under FPM or for a task: the `php.ini` part and the script before every other.
pub(super) fn write_php(folder: &Path, pool: &Pool) -> Result<(), GenerationError> {
    let ini = folder.join(config::INI_FOLDER);
    let owner = Some(readers(pool));
    durable::folder(folder, access(owner, 0o750))?;
    durable::folder(&ini, access(owner, 0o750))?;
    let readable = access(owner, 0o640);
    durable::file(
        &folder.join("prepend.php"),
        &config::prepend(pool)?,
        readable,
    )?;
    durable::file(
        &folder.join("opcache.php"),
        config::opcache_reset(),
        readable,
    )?;
    durable::file(&ini.join("stratus.ini"), &config::php_ini(pool)?, readable)?;
    durable::sync(&ini)?;
    durable::sync(folder)?;
    Ok(())
}

fn overlay_folder(layout: &Layout, pool: &PoolId, index: u16) -> PathBuf {
    layout
        .generation(pool)
        .join("overlay")
        .join(index.to_string())
}

pub(super) fn access(owner: Option<(u32, u32)>, mode: u32) -> Access {
    Access { owner, mode }
}

fn is_folder(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use stratus_core::environment::User;

    use super::*;
    use crate::fpm::sample;

    /// A data folder with the release of the sample pool, whose members run as ourselves.
    fn stage() -> (tempfile::TempDir, Layout, Pool) {
        let data = tempfile::tempdir().unwrap();
        let layout = Layout::new(data.path(), "5f3a9c".parse().unwrap());
        let mut pool = sample::pool();
        pool.php.user = User {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        };
        fs::create_dir_all(release(&layout, &pool)).unwrap();
        (data, layout, pool)
    }

    fn write(layout: &Layout, pool: &Pool) -> Result<(), GenerationError> {
        ensure(layout, pool, pool.user().gid)
    }

    #[test]
    fn everything_that_nginx_follows_hangs_under_the_folder_and_twice_is_once() {
        let (_data, layout, pool) = stage();
        write(&layout, &pool).unwrap();
        write(&layout, &pool).unwrap();
        let folder = layout.generation(&pool.id);
        assert_eq!(fs::read_to_string(folder.join("generation")).unwrap(), "42");
        let link = fs::read_link(folder.join("code")).unwrap();
        assert!(link.is_relative(), "{link:?}");
        let code = fs::canonicalize(folder.join("code")).unwrap();
        assert_eq!(code, fs::canonicalize(release(&layout, &pool)).unwrap());
        let mode = |name: &str| {
            fs::metadata(folder.join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o7777
        };
        assert_eq!(
            (mode("sock"), mode("conf"), mode("conf/0.conf")),
            (0o750, 0o750, 0o640)
        );
        assert!(folder.join("conf/1.conf").exists() && !folder.join("conf/2.conf").exists());
    }

    #[test]
    fn what_an_ended_member_left_at_its_socket_is_removed() {
        let (_data, layout, pool) = stage();
        write(&layout, &pool).unwrap();
        let socket = layout.socket(&pool.id, 0);
        fs::write(&socket, "").unwrap();
        for _ in 0..2 {
            remove_stale_socket(&layout, &pool.id, 0).unwrap();
            assert!(!socket.exists());
        }
    }

    #[test]
    fn a_folder_is_removed_with_what_links_lead_out_of_it_left_alone() {
        let (_data, layout, pool) = stage();
        write(&layout, &pool).unwrap();
        for _ in 0..2 {
            remove(&layout, &pool.id).unwrap();
        }
        assert!(!layout.generation(&pool.id).exists());
        assert!(release(&layout, &pool).exists());
    }

    #[test]
    fn a_release_without_a_place_for_a_shared_folder_is_refused() {
        let (data, layout, mut pool) = stage();
        pool.code = data.path().to_owned();
        pool.shared.push("media".into());
        let refused = write(&layout, &pool);
        assert!(
            matches!(refused, Err(GenerationError::NoMountPoint { .. })),
            "{refused:?}"
        );
        fs::create_dir(release(&layout, &pool).join("media")).unwrap();
        write(&layout, &pool).unwrap();
    }
}
