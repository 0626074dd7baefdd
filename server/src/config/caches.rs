//! The keys `caches` and `sessions`: what is cleared, and what never is.

use std::collections::BTreeMap;

use stratus_core::EnvironmentName;
use stratus_core::environment::caches::{CloudFront, Cloudflare, Fastly, RedisCache, Varnish};
use stratus_core::environment::{Caches, RedisDatabase, Sessions, Setting, session_databases};
use url::Url;

use super::section::{Section, Value, shown};
use super::{Variables, name, path};

/// The keys of `caches`.
const KEYS: &[&str] = &["redis", "varnish", "cloudfront", "fastly", "cloudflare"];

/// The keys of `caches.varnish`.
const VARNISH_KEYS: &[&str] = &["url", "tags_header"];
/// The header that `compose/varnish/default.vcl` takes a pattern of tags from.
const TAGS_HEADER: &str = "X-Magento-Tags-Pattern";

/// The databases of Redis that all environments name: one that holds sessions, of whichever, is no cache of any.
#[derive(Default)]
pub(super) struct Databases<'a> {
    caches: Vec<(EnvironmentName, Value<'a>, RedisDatabase)>,
    sessions: Vec<(EnvironmentName, RedisDatabase)>,
}

impl Databases<'_> {
    /// Notes where an environment keeps its sessions.
    pub(super) fn keep(
        &mut self,
        name: &EnvironmentName,
        sessions: &Sessions,
        ini: &BTreeMap<String, String>,
    ) {
        let found = session_databases(sessions, ini).into_iter();
        self.sessions
            .extend(found.map(|found| (name.clone(), found)));
    }

    /// Reports every cache that holds sessions.
    pub(super) fn check(&self) {
        for (name, place, cache) in &self.caches {
            let mut holders = self.sessions.iter().filter(|(_, kept)| kept == cache);
            let Some((holder, _)) = holders.next() else {
                continue;
            };
            let whose = if holder == name {
                String::new()
            } else {
                format!(" of {holder}")
            };
            place.fault(format!(
                "is the database that holds the sessions{whose}, which are never cleared; give the cache another database or server"
            ));
        }
    }
}

/// Reads `caches` and `sessions` of the environment `name`.
pub(super) fn read<'a>(
    name: &EnvironmentName,
    environment: &Section<'a>,
    databases: &mut Databases<'a>,
    variables: Variables<'_>,
) -> (Caches, Sessions) {
    let mut note = |place: Value<'a>, database| {
        databases.caches.push((name.clone(), place, database));
    };
    let sessions = environment
        .get("sessions")
        .map(|value| sessions(&value, variables))
        .unwrap_or_default();
    let caches = environment
        .get("caches")
        .and_then(|value| value.section(KEYS, &[]))
        .map(|section| caches(&section, &mut note, variables))
        .unwrap_or_default();
    (caches, sessions)
}

/// Notes the place of a cache and its database.
type Note<'n, 'a> = &'n mut dyn FnMut(Value<'a>, RedisDatabase);

fn caches<'a>(section: &Section<'a>, note: Note<'_, 'a>, variables: Variables<'_>) -> Caches {
    Caches {
        redis: redis_list(section, note, variables),
        varnish: group(section, "varnish", VARNISH_KEYS, |s| {
            let url = s.need("url", "http://varnish:80");
            Some(Varnish {
                tags_header: s.or("tags_header", TAGS_HEADER.to_owned(), header),
                url: web(&url?, variables)?,
            })
        }),
        cloudfront: group(
            section,
            "cloudfront",
            &["distribution", "key_id", "secret", "endpoint"],
            |s| {
                let distribution = s.need("distribution", "E123");
                let (key_id, secret) = (
                    s.need("key_id", "${AWS_ACCESS_KEY_ID}"),
                    s.need("secret", "${AWS_SECRET_ACCESS_KEY}"),
                );
                Some(CloudFront {
                    distribution: distribution?.parse(word)?,
                    key_id: key_id?.secret(variables)?,
                    secret: secret?.secret(variables)?,
                    endpoint: endpoint(s),
                })
            },
        ),
        fastly: group(section, "fastly", &["service", "token", "endpoint"], |s| {
            let (service, token) = (s.need("service", "ID"), s.need("token", "${FASTLY_TOKEN}"));
            Some(Fastly {
                service: service?.parse(word)?,
                token: token?.secret(variables)?,
                endpoint: endpoint(s),
            })
        }),
        cloudflare: group(section, "cloudflare", &["zone", "token", "endpoint"], |s| {
            let (zone, token) = (s.need("zone", "ID"), s.need("token", "${CLOUDFLARE_TOKEN}"));
            Some(Cloudflare {
                zone: zone?.parse(word)?,
                token: token?.secret(variables)?,
                endpoint: endpoint(s),
            })
        }),
    }
}

fn group<T>(
    section: &Section<'_>,
    key: &str,
    known: &[&'static str],
    read: impl FnOnce(&Section<'_>) -> Option<T>,
) -> Option<T> {
    let value = section.get(key)?;
    read(&value.section(known, &[])?)
}

fn redis_list<'a>(
    section: &Section<'a>,
    note: Note<'_, 'a>,
    variables: Variables<'_>,
) -> Vec<RedisCache> {
    let mut found: Vec<RedisCache> = Vec::new();
    for item in section
        .get("redis")
        .and_then(|value| value.items())
        .unwrap_or_default()
    {
        let Some(cache) = redis_cache(&item, note, variables) else {
            continue;
        };
        let of = |url: &Setting| RedisDatabase::of_url(url.expose());
        if found.iter().any(|other| other.name == cache.name) {
            item.fault(format!("`{}` stands here twice; rename one", cache.name));
        } else if found.iter().any(|other| of(&other.url) == of(&cache.url)) {
            item.fault(format!(
                "`{}` is a database that stands here already; remove one",
                cache.name
            ));
        } else {
            found.push(cache);
        }
    }
    found
}

fn redis_cache<'a>(
    item: &Value<'a>,
    note: Note<'_, 'a>,
    variables: Variables<'_>,
) -> Option<RedisCache> {
    let section = item.section(&["name", "url", "ca"], &[])?;
    let (name, url) = (
        section.need("name", "fpc"),
        section.need("url", "redis://redis:6379"),
    );
    let name = name?.parse(name::parse)?;
    let place = url?;
    let url = redis(&place, variables)?;
    note(place, RedisDatabase::of_url(url.expose())?);
    let ca = section
        .get("ca")
        .and_then(|value| value.parse(path::absolute));
    Some(RedisCache { name, url, ca })
}

/// Reports a header that the Varnish beside nginx does not know: it would answer that it purged, and keep every page.
pub(super) fn check_tags_header(environment: &Section<'_>, caches: &Caches) {
    let known = |v: &Varnish| v.tags_header.eq_ignore_ascii_case(TAGS_HEADER);
    if caches.varnish.as_ref().is_none_or(known) {
        return;
    }
    let varnish = environment
        .get("caches")
        .and_then(|caches| caches.section(KEYS, &[])?.get("varnish"));
    let place = varnish.and_then(|v| v.section(VARNISH_KEYS, &[])?.get("tags_header"));
    if let Some(place) = place {
        place.fault(format!(
            "is not what the Varnish beside nginx (nginx.varnish) takes a pattern from; remove it, which makes it {TAGS_HEADER}"
        ));
    }
}

/// `files`, or `{redis: URL}`.
fn sessions(value: &Value<'_>, variables: Variables<'_>) -> Sessions {
    if value.is_group() {
        let url = value
            .section(&["redis"], &[])
            .and_then(|s| s.need("redis", "redis://redis-session:6380"));
        return url
            .and_then(|url| redis(&url, variables))
            .map(Sessions::Redis)
            .unwrap_or_default();
    }
    let files = |text: &str| match text {
        "files" => Ok(Sessions::Files),
        other => Err(format!(
            "`{}` is not a place for sessions; write files, or {{redis: redis://redis-session:6380}}",
            shown(other)
        )),
    };
    value.parse(files).unwrap_or_default()
}

fn redis(value: &Value<'_>, variables: Variables<'_>) -> Option<Setting> {
    let url = value.secret(variables)?;
    let known = Url::parse(url.expose()).is_ok_and(|u| matches!(u.scheme(), "redis" | "rediss"));
    if known && RedisDatabase::of_url(url.expose()).is_some() {
        return Some(url);
    }
    value.fault("is not the URL of a Redis database; write it as redis://redis:6379/0, or rediss:// for TLS");
    None
}

fn web(value: &Value<'_>, variables: Variables<'_>) -> Option<Setting> {
    let url = value.secret(variables)?;
    match http(url.expose()) {
        Ok(_) => Some(url),
        Err(message) => {
            value.fault(message);
            None
        }
    }
}

fn endpoint(section: &Section<'_>) -> Option<String> {
    section.get("endpoint")?.parse(http)
}

fn http(text: &str) -> Result<String, String> {
    let url = Url::parse(text)
        .ok()
        .filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
    url.map(|_| text.to_owned()).ok_or_else(|| {
        "is not the address of a web server; write it as http://varnish:80".to_owned()
    })
}

/// An id of a provider, which becomes part of a path.
fn word(text: &str) -> Result<String, String> {
    let good = text.len() <= 64
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    good.then(|| text.to_owned()).ok_or_else(|| {
        format!(
            "`{}` is not an id; copy it from the provider's console",
            shown(text)
        )
    })
}

fn header(text: &str) -> Result<String, String> {
    let good = text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    good.then(|| text.to_owned()).ok_or_else(|| {
        format!(
            "`{}` is not the name of a header; write one such as X-Magento-Tags-Pattern",
            shown(text)
        )
    })
}
