//! The caches of environments as the domain's `Cleaner`: one client a file. Each knows how to ask, none when.

mod cloudflare;
mod cloudfront;
mod fastly;
mod http;
mod names;
mod opcache;
mod redis;
mod sigv4;
mod varnish;

use std::sync::Arc;

use async_trait::async_trait;
use stratus_core::Environment;
use stratus_core::cache::{Cleaner, Clear, ClearError, Cleared, Target};

use self::http::Http;
pub use self::names::{HostNames, Names};
use crate::layout::Layout;

/// Speaks to every kind of cache.
pub struct CacheClients {
    layout: Layout,
    names: Arc<dyn Names>,
    http: Http,
}

impl CacheClients {
    /// Clients for the environments under `layout`, which find Redis and Varnish by `names`.
    pub fn new(layout: Layout, names: Arc<dyn Names>) -> Self {
        Self {
            layout,
            names,
            http: Http::new(),
        }
    }
}

#[async_trait]
impl Cleaner for CacheClients {
    async fn clear(&self, clear: Clear<'_>) -> Result<Cleared, ClearError> {
        let (caches, scope) = (&clear.environment.caches, clear.scope);
        let names = self.names.as_ref();
        match clear.target {
            Target::Opcache => {
                if let Some(live) = clear.live {
                    opcache::reset(&self.layout, live).await?;
                }
            }
            Target::Redis(name) => {
                if let Some(cache) = caches.redis.iter().find(|c| &c.name == name) {
                    redis::flush(names, cache, &clear).await?;
                }
            }
            Target::Varnish => {
                if let Some(varnish) = &caches.varnish {
                    varnish::purge(names, &clear.environment.name, varnish, scope).await?;
                }
            }
            Target::CloudFront => {
                if let Some(cloudfront) = &caches.cloudfront {
                    let reference = clear.reference;
                    return cloudfront::invalidate(&self.http, cloudfront, scope, reference).await;
                }
            }
            Target::Fastly => {
                if let Some(fastly) = &caches.fastly {
                    fastly::purge(&self.http, fastly, scope).await?;
                }
            }
            Target::Cloudflare => {
                if let Some(cloudflare) = &caches.cloudflare {
                    cloudflare::purge(&self.http, cloudflare, scope).await?;
                }
            }
        }
        Ok(Cleared::default())
    }

    async fn is_done(
        &self,
        environment: &Environment,
        target: &Target,
        receipt: &str,
    ) -> Result<bool, ClearError> {
        match (target, &environment.caches.cloudfront) {
            (Target::CloudFront, Some(cloudfront)) => {
                cloudfront::is_done(&self.http, cloudfront, receipt).await
            }
            _ => Ok(true),
        }
    }
}
