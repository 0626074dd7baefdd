//! What accepted rules cannot do, and where they hold: shared folders, the release before, other sites' time, headers.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Shop, header};

#[tokio::test]
async fn what_a_rule_says_is_not_there_is_not_found_in_the_release_before() -> Result<()> {
    let shop = Shop::open().await?;
    let _next = shop.bench.pool(2, 1)?;
    for generation in [1, 2] {
        shop.bench.file(generation, "pub/composer.json", "SECRET")?;
        shop.bench.file(generation, "pub/a/x.txt", "SECRET")?;
    }
    shop.update(
        "location = /composer.json { return 404; } location ^~ /a/ { if ($arg_no) { return 404; } }",
    )
    .await?;
    shop.bench.go_live(2, Some(1)).await?;
    assert_eq!(shop.status("/composer.json").await, 404);
    assert_eq!(shop.status("/a/x.txt").await, 200);
    assert_eq!(shop.status("/a/x.txt?no=1").await, 404);
    Ok(())
}

#[tokio::test]
async fn what_is_said_of_a_shared_folder_or_around_it_holds_for_all_that_is_in_it() -> Result<()> {
    let mut shop = Shop::open().await?;
    shop.environment.shared = vec!["pub/media".into(), "pub/content/uploads".into()];
    shop.bench.file(1, "pub/mediafoo/a.txt", "text")?;
    for path in [
        "media/a.jpg",
        "media/a.txt",
        "media/open/a.txt",
        "content/uploads/a.jpg",
    ] {
        shop.bench.working_file(&format!("pub/{path}"), "text")?;
    }
    let mut site = shop.bench.site(1);
    site.shared = shop.environment.shared.clone();
    shop.machine.load_site(site).await?;
    let (picture, text) = ("/media/a.jpg", "/media/a.txt");
    let pattern = "location ~ jpg$ { expires 1h; }";
    for (rules, path, status) in [
        ("", picture, 200),
        ("location ^~ /media { return 403; }", picture, 403),
        ("location ^~ /media { return 403; }", "/mediafoo/a.txt", 403),
        (
            "location ^~ /media { if ($arg_no) { return 409; } }",
            "/media/a.jpg?no=1",
            409,
        ),
        (
            "location ^~ /media { rewrite ^ /gone; } location = /gone { return 410; }",
            picture,
            410,
        ),
        ("location ^~ /media { try_files /none =418; }", picture, 418),
        (
            "location ^~ /media { limit_except POST { deny all; } }",
            picture,
            403,
        ),
        ("location = /media { deny all; }", "/media", 403),
        ("location = /media/ { deny all; }", "/media/", 403),
        (
            "location /media { expires 1d; } location ^~ /media/ { deny all; }",
            text,
            403,
        ),
        (
            "location ^~ /content { deny all; }",
            "/content/uploads/a.jpg",
            403,
        ),
        (
            "location ^~ /media { return 403; } location ^~ /media/open { expires 1h; }",
            "/media/open/a.txt",
            200,
        ),
    ] {
        for more in ["", pattern] {
            if more == pattern && status == 410 {
                continue;
            }
            shop.update(&format!("{rules} {more}")).await?;
            let reply = shop.get(path).await;
            assert_eq!(reply.status, status, "{rules} {more}: {path}: {reply:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_pattern_that_tries_too_long_is_given_up_and_others_match_as_ever() -> Result<()> {
    let shop = Shop::open().await?;
    shop.write(
        "http_level/m.conf",
        "map $http_x $found { default no; ~(?:a|a)*[bc] yes; }",
    )?;
    shop.update(
        "if ($http_y ~ (?:a|a)*[bc]$) { return 409; } rewrite ^/r/(?:a|a)*[bc]$ /found last; \
         location ~* ^/l/(?:a|a)*[bc]$ { return 200 loc; } location = /found { return 200 $found; }",
    )
    .await?;
    // More steps than ours, and fewer than the 10 million that nginx's library ends at by itself.
    let long = "a".repeat(18);
    let began = Instant::now();
    assert_eq!(shop.status(&format!("/l/{long}")).await, 500);
    assert_eq!(shop.status(&format!("/r/{long}")).await, 500);
    for (header, value, answer) in [
        ("x", long.as_str(), (200, "no")),
        ("x", "aab", (200, "yes")),
        ("y", "aab", (409, "")),
    ] {
        let request = hyper::Request::get("/found").header(header, value);
        let reply = shop.bench.kept().await?;
        let reply = { reply }.send(request, bytes::Bytes::new()).await?;
        assert_eq!(reply.status, answer.0);
        assert!(reply.text().contains(answer.1), "{reply:?}");
    }
    assert_eq!(shop.get("/L/aab").await.text(), "loc");
    assert_eq!(shop.get("/r/aab").await.text(), "no");
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    Ok(())
}

#[tokio::test]
async fn no_rule_looks_for_a_name_that_is_hidden_or_denied() -> Result<()> {
    let shop = Shop::open().await?;
    shop.bench.file(1, "pub/x/.json", "SECRET")?;
    shop.bench.file(1, "pub/a.json", "found")?;
    shop.bench.file(1, "pub/data.txt", "SECRET")?;
    shop.bench.file(1, "pub/dump.sql.gz", "SECRET")?;
    shop.update(
        "gzip_static on; location / { try_files $uri $uri.json $uri.txt /index.php; } location /dump { expires 1h; } \
         rewrite ^/again$ /a last;",
    )
    .await?;
    let found = |path: &'static str| {
        let shop = &shop;
        async move { shop.get(path).await.text() }
    };
    assert_eq!(found("/a").await, "found");
    assert_eq!(found("/again").await, "found");
    assert!(!found("/x/").await.contains("SECRET"));
    assert!(
        found("/data").await.contains("SECRET"),
        "it is not denied yet"
    );
    let mut site = shop.bench.site(1);
    site.deny = vec!["data.txt".into(), "dump.sql.gz".into()];
    shop.machine.load_site(site).await?;
    assert!(!found("/data").await.contains("SECRET"));
    assert_eq!(found("/a").await, "found");
    let request = hyper::Request::get("/dump.sql").header("accept-encoding", "gzip");
    let reply = shop.bench.kept().await?;
    let reply = { reply }.send(request, bytes::Bytes::new()).await?;
    assert!(!reply.text().contains("SECRET"), "{reply:?}");
    Ok(())
}

#[tokio::test]
async fn an_encoded_line_break_begins_no_header_and_redirects_lead_where_they_say() -> Result<()> {
    let shop = Shop::open().await?;
    shop.write("http_level/m.conf", "map $arg_to $to { default /new/a; }")?;
    shop.update(
        "rewrite ^/old/([^/]+)$ https://x.test/$1 permanent; location = /tls { return $scheme://y.test/; } \
         location = /own { return $to; } rewrite ^/x$ $scheme://y.test/z;",
    )
    .await?;
    for path in ["/old/a%0d%0aX-Bad:1", "/old/a%0aX-Bad:1"] {
        let reply = shop.get(path).await;
        assert_eq!(reply.status, 301, "{reply:?}");
        assert!(!reply.headers.contains_key("x-bad"), "{reply:?}");
    }
    for (path, to) in [
        ("/tls", "http://y.test/"),
        ("/own", "/new/a"),
        ("/x", "http://y.test/z"),
    ] {
        let reply = shop.get(path).await;
        assert_eq!(
            (reply.status, header(&reply, "location")),
            (302, to),
            "{path}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_example_of_the_page_protects_what_it_says() -> Result<()> {
    let shop = Shop::open().await?;
    shop.write("staff.htpasswd", "anna:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")?;
    let page = fs::read_to_string("../docs/nginx.md")?;
    let (_, section) = page
        .split_once("takes over the whole path\n")
        .expect("the section");
    let begins = |line: &&str| line.starts_with("    ");
    let example: Vec<&str> = section
        .lines()
        .skip_while(|line| !begins(line))
        .take_while(begins)
        .collect();
    shop.update(&example.join("\n")).await?;
    for path in [
        "/admin",
        "/admin/x",
        "/index.php/admin",
        "/index.php/admin/x",
    ] {
        assert_eq!(shop.status(path).await, 401, "{path}");
        let request = hyper::Request::get(path).header("authorization", "Basic YW5uYTpzZWNyZXQ=");
        let reply = shop.bench.kept().await?;
        let reply = { reply }.send(request, bytes::Bytes::new()).await?;
        assert_eq!((reply.status, reply.generation()), (200, Some(1)), "{path}");
    }
    assert_eq!(shop.status("/").await, 200);
    Ok(())
}
