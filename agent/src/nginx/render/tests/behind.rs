//! Sites behind Varnish, and TLS.

use super::*;

fn full() -> Settings {
    Settings {
        ports: vec![80, 8080],
        tls: Tls::Offered,
        varnish: Varnish::Beside,
        ..settings()
    }
}

fn cached(name: &str) -> Site {
    Site {
        page_cache: PageCache::Varnish,
        ..site(name, 1)
    }
}

/// The text from `first` on.
fn from(table: &RouteTable, settings: &Settings, first: &str) -> String {
    let text = render(table, 7, settings, &layout()).unwrap();
    let begin = text
        .find(first)
        .unwrap_or_else(|| panic!("no {first}: {text}"));
    text[begin..].to_owned()
}

#[test]
fn a_site_behind_varnish_has_a_front_and_an_origin() {
    let mut shop = cached("shop");
    shop.shared = Vec::new();
    shop.deny = Vec::new();
    let text = from(
        &table([shop, site("blog", 0)]),
        &full(),
        "    fastcgi_keep_conn",
    );
    insta::assert_snapshot!(text);
}

#[test]
fn a_site_that_may_be_kept_is_as_any_other_where_there_is_no_varnish_or_no_pool() {
    let plain = rendered(&table([site("shop", 1)])).unwrap();
    assert_eq!(rendered(&table([cached("shop")])).unwrap(), plain);
    let unborn = Site {
        members: 0,
        ..cached("shop")
    };
    let text = render(&table([unborn]), 7, &full(), &layout()).unwrap();
    assert!(
        !text.contains("proxy_pass") && !text.contains("origin.sock"),
        "{text}"
    );
}

#[test]
fn the_first_site_behind_varnish_answers_there_for_unknown_names_and_the_first_of_all_elsewhere() {
    let text = from(
        &table([site("blog", 1), cached("shop"), cached("more")]),
        &full(),
        "server_name blog",
    );
    let socket = "listen unix:/var/lib/stratus/nginx/varnish/origin.sock";
    assert_eq!(
        text.matches(&format!("{socket} default_server backlog=4096;"))
            .count(),
        1
    );
    assert_eq!(text.matches(&format!("{socket};")).count(), 1);
    assert_eq!(text.matches("default_server").count(), 1, "{text}");
}

#[test]
fn tls_is_for_every_site_and_for_none_where_there_is_no_address() {
    let all = table([site("shop", 1), site("blog", 0)]);
    let plain = rendered(&all).unwrap();
    assert!(!plain.contains("ssl") && !plain.contains("443"), "{plain}");
    let mut secure = settings();
    secure.tls = Tls::Offered;
    let text = render(&all, 7, &secure, &layout()).unwrap();
    assert!(
        text.contains("listen 443 ssl default_server backlog=4096;"),
        "{text}"
    );
    assert!(text.contains("listen 443 ssl;"), "{text}");
    let nothing = render(&table([]), 7, &secure, &layout()).unwrap();
    assert!(
        nothing.contains("listen 443 ssl default_server"),
        "{nothing}"
    );
}

/// The text of `shop` behind Varnish, whose tenant wrote this.
fn with_rules(server: &str) -> String {
    let mut table = with_files("", server);
    table.sites[0].page_cache = PageCache::Varnish;
    from(&table, &full(), "real_ip_header")
}

#[test]
fn a_tenant_s_rules_see_how_the_visitor_came_and_not_how_nginx_asked_itself() {
    let text =
        with_rules("if ($scheme = http) { return 301 https://$host:$server_port$request_uri; }");
    assert!(text.contains("if ( $stratus_scheme = http )"), "{text}");
    assert!(
        text.contains("https://${host}:${stratus_port}${request_uri}"),
        "{text}"
    );
}

#[test]
fn what_a_rule_shows_to_some_visitors_only_is_marked_wherever_it_is_answered() {
    let marked = "set $stratus_private yes;";
    for (files, times) in [
        ("", 0),
        ("expires 1h;", 0),
        ("deny 192.0.2.1;", 1),
        // In it, and where its scripts are run; a pattern is one of the shared folder, too.
        ("location ^~ /admin { allow 192.0.2.1; deny all; }", 2),
        (
            "location ~ ^/(?:a|b) { auth_basic Shop; auth_basic_user_file .nginx/users; }",
            3,
        ),
        (
            "location /x { if ($remote_addr = 192.0.2.1) { return 403; } }",
            1,
        ),
        ("location ^~ /x { limit_except POST { deny all; } }", 2),
        ("location ^~ /x { limit_except GET { deny all; } }", 0),
        // In the folder, in the location inside, for its assets; and for what only begins so, and its scripts.
        (
            "location ^~ /media { deny all; } location /media/open { expires 1h; }",
            5,
        ),
    ] {
        let text = with_rules(files);
        assert_eq!(text.matches(marked).count(), times, "{files}: {text}");
    }
    // A header of his own hides those of outside, but not this one.
    let text = with_rules("location /a { add_header X-A b; }");
    let header = "add_header X-Stratus-Private $stratus_private always;";
    assert_eq!(text.matches(header).count(), 2, "{text}");
}

#[test]
fn a_header_of_a_tenant_does_not_hide_the_tag_from_a_varnish_of_the_operator() {
    let files = "add_header X-A b; location /a { add_header X-B c; } location /b { expires 1h; }";
    let text = rendered(&with_files("", files)).unwrap();
    let tag = "add_header X-Stratus-Generation $stratus_generation always;";
    // For all sites, and where he hides that.
    assert_eq!(text.matches(tag).count(), 3, "{text}");
    let mut shown = settings();
    shown.debug_header = DebugHeader::Shown;
    let text = render(&with_files("", files), 7, &shown, &layout()).unwrap();
    assert_eq!(text.matches(tag).count(), 0, "{text}");
}
