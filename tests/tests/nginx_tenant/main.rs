//! A tenant's own files, served by a real nginx: they do what they say, they undo nothing that is protected, and a bad
//! one changes nothing.

mod bounds;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use stratus_core::fake::{FakeMachine, MemoryStore};
use stratus_core::route::{Closed, RouteTable};
use stratus_core::{Environment, Router as _};
use stratus_server::caches::Clearing;
use stratus_server::clock::SystemClock;
use stratus_server::crons::Crons;
use stratus_server::engine::act::{Machine, Turns};
use stratus_server::engine::route::{UpdateError, Updated};
use stratus_tests::crowd::Crowd;
use stratus_tests::fastcgi::Member;
use stratus_tests::laws::sample;
use stratus_tests::nginx::{Bench, Reply, docker};
use tokio_util::sync::CancellationToken;

/// A live shop whose tenant writes files.
struct Shop {
    bench: Bench,
    machine: Machine,
    environment: Environment,
    _members: Vec<Member>,
}

impl Shop {
    async fn open() -> Result<Self> {
        let (bench, members) = Bench::with_shop(1).await?;
        Self::on(bench, members, 1).await
    }

    async fn on(bench: Bench, members: Vec<Member>, listed: u16) -> Result<Self> {
        let machine = machine(&bench).await?;
        machine.store.put_routes(&bench.table(listed)).await?;
        let site = bench.site(1);
        let environment = Environment {
            hosts: site.hosts,
            code: site.code,
            docroot: site.docroot,
            front: site.front,
            shared: site.shared,
            deny: site.deny,
            upload_limit: site.upload_limit,
            ..sample::environment("shop")
        };
        Ok(Self {
            bench,
            machine,
            environment,
            _members: members,
        })
    }

    /// Writes a file below `.nginx`.
    fn write(&self, path: &str, text: &str) -> Result<()> {
        self.bench.working_file(&format!(".nginx/{path}"), text)?;
        Ok(())
    }

    /// Writes the one file of `server_level`, and reads it.
    async fn update(&self, text: &str) -> Result<Updated, UpdateError> {
        self.write("server_level/a.conf", text)
            .expect("the tree is ours");
        self.machine.update_rules(&self.environment).await
    }

    async fn get(&self, path: &str) -> Reply {
        let reply = self.bench.get(path).await;
        reply.unwrap_or_else(|error| panic!("{path}: {error:#}\n{}", self.bench.log()))
    }

    async fn status(&self, path: &str) -> u16 {
        self.get(path).await.status
    }
}

async fn machine(bench: &Bench) -> Result<Machine> {
    let fake = Arc::new(FakeMachine::default());
    let store = Arc::new(MemoryStore::default());
    let (clock, shutdown) = (Arc::new(SystemClock), CancellationToken::new());
    Ok(Machine {
        runtime: fake.clone(),
        tasks: fake.clone(),
        router: Arc::new(bench.another_router(&bench.settings).await?),
        snapshots: fake.clone(),
        traffic: fake.clone(),
        crons: Crons::new(store.clone(), fake.clone(), clock.clone(), shutdown.clone()),
        caches: Clearing::new(store.clone(), fake, clock.clone(), shutdown),
        store,
        clock,
        routes: Arc::default(),
        workers: Turns::default(),
    })
}

fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
    reply
        .headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap_or("?"))
}

#[tokio::test]
async fn every_allowed_directive_is_taken_and_does_what_it_says() -> Result<()> {
    let shop = Shop::open().await?;
    let samples = "../agent/src/nginx/tenant/samples";
    for level in ["http_level", "server_level"] {
        let text = fs::read_to_string(format!("{samples}/{level}.conf"))?;
        shop.write(&format!("{level}/a.conf"), &text)?;
    }
    // What `htpasswd -s` makes of the password "secret".
    shop.write("users", "anna:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")?;
    shop.bench.file(1, "pub/static/a.css", "css")?;
    shop.bench.file(1, "pub/intern/a.txt", "intern")?;
    shop.bench.file(1, "pub/intern/a.php", "<?php // secret")?;
    shop.bench.file(1, "pub/admin.php", "<?php // secret")?;
    shop.bench.file(1, "pub/a.jpg", "jpg")?;
    shop.bench.file(1, "pub/feed.xml", "feed")?;
    shop.bench.file(1, "pub/img/p/1/1-home.jpg", "one")?;
    shop.bench.file(1, "pub/img/p/4/2/42.jpg", "two")?;
    shop.bench.file(1, "pub/img/p/1/2/3/123-big.jpg", "three")?;
    shop.bench.working_file("pub/media/catalog/a.txt", "text")?;
    shop.bench.working_file("pub/media/a.png", "png")?;
    let updated = shop.machine.update_rules(&shop.environment).await?;
    assert!(updated.changed && updated.reloaded, "{updated:?}");

    let robots = shop.get("/robots.txt").await;
    assert_eq!(robots.text(), "User-agent: *\nDisallow: /\n");
    assert_eq!(header(&robots, "x-lang"), "en");
    let old = shop.get("/old/a?b=1").await;
    assert_eq!((old.status, header(&old, "location")), (301, "/new/a?b=1"));
    assert_eq!(shop.get("/find/shoes").await.generation(), Some(1));
    let asset = shop.get("/static/a.css").await;
    let mut cached = asset.headers.get_all("cache-control").iter();
    assert!(cached.any(|value| value == "public"), "{asset:?}");
    assert!(!header(&asset, "expires").is_empty(), "{asset:?}");
    for protected in ["/intern/a.txt", "/intern/a.php", "/intern/none"] {
        assert_eq!(shop.status(protected).await, 401, "{protected}");
    }
    let request =
        hyper::Request::get("/intern/a.txt").header("authorization", "Basic YW5uYTpzZWNyZXQ=");
    let let_in = shop
        .bench
        .kept()
        .await?
        .send(request, bytes::Bytes::new())
        .await?;
    assert_eq!(
        (let_in.status, let_in.text().as_str()),
        (200, "intern"),
        "{}",
        shop.bench.log()
    );
    assert_eq!(
        shop.get("/admin.php").await.status,
        200,
        "403 becomes the page that was given for it"
    );
    assert!(!header(&shop.get("/a.jpg").await, "expires").is_empty());
    assert!(
        !header(&shop.get("/media/a.png").await, "expires").is_empty(),
        "patterns hold in shared folders"
    );
    assert_eq!(
        header(&shop.get("/media/catalog/a.txt").await, "cache-control"),
        "max-age=604800"
    );
    assert_eq!(shop.get("/feed").await.text(), "feed");
    assert_eq!(shop.status("/feed/none").await, 503, "the named location");
    pictures_are_found_and_groups_begin_no_header(&shop).await?;
    assert_eq!(shop.get("/").await.generation(), Some(1));
    Ok(())
}

/// What the samples' rules with groups do.
async fn pictures_are_found_and_groups_begin_no_header(shop: &Shop) -> Result<()> {
    for (path, picture) in [
        ("/1-home/shoe.jpg", "one"),
        ("/42/shoe.jpg", "two"),
        ("/123-big/shoe.jpg", "three"),
    ] {
        assert_eq!(shop.get(path).await.text(), picture, "{path}");
    }
    // What is raw stays so: no line break begins a header.
    for (path, host, leads_to) in [
        (
            "/a%0d%0aX-Evil:1/index.php",
            "",
            "https://shop.example.test/a%0d%0aX-Evil:1/",
        ),
        (
            "/a%0dX-Evil:1",
            "www.other.test",
            "http://other.test/a%0DX-Evil:1",
        ),
    ] {
        let request = hyper::Request::get(path).header("x-shop", host);
        let reply = shop
            .bench
            .kept()
            .await?
            .send(request, bytes::Bytes::new())
            .await?;
        assert_eq!((reply.status, header(&reply, "location")), (301, leads_to));
        assert_eq!(header(&reply, "x-evil"), "");
    }
    Ok(())
}

/// Everything that a tenant can try with what he is allowed.
const HOSTILE: &str = r"
error_page 403 404 =200 /.env;
rewrite ^/to-hidden$ /.env last;
rewrite ^/to-denied$ /setup/data.txt last;
rewrite ^/to-source$ /x.phtml last;
rewrite ^/climb/([^|]*)\|(.*)$ /$1/$2/outside.txt last;
rewrite ^/double/(.*)$ //$1/outside.txt last;
location / { try_files $uri $uri/ /.env; }
location ^~ /s/ { expires 1h; }
location ~ ^/p/ { expires 1h; }
location ~ phtml { expires 1h; }
location = /only.php { expires 1h; }
location ^~ /media { expires 1h; }
location ^~ /media/deep/ { expires 1h; }
location ~* \.(php|inc|env)$ { expires 1h; }
location /up { rewrite ^/up/(.*)$ /$1; }
location /named { try_files $uri @name; }
location @name { set $x 1; }
";

/// Files that are never handed out.
const HIDDEN: &str =
    "/.env /a/.git/config /setup/data.txt /x.phtml /x.php~ /s/x.inc /s/.env /s/x.php5";

/// Paths that lead to them by the rules above, and paths that must not.
const PATHS: &str = "
    /to-hidden /to-denied /to-source /climb/..%7Cx /climb/x/..%7C.. /climb/a%0a/..%7C.. /climb/a%0a%7Cx /double/..
    /double/x/.. /up/.env /up/setup/data.txt /up/x.phtml /named/x.phtml /s/gone.php /s/none /media/x.php /media/.env
    /media/deep/x.php /media/deep/../.env /setup /media/../../outside.txt /.stratus/revision /s/x.php/y.css
    /p/x.php/y.css /named /p/ /media/none.png
";

/// A shop with secrets wherever one can be.
async fn with_secrets() -> Result<(Shop, Vec<Member>)> {
    let shop = Shop::open().await?;
    for path in HIDDEN.split_whitespace() {
        shop.bench.file(1, &format!("pub{path}"), "SECRET")?;
        // What is gone from the live generation may be in the one before.
        shop.bench.file(2, &format!("pub{path}"), "SECRET")?;
    }
    let source = "<?php // SECRET";
    for path in ["/s/x.php", "/p/x.php", "/only.php"] {
        shop.bench.file(1, &format!("pub{path}"), source)?;
    }
    shop.bench.file(1, "outside.txt", "SECRET")?;
    shop.bench.file(1, "pub/a\n/b.txt", "break")?;
    shop.bench.working_file("pub/media/x.php", source)?;
    shop.bench.working_file("pub/media/.env", "SECRET")?;
    shop.bench.working_file("outside.txt", "SECRET")?;
    let previous = shop.bench.pool(2, 1)?;
    shop.bench.file(2, "pub/s/gone.php", source)?;
    shop.bench.file(2, "pub/s/gone.css", "old")?;
    shop.bench.go_live(1, Some(2)).await?;
    Ok((shop, previous))
}

/// The paths that lead to a secret.
async fn leaks(shop: &Shop) -> Vec<&'static str> {
    let mut leaks = Vec::new();
    for path in HIDDEN.split_whitespace().chain(PATHS.split_whitespace()) {
        let text = shop.get(path).await.text();
        // A bare number is the revision, which the private server alone tells.
        if text.contains("SECRET") || text.contains("<?php") || text.parse::<u64>().is_ok() {
            leaks.push(path);
        }
    }
    leaks
}

#[tokio::test]
async fn whatever_an_accepted_file_says_nothing_protected_is_handed_out() -> Result<()> {
    let (shop, _previous) = with_secrets().await?;
    shop.update(HOSTILE).await?;
    assert_eq!(leaks(&shop).await, [""; 0]);
    for path in ["/s/x.php", "/p/x.php", "/only.php"] {
        let reply = shop.get(path).await;
        assert_eq!(
            (reply.status, reply.generation()),
            (200, Some(1)),
            "{path} is run"
        );
    }
    assert_eq!(
        shop.get("/s/gone.css").await.text(),
        "old",
        "assets of the generation before are found"
    );
    Ok(())
}

/// Makes nginx serve its text with `from` as `to`, past everything that would refuse it.
async fn tamper(shop: &Shop, from: &str, to: &str, revision: u64) -> Result<()> {
    let file = shop.bench.layout.nginx_configuration();
    let good = fs::read_to_string(&file)?;
    assert!(good.contains(from), "{from}: {good}");
    let bad = good
        .replace(from, to)
        .replace("return 200 2;", &format!("return 200 {revision};"));
    fs::write(&file, bad)?;
    docker(&["kill", "-s", "HUP", &shop.bench.settings.container])?;
    let mut in_a_row = 0;
    for _ in 0..400 {
        let served = shop.bench.control("/.stratus/revision").await?.text();
        in_a_row = if served == revision.to_string() {
            in_a_row + 1
        } else {
            0
        };
        if in_a_row == 30 {
            fs::write(&file, good)?;
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("nginx does not take it: {}", shop.bench.log())
}

#[tokio::test]
async fn each_guard_is_missed_where_it_is_taken_out() -> Result<()> {
    let (shop, _previous) = with_secrets().await?;
    shop.update(HOSTILE).await?;
    let guards = [
        // What hides nothing behind a line break, and a second slash.
        (r"(?s)^/.*/\\.", r"^/.+/\\.", "/climb/a%0a/..%7C.."),
        (r"(?s)^/.*/\\.", "^never", "/a/.git/config"),
        (r"^(?:[^/]|/\\.(?!well-known/))", "^never", "/.env"),
        (r"(?:php|phtml|phar|phps|pht|inc)", "never", "/x.phtml"),
        // What `previous` is asked for by name.
        (r#"$uri ~* ""#, r#"$uri ~* "^never"#, "/s/x.inc"),
    ];
    for ((guard, instead, leak), revision) in guards.into_iter().zip(100..) {
        tamper(&shop, guard, instead, revision).await?;
        let found = leaks(&shop).await;
        assert!(found.contains(&leak), "without {guard}: {found:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_location_that_answers_or_protects_does_so_for_scripts_too() -> Result<()> {
    let shop = Shop::open().await?;
    for path in ["/gone/x.php", "/staff/x.php", "/get/x.php"] {
        shop.bench.file(1, &format!("pub{path}"), "<?php")?;
    }
    shop.update(
        "location ^~ /gone/ { return 410; } location ~ ^/staff/ { deny all; } \
         location ^~ /get/ { limit_except GET { deny all; } if ($arg_no) { return 409; } }",
    )
    .await?;
    assert_eq!(shop.status("/gone/x.php").await, 410);
    assert_eq!(shop.status("/staff/x.php").await, 403);
    assert_eq!(shop.status("/get/x.php").await, 200);
    assert_eq!(shop.status("/get/x.php?no=1").await, 409);
    assert_eq!(
        shop.bench
            .kept()
            .await?
            .post("/get/x.php", "x".into())
            .await?
            .status,
        403
    );
    Ok(())
}

#[tokio::test]
async fn a_site_that_is_closed_runs_no_script_of_a_tenants_locations_either() -> Result<()> {
    let shop = Shop::open().await?;
    let scripts = ["/a/x.php", "/b/x.php", "/only.php"];
    for path in scripts {
        shop.bench.file(1, &format!("pub{path}"), "<?php")?;
    }
    shop.update(
        "error_page 502 503 /own.html; rewrite ^/never$ /x break; location ^~ /a/ { expires 1h; } \
         location ~ ^/b/ { error_page 503 =200 /index.php; } location = /only.php { error_page 503 =200 /index.php; }",
    )
    .await?;
    for (closed, status) in [(true, 503), (false, 200)] {
        let router = &shop.bench.router;
        router
            .set_closed(&Bench::shop(), Closed::Maintenance, closed)
            .await?;
        for path in scripts.into_iter().chain(["/", "/index.php"]) {
            let reply = shop.get(path).await;
            assert_eq!(reply.status, status, "{path}: {reply:?}");
            assert_eq!(reply.headers.contains_key("retry-after"), closed, "{path}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_file_leaves_the_last_good_ones_serving() -> Result<()> {
    let shop = Shop::open().await?;
    shop.update("add_header X-Version good;").await?;
    let served = fs::read_to_string(shop.bench.layout.nginx_configuration())?;
    // What our list refuses, and what only nginx knows to be wrong.
    let ours = shop
        .update("add_header X-Version bad;\nroot /;")
        .await
        .unwrap_err();
    let said = stratus_core::fault::chain(&ours);
    assert!(
        said.contains(".nginx/server_level/a.conf:2: `root`: "),
        "{said}"
    );
    shop.write(
        "http_level/m.conf",
        "map $host $x { hostnames; *.*.test 1; }",
    )?;
    let nginxs = shop.update("add_header X-Version bad;").await.unwrap_err();
    let said = stratus_core::fault::chain(&nginxs);
    assert!(
        said.contains("the nginx files accepted last stay in force"),
        "{said}"
    );
    assert!(
        said.contains("invalid hostname") && said.contains("(the line is: "),
        "{said}"
    );
    assert_eq!(
        fs::read_to_string(shop.bench.layout.nginx_configuration())?,
        served
    );
    assert_eq!(header(&shop.get("/").await, "x-version"), "good");
    // Another change of the table, and a server that starts again, serve by the good ones without a look at the files.
    let stored = shop.machine.store.routes().await?;
    let router = shop.bench.another_router(&shop.bench.settings).await?;
    assert!(!router.load(&stored).await?.reloaded);
    let mut changed = stored.clone();
    changed.sites[0].hosts.push("new.example.test".to_owned());
    assert!(router.load(&changed).await?.reloaded);
    assert_eq!(header(&shop.get("/").await, "x-version"), "good");
    // Files that are taken away take their rules with them.
    fs::remove_dir_all(shop.bench.code().join(".nginx"))?;
    assert!(shop.machine.update_rules(&shop.environment).await?.changed);
    assert_eq!(header(&shop.get("/").await, "x-version"), "");
    assert_eq!(shop.machine.store.routes().await?.tenants.len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_site_that_is_not_live_yet_has_its_files_tested_and_serves_by_them_later() -> Result<()> {
    let mut bench = Bench::new().await?;
    bench.router.prepare(&bench.table(0)).await?;
    bench.start().await?;
    let members = bench.pool(1, 1)?;
    let shop = Shop::on(bench, members, 0).await?;
    shop.write(
        "http_level/m.conf",
        "map $host $x { hostnames; *.*.test 1; }",
    )?;
    let refused = shop.update("add_header X-Version bad;").await.unwrap_err();
    assert!(
        stratus_core::fault::chain(&refused).contains("invalid hostname"),
        "{refused:?}"
    );
    shop.write("http_level/m.conf", "")?;
    let updated = shop.update("add_header X-Version good;").await?;
    assert!(updated.changed && !updated.reloaded, "{updated:?}");
    assert_eq!(shop.status("/").await, 503);
    shop.bench.go_live(1, None).await?;
    shop.machine.load_site(shop.bench.site(1)).await?;
    assert_eq!(header(&shop.get("/").await, "x-version"), "good");
    Ok(())
}

#[tokio::test]
async fn two_updates_at_once_are_safe_and_the_newest_files_win() -> Result<()> {
    let shop = Arc::new(Shop::open().await?);
    for round in 0..3 {
        shop.write(
            "server_level/a.conf",
            &format!("add_header X-Version {round};"),
        )?;
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let shop = shop.clone();
            calls.spawn(async move { shop.machine.update_rules(&shop.environment).await });
        }
        let mut changed = 0;
        while let Some(call) = calls.join_next().await {
            changed += u32::from(call??.changed);
        }
        assert_eq!(changed, 1, "one call does it, the others find it done");
        assert_eq!(header(&shop.get("/").await, "x-version"), round.to_string());
    }
    assert_eq!(shop.bench.control("/.stratus/revision").await?.text(), "4");
    Ok(())
}

#[tokio::test]
async fn two_environments_may_call_their_variables_the_same() -> Result<()> {
    let shop = Shop::open().await?;
    let mut table: RouteTable = shop.bench.table(1);
    let mut rules = Vec::new();
    for (name, value) in [("shop", "one"), ("blog", "two")] {
        shop.write(
            "http_level/m.conf",
            &format!("map $uri $same {{ default {value}; }}"),
        )?;
        shop.write(
            "server_level/a.conf",
            "set $other $same; location = /same { return 200 $other; }",
        )?;
        let mut site = shop.bench.site(1);
        site.environment = name.parse()?;
        site.hosts = vec![format!("{name}.example.test")];
        rules.push(shop.bench.router.read_rules(&site).await?);
        table.put(site);
    }
    for (site, rules) in table.sites.clone().iter().zip(rules) {
        table.put_rules(&site.environment, rules);
    }
    shop.bench.router.load(&table).await?;
    let mut kept = shop.bench.kept().await?;
    for (host, value) in [("shop", "one"), ("blog", "two")] {
        let request = hyper::Request::get("/same").header("host", format!("{host}.example.test"));
        let reply = kept.send(request, bytes::Bytes::new()).await?;
        assert_eq!(reply.text(), value);
    }
    Ok(())
}

#[tokio::test]
async fn an_update_that_changes_nothing_costs_next_to_nothing() -> Result<()> {
    let shop = Shop::open().await?;
    let location = |n| format!("location = /a{n} {{ return 200 b; }}\n");
    let locations: Vec<String> = (0..100).map(location).collect();
    shop.update(&locations.concat()).await?;
    let began = Instant::now();
    for _ in 0..100 {
        assert!(!shop.machine.update_rules(&shop.environment).await?.changed);
    }
    let each = began.elapsed() / 100;
    println!("an unchanged update takes {each:?}");
    assert!(each < Duration::from_millis(20), "{each:?}");
    assert_eq!(shop.bench.control("/.stratus/revision").await?.text(), "2");
    Ok(())
}

#[tokio::test]
async fn updates_under_load_lose_nobody() -> Result<()> {
    let shop = Shop::open().await?;
    let crowd = Crowd::enter(&shop.bench, 16);
    crowd.wait_for(200).await;
    for round in 0..5 {
        let text = format!("add_header X-Version {round}; location /x{round} {{ return 200 x; }}");
        assert!(shop.update(&text).await?.reloaded);
        shop.update("root /;").await.unwrap_err();
        crowd.wait_for(100).await;
    }
    let (answers, wrong) = crowd.leave().await;
    assert_eq!(wrong, Vec::<String>::new(), "of {answers}");
    Ok(())
}
