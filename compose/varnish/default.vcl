# The cache of pages between visitors and PHP.
#
#   visitors ─► nginx ─► visitors.sock ─► Varnish ─► origin.sock ─► nginx ─► PHP-FPM
#                 └─ what is no GET and no HEAD ────────────┘
#   scripts  ─────────── port 80: PURGE; everything else passes, and is not kept
#
# nginx names the environment of a request in X-Stratus-Environment, a member of a pool its generation in
# X-Stratus-Generation. Both stay with what is kept, so that one environment, or all that is not of one generation, can be
# removed; nginx takes them off before visitors see them. What is kept, and for how long, the application says in
# Cache-Control; nothing is kept without it, nor with cookies on either side, nor what nginx's rules show to some visitors
# only (X-Stratus-Private).
#
#   PURGE                                      removes
#   /path, Host: shop.example.test             that URL
#   /path, Host: varnish                       that URL on every host
#   X-Magento-Tags-Pattern: REGEX              what has such a tag in X-Magento-Tags; .* is everything
#   X-Stratus-Generation: 43                   what is not of generation 43; from now on nothing else is kept
#   with X-Stratus-Environment: shop as well   of this environment only; needed with a generation
#
# A page that is too old (X-Stratus-Kept, each arrow but the last a restart):
#
#   found ─► "tried": asked for anew ─► had: served, and kept
#     │                              └► failed ─► "served": the old one
#     └► another visitor tries, or got no answer a moment ago: the old one at once
vcl 4.1;

import std;
import var;
import vsthrottle;

backend origin {
    .path = "/run/varnish/origin.sock";
    .connect_timeout = 1s;
    .first_byte_timeout = 600s;
    .between_bytes_timeout = 60s;
}

# === What is asked for

sub vcl_recv {
    # The names and bounds that the rest relies on, from nobody but nginx.
    if (local.socket == "visitors") {
        set req.http.X-Forwarded-For = req.http.X-Real-IP;
    } else {
        set req.http.X-Real-IP = client.ip;
        unset req.http.X-Forwarded-Proto;
    }
    if (req.restarts == 0) {
        unset req.http.X-Stratus-Kept;
        unset req.http.X-Stratus-Anew;
        unset req.http.X-Stratus-Page;
    }
    set req.http.X-Stratus-Host = std.tolower(regsub(req.http.Host, ":[0-9]+$", ""));
    set req.http.X-Stratus-Url = req.url;

    if (req.method == "PURGE") {
        if (local.socket == "visitors") {
            return (synth(405, "PURGE is for the network of the stack"));
        }
        call purge;
    }

    if (local.socket != "visitors" || !req.http.X-Stratus-Environment) {
        unset req.http.X-Stratus-Environment;
        return (pass);
    }
    # Cookies that only scripts in the visitor's browser read.
    if (req.http.Cookie) {
        set req.http.Cookie = regsuball(req.http.Cookie, "(^|;\s*)(_ga|_ga_[A-Z0-9]+|_gid|_gcl_[a-z]+|_fbp|__utm[a-z]+)=[^;]*", "");
        set req.http.Cookie = regsub(req.http.Cookie, "^[;\s]+", "");
        if (req.http.Cookie == "") {
            unset req.http.Cookie;
        }
    }
    if (req.http.X-Stratus-Anew) {
        set req.hash_always_miss = true;
    }
    if (req.http.X-Stratus-Kept == "tried") {
        set req.grace = 0s;
        # What is asked for in the background may take long.
        set req.hash_ignore_busy = true;
    } elsif (req.http.X-Stratus-Kept == "served") {
        # A restart does not undo what was set before it.
        set req.grace = 24h;
        set req.hash_ignore_busy = false;
    }
    # Then Varnish's own: cookies and logins pass.
}

sub vcl_hash {
    hash_data(req.http.X-Forwarded-Proto);
    hash_data(req.http.X-Stratus-Environment);
    # Then Varnish's own: the URL and the host.
}

# === PURGE

# Ends with an answer: 200, or 400 and why.
sub purge {
    if (req.http.X-Stratus-Environment && req.http.X-Stratus-Environment !~ "^[a-z][a-z0-9-]*$") {
        return (synth(400, "X-Stratus-Environment is no name"));
    }
    if (req.http.X-Stratus-Generation && req.http.X-Stratus-Generation !~ "^[0-9]+$") {
        return (synth(400, "X-Stratus-Generation is no number"));
    }
    if (req.http.X-Stratus-Generation && !req.http.X-Stratus-Environment) {
        return (synth(400, "X-Stratus-Generation needs X-Stratus-Environment"));
    }

    # Always true.
    set req.http.X-Stratus-Ban = "obj.status != 0";
    if (req.http.X-Stratus-Environment) {
        set req.http.X-Stratus-Ban = req.http.X-Stratus-Ban
            + " && obj.http.X-Stratus-Environment == " + req.http.X-Stratus-Environment;
    }
    if (req.http.X-Stratus-Generation) {
        # First, so that a page of another generation that arrives meanwhile is not kept.
        var.global_set("generation " + req.http.X-Stratus-Environment, req.http.X-Stratus-Generation);
        set req.http.X-Stratus-Ban = req.http.X-Stratus-Ban
            + " && obj.http.X-Stratus-Generation != " + req.http.X-Stratus-Generation;
    } elsif (req.http.X-Magento-Tags-Pattern) {
        if (req.http.X-Magento-Tags-Pattern != ".*") {
            # A space would end the expression.
            set req.http.X-Stratus-Ban = req.http.X-Stratus-Ban
                + " && obj.http.X-Magento-Tags ~ " + regsuball(req.http.X-Magento-Tags-Pattern, "\s", "\\s");
        }
    } else {
        set req.http.X-Stratus-Ban = req.http.X-Stratus-Ban + " && obj.http.X-Stratus-Url == " + req.url;
        if (req.http.X-Stratus-Host != "varnish") {
            set req.http.X-Stratus-Ban = req.http.X-Stratus-Ban
                + " && obj.http.X-Stratus-Host == " + req.http.X-Stratus-Host;
        }
    }
    if (std.ban(req.http.X-Stratus-Ban)) {
        return (synth(200, "Purged"));
    }
    return (synth(400, std.ban_error()));
}

# === What is there

sub vcl_hit {
    # Made by an earlier generation, and kept in the moment in which the cache was cleared of it.
    if (obj.http.X-Stratus-Generation
        && var.global_get("generation " + req.http.X-Stratus-Environment)
        && obj.http.X-Stratus-Generation != var.global_get("generation " + req.http.X-Stratus-Environment)) {
        set req.http.X-Stratus-Anew = "yes";
        return (restart);
    }
    # For 10 seconds the old page is served while it is asked for anew. Later only if it cannot be had, or while one visitor
    # finds out: where the origin is slow, one in 20 seconds waits for it, and not all of them.
    if (obj.ttl + 10s < 0s && !req.http.X-Stratus-Kept) {
        set req.http.X-Stratus-Page = req.http.X-Stratus-Environment + " " + req.http.X-Forwarded-Proto
            + " " + req.http.Host + " " + req.url;
        if (!vsthrottle.is_denied(req.http.X-Stratus-Page, 1, 20s)) {
            set req.http.X-Stratus-Kept = "tried";
            return (restart);
        }
    }
}

# === What the origin answers

sub vcl_backend_fetch {
    if (bereq.http.X-Stratus-Kept) {
        set bereq.first_byte_timeout = 10s;
    }
}

sub vcl_backend_response {
    # It answers: the next one may try as well.
    if (bereq.http.X-Stratus-Kept == "tried") {
        vsthrottle.return_token(bereq.http.X-Stratus-Page, 1, 20s);
    }
    # A page that is too old is better than a failure.
    if (beresp.status >= 500 && (bereq.is_bgfetch || bereq.http.X-Stratus-Kept)) {
        return (abandon);
    }
    set beresp.http.X-Stratus-Url = bereq.http.X-Stratus-Url;
    set beresp.http.X-Stratus-Host = bereq.http.X-Stratus-Host;
    set beresp.http.X-Stratus-Environment = bereq.http.X-Stratus-Environment;
    # It is for this visitor.
    if (beresp.http.X-Stratus-Private) {
        set beresp.ttl = 0s;
        set beresp.grace = 0s;
        set beresp.uncacheable = true;
        return (deliver);
    }
    # Where there is a Surrogate-Control, Varnish itself does not look at Cache-Control.
    if (beresp.http.Cache-Control ~ "(?i)(private|no-store|no-cache)") {
        set beresp.ttl = 0s;
        set beresp.grace = 0s;
        set beresp.uncacheable = true;
        return (deliver);
    }
    # A page that an earlier generation made, and that arrives after the cache was cleared of it.
    if (var.global_get("generation " + bereq.http.X-Stratus-Environment)
        && beresp.http.X-Stratus-Generation
        && beresp.http.X-Stratus-Generation != var.global_get("generation " + bereq.http.X-Stratus-Environment)) {
        set beresp.ttl = 0s;
        set beresp.grace = 0s;
        set beresp.uncacheable = true;
        return (deliver);
    }
    set beresp.grace = 24h;
    # Then Varnish's own: Set-Cookie and what has no time to live are not kept.
}

sub vcl_backend_error {
    if (bereq.is_bgfetch || bereq.http.X-Stratus-Kept) {
        return (abandon);
    }
    set beresp.http.X-Stratus-Failed = "yes";
    set beresp.http.Content-Type = "text/plain; charset=utf-8";
    set beresp.http.Retry-After = "5";
    set beresp.body = {"The shop does not answer. Please try again soon.
"};
    return (deliver);
}

# === What visitors get

sub vcl_synth {
    # A new page could not be had.
    if (resp.status == 503 && req.http.X-Stratus-Kept == "tried") {
        set req.http.X-Stratus-Kept = "served";
        return (restart);
    }
    if (resp.status == 503) {
        set resp.http.X-Cache = "FAIL";
    }
    unset resp.http.X-Varnish;
    set resp.http.Content-Type = "text/plain; charset=utf-8";
    set resp.body = resp.reason + {"
"};
    return (deliver);
}

sub vcl_deliver {
    unset resp.http.X-Stratus-Url;
    unset resp.http.X-Stratus-Host;
    unset resp.http.X-Stratus-Environment;
    unset resp.http.X-Stratus-Private;
    # Visitors see it where nginx.debug_header says so.
    if (local.socket != "visitors") {
        unset resp.http.X-Stratus-Generation;
    }
    unset resp.http.X-Magento-Tags;
    unset resp.http.X-Varnish;
    unset resp.http.Via;
    # HIT, MISS or PASS for operators; it names no internals. FAIL is counted as lost by the server.
    if (resp.http.X-Stratus-Failed) {
        unset resp.http.X-Stratus-Failed;
        set resp.http.X-Cache = "FAIL";
    } elsif (obj.uncacheable) {
        set resp.http.X-Cache = "PASS";
    } elsif (obj.hits > 0) {
        set resp.http.X-Cache = "HIT";
    } else {
        set resp.http.X-Cache = "MISS";
    }
}
