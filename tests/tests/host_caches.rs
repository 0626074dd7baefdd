//! Caches around a whole Stratus: the real nginx, PHP, Redis and Varnish, and the commands that scripts call.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redis::AsyncCommands as _;
use serde_json::Value;
use stratus_tests::cloud::{Cloud, Does};
use stratus_tests::pools::docker;
use stratus_tests::services::Service;
use stratus_tests::stage::{Place, Running, Shop};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A page that a cache may keep, which takes as long as it is told to.
const PAGE: &str = "<?php $release = require __DIR__ . '/../release.php';
header('Cache-Control: public, max-age=600');
$until = microtime(true) + (int) ($_GET['ms'] ?? 0) / 1000;
while (microtime(true) < $until) { crc32('x'); }
echo \"release $release\";
";

/// Keeps what the origin allows, and takes a pattern for its tags as Magento's does.
const VCL: &str = r#"vcl 4.1;
backend default { .host = "ORIGIN"; .port = "8080"; }
sub vcl_recv {
    if (req.method == "PURGE") {
        if (!req.http.X-Magento-Tags-Pattern) { return (synth(400, "no pattern")); }
        ban("obj.http.X-Magento-Tags ~ " + req.http.X-Magento-Tags-Pattern);
        return (synth(200, "Purged"));
    }
    return (hash);
}
sub vcl_backend_response {
    if (!beresp.http.X-Magento-Tags) { set beresp.http.X-Magento-Tags = "page"; }
}
"#;

/// What a visitor of Varnish gets, and whether Varnish had it.
async fn ask(varnish: &Service, path: &str) -> (String, bool) {
    let mut stream = TcpStream::connect(varnish.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: shop.example.test\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{answer}");
    // Of a hit it names two requests: this one, and the one that fetched the page.
    let ids = head
        .lines()
        .find_map(|line| line.strip_prefix("X-Varnish: "));
    let hit = ids.is_some_and(|ids| ids.split_whitespace().count() == 2);
    (body.to_owned(), hit)
}

/// What a visitor of Varnish gets.
async fn visit(varnish: &Service, path: &str) -> String {
    ask(varnish, path).await.0
}

/// A Varnish in front of the stage's nginx.
async fn varnish(place: &Place) -> Service {
    let folder = place.root.join("vcl");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        folder.join("default.vcl"),
        VCL.replace("ORIGIN", &place.nginx()),
    )
    .unwrap();
    Service::varnish(&folder, &place.project).await.unwrap()
}

fn cache<'a>(report: &'a Value, name: &str) -> &'a Value {
    let caches = report["caches"].as_array().unwrap();
    caches.iter().find(|c| c["cache"] == name).unwrap()
}

#[tokio::test]
async fn no_page_of_the_old_code_is_left_in_varnish_or_redis_when_a_switch_has_returned() {
    let redis = Service::redis(&[]).await.unwrap();
    let mut running = Running::make("caches", 2, "").unwrap();
    running.shop.write("pub/page.php", PAGE).unwrap();
    running.go_live(&[]).await.unwrap();
    let varnish = varnish(&running.place).await;
    let more = format!(
        "    replicas: 2\n    caches:\n      redis: [{{name: fpc, url: 'redis://{}'}}]\n      varnish: {{url: 'http://{}'}}\n",
        redis.address, varnish.address
    );
    let place = &running.place;
    place.configure(&running.shop.yaml("shop", &more)).unwrap();
    place.done(&["environments.apply"]).await.unwrap();
    for number in 1..=3 {
        let before = format!("release {}", number - 1);
        let mut connection = redis.client(0).await.unwrap();
        let _: () = connection.set("page", &before).await.unwrap();
        visit(&varnish, "/page.php").await;
        assert_eq!(ask(&varnish, "/page.php").await, (before.clone(), true));
        running.shop.release(number).unwrap();
        place.done(&["zerodowntime.init"]).await.unwrap();
        // It begins on the old code, ends after the flip, and Varnish keeps what it says.
        let slow = visit(&varnish, "/page.php?ms=2500");
        let switch = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            place.done(&["zerodowntime.switch"]).await.unwrap()
        };
        let (old, report) = tokio::join!(slow, switch);
        assert_eq!(old, before, "the slow request was the old code's");
        for name in ["redis:fpc", "varnish"] {
            assert_eq!(cache(&report, name)["state"], "cleared", "{report}");
        }
        let left: Option<String> = connection.get("page").await.unwrap();
        assert_eq!(left, None);
        for path in ["/page.php", "/page.php?ms=2500"] {
            let page = visit(&varnish, path).await;
            assert_eq!(page, format!("release {number}"), "{path}");
        }
    }
    assert_eq!(running.place.visit("/page.php").await.unwrap().status, 200);
    // By command as well.
    let mut connection = redis.client(0).await.unwrap();
    let _: () = connection.set("page", "kept").await.unwrap();
    assert!(ask(&varnish, "/page.php").await.1, "Varnish has it");
    let report = place.done(&["cache.all.clear"]).await.unwrap();
    for name in ["opcache", "redis:fpc", "varnish"] {
        assert_eq!(cache(&report, name)["state"], "cleared", "{report}");
    }
    let left: Option<String> = connection.get("page").await.unwrap();
    assert_eq!(left, None);
    assert!(!ask(&varnish, "/page.php").await.1, "Varnish still has it");
}

/// A page of the old code that goes on until Redis has been cleared, and writes into it then, as a page cache does.
const LATE: &str = "<?php $release = require __DIR__ . '/../release.php';
$redis = new Redis();
$redis->connect('redis', 6379);
$redis->set('begun', '1');
for ($i = 0; $i < 1200 && $redis->exists('begun'); $i++) { usleep(50000); }
$redis->set('page', \"release $release\");
echo 'written';
";

#[tokio::test]
async fn what_the_old_code_writes_after_the_clear_of_a_deployment_is_cleared_when_it_is_over() {
    let mut running = Running::make("late", 1, "").unwrap();
    let redis = Service::redis(&[]).await.unwrap();
    running.shop.write("pub/late.php", LATE).unwrap();
    join_network(&running.place, &redis);
    let text = std::fs::read_to_string(running.place.config()).unwrap();
    let text = text.replace("drain: 30s", "drain: 1s")
        + &format!(
            "    caches: {{redis: [{{name: fpc, url: 'redis://{}'}}]}}\n",
            redis.address
        );
    std::fs::write(running.place.config(), text).unwrap();
    running.go_live(&[]).await.unwrap();
    running.shop.release(1).unwrap();
    let place = &running.place;
    let mut connection = redis.client(0).await.unwrap();
    let mut watching = redis.client(0).await.unwrap();
    let deploy = async {
        while !watching.exists::<_, bool>("begun").await.unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        place.done(&["deploy"]).await.unwrap()
    };
    let (late, report) = tokio::join!(place.visit("/late.php"), deploy);
    assert_eq!(cache(&report, "redis:fpc")["state"], "cleared", "{report}");
    assert_eq!(late.unwrap().body, "written");
    let began = Instant::now();
    loop {
        let status = place.done(&["status"]).await.unwrap();
        let pending = status["environments"][0]["pending"].as_array().cloned();
        if pending.unwrap_or_default().is_empty() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{status}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let left: Option<String> = connection.get("page").await.unwrap();
    assert_eq!(left, None);
    leave_network(place, &redis);
}

#[tokio::test]
async fn a_cache_that_is_down_leaves_a_switch_done_and_is_shown_and_cleared_when_it_is_back() {
    let purges_fail = Arc::new(AtomicBool::new(false));
    let fail = purges_fail.clone();
    let cloud = Cloud::start(move |asked| {
        if fail.load(Ordering::SeqCst) && asked.path.ends_with("/purge_cache") {
            return Does::say(500, "oops");
        }
        Does::say(200, "{\"success\": true}")
    })
    .await;
    let more = format!(
        "    caches:\n      varnish: {{url: '{0}'}}\n      cloudflare: {{zone: z1, token: hunter2, endpoint: '{0}'}}\n",
        cloud.endpoint()
    );
    cloud.then([Does::say(405, "not you"), Does::say(405, "not you")]);
    let mut running = Running::open("cachedown", 1, &more).await.unwrap();
    let place = &running.place;
    cloud.then([Does::Reset, Does::with(429, "Retry-After: 2")]);
    let (_, switch) = running.deploy(1).await.unwrap();
    assert_eq!(switch["outcome"], "completed");
    assert_eq!(cache(&switch, "varnish")["state"], "pending", "{switch}");
    let status = place.done(&["status"]).await.unwrap();
    let pending = status["environments"][0]["pending"].as_array().unwrap();
    assert!(!pending.is_empty(), "{status}");
    // A command for what waits says so, in the way that scripts look for.
    purges_fail.store(true, Ordering::SeqCst);
    let said = place.cli(&["cache.cdn.purge"]).await.unwrap();
    assert_eq!(said.code, 1, "{said}");
    assert!(
        said.stdout
            .lines()
            .any(|l| l.contains("ERROR") && l.contains("Error")),
        "{said}"
    );
    assert!(!said.to_string().contains("hunter2"), "{said}");
    purges_fail.store(false, Ordering::SeqCst);
    // Killed, the server goes on where it was.
    running.server.take().unwrap().kill().await.unwrap();
    running.server = Some(
        stratus_tests::stage::Server::start(&running.place)
            .await
            .unwrap(),
    );
    let began = Instant::now();
    loop {
        let status = running.place.done(&["status"]).await.unwrap();
        let pending = status["environments"][0]["pending"].as_array().cloned();
        if pending.unwrap_or_default().is_empty() {
            break;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{status}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let purges = cloud.asked();
    assert!(
        purges
            .iter()
            .any(|a| a.method == "PURGE" && a.header("x-stratus-generation") == "2")
    );
    assert!(purges.iter().any(|a| a.path.ends_with("/purge_cache")));
}

#[tokio::test]
async fn every_command_is_done_where_its_cache_is_not_configured() {
    let running = Running::open("cacheoff", 1, "").await.unwrap();
    for command in [
        "cache.all.clear",
        "cache.opcache.flush",
        "cache.redis.clear",
        "cache.varnish.clear",
        "cache.cloudfront.invalidate",
        "cache.cdn.purge",
    ] {
        let said = running.place.cli(&[command]).await.unwrap();
        assert_eq!(said.code, 0, "{said}");
        assert!(!said.to_string().contains("ERROR"), "{said}");
    }
}

#[tokio::test]
async fn flushing_opcache_makes_every_live_member_forget_its_scripts() {
    let mut running = Running::make("opcache", 2, "").unwrap();
    // Each member has a root of its own; its workers share what is counted.
    let page = "<?php echo stat('/')['dev'], ' ', opcache_get_status(false)['opcache_statistics']['manual_restarts'];";
    running.shop.write("pub/opcache.php", page).unwrap();
    running.go_live(&[]).await.unwrap();
    let place = &running.place;
    let restarts = async || {
        let mut found = BTreeMap::new();
        let began = Instant::now();
        while found.len() < 2 {
            assert!(began.elapsed() < Duration::from_secs(30), "{found:?}");
            let body = place.visit("/opcache.php").await.unwrap().body;
            let (member, count) = body.rsplit_once(' ').unwrap();
            found.insert(member.to_owned(), count.parse::<u32>().unwrap());
        }
        found
    };
    let before = restarts().await;
    place.done(&["cache.opcache.flush"]).await.unwrap();
    let began = Instant::now();
    // PHP begins anew at the next request that finds nobody else in it.
    while restarts()
        .await
        .iter()
        .any(|(member, count)| *count <= before[member])
    {
        assert!(began.elapsed() < Duration::from_secs(30), "{before:?}");
    }
}

/// A Redis that writes down whatever it is told.
async fn recorder() -> (std::net::SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
    let record = heard.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let record = record.clone();
            record.lock().unwrap().extend_from_slice(b"(connection)");
            tokio::spawn(async move {
                let mut bytes = [0; 1024];
                while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                    record.lock().unwrap().extend_from_slice(&bytes[..read]);
                    let _ = stream.write_all(b"+OK\r\n").await;
                }
            });
        }
    });
    (address, heard)
}

/// Every command but those that are told an id, in an order in which each succeeds. FROM is another tree.
const WORDS: &str = "cache.all.clear
cache.opcache.flush
cache.redis.clear
cache.varnish.clear
cache.cloudfront.invalidate
cache.cdn.purge
zerodowntime.rollback
zerodowntime.init
zerodowntime.status
zerodowntime.abort
zerodowntime.init
zerodowntime.switch
autoscaling.reinit
deploy
deploy --mode consistent
deploy --mode rolling
deploy --from FROM
php.options.add memory_limit=200M
php.options.list
php.options.remove memory_limit
database.config
crons.list
crons.run tick
crons.logs tick
crons.stop
crons.start
nginx.update
maintenance.enable
maintenance.disable
environments.apply
environments.list
environments.show
environments.diff
releases.list
operations.list
status
doctor
help
completions bash
man";

/// The commands that `help` lists.
async fn commands(place: &Place) -> Vec<String> {
    let help = place.cli(&["help"]).await.unwrap().stdout;
    let lines = help.lines().filter_map(|line| line.strip_prefix("  "));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    let names = names.filter(|name| !name.starts_with('-'));
    names.map(str::to_owned).collect()
}

#[tokio::test]
async fn no_verb_says_a_word_to_the_session_store() {
    let (sessions, heard) = recorder().await;
    let redis = Service::redis(&[]).await.unwrap();
    let more = format!(
        "    sessions: {{redis: 'redis://{sessions}'}}\n    caches:\n      redis: [{{name: fpc, url: 'redis://{0}'}}, {{name: config, url: 'redis://{0}/1'}}]\n\
         \x20   database: {{host: mysql, name: a, user: b, password: c}}\n\
         \x20   crons: [{{name: tick, at: '0 0 1 1 *', run: [echo, tick]}}]\n\
         \x20   workers: [{{name: queue, run: [sleep, '1000']}}]\n",
        redis.address
    );
    let running = Running::open("sessions", 1, &more).await.unwrap();
    let place = &running.place;
    running.deploy(1).await.unwrap();
    let other = Shop::make(&place.root.join("other")).unwrap();
    let all = WORDS.replace("FROM", &other.code().display().to_string());
    let mut said = Vec::new();
    for words in all.lines() {
        let words: Vec<&str> = words.split(' ').collect();
        let output = place.cli(&words).await.unwrap();
        assert!(output.code == 0 || words == ["doctor"], "{output}");
        said.push(words[0].to_owned());
    }
    // What they are told an id of; some of them have nothing to do.
    let listed = place.done(&["operations.list"]).await.unwrap();
    let operation = listed["operations"][0]["operation"].as_str().unwrap();
    let listed = place.done(&["releases.list"]).await.unwrap();
    let release = listed["releases"][0]["release"].as_str().unwrap();
    for (verbs, id) in [
        ("show watch cancel resume resolve", operation),
        ("pin unpin remove", release),
    ] {
        let group = if id == release {
            "releases"
        } else {
            "operations"
        };
        for verb in verbs.split(' ') {
            let name = format!("{group}.{verb}");
            place.cli(&[&name, id]).await.unwrap();
            said.push(name);
        }
    }
    for command in commands(place).await {
        assert!(said.contains(&command), "{command} is not tried");
    }
    let heard = heard.lock().unwrap().clone();
    assert_eq!(String::from_utf8_lossy(&heard), "");
    // The recorder does hear who speaks to it, and the members were told of it.
    let mut stream = TcpStream::connect(sessions).await.unwrap();
    stream.write_all(b"PING\r\n").await.unwrap();
    let live = ini(place);
    assert!(live.contains("session.save_handler = redis"), "{live}");
    assert!(live.contains(&format!("'tcp://{sessions}'")), "{live}");
    // Sessions cannot be moved into what is cleared.
    let moved = format!("session.save_path=tcp://{}?database=1", redis.address);
    let (code, refused) = place.stratus(&["php.options.add", &moved]).await.unwrap();
    let why = refused["error"].as_str().unwrap_or_default();
    assert!(code == 1 && why.contains("cleared as a cache"), "{refused}");
    assert_eq!(ini(place), live);
}

/// The live pool's part of `php.ini`.
fn ini(place: &Place) -> String {
    let path = place.data().join("env/shop/live/conf/ini/stratus.ini");
    std::fs::read_to_string(path).unwrap()
}

/// A network that members join, with `redis` on it by that name.
fn join_network(place: &Place, redis: &Service) {
    docker(&["network", "create", &place.project]);
    let text = std::fs::read_to_string(place.config()).unwrap();
    let named = format!("server:\n  network: {}\n", place.project);
    std::fs::write(place.config(), text.replacen("server:\n", &named, 1)).unwrap();
    let connect = ["network", "connect", "--alias", "redis", &place.project];
    docker(&[&connect[..], &[redis.container()]].concat());
}

/// So that the network can be removed.
fn leave_network(place: &Place, redis: &Service) {
    let leave = ["network", "disconnect", "-f", &place.project];
    docker(&[&leave[..], &[redis.container()]].concat());
}

#[tokio::test]
async fn members_join_the_network_that_is_named_and_find_its_services() {
    let mut running = Running::make("network", 1, "").unwrap();
    let place = running.place.clone();
    let redis = Service::redis(&[]).await.unwrap();
    join_network(&place, &redis);
    let with_cache = std::fs::read_to_string(place.config()).unwrap()
        + "    caches: {redis: [{name: fpc, url: 'redis://redis:6379'}]}\n";
    std::fs::write(place.config(), with_cache).unwrap();
    let page = "<?php echo gethostbyname('redis');";
    running.shop.write("pub/name.php", page).unwrap();
    running.go_live(&[]).await.unwrap();
    let mut connection = redis.client(0).await.unwrap();
    let _: () = connection.set("page", "old").await.unwrap();
    let cleared = place.done(&["cache.redis.clear"]).await.unwrap();
    assert_eq!(cache(&cleared, "redis:fpc")["state"], "cleared");
    let left: Option<String> = connection.get("page").await.unwrap();
    assert_eq!(left, None);
    let seen = place.visit("/name.php").await.unwrap().body;
    assert_ne!(seen, "redis", "the members resolve it too");
    leave_network(&place, &redis);
}
