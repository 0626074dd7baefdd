//! What visitors get from a real nginx: files, scripts, shared folders, and what they never get.

use anyhow::Result;
use bytes::Bytes;
use stratus_core::{Generation, Router as _};
use stratus_tests::fastcgi::{Echo, digest};
use stratus_tests::nginx::{Bench, Reply};

fn echo(reply: &Reply) -> Echo {
    serde_json::from_slice(&reply.body).unwrap_or_else(|e| panic!("{e}: {reply:?}"))
}

#[tokio::test]
async fn a_site_answers_503_before_its_first_switch_and_its_pool_after() -> Result<()> {
    let mut bench = Bench::new().await?;
    bench.router.prepare(&bench.table(0)).await?;
    bench.start().await?;
    let before = bench.get("/index.php").await?;
    assert_eq!(
        (before.status, before.headers["retry-after"].as_bytes()),
        (503, &b"5"[..])
    );

    let _members = bench.pool(1, 2)?;
    bench.go_live(1, None).await?;
    assert!(bench.router.load(&bench.table(2)).await?.reloaded);
    bench
        .router
        .confirm(&Bench::shop(), Generation(1), 2)
        .await?;
    let after = bench.get("/index.php").await?;
    assert_eq!((after.status, after.generation()), (200, Some(1)));
    Ok(())
}

#[tokio::test]
async fn a_script_gets_its_path_as_members_see_it_and_the_whole_body() -> Result<()> {
    let (bench, _members) = Bench::with_shop(1).await?;
    bench.file(1, "pub/sub/page.php", "<?php")?;
    let mut kept = bench.kept().await?;
    let request = hyper::Request::get("/sub/page.php?a=1&b=%20").header("proxy", "evil");
    let page = echo(&kept.send(request, Bytes::new()).await?);
    for (name, value) in [
        ("SCRIPT_FILENAME", "/var/www/html/pub/sub/page.php"),
        ("DOCUMENT_ROOT", "/var/www/html/pub"),
        ("SCRIPT_NAME", "/sub/page.php"),
        ("REQUEST_URI", "/sub/page.php?a=1&b=%20"),
        ("QUERY_STRING", "a=1&b=%20"),
        ("SERVER_NAME", "shop.example.test"),
    ] {
        assert_eq!(
            page.params.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }

    assert_eq!(
        page.params.get("HTTP_PROXY"),
        None,
        "it would become PHP's proxy"
    );

    let upload: Bytes = (0..20 << 20)
        .map(|n: u32| n.to_le_bytes()[n as usize % 3])
        .collect();
    let posted = echo(&kept.post("/index.php", upload.clone()).await?);
    assert_eq!(
        (posted.size, posted.digest),
        (upload.len(), digest(&upload))
    );
    let too_large = Bytes::from(vec![0; (64 << 20) + 1]);
    let refused = bench.kept().await?.post("/index.php", too_large).await;
    assert!(refused.is_err() || refused?.status == 413);
    Ok(())
}

#[tokio::test]
async fn paths_that_are_no_file_go_to_the_front_controller_and_missing_assets_do_not() -> Result<()>
{
    let (bench, _members) = Bench::with_shop(1).await?;
    bench.file(1, "pub/robots.txt", "robots")?;
    bench.file(1, "pub/app.css", "css")?;
    bench.file(1, "pub/.well-known/security.txt", "contact")?;
    bench.file(1, "pub/admin/index.php", "<?php")?;
    for (path, text) in [
        ("/robots.txt", "robots"),
        ("/app.css", "css"),
        ("/.well-known/security.txt", "contact"),
    ] {
        let file = bench.get(path).await?;
        assert_eq!((file.status, file.text().as_str()), (200, text), "{path}");
    }
    for (path, script, query) in [
        ("/", "/index.php", ""),
        ("/about?x=1", "/index.php", "x=1"),
        ("/sitemap.xml", "/index.php", ""),
        ("/index.php/extra", "/index.php", ""),
        ("/admin/", "/admin/index.php", ""),
    ] {
        let page = echo(&bench.get(path).await?);
        assert_eq!(page.params["SCRIPT_NAME"], script, "{path}");
        assert_eq!(page.params["QUERY_STRING"], query, "{path}");
        assert_eq!(page.params["REQUEST_URI"], path);
    }
    for path in [
        "/none.css",
        "/none.js?v=1",
        "/a/b/none.PNG",
        "/none.woff2",
        "/none.php",
    ] {
        let missing = bench.get(path).await?;
        assert_eq!(
            (missing.status, missing.generation()),
            (404, None),
            "{path}"
        );
    }
    let folder = bench.get("/admin").await?;
    assert_eq!(
        (folder.status, folder.headers["location"].as_bytes()),
        (301, &b"/admin/"[..])
    );
    Ok(())
}

#[tokio::test]
async fn source_hidden_files_and_denied_paths_are_never_served() -> Result<()> {
    let (bench, _members) = Bench::with_shop(1).await?;
    let secret = "SECRET";
    let paths = [
        "/.env",
        "/.git/config",
        "/a/.htpasswd",
        "/.well-known/.secret",
        "/setup/index.php",
        "/setup/data.txt",
        "/INDEX.PHP",
        "/x.phtml",
        "/x.phar",
        "/x.inc",
        "/index.php~",
        "/index.php.bak",
        "/index.php.swp",
        "/x.php5",
        "/X.Php",
        "/a/x.php_old",
    ];
    for path in paths {
        bench.file(1, &format!("pub{path}"), secret)?;
    }
    bench.file(1, "pub/upload.jpg", "<?php SECRET")?;
    for path in paths.into_iter().chain([
        "/setup",
        "/setup/",
        "//setup/data.txt",
        "/%73etup/data.txt",
        "/x/../setup/data.txt",
        "/%2eenv",
        "/upload.jpg/x.php",
    ]) {
        let reply = bench.get(path).await?;
        assert_eq!(reply.status, 404, "{path}: {}", reply.text());
        assert!(!reply.text().contains(secret), "{path}");
    }
    assert_eq!(
        bench.get("/index.php").await?.generation(),
        Some(1),
        "source is run, not shown"
    );
    Ok(())
}

#[tokio::test]
async fn a_shared_folder_is_the_working_trees_and_nothing_in_it_is_run_or_leads_out() -> Result<()>
{
    let (bench, _members) = Bench::with_shop(1).await?;
    // The release has an empty folder there.
    std::fs::create_dir_all(bench.layout.releases(&Bench::shop()).join("1/pub/media"))?;
    bench.working_file("pub/media/logo.png", "logo")?;
    bench.working_file("pub/media/x.php", "<?php SECRET")?;
    bench.working_file("pub/media/X.PHP", "<?php SECRET")?;
    bench.working_file("pub/media/.htaccess", "SECRET")?;
    let foreign = bench.working_file("secret.txt", "SECRET")?;
    bench.working_file("pub/media/mine.txt", "mine")?;
    let media = bench.code().join("pub/media");
    std::os::unix::fs::symlink("mine.txt", media.join("own.txt"))?;
    std::os::unix::fs::symlink(&foreign, media.join("out.txt"))?;
    std::os::unix::fs::lchown(media.join("out.txt"), Some(1000), Some(1000))?;

    assert_eq!(bench.get("/media/logo.png").await?.text(), "logo");
    assert_eq!(bench.get("/media/own.txt").await?.text(), "mine");
    for path in [
        "/media/x.php",
        "/media/X.PHP",
        "/media/.htaccess",
        "/media/none.png",
        "/media/x.php/a.png",
    ] {
        let reply = bench.get(path).await?;
        assert_eq!(
            (reply.status, reply.generation()),
            (404, None),
            "{path}: {}",
            reply.text()
        );
    }
    let out = bench.get("/media/out.txt").await?;
    assert!(!out.text().contains("SECRET"), "a link led out: {out:?}");
    assert_eq!(
        echo(&bench.get("/media/made-on-demand").await?).params["SCRIPT_NAME"],
        "/index.php"
    );
    bench.working_file("pub/media/new.png", "new")?;
    assert_eq!(bench.get("/media/new.png").await?.text(), "new");
    Ok(())
}

#[tokio::test]
async fn the_private_server_says_what_serves() -> Result<()> {
    let (bench, _members) = Bench::with_shop(2).await?;
    assert_eq!(bench.control("/.stratus/revision").await?.text(), "1");
    assert_eq!(
        bench.control("/.stratus/generation/shop").await?.text(),
        "1"
    );
    assert_eq!(bench.control("/.stratus/ping/shop").await?.text(), "1");
    assert!(
        bench
            .control("/.stratus/status")
            .await?
            .text()
            .contains("Active connections")
    );
    assert_eq!(bench.control("/index.php").await?.status, 404);
    assert_eq!(
        bench.get("/.stratus/revision").await?.status,
        404,
        "visitors do not see it"
    );
    Ok(())
}
