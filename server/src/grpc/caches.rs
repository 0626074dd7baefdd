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

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn request(urls: &[&str], tags: &[&str], paths: &[&str]) -> proto::ClearRequest {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
        proto::ClearRequest {
            urls: texts(urls),
            tags: texts(tags),
            paths: texts(paths),
            ..proto::ClearRequest::default()
        }
    }

    #[test]
    fn nothing_named_is_all_and_what_is_named_is_that() {
        assert_eq!(scope(&request(&[], &[], &[])).unwrap(), Scope::ALL);
        let named = scope(&request(
            &["https://a.test/x?y=1"],
            &["p1", "p1"],
            &["/m/*"],
        ));
        let Scope::Parts(parts) = named.unwrap() else {
            panic!("parts were named");
        };
        assert_eq!((parts.urls.len(), parts.tags.len()), (1, 1));
        assert!(parts.paths.contains("/m/*"));
    }

    #[test]
    fn what_is_no_part_is_refused_with_what_one_looks_like() {
        let long = format!("/{}", "x".repeat(PART_MAX));
        for (wrong, advice) in [
            (
                request(&["about"], &[], &[]),
                "https://shop.example.test/about",
            ),
            (request(&["file:///etc"], &[], &[]), "is no address"),
            (request(&["http://a.test/ b"], &[], &[]), "is no address"),
            (request(&["http://a.test/ä"], &[], &[]), "is no address"),
            (request(&[], &["a,b"], &[]), "without spaces and commas"),
            (request(&[], &["a b"], &[]), "is no tag"),
            (request(&[], &["a\r\nX: y"], &[]), "is no tag"),
            (request(&[], &[""], &[]), "is no tag"),
            (request(&[], &[], &["media"]), "begin it with /"),
            (request(&[], &[], &["/a*b"]), "at its end only"),
            (request(&[], &[], &["/*/x*"]), "at its end only"),
            (request(&[], &[], &[&long]), "is no path"),
        ] {
            let refused = scope(&wrong).unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{wrong:?}");
            assert!(refused.message().contains(advice), "{refused:?}");
        }
        let many: Vec<String> = (0..=PARTS_MAX).map(|n| format!("t{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let refused = scope(&request(&[], &many, &[])).unwrap_err();
        assert!(refused.message().contains("1000"), "{refused:?}");
        assert!(scope(&request(&[], &many[1..], &[])).is_ok());
    }

    #[test]
    fn a_cache_is_asked_for_what_it_knows_and_for_nothing_else() {
        let of = |request: proto::ClearRequest| scope(&request).unwrap();
        let url = of(request(&["http://a.test/"], &[], &[]));
        let tag = of(request(&[], &["p1"], &[]));
        let path = of(request(&[], &[], &["/x"]));
        let redis = Target::Redis("fpc".to_owned());
        for (target, knows) in [
            (Target::Opcache, [false, false, false]),
            (redis, [false, false, false]),
            (Target::Varnish, [true, true, false]),
            (Target::CloudFront, [true, false, true]),
            (Target::Fastly, [true, true, false]),
            (Target::Cloudflare, [true, true, false]),
        ] {
            let known = [&url, &tag, &path].map(|scope| check(&target, scope).is_ok());
            assert_eq!(known, knows, "{target}");
            assert!(check(&target, &Scope::ALL).is_ok(), "{target}");
        }
        let refused = check(&Target::Varnish, &path).unwrap_err();
        assert_eq!(
            refused.message(),
            "varnish cannot clear paths; clear all of it"
        );
    }
}
