//! Redis as a cache, on the real one: what is emptied, what is left alone, and every way in which it refuses.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::AsyncCommands as _;
use stratus_agent::cache::{CacheClients, HostNames, Names};
use stratus_agent::layout::Layout;
use stratus_core::Environment;
use stratus_core::cache::{Cleaner, Clear, ClearError, Scope, SessionStore, Target};
use stratus_core::environment::caches::RedisCache;
use stratus_core::environment::{Caches, Sessions, Setting, session_databases};
use stratus_tests::laws::sample;
use stratus_tests::services::Service;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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
    clear_beside(shop, &[]).await
}

/// The same where there are other environments, which have sessions as well.
async fn clear_beside(shop: &Environment, others: &[Environment]) -> Result<(), ClearError> {
    clear_by(Arc::new(HostNames), shop, others).await
}

/// The same where names are looked up by `names`.
async fn clear_by(
    names: Arc<dyn Names>,
    shop: &Environment,
    others: &[Environment],
) -> Result<(), ClearError> {
    let kept = |environment: &Environment| {
        let found = session_databases(&environment.sessions, &environment.php.ini);
        let name = environment.name.clone();
        found.into_iter().map(move |database| SessionStore {
            environment: name.clone(),
            database,
        })
    };
    let sessions: Vec<_> = others.iter().chain([shop]).flat_map(kept).collect();
    let layout = Layout::new("/nowhere", "5f3a9c".parse().unwrap());
    let clients = CacheClients::new(layout, names);
    let clear = Clear {
        environment: shop,
        live: None,
        target: &Target::Redis("fpc".to_owned()),
        scope: &Scope::ALL,
        reference: "reference-1",
        sessions: &sessions,
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

    // Where php.ini says so.
    shop.sessions = Sessions::Files;
    let handler = ("session.save_handler".to_owned(), "redis".to_owned());
    let path = format!("tcp://localhost:{port}?database=0");
    let path = ("session.save_path".to_owned(), path);
    shop.php.ini.extend([handler, path]);
    let said = refusal(&shop).await;
    assert!(said.contains("holds the sessions, which"), "{said}");

    // Where they are another environment's.
    let blog = Environment {
        name: "blog".parse().unwrap(),
        ..shop.clone()
    };
    shop.php.ini.clear();
    let error = clear_beside(&shop, &[blog]).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("sessions of another environment"), "{said}");
    assert_eq!(keys(&redis, 0).await, 1);
}

#[tokio::test]
async fn the_sessions_of_another_environment_that_lead_nowhere_hold_nobody_up() {
    let redis = Service::redis(&[]).await.unwrap();
    let blog = Environment {
        // No name server is asked for it.
        sessions: Sessions::Redis("redis://no..name".into()),
        ..sample::environment("blog")
    };
    let shop = shop(&format!("redis://{}", redis.address));
    clear_beside(&shop, &[blog]).await.unwrap();
}

/// A resolver that is out of order: at once, or after a time that nobody waits for.
struct OutOfOrder;

#[async_trait::async_trait]
impl Names for OutOfOrder {
    async fn containers(&self, _: &str) -> Result<Vec<IpAddr>, ClearError> {
        Ok(Vec::new())
    }

    async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if name.starts_with("slow") {
            return std::future::pending().await;
        }
        if name == "localhost" {
            return Ok(vec![([127, 0, 0, 1], port).into()]);
        }
        let words = "failed to lookup address information: Temporary failure in name resolution";
        Err(io::Error::other(words))
    }
}

#[tokio::test]
async fn while_nobody_can_tell_where_sessions_are_nothing_is_emptied() {
    let redis = Service::redis(&[]).await.unwrap();
    let mut connection = redis.client(0).await.unwrap();
    let _: () = connection.set("session", "cart").await.unwrap();
    let at = |name: &str, host: &str| Environment {
        sessions: Sessions::Redis(format!("redis://{host}").as_str().into()),
        ..sample::environment(name)
    };
    let shop = shop(&format!("redis://{}", redis.address));
    let names = Arc::new(OutOfOrder);
    let blog = at("blog", "sessions.example.test");
    let error = clear_by(names.clone(), &shop, &[blog]).await.unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, ClearError::Unavailable { .. }), "{said}");
    for part in ["another environment", "sessions.example.test", "Temporary"] {
        assert!(said.contains(part), "{part}: {said}");
    }

    // Many that do not answer take as long as one.
    let slow: Vec<_> = (0..8)
        .map(|n| at(&format!("slow{n}"), &format!("slow{n}.example.test")))
        .collect();
    let began = Instant::now();
    let error = clear_by(names.clone(), &shop, &slow).await.unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, ClearError::Unavailable { .. }), "{said}");
    assert!(began.elapsed() < Duration::from_secs(5), "{said}");
    assert!(said.contains("slow0.example.test"), "{said}");

    // What is known is said, whatever else is not.
    let here = at("here", &format!("localhost:{}", redis.address.port()));
    let others = [slow[0].clone(), here];
    let error = clear_by(names, &shop, &others).await.unwrap_err();
    assert!(matches!(error, ClearError::Refused { .. }), "{error}");
    assert_eq!(keys(&redis, 0).await, 1);
}

#[tokio::test]
async fn the_server_is_told_to_empty_it_in_the_background_and_no_more() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let told = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut told, mut bytes) = (String::new(), [0; 4096]);
        while let Ok(read @ 1..) = stream.read(&mut bytes).await {
            // One answer for each command that has arrived: each begins with the number of its words.
            let text = std::str::from_utf8(&bytes[..read]).unwrap();
            let commands = text.matches('*').count();
            told.push_str(text);
            let answers = b"+OK\r\n".repeat(commands);
            stream.write_all(&answers).await.unwrap();
        }
        told
    });
    clear(&shop(&format!("redis://{address}/3"))).await.unwrap();
    let told = told.await.unwrap();
    let words: Vec<&str> = told
        .split("\r\n")
        .filter(|word| !word.starts_with(['*', '$']) && !word.is_empty())
        .collect();
    let text = words.join(" ");
    assert!(text.contains("SELECT 3"), "{text}");
    assert!(text.ends_with("FLUSHDB ASYNC"), "{text}");
    assert_eq!(text.matches("FLUSH").count(), 1, "{text}");
}
