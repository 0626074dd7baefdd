//! The service `Caches`.

use std::time::Duration;

use stratus_core::Environment;
use stratus_core::cache::{Parts, Scope, Target};
use stratus_proto::v1 as proto;
use stratus_proto::v1::caches_server::Caches;
use tonic::{Request, Response, Status};

use crate::grpc::convert::to_cache;
use crate::grpc::{Api, actor, status};

/// How long a caller waits for caches; what is not clear then goes on in the background.
const LIMIT: Duration = Duration::from_secs(45);
/// Longest part, in bytes, and most of them in one request.
const PART_MAX: usize = 2000;
const PARTS_MAX: usize = 1000;

#[tonic::async_trait]
impl Caches for Api {
    async fn clear(
        &self,
        request: Request<proto::ClearRequest>,
    ) -> Result<Response<proto::ClearReply>, Status> {
        let actor = actor(&request);
        let request = request.into_inner();
        let environment = self.environment(&request.environment).await?;
        let targets = targets(&environment, request.kind())?;
        let scope = scope(&request)?;
        for target in &targets {
            check(target, &scope)?;
        }
        tracing::info!(environment = %environment.name, kind = request.kind().as_str_name(), %actor, "clear");
        let clearing = &self.control.machine.caches;
        let reports = clearing.clear(&environment, targets, &scope, LIMIT).await;
        let reports = reports.map_err(|e| status::store(&e))?;
        Ok(Response::new(proto::ClearReply {
            environment: environment.name.to_string(),
            caches: reports.iter().map(to_cache).collect(),
        }))
    }

    async fn invalidation(
        &self,
        request: Request<proto::InvalidationRequest>,
    ) -> Result<Response<proto::InvalidationReply>, Status> {
        let request = request.into_inner();
        let environment = self.environment(&request.environment).await?;
        let clearing = &self.control.machine.caches;
        let done = clearing
            .is_done(&environment, &Target::CloudFront, &request.receipt)
            .await
            .map_err(|e| status::faulty(&e))?;
        Ok(Response::new(proto::InvalidationReply { done }))
    }
}

/// What of the environment's caches is meant.
fn targets(environment: &Environment, kind: proto::CacheKind) -> Result<Vec<Target>, Status> {
    let mut targets = Target::all(&environment.caches);
    let is_meant: fn(&Target) -> bool = match kind {
        proto::CacheKind::Unspecified => {
            return Err(Status::invalid_argument("no cache was named"));
        }
        proto::CacheKind::All => |_| true,
        proto::CacheKind::Opcache => |target| *target == Target::Opcache,
        proto::CacheKind::Redis => |target| matches!(target, Target::Redis(_)),
        proto::CacheKind::Varnish => |target| *target == Target::Varnish,
        proto::CacheKind::Cloudfront => |target| *target == Target::CloudFront,
        proto::CacheKind::Cdn => |target| {
            matches!(
                target,
                Target::CloudFront | Target::Fastly | Target::Cloudflare
            )
        },
    };
    targets.retain(is_meant);
    Ok(targets)
}

fn scope(request: &proto::ClearRequest) -> Result<Scope, Status> {
    let parts = Parts {
        urls: request.urls.iter().cloned().collect(),
        tags: request.tags.iter().cloned().collect(),
        paths: request.paths.iter().cloned().collect(),
    };
    if parts.is_empty() {
        return Ok(Scope::ALL);
    }
    let all = parts.urls.iter().chain(&parts.tags).chain(&parts.paths);
    if all.clone().count() > PARTS_MAX {
        return Err(Status::invalid_argument(format!(
            "these are more than {PARTS_MAX} parts; clear all of the cache"
        )));
    }
    let plain = |text: &str| {
        (1..=PART_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
    };
    let refuse =
        |text: &str, advice: &str| Err(Status::invalid_argument(format!("{text:?} {advice}")));
    for url in &parts.urls {
        let address = url::Url::parse(url).ok().filter(url::Url::has_host);
        let is_web = address.is_some_and(|u| matches!(u.scheme(), "http" | "https"));
        if !plain(url) || !is_web {
            return refuse(
                url,
                "is no address of a page; write it as https://shop.example.test/about",
            );
        }
    }
    for tag in &parts.tags {
        if !plain(tag) || tag.contains(',') {
            return refuse(tag, "is no tag; write one without spaces and commas");
        }
    }
    for path in &parts.paths {
        let star = path.find('*').is_none_or(|at| at == path.len() - 1);
        if !plain(path) || !path.starts_with('/') || !star {
            return refuse(
                path,
                "is no path; begin it with /, and write * at its end only",
            );
        }
    }
    Ok(Scope::Parts(parts))
}

/// Refuses parts that a cache does not know: it would stay as it is, and nobody would know.
fn check(target: &Target, scope: &Scope) -> Result<(), Status> {
    let Scope::Parts(parts) = scope else {
        return Ok(());
    };
    let (urls, tags, paths) = match target {
        Target::Opcache | Target::Redis(_) => (false, false, false),
        Target::Varnish | Target::Fastly | Target::Cloudflare => (true, true, false),
        Target::CloudFront => (true, false, true),
    };
    for (known, is_empty, what) in [
        (urls, parts.urls.is_empty(), "addresses"),
        (tags, parts.tags.is_empty(), "tags"),
        (paths, parts.paths.is_empty(), "paths"),
    ] {
        if !known && !is_empty {
            return Err(Status::invalid_argument(format!(
                "{target} cannot clear {what}; clear all of it"
            )));
        }
    }
    Ok(())
}
