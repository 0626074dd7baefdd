//! Redis as a cache, on the real one: what is emptied, what is left alone, and every way in which it refuses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::AsyncCommands as _;
use stratus_agent::cache::{CacheClients, HostNames};
use stratus_agent::layout::Layout;
use stratus_core::Environment;
use stratus_core::cache::{Cleaner, Clear, ClearError, Scope, Target};
use stratus_core::environment::caches::RedisCache;
use stratus_core::environment::{Caches, Sessions, Setting};
use stratus_tests::laws::sample;
use stratus_tests::services::Service;
use tokio::io::AsyncWriteExt as _;

fn shop(url: &str) -> Environment {
    let fpc = RedisCache {
        name: "fpc".to_owned(),
        url: Setting::secret(url),
        ca: None,
    };
    Environment {
        caches: Caches {
            redis: vec![fpc],
            ..Caches::default()
        },
        ..sample::environment("shop")
    }
}

async fn clear(shop: &Environment) -> Result<(), ClearError> {
    let layout = Layout::new("/nowhere", "5f3a9c".parse().unwrap());
    let clients = CacheClients::new(layout, Arc::new(HostNames));
    let clear = Clear {
        environment: shop,
        live: None,
        target: &Target::Redis("fpc".to_owned()),
        scope: &Scope::ALL,
        reference: "reference-1",
    };
    clients.clear(clear).await.map(drop)
}

async fn run(service: &Service, words: &str) {
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    command.arg(words.collect::<Vec<_>>());
    let mut connection = service.client(0).await.unwrap();
    command.query_async::<()>(&mut connection).await.unwrap();
}

async fn keys(service: &Service, database: i64) -> usize {
    let mut connection = service.client(database).await.unwrap();
    let size = redis::cmd("DBSIZE").query_async(&mut connection).await;
    size.unwrap()
}

/// A refusal, and what it says; a password is never in it.
async fn refusal(shop: &Environment) -> String {
    let error = clear(shop).await.unwrap_err();
    assert!(matches!(error, ClearError::Refused { .. }), "{error:?}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    error.to_string()
}

async fn passes(shop: &Environment) -> String {
    let error = clear(shop).await.unwrap_err();
    assert!(matches!(error, ClearError::Unavailable { .. }), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn the_named_database_is_emptied_and_no_other() {
    let redis = Service::redis(&[]).await.unwrap();
    for database in [0, 1] {
        let mut connection = redis.client(database).await.unwrap();
        for key in 0..100 {
            let _: () = connection.set(key, "page").await.unwrap();
        }
    }
    let url = format!("redis://{}/1", redis.address);
    for _ in 0..2 {
        clear(&shop(&url)).await.unwrap();
        assert_eq!((keys(&redis, 0).await, keys(&redis, 1).await), (100, 0));
    }
}

#[tokio::test]
async fn a_user_with_a_password_who_may_flush_is_enough_and_one_who_may_not_is_told_so() {
    let redis = Service::redis(&[]).await.unwrap();
    run(&redis, "ACL SETUSER shop on >hunter2 ~* +flushdb +select").await;
    run(&redis, "ACL SETUSER reader on >hunter2 ~* +get +select").await;
    let url = |user: &str| format!("redis://{user}@{}", redis.address);
    clear(&shop(&url("shop:hunter2"))).await.unwrap();
    let said = refusal(&shop(&url("reader:hunter2"))).await;
    assert!(said.contains("+flushdb"), "{said}");
    let said = refusal(&shop(&url("shop:hunter22"))).await;
    assert!(said.contains("password"), "{said}");
    run(&redis, "CONFIG SET requirepass hunter2").await;
    let said = refusal(&shop(&format!("redis://{}", redis.address))).await;
    assert!(
        said.contains("NOAUTH") || said.contains("Authentication"),
        "{said}"
    );
}

#[tokio::test]
async fn a_replica_is_refused_with_what_to_do() {
    let redis = Service::redis(&["--replicaof", "192.0.2.1", "6379"])
        .await
        .unwrap();
    let said = refusal(&shop(&format!("redis://{}", redis.address))).await;
    assert!(said.contains("primary"), "{said}");
}

#[tokio::test]
async fn one_that_is_down_or_too_slow_may_be_back_and_is_left_in_time() {
    let redis = Service::redis(&["--enable-debug-command", "yes"])
        .await
        .unwrap();
    let shop = shop(&format!("redis://{}", redis.address));
    // Nobody waits for its answer.
    let mut stream = tokio::net::TcpStream::connect(redis.address).await.unwrap();
    stream.write_all(b"DEBUG SLEEP 12\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    let said = passes(&shop).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{said}");
    drop(redis);
    let began = Instant::now();
    passes(&shop).await;
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn tls_is_checked_against_the_authority_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    for (name, text) in [
        ("cert.pem", key.cert.pem()),
        ("key.pem", key.signing_key.serialize_pem()),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    open(folder.path());
    let redis = Service::redis_tls(folder.path()).await.unwrap();
    let url = format!("rediss://localhost:{}", redis.address.port());
    let mut shop = shop(&url);
    passes(&shop).await;
    shop.caches.redis[0].ca = Some(folder.path().join("cert.pem"));
    clear(&shop).await.unwrap();
    shop.caches.redis[0].ca = Some(folder.path().join("none.pem"));
    let said = refusal(&shop).await;
    assert!(said.contains("none.pem"), "{said}");
}

fn open(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_database_that_holds_the_sessions_is_never_emptied_whatever_it_is_called() {
    let redis = Service::redis(&[]).await.unwrap();
    let mut connection = redis.client(0).await.unwrap();
    let _: () = connection.set("session", "cart").await.unwrap();
    let port = redis.address.port();
    let mut shop = shop(&format!("redis://127.0.0.1:{port}"));
    shop.sessions = Sessions::Redis(format!("redis://localhost:{port}/0").as_str().into());
    let said = refusal(&shop).await;
    assert!(said.contains("sessions"), "{said}");
    assert_eq!(keys(&redis, 0).await, 1);
}
