//! The whole text that nginx reads, from the whole state: one file, no include.
//!
//! Every line that answers a failure seen in practice says which. The sites are in `render/site.rs`, what stands before
//! one that Varnish keeps pages of in `render/front.rs`, the private server in `render/control.rs`, a tenant's own rules
//! in `render/tenant.rs`.

mod closed;
mod control;
mod fastcgi;
mod front;
mod log;
mod mime;
mod parts;
mod records;
mod shared;
mod site;
mod tenant;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use stratus_core::environment::User;
use stratus_core::route::{PageCache, RouteTable, Site};

use super::config::{Arg, Directive, Unprintable, print};
use super::tenant::{self as tenant_files, Rules};
use crate::layout::Layout;

pub use tls::Tls;

/// First line of every file that we write.
const BANNER: &str =
    "# Written by Stratus from its whole state. Do not edit: the next change replaces it.";
/// Begins the line that carries the revision.
const REVISION: &str = "# revision ";
/// Begins the line that carries the digest of what follows.
const DIGEST: &str = "# digest ";
/// Connections of one worker; a request for PHP takes two, by way of Varnish four.
const CONNECTIONS: u32 = 8192;
/// Where Varnish asks; visitors do not reach it.
const VARNISH_PORT: u16 = 8080;

/// How nginx runs on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Name of its container.
    pub container: String,
    /// Image for the test where there is no container yet to take it from.
    pub image: String,
    /// Who its processes run as.
    pub user: User,
    /// Where visitors reach it.
    pub http: SocketAddr,
    /// Ports it listens on in its container.
    pub ports: Vec<u16>,
    /// Its worker processes: a number and not `auto`, so that it can be told when all old ones are gone.
    pub workers: u16,
    /// How long an old worker may take over its last requests; longer than any drain and any hold.
    pub shutdown_timeout: Duration,
    /// How long nginx, or a pool behind it, may take to answer as it should.
    pub confirm_within: Duration,
    /// Whether visitors see which generation answered.
    pub debug_header: DebugHeader,
    /// Whether visitors may come by TLS.
    pub tls: Tls,
    /// Whether a Varnish shares the sockets in `<data>/nginx/varnish` with it.
    pub varnish: Varnish,
    /// Whether what visitors ask for is written down.
    pub access_log: AccessLog,
}

/// Whether there is a log of visitors' requests for each environment, `<data>/nginx/log/NAME/access.log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLog {
    /// There is none.
    Absent,
    /// There is one, in nginx's format `combined`.
    Written,
}

/// Whether there is a Varnish beside nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Varnish {
    /// There is none.
    Absent,
    /// There is one: it keeps the pages of those environments that say so.
    Beside,
}

/// Whether `X-Stratus-Generation` reaches visitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DebugHeader {
    /// It does.
    Shown,
    /// nginx takes it off.
    Hidden,
}

/// A route table that cannot be written in nginx's language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A value holds what nginx cannot be given.
    #[error("{whose}: {error}")]
    Value {
        /// Which environment or setting.
        whose: String,
        /// What is wrong.
        error: Unprintable,
    },
    /// A site that cannot be served as it is described.
    #[error("environment {environment}: {detail}")]
    Site {
        /// Which.
        environment: String,
        /// What is wrong and what to do.
        detail: String,
    },
}

/// The text for `table`, numbered `revision`.
pub fn render(
    table: &RouteTable,
    revision: u64,
    settings: &Settings,
    layout: &Layout,
) -> Result<String, RenderError> {
    check_hosts(table)?;
    let installation = |error| RenderError::Value {
        whose: "the installation".to_owned(),
        error,
    };
    let sites = served(table, settings);
    let mut http = base(settings, layout).map_err(installation)?;
    http.extend(tls::certificate(settings, layout).map_err(installation)?);
    http.extend(records::all(table, layout).map_err(installation)?);
    let first_behind = sites.iter().position(is_behind);
    if first_behind.is_some() {
        http.extend(records::of_two_sides());
        http.extend(front::shared(layout, settings.debug_header).map_err(installation)?);
    }
    for site in &sites {
        http.extend(site::upstream(site, layout).map_err(|e| value(site, e))?);
        http.push(closed::exemptions(site).map_err(|e| value(site, e))?);
    }
    http.push(control::server(table, revision, layout).map_err(installation)?);
    for (index, site) in sites.iter().enumerate() {
        let first = Rank::of(index == 0);
        let file = |file: Result<_, _>| file.map_err(|e| value(site, e));
        let doors = if is_behind(site) {
            let log = file(log::of_front(site, settings, layout))?;
            let socket = front::listen(Rank::of(Some(index) == first_behind), layout);
            Doors::Two {
                front: [listens(settings, first, |port| port != VARNISH_PORT), log].concat(),
                origin: [
                    vec![socket.map_err(installation)?],
                    ports(settings, first, |port| port == VARNISH_PORT),
                ]
                .concat(),
            }
        } else {
            let log = file(log::of_one(site, settings, layout))?;
            Doors::One([listens(settings, first, |_| true), log].concat())
        };
        http.extend(site::servers(
            site,
            &rules(table, site)?,
            doors,
            settings,
            layout,
        )?);
    }
    if sites.is_empty() {
        http.push(site::nothing(listens(settings, Rank::First, |_| true)));
    }
    let mut all = process(settings);
    all.push(Directive::block("http", [], http));
    let body = print(&all);
    let digest = blake3::hash(body.as_bytes()).to_hex();
    Ok(format!(
        "{BANNER}\n{REVISION}{revision}\n{DIGEST}{digest}\n\n{body}"
    ))
}

/// The sites, each as this host can serve it: pages are kept where there is a Varnish and a pool.
fn served(table: &RouteTable, settings: &Settings) -> Vec<Site> {
    let mut sites = table.sites.clone();
    for site in &mut sites {
        if settings.varnish == Varnish::Absent || site.members == 0 {
            site.page_cache = PageCache::Absent;
        }
    }
    sites
}

/// Whether a site stands behind Varnish.
fn is_behind(site: &Site) -> bool {
    site.page_cache == PageCache::Varnish
}

/// The rules of a site's tenant.
fn rules(table: &RouteTable, site: &Site) -> Result<Rules, RenderError> {
    let Some(accepted) = table.tenants.get(&site.environment) else {
        return Ok(Rules::default());
    };
    tenant_files::stored(accepted).map_err(|detail| RenderError::Site {
        environment: site.environment.to_string(),
        detail,
    })
}

/// The password files that the text for `table` names: name and content.
pub(super) fn passwords(table: &RouteTable) -> Result<BTreeMap<String, String>, RenderError> {
    let mut all = BTreeMap::new();
    for site in &table.sites {
        all.extend(rules(table, site)?.passwords);
    }
    Ok(all)
}

/// The revision that a text of ours carries; `None` for a text that is not ours.
pub fn revision(text: &str) -> Option<u64> {
    let mut lines = text.lines();
    (lines.next()? == BANNER).then_some(())?;
    lines.next()?.strip_prefix(REVISION)?.parse().ok()
}

fn value(site: &Site, error: Unprintable) -> RenderError {
    RenderError::Value {
        whose: format!("environment {}", site.environment),
        error,
    }
}

/// nginx only warns of a name that two servers claim, and serves one of them.
fn check_hosts(table: &RouteTable) -> Result<(), RenderError> {
    let mut taken = BTreeSet::new();
    for site in &table.sites {
        let refuse = |detail| {
            let environment = site.environment.to_string();
            Err(RenderError::Site {
                environment,
                detail,
            })
        };
        if site.hosts.is_empty() {
            return refuse("it has no host name; give it at least one in `hosts`".to_owned());
        }
        for host in &site.hosts {
            if !taken.insert(host) {
                return refuse(format!(
                    "the host name {host:?} is given twice; take one away"
                ));
            }
        }
    }
    Ok(())
}

fn process(settings: &Settings) -> Vec<Directive> {
    vec![
        Directive::words("pid", &["/tmp/nginx.pid"]),
        Directive::words("error_log", &["stderr", "warn"]),
        Directive::line("worker_processes", [Arg::number(settings.workers)]),
        Directive::line("worker_rlimit_nofile", [Arg::number(2 * CONNECTIONS)]),
        // An old worker never ends while a WebSocket lives.
        Directive::line(
            "worker_shutdown_timeout",
            [Arg::seconds(settings.shutdown_timeout)],
        ),
        Directive::block(
            "events",
            [],
            vec![Directive::line(
                "worker_connections",
                [Arg::number(CONNECTIONS)],
            )],
        ),
    ]
}

fn base(settings: &Settings, layout: &Layout) -> Result<Vec<Directive>, Unprintable> {
    let run = layout.nginx_run();
    let mut http = vec![
        Directive::block("types", [], mime::types()),
        Directive::words("default_type", &["application/octet-stream"]),
        Directive::words("server_tokens", &["off"]),
        Directive::words("sendfile", &["on"]),
        Directive::words("tcp_nopush", &["on"]),
        // nginx does not know the port that visitors use.
        Directive::words("absolute_redirect", &["off"]),
        // Without it a reload loses requests of clients that keep their connection: 520 in 20 reloads.
        Directive::words("keepalive_min_timeout", &["2s"]),
        Directive::words("keepalive_timeout", &["65s"]),
        Directive::words("reset_timedout_connection", &["off"]),
        // On, it serves files of the old generation for seconds after the flip.
        Directive::words("open_file_cache", &["off"]),
        Directive::words("large_client_header_buffers", &["8", "16k"]),
        Directive::words("server_names_hash_bucket_size", &["512"]),
        Directive::words("server_names_hash_max_size", &["4096"]),
        Directive::words("map_hash_bucket_size", &["512"]),
        Directive::words("map_hash_max_size", &["4096"]),
        // On disk: uploads and long answers in the container's /tmp would be memory.
        Directive::line("client_body_temp_path", [Arg::path(&run.join("body"))?]),
        Directive::line("fastcgi_temp_path", [Arg::path(&run.join("fastcgi"))?]),
        match settings.varnish {
            Varnish::Absent => Directive::words("proxy_temp_path", &["/tmp/proxy"]),
            Varnish::Beside => Directive::line("proxy_temp_path", [Arg::path(&run.join("proxy"))?]),
        },
        Directive::words("scgi_temp_path", &["/tmp/scgi"]),
        Directive::words("uwsgi_temp_path", &["/tmp/uwsgi"]),
    ];
    http.extend(fastcgi::transport());
    http.extend(closed::counting());
    if settings.debug_header == DebugHeader::Hidden {
        http.extend(generation_for_varnish());
    }
    Ok(http)
}

/// Visitors do not see which generation answered; Varnish, which asks on a port of its own, tags its pages with it.
fn generation_for_varnish() -> Vec<Directive> {
    let ports = vec![
        Directive::words("default", &[""]),
        Directive::line(
            Arg::number(VARNISH_PORT),
            [Arg::var("upstream_http_x_stratus_generation")],
        ),
    ];
    let map = [Arg::var("server_port"), Arg::var("stratus_generation")];
    vec![
        Directive::words(
            "fastcgi_hide_header",
            &[stratus_core::pool::GENERATION_HEADER],
        ),
        Directive::block("map", map, ports),
        generation_header(),
    ]
}

/// Adds the tag; nothing where its value is empty. Where a block adds a header of its own it hides those of outside, so
/// each has this one.
fn generation_header() -> Directive {
    let name = Arg::word(stratus_core::pool::GENERATION_HEADER);
    let value = Arg::var("stratus_generation");
    Directive::line("add_header", [name, value, "always".into()])
}

/// Which server of its address a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rank {
    /// It answers for unknown names, and says how long the queue of new connections is.
    First,
    /// It answers for its own names only.
    Further,
}

impl Rank {
    fn of(is_first: bool) -> Self {
        if is_first { Self::First } else { Self::Further }
    }

    /// What a `listen` says of it.
    fn words(self) -> Vec<Arg> {
        match self {
            Self::First => vec!["default_server".into(), "backlog=4096".into()],
            Self::Further => Vec::new(),
        }
    }
}

/// What the server or servers of a site listen on.
enum Doors {
    /// One server for everybody.
    One(Vec<Directive>),
    /// One for visitors, and one behind Varnish.
    Two {
        front: Vec<Directive>,
        origin: Vec<Directive>,
    },
}

/// The ports that are `wanted`, and TLS.
fn listens(settings: &Settings, rank: Rank, wanted: impl Fn(u16) -> bool) -> Vec<Directive> {
    let mut all = ports(settings, rank, wanted);
    all.extend(tls::listen(settings, &rank.words()));
    all
}

fn ports(settings: &Settings, rank: Rank, wanted: impl Fn(u16) -> bool) -> Vec<Directive> {
    let ports = settings.ports.iter().copied().filter(|port| wanted(*port));
    let listen = |port| {
        let words = [Arg::number(port)].into_iter().chain(rank.words());
        Directive::line("listen", words)
    };
    ports.map(listen).collect()
}

#[cfg(test)]
pub(super) mod tests;
