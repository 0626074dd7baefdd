//! `caches` and `sessions` as configuration.

use std::path::PathBuf;

use serde::Serialize;
use stratus_core::environment::{self, Sessions as Kept};

use super::value;

#[derive(Serialize)]
pub(super) struct Caches<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    redis: Vec<Redis<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    varnish: Option<Varnish<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloudfront: Option<CloudFront<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fastly: Option<Fastly<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloudflare: Option<Cloudflare<'a>>,
}

#[derive(Serialize)]
struct Redis<'a> {
    name: &'a str,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<&'a PathBuf>,
}

#[derive(Serialize)]
struct Varnish<'a> {
    url: String,
    tags_header: &'a str,
}

#[derive(Serialize)]
struct CloudFront<'a> {
    distribution: &'a str,
    key_id: String,
    secret: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
}

#[derive(Serialize)]
struct Fastly<'a> {
    service: &'a str,
    token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
}

#[derive(Serialize)]
struct Cloudflare<'a> {
    zone: &'a str,
    token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
}

/// The caches, if there are any.
pub(super) fn caches(caches: &environment::Caches) -> Option<Caches<'_>> {
    let rendered = Caches {
        redis: caches
            .redis
            .iter()
            .map(|c| Redis {
                name: &c.name,
                url: value(&c.url),
                ca: c.ca.as_ref(),
            })
            .collect(),
        varnish: caches.varnish.as_ref().map(|c| Varnish {
            url: value(&c.url),
            tags_header: &c.tags_header,
        }),
        cloudfront: caches.cloudfront.as_ref().map(|c| CloudFront {
            distribution: &c.distribution,
            key_id: value(&c.key_id),
            secret: value(&c.secret),
            endpoint: c.endpoint.as_deref(),
        }),
        fastly: caches.fastly.as_ref().map(|c| Fastly {
            service: &c.service,
            token: value(&c.token),
            endpoint: c.endpoint.as_deref(),
        }),
        cloudflare: caches.cloudflare.as_ref().map(|c| Cloudflare {
            zone: &c.zone,
            token: value(&c.token),
            endpoint: c.endpoint.as_deref(),
        }),
    };
    (!caches.is_empty()).then_some(rendered)
}

#[derive(Serialize)]
pub(super) struct Sessions {
    redis: String,
}

/// Where sessions are kept, if not in files.
pub(super) fn sessions(sessions: &Kept) -> Option<Sessions> {
    match sessions {
        Kept::Files => None,
        Kept::Redis(url) => Some(Sessions { redis: value(url) }),
    }
}
