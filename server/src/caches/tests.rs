//! Workers against a cache that fails on demand, in time that is not waited for.

use std::collections::VecDeque;

use async_trait::async_trait;
use stratus_core::Generation;
use stratus_core::cache::{Clear, Cleared, Parts};
use stratus_core::environment::{Caches, Sessions};
use stratus_core::fake::MemoryStore;

use super::*;

const LIMIT: Duration = Duration::from_secs(45);

/// What a cache does at one try; it clears when nothing is said.
enum Does {
    Fail(ClearError),
    Hang,
}

/// Caches that do as told, and tell in which order and when they were asked.
#[derive(Default)]
struct Script {
    does: Mutex<HashMap<Target, VecDeque<Does>>>,
    asked: Mutex<Vec<(Target, Scope, String, Instant)>>,
    /// What the last try was told to keep. Shape: `shop r:6379/1`.
    kept: Mutex<Vec<String>>,
}

impl Script {
    fn then(&self, target: &Target, does: impl IntoIterator<Item = Does>) {
        let mut all = self.does.lock().unwrap();
        all.entry(target.clone()).or_default().extend(does);
    }

    fn order(&self) -> String {
        let asked = self.asked.lock().unwrap();
        let names: Vec<String> = asked
            .iter()
            .map(|(target, ..)| target.to_string())
            .collect();
        names.join(" ")
    }

    fn times(&self) -> Vec<Instant> {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .map(|(.., at)| *at)
            .collect()
    }

    fn scopes(&self) -> Vec<Scope> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|(_, scope, ..)| scope.clone()).collect()
    }

    fn references(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .map(|(_, _, reference, _)| reference.clone())
            .collect()
    }
}

#[async_trait]
impl Cleaner for Script {
    async fn clear(&self, clear: Clear<'_>) -> Result<Cleared, ClearError> {
        let asked = (
            clear.target.clone(),
            clear.scope.clone(),
            clear.reference.to_owned(),
            Instant::now(),
        );
        self.asked.lock().unwrap().push(asked);
        let kept = clear.sessions.iter().map(|store| {
            let at = &store.database;
            format!(
                "{} {}:{}/{}",
                store.environment, at.host, at.port, at.number
            )
        });
        *self.kept.lock().unwrap() = kept.collect();
        let does = {
            let mut all = self.does.lock().unwrap();
            all.get_mut(clear.target).and_then(VecDeque::pop_front)
        };
        match does {
            None => Ok(Cleared::default()),
            Some(Does::Fail(error)) => Err(error),
            Some(Does::Hang) => std::future::pending().await,
        }
    }

    async fn is_done(&self, _: &Environment, _: &Target, _: &str) -> Result<bool, ClearError> {
        Ok(true)
    }
}

struct Still;

impl Clock for Still {
    fn now_ms(&self) -> u64 {
        1
    }
}

/// A shop with two caches of Redis, Varnish and Cloudflare.
struct Bench {
    clearing: Clearing,
    script: Arc<Script>,
    store: Arc<MemoryStore>,
    shop: Environment,
    shutdown: CancellationToken,
}

impl Bench {
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::default());
        let shop = shop();
        store
            .put_environments(std::slice::from_ref(&shop))
            .await
            .unwrap();
        Self::over(store, shop)
    }

    fn over(store: Arc<MemoryStore>, shop: Environment) -> Self {
        let (script, shutdown) = (Arc::new(Script::default()), CancellationToken::new());
        let clearing = Clearing::new(
            store.clone(),
            script.clone(),
            Arc::new(Still),
            shutdown.clone(),
        );
        Self {
            clearing,
            script,
            store,
            shop,
            shutdown,
        }
    }

    /// The server stops, and starts again over the same store.
    async fn restarted(self) -> Self {
        self.shutdown.cancel();
        self.clearing.stopped().await;
        let next = Self::over(self.store, self.shop);
        next.clearing.recover().await.unwrap();
        next
    }

    async fn clear(&self, targets: &[Target], scope: &Scope) -> Vec<ClearReport> {
        let all = targets.to_vec();
        let cleared = self.clearing.clear(&self.shop, all, scope, LIMIT).await;
        cleared.unwrap()
    }

    /// Waits until nothing waits any more.
    async fn settled(&self) {
        let settled = async {
            while !self.store.pending_clears().await.unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let limit = Duration::from_hours(10);
        tokio::time::timeout(limit, settled)
            .await
            .expect("everything is clear in the end");
    }
}

fn shop() -> Environment {
    let caches: Caches = serde_json::from_value(serde_json::json!({
        "redis": [
            {"name": "fpc", "url": {"value": "redis://r", "secret": false}},
            {"name": "config", "url": {"value": "redis://s", "secret": false}}],
        "varnish": {"url": {"value": "http://v", "secret": false}, "tags_header": "X"},
        "cloudflare": {"zone": "z", "token": {"value": "t", "secret": true}, "endpoint": null},
    }))
    .unwrap();
    let config = "environments: {shop: {hosts: [a.test], code: /usr, docroot: bin, php: {image: a, user: '1:1'}}}";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let mut config = crate::config::load(file.path()).unwrap();
    let mut shop = config.environments.remove(0);
    shop.caches = caches;
    shop
}

fn fpc() -> Target {
    Target::Redis("fpc".to_owned())
}

fn down() -> Does {
    Does::Fail(ClearError::Unavailable {
        detail: "no route".to_owned(),
    })
}

fn states(reports: &[ClearReport]) -> Vec<(String, &'static str)> {
    let state = |r: &ClearReport| (r.target.to_string(), r.state.name());
    reports.iter().map(state).collect()
}

#[tokio::test(start_paused = true)]
async fn caches_are_cleared_from_the_inside_out_whatever_order_they_are_named_in() {
    let bench = Bench::new().await;
    let mut all = Target::all(&bench.shop.caches);
    all.reverse();
    let reports = bench.clear(&all, &Scope::ALL).await;
    let order = bench.script.order();
    assert!(order.starts_with("opcache redis:"), "{order}");
    assert!(order.ends_with(" varnish cloudflare"), "{order}");
    assert!(reports.iter().all(|r| r.state == ClearState::Cleared));
    assert!(bench.store.pending_clears().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_outer_cache_waits_for_the_inner_ones() {
    let bench = Bench::new().await;
    bench.script.then(&fpc(), [Does::Hang]);
    let began = Instant::now();
    let targets = Target::after_a_switch(&bench.shop.caches);
    let reports = bench.clear(&targets, &Scope::ALL).await;
    assert_eq!(
        states(&reports)[..3],
        [
            ("redis:config".to_owned(), "cleared"),
            ("redis:fpc".to_owned(), "pending"),
            ("varnish".to_owned(), "cleared"),
        ]
    );
    assert!(
        reports[1].error.contains("did not answer within 10s"),
        "{reports:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(11));
    assert!(bench.script.times()[2] - began >= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_late_has_the_outer_ones_cleared_once_more_in_order() {
    let bench = Bench::new().await;
    bench.script.then(&fpc(), [down(), down()]);
    let targets = [fpc(), Target::Varnish, Target::Cloudflare];
    bench.clear(&targets, &Scope::ALL).await;
    bench.settled().await;
    assert_eq!(
        bench.script.order(),
        "redis:fpc varnish cloudflare redis:fpc redis:fpc varnish cloudflare"
    );
}

#[tokio::test(start_paused = true)]
async fn one_cache_that_was_asked_for_alone_leaves_the_others_alone_though_it_is_late() {
    let bench = Bench::new().await;
    bench.script.then(&fpc(), [down()]);
    let reports = bench.clear(&[fpc()], &Scope::ALL).await;
    assert_eq!(reports[0].error, "no route");
    bench.settled().await;
    assert_eq!(bench.script.order(), "redis:fpc redis:fpc");
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_one_clear_more() {
    let bench = Bench::new().await;
    bench.script.then(&Target::Varnish, [Does::Hang]);
    let varnish = [Target::Varnish];
    let burst = (0..100).map(|number| {
        let scope = Scope::Parts(Parts {
            tags: [format!("t{number}")].into(),
            ..Parts::default()
        });
        let (bench, varnish) = (&bench, &varnish);
        async move { bench.clear(varnish, &scope).await }
    });
    let reports = join_all(burst).await;
    bench.settled().await;
    assert_eq!(reports.len(), 100);
    let scopes = bench.script.scopes();
    assert!(scopes.len() <= 3, "{} tries", scopes.len());
    let Scope::Parts(last) = &scopes[scopes.len() - 1] else {
        panic!("parts were asked for: {scopes:?}");
    };
    assert_eq!(last.tags.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_while_a_try_is_under_way_is_tried_after_it() {
    let bench = Bench::new().await;
    bench.script.then(&fpc(), [Does::Hang]);
    let redis = [fpc()];
    let (first, second) = tokio::join!(bench.clear(&redis, &Scope::ALL), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        bench.clear(&redis, &Scope::ALL).await
    });
    for report in [first, second] {
        assert_eq!(
            report[0].state,
            ClearState::Cleared,
            "the second try is for both"
        );
        assert!(report[0].ms >= 9_000, "{report:?}");
    }
    assert_eq!(bench.script.times().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_waits_grow_and_a_new_wish_does_not_wait() {
    let bench = Bench::new().await;
    bench.script.then(&fpc(), (0..6).map(|_| down()));
    bench.clear(&[fpc()], &Scope::ALL).await;
    while bench.script.times().len() < 6 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let times = bench.script.times();
    let waits: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[4] >= Duration::from_secs(4), "{waits:?}");
    assert!(
        waits.iter().sum::<Duration>() < Duration::from_secs(20),
        "{waits:?}"
    );
    let began = Instant::now();
    let again = bench.clear(&[fpc()], &Scope::ALL).await;
    assert_eq!(again[0].state, ClearState::Cleared);
    assert!(began.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_names_a_time_is_left_alone_until_then_by_everybody() {
    let bench = Bench::new().await;
    let later = ClearError::Throttled {
        detail: "429".to_owned(),
        after: Some(Duration::from_secs(30)),
    };
    bench.script.then(&Target::Cloudflare, [Does::Fail(later)]);
    let began = Instant::now();
    bench.clear(&[Target::Cloudflare], &Scope::ALL).await;
    let again = bench.clear(&[Target::Cloudflare], &Scope::ALL).await;
    assert_eq!(again[0].state, ClearState::Cleared);
    let waited = began.elapsed();
    assert!((30..31).contains(&waited.as_secs()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_is_asked_of_a_provider_than_it_publishes() {
    let bench = Bench::new().await;
    let began = Instant::now();
    for _ in 0..30 {
        bench.clear(&[Target::Cloudflare], &Scope::ALL).await;
    }
    let early = |at: &&Instant| **at - began < Duration::from_secs(11);
    let times = bench.script.times();
    assert_eq!(times.iter().filter(early).count(), 25);
    let minute = Duration::from_mins(1);
    assert!(times.iter().filter(|at| **at - began <= minute).count() <= 30);
}

#[tokio::test(start_paused = true)]
async fn what_waits_survives_a_restart_with_its_reason_and_its_reference() {
    let bench = Bench::new().await;
    bench.script.then(&fpc(), [down()]);
    let scope = Scope::All {
        generation: Some(Generation(7)),
    };
    bench.clear(&[fpc(), Target::Varnish], &scope).await;
    let waiting = bench.clearing.waiting(&bench.shop.name).await;
    assert_eq!(waiting.len(), 1);
    assert_eq!(
        (waiting[0].pending.tries, waiting[0].pending.error.as_str()),
        (1, "no route")
    );
    let reference = bench.script.references()[0].clone();
    let bench = bench.restarted().await;
    bench.settled().await;
    assert_eq!(bench.script.order(), "redis:fpc varnish cloudflare");
    assert_eq!(bench.script.scopes()[0], scope);
    assert_eq!(bench.script.references()[0], reference);
    assert!(bench.clearing.waiting(&bench.shop.name).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_try_that_a_shutdown_interrupts_is_made_again() {
    let bench = Bench::new().await;
    bench.script.then(&fpc(), [Does::Hang]);
    let targets = vec![fpc()];
    {
        let clearing = bench
            .clearing
            .clear(&bench.shop, targets, &Scope::ALL, LIMIT);
        let cut = tokio::time::timeout(Duration::from_secs(1), clearing).await;
        assert!(cut.is_err());
    }
    let bench = bench.restarted().await;
    bench.settled().await;
    assert_eq!(bench.script.order(), "redis:fpc");
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_no_longer_configured_is_forgotten() {
    let mut bench = Bench::new().await;
    bench.script.then(&Target::Varnish, [down()]);
    bench.clear(&[Target::Varnish], &Scope::ALL).await;
    bench.shop.caches.varnish = None;
    let specs = [bench.shop.clone()];
    bench.store.put_environments(&specs).await.unwrap();
    bench.settled().await;
    assert_eq!(bench.script.order(), "varnish");
}

#[tokio::test(start_paused = true)]
async fn what_an_undone_route_left_is_cleared_in_order_though_nobody_waits() {
    let bench = Bench::new().await;
    bench
        .clearing
        .clear_later(&bench.shop, &Scope::ALL)
        .await
        .unwrap();
    bench.settled().await;
    let order = bench.script.order();
    assert!(order.ends_with(" varnish cloudflare"), "{order}");
    assert_eq!(bench.script.times().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn redis_is_told_of_the_sessions_of_every_environment_as_configured_as_set_and_as_live() {
    let mut bench = Bench::new().await;
    bench.shop.sessions = Sessions::Redis("redis://sessions/1".into());
    let mut blog = Environment {
        name: "blog".parse().unwrap(),
        sessions: Sessions::Files,
        ..bench.shop.clone()
    };
    let handler = ("session.save_handler".to_owned(), "redis".to_owned());
    blog.php.ini.insert(handler.0, handler.1);
    let specs = [bench.shop.clone(), blog.clone()];
    bench.store.put_environments(&specs).await.unwrap();
    let path = |path: &str| ("session.save_path".to_owned(), path.to_owned());
    let mut state = bench.store.state(&blog.name).await.unwrap();
    state.php_options = [path("tcp://option:7")].into();
    bench.store.put_state(&blog.name, &state).await.unwrap();
    bench.clear(&[fpc()], &Scope::ALL).await;
    assert_eq!(
        *bench.script.kept.lock().unwrap(),
        ["shop sessions:6379/1", "blog option:7/0"]
    );
    bench.clear(&[Target::Varnish], &Scope::ALL).await;
    assert!(bench.script.kept.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn parts_that_wait_for_a_provider_never_become_more_than_one_try_can_send() {
    let bench = Bench::new().await;
    let urls = |first: usize| {
        let urls = (first..first + 200).map(|n| format!("https://a.test/{n}"));
        Scope::Parts(Parts {
            urls: urls.collect(),
            ..Parts::default()
        })
    };
    let cloudflare = [Target::Cloudflare];
    bench.script.then(&Target::Cloudflare, [down()]);
    bench.clear(&cloudflare, &urls(0)).await;
    bench.clear(&cloudflare, &urls(200)).await;
    bench.settled().await;
    assert_eq!(bench.script.scopes(), [urls(0), Scope::ALL]);
    // What is too much at once as well.
    let many = Scope::Parts(Parts {
        tags: (0..301).map(|n| n.to_string()).collect(),
        ..Parts::default()
    });
    bench.clear(&cloudflare, &many).await;
    assert_eq!(bench.script.scopes()[2], Scope::ALL);
}

#[tokio::test(start_paused = true)]
async fn a_reference_is_said_with_one_scope_only() {
    let bench = Bench::new().await;
    let tag = |tag: &str| {
        Scope::Parts(Parts {
            tags: [tag.to_owned()].into(),
            ..Parts::default()
        })
    };
    bench.script.then(&fpc(), [down(), down(), Does::Hang]);
    for name in ["a", "b"] {
        bench.clear(&[fpc()], &tag(name)).await;
    }
    let bench = bench.restarted().await;
    bench.clear(&[fpc()], &tag("c")).await;
    bench.settled().await;
    let (scopes, references) = (bench.script.scopes(), bench.script.references());
    let mut said = HashMap::new();
    for (reference, scope) in references.iter().zip(&scopes) {
        assert_eq!(said.entry(reference).or_insert(scope), &scope, "{scopes:?}");
    }
}
