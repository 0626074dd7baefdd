//! Background operations: they yield to a user's, and look again before they act.
#![expect(clippy::unwrap_used, reason = "what a test prepares must succeed")]

use std::sync::Arc;
use std::time::Duration;

use stratus_core::fake::FakePool;
use stratus_core::fault::Fault;
use stratus_core::operation::plan::PlanError;
use stratus_core::operation::{Kind, Outcome, Step};
use stratus_core::store::Pin;
use stratus_core::{Generation, PoolId, ReleaseId, Snapshots, Store};
use stratus_server::engine::admission::SubmitError;
use stratus_tests::laws::control::Control;
use stratus_tests::laws::faults::FOR_EVER;
use stratus_tests::laws::sample::{environment, init, reap, release, retire};
use tokio::sync::Barrier;

#[tokio::test(start_paused = true)]
async fn a_users_operation_waits_for_a_background_one_instead_of_being_refused() {
    let (control, gate) = Control::held_at(Step::Reap);
    control.deploy().await;
    let cleaning = control.submit(reap(7)).await.unwrap();
    gate.reached(1).await;
    let user = async { control.submit(init()).await.unwrap() };
    let opened = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        gate.open(1);
    };
    let (user, ()) = tokio::join!(user, opened);
    assert_eq!(control.ended(&cleaning.id).await, Outcome::Completed);
    assert_eq!(control.ended(&user.id).await, Outcome::Completed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_background_operation_admitted_at_the_same_moment_does_not_refuse_a_users() {
    let control = Arc::new(Control::new());
    control.deploy().await;
    for _ in 0..200 {
        let barrier = Arc::new(Barrier::new(2));
        let ask = |kind| {
            let (control, barrier) = (control.clone(), barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                control.submit(kind).await
            })
        };
        let (cleaning, user) = (ask(reap(7)), ask(init()));
        let user = user.await.unwrap().unwrap();
        control.ended(&user.id).await;
        if let Ok(cleaning) = cleaning.await.unwrap() {
            control.ended(&cleaning.id).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_background_operation_does_not_wait_for_a_users() {
    let (control, gate) = Control::held_at(Step::AwaitReady);
    let user = control.submit(init()).await.unwrap();
    gate.reached(1).await;
    let refused = control.submit(reap(7)).await.unwrap_err();
    assert!(matches!(refused, SubmitError::Held { .. }), "{refused}");
    gate.open(1);
    control.ended(&user.id).await;
}

#[tokio::test(start_paused = true)]
async fn a_stuck_background_operation_does_not_keep_a_user_from_deploying() {
    let (control, _) = Control::failing(Step::Reap, Fault::Permanent, FOR_EVER);
    control.deploy().await;
    let stuck = control.run(reap(7)).await;
    assert!(matches!(stuck, Outcome::Stuck { .. }), "{stuck:?}");
    assert_eq!(control.run(init()).await, Outcome::Completed);
    let unfinished = control.store.unfinished().await.unwrap();
    assert!(unfinished.is_empty(), "{unfinished:?}");
}

#[tokio::test(start_paused = true)]
async fn retire_looks_again_and_leaves_a_pool_that_is_still_warm() {
    let control = Control::new();
    control.deploy().await;
    control.deploy().await;
    let previous = PoolId::new(&environment("shop").name, Generation(1));
    let runs = |control: &Control| control.machine.world().pools[&previous].running;
    assert_eq!(control.run(retire(1)).await, Outcome::Completed);
    assert!(runs(&control), "its warm time is not over");
    control.clock.advance(Duration::from_hours(1));
    assert_eq!(control.run(retire(1)).await, Outcome::Completed);
    assert!(!runs(&control), "its warm time is over");
    assert_eq!(control.run(Kind::Rollback).await, Outcome::Completed);
    assert!(runs(&control), "it was started again");
    let refused = control.submit(retire(1)).await.unwrap_err();
    assert!(
        matches!(refused, SubmitError::Plan(PlanError::NotNeeded(_))),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_nobody_switches_to_is_removed_by_age_and_not_before() {
    let control = Control::new();
    control.deploy().await;
    assert_eq!(control.run(init()).await, Outcome::Completed);
    let standby = PoolId::new(&environment("shop").name, Generation(2));
    let is_there = |control: &Control| control.machine.world().pools.contains_key(&standby);
    control.clock.advance(Duration::from_hours(23));
    assert_eq!(control.run(retire(2)).await, Outcome::Completed);
    assert!(is_there(&control) && control.state().await.standby.is_some());
    control.clock.advance(Duration::from_hours(1));
    for _ in 0..2 {
        assert_eq!(control.run(retire(2)).await, Outcome::Completed);
        assert!(!is_there(&control) && control.state().await.standby.is_none());
    }
    let refused = control.submit(Kind::Switch).await.unwrap_err();
    assert!(
        matches!(refused, SubmitError::Plan(PlanError::NoStandby)),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_has_no_role_is_removed() {
    let control = Control::new();
    control.deploy().await;
    let orphan = PoolId::new(&environment("shop").name, Generation(77));
    control.machine.meddle(|world| {
        world.pools.insert(orphan.clone(), FakePool::created(1));
    });
    assert_eq!(control.run(retire(77)).await, Outcome::Completed);
    assert!(!control.machine.world().pools.contains_key(&orphan));
}

#[tokio::test(start_paused = true)]
async fn reap_looks_again_and_leaves_a_release_that_was_pinned_meanwhile() {
    let (control, gate) = Control::held_at(Step::Reap);
    for _ in 0..3 {
        control.deploy().await;
    }
    let name = environment("shop").name;
    let oldest = release(1);
    let cleaning = control.submit(reap(1)).await.unwrap();
    gate.reached(1).await;
    control.store.pin(&name, &oldest, Pin::Keep).await.unwrap();
    gate.open(2);
    assert_eq!(control.ended(&cleaning.id).await, Outcome::Completed);
    let on_disk = releases(&control).await;
    assert!(on_disk.contains(&oldest), "{on_disk:?}");
    control
        .store
        .pin(&name, &oldest, Pin::Release)
        .await
        .unwrap();
    assert_eq!(control.run(reap(1)).await, Outcome::Completed);
    let on_disk = releases(&control).await;
    assert!(!on_disk.contains(&oldest), "{on_disk:?}");
    let refused = control.submit(reap(3)).await.unwrap_err();
    assert!(
        matches!(refused, SubmitError::Plan(PlanError::NotNeeded(_))),
        "{refused}"
    );
}

/// The releases of `shop` on disk.
async fn releases(control: &Control) -> Vec<ReleaseId> {
    let name = environment("shop").name;
    let listed = Snapshots::list(&control.machine, &name).await.unwrap();
    listed.into_iter().map(|on_disk| on_disk.release).collect()
}
