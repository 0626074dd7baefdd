//! What nginx should serve, as a value, and the order in which a change of it must be made.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::environment::{Environment, Maintenance};
use crate::tenant::TenantRules;
use crate::{EnvironmentName, Generation};

/// One environment as nginx serves it. Which generation is live is not in it: that is the `live` symlink's business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Whose site it is.
    pub environment: EnvironmentName,
    /// Server names.
    pub hosts: Vec<String>,
    /// Members in the upstream; none before the first switch, and the site answers 503.
    pub members: u16,
    /// The working tree, for the shared folders.
    pub code: PathBuf,
    /// Served folder, relative to the tree.
    pub docroot: PathBuf,
    /// Front controller, relative to the docroot.
    pub front: String,
    /// Where members see the release.
    pub mount: PathBuf,
    /// Shared folders, relative to the tree.
    pub shared: Vec<PathBuf>,
    /// Never served, relative to the docroot.
    pub deny: Vec<PathBuf>,
    /// Largest request body, in bytes.
    pub upload_limit: u64,
    /// What visitors get while it is closed.
    #[serde(default)]
    pub maintenance: Maintenance,
    /// Path of the readiness check where it is not the front controller: it is answered while the site is closed.
    #[serde(default)]
    pub health: Option<String>,
    /// What may keep its pages, where the host has it.
    #[serde(default)]
    pub page_cache: PageCache,
}

/// What may keep the pages of a site, beside nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageCache {
    /// Nothing.
    #[default]
    Absent,
    /// Varnish.
    Varnish,
}

impl Site {
    /// The site of `environment` with `members` in its upstream.
    pub fn of(environment: &Environment, members: u16) -> Self {
        Self {
            environment: environment.name.clone(),
            hosts: environment.hosts.clone(),
            members,
            code: environment.code.clone(),
            docroot: environment.docroot.clone(),
            front: environment.front.clone(),
            mount: environment.php.mount.clone(),
            shared: environment.shared.clone(),
            deny: environment.deny.clone(),
            upload_limit: environment.upload_limit,
            maintenance: environment.maintenance.clone(),
            health: health(environment),
            page_cache: match environment.caches.varnish {
                Some(_) => PageCache::Varnish,
                None => PageCache::Absent,
            },
        }
    }
}

fn health(environment: &Environment) -> Option<String> {
    let path = environment.ready.path.split('?').next().unwrap_or_default();
    let is_front = path.strip_prefix('/') == Some(environment.front.as_str());
    (!is_front).then(|| path.to_owned())
}

/// Why a site is closed to visitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Closed {
    /// The operator says so.
    Maintenance,
    /// A consistent deploy holds requests for longer than it may.
    Overdue,
}

/// All sites, in the order of the configuration: the first also answers for unknown host names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RouteTable {
    /// The sites.
    pub sites: Vec<Site>,
    /// What the owners of the working trees add to their sites, as it was last accepted. Absent where it is nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tenants: BTreeMap<EnvironmentName, TenantRules>,
}

impl RouteTable {
    /// Puts `site` in the place of its environment's, or at the end.
    pub fn put(&mut self, site: Site) {
        match self
            .sites
            .iter_mut()
            .find(|s| s.environment == site.environment)
        {
            Some(place) => *place = site,
            None => self.sites.push(site),
        }
    }

    /// Puts `rules` in the place of those of `environment`.
    pub fn put_rules(&mut self, environment: &EnvironmentName, rules: TenantRules) {
        if rules.files.is_empty() {
            self.tenants.remove(environment);
        } else {
            self.tenants.insert(environment.clone(), rules);
        }
    }

    /// The rules of `environment`; empty ones where there are none.
    pub fn rules(&self, environment: &EnvironmentName) -> TenantRules {
        self.tenants.get(environment).cloned().unwrap_or_default()
    }

    /// The site of `environment`.
    pub fn site(&self, environment: &EnvironmentName) -> Option<&Site> {
        self.sites.iter().find(|s| &s.environment == environment)
    }
}

/// Where the two symlinks of an environment point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Links {
    /// The generation that serves.
    pub live: Option<Generation>,
    /// The generation whose static files are still offered.
    pub previous: Option<Generation>,
    /// How much of the traffic the generation that serves has.
    #[serde(default)]
    pub share: Share,
}

/// How much of the traffic a generation has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// All of it.
    #[default]
    All,
    /// That of its first members: the previous generation's others have the rest.
    First {
        /// How many members, at least one.
        members: u16,
        /// How many members are listed in all.
        of: u16,
    },
}

/// One move of a change of route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Point the symlinks at the new generation.
    Flip,
    /// Make nginx serve the new table.
    Load,
    /// Wait until no worker of an older nginx configuration is left.
    Settle,
}

/// The order of moves from a pool of `from` members to one of `to`: at no time may nginx list a socket that the live
/// generation does not have.
///
/// Growing flips first: the shorter list is valid in both. Shrinking loads first, and waits for the old workers, which
/// still hold the longer list, before the flip.
pub fn moves(from: u16, to: u16) -> &'static [Move] {
    if to < from {
        &[Move::Load, Move::Settle, Move::Flip]
    } else {
        &[Move::Flip, Move::Load]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shrinking_pool_is_flipped_to_only_after_the_old_workers_are_gone() {
        assert_eq!(moves(3, 2), [Move::Load, Move::Settle, Move::Flip]);
    }

    #[test]
    fn a_growing_pool_and_the_first_one_are_flipped_to_at_once() {
        assert_eq!(moves(2, 3), [Move::Flip, Move::Load]);
        assert_eq!(moves(0, 1), [Move::Flip, Move::Load]);
        assert_eq!(moves(2, 2), [Move::Flip, Move::Load]);
    }
}
