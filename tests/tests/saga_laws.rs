//! The four laws, for every operation in every situation it can be asked in.

use std::time::Duration;

use stratus_core::Environment;
use stratus_core::operation::{Kind, Mode};
use stratus_tests::laws::Scenario;
use stratus_tests::laws::bench::Past::{self, Edit, Members, Ran, Waited};
use stratus_tests::laws::bench::{init, switch};
use stratus_tests::laws::sample;

/// Each scenario obeys each law: a test for each, so that a failure names both.
macro_rules! laws {
    ($($name:ident: $scenario:expr;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(start_paused = true)]
            async fn twice_is_once() {
                $scenario.twice_is_once().await;
            }

            #[tokio::test(start_paused = true)]
            async fn failure_leaves_no_trace() {
                $scenario.failure_leaves_no_trace().await;
            }

            #[tokio::test(start_paused = true)]
            async fn a_crash_changes_nothing() {
                $scenario.a_crash_changes_nothing().await;
            }

            #[tokio::test(start_paused = true)]
            async fn a_crash_while_it_unwinds_changes_nothing() {
                $scenario.a_crash_while_it_unwinds_changes_nothing().await;
            }

            #[tokio::test(start_paused = true)]
            async fn cancel_after_a_crash_is_clean() {
                $scenario.cancel_after_a_crash_is_clean().await;
            }

            #[tokio::test(start_paused = true)]
            async fn cancel_at_the_last_moment_is_heeded() {
                $scenario.cancel_at_the_last_moment_is_heeded().await;
            }
        }
    )*};
}

/// An edited tree is live.
fn deployed() -> [Past; 3] {
    [Edit, init(), switch()]
}

/// One is live, one is previous.
fn deployed_twice() -> [Past; 6] {
    [Edit, init(), switch(), Edit, init(), switch()]
}

/// A cache of each place behind and in front.
fn with_caches(environment: &mut Environment) {
    environment.caches = sample::caches();
}

/// A cron and a worker.
fn with_crons(environment: &mut Environment) {
    environment.crons = vec![sample::cron("tidy", "0 3 * * *")];
    environment.workers = vec![sample::worker("queue")];
}

const AN_HOUR: Past = Waited(Duration::from_hours(1));

laws! {
    init_of_a_new_environment: Scenario::of(sample::init());
    init_beside_a_live_pool: Scenario::of(sample::init()).after(deployed()).after([Edit]);
    init_of_an_unchanged_tree: Scenario::of(sample::init()).after(deployed());
    init_over_a_stale_standby: Scenario::of(sample::init()).after(deployed_twice()).after([Edit, init(), Edit]);
    init_with_warm_paths: Scenario::of(sample::init()).shaped(|e| e.warm = vec!["/".to_owned(), "/a".to_owned()]);

    switch_for_the_first_time: Scenario::of(Kind::Switch).after([init()]);
    switch_from_a_live_pool: Scenario::of(Kind::Switch).after(deployed()).after([Edit, init()]);
    switch_with_a_previous_pool: Scenario::of(Kind::Switch).after(deployed_twice()).after([Edit, init()]);
    switch_to_more_members: Scenario::of(Kind::Switch).after(deployed()).after([Members(3), Edit, init()]);
    switch_to_fewer_members: Scenario::of(Kind::Switch).after(deployed()).after([Members(1), Edit, init()]);
    switch_that_keeps_nothing_warm: Scenario::of(Kind::Switch)
        .shaped(|e| e.keep.warm = Duration::ZERO)
        .after(deployed_twice())
        .after([Edit, init()]);

    reinit_beside_a_live_pool: Scenario::of(sample::reinit()).after(deployed()).after([Edit]);
    reinit_to_fewer_members: Scenario::of(sample::reinit()).after(deployed_twice()).after([Members(1), Edit]);

    reinit_with_other_php_options: Scenario::of(sample::php_options()).after(deployed());

    deploy_for_the_first_time: Scenario::of(sample::deploy(Mode::BlueGreen)).after([Edit]);
    deploy_beside_a_live_pool: Scenario::of(sample::deploy(Mode::BlueGreen)).after(deployed()).after([Edit]);
    deploy_with_a_previous_pool_and_a_standby: Scenario::of(sample::deploy(Mode::BlueGreen))
        .after(deployed_twice())
        .after([Edit, init(), Edit]);
    deploy_to_fewer_members: Scenario::of(sample::deploy(Mode::BlueGreen)).after(deployed()).after([Members(1), Edit]);
    deploy_consistently: Scenario::of(sample::deploy(Mode::Consistent)).after(deployed_twice()).after([Edit]);
    deploy_consistently_to_more_members: Scenario::of(sample::deploy(Mode::Consistent))
        .after(deployed())
        .after([Members(3), Edit]);
    deploy_rolling_for_the_first_time: Scenario::of(sample::deploy(Mode::Rolling)).after([Edit]);
    deploy_rolling: Scenario::of(sample::deploy(Mode::Rolling)).after(deployed_twice()).after([Edit]);
    deploy_rolling_to_more_members: Scenario::of(sample::deploy(Mode::Rolling))
        .after(deployed())
        .after([Members(3), Edit]);
    deploy_rolling_to_fewer_members: Scenario::of(sample::deploy(Mode::Rolling))
        .after(deployed())
        .after([Members(1), Edit]);
    deploy_from_elsewhere: Scenario::of(sample::deploy_from(Mode::BlueGreen)).after(deployed()).after([Edit]);
    deploy_from_elsewhere_for_the_first_time: Scenario::of(sample::deploy_from(Mode::BlueGreen));
    deploy_from_elsewhere_consistently: Scenario::of(sample::deploy_from(Mode::Consistent))
        .after(deployed_twice())
        .after([Edit, init()]);
    switch_before_caches: Scenario::of(Kind::Switch).shaped(with_caches).after(deployed()).after([Edit, init()]);
    deploy_before_caches: Scenario::of(sample::deploy(Mode::BlueGreen)).shaped(with_caches).after(deployed()).after([Edit]);
    deploy_consistently_before_caches: Scenario::of(sample::deploy(Mode::Consistent))
        .shaped(with_caches)
        .after(deployed())
        .after([Edit]);
    rollback_before_caches: Scenario::of(Kind::Rollback).shaped(with_caches).after(deployed_twice());

    switch_with_workers: Scenario::of(Kind::Switch).shaped(with_crons).after(deployed()).after([Edit, init()]);
    rollback_with_workers: Scenario::of(Kind::Rollback).shaped(with_crons).after(deployed_twice());
    deploy_with_crons_and_workers: Scenario::of(sample::deploy(Mode::BlueGreen))
        .shaped(with_crons)
        .after(deployed())
        .after([Edit]);
    deploy_consistently_with_crons_and_workers: Scenario::of(sample::deploy(Mode::Consistent))
        .shaped(with_crons)
        .after(deployed())
        .after([Edit]);

    rollback_to_a_warm_pool: Scenario::of(Kind::Rollback).after(deployed_twice());
    rollback_to_a_cold_pool: Scenario::of(Kind::Rollback).after(deployed_twice()).after([AN_HOUR, Ran(sample::retire(1))]);
    rollback_beside_a_standby: Scenario::of(Kind::Rollback).after(deployed_twice()).after([Edit, init()]);
    rollback_to_fewer_members: Scenario::of(Kind::Rollback)
        .shaped(|e| e.replicas.min = 1)
        .after(deployed())
        .after([Members(3), Edit, init(), switch()]);

    abort_of_the_only_pool: Scenario::of(Kind::Abort).after([init()]);
    abort_beside_a_live_pool: Scenario::of(Kind::Abort).after(deployed_twice()).after([Edit, init()]);

    retire_of_a_warm_pool: Scenario::of(sample::retire(1)).after(deployed_twice()).after([AN_HOUR]);
    retire_of_a_pool_that_is_still_warm: Scenario::of(sample::retire(1)).after(deployed_twice());

    reap_of_an_old_release: Scenario::of(sample::reap(1)).after(deployed_twice()).after([Edit, init(), switch()]);
}
