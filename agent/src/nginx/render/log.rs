//! The log that the owner of an environment's code reads, in nginx's own format `combined`: written where visitors come
//! in, so that a request is in it once, with the visitor's address, also where Varnish stands behind.

use stratus_core::route::Site;

use super::{AccessLog, Settings, records};
use crate::layout::Layout;
use crate::nginx::config::{Arg, Directive, Unprintable};

/// What a site's only server writes down.
pub(super) fn of_one(
    site: &Site,
    settings: &Settings,
    layout: &Layout,
) -> Result<Vec<Directive>, Unprintable> {
    let file = of_front(site, settings, layout)?;
    if file.is_empty() {
        return Ok(file);
    }
    // A server that says where it writes is told of nowhere else.
    let records = records::to(layout, records::RECORD)?;
    Ok([vec![records], file].concat())
}

/// What the server before Varnish writes down, beside its records.
pub(super) fn of_front(
    site: &Site,
    settings: &Settings,
    layout: &Layout,
) -> Result<Vec<Directive>, Unprintable> {
    if settings.access_log == AccessLog::Absent {
        return Ok(Vec::new());
    }
    let file = Arg::path(&layout.access_log(&site.environment))?;
    let words = ["combined", "buffer=32k", "flush=1s"].map(Arg::word);
    let words = [file].into_iter().chain(words);
    Ok(vec![Directive::line("access_log", words)])
}
