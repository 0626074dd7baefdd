//! Writes an environment as configuration again: every default filled in, every secret left out.

mod caches;
mod services;
mod tasks;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use stratus_core::Environment;
use stratus_core::environment::{CodeAccess, Setting, User};

use super::{scalar, secret};

/// The environment as YAML that the configuration takes, but for its secrets, which read `<secret>`.
///
/// # Panics
/// Never: only maps, lists and text are written.
pub fn render(environment: &Environment) -> String {
    let document = Document {
        environments: BTreeMap::from([(environment.name.as_str(), spec(environment))]),
    };
    serde_saphyr::to_string(&document).expect("maps, lists and text can be written as YAML")
}

#[derive(Serialize)]
struct Document<'a> {
    environments: BTreeMap<&'a str, Spec<'a>>,
}

#[derive(Serialize)]
struct Spec<'a> {
    hosts: &'a [String],
    code: &'a PathBuf,
    docroot: &'a str,
    front: &'a str,
    shared: &'a [PathBuf],
    links: &'a [PathBuf],
    exclude: &'a [PathBuf],
    deny: &'a [PathBuf],
    immutable: bool,
    autoscaling: bool,
    zero_downtime: bool,
    php: Php<'a>,
    replicas: stratus_core::environment::Replicas,
    ready: Ready<'a>,
    warm: &'a [String],
    drain: String,
    keep: Keep,
    upload_limit: String,
    hooks: tasks::Hooks<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    crons: Vec<tasks::Cron<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    workers: Vec<tasks::Worker<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caches: Option<caches::Caches<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<services::Database<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<caches::Sessions>,
    maintenance: services::Maintenance<'a>,
    check: services::Check<'a>,
    hold: String,
}

#[derive(Serialize)]
struct Php<'a> {
    image: &'a str,
    fpm: &'a str,
    mount: &'a PathBuf,
    user: String,
    workers: u16,
    ini: &'a BTreeMap<String, String>,
    env: BTreeMap<&'a str, String>,
    memory: String,
    cpus: f64,
}

#[derive(Serialize)]
struct Ready<'a> {
    path: &'a str,
    status: u16,
    within: String,
    successes: u32,
}

#[derive(Serialize)]
struct Keep {
    releases: u32,
    warm: String,
    standby: String,
}

fn spec(environment: &Environment) -> Spec<'_> {
    let docroot = environment.docroot.to_str().unwrap_or_default();
    let (ready, keep) = (&environment.ready, &environment.keep);
    Spec {
        hosts: &environment.hosts,
        code: &environment.code,
        docroot: if docroot.is_empty() { "." } else { docroot },
        front: &environment.front,
        shared: &environment.shared,
        links: &environment.links,
        exclude: &environment.exclude,
        deny: &environment.deny,
        immutable: environment.code_access == CodeAccess::Immutable,
        autoscaling: environment.autoscaling,
        zero_downtime: environment.zero_downtime,
        php: php(&environment.php),
        replicas: environment.replicas,
        ready: Ready {
            path: &ready.path,
            status: ready.status,
            within: duration(ready.within),
            successes: ready.successes,
        },
        warm: &environment.warm,
        drain: duration(environment.drain),
        keep: Keep {
            releases: keep.releases,
            warm: duration(keep.warm),
            standby: duration(keep.standby),
        },
        upload_limit: scalar::print_size(environment.upload_limit),
        hooks: tasks::hooks(&environment.hooks),
        crons: tasks::crons(&environment.crons),
        workers: tasks::workers(&environment.workers),
        caches: caches::caches(&environment.caches),
        database: environment.database.as_ref().map(services::database),
        sessions: caches::sessions(&environment.sessions),
        maintenance: services::maintenance(&environment.maintenance),
        check: services::check(&environment.check),
        hold: duration(environment.hold),
    }
}

fn php(php: &stratus_core::environment::Php) -> Php<'_> {
    Php {
        image: &php.image,
        fpm: &php.fpm,
        mount: &php.mount,
        user: user(php.user),
        workers: php.workers,
        ini: &php.ini,
        env: php
            .env
            .iter()
            .map(|(k, v)| (k.as_str(), value(v)))
            .collect(),
        memory: scalar::print_size(php.memory),
        cpus: f64::from(php.cpus_milli) / 1000.0,
    }
}

fn user(user: User) -> String {
    format!("{}:{}", user.uid, user.gid)
}

fn duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn value(value: &Setting) -> String {
    if value.is_secret() {
        value.to_string()
    } else {
        secret::escape(value.expose())
    }
}
