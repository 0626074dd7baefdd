//! What visitors do during the demonstration.

use crate::demo::LIMIT;
use crate::load::{Check, Mix, Plan, Report, Request, Target};
use crate::stage::Place;

/// Pages of DokuWiki itself begin so.
const WIKI: &str = "/doku.php";

/// 32 keep-alive and 8 one-shot clients: pages, a search by POST, an asset, posted bodies, CPU-bound requests, uploads.
pub fn plan(place: &Place) -> anyhow::Result<Plan> {
    let mix = Mix::new(vec![
        Request::get("/doku.php?id=start").weight(45),
        Request::get("/doku.php?id=wiki:syntax").weight(3),
        Request::post("/doku.php?id=start")
            .fields("do=search&q=release")
            .weight(12),
        Request::get("/lib/tpl/dokuwiki/release.css").weight(22),
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

/// Requests that DokuWiki's own PHP answered.
pub fn answered_by_wiki(report: &Report) -> u64 {
    let of_wiki = report
        .by_request
        .iter()
        .filter(|line| line.path.starts_with(WIKI));
    of_wiki.map(|line| line.answered_php).sum()
}
