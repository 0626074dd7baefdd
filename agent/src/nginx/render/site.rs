//! One environment's upstream and server.
//!
//! ```text
//! hidden, denied, source of PHP        404
//! *.php that is a file                 a member
//! what looks static                    live, else previous, else 404: never the front controller
//! shared folders                       the working tree; PHP in them is neither run nor shown
//! everything else                      a file or folder of live, else the front controller
//! ```

use stratus_core::route::Site;

use super::place::Places;
use super::{RenderError, closed, fastcgi, value};
use crate::layout::Layout;
use crate::nginx::config::{Arg, Directive, Unprintable};

/// File names that begin with a dot, but not `/.well-known/`.
const HIDDEN: [&str; 2] = [r"^/\.(?!well-known/)", r"^/.+/\."];
/// Names of PHP source, with what editors and backups append.
const SOURCE: &str = r"\.(?:php|phtml|phar|phps|pht|inc)[0-9]*(?:[~._-][^/]*)?$";
/// Names of files that a page refers to, and no script makes up. Not `txt` and `xml`, which scripts do.
const STATIC: &str = concat!(
    r"\.(?:css|js|mjs|map|wasm|webmanifest|jpe?g|png|gif|webp|avif|svgz?|ico|bmp|tiff?|cur",
    r"|woff2?|ttf|otf|eot|mp4|m4v|webm|ogv|ogg|oga|mp3|wav|m4a|flac)$"
);

/// Name of the site's upstream.
pub(super) fn upstream_name(site: &Site) -> Result<Arg, Unprintable> {
    Ok(Arg::word("stratus-").then(Arg::text(site.environment.as_str())?))
}

/// The sockets of the members, found through `live` at every request. None while there are no members.
pub(super) fn upstream(site: &Site, layout: &Layout) -> Result<Option<Directive>, Unprintable> {
    if site.members == 0 {
        return Ok(None);
    }
    let sockets = layout.live(&site.environment).join("sock");
    let mut members = Vec::new();
    for index in 0..site.members {
        let socket = Arg::path(&sockets.join(format!("{index}.sock")))?;
        // Failures counted against an old pool would outlive the flip: 9 s of 502 from a healthy new one.
        let address = Arg::word("unix:").then(socket);
        members.push(Directive::line("server", [address, "max_fails=0".into()]));
    }
    Ok(Some(Directive::block(
        "upstream",
        [upstream_name(site)?],
        members,
    )))
}

/// The server of a table without sites.
pub(super) fn nothing(listens: Vec<Directive>) -> Directive {
    let mut block = listens;
    block.extend(unavailable());
    Directive::block("server", [], block)
}

/// The site's server.
pub(super) fn server(
    site: &Site,
    listens: Vec<Directive>,
    layout: &Layout,
) -> Result<Directive, RenderError> {
    let places = Places::of(site).map_err(|detail| RenderError::Site {
        environment: site.environment.to_string(),
        detail,
    })?;
    block(site, listens, layout, &places).map_err(|e| value(site, e))
}

fn block(
    site: &Site,
    listens: Vec<Directive>,
    layout: &Layout,
    places: &Places,
) -> Result<Directive, Unprintable> {
    let mut block = listens;
    let hosts = site.hosts.iter().map(|host| Arg::host(host));
    let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
    block.push(Directive::line("server_name", hosts));
    if site.members == 0 {
        block.extend(unavailable());
        return Ok(Directive::block("server", [], block));
    }
    let live = Arg::path(&places.served(&layout.live(&site.environment)))?;
    block.extend([
        Directive::line("root", [live]),
        Directive::words("index", &["index.php", "index.html"]),
        Directive::line("client_max_body_size", [Arg::number(site.upload_limit)]),
    ]);
    block.extend(closed::look(site, layout)?);
    block.push(closed::page(site, places, layout)?);
    for path in &places.denied {
        block.extend(denied(path)?);
    }
    for path in &places.shared {
        block.push(shared(path, places)?);
    }
    block.extend(HIDDEN.map(|pattern| matching("~", pattern, not_found())));
    if let Some(health) = &site.health {
        let script = php(site, places, &[])?;
        block.push(Directive::block(
            "location",
            ["=".into(), Arg::text(health)?],
            script,
        ));
    }
    let script = php(site, places, &closed::gate())?;
    block.push(matching("~", r"\.php$", script));
    block.push(matching("~*", SOURCE, not_found()));
    block.push(matching("~*", STATIC, asset()));
    let front = vec![
        Arg::var("uri"),
        Arg::var("uri").then("/".into()),
        front(places)?,
    ];
    let rest = vec![
        Directive::line("try_files", front),
        // A file that was found in one generation and opened in the next.
        previous_instead(),
    ];
    block.push(Directive::block("location", ["/".into()], rest));
    let previous = Arg::path(&places.served(&layout.previous(&site.environment)))?;
    block.push(Directive::block(
        "location",
        ["@previous".into()],
        vec![
            Directive::line("root", [previous]),
            Directive::line("try_files", [Arg::var("uri"), "=404".into()]),
        ],
    ));
    Ok(Directive::block("server", [], block))
}

/// Answers 503 to everything: there is no pool yet.
fn unavailable() -> Vec<Directive> {
    vec![
        Directive::words("default_type", &["text/plain"]),
        Directive::words("add_header", &["Retry-After", "5", "always"]),
        Directive::block(
            "location",
            ["/".into()],
            vec![Directive::words(
                "return",
                &[
                    "503",
                    "Nothing is deployed here yet. Please try again soon.",
                ],
            )],
        ),
    ]
}

/// A file of a page: opened, and not looked for first, so that a flip cannot come in between.
fn asset() -> Vec<Directive> {
    vec![
        previous_instead(),
        Directive::words("log_not_found", &["off"]),
    ]
}

/// What is not in `live` may be in `previous`: visitors still hold its pages.
fn previous_instead() -> Directive {
    Directive::words("error_page", &["404", "=", "@previous"])
}

/// The front controller, with the visitor's query.
fn front(places: &Places) -> Result<Arg, Unprintable> {
    Ok(Arg::text(&places.front)?
        .then(Arg::var("is_args"))
        .then(Arg::var("args")))
}

/// A script, behind `gate`.
fn php(site: &Site, places: &Places, gate: &[Directive]) -> Result<Vec<Directive>, Unprintable> {
    // The script must be a file: `/upload.jpg/x.php` is not the picture as a script.
    let mut block = vec![Directive::line(
        "try_files",
        [Arg::var("uri"), "=404".into()],
    )];
    block.extend_from_slice(gate);
    block.extend(fastcgi::parameters(&places.script_root)?);
    block.push(Directive::line("fastcgi_pass", [upstream_name(site)?]));
    Ok(block)
}

fn denied(path: &str) -> Result<[Directive; 2], Unprintable> {
    let (itself, below) = (Arg::text(path)?, Arg::text(path)?.then("/".into()));
    Ok([
        Directive::block("location", ["=".into(), itself], not_found()),
        Directive::block("location", ["^~".into(), below], not_found()),
    ])
}

/// A shared folder: visitors write to it through PHP, so it is trusted with nothing.
fn shared(path: &str, places: &Places) -> Result<Directive, Unprintable> {
    let root = Arg::path(&places.working_root)?;
    let mut block = vec![
        Directive::line("root", [root.clone()]),
        // A link that PHP made is followed to what its maker owns, and nowhere else. Only here: the links of a
        // release were checked when it was made.
        Directive::line(
            "disable_symlinks",
            ["if_not_owner".into(), Arg::word("from=").then(root)],
        ),
    ];
    block.extend(HIDDEN.map(|pattern| matching("~", pattern, not_found())));
    block.push(matching("~*", SOURCE, not_found()));
    let file_only = vec![Directive::line(
        "try_files",
        [Arg::var("uri"), "=404".into()],
    )];
    block.push(matching("~*", STATIC, file_only));
    block.push(Directive::line(
        "try_files",
        [Arg::var("uri"), front(places)?],
    ));
    let below = Arg::text(path)?.then("/".into());
    Ok(Directive::block("location", ["^~".into(), below], block))
}

fn matching(kind: &'static str, pattern: &'static str, block: Vec<Directive>) -> Directive {
    Directive::block("location", [kind.into(), Arg::pattern(pattern)], block)
}

fn not_found() -> Vec<Directive> {
    vec![Directive::words("return", &["404"])]
}
