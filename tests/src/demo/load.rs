//! What visitors do during the demonstration.

use crate::demo::LIMIT;
use crate::load::{Check, Mix, Plan, Report, Request, RequestKind, Target};
use crate::stage::Place;

/// Of the wiki, 32 keep-alive and 8 one-shot clients: pages, a search by POST, an asset, posted bodies, CPU-bound requests, uploads.
pub fn of_wiki(place: &Place) -> anyhow::Result<Plan> {
    let mix = Mix::new(vec![
        Request::get("/doku.php?id=start").weight(52),
        Request::get("/doku.php?id=wiki:syntax").weight(2),
        Request::post("/doku.php?id=start")
            .fields("do=search&q=release")
            .weight(6),
        Request::get("/lib/tpl/dokuwiki/release.css").weight(20),
        Request::post("/stratus-post.php")
            .check(Check::Echo)
            .weight(15),
        Request::slow("/stratus-slow.php?ms=300").weight(1),
        Request::upload("/stratus-post.php", 1 << 20).weight(2),
    ])?;
    Ok(Plan::new(Target::new(place.http)?, mix)
        .host("wiki.example.test")
        .keepalive(32)
        .oneshot(8)
        .limit(LIMIT))
}

/// Of the shop, visitors who are not logged in: pages that Varnish keeps, assets, posted bodies, CPU-bound requests, uploads.
/// As many a second as leave those who are logged in their share of the CPUs.
pub fn of_shop(place: &Place) -> anyhow::Result<Plan> {
    let mix = Mix::new(vec![
        Request::get("/").weight(40),
        Request::get("/hello-world/").weight(20),
        Request::get("/sample-page/").weight(10),
        Request::get("/wp-content/mu-plugins/stratus/release.css").weight(10),
        Request::post("/stratus-post.php")
            .check(Check::Echo)
            .weight(15),
        Request::slow("/stratus-slow.php?ms=300").weight(1),
        Request::upload("/stratus-post.php", 1 << 20).weight(2),
    ])?;
    Ok(Plan::new(Target::new(place.http)?, mix)
        .host("shop.example.test")
        .keepalive(8)
        .oneshot(4)
        .rate(100)
        .limit(LIMIT))
}

/// Requests that DokuWiki's own PHP answered, at least: the only GETs of the mix that PHP answers are its pages. Searches
/// are not counted, for the report does not tell them from other POSTs.
pub fn answered_by_wiki(report: &Report) -> u64 {
    let of_wiki = report
        .by_request
        .iter()
        .filter(|line| line.kind == RequestKind::Get);
    of_wiki.map(|line| line.answered_php).sum()
}
