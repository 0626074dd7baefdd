//! Decides about every symlink of a tree: it stays, it is made relative, or it is refused.
//!
//! A link is followed as the kernel would follow it, but through the tree as walked: component by component, through the
//! other links of the tree, `..` counted from where one really is. Where that leads into a shared folder, or to nothing,
//! the rest is counted by the letter.

use super::error::{Reason, Refused};
use super::manifest::Tree;
use super::name::{components, depth, join, path_buf};
use super::request::Rules;

/// The kernel gives up after as many links; nothing behind them can be reached.
const HOPS: usize = 40;

/// Judges every link: sets what the release's link says, or notes a refusal.
pub(crate) fn judge_all(tree: &mut Tree, rules: &Rules, refused: &mut Vec<Refused>) {
    let mut rewritten = Vec::new();
    for (at, folder) in tree.folders.iter().enumerate() {
        for (n, link) in folder.links.iter().enumerate() {
            if is_contained(tree, rules, &folder.path, &link.target) {
                if let Some(Lands::Here(rest)) = absolute(rules, &link.target) {
                    rewritten.push((at, n, relative(&folder.path, &rest)));
                }
            } else {
                let path = path_buf(&join(&folder.path, &link.name));
                refused.push(Refused {
                    path,
                    reason: Reason::LeadsOut(path_buf(&link.target)),
                });
            }
        }
    }
    for (folder, link, target) in rewritten {
        tree.folders[folder].links[link].rewritten = Some(target.into());
    }
}

/// Where an absolute path lies.
enum Lands<'a> {
    /// In the tree; the components below its root.
    Here(Vec<&'a [u8]>),
    /// In a declared root; the components below it.
    Root(Vec<&'a [u8]>),
    Elsewhere,
}

/// Sorts an absolute path; nothing for a relative one.
fn absolute<'a>(rules: &Rules, target: &'a [u8]) -> Option<Lands<'a>> {
    if !target.starts_with(b"/") {
        return None;
    }
    let below = |place: &Vec<u8>| {
        let mut rest = components(target);
        components(place)
            .all(|part| rest.next() == Some(part))
            .then(|| rest.collect::<Vec<_>>())
    };
    let here = rules.here.iter().find_map(below).map(Lands::Here);
    let root = || rules.roots.iter().find_map(below).map(Lands::Root);
    Some(here.or_else(root).unwrap_or(Lands::Elsewhere))
}

/// The way from a folder of the tree to a place given from the tree's root.
fn relative(folder: &[u8], rest: &[&[u8]]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = vec![b".."; depth(folder)];
    parts.extend(rest);
    if parts.is_empty() {
        b".".to_vec()
    } else {
        parts.join(&b'/')
    }
}

/// Whether everything on the way of a link lies in the tree or in a declared root.
fn is_contained(tree: &Tree, rules: &Rules, folder: &[u8], target: &[u8]) -> bool {
    let mut here: Vec<&[u8]> = components(folder).collect();
    // How far below a declared root we are, once we are in one; the tree is not entered again.
    let mut abroad: Option<usize> = None;
    let mut ahead: Vec<&[u8]> = Vec::new();
    let mut hops = 0;
    let mut next = Some(target);
    loop {
        if let Some(target) = next.take() {
            hops += 1;
            if hops > HOPS {
                return true;
            }
            match absolute(rules, target) {
                None => ahead.extend(components(target).rev()),
                Some(Lands::Here(rest)) => {
                    here.clear();
                    ahead.extend(rest.into_iter().rev());
                }
                Some(Lands::Root(rest)) => {
                    abroad = Some(0);
                    ahead.extend(rest.into_iter().rev());
                }
                Some(Lands::Elsewhere) => return false,
            }
        }
        let Some(part) = ahead.pop() else { return true };
        let climbs = part == b"..";
        if let Some(below) = &mut abroad {
            match (climbs, *below) {
                (true, 0) => return false,
                (true, _) => *below -= 1,
                (false, _) => *below += 1,
            }
        } else if climbs {
            if here.pop().is_none() {
                return false;
            }
        } else {
            let folder = here.join(&b'/');
            match tree.folder(&folder).and_then(|f| f.link(part)) {
                Some(link) => next = Some(&link.target),
                None => here.push(part),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;
    use crate::tree::halt::CancelFlag;
    use crate::tree::request::Request;
    use crate::tree::sys::Anchor;
    use crate::tree::walk::Walk;
    use crate::tree::{Refusals, TreeError};

    /// Walks a tree of folders `a/b`, `pub/media` (shared) and the links given; says what becomes of each.
    fn judge(links: &[(&str, &str)]) -> HashMap<String, Result<String, ()>> {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("src");
        std::fs::create_dir_all(source.join("a/b")).unwrap();
        std::fs::create_dir_all(source.join("pub/media/deep")).unwrap();
        let fill = |text: &str| text.replace("SRC", source.to_str().unwrap());
        for (path, target) in links {
            symlink(fill(target), source.join(path)).unwrap();
        }
        let mut request = Request::new(&source, dir.path().join("releases"), "op");
        request.shared = vec!["pub/media".into()];
        request.links = vec!["/srv/assets".into()];
        let rules = Rules::new(&request).unwrap();
        let anchor = Anchor::open(&source).unwrap();
        let cancel = CancelFlag::default();
        let walk = Walk {
            source: &anchor,
            path: &source,
            rules: &rules,
            cancel: &cancel,
        };
        let name = |p: &Path| p.to_str().unwrap().to_owned();
        match walk.run() {
            Ok(tree) => {
                let links = tree
                    .folders
                    .iter()
                    .flat_map(|f| f.links.iter().map(move |l| (f, l)));
                links
                    .map(|(f, l)| {
                        let target = String::from_utf8(l.release_target().to_vec()).unwrap();
                        (name(&path_buf(&join(&f.path, &l.name))), Ok(target))
                    })
                    .collect()
            }
            Err(TreeError::Refused(Refusals { entries, .. })) => {
                entries.iter().map(|r| (name(&r.path), Err(()))).collect()
            }
            Err(other) => panic!("{other}"),
        }
    }

    #[track_caller]
    fn stays(links: &[(&str, &str)], path: &str, target: &str) {
        assert_eq!(judge(links).get(path), Some(&Ok(target.to_owned())));
    }

    #[track_caller]
    fn is_refused(links: &[(&str, &str)], path: &str) {
        assert_eq!(judge(links).get(path), Some(&Err(())));
    }

    #[test]
    fn relative_links_inside_stay_as_they_are() {
        stays(&[("a/b/l", "../../pub")], "a/b/l", "../../pub");
        stays(&[("l", "a/./b//")], "l", "a/./b//");
        stays(&[("dangling", "no/such")], "dangling", "no/such");
    }

    #[test]
    fn absolute_links_inside_become_relative() {
        stays(&[("a/b/l", "SRC/pub/x")], "a/b/l", "../../pub/x");
        stays(&[("l", "SRC//./pub/")], "l", "pub");
        stays(&[("l", "SRC")], "l", ".");
        stays(&[("a/l", "/var/www/html/pub/x")], "a/l", "../pub/x");
    }

    #[test]
    fn absolute_links_elsewhere_are_refused() {
        is_refused(&[("l", "/etc/passwd")], "l");
        is_refused(&[("l", "SRC/../x")], "l");
        is_refused(&[("l", "SRCX/a")], "l");
        is_refused(&[("l", "/")], "l");
    }

    #[test]
    fn links_that_climb_out_are_refused() {
        is_refused(&[("l", "..")], "l");
        is_refused(&[("a/b/l", "../../../src/a")], "a/b/l");
        is_refused(&[("l", "no/such/../../..")], "l");
    }

    #[test]
    fn links_that_climb_out_through_another_link_are_refused() {
        // By the letter a/b/up/.. is a/b; really it is the parent of the tree.
        is_refused(&[("a/b/up", "../.."), ("l", "a/b/up/../x")], "l");
        stays(
            &[("a/b/up", "../.."), ("l", "a/b/up/pub")],
            "l",
            "a/b/up/pub",
        );
        is_refused(&[("a/root", "SRC"), ("l", "a/root/..")], "l");
    }

    #[test]
    fn links_through_a_shared_folder_stay() {
        stays(&[("l", "pub/media/deep/x")], "l", "pub/media/deep/x");
        stays(&[("l", "SRC/pub/media/x")], "l", "pub/media/x");
        is_refused(&[("l", "pub/media/../../../x")], "l");
    }

    #[test]
    fn links_into_declared_roots_stay() {
        stays(&[("l", "/srv/assets/a/../b")], "l", "/srv/assets/a/../b");
        stays(&[("l", "/srv/assets")], "l", "/srv/assets");
        is_refused(&[("l", "/srv/assets/../x")], "l");
        is_refused(&[("l", "/srv/assets2")], "l");
        stays(&[("to", "/srv/assets"), ("l", "to/x")], "l", "to/x");
        is_refused(&[("to", "/srv/assets"), ("l", "to/../x")], "l");
    }

    #[test]
    fn loops_end() {
        stays(&[("x", "y"), ("y", "x")], "x", "y");
        stays(&[("self", "self/self/self")], "self", "self/self/self");
    }
}
