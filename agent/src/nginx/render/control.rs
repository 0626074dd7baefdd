//! The private server on a unix socket: which revision and which generation serve, and whether they answer.

use stratus_core::pool::PING_PATH;
use stratus_core::route::{RouteTable, Site};

use super::{fastcgi, parts, records};
use crate::layout::Layout;
use crate::nginx::config::{Arg, Directive, Unprintable};
use crate::nginx::control::MEMBER_HEADER;

/// The server block.
pub(super) fn server(
    table: &RouteTable,
    revision: u64,
    layout: &Layout,
) -> Result<Directive, Unprintable> {
    let socket = Arg::word("unix:").then(Arg::path(&layout.control_socket())?);
    let mut block = vec![
        Directive::line("listen", [socket]),
        Directive::words("default_type", &["text/plain"]),
        Directive::words("if_modified_since", &["off"]),
        // Its own record: it marks a place in the stream of all records (`nginx::access`).
        Directive::line(
            "access_log",
            [records::target(layout)?, "stratus_mark".into()],
        ),
        at(
            "/.stratus/revision".into(),
            vec![Directive::line(
                "return",
                ["200".into(), Arg::number(revision)],
            )],
        ),
        at(
            "/.stratus/status".into(),
            vec![Directive::words("stub_status", &[])],
        ),
    ];
    for site in &table.sites {
        block.push(generation(site, layout)?);
        if site.members > 0 {
            block.push(ping(site)?);
        }
    }
    let everything_else = vec![Directive::words("return", &["404"])];
    block.push(Directive::block("location", ["/".into()], everything_else));
    Ok(Directive::block("server", [], block))
}

fn at(path: Arg, block: Vec<Directive>) -> Directive {
    Directive::block("location", ["=".into(), path], block)
}

/// The file that goes with the live generation, found the same way as its sockets and its static files.
fn generation(site: &Site, layout: &Layout) -> Result<Directive, Unprintable> {
    let path = Arg::word("/.stratus/generation/").then(Arg::text(site.environment.as_str())?);
    let file = layout.live(&site.environment).join("generation");
    Ok(at(
        path,
        vec![Directive::line("alias", [Arg::path(&file)?])],
    ))
}

/// FPM's ping through the environment's own upstream; it says which member answered, and asks no second one.
fn ping(site: &Site) -> Result<Directive, Unprintable> {
    let path = Arg::word("/.stratus/ping/").then(Arg::text(site.environment.as_str())?);
    let mut block = fastcgi::fpm_path(PING_PATH);
    block.extend([
        Directive::words("fastcgi_next_upstream", &["off"]),
        Directive::words("fastcgi_read_timeout", &["10s"]),
        Directive::line(
            "add_header",
            [
                MEMBER_HEADER.into(),
                Arg::var("upstream_addr"),
                "always".into(),
            ],
        ),
        Directive::line("fastcgi_pass", [parts::upstream_name(site)?]),
    ]);
    Ok(at(path, block))
}
