//! The contract of `Runtime`.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a contract is broken by a panic"
)]

use std::time::Duration;

use stratus_core::environment::Ready;
use stratus_core::runtime::{Drained, Restart, RuntimeError};
use stratus_core::{Faulty, Generation, OperationId, Pool, PoolId, Runtime};

const GRACE: Duration = Duration::from_secs(5);
const HOST: &str = "shop.test";

/// What the contract needs of a world: a runtime without any pool, and a pool that can become ready in it.
pub struct Given<'a> {
    /// Under test.
    pub runtime: &'a dyn Runtime,
    /// Two members or more.
    pub pool: Pool,
    /// A check that the pool passes.
    pub ready: Ready,
    /// An image that is not there.
    pub missing_image: &'a str,
}

/// Runs the whole contract; it leaves nothing.
pub async fn holds(given: &Given<'_>) {
    image_is_a_digest_and_the_same_twice(given).await;
    what_was_never_there_is_no_error(given).await;
    a_pool_lives_and_goes(given).await;
    a_stopped_pool_starts_again(given).await;
    one_pool_is_not_another(given).await;
    assert_eq!(members(given).await, [], "the contract left something");
}

async fn image_is_a_digest_and_the_same_twice(given: &Given<'_>) {
    let php = &given.pool.php;
    let first = given.runtime.image(&php.image, &php.fpm).await.unwrap();
    let second = given.runtime.image(&php.image, &php.fpm).await.unwrap();
    assert_eq!(first, second);
    assert!(first.starts_with("sha256:"), "{first}");
    let missing = given.runtime.image(given.missing_image, &php.fpm).await;
    assert!(
        matches!(missing, Err(RuntimeError::NoImage { .. })),
        "{missing:?}"
    );
}

async fn what_was_never_there_is_no_error(given: &Given<'_>) {
    let (runtime, pool) = (given.runtime, &given.pool);
    runtime.stop(&pool.id, GRACE).await.unwrap();
    runtime.remove(&pool.id).await.unwrap();
    runtime.set_restart(pool, Restart::Never).await.unwrap();
    let drained = runtime.drain(pool, GRACE).await.unwrap();
    assert_eq!(drained, Drained { remaining: 0 });
    let short = Ready {
        within: Duration::from_millis(200),
        ..given.ready.clone()
    };
    let error = runtime.ready(pool, HOST, &short).await.unwrap_err();
    assert!(matches!(error, RuntimeError::NotReady { .. }), "{error}");
    assert_eq!(error.fault(), stratus_core::Fault::Permanent);
}

async fn a_pool_lives_and_goes(given: &Given<'_>) {
    let (runtime, pool) = (given.runtime, &given.pool);
    for operation in ["first", "again"] {
        runtime.create(pool, &id(operation)).await.unwrap();
    }
    assert_eq!(members(given).await, expected(pool, false));
    for _ in 0..2 {
        runtime.start(pool).await.unwrap();
    }
    assert_eq!(members(given).await, expected(pool, true));
    runtime.ready(pool, HOST, &given.ready).await.unwrap();
    runtime.warm(pool, HOST, "/about").await.unwrap();
    for restart in [
        Restart::Always,
        Restart::Always,
        Restart::Never,
        Restart::Never,
    ] {
        runtime.set_restart(pool, restart).await.unwrap();
    }
    // A create of a later try finds the pool as it is, and leaves it running.
    runtime.create(pool, &id("later")).await.unwrap();
    assert_eq!(members(given).await, expected(pool, true));
    let drained = runtime.drain(pool, GRACE).await.unwrap();
    assert_eq!(drained, Drained { remaining: 0 });
    for _ in 0..2 {
        runtime.stop(&pool.id, GRACE).await.unwrap();
    }
    assert_eq!(members(given).await, expected(pool, false));
    for _ in 0..2 {
        runtime.remove(&pool.id).await.unwrap();
    }
    assert_eq!(members(given).await, []);
}

async fn a_stopped_pool_starts_again(given: &Given<'_>) {
    let (runtime, pool) = (given.runtime, &given.pool);
    runtime.create(pool, &id("first")).await.unwrap();
    runtime.start(pool).await.unwrap();
    runtime.stop(&pool.id, GRACE).await.unwrap();
    runtime.start(pool).await.unwrap();
    runtime.ready(pool, HOST, &given.ready).await.unwrap();
    runtime.remove(&pool.id).await.unwrap();
}

async fn one_pool_is_not_another(given: &Given<'_>) {
    let (runtime, pool) = (given.runtime, &given.pool);
    let mut other = pool.clone();
    other.id = PoolId::new(&pool.id.environment, Generation(pool.id.generation.0 + 1));
    runtime.create(pool, &id("first")).await.unwrap();
    runtime.create(&other, &id("second")).await.unwrap();
    runtime.start(&other).await.unwrap();
    runtime.remove(&pool.id).await.unwrap();
    assert_eq!(members(given).await, expected(&other, true));
    runtime.remove(&other.id).await.unwrap();
}

fn id(operation: &str) -> OperationId {
    operation.parse().expect("a word is an operation id")
}

fn expected(pool: &Pool, running: bool) -> Vec<(PoolId, u16, bool)> {
    let member = |index| (pool.id.clone(), index, running);
    (0..pool.members).map(member).collect()
}

async fn members(given: &Given<'_>) -> Vec<(PoolId, u16, bool)> {
    let mut seen: Vec<_> = given
        .runtime
        .list()
        .await
        .unwrap()
        .into_iter()
        .map(|m| (m.pool, m.index, m.running))
        .collect();
    seen.sort();
    seen
}
