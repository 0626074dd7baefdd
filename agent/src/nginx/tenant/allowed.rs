//! The directives that a tenant's files may hold, where, and why: the only list of them. `docs/nginx.md` shows it.

use std::fmt;

/// Where a directive stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// In a file of `http_level`.
    Http,
    /// In a file of `server_level`.
    Server,
    /// In a `location`.
    Location,
    /// In a `location @name`.
    Named,
    /// In an `if`.
    If,
    /// In a `limit_except`.
    LimitExcept,
}

use Context::{Http, If, LimitExcept, Location, Named, Server};

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Http => "http_level",
            Server => "server_level",
            Location => "location",
            Named => "location @name",
            If => "if",
            LimitExcept => "limit_except",
        })
    }
}

/// How often a directive may stand in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Once.
    Once,
    /// As often as one likes.
    Many,
}

/// A directive that is allowed.
#[derive(Debug)]
pub struct Allowed {
    /// Its name.
    pub name: &'static str,
    /// Where it may stand.
    pub contexts: &'static [Context],
    /// How often it may stand there.
    pub times: Times,
    /// How it is written.
    pub form: &'static str,
    /// Why it is safe to allow, and what keeps it so.
    pub why: &'static str,
}

const SITE: &[Context] = &[Http, Server, Location];
const FLOW: &[Context] = &[Server, Location, Named, If];

const fn entry(
    name: &'static str,
    contexts: &'static [Context],
    times: Times,
    form: &'static str,
    why: &'static str,
) -> Allowed {
    Allowed {
        name,
        contexts,
        times,
        form,
        why,
    }
}

/// All of them, by name.
pub const ALLOWED: [Allowed; 26] = [
    entry(
        "add_header",
        &[Http, Server, Location, Named],
        Times::Many,
        "NAME VALUE [always]",
        "Adds to answers of this site only. Not the headers that frame a message, nor `X-Stratus-…`",
    ),
    entry(
        "allow",
        SITE,
        Times::Many,
        "ADDRESS | NETWORK | all",
        "Only narrows who is served",
    ),
    entry(
        "auth_basic",
        SITE,
        Times::Once,
        "REALM | off",
        "Only narrows who is served",
    ),
    entry(
        "auth_basic_user_file",
        SITE,
        Times::Once,
        "FILE",
        "A file of the working tree. Its content is taken when it is accepted, so no link can lead elsewhere later; hashes that take long to check are refused",
    ),
    entry(
        "client_max_body_size",
        SITE,
        Times::Once,
        "SIZE",
        "Never above `upload_limit` of the environment",
    ),
    entry(
        "deny",
        &[Http, Server, Location, LimitExcept],
        Times::Many,
        "ADDRESS | NETWORK | all",
        "Only narrows who is served",
    ),
    entry(
        "error_page",
        SITE,
        Times::Many,
        "STATUS… [=[STATUS]] PATH | URL | @NAME",
        "The path is looked up anew, past all that is refused to visitors",
    ),
    entry(
        "expires",
        &[Http, Server, Location, Named],
        Times::Once,
        "[modified] TIME | epoch | max | off | $VARIABLE",
        "A header of this site's answers",
    ),
    entry(
        "gzip",
        SITE,
        Times::Once,
        "on | off",
        "Compresses answers of this site",
    ),
    entry(
        "gzip_comp_level",
        SITE,
        Times::Once,
        "1 … 6",
        "More costs all sites CPU time and saves nothing",
    ),
    entry(
        "gzip_disable",
        SITE,
        Times::Once,
        "PATTERN…",
        "Compresses less",
    ),
    entry(
        "gzip_http_version",
        SITE,
        Times::Once,
        "1.0 | 1.1",
        "Compresses less",
    ),
    entry(
        "gzip_min_length",
        SITE,
        Times::Once,
        "BYTES",
        "Compresses less",
    ),
    entry(
        "gzip_proxied",
        SITE,
        Times::Many,
        "KIND…",
        "Compresses answers of this site",
    ),
    entry(
        "gzip_static",
        SITE,
        Times::Once,
        "on | off",
        "A file of the release with `.gz` behind its name; not where `deny` names one",
    ),
    entry(
        "gzip_types",
        SITE,
        Times::Many,
        "TYPE…",
        "Compresses answers of this site",
    ),
    entry(
        "gzip_vary",
        SITE,
        Times::Once,
        "on | off",
        "A header of this site's answers",
    ),
    entry(
        "if",
        &[Server, Location, Named],
        Times::Many,
        "($VARIABLE [= | != | ~ | ~* | !~ | !~* VALUE]) { … }",
        "Holds only set, return and rewrite. No tests of files: they would tell what is on the host",
    ),
    entry(
        "index",
        SITE,
        Times::Once,
        "NAME…",
        "Plain file names; what is found is looked up anew",
    ),
    entry(
        "limit_except",
        &[Location],
        Times::Once,
        "METHOD… { deny all; }",
        "Refuses the methods that it does not name. Whom it let in would come past the gate of maintenance and all other rules of the location",
    ),
    entry(
        "location",
        &[Server],
        Times::Many,
        "[= | ^~ | ~ | ~*] PATH { … } | @NAME { … }",
        "PHP runs in it as elsewhere; hidden files, source and `deny` stay refused; not inside another one",
    ),
    entry(
        "map",
        &[Http],
        Times::Many,
        "SOURCE $VARIABLE { … }",
        "The variable is this environment's own, whatever others call theirs",
    ),
    entry(
        "return",
        FLOW,
        Times::Many,
        "STATUS [TEXT | URL] | URL",
        "An answer without a file",
    ),
    entry(
        "rewrite",
        FLOW,
        Times::Many,
        "PATTERN REPLACEMENT [FLAG]",
        "The path is looked up anew, past all that is refused to visitors; so no `break` in a location",
    ),
    entry(
        "set",
        FLOW,
        Times::Many,
        "$VARIABLE VALUE",
        "The variable is this environment's own; none of nginx's",
    ),
    entry(
        "try_files",
        &[Location],
        Times::Once,
        "FILE… PATH | @NAME | =STATUS",
        "Files are `$uri`, `$uri/`, `$uri.html` and paths that are written out, less what is hidden or in `deny`; the last one is looked up anew",
    ),
];

/// The directive `name`, if it is allowed anywhere.
pub fn find(name: &str) -> Option<&'static Allowed> {
    ALLOWED.iter().find(|allowed| allowed.name == name)
}

/// Why a directive that is allowed nowhere is not, and what to do instead.
pub fn refusal(name: &str) -> &'static str {
    match name {
        "root" | "alias" => "the live release and the shared folders are served; put files there",
        "include" => "every `.conf` file of the folder is read; put the other file there",
        "proxy_pass" | "fastcgi_pass" | "uwsgi_pass" | "scgi_pass" | "grpc_pass"
        | "memcached_pass" | "mirror" | "upstream" | "auth_request" => {
            "requests go to the environment's own members and nowhere else; take it out"
        }
        "listen" | "server" | "server_name" | "http" | "events" | "stream" | "mail" => {
            "the site's server is made from the configuration of the environment; put its rules into server_level, names into `hosts`"
        }
        "access_log" | "error_log" | "log_format" => {
            "requests are counted from nginx's log; take it out"
        }
        "client_body_buffer_size" | "large_client_header_buffers" => {
            "buffers are shared by all sites; take it out"
        }
        "resolver" => "nginx looks up no names; take it out",
        "internal" => "error_page and try_files reach every location; take it out",
        "break" => "use `last` behind a rewrite",
        "satisfy" => "access rules and passwords must both let a request pass; take it out",
        _ if is_code(name) => "it loads or runs code in nginx, which serves all sites; take it out",
        _ if name.starts_with("ssl_") => "certificates are set for the whole host; take it out",
        _ if name.starts_with("fastcgi_") || name.starts_with("proxy_") => {
            "how members are reached is the same for every site; take it out"
        }
        _ => "only the directives that docs/nginx.md lists are; take it out",
    }
}

fn is_code(name: &str) -> bool {
    let families = ["perl", "js_", "lua_", "modsecurity", "passenger", "njs"];
    let families = families.iter().any(|family| name.starts_with(family));
    families
        || name.contains("_by_lua")
        || ["load_module", "ssl_engine", "env", "user"].contains(&name)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// The table of `docs/nginx.md`.
    fn table() -> String {
        let mut text =
            "| directive | where | form | why it may be there |\n| --- | --- | --- | --- |\n"
                .to_owned();
        for Allowed {
            name,
            contexts,
            form,
            why,
            ..
        } in &ALLOWED
        {
            let places: Vec<String> = contexts.iter().map(Context::to_string).collect();
            let form = form.replace('|', "\\|");
            let _ = writeln!(
                text,
                "| `{name}` | {} | `{form}` | {why} |",
                places.join(", ")
            );
        }
        text
    }

    #[test]
    fn the_page_in_docs_lists_these_directives_and_no_others() {
        let page = include_str!("../../../../docs/nginx.md");
        assert!(
            page.contains(&table()),
            "put this into docs/nginx.md:\n{}",
            table()
        );
        let rows = page.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(
            rows,
            ALLOWED.len(),
            "a row of docs/nginx.md is not in the list"
        );
    }

    #[test]
    fn the_list_is_in_order_and_no_directive_is_refused_and_allowed() {
        assert!(ALLOWED.is_sorted_by_key(|allowed| allowed.name));
        for Allowed { name, .. } in &ALLOWED {
            assert!(refusal(name).starts_with("only the directives"), "{name}");
        }
    }
}
