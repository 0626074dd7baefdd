//! Groups of an `if`, and what the makers of common applications tell their users to write.

use super::{both, refusal, server};

#[test]
fn groups_of_an_if_are_as_clean_as_what_it_looks_at_until_others_replace_them() {
    let maps =
        r"map $uri $part { ~^(.*)$ a; } map $host $plain { a b; } map $plain $behind { a $part; }";
    for good in [
        r"if ($host ~* ^www\.(.+)$) { return 301 https://$1$request_uri; }",
        r"if ($host ~* ^www\.(.*)) { set $h $1; rewrite ^/(.*)$ $scheme://$h/$1 permanent; }",
        r#"if ($request_uri ~ "^(.*)/index\.php$") { return 301 https://$host$1; }"#,
        r"if ($http_x_forwarded_host ~ (.*)) { set $h $1; } location /a { add_header X-A $h; }",
        r"if ($host ~ (.*)) { set $a $1; set $b $a; return 301 https://$plain/$1; }",
        r"if ($args ~ ^p=(\d+)$) { return 301 /product/$1; }",
        r"set $h $host; if ($h ~ ^www\.(.*)) { return 301 https://$1/; }",
        r"location ~ ^/old/ { if ($host ~ ^www\.(.*)) { return 301 https://$1/; } }",
    ] {
        both(maps, good).unwrap_or_else(|why| panic!("{good}: {why}"));
    }
    for bad in [
        "if ($uri ~ (.*)) { return 301 https://x$1; }",
        "if ($remote_user ~ (.*)) { return 301 https://x/$1; }",
        "set $u $uri; if ($u ~ (.*)) { return 301 https://x$1; }",
        "if ($host !~ (.*)) { return 301 https://x$1; }",
        "if ($host = a) { return 301 https://x$1; }",
        "if ($host) { return 301 https://x$1; }",
        "if ($host ~ (.*)) { rewrite ^/(.*)$ /$1; return 301 https://x/$1; }",
        "if ($host ~ (.*)) { rewrite ^/(.*)$ /$1; set $h $1; } return 301 https://x/$h;",
        "if ($host ~ (.*)) { set $h a; } return 301 https://x/$1;",
        "if ($host ~ (.*)) { set $a $part; return 301 https://x/$1; }",
        "if ($host ~ (.*)) { return 301 https://$part/$1; }",
        "if ($host ~ (.*)) { return 301 https://$behind/$1; }",
        "location ~ ^/(.*)$ { if ($host ~ (.*)) { set $h a; } return 301 /x/$1; }",
        "rewrite ^ /i.php?q=$uri last; if ($args ~ (.*)) { return 301 /x?$1; }",
    ] {
        let why = both(maps, bad).expect_err(bad);
        assert!(why.contains("can hold a line break"), "{bad}: {why}");
    }
    let why = refusal("set $h $uri; return 301 https://$h;");
    assert!(
        why.contains(r"`map $host $h { ~^www\.(.+)$ $1; }`"),
        "{why}"
    );
}

#[test]
fn a_group_stands_beside_no_variable_that_replaces_the_groups() {
    let maps = r"map $host $site { ~^www\.(.+)$ $1; } map $host $plain { a b; } map $plain $behind { a $site; }";
    for good in [
        "rewrite ^/(.*)$ /x/$1/$plain last;",
        "set $a $1; rewrite ^ https://$site$request_uri permanent;",
    ] {
        both(maps, good).unwrap_or_else(|why| panic!("{good}: {why}"));
    }
    for bad in [
        "rewrite ^/(.*)$ /x/$1/$site last;",
        "rewrite ^/(.*)$ https://$site/$1 permanent;",
        "rewrite ^/(.*)$ /x/$behind/$1 last;",
        "if ($host ~ (.*)) { set $a $1$site; }",
        "location ~ ^/(.*)$ { try_files $uri /x/$1/$site; }",
        "location ~ ^/(.*)$ { error_page 404 /x/$1/$site; }",
    ] {
        let why = both(maps, bad).expect_err(bad);
        assert!(why.contains("which replaces the groups"), "{bad}: {why}");
    }
    let grown = format!("{maps} map $uri $b {{ ~^(.*)$ $1$site; }}");
    let why = both(&grown, "").expect_err("a value of a map is a text, too");
    assert!(why.contains("which replaces the groups"), "{why}");
}

/// What the makers of common applications tell their users to write, as far as its directives are allowed.
const SHOPS: [(&str, &str); 6] = [
    (
        "WordPress",
        r"
        if ($host ~* ^www\.(.*)$) { return 301 https://$1$request_uri; }
        location / { try_files $uri $uri/ /index.php?$args; }
        location = /favicon.ico { expires max; }
        location ~* \.(js|css|png|jpg|jpeg|gif|ico)$ { expires max; }
        location ~* /(?:uploads|files)/.*\.php$ { deny all; }
        location ~ /\. { deny all; }
        ",
    ),
    (
        "Yoast SEO",
        r"
        rewrite ^/sitemap_index\.xml$ /index.php?sitemap=1 last;
        rewrite ^/([^/]+?)-sitemap([0-9]+)?\.xml$ /index.php?sitemap=$1&sitemap_n=$2 last;
        rewrite ^/main-sitemap\.xsl$ /index.php?yoast-sitemap-xsl=main last;
        ",
    ),
    (
        "WP Super Cache",
        r#"
        set $cache_uri $request_uri;
        if ($request_method = POST) { set $cache_uri 'null cache'; }
        if ($query_string != "") { set $cache_uri 'null cache'; }
        if ($request_uri ~* "(/wp-admin/|/xmlrpc.php|/wp-(app|cron|login|register|mail).php|wp-.*.php|/feed/|index.php)") { set $cache_uri 'null cache'; }
        if ($http_cookie ~* "comment_author|wordpress_[a-f0-9]+|wp-postpass|wordpress_logged_in") { set $cache_uri 'null cache'; }
        "#,
    ),
    (
        "PrestaShop",
        r"
        rewrite ^/(\d)(-[\w-]+)?/.+\.jpg$ /img/p/$1/$1$2.jpg last;
        rewrite ^/(\d)(\d)(-[\w-]+)?/.+\.jpg$ /img/p/$1/$2/$1$2$3.jpg last;
        rewrite ^/(\d)(\d)(\d)(-[\w-]+)?/.+\.jpg$ /img/p/$1/$2/$3/$1$2$3$4.jpg last;
        rewrite ^/([0-9])(-[_a-zA-Z0-9-]*)?(-[0-9]+)?/.+\.jpg$ /img/p/$1/$1$2$3.jpg last;
        rewrite ^/([0-9])([0-9])([0-9])(-[_a-zA-Z0-9-]*)?(-[0-9]+)?/.+\.jpg$ /img/p/$1/$2/$3/$1$2$3$4$5.jpg last;
        rewrite ^/c/([0-9]+)(-[.*_a-zA-Z0-9-]*)(-[0-9]+)?/.+\.jpg$ /img/c/$1$2$3.jpg last;
        rewrite ^/images_ie/?([^/]+)\.(jpe?g|png|gif)$ /js/jquery/plugins/fancybox/images/$1.$2 last;
        ",
    ),
    (
        "Magento 2",
        r#"
        location /static/ {
            expires max;
            rewrite ^/static/(version\d*/)?(.*)$ /static/$2 last;
        }
        location ~* \.(ico|jpg|jpeg|png|gif|svg|js|css|swf|eot|ttf|otf|woff|woff2|html|json|webmanifest)$ {
            add_header Cache-Control "public";
            add_header X-Frame-Options "SAMEORIGIN";
            expires +1y;
        }
        location ~* \.(zip|gz|gzip|bz2|csv|xml)$ {
            add_header Cache-Control "no-store";
            add_header X-Frame-Options "SAMEORIGIN";
            expires off;
        }
        location /media/ {
            try_files $uri $uri/ /get.php$is_args$args;
        }
        error_page 404 403 = /errors/404.php;
        gzip_types text/plain text/css text/js text/xml text/javascript application/javascript application/json image/svg+xml;
        "#,
    ),
    (
        "Laravel",
        r#"
        add_header X-Frame-Options "SAMEORIGIN";
        add_header X-Content-Type-Options "nosniff";
        index index.php;
        location / { try_files $uri $uri/ /index.php?$query_string; }
        rewrite ^/(.+)/$ /$1 permanent;
        if ($request_uri ~ "^/index\.php/(.*)$") { return 301 /$1; }
        error_page 404 /index.php;
        location ~ /\.(?!well-known).* { deny all; }
        "#,
    ),
];

#[test]
fn what_common_applications_ask_for_is_accepted() {
    for (application, text) in SHOPS {
        server(text).unwrap_or_else(|why| panic!("{application}: {why}"));
    }
}
