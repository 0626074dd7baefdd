//! Parts that the site's own locations and those of its tenant share.

use stratus_core::route::Site;

use super::fastcgi;
use crate::nginx::config::{Arg, Directive, Unprintable};
use crate::nginx::guard;
use crate::nginx::place::Places;

/// Name of the site's upstream.
pub(super) fn upstream_name(site: &Site) -> Result<Arg, Unprintable> {
    Ok(Arg::word("stratus-").then(Arg::text(site.environment.as_str())?))
}

/// A location for paths that match.
pub(super) fn matching(
    kind: &'static str,
    pattern: &'static str,
    block: Vec<Directive>,
) -> Directive {
    Directive::block("location", [kind.into(), Arg::pattern(pattern)], block)
}

pub(super) fn not_found() -> Vec<Directive> {
    vec![Directive::words("return", &["404"])]
}

/// Hidden files are not there.
pub(super) fn hidden() -> [Directive; 2] {
    guard::HIDDEN.map(|pattern| matching("~", pattern, not_found()))
}

/// The source of PHP is not there.
pub(super) fn source() -> Directive {
    matching("~*", guard::SOURCE, not_found())
}

/// What is not in `live` may be in `previous`: visitors still hold its pages.
pub(super) fn previous_instead() -> Directive {
    Directive::words("error_page", &["404", "=", "@previous"])
}

/// The front controller, with the visitor's query.
pub(super) fn front(places: &Places) -> Result<Arg, Unprintable> {
    Ok(Arg::text(&places.front)?
        .then(Arg::var("is_args"))
        .then(Arg::var("args")))
}

/// Runs the script that a path names.
pub(super) fn script(site: &Site, places: &Places) -> Result<Vec<Directive>, Unprintable> {
    // The script must be a file: `/upload.jpg/x.php` is not the picture as a script.
    let mut block = vec![Directive::line(
        "try_files",
        [Arg::var("uri"), "=404".into()],
    )];
    block.extend(fastcgi::parameters(&places.script_root, site.page_cache)?);
    block.push(Directive::line("fastcgi_pass", [upstream_name(site)?]));
    Ok(block)
}

/// Runs scripts.
pub(super) fn scripts(block: Vec<Directive>) -> Directive {
    matching("~", guard::PHP, block)
}
