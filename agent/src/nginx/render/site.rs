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

use super::parts::{
    hidden, matching, not_found, previous_instead, script, scripts, source, upstream_name,
};
use super::tenant::Tenant;
use super::{CONNECTIONS, Doors, RenderError, Settings, closed, front, is_behind, value};
use crate::fpm::config::BACKLOG;
use crate::layout::Layout;
use crate::nginx::config::{Arg, Directive, Unprintable};
use crate::nginx::guard;
use crate::nginx::place::Places;
use crate::nginx::tenant::Rules;

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

/// The site's server, or both of them, and the maps that its tenant's rules need before it.
pub(super) fn servers(
    site: &Site,
    rules: &Rules,
    doors: Doors,
    settings: &Settings,
    layout: &Layout,
) -> Result<Vec<Directive>, RenderError> {
    let places = Places::of(site).map_err(|detail| RenderError::Site {
        environment: site.environment.to_string(),
        detail,
    })?;
    let tenant = Tenant {
        site,
        places: &places,
        layout,
        rules,
        waiting: waiting(site, settings),
        debug_header: settings.debug_header,
    };
    both(&tenant, doors).map_err(|e| value(site, e))
}

/// How many requests of a site may run PHP, or wait for it, at once: what the queues of its members take, and no more than
/// half of the connections there are. Each needs one from its visitor and one to PHP, by way of Varnish two more.
fn waiting(site: &Site, settings: &Settings) -> u32 {
    let connections = if is_behind(site) { 4 } else { 2 };
    let share = u32::from(settings.workers) * CONNECTIONS / connections / 2;
    let queues = u32::from(site.members) * BACKLOG;
    share.min(queues).clamp(1, u32::from(u16::MAX))
}

fn both(tenant: &Tenant<'_>, doors: Doors) -> Result<Vec<Directive>, Unprintable> {
    let Tenant { site, layout, .. } = *tenant;
    let hosts = site.hosts.iter().map(|host| Arg::host(host));
    let names = Directive::line("server_name", hosts.collect::<Result<Vec<_>, _>>()?);
    let mut all = tenant.maps()?;
    match doors {
        Doors::One(mut head) => {
            head.push(names);
            if site.members == 0 {
                head.extend(unavailable());
                return Ok(vec![Directive::block("server", [], head)]);
            }
            all.push(whole(tenant, head)?);
        }
        Doors::Two {
            front: listens,
            origin: mut head,
        } => {
            all.push(front::server(site, listens, names.clone(), layout)?);
            head.push(names);
            head.extend(front::origin(layout)?);
            all.push(whole(tenant, head)?);
        }
    }
    Ok(all)
}

/// The site as such, in a server that begins with `block`.
fn whole(tenant: &Tenant<'_>, mut block: Vec<Directive>) -> Result<Directive, Unprintable> {
    let Tenant {
        site,
        places,
        layout,
        ..
    } = *tenant;
    let live = Arg::path(&places.served(&layout.live(&site.environment)))?;
    block.push(Directive::line("root", [live]));
    // Before the tenant's rules: one of them may end what nginx does here.
    block.extend(closed::look(site, layout)?);
    block.extend(closed::page(site, places, layout)?);
    block.extend(tenant.server()?);
    for path in &places.denied {
        block.extend(denied(path)?);
    }
    for path in &places.shared {
        block.push(tenant.shared(path)?);
    }
    block.extend(tenant.locations()?);
    block.extend(hidden());
    if let Some(health) = &site.health {
        let path = ["=".into(), Arg::text(health)?];
        block.push(Directive::block("location", path, script(site, places)?));
    }
    block.extend(tenant.patterns()?);
    block.push(scripts(tenant.script(&[])?));
    block.push(source());
    block.push(matching("~*", guard::STATIC, asset(tenant)?));
    // A file that was found in one generation and opened in the next is looked for in `previous`.
    let rest = tenant.rest()?;
    block.push(Directive::block("location", ["/".into()], rest));
    block.push(previous(tenant)?);
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
fn asset(tenant: &Tenant<'_>) -> Result<Vec<Directive>, Unprintable> {
    let mut block = tenant.failures()?;
    block.push(previous_instead());
    block.push(Directive::words("log_not_found", &["off"]));
    Ok(block)
}

/// What `live` has no more. It is reached by name, past all patterns, so what is refused is refused here again.
fn previous(tenant: &Tenant<'_>) -> Result<Directive, Unprintable> {
    let link = tenant.layout.previous(&tenant.site.environment);
    let mut block = vec![Directive::line(
        "root",
        [Arg::path(&tenant.places.served(&link))?],
    )];
    let [one, two] = guard::HIDDEN;
    for (kind, pattern) in [("~", one), ("~", two), ("~*", guard::SOURCE)] {
        let condition = [
            "(".into(),
            Arg::var("uri"),
            kind.into(),
            Arg::pattern(pattern),
            ")".into(),
        ];
        block.push(Directive::block("if", condition, not_found()));
    }
    block.push(Directive::line(
        "try_files",
        [Arg::var("uri"), "=404".into()],
    ));
    Ok(Directive::block("location", ["@previous".into()], block))
}

fn denied(path: &str) -> Result<[Directive; 2], Unprintable> {
    let (itself, below) = (Arg::text(path)?, Arg::text(path)?.then("/".into()));
    Ok([
        Directive::block("location", ["=".into(), itself], not_found()),
        Directive::block("location", ["^~".into(), below], not_found()),
    ])
}
