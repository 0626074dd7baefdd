//! The key `environments`: each environment, with every default filled in.

use std::path::Path;
use std::time::Duration;

use stratus_core::environment::{CodeAccess, HOLD, Keep, Ready, Replicas, STANDBY};
use stratus_core::{Environment, EnvironmentName, Generation, PoolId};

use super::caches::{self, Databases};
use super::host::{self, Claimed};
use super::section::{Section, Value, shown};
use super::server::{check, layout};
use super::{Nginx, Server, Variables, php, scalar, services, tasks, tree};

/// The keys of an environment.
pub(super) const KEYS: &[&str] = &[
    "hosts",
    "code",
    "docroot",
    "front",
    "shared",
    "links",
    "exclude",
    "deny",
    "immutable",
    "autoscaling",
    "zero_downtime",
    "php",
    "replicas",
    "ready",
    "warm",
    "drain",
    "keep",
    "upload_limit",
    "hooks",
    "database",
    "maintenance",
    "check",
    "hold",
    "caches",
    "sessions",
    "crons",
    "workers",
];
/// Known names that later versions build.
pub(super) const PLANNED: &[&str] = &["http"];

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const MIB: u64 = 1024 * 1024;
/// Longest path that is fetched, in bytes.
const FETCHED_MAX: usize = 2000;

/// Reads all environments, in the order of the file; what is wrong is reported and left out.
pub(super) fn read_all(
    root: &Section<'_>,
    server: &Server,
    nginx: &Nginx,
    variables: Variables<'_>,
) -> Vec<Environment> {
    let Some(value) = root.get("environments") else {
        root.fault("`environments` is missing; add it, with at least one environment under it");
        return Vec::new();
    };
    let Some(entries) = value.entries() else {
        return Vec::new();
    };
    if entries.is_empty() {
        value.fault("is empty; describe at least one environment");
    }
    let (mut claimed, mut databases) = (Claimed::new(), Databases::default());
    let environments = entries.into_iter().filter_map(|(name, value)| {
        let name = name.parse().map_err(|_| {
            value.fault("is not a name for an environment; use a lower case letter, then lower case letters, digits and hyphens, 40 at most");
        });
        let claims = (&mut claimed, &mut databases);
        read(name.ok()?, &value, (server, nginx), claims, variables)
    });
    let environments = environments.collect();
    databases.check();
    environments
}

fn read<'a>(
    name: EnvironmentName,
    value: &Value<'a>,
    (server, nginx): (&Server, &Nginx),
    (claimed, databases): (&mut Claimed, &mut Databases<'a>),
    variables: Variables<'_>,
) -> Option<Environment> {
    let section = value.section(KEYS, PLANNED)?;
    check_sockets(&name, value, server);
    let hosts = host::read(&section, name.as_str(), claimed);
    let tree = tree::read(&section, &server.data_dir);
    if section.is_early("http") {
        return None;
    }
    let php = php::read(&section, tree.code.as_deref(), variables);
    let ready = ready(&section, &tree.front);
    let replicas = replicas(&section);
    let warm = warm(&section);
    let keep = keep(&section);
    let immutable = section.or("immutable", true, scalar::flag);
    let autoscaling = section.or("autoscaling", false, scalar::flag);
    let zero_downtime = section.or("zero_downtime", true, scalar::flag);
    let drain = section.or("drain", 30 * SECOND, scalar::duration(SECOND..=HOUR));
    let upload_limit = section.or(
        "upload_limit",
        128 * MIB,
        scalar::size(1024..=64 * 1024 * MIB),
    );
    let (caches, sessions) = caches::read(&name, &section, databases, variables);
    if nginx.varnish {
        caches::check_tags_header(&section, &caches);
    }
    if let Some(php) = &php {
        databases.keep(&name, &sessions, &php.ini);
    }
    let database = services::database(&section, variables);
    let maintenance = services::maintenance(&section);
    let check = services::check(&section);
    let crons = tasks::crons(&section);
    let workers = tasks::workers(&section, &crons);
    let hold = section.or("hold", HOLD, scalar::duration(SECOND..=10 * MINUTE));
    Some(Environment {
        name,
        hosts: hosts?,
        code: tree.code?,
        docroot: tree.docroot?,
        front: tree.front,
        shared: tree.shared,
        links: tree.links,
        exclude: tree.exclude,
        deny: tree.deny,
        code_access: if immutable {
            CodeAccess::Immutable
        } else {
            CodeAccess::Overlay
        },
        autoscaling,
        zero_downtime,
        php: php?,
        replicas,
        ready,
        warm,
        drain,
        keep,
        upload_limit,
        hooks: tasks::hooks(&section),
        crons,
        workers,
        caches,
        database,
        sessions,
        maintenance,
        check,
        hold,
    })
}

/// The longest socket paths that this environment can come to.
fn check_sockets(name: &EnvironmentName, value: &Value<'_>, server: &Server) {
    let layout = layout(&server.data_dir);
    let last = PoolId::new(name, Generation(u32::MAX));
    let advice = "shorten server.data_dir or the name";
    let longest = [
        layout.socket(&last, u16::MAX),
        layout.live(name).join(format!("sock/{}.sock", u16::MAX)),
    ]
    .into_iter()
    .max_by_key(|path| path.as_os_str().len());
    if let Some(longest) = longest {
        check(value, &longest, advice);
    }
    let own = server.environment_socket(name);
    check(value, &own, "shorten server.socket or the name");
}

fn ready(section: &Section<'_>, front: &str) -> Ready {
    let default = Ready {
        path: format!("/{front}"),
        status: 200,
        within: MINUTE,
        successes: 2,
    };
    let value = section.get("ready");
    let known = ["path", "status", "within", "successes"];
    let Some(section) = value.and_then(|value| value.section(&known, &[])) else {
        return default;
    };
    Ready {
        path: section.or("path", default.path, script),
        status: section.or("status", default.status, scalar::whole(100..=599)),
        within: section.or("within", default.within, scalar::duration(SECOND..=HOUR)),
        successes: section.or("successes", default.successes, scalar::whole(1..=100)),
    }
}

/// A path that is fetched. Shape: `/about?x=1`.
pub(super) fn fetched(text: &str) -> Result<String, String> {
    let good = text.starts_with('/')
        && text.len() <= FETCHED_MAX
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    good.then(|| text.to_owned()).ok_or_else(|| {
        format!(
            "`{}` is not a path of a page; begin it with / and write spaces and other special characters as %20",
            shown(text)
        )
    })
}

/// A path of a script, with an optional query. Shape: `/index.php?q=1`.
fn script(text: &str) -> Result<String, String> {
    let path = fetched(text)?;
    let script = path.split('?').next().unwrap_or_default();
    let inside = !script.split('/').any(|part| part == ".." || part == ".");
    if inside && Path::new(script).extension().is_some_and(|e| e == "php") {
        return Ok(path);
    }
    Err(format!(
        "`{}` is not a script under the docroot; name one, such as /index.php",
        shown(text)
    ))
}

fn warm(section: &Section<'_>) -> Vec<String> {
    let items = section.get("warm").and_then(|value| value.items());
    let paths = items.unwrap_or_default();
    paths
        .iter()
        .filter_map(|item| item.parse(fetched))
        .collect()
}

fn replicas(section: &Section<'_>) -> Replicas {
    let one = Replicas { min: 1, max: 1 };
    let Some(value) = section.get("replicas") else {
        return one;
    };
    if !value.is_group() {
        let number = value.parse(scalar::whole(1..=64)).unwrap_or(1);
        return Replicas {
            min: number,
            max: number,
        };
    }
    let Some(section) = value.section(&["min", "max"], &[]) else {
        return one;
    };
    let min = section.or("min", 1, scalar::whole(1..=64));
    let max = section.or("max", min, scalar::whole(1..=64));
    if max < min {
        value.fault(format!(
            "min is {min} and max is {max}; max is at least min"
        ));
    }
    Replicas { min, max }
}

fn keep(section: &Section<'_>) -> Keep {
    let default = Keep {
        releases: 3,
        warm: 10 * MINUTE,
        standby: STANDBY,
    };
    let value = section.get("keep");
    let known = ["releases", "warm", "standby"];
    let Some(section) = value.and_then(|value| value.section(&known, &[])) else {
        return default;
    };
    Keep {
        releases: section.or("releases", default.releases, scalar::whole(1..=1000)),
        warm: section.or(
            "warm",
            default.warm,
            scalar::duration(Duration::ZERO..=7 * DAY),
        ),
        standby: section.or(
            "standby",
            default.standby,
            scalar::duration(MINUTE..=30 * DAY),
        ),
    }
}
