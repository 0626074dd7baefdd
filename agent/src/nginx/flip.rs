//! The two symlinks of an environment: one rename moves all its traffic.

use std::fs::File;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use stratus_core::route::{Links, Share};
use stratus_core::router::RouterError;
use stratus_core::{EnvironmentName, Generation, PoolId};

use super::share;
use crate::layout::Layout;

/// Points the symlinks of `environment`; durable when it returns.
///
/// `previous` moves before `live`: at no instant is the generation that leaves `live` without a name, so an asset of a
/// page that it delivered is always found. Only a `previous` that goes away goes last.
///
/// # Errors
/// A generation without a folder is refused before anything is touched.
pub fn flip(
    layout: &Layout,
    environment: &EnvironmentName,
    links: Links,
) -> Result<(), RouterError> {
    for generation in [links.live, links.previous].into_iter().flatten() {
        let folder = layout.generation(&PoolId::new(environment, generation));
        if !folder.is_dir() {
            let detail = format!(
                "generation {generation} of {environment} has no folder {}",
                folder.display()
            );
            return Err(failed(detail, io::ErrorKind::NotFound.into()));
        }
    }
    share::ensure(layout, environment, links)?;
    let (live, previous) = (layout.live(environment), layout.previous(environment));
    let whole = |generation| Target {
        generation,
        share: Share::All,
    };
    let serves = |generation| Target {
        generation,
        share: links.share,
    };
    let mut moves = [
        (&previous, links.previous.map(whole)),
        (&live, links.live.map(serves)),
    ];
    if links.previous.is_none() {
        moves.reverse();
    }
    for (link, target) in moves {
        point(link, target).map_err(|e| failed(format!("point {}", link.display()), e))?;
    }
    let folder = layout.environment(environment);
    sync_folder(&folder).map_err(|e| failed(format!("sync {}", folder.display()), e))
}

/// Where the symlinks of `environment` point.
pub fn links(layout: &Layout, environment: &EnvironmentName) -> Result<Links, RouterError> {
    let read = |link: PathBuf| {
        target(&link).map_err(|e| failed(format!("read the link {}", link.display()), e))
    };
    let live = read(layout.live(environment))?;
    let previous = read(layout.previous(environment))?;
    Ok(Links {
        live: live.map(|target| target.generation),
        previous: previous.map(|target| target.generation),
        share: live.map(|target| target.share).unwrap_or_default(),
    })
}

/// What a link leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Target {
    generation: Generation,
    share: Share,
}

fn point(link: &Path, to: Option<Target>) -> io::Result<()> {
    // What cannot be read is replaced, so a damaged link does not stand in the way for ever.
    if target(link).is_ok_and(|now| now == to) {
        return Ok(());
    }
    let Some(target) = to else {
        return gone(std::fs::remove_file(link));
    };
    let fresh = link.with_extension("new");
    gone(std::fs::remove_file(&fresh))?;
    symlink(relative(target), &fresh)?;
    std::fs::rename(&fresh, link)
}

fn relative(target: Target) -> PathBuf {
    let generation = Path::new("generations").join(target.generation.to_string());
    match target.share {
        Share::All => generation,
        Share::First { members, of } => generation.join(share::folder(members, of)),
    }
}

/// The generation a link names; `None` when there is no link.
fn target(link: &Path) -> io::Result<Option<Target>> {
    let path = match std::fs::read_link(link) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    match read_target(&path) {
        Some(target) if relative(target) == path => Ok(Some(target)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it points at {}, which is no generation", path.display()),
        )),
    }
}

fn read_target(path: &Path) -> Option<Target> {
    let path = path.strip_prefix("generations").ok()?.to_str()?;
    let (number, share) = path.split_once('/').unwrap_or((path, ""));
    let generation = Generation(number.parse().ok()?);
    let share = match share {
        "" => Share::All,
        share => share::parse(share)?,
    };
    Some(Target { generation, share })
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes the names in `folder` durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn failed(detail: String, source: io::Error) -> RouterError {
    RouterError::Io { detail, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        _folder: tempfile::TempDir,
        layout: Layout,
        shop: EnvironmentName,
    }

    fn world() -> World {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path(), "5f3a9c".parse().unwrap());
        let shop: EnvironmentName = "shop".parse().unwrap();
        for number in 1..=3 {
            let pool = PoolId::new(&shop, Generation(number));
            std::fs::create_dir_all(layout.generation(&pool)).unwrap();
        }
        World {
            _folder: folder,
            layout,
            shop,
        }
    }

    fn at(live: u32, previous: u32) -> Links {
        let some = |number| (number > 0).then_some(Generation(number));
        Links {
            live: some(live),
            previous: some(previous),
            share: Share::All,
        }
    }

    #[test]
    fn links_point_where_they_were_told_to() {
        let w = world();
        for (live, previous) in [
            (0, 0),
            (1, 0),
            (2, 1),
            (2, 1),
            (1, 2),
            (3, 0),
            (0, 0),
            (0, 0),
        ] {
            flip(&w.layout, &w.shop, at(live, previous)).unwrap();
            assert_eq!(links(&w.layout, &w.shop).unwrap(), at(live, previous));
        }
    }

    #[test]
    fn a_link_is_relative_so_that_it_holds_at_every_mount_point() {
        let w = world();
        flip(&w.layout, &w.shop, at(2, 1)).unwrap();
        let live = std::fs::read_link(w.layout.live(&w.shop)).unwrap();
        assert_eq!(live, Path::new("generations/2"));
    }

    #[test]
    fn the_generation_that_leaves_live_is_always_offered() {
        let w = world();
        flip(&w.layout, &w.shop, at(1, 0)).unwrap();
        // Stops the flip between its two moves: `live` cannot be replaced where a folder stands.
        std::fs::remove_file(w.layout.live(&w.shop)).unwrap();
        std::fs::create_dir(w.layout.live(&w.shop)).unwrap();
        flip(&w.layout, &w.shop, at(2, 1)).unwrap_err();
        assert_eq!(
            target(&w.layout.previous(&w.shop))
                .unwrap()
                .map(|t| t.generation),
            Some(Generation(1))
        );
    }

    #[test]
    fn a_generation_without_a_folder_is_refused_and_nothing_moves() {
        let w = world();
        flip(&w.layout, &w.shop, at(1, 0)).unwrap();
        let refused = flip(&w.layout, &w.shop, at(9, 1)).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("generation 9 of shop has no folder")
        );
        assert_eq!(links(&w.layout, &w.shop).unwrap(), at(1, 0));
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_reported_and_can_be_replaced() {
        let w = world();
        for elsewhere in [
            "/etc",
            "generations/../../x",
            "generations/x",
            "generations/01",
            "generations/1/share",
            "generations/1/share/1",
            "generations/1/share/01-of-2",
        ] {
            symlink(elsewhere, w.layout.live(&w.shop)).unwrap();
            links(&w.layout, &w.shop).unwrap_err();
            flip(&w.layout, &w.shop, at(1, 0)).unwrap();
            std::fs::remove_file(w.layout.live(&w.shop)).unwrap();
        }
    }

    #[test]
    fn what_a_crash_left_behind_is_no_obstacle() {
        let w = world();
        symlink(
            "generations/9",
            w.layout.live(&w.shop).with_extension("new"),
        )
        .unwrap();
        flip(&w.layout, &w.shop, at(1, 0)).unwrap();
        assert_eq!(links(&w.layout, &w.shop).unwrap(), at(1, 0));
    }
}
