//! The caches in front of and behind an environment, which are cleared after a change of generation.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Setting;

/// What is cleared, inner before outer: `OPcache` (always there), Redis, Varnish, CDN.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Caches {
    /// Databases of Redis that hold a cache and nothing else.
    pub redis: Vec<RedisCache>,
    /// The page cache in front of nginx.
    pub varnish: Option<Varnish>,
    /// Amazon `CloudFront`.
    pub cloudfront: Option<CloudFront>,
    /// Fastly.
    pub fastly: Option<Fastly>,
    /// Cloudflare.
    pub cloudflare: Option<Cloudflare>,
}

impl Caches {
    /// Whether there is nothing to clear but `OPcache`.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One database of a Redis server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisCache {
    /// For people. Shape: `fpc`.
    pub name: String,
    /// Shape: `redis://[user:password@]host[:port][/database]`, `rediss://` for TLS.
    pub url: Setting,
    /// Certificates of the authority that its certificate is checked against, in PEM; none: those of this host.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

/// The Varnish in front of nginx.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Varnish {
    /// Where PURGE requests go. Shape: `http://varnish:80`.
    pub url: Setting,
    /// Request header that names the pattern of tags to purge.
    pub tags_header: String,
}

/// A distribution of Amazon `CloudFront`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudFront {
    /// Its id. Shape: `E123`.
    pub distribution: String,
    /// Access key id.
    pub key_id: Setting,
    /// Secret access key.
    pub secret: Setting,
    /// Where its API is, if not at Amazon: for tests. Shape: `http://127.0.0.1:1234`.
    pub endpoint: Option<String>,
}

/// A service of Fastly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fastly {
    /// Its id.
    pub service: String,
    /// API token with the scope `purge_all` or `purge_select`.
    pub token: Setting,
    /// Where its API is, if not at Fastly: for tests.
    pub endpoint: Option<String>,
}

/// A zone of Cloudflare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cloudflare {
    /// Its id.
    pub zone: String,
    /// API token that may purge.
    pub token: Setting,
    /// Where its API is, if not at Cloudflare: for tests.
    pub endpoint: Option<String>,
}

/// How long one cache may take to be cleared before it counts as failed.
pub const CLEAR_WITHIN: Duration = Duration::from_secs(10);
