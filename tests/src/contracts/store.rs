//! What every store does, in memory or on disk. Each function wants a store of its own.

use stratus_core::cache::{Outer, Parts, PendingClear, Scope, Target};
use stratus_core::fault::Fault;
use stratus_core::operation::plan::FORMAT;
use stratus_core::operation::{Direction, Event, Kind, Outcome, Output, Plan, Step};
use stratus_core::route::{RouteTable, Site};
use stratus_core::state::PoolRecord;
use stratus_core::store::{Begun, Operation, Pin, StoreError};
use stratus_core::tenant::TenantRules;
use stratus_core::{
    EnvironmentName, EnvironmentState, Generation, OperationId, Pool, PoolId, Store,
};

use crate::laws::sample;

const STUCK: Outcome = Outcome::Stuck {
    step: 1,
    direction: Direction::Forward,
};

/// The operation `id` of `environment`, asked for at `created_ms`.
///
/// # Panics
/// When one of them is not a valid name.
pub fn operation(id: &str, environment: &str, created_ms: u64) -> Operation {
    let environment = sample::environment(environment);
    Operation {
        id: id.parse().expect("a valid id"),
        request: format!("request of {id}"),
        actor: "uid 0".to_owned(),
        created_ms,
        finished_ms: None,
        outcome: None,
        plan: Plan {
            format: FORMAT,
            operation: id.parse().expect("a valid id"),
            kind: Kind::Switch,
            environment: Box::new(environment),
            target: None,
            origin: None,
            previous: Some(Generation(1)),
            before: EnvironmentState::default(),
            stale: None,
            base: Some(sample::release(1)),
            steps: vec![Step::AwaitReady, Step::Route, Step::Promote],
        },
    }
}

/// Begins a new operation and returns its id.
///
/// # Panics
/// When it is refused.
pub async fn begun(store: &dyn Store, id: &str, environment: &str) -> OperationId {
    let operation = operation(id, environment, 1);
    let begun = store.begin(&operation).await.expect("it is admitted");
    assert_eq!(begun, Begun::New);
    operation.id
}

/// `Started` of a step.
pub fn started(step: usize) -> Event {
    Event::Started {
        step,
        direction: Direction::Forward,
    }
}

fn name(text: &str) -> EnvironmentName {
    text.parse().expect("a valid name")
}

/// One operation per environment; the same request is the operation that is there.
///
/// # Panics
/// When it is not so.
pub async fn one_operation_per_environment(store: &dyn Store) {
    let first = begun(store, "one", "shop").await;
    let second = operation("two", "shop", 2);
    let refused = store.begin(&second).await;
    assert!(matches!(&refused, Err(StoreError::Busy { holder }) if *holder == first));
    begun(store, "three", "blog").await;

    let repeated = Operation {
        request: "request of one".to_owned(),
        ..operation("four", "shop", 3)
    };
    let known = Begun::Known(first.clone());
    assert_eq!(store.begin(&repeated).await.expect("known"), known);
    store
        .finish(&first, 9, Outcome::Completed)
        .await
        .expect("finished");
    assert_eq!(store.begin(&repeated).await.expect("known"), known);
    assert_eq!(store.begin(&second).await.expect("free"), Begun::New);
    let refused = store.operation(&repeated.id).await.expect("readable");
    assert_eq!(refused, None, "what was not begun is not there");
    let asked = store.requested("request of one").await.expect("readable");
    assert_eq!(asked.map(|o| o.id), Some(first));
    assert_eq!(
        store
            .requested("request of nobody")
            .await
            .expect("readable"),
        None
    );
}

/// Events are numbered from 1 in each operation and read back as they were, in order.
///
/// # Panics
/// When it is not so.
pub async fn events_are_numbered_and_kept(store: &dyn Store) {
    let (shop, blog) = (
        begun(store, "one", "shop").await,
        begun(store, "two", "blog").await,
    );
    let events = every_event();
    for (number, event) in (1..).zip(&events) {
        let at = store.append(&shop, 100 + number, event).await;
        assert_eq!(at.expect("appended"), number);
    }
    assert_eq!(
        store.append(&blog, 5, &started(0)).await.expect("appended"),
        1
    );
    let read = store.journal(&shop, 0).await.expect("readable");
    let numbers: Vec<u64> = read.iter().map(|entry| entry.number).collect();
    assert!(
        numbers.iter().copied().eq(1..=events.len() as u64),
        "{numbers:?}"
    );
    assert!(read.iter().all(|entry| entry.at_ms == 100 + entry.number));
    assert!(
        read.iter().map(|entry| &entry.event).eq(&events),
        "{read:?}"
    );
    let rest = store.journal(&shop, 3).await.expect("readable");
    assert_eq!(rest, read[3..]);
    let unknown = "nobody".parse().expect("a valid id");
    assert_eq!(store.journal(&unknown, 0).await.expect("readable"), []);
}

fn every_event() -> Vec<Event> {
    let direction = Direction::Back;
    vec![
        started(0),
        Event::Succeeded {
            step: 0,
            direction: Direction::Forward,
            output: Output::Drained {
                drained_ms: 1,
                remaining: 2,
                tally: None,
            },
        },
        Event::Failed {
            step: 1,
            direction,
            fault: Fault::Transient,
            message: "„ø“ \u{0} '; DROP TABLE events".to_owned(),
        },
        Event::CancelRequested,
        Event::Resumed,
        Event::Resolved { step: 1, direction },
    ]
}

/// An end gives the environment free, stuck does not; who resumes or resolves takes the outcome away again.
///
/// # Panics
/// When it is not so.
pub async fn stuck_keeps_the_environment(store: &dyn Store) {
    let id = begun(store, "one", "shop").await;
    for (at_ms, help) in [
        (10, Event::Resumed),
        (
            20,
            Event::Resolved {
                step: 1,
                direction: Direction::Forward,
            },
        ),
    ] {
        store.finish(&id, at_ms, STUCK).await.expect("finished");
        let stored = stored(store, &id).await;
        assert_eq!((stored.outcome, stored.finished_ms), (Some(STUCK), None));
        let refused = store.begin(&operation("two", "shop", 2)).await;
        assert!(matches!(refused, Err(StoreError::Busy { .. })));
        let unfinished = store.unfinished().await.expect("readable");
        assert_eq!(unfinished, [stored]);
        store.append(&id, at_ms, &help).await.expect("appended");
        assert_eq!(self::stored(store, &id).await.outcome, None);
    }
    let number = store
        .finish(&id, 30, Outcome::Undone)
        .await
        .expect("finished");
    let last = store.journal(&id, number - 1).await.expect("readable");
    let outcome = Outcome::Undone;
    assert_eq!(last[0].event, Event::Finished { outcome });
    let stored = stored(store, &id).await;
    assert_eq!(
        (stored.outcome, stored.finished_ms),
        (Some(outcome), Some(30))
    );
    assert_eq!(store.unfinished().await.expect("readable"), []);
    begun(store, "two", "shop").await;
}

async fn stored(store: &dyn Store, id: &OperationId) -> Operation {
    let stored = store.operation(id).await.expect("readable");
    stored.expect("it is stored")
}

/// The newest operation first, of one environment or of all, no more than asked for.
///
/// # Panics
/// When it is not so.
pub async fn operations_are_listed_newest_first(store: &dyn Store) {
    for (id, environment, created_ms) in [
        ("a", "shop", 10),
        ("b", "blog", 20),
        ("c", "shop", 30),
        ("d", "blog", 30),
    ] {
        let operation = operation(id, environment, created_ms);
        store.begin(&operation).await.expect("admitted");
        store
            .finish(&operation.id, 40, Outcome::Completed)
            .await
            .expect("finished");
    }
    let shop = name("shop");
    for (environment, limit, expected) in [
        (None, 10, "dcba"),
        (None, 2, "dc"),
        (None, 0, ""),
        (Some(&shop), 10, "ca"),
        (Some(&shop), 1, "c"),
        (Some(&name("none")), 10, ""),
    ] {
        let listed = store
            .operations(environment, limit)
            .await
            .expect("readable");
        let ids: String = listed
            .iter()
            .map(|operation| operation.id.as_str())
            .collect();
        assert_eq!(ids, expected, "{environment:?} {limit}");
    }
}

/// A number is used once, in each environment by itself; roles that are written do not disturb the count.
///
/// # Panics
/// When it is not so.
pub async fn a_generation_is_never_used_twice(store: &dyn Store) {
    let (shop, blog) = (name("shop"), name("blog"));
    let state = EnvironmentState::default();
    for number in 1..=5 {
        let next = store.next_generation(&shop).await.expect("counted");
        assert_eq!(next, Generation(number));
        store.put_state(&shop, &state).await.expect("stored");
    }
    store.put_state(&blog, &state).await.expect("stored");
    let next = store.next_generation(&blog).await.expect("counted");
    assert_eq!(next, Generation(1));
}

/// Roles, environments and routes come back as they were stored; what was never stored is the default.
///
/// # Panics
/// When it is not so.
pub async fn state_comes_back(store: &dyn Store) {
    let shop = name("shop");
    let empty = EnvironmentState::default();
    assert_eq!(store.state(&shop).await.expect("readable"), empty);
    let state = EnvironmentState {
        live: Some(record(2)),
        standby: Some(record(3)),
        previous: Some(record(1)),
        warm_until_ms: Some(u64::from(u32::MAX) * 1000),
        php_options: [("memory_limit".to_owned(), "1G".to_owned())].into(),
    };
    store.put_state(&shop, &state).await.expect("stored");
    assert_eq!(store.state(&shop).await.expect("readable"), state);
    store.next_generation(&shop).await.expect("counted");
    assert_eq!(store.state(&shop).await.expect("readable"), state);
    assert_eq!(store.state(&name("blog")).await.expect("readable"), empty);

    assert_eq!(store.environments().await.expect("readable"), []);
    let specs = ["zoo", "shop", "blog"].map(sample::environment);
    store.put_environments(&specs).await.expect("stored");
    assert_eq!(store.environments().await.expect("readable"), specs);
    store.put_environments(&specs[1..2]).await.expect("stored");
    assert_eq!(store.environments().await.expect("readable"), specs[1..2]);
    assert_eq!(store.state(&shop).await.expect("readable"), state);

    assert_eq!(
        store.routes().await.expect("readable"),
        RouteTable::default()
    );
    for members in [1, 2] {
        let sites = specs.iter().map(|spec| Site::of(spec, members)).collect();
        let mut table = RouteTable {
            sites,
            ..RouteTable::default()
        };
        table.put_rules(&shop, rules(members));
        store.put_routes(&table).await.expect("stored");
        assert_eq!(store.routes().await.expect("readable"), table);
    }
}

fn rules(directives: u16) -> TenantRules {
    TenantRules {
        files: vec![".nginx/server_level/a.conf".to_owned()],
        directives: directives.into(),
        accepted: serde_json::json!({"server": ["„ø“ \u{0}", directives]}),
    }
}

fn record(generation: u32) -> PoolRecord {
    PoolRecord {
        generation: Generation(generation),
        release: sample::release(u64::from(generation)),
        members: 3,
        since_ms: 4,
    }
}

/// The pool of `generation`.
pub fn pool(environment: &str, generation: u32) -> Pool {
    let spec = sample::environment(environment);
    Pool {
        id: PoolId::new(&spec.name, Generation(generation)),
        release: sample::release(u64::from(generation)),
        image: "sha256:1".to_owned(),
        members: 2,
        php: spec.php,
        code_access: spec.code_access,
        code: spec.code,
        shared: spec.shared,
        links: spec.links,
        docroot: spec.docroot,
        front: spec.front,
        upload_limit: spec.upload_limit,
        sessions: spec.sessions,
    }
}

/// Pools are kept until forgotten, oldest first; pins until taken out. Both twice is the same as once.
///
/// # Panics
/// When it is not so.
pub async fn pools_and_pins_are_kept_until_forgotten(store: &dyn Store) {
    let shop = name("shop");
    for made in [pool("shop", 10), pool("shop", 9), pool("blog", 1)] {
        store.put_pool(&made).await.expect("stored");
        store.put_pool(&made).await.expect("stored twice");
    }
    let changed = Pool {
        members: 7,
        ..pool("shop", 9)
    };
    store.put_pool(&changed).await.expect("stored");
    let pools = store.pools(&shop).await.expect("readable");
    assert_eq!(pools, [changed.clone(), pool("shop", 10)]);
    assert_eq!(
        store.pool(&changed.id).await.expect("readable"),
        Some(changed.clone())
    );
    for _ in 0..2 {
        store.forget_pool(&changed.id).await.expect("forgotten");
    }
    assert_eq!(store.pool(&changed.id).await.expect("readable"), None);
    assert_eq!(
        store.pools(&shop).await.expect("readable"),
        [pool("shop", 10)]
    );

    let (one, two) = (sample::release(1), sample::release(2));
    for release in [&two, &one, &two] {
        store.pin(&shop, release, Pin::Keep).await.expect("pinned");
    }
    let pins = store.pinned(&shop).await.expect("readable");
    assert_eq!(pins, [one.clone(), two.clone()]);
    assert_eq!(store.pinned(&name("blog")).await.expect("readable"), []);
    for _ in 0..2 {
        store
            .pin(&shop, &one, Pin::Release)
            .await
            .expect("unpinned");
    }
    assert_eq!(store.pinned(&shop).await.expect("readable"), [two]);
}

/// What waits for a cache is one, whatever was put before; other caches and environments are left alone.
///
/// # Panics
/// When it is not so.
pub async fn a_cache_waits_once(store: &dyn Store) {
    let (shop, blog) = (name("shop"), name("blog"));
    let fpc = || Target::Redis("fpc".to_owned());
    let put = [
        pending(&shop, fpc(), 0),
        pending(&shop, Target::Varnish, 0),
        pending(&blog, Target::Varnish, 3),
        pending(&shop, fpc(), 1),
    ];
    for pending in &put {
        store.put_pending_clear(pending).await.expect("stored");
    }
    let mut all = store.pending_clears().await.expect("readable");
    all.sort_by(|a, b| (&a.environment, &a.target).cmp(&(&b.environment, &b.target)));
    assert_eq!(all, [put[2].clone(), put[3].clone(), put[1].clone()]);
    for _ in 0..2 {
        let forgotten = store.forget_pending_clear(&shop, &Target::Varnish).await;
        forgotten.expect("forgotten");
    }
    let left = store.pending_clears().await.expect("readable");
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.contains(&put[2]) && left.contains(&put[3]));
}

fn pending(environment: &EnvironmentName, target: Target, tries: u32) -> PendingClear {
    let parts = Parts {
        urls: ["https://shop.example/'; DROP TABLE".to_owned()].into(),
        ..Parts::default()
    };
    let scope = match tries {
        0 => Scope::Parts(parts),
        tries => Scope::All {
            generation: Some(Generation(tries)),
        },
    };
    PendingClear {
        environment: environment.clone(),
        target,
        scope,
        reference: "once".to_owned(),
        since_ms: 7,
        tries,
        error: "„ø“".to_owned(),
        outer: Outer::IfLate,
    }
}
