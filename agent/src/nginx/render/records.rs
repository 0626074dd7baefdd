//! What nginx reports of every request, and where to.
//!
//! With a Varnish beside it nginx sees a request up to twice, and reports it as often: its counter of all requests counts
//! both. What each side adds is for `nginx::access`, which counts a request once.

use stratus_core::route::RouteTable;

use crate::layout::Layout;
use crate::nginx::config::{Arg, Directive, Unprintable};

/// Names of formats: of a site as such, of its front, of its origin.
pub(super) const RECORD: &str = "stratus_record";
pub(super) const FRONT: &str = "stratus_front";
pub(super) const ORIGIN: &str = "stratus_origin";

/// One access record a request. They say nothing of what was asked for: no path, no query, no address.
pub(super) fn all(table: &RouteTable, layout: &Layout) -> Result<Vec<Directive>, Unprintable> {
    let mut names = vec![Directive::words("default", &[""])];
    for site in &table.sites {
        // `$server_name` is the first name of the server, whatever the visitor asked for, in every phase.
        if let Some(host) = site.hosts.first() {
            let environment = Arg::text(site.environment.as_str())?;
            names.push(Directive::line(map_key(host)?, [environment]));
        }
    }
    let map = [Arg::var("server_name"), Arg::var("stratus_environment")];
    Ok(vec![
        Directive::block("map", map, names),
        Directive::line("log_format", format(RECORD, "", &[])),
        Directive::line("log_format", mark_format()),
        to(layout, RECORD)?,
    ])
}

/// The formats of the two sides of Varnish.
pub(super) fn of_two_sides() -> [Directive; 2] {
    let asked = [
        ("asked", "upstream_addr"),
        ("cache", "upstream_http_x_cache"),
    ];
    let by = [("varnish", "http_x_varnish")];
    [
        Directive::line("log_format", format(FRONT, "front", &asked)),
        Directive::line("log_format", format(ORIGIN, "origin", &by)),
    ]
}

/// Sends records of one of our formats.
pub(super) fn to(layout: &Layout, name: &'static str) -> Result<Directive, Unprintable> {
    Ok(Directive::line(
        "access_log",
        [target(layout)?, name.into()],
    ))
}

/// A server name as a key of `map`, where a few words have a meaning.
fn map_key(host: &str) -> Result<Arg, Unprintable> {
    let name = Arg::host(host)?;
    let special = ["default", "hostnames", "include", "volatile"].contains(&host);
    Ok(if special {
        Arg::word("\\").then(name)
    } else {
        name
    })
}

/// Where nginx sends its records.
pub(super) fn target(layout: &Layout) -> Result<Arg, Unprintable> {
    let socket = layout.access_socket();
    if socket.as_os_str().as_encoded_bytes().contains(&b',') {
        return Err(Unprintable {
            text: socket.to_string_lossy().into_owned(),
            rule: "nginx ends the address of a syslog server at a comma",
        });
    }
    Ok(Arg::word("syslog:server=unix:")
        .then(Arg::path(&socket)?)
        .then(Arg::word(",nohostname,tag=stratus")))
}

/// The fields of `nginx::access::Record`, all as text: nginx writes `009` for a status of HTTP/0.9.
fn format(
    name: &'static str,
    side: &'static str,
    more: &[(&'static str, &'static str)],
) -> Vec<Arg> {
    let fields: &[(&'static str, &'static str)] = &[
        ("environment", "stratus_environment"),
        ("method", "request_method"),
        ("status", "status"),
        ("upstream_status", "upstream_status"),
        ("generation", "upstream_http_x_stratus_generation"),
        ("completion", "request_completion"),
        ("connection", "connection"),
        ("connection_requests", "connection_requests"),
        ("header_time", "upstream_header_time"),
        ("length", "upstream_http_content_length"),
        ("sent", "body_bytes_sent"),
        ("request_time", "request_time"),
        ("time", "msec"),
    ];
    let field = |name, value: Arg| {
        let value = Arg::word("\":\"").then(value).then("\"".into());
        Arg::word("\"").then(Arg::word(name)).then(value)
    };
    let mut all: Vec<Arg> = fields
        .iter()
        .chain(more)
        .map(|(name, variable)| field(*name, Arg::var(variable)))
        .collect();
    if !side.is_empty() {
        all.push(field("side", side.into()));
    }
    let text = all
        .into_iter()
        .reduce(|before, next| before.then(",".into()).then(next))
        .map_or_else(
            || "{}".into(),
            |all| Arg::word("{").then(all).then("}".into()),
        );
    vec![name.into(), "escape=json".into(), text]
}

/// The field of `nginx::access::Mark`.
fn mark_format() -> Vec<Arg> {
    let text = Arg::word("{\"mark\":\"")
        .then(Arg::var("arg_mark"))
        .then("\"}".into());
    vec!["stratus_mark".into(), "escape=json".into(), text]
}
