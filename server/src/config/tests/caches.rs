//! `caches`, `sessions` and `server.network`.

use stratus_core::cache::Target;
use stratus_core::environment::Sessions;

use super::*;

const ALL: &str = "caches:
  redis:
  - {name: fpc, url: 'redis://redis:6379'}
  - {name: config, url: 'rediss://app:${DB_PASSWORD}@redis-config-cache:6381/2', ca: /etc/stratus/ca.pem}
  varnish: {url: 'http://varnish:80'}
  cloudfront: {distribution: E123, key_id: AKIA, secret: '${DB_PASSWORD}'}
  fastly: {service: SU1Z0isxPaozGVKXdv0eY, token: '${DB_PASSWORD}'}
  cloudflare: {zone: 023e105f4ecef8ad9ca31a8372d0c353, token: '${DB_PASSWORD}', endpoint: 'http://127.0.0.1:1234'}
sessions: {redis: 'redis://redis-session:6380'}";

#[test]
fn every_kind_of_cache_is_read_and_its_secrets_are_not_shown() {
    let config = accepted(&site(ALL));
    let shop = &config.environments[0];
    let names: Vec<String> = Target::all(&shop.caches)
        .iter()
        .map(ToString::to_string)
        .collect();
    let expected = "opcache redis:fpc redis:config varnish cloudfront fastly cloudflare";
    assert_eq!(names.join(" "), expected);
    assert!(matches!(&shop.sessions, Sessions::Redis(url) if url.expose().ends_with(":6380")));
    let tls = &shop.caches.redis[1];
    assert_eq!(
        tls.url.expose(),
        "rediss://app:hunter2@redis-config-cache:6381/2"
    );
    assert_eq!(tls.ca.as_deref(), Some(Path::new("/etc/stratus/ca.pem")));
    let varnish = shop.caches.varnish.as_ref().unwrap();
    assert_eq!(varnish.tags_header, "X-Magento-Tags-Pattern");
    let shown = format!("{}{config:?}", crate::config::render(shop));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn the_database_of_the_sessions_cannot_be_a_cache() {
    refused(
        &site(
            "caches:\n  redis: [{name: fpc, url: 'redis://Redis'}]\nsessions: {redis: 'redis://:x@redis:6379/0'}",
        ),
        &[
            "8:32: environments.shop.caches.redis[0].url: is the database that holds the sessions, which are never cleared; give the cache another database or server",
        ],
    );
    accepted(&site(
        "caches:\n  redis: [{name: fpc, url: 'redis://redis/1'}]\nsessions: {redis: 'redis://redis'}",
    ));
}

/// Two environments, `shop` with `first` and `blog` with `second`.
fn two(first: &str, second: &str) -> String {
    let blog = site(second).replace("environments:\n  shop:", "  blog:");
    format!("{}{}", site(first), blog.replace("shop.", "blog."))
}

#[test]
fn the_sessions_of_another_environment_cannot_be_a_cache_in_whatever_order_they_stand() {
    let sessions = "sessions: {redis: 'redis://redis/1'}";
    let cache = "caches:\n  redis: [{name: fpc, url: 'redis://REDIS:6379/1'}]";
    let said = |line, environment, holder| {
        format!(
            "{line}:32: environments.{environment}.caches.redis[0].url: is the database that holds the sessions of {holder}, which are never cleared; give the cache another database or server"
        )
    };
    refused(&two(sessions, cache), &[&said(14, "blog", "shop")]);
    refused(&two(cache, sessions), &[&said(8, "shop", "blog")]);
    let elsewhere = cache.replace("6379/1", "6379/2");
    accepted(&two(sessions, &elsewhere));
}

#[test]
fn sessions_that_php_ini_puts_into_redis_cannot_be_a_cache_either() {
    let with = |ini: &str| {
        let more = "caches:\n  redis: [{name: fpc, url: 'redis://redis:6379'}]";
        let ini = format!("stratus/php-fpm, ini: {{session.save_handler: redis, {ini}}}");
        site(more).replace("stratus/php-fpm", &ini)
    };
    let said = "8:32: environments.shop.caches.redis[0].url: is the database that holds the sessions, which are never cleared; give the cache another database or server";
    for path in [
        "tcp://redis:6379",
        "redis",
        "tcp://other:6379?database=1, tls://Redis?weight=2&database=0",
    ] {
        let ini = format!("session.save_path: '{path}'");
        refused(&with(&ini), &[said]);
    }
    accepted(&with("session.save_path: 'tcp://redis:6379?database=1'"));
}

#[test]
fn one_database_or_one_name_cannot_stand_twice() {
    refused(
        &site(
            "caches:\n  redis: [{name: a, url: 'redis://r'}, {name: b, url: 'redis://r:6379/0'}]",
        ),
        &[
            "8:44: environments.shop.caches.redis[1]: `b` is a database that stands here already; remove one",
        ],
    );
    refused(
        &site("caches:\n  redis: [{name: a, url: 'redis://r'}, {name: a, url: 'redis://s'}]"),
        &["8:44: environments.shop.caches.redis[1]: `a` stands here twice; rename one"],
    );
}

#[test]
fn what_is_no_address_of_a_cache_is_refused() {
    for (key, value, message) in [
        (
            "redis",
            "[{name: a, url: 'http://r'}]",
            "8:30: environments.shop.caches.redis[0].url: is not the URL of a Redis database; write it as redis://redis:6379/0, or rediss:// for TLS",
        ),
        (
            "varnish",
            "{url: 'varnish:80'}",
            "8:22: environments.shop.caches.varnish.url: is not the address of a web server; write it as http://varnish:80",
        ),
        (
            "cloudfront",
            "{distribution: ../E, key_id: a, secret: b}",
            "8:34: environments.shop.caches.cloudfront.distribution: `../E` is not an id; copy it from the provider's console",
        ),
        (
            "fastly",
            "{service: a}",
            "8:15: environments.shop.caches.fastly: `token` is missing; add `token: ${FASTLY_TOKEN}`",
        ),
    ] {
        refused(&site(&format!("caches:\n  {key}: {value}")), &[message]);
    }
}

#[test]
fn the_varnish_beside_nginx_knows_one_header_for_tags() {
    let with = |varnish: bool, header: &str| {
        let more = format!(
            "caches:\n  varnish: {{url: 'http://varnish:80', tags_header: {header}}}\nsessions: files"
        );
        format!("nginx: {{varnish: {varnish}}}\n{}", site(&more))
    };
    refused(
        &with(true, "X-Cache-Tags"),
        &[
            "9:56: environments.shop.caches.varnish.tags_header: is not what the Varnish beside nginx (nginx.varnish) takes a pattern from; remove it, which makes it X-Magento-Tags-Pattern",
        ],
    );
    accepted(&with(true, "x-magento-tags-pattern"));
    accepted(&with(false, "X-Cache-Tags"));
}

#[test]
fn the_members_network_has_names_for_containers() {
    let with = |network: &str| {
        let place = Place::new();
        let text = format!("server: {{network: {network}}}\n{}", site(""));
        place.load(&text).map(|config| config.server.network)
    };
    assert_eq!(with("stratus").unwrap().as_deref(), Some("stratus"));
    for wrong in ["host", "none", "bridge", "container:x", "../x"] {
        assert!(with(wrong).is_err(), "{wrong}");
    }
}
