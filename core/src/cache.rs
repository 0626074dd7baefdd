//! Caches in front of and behind an environment, as the domain needs them: which there are, what is cleared of them, and
//! in which order.
//!
//! An outer cache is filled from the inner ones, so inner ones are cleared first: `OPcache`, Redis, Varnish, CDN.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::environment::{Caches, RedisDatabase};
use crate::fault::{Fault, Faulty};
use crate::{Environment, EnvironmentName, Generation, Pool};

/// Most URLs, tags and paths that wait for any cache; beyond it, or beyond what one try can send to it, all of it is
/// cleared.
pub const PARTS_MAX: usize = 1000;
/// Most addresses for Fastly: each is a request.
const FASTLY_URLS_MAX: usize = 100;
/// Most parts for Cloudflare: 10 requests of 30, and 25 at once are allowed in the smallest plan.
/// Source: <https://developers.cloudflare.com/cache/how-to/purge-cache/#availability-and-limits>
const CLOUDFLARE_PARTS_MAX: usize = 300;
/// Most paths with a wildcard for `CloudFront`: so many may be in progress.
/// Source: <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/InvalidationLimits.html>
const CLOUDFRONT_WILDCARDS_MAX: usize = 15;

/// One cache of an environment. The order is the order of clearing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// PHP's compiled scripts, on every live member.
    Opcache,
    /// A database of Redis, by the name that the configuration gives it.
    Redis(String),
    /// The page cache in front of nginx.
    Varnish,
    /// Amazon `CloudFront`.
    CloudFront,
    /// Fastly.
    Fastly,
    /// Cloudflare.
    Cloudflare,
}

/// How far out a cache is: what has the same place is cleared at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Inside PHP.
    Opcache,
    /// Behind PHP.
    Redis,
    /// In front of nginx.
    Varnish,
    /// In front of everything.
    Cdn,
}

impl Target {
    /// How far out it is.
    pub fn place(&self) -> Place {
        match self {
            Self::Opcache => Place::Opcache,
            Self::Redis(_) => Place::Redis,
            Self::Varnish => Place::Varnish,
            Self::CloudFront | Self::Fastly | Self::Cloudflare => Place::Cdn,
        }
    }

    /// Every cache that `caches` configures, `OPcache` first, in the order of clearing.
    pub fn all(caches: &Caches) -> Vec<Self> {
        let mut all = vec![Self::Opcache];
        all.extend(caches.redis.iter().map(|c| Self::Redis(c.name.clone())));
        all.extend(caches.varnish.iter().map(|_| Self::Varnish));
        all.extend(caches.cloudfront.iter().map(|_| Self::CloudFront));
        all.extend(caches.fastly.iter().map(|_| Self::Fastly));
        all.extend(caches.cloudflare.iter().map(|_| Self::Cloudflare));
        all
    }

    /// What is cleared after a change of generation: all but `OPcache`, which each generation has for itself.
    pub fn after_a_switch(caches: &Caches) -> Vec<Self> {
        let mut all = Self::all(caches);
        all.retain(|target| *target != Self::Opcache);
        all
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opcache => f.write_str("opcache"),
            Self::Redis(name) => write!(f, "redis:{name}"),
            Self::Varnish => f.write_str("varnish"),
            Self::CloudFront => f.write_str("cloudfront"),
            Self::Fastly => f.write_str("fastly"),
            Self::Cloudflare => f.write_str("cloudflare"),
        }
    }
}

/// The text names no cache.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a cache")]
pub struct InvalidTarget(pub String);

impl FromStr for Target {
    type Err = InvalidTarget;
    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        Ok(match text {
            "opcache" => Self::Opcache,
            "varnish" => Self::Varnish,
            "cloudfront" => Self::CloudFront,
            "fastly" => Self::Fastly,
            "cloudflare" => Self::Cloudflare,
            _ => match text.strip_prefix("redis:") {
                Some(name) => Self::Redis(name.to_owned()),
                None => return Err(InvalidTarget(text.to_owned())),
            },
        })
    }
}

impl TryFrom<String> for Target {
    type Error = InvalidTarget;
    fn try_from(text: String) -> Result<Self, InvalidTarget> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

/// What of a cache is cleared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All of it.
    All {
        /// The generation that serves from now on, where it changed: what a page of another one left is cleared too, though
        /// it should arrive a moment late.
        generation: Option<Generation>,
    },
    /// Parts of it.
    Parts(Parts),
}

/// Parts of a cache. What a cache does not know (Redis knows none, Varnish no paths) is no part of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Parts {
    /// Whole addresses. Shape: `https://shop.example.test/about`.
    pub urls: BTreeSet<String>,
    /// Tags that the application gives its pages. Shape: `cat_p_42`.
    pub tags: BTreeSet<String>,
    /// Paths, with `*` at the end as the only pattern. Shape: `/media/*`.
    pub paths: BTreeSet<String>,
}

impl Parts {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.urls.len() + self.tags.len() + self.paths.len()
    }

    /// How many paths stand for many.
    pub fn wildcards(&self) -> usize {
        let all = self.paths.iter();
        all.filter(|path| path.ends_with('*')).count()
    }

    /// Whether one try can send them to `target`.
    fn fit(&self, target: &Target) -> bool {
        let fit = match target {
            Target::Fastly => self.urls.len() <= FASTLY_URLS_MAX,
            Target::Cloudflare => self.len() <= CLOUDFLARE_PARTS_MAX,
            Target::CloudFront => self.wildcards() <= CLOUDFRONT_WILDCARDS_MAX,
            Target::Opcache | Target::Redis(_) | Target::Varnish => true,
        };
        fit && self.len() <= PARTS_MAX
    }
}

impl Scope {
    /// All of a cache, whatever generation serves.
    pub const ALL: Self = Self::All { generation: None };

    /// What clears everything that `self` and `later` clear.
    #[must_use]
    pub fn merge(self, later: Self) -> Self {
        match (self, later) {
            (
                Self::All { generation: first },
                Self::All {
                    generation: newer @ Some(_),
                },
            ) if newer != first => Self::All { generation: newer },
            (all @ Self::All { .. }, _) | (_, all @ Self::All { .. }) => all,
            (Self::Parts(mut parts), Self::Parts(more)) => {
                parts.urls.extend(more.urls);
                parts.tags.extend(more.tags);
                parts.paths.extend(more.paths);
                Self::Parts(parts)
            }
        }
    }

    /// The same, or all of `target` where these are more parts than one try can send to it: such a try would fail for ever.
    #[must_use]
    pub fn within(self, target: &Target) -> Self {
        match self {
            Self::Parts(parts) if !parts.fit(target) => Self::ALL,
            scope => scope,
        }
    }
}

/// A cache that waits to be cleared, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingClear {
    /// Whose.
    pub environment: EnvironmentName,
    /// Which.
    pub target: Target,
    /// What of it.
    pub scope: Scope,
    /// The same for every try: a provider that saw it before does nothing twice.
    pub reference: String,
    /// Since when, milliseconds since 1970.
    pub since_ms: u64,
    /// How often it was tried.
    pub tries: u32,
    /// Why the last try failed; empty before the first.
    pub error: String,
    /// What becomes of the caches further out, which may have been filled from this one.
    pub outer: Outer,
}

/// Whether a cache that is clear has the next ones further out cleared after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outer {
    /// Nothing.
    Leave,
    /// Only if its first try failed: then nobody waited for it before they were cleared.
    IfLate,
    /// In any case: nobody else sees to it.
    Always,
}

impl PendingClear {
    /// What is done for both, as one: `later` is a new wish for the same cache.
    #[must_use]
    pub fn merge(self, later: Self) -> Self {
        Self {
            scope: self.scope.merge(later.scope).within(&self.target),
            outer: self.outer.max(later.outer),
            reference: later.reference,
            ..self
        }
    }
}

/// How one cache fared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClearReport {
    /// Which.
    pub target: Target,
    /// Whether it was cleared, or is tried again in the background.
    pub state: ClearState,
    /// How long it took, milliseconds.
    pub ms: u64,
    /// Why not; empty where it was.
    #[serde(default)]
    pub error: String,
    /// The provider's own name for what it does, where it has one. Shape: `I2J0I21PCUYOIK`.
    #[serde(default)]
    pub receipt: Option<String>,
}

/// Whether a cache was cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClearState {
    /// It was.
    Cleared,
    /// It is tried again in the background.
    Pending,
}

impl ClearState {
    /// Its name for people and scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cleared => "cleared",
            Self::Pending => "pending",
        }
    }
}

/// What is to be cleared.
#[derive(Debug, Clone, Copy)]
pub struct Clear<'a> {
    /// Whose.
    pub environment: &'a Environment,
    /// Its live pool.
    pub live: Option<&'a Pool>,
    /// Which cache.
    pub target: &'a Target,
    /// What of it.
    pub scope: &'a Scope,
    /// The same for every try.
    pub reference: &'a str,
    /// What is never cleared, of whatever environment.
    pub sessions: &'a [SessionStore],
}

/// A database that holds the sessions of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionStore {
    /// Whose sessions.
    pub environment: EnvironmentName,
    /// Where they are.
    pub database: RedisDatabase,
}

/// What a cache answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cleared {
    /// The provider's own name for what it does, where it has one.
    pub receipt: Option<String>,
}

/// Speaks to caches.
#[async_trait]
pub trait Cleaner: Send + Sync {
    /// Clears a cache. Twice is the same as once. A cache that is not configured is clear.
    async fn clear(&self, clear: Clear<'_>) -> Result<Cleared, ClearError>;

    /// Whether the provider has done what it gave `receipt` for. Providers that give none have always done it.
    async fn is_done(
        &self,
        environment: &Environment,
        target: &Target,
        receipt: &str,
    ) -> Result<bool, ClearError>;
}

/// Why a cache is not clear.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClearError {
    /// It does not answer, or failed in a way that may pass.
    #[error("{detail}")]
    Unavailable {
        /// What was tried and what came back.
        detail: String,
    },
    /// It wants to be asked later.
    #[error("{detail}")]
    Throttled {
        /// What it said.
        detail: String,
        /// How long it wants to be left alone, if it said.
        after: Option<Duration>,
    },
    /// It refuses: somebody must change something.
    #[error("{detail}")]
    Refused {
        /// What it said and what to do.
        detail: String,
    },
}

impl Faulty for ClearError {
    fn fault(&self) -> Fault {
        match self {
            Self::Unavailable { .. } | Self::Throttled { .. } => Fault::Transient,
            Self::Refused { .. } => Fault::Permanent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(names: impl IntoIterator<Item = usize>) -> Scope {
        Scope::Parts(Parts {
            tags: names.into_iter().map(|n| n.to_string()).collect(),
            ..Parts::default()
        })
    }

    #[test]
    fn targets_are_ordered_from_the_inside_out() {
        let caches = serde_json::from_value(serde_json::json!({
            "redis": [{"name": "fpc", "url": {"value": "redis://r", "secret": false}}],
            "varnish": {"url": {"value": "http://v", "secret": false}, "tags_header": "X"},
            "fastly": {"service": "s", "token": {"value": "t", "secret": true}, "endpoint": null},
        }))
        .expect("a description of caches");
        let all = Target::all(&caches);
        let names: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["opcache", "redis:fpc", "varnish", "fastly"]);
        assert!(all.is_sorted_by_key(Target::place));
        assert_eq!(Target::after_a_switch(&caches), all[1..]);
    }

    #[test]
    fn the_name_of_a_target_is_read_back() {
        for name in [
            "opcache",
            "redis:fpc",
            "varnish",
            "cloudfront",
            "fastly",
            "cloudflare",
        ] {
            assert_eq!(name.parse::<Target>().expect("it is one").to_string(), name);
        }
        assert!("memcached".parse::<Target>().is_err());
    }

    #[test]
    fn all_of_a_cache_swallows_its_parts_and_the_newest_generation_wins() {
        let of = |number| Scope::All {
            generation: Some(Generation(number)),
        };
        assert_eq!(tags([1]).merge(Scope::ALL), Scope::ALL);
        assert_eq!(of(1).merge(tags([1])), of(1));
        assert_eq!(of(1).merge(of(2)), of(2));
        assert_eq!(of(2).merge(of(1)), of(1), "a rollback goes to an older one");
        assert_eq!(of(1).merge(Scope::ALL), of(1));
        assert_eq!(Scope::ALL.merge(of(1)), of(1));
    }

    #[test]
    fn parts_are_joined_and_more_than_one_try_can_send_are_all() {
        assert_eq!(tags([1, 2]).merge(tags([2, 3])), tags([1, 2, 3]));
        let texts = |count: usize, end: &str| {
            let texts = (0..count).map(|n| format!("/{n}{end}"));
            texts.collect::<BTreeSet<_>>()
        };
        let urls = |count| Parts {
            urls: texts(count, ""),
            ..Parts::default()
        };
        let wildcards = |count| Parts {
            urls: texts(500, ""),
            paths: texts(count, "/*"),
            ..Parts::default()
        };
        let tags = |count| Parts {
            tags: texts(count, ""),
            ..Parts::default()
        };
        let (fastly, cloudflare) = (Target::Fastly, Target::Cloudflare);
        for (target, most, one_more) in [
            (Target::Varnish, urls(PARTS_MAX), urls(PARTS_MAX + 1)),
            (fastly.clone(), urls(100), urls(101)),
            (fastly, tags(PARTS_MAX), tags(PARTS_MAX + 1)),
            (cloudflare, tags(300), tags(301)),
            (Target::CloudFront, wildcards(15), wildcards(16)),
        ] {
            let most = Scope::Parts(most);
            assert_eq!(most.clone().within(&target), most, "{target}");
            assert_eq!(Scope::Parts(one_more).within(&target), Scope::ALL);
        }
    }
}
