//! A site with a Varnish beside nginx: one server before it, for visitors, and one behind it, the origin.
//!
//! ```text
//! visitors ─► front ─┬─ GET and HEAD of pages ─► Varnish ─┬─► origin ─► PHP, files
//!                    └─ everything else ──────────────────┘      the site as it is without a Varnish
//! ```
//!
//! The front decides where a request goes, and nothing else: who may see what, only the origin knows. So a site that is
//! closed is asked of the origin, past what Varnish keeps. With Varnish gone all is asked of the origin: no request is
//! lost, but a GET that Varnish had begun to answer with nothing is sent twice.

use std::path::Path;

use stratus_core::pool::GENERATION_HEADER;
use stratus_core::route::{Closed, Site};

use super::{DebugHeader, Rank, records};
use crate::layout::Layout;
use crate::nginx::config::{Arg, Directive, Unprintable};
use crate::nginx::guard;

/// The upstreams; no environment's is called so, for names of environments hold no `_`.
const ORIGIN: &str = "stratus_origin";
const CACHE: &str = "stratus_cache";
/// In which the front names the environment to Varnish.
const ENVIRONMENT_HEADER: &str = "X-Stratus-Environment";
/// What frameworks believe of a proxy before them, and Varnish does not tell pages apart by: from visitors it is taken off.
const UNKEYED: [&str; 11] = [
    "Forwarded",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Host",
    "X-Original-Host",
    "X-Original-URL",
    "X-Rewrite-URL",
    "Surrogate-Capability",
];
/// In which the origin says that an answer is not for everybody.
pub(super) const PRIVATE_HEADER: &str = "X-Stratus-Private";
/// Whether the request at hand is answered by rules that look at who asks.
const PRIVATE: &str = "stratus_private";

/// What all sites behind Varnish share.
pub(super) fn shared(layout: &Layout, debug: DebugHeader) -> Result<Vec<Directive>, Unprintable> {
    let mut http = vec![way(), host(), for_everybody()];
    http.extend(as_visitors_came());
    http.extend(transport());
    if debug == DebugHeader::Hidden {
        http.push(Directive::words("proxy_hide_header", &[GENERATION_HEADER]));
    }
    let server = |socket: &Path, more: &[&'static str]| -> Result<Directive, Unprintable> {
        // As for members: failures that are remembered would be answered by nginx alone.
        let mut words = vec![socket_of(socket)?, "max_fails=0".into()];
        words.extend(more.iter().map(|word| Arg::word(word)));
        Ok(Directive::line("server", words))
    };
    let (origin, visitors) = (layout.origin_socket(), layout.visitors_socket());
    http.push(Directive::block(
        "upstream",
        [ORIGIN.into()],
        vec![server(&origin, &[])?],
    ));
    http.push(Directive::block(
        "upstream",
        [CACHE.into()],
        vec![server(&visitors, &[])?, server(&origin, &["backup"])?],
    ));
    Ok(http)
}

/// The server that visitors reach.
pub(super) fn server(
    site: &Site,
    listens: Vec<Directive>,
    names: Directive,
    layout: &Layout,
) -> Result<Directive, Unprintable> {
    let mut block = listens;
    block.push(names);
    block.push(Directive::line(
        "client_max_body_size",
        [Arg::number(site.upload_limit)],
    ));
    block.push(records::to(layout, records::FRONT)?);
    let to = |upstream| Directive::line("set", [Arg::var("stratus_to"), upstream]);
    block.push(to(Arg::var("stratus_way")));
    for why in [Closed::Maintenance, Closed::Overdue] {
        let file = Arg::path(&layout.closed(&site.environment, why))?;
        let is_closed = ["(".into(), "-f".into(), file, ")".into()];
        block.push(Directive::block("if", is_closed, vec![to(ORIGIN.into())]));
    }
    let header =
        |name: &'static str, value| Directive::line("proxy_set_header", [name.into(), value]);
    let environment = Arg::text(site.environment.as_str())?;
    let mut pass = vec![
        Directive::line(
            "proxy_pass",
            [Arg::word("http://").then(Arg::var("stratus_to"))],
        ),
        header("Host", Arg::var("stratus_host")),
        header("X-Real-IP", Arg::var("remote_addr")),
        header("X-Forwarded-For", Arg::var("remote_addr")),
        header("X-Forwarded-Proto", Arg::var("scheme")),
        header(ENVIRONMENT_HEADER, environment),
        // Nobody but us says these.
        header(GENERATION_HEADER, "".into()),
        header(PRIVATE_HEADER, "".into()),
        header("X-Varnish", "".into()),
    ];
    pass.extend(UNKEYED.map(|name| header(name, "".into())));
    block.push(Directive::block("location", ["/".into()], pass));
    Ok(Directive::block("server", [], block))
}

/// Where the origin listens for Varnish and for the front.
pub(super) fn listen(rank: Rank, layout: &Layout) -> Result<Directive, Unprintable> {
    let socket = socket_of(&layout.origin_socket())?;
    Ok(Directive::line(
        "listen",
        [socket].into_iter().chain(rank.words()),
    ))
}

/// What stands at the head of the origin's server.
pub(super) fn origin(layout: &Layout) -> Result<Vec<Directive>, Unprintable> {
    Ok(vec![
        // A reload would close a connection on which Varnish, or the front, has just sent the next request.
        Directive::words("keepalive_timeout", &["0"]),
        // Over the socket only the front comes, and Varnish, which passes on what the front said.
        Directive::words("set_real_ip_from", &["unix:"]),
        Directive::words("real_ip_header", &["X-Real-IP"]),
        records::to(layout, records::ORIGIN)?,
        // Varnish tags its pages with it, and the front takes it off.
        Directive::words("fastcgi_pass_header", &[GENERATION_HEADER]),
        // What PHP says of buffering is for the front, too.
        Directive::words("fastcgi_pass_header", &["X-Accel-Buffering"]),
        private_header(),
    ])
}

/// Of rules that look at who asks: their answers are not kept.
pub(super) fn private() -> Directive {
    Directive::line("set", [Arg::var(PRIVATE), "yes".into()])
}

/// Says it to Varnish. Where a block adds a header of its own it hides those of outside, so each has this one.
pub(super) fn private_header() -> Directive {
    Directive::line(
        "add_header",
        [PRIVATE_HEADER.into(), Arg::var(PRIVATE), "always".into()],
    )
}

/// What of a variable of nginx's is true for the visitor, where the origin itself was asked over a socket.
pub(super) fn as_visitors_see(variable: &str) -> Option<&'static str> {
    Some(match variable {
        "scheme" => "stratus_scheme",
        "https" => "stratus_https",
        "server_port" => "stratus_port",
        "server_addr" => "stratus_address",
        _ => return None,
    })
}

/// `unix:PATH`.
pub(super) fn socket_of(path: &Path) -> Result<Arg, Unprintable> {
    Ok(Arg::word("unix:").then(Arg::path(path)?))
}

/// Where a request goes: files are nginx's own, and what is neither GET nor HEAD Varnish could only pass on.
fn way() -> Directive {
    let key = Arg::var("request_method")
        .then(":".into())
        .then(Arg::var("uri"));
    let entry = |key, upstream: &'static str| Directive::line(key, [upstream.into()]);
    let files = Arg::word("~*").then(Arg::pattern(guard::STATIC));
    let pages = Arg::word("~").then(Arg::pattern("^(?:GET|HEAD):"));
    let entries = vec![
        entry("default".into(), ORIGIN),
        entry(files, ORIGIN),
        entry(pages, CACHE),
    ];
    Directive::block("map", [key, Arg::var("stratus_way")], entries)
}

/// The visitor's `Host:` with its port, where it is the name by which this server was chosen: it need not be there, and a
/// request line that names a host goes before it.
fn host() -> Directive {
    let key = Arg::var("host")
        .then(" ".into())
        .then(Arg::var("http_host"));
    let same = Arg::word("~*").then(Arg::pattern(r"^(\S+) \1(?::[0-9]+)?$"));
    let entries = vec![
        Directive::line("default", [Arg::var("host")]),
        Directive::line(same, [Arg::var("http_host")]),
    ];
    Directive::block("map", [key, Arg::var("stratus_host")], entries)
}

/// An answer is for everybody until a location says otherwise, for good: what a server sets is set anew when nginx looks
/// a path up again.
fn for_everybody() -> Directive {
    let default = vec![Directive::words("default", &[""])];
    Directive::block("map", ["".into(), Arg::var(PRIVATE)], default)
}

/// At the origin: what the front says of a request that came over the socket, which has no port.
fn as_visitors_came() -> [Directive; 4] {
    let joined = |one, two| Arg::var(one).then(":".into()).then(Arg::var(two));
    let map = |key: Arg, name, entries: [(Arg, Arg); 2], more: Option<(Arg, Arg)>| {
        let entries = entries.into_iter().chain(more);
        let entries = entries.map(|(key, value)| Directive::line(key, [value]));
        Directive::block("map", [key, Arg::var(name)], entries.collect())
    };
    [
        map(
            joined("server_port", "http_x_forwarded_proto"),
            "stratus_scheme",
            [
                ("default".into(), "http".into()),
                (":https".into(), "https".into()),
            ],
            None,
        ),
        map(
            Arg::var("stratus_scheme"),
            "stratus_https",
            [("default".into(), "".into()), ("https".into(), "on".into())],
            None,
        ),
        map(
            joined("server_port", "stratus_scheme"),
            "stratus_port",
            [
                ("default".into(), Arg::var("server_port")),
                (":http".into(), "80".into()),
            ],
            Some((":https".into(), "443".into())),
        ),
        map(
            Arg::var("server_port"),
            "stratus_address",
            [
                ("default".into(), Arg::var("server_addr")),
                ("".into(), "127.0.0.1".into()),
            ],
            None,
        ),
    ]
}

/// How the front speaks to Varnish and to the origin.
fn transport() -> Vec<Directive> {
    vec![
        Directive::words("proxy_http_version", &["1.1"]),
        // Not `timeout`: a page that is slow is not made twice. A POST is not sent twice anyway.
        Directive::words("proxy_next_upstream", &["error"]),
        Directive::words("proxy_connect_timeout", &["5s"]),
        Directive::words("proxy_send_timeout", &["60s"]),
        // The origin gives up first, and says why.
        Directive::words("proxy_read_timeout", &["620s"]),
        // As much as the origin takes from PHP, and what Varnish adds.
        Directive::words("proxy_buffer_size", &["96k"]),
        Directive::words("proxy_buffers", &["16", "32k"]),
        Directive::words("proxy_busy_buffers_size", &["128k"]),
        Directive::words("proxy_hide_header", &[PRIVATE_HEADER]),
    ]
}
