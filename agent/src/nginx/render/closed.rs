//! A site that is closed to visitors: while one of two files is there, PHP is answered by a page of its own. So it is where
//! more requests wait than the pool's queue takes, or than one site may hold up without hurting the others.
//!
//! Static files, the readiness check and the private socket are answered all the same.

use stratus_core::route::{Closed, Site};

use crate::layout::Layout;
use crate::nginx::config::{Arg, Directive, Unprintable};
use crate::nginx::place::Places;

/// The page, as nginx finds it. No visitor can ask for it.
const PAGE: &str = "/.stratus/maintenance";
/// Where it is said in a sentence: there is no page, or the release does not have it.
const PLAIN: &str = "@maintenance";
/// What is said where the operator has no page.
const SENTENCE: &str = "This site is being maintained. Please try again soon.";
/// Name of the table that counts requests for PHP.
const WAITING: &str = "stratus_waiting";
/// Who is shut out: 1 for them, 0 for the exempt.
const VISITOR: &str = "stratus_visitor";

/// Who is exempt.
pub(super) fn exemptions(site: &Site) -> Result<Directive, Unprintable> {
    let mut networks = vec![Directive::words("default", &["1"])];
    for network in &site.maintenance.allow {
        networks.push(Directive::line(Arg::text(network)?, ["0".into()]));
    }
    let visitor = Arg::var_of(VISITOR, &site.environment);
    Ok(Directive::block("geo", [visitor], networks))
}

/// Of the server: finds out, at every request, whether it is closed to its sender.
pub(super) fn look(site: &Site, layout: &Layout) -> Result<Vec<Directive>, Unprintable> {
    let mut look = vec![Directive::line(
        "set",
        [Arg::var("stratus_closed"), "0".into()],
    )];
    for why in [Closed::Maintenance, Closed::Overdue] {
        let file = Arg::path(&layout.closed(&site.environment, why))?;
        let visitor = Arg::var_of(VISITOR, &site.environment);
        let set = Directive::line("set", [Arg::var("stratus_closed"), visitor]);
        look.push(Directive::block(
            "if",
            ["(".into(), "-f".into(), file, ")".into()],
            vec![set],
        ));
    }
    Ok(look)
}

/// Of a location: answers 503 where the site is closed.
pub(super) fn gate() -> [Directive; 2] {
    [
        Directive::block(
            "if",
            ["(".into(), Arg::var("stratus_closed"), ")".into()],
            vec![Directive::words("return", &["503"])],
        ),
        Directive::words("error_page", &["503", PAGE]),
    ]
}

/// Counts the requests of each site that run PHP or wait for it.
pub(super) fn counting() -> [Directive; 2] {
    [
        Directive::line(
            "limit_conn_zone",
            [
                Arg::var("server_name"),
                Arg::word("zone=").then(WAITING.into()).then(":1m".into()),
            ],
        ),
        Directive::words("limit_conn_status", &["503"]),
    ]
}

/// Of a location that runs PHP: answers 503 beyond `most` requests at once.
pub(super) fn bound(most: u32) -> Directive {
    Directive::line("limit_conn", [WAITING.into(), Arg::number(most)])
}

/// The page: the operator's, where there is one and the live release has it, else a sentence.
pub(super) fn page(
    site: &Site,
    places: &Places,
    layout: &Layout,
) -> Result<Vec<Directive>, Unprintable> {
    let seconds = Arg::number(site.maintenance.retry_after.as_secs());
    let headers = [
        Directive::line(
            "add_header",
            ["Retry-After".into(), seconds, "always".into()],
        ),
        Directive::words("add_header", &["Cache-Control", "no-store", "always"]),
    ];
    let look = match site
        .maintenance
        .page
        .as_ref()
        .and_then(|page| page.to_str())
    {
        Some(page) => {
            let live = places.served(&layout.live(&site.environment));
            let page = Arg::text(&format!("/{page}"))?;
            vec![
                Directive::line("root", [Arg::path(&live)?]),
                Directive::line("try_files", [page, PLAIN.into()]),
            ]
        }
        None => plain(),
    };
    let found = [
        vec![Directive::words("internal", &[])],
        headers.to_vec(),
        look,
    ]
    .concat();
    let missing = [headers.to_vec(), plain()].concat();
    Ok(vec![
        Directive::block("location", ["=".into(), PAGE.into()], found),
        Directive::block("location", [PLAIN.into()], missing),
    ])
}

fn plain() -> Vec<Directive> {
    vec![
        Directive::words("default_type", &["text/plain"]),
        Directive::words("return", &["503", SENTENCE]),
    ]
}
