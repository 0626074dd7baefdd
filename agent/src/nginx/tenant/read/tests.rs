//! What is accepted and what is refused, by directive; and the payloads of configuration injections that became known.

mod groups;

use std::path::Path;

use proptest::prelude::*;

use super::super::allowed::ALLOWED;
use super::super::{stored, tests::site};
use super::*;
use crate::nginx::config::parse::Node;

fn both(http: &str, server: &str) -> Result<Rules, String> {
    let source = |level, name: &str, text: &str| Source {
        name: name.to_owned(),
        level,
        text: text.to_owned(),
    };
    let site = site(Path::new("/srv/shop"));
    let places = Places::of(&site).unwrap();
    let desk = Desk {
        places: &places,
        health: Some("/health.php"),
        upload_limit: site.upload_limit,
        passwords: &|_| Ok("anna:{SHA}x\n".to_owned()),
    };
    let sources = [
        source(Level::Http, "http.conf", http),
        source(Level::Server, "server.conf", server),
    ];
    let lines = |refusals: Vec<Refusal>| {
        let lines: Vec<String> = refusals.iter().map(Refusal::to_string).collect();
        lines.join("\n") + "\n"
    };
    read(&sources, &desk).map(|(rules, _)| rules).map_err(lines)
}

fn server(text: &str) -> Result<Rules, String> {
    both("", text)
}

/// Refusals of a text of `server_level`.
fn refusal(text: &str) -> String {
    match server(text) {
        Ok(rules) => panic!("{text} was accepted: {rules:?}"),
        Err(refusal) => refusal,
    }
}

#[test]
fn the_samples_hold_every_directive_and_are_accepted() {
    let (http, server) = (
        include_str!("../samples/http_level.conf"),
        include_str!("../samples/server_level.conf"),
    );
    both(http, server).unwrap();
    for allowed in &ALLOWED {
        let begins = |line: &str| line.split_whitespace().next() == Some(allowed.name);
        assert!(
            http.lines().chain(server.lines()).any(begins),
            "{}",
            allowed.name
        );
    }
}

#[test]
fn a_refusal_names_file_line_and_directive_and_says_what_to_do() {
    assert_eq!(
        refusal("gzip on;\n\nroot /etc;\n"),
        "server.conf:3: `root`: is not allowed: the live release and the shared folders are served; put files there\n"
    );
    assert_eq!(
        refusal("map $uri $x { a b; }"),
        "server.conf:1: `map`: is not allowed in server_level; it may stand in http_level\n"
    );
    assert!(refusal("gzip on; }").starts_with("server.conf:1: unexpected `}`; "));
    assert_eq!(
        refusal("root a;\nalias b;").lines().count(),
        2,
        "all are told at once"
    );
    let many = refusal(&"root a;\n".repeat(1000));
    assert_eq!(many.lines().count(), 100);
}

/// Directives that run code, read files, or reach other hosts and other sites.
const FOREIGN: &str = "
    load_module ssl_engine perl perl_modules perl_set js_import js_content content_by_lua
    content_by_lua_block lua_package_path rewrite_by_lua_file env user daemon pid worker_processes
    include error_log access_log log_format client_body_temp_path proxy_temp_path fastcgi_temp_path
    proxy_store proxy_cache_path fastcgi_cache_path dav_methods client_body_in_file_only root alias
    proxy_pass fastcgi_pass fastcgi_param resolver listen server server_name ssl_certificate
    ssl_certificate_key stub_status internal limit_req_zone limit_conn_zone autoindex
    disable_symlinks open_file_cache try_files_x types default_type sub_filter mirror auth_request
    satisfy break upstream debug_points thread_pool working_directory lock_file keepalive_timeout
    ssi recursive_error_pages merge_slashes chunked_transfer_encoding large_client_header_buffers
    add_trailer real_ip_header set_real_ip_from
";

#[test]
fn foreign_directives_are_refused_by_name_in_every_place() {
    for name in FOREIGN.split_whitespace() {
        let line = format!("{name} x;");
        for text in [
            line.clone(),
            format!("location /a {{ {line} }}"),
            format!("if ($uri) {{ {line} }}"),
            format!("location /a {{ limit_except GET {{ {line} }} }}"),
            format!("location @a {{ {line} }}"),
            format!("{name} {{ }}"),
        ] {
            let refusal = refusal(&text);
            assert!(
                refusal.contains(&format!("`{name}`: is not allowed: ")),
                "{text}: {refusal}"
            );
        }
        assert!(both(&line, "").is_err(), "{line}");
    }
}

/// The strings that broke out of other programs' templates, as a tenant would write them into a file of his own.
#[test]
fn the_payloads_of_known_injections_are_refused() {
    for (cve, payload) in [
        (
            "2021-25742",
            "location /x { content_by_lua_block { ngx.say(1) } }",
        ),
        (
            "2021-25742",
            "add_header a b;\nlua_package_path '/tmp/?.lua';",
        ),
        ("2022-4886", "location /x{alias /var/run/secrets/;}"),
        ("2022-4886", "location ~ ^/x{root /;}{return 200;}"),
        (
            "2023-5043",
            "return 200; } location /a { proxy_pass http://169.254.169.254; ",
        ),
        (
            "2023-5044",
            "return 301 https://x/;}location ~* \"^/flibble(/|$)(.*)\" {content_by_lua 'ngx.say(io.popen(\"id\"))';}location ~* \"^/f(/|$)(.*)\" { return 301 https://x/;",
        ),
        (
            "2025-1097",
            "if ( $ssl_client_s_dn !~ CN=abc #(\n) {}\n }}\nssl_engine ../../../../../../proc/1/fd/5;\n#",
        ),
        (
            "2025-1098",
            "mirror /_mirror-abc\";#;\n\n}\n\n}\n\n}\n\nssl_engine ../../../../../../proc/1/fd/5;\n",
        ),
        (
            "2025-24514",
            "set $auth http://x/#;\nssl_engine /proc/self/fd/7;\n#",
        ),
        ("2025-1974", "ssl_engine /proc/1/fd/9;"),
        ("2025-1974", "load_module /tmp/nginx/client-body/1;"),
        ("2025-15566", "add_header X-A \"b\";}\nserver { listen 1; }"),
        (
            "2026-24512",
            "location \"/a\" { } proxy_pass http://x; } location \"/\" {}",
        ),
        (
            "2026-42945",
            "rewrite ^/api/(.*)$ /internal?migrated=true;\nset $original_path $1;",
        ),
    ] {
        assert!(
            server(payload).is_err(),
            "CVE-{cve}: {payload} was accepted"
        );
        assert!(
            both(payload, "").is_err(),
            "CVE-{cve}: {payload} was accepted at http_level"
        );
    }
}

#[test]
fn an_injection_inside_a_value_stays_a_value() {
    let rules = server("add_header X-A \"b; } server { listen 1; ssl_engine x;\";").unwrap();
    assert_eq!(rules.server.len(), 1);
    for broken in [
        "add_header X-A \"a\\nb: c\";",
        "add_header X-A \"a\\rb\";",
        "add_header \"X\\n\" b;",
        "return 301 \"/a\\nb\";",
    ] {
        assert!(server(broken).is_err(), "{broken}");
    }
}

#[test]
fn no_path_leads_out_or_past_what_is_refused_to_visitors() {
    for bad in [
        "location /../x { }",
        "location /a/../b { }",
        "location /.stratus/ { }",
        "location = /.stratus/revision { }",
        "location /.git { }",
        "location ^~ / { }",
        "location /setup { }",
        "location = /setup/x.txt { }",
        "location ^~ /setup/deep/ { }",
        "location = /x.phtml { }",
        "location = /X.PHP { }",
        "location = /media/x.php { }",
        "location = /health.php { }",
        "location a { }",
        "location //a { }",
        "location /%2e/ { }",
        "location ~ (?<uri>.*) { }",
        "location ~ (a+)+$ { }",
        "location /a { location /a/b { } }",
        "location /a { try_files /../../etc/passwd =404; }",
        "location /a { try_files /.env =404; }",
        "location /a { try_files /index.php =404; }",
        "location /a { try_files $uri/index.php =404; }",
        "location /a { try_files $uri.php =404; }",
        "location /a { try_files $uri.env =404; }",
        "location /a { try_files /setup/data.txt =404; }",
        "location /a { try_files /$arg_f =404; }",
        "location /a { try_files $http_x =404; }",
        "location ~ (.*) { try_files /$1 =404; }",
        "location /a { try_files $document_root/x =404; }",
        "location /a { try_files $uri $arg_f; }",
        "location /a { try_files $uri @none; }",
        "location /a { rewrite ^ /.env break; }",
        "location /a { if ($uri) { rewrite ^ /.env break; } }",
        "rewrite ^/(.*)$ $1 last;",
        "rewrite ^/(.*)$ x$1;",
        "if (-f /etc/passwd) { return 200; }",
        "if (!-e $request_filename) { return 200; }",
        "error_page 404 $arg_x;",
        "error_page 404 x.html;",
        "error_page 200 /x;",
        "index ../x;",
        "index .env;",
        "index x.inc;",
        "index /etc/passwd;",
        "location @x { try_files $uri =404; }",
        "location @x { rewrite ^ /y; }",
    ] {
        assert!(server(bad).is_err(), "{bad} was accepted");
    }
}

#[test]
fn no_variable_leaks_or_leads_a_request_to_another_script() {
    for bad in [
        "add_header X-A $document_root;",
        "add_header X-A $realpath_root;",
        "add_header X-A $upstream_addr;",
        "add_header X-A $nginx_version;",
        "add_header X-A $stratus_environment;",
        "add_header X-A $tenant4_shop_x;",
        "return 200 $request_filename;",
        "set $args x;",
        "set $fastcgi_script_name /x.php;",
        "set $document_root /;",
        "set $uri /x;",
        "set $https on;",
        "set $stratus_environment other;",
        "set $x $y;",
        "set x y;",
    ] {
        assert!(server(bad).is_err(), "{bad} was accepted");
    }
    assert!(both("map $uri $document_root { a b; }", "").is_err());
    assert!(both("map $uri $x { include /etc/passwd; }", "").is_err());
    assert!(both("map $uri $x { a { } }", "").is_err());
}

#[test]
fn values_have_bounds() {
    for bad in [
        "client_max_body_size 0;",
        "client_max_body_size 65m;",
        "client_max_body_size 99999999999999999999g;",
        "client_max_body_size -1;",
        "gzip maybe;",
        "gzip_comp_level 9;",
        "gzip_min_length x;",
        "gzip_proxied sometimes;",
        "gzip_types a;",
        "expires soon;",
        "expires $uri;",
        "allow 1.2.3.4/33;",
        "allow 1.2.3;",
        "deny unix:;",
        "deny example.com;",
        "add_header Content-Length 3;",
        "add_header X-Stratus-Generation 3;",
        "add_header Transfer-Encoding x;",
        "add_header X-A $uri;",
        "add_header X-A;",
        "return 999;",
        "return 100 x;",
        "return 301 javascript:x;",
        "return 301 /a$uri;",
        "auth_basic $http_x;",
        "location /a { limit_except FROB { deny all; } }",
        "location /a { limit_except GET { return 200; } }",
        "rewrite ^/a$ /b sometimes;",
        "gzip on; gzip off;",
        "location /a { } location ^~ /a { }",
        "gzip on { }",
        "location /a;",
    ] {
        assert!(server(bad).is_err(), "{bad} was accepted");
    }
    let many = |count: usize, one: &str| -> String {
        (0..count)
            .map(|n| one.replace('#', &n.to_string()))
            .collect()
    };
    server(&many(LOCATIONS_MAX, "location /a# { }\n")).unwrap();
    assert!(server(&many(LOCATIONS_MAX + 1, "location /a# { }\n")).is_err());
    assert!(server(&many(PATTERNS_MAX + 1, "location ~ a# { }\n")).is_err());
    assert!(server(&many(DIRECTIVES_MAX + 1, "set $a#  1;\n")).is_err());
    let map = |entries: String| both(&format!("map $uri $x {{ {entries} }}"), "");
    map(many(100, "~a# 1;")).unwrap();
    assert!(map(many(101, "~a# 1;")).is_err());
    assert!(map(many(2001, "a# 1;")).is_err());
    let long = "a".repeat(4000);
    assert!(server(&format!("add_header X-A {long};")).is_err());
}

#[test]
fn rules_that_would_not_protect_what_they_seem_to_are_refused_with_the_form_that_does() {
    assert!(refusal("location /admin/ { deny all; }").contains("write `location ^~ /admin/`"));
    assert!(refusal("location / { auth_basic x; }").contains("for the whole site"));
    server("location ^~ /admin/ { deny all; }").unwrap();
    server("location = /admin.php { deny all; }").unwrap();
}

#[test]
fn what_the_server_level_says_hides_what_the_http_level_says_of_the_same() {
    let rules = both(
        "gzip on; deny all; add_header A 1; gzip_vary on;",
        "gzip off; allow 192.0.2.1; add_header B 2;",
    )
    .unwrap();
    let names: Vec<&str> = rules.server.iter().map(Rule::name).collect();
    assert_eq!(names, ["gzip_vary", "gzip", "allow", "add_header"]);
}

/// Words that mean something, and words that do not.
fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(ALLOWED.iter().map(|allowed| allowed.name.to_owned()).collect::<Vec<_>>()),
        2 => prop::sample::select(
            ["root", "proxy_pass", "include", "ssl_engine", "lua_code", "server", "on", "off", "all", "/a", "/a.php",
             "=404", "@x", "$uri", "$x", "~", "^~", "=", "~*", "404", "\"a b\"", "'", "{", "}", ";", ";", "{", "}", "#",
             "\n", "\\", "301", "last", "break", "($uri", "($x)", ")", "GET", "^/(.*)$", "/$1", "default", "..", "/..",
             "${", "${uri}", "always"].map(str::to_owned).to_vec()
        ),
        1 => "[ -~]{1,6}",
    ]
}

/// The names of all directives of a tree, blocks of `map` left out: what is in them is no directive.
fn names(nodes: &[Node], found: &mut Vec<String>) {
    for node in nodes {
        found.push(node.words[0].clone());
        if node.words[0] != "map" {
            names(node.block.as_deref().unwrap_or_default(), found);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn what_is_accepted_holds_allowed_directives_only(words in prop::collection::vec(words(), 1..14)) {
        let text = words.join(" ");
        if let Ok(rules) = server(&text) {
            let tenant = crate::nginx::render::tests::tenant_text(&rules);
            let limits = Limits { directives: 100_000, depth: 8, words: 1000, word_bytes: 1 << 20 };
            let mut found = Vec::new();
            names(&parse(&tenant, limits).expect("what is printed is read"), &mut found);
            for name in found {
                prop_assert!(find(&name).is_some(), "{} of {} from {}", name, tenant, text);
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        let _ = both(&text, &text);
    }

    #[test]
    fn what_is_accepted_is_the_same_after_it_was_stored(words in prop::collection::vec(words(), 1..14)) {
        if let Ok(rules) = server(&words.join(" ")) {
            let tenant = stratus_core::tenant::TenantRules {
                accepted: super::super::store(&rules),
                ..Default::default()
            };
            prop_assert_eq!(stored(&tenant).expect("it was just stored"), rules);
        }
    }
}

#[test]
fn nothing_that_may_hold_a_line_break_reaches_a_header() {
    for bad in [
        "add_header X-A $uri;",
        "add_header X-A $remote_user;",
        "location ~ ^/(a)$ { add_header X-A $1; }",
        "location ~ ^/old/([^/]+)$ { return 301 /new/$1; }",
        "error_page 404 https://x$uri;",
        "rewrite ^ https://x$uri permanent;",
        "rewrite ^ https://x$uri;",
        "set $t $uri; return 301 https://x$t;",
        "set $t $v; set $v $u; set $u $document_uri; add_header X-A $t;",
        "rewrite ^/(.*)$ /i.php?q=$uri last; return 301 /x?$args;",
        "location / { try_files $uri /i.php?q=$uri; } location /y { return 301 /x?a=$arg_q; }",
    ] {
        let why = refusal(bad);
        assert!(why.contains("can hold a line break"), "{bad}: {why}");
    }
    let maps = |source: &str, value: &str| {
        let map = format!("map {source} $to {{ ~^/old/(.*)$ {value}; }}");
        both(&map, "if ($to) { return 301 $to; }")
    };
    assert!(maps("$uri", "/new/$1").is_err());
    assert!(maps("$request_uri", "/new/$uri").is_err());
    maps("$request_uri", "/new/$1").unwrap();
    maps("$uri", "/new").unwrap();
    for good in [
        "rewrite ^/old/(.*)$ https://x/$1 permanent;",
        "rewrite ^/(.*)$ /i.php?q=$1 last; return 301 /x?$args;",
        "return 301 https://$host$request_uri;",
        "set $t $uri; return 200 $t;",
        "error_page 404 /missing$uri;",
    ] {
        server(good).unwrap_or_else(|why| panic!("{good}: {why}"));
    }
}

#[test]
fn no_few_lines_make_a_request_build_texts_without_end() {
    let times = |count: usize, one: &str| one.repeat(count);
    for bad in [
        times(2, "set $a \"$a$request_uri\";"),
        times(21, "set $a \"${a}b\";"),
        format!("set $a \"${{a}}{}\";", "b".repeat(65)),
        "set $b $a$http_a; set $a $b;".to_owned(),
        times(101, "set $a $request_uri;"),
        times(101, "if ($host = $http_a) { return 403; }"),
        times(51, "add_header X-A $http_a;"),
        times(9, "rewrite ^/(.*)$ /a$1;"),
        format!("location /a {{ if ($arg_a) {{ {} }} }}", times(9, "rewrite ^/(.*)$ /a$1;")),
        "rewrite ^ /$uri$uri;".to_owned(),
        "rewrite ^(.*)$ /$1$1 last;".to_owned(),
        "rewrite ^/((.*)a)$ /$1/$2 last;".to_owned(),
        r"rewrite ^/(\d+)$ /$1$1 last;".to_owned(),
        r"rewrite ^/((\d)+x*)$ /$1$1 last;".to_owned(),
        r#"rewrite "^/(.{60}.{60})(.*)$" /$1$1$2 last;"#.to_owned(),
        r"location ~ ^/(\d)$ { try_files $uri /$1$1$1; }".to_owned(),
        "rewrite ^/(.*)$ /$http_a/$1;".to_owned(),
        "set $x $uri$uri; rewrite ^ /$x last;".to_owned(),
        "rewrite ^ /x?$args&$args last;".to_owned(),
        "location /a { try_files $uri /a$uri$uri$uri; }".to_owned(),
        "set $a $uri$uri$uri$uri; set $b $a$uri$uri$uri$uri$uri$uri; set $c $b$uri$uri$uri$uri$uri$uri;".to_owned(),
    ] {
        assert!(server(&bad).is_err(), "{bad} was accepted");
    }
    let chain: Vec<String> = (0..40)
        .map(|n| format!("set $a{n} $a{}x;", n + 1))
        .collect();
    assert!(server(&format!("{} set $a40 1;", chain.concat())).is_err());
    for good in [
        "set $t ''; if ($arg_a) { set $t A; } if ($arg_b) { set $t \"${t}B\"; } if ($t = AB) { return 403; }",
        "rewrite ^/a/(.*)/(.*)$ /i.php?a=$1&b=$2 last;",
        "rewrite ^/(a|b)/(.*)$ /$2/$1;",
        r#"rewrite "^/(\d{4})/((?:ab){2})(.*)$" /$1/$1-$2$2/$3;"#,
        "location / { try_files $uri $uri/ /index.php?q=$uri&$args; }",
        "rewrite ^/((.*)a)$ https://x/$1/$2 permanent;",
    ] {
        server(good).unwrap_or_else(|why| panic!("{good}: {why}"));
    }
    server(&times(90, "set $a $request_uri;")).unwrap();
    server(&times(300, "rewrite ^/a/(.*)$ /b/$1 last;")).unwrap();
    server(&times(2000, "set $a b;")).unwrap();
}

#[test]
fn methods_are_refused_and_let_nobody_else_in() {
    for bad in [
        "location ^~ /a { limit_except GET { } }",
        "location ^~ /a { limit_except GET { deny 192.0.2.1; } }",
        "location ^~ /a { limit_except GET { allow 192.0.2.1; deny all; } }",
        "location ^~ /a { limit_except GET { auth_basic a; } }",
    ] {
        assert!(server(bad).is_err(), "{bad}");
    }
    server("location ^~ /a { limit_except GET { deny all; } }").unwrap();
}
