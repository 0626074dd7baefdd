//! The engine as a user meets it: one operation per environment, the same request once, stuck is not for ever.
#![expect(clippy::unwrap_used, reason = "what a test prepares must succeed")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use stratus_core::fault::Fault;
use stratus_core::operation::decide::SETTLE_TRIES;
use stratus_core::operation::plan::PlanError;
use stratus_core::operation::{Direction, Kind, Outcome, Step};
use stratus_core::store::Pin;
use stratus_core::{Generation, PoolId, Snapshots, Store};
use stratus_server::engine::ControlError;
use stratus_server::engine::act::Actor;
use stratus_server::engine::admission::SubmitError;
use stratus_tests::laws::control::{Control, submission};
use stratus_tests::laws::faults::{FOR_EVER, Fail, Failing, Gate};
use stratus_tests::laws::sample::{environment, init, reap, release, retire};
use stratus_tests::laws::tap::Side;

/// An engine whose operations are held at `step`.
fn held_at(step: Step) -> (Control, Arc<Gate>) {
    let slot = Mutex::new(None);
    let control = Control::with(|actor| -> Actor {
        let gate = Gate::at(step, actor);
        *slot.lock().unwrap() = Some(gate.clone());
        gate
    });
    (control, slot.into_inner().unwrap().unwrap())
}

/// An engine where `step` fails `times` times.
fn failing(step: Step, fault: Fault, times: u32) -> (Control, Arc<Failing>) {
    let slot = Mutex::new(None);
    let control = Control::with(|actor| -> Actor {
        let fail = Fail {
            step,
            direction: Direction::Forward,
            side: Side::Before,
            fault,
            times,
        };
        let failing = Arc::new(Failing::new(actor, fail));
        *slot.lock().unwrap() = Some(failing.clone());
        failing
    });
    (control, slot.into_inner().unwrap().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_init_is_undone_without_a_trace() {
    let (control, gate) = held_at(Step::AwaitReady);
    let before = control.machine.world();
    let operation = control.submit(init()).await.unwrap();
    gate.reached(1).await;
    control.engine.cancel(&operation.id).await.unwrap();
    assert_eq!(control.ended(&operation.id).await, Outcome::Undone);
    assert_eq!(control.machine.world(), before);
}

#[tokio::test(start_paused = true)]
async fn cancel_says_why_it_comes_too_late() {
    let (control, gate) = held_at(Step::Drain);
    let unknown = "nobody".parse().unwrap();
    let refused = control.engine.cancel(&unknown).await;
    assert!(matches!(refused, Err(ControlError::Unknown(id)) if id == unknown));

    let operation = control.submit(init()).await.unwrap();
    control.ended(&operation.id).await;
    let refused = control.engine.cancel(&operation.id).await;
    assert!(matches!(refused, Err(ControlError::Ended(id)) if id == operation.id));

    let operation = control.submit(Kind::Switch).await.unwrap();
    gate.reached(1).await;
    let refused = control.engine.cancel(&operation.id).await;
    assert!(matches!(refused, Err(ControlError::Committed(id)) if id == operation.id));
    gate.open(1);
    assert_eq!(control.ended(&operation.id).await, Outcome::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_waits_for_its_next_try_is_not_tried_again_after_a_cancel() {
    let (control, _) = failing(Step::Create, Fault::Transient, 1);
    let mut notices = control.engine.feed().watch();
    let operation = control.submit(init()).await.unwrap();
    let failed = async {
        while !journal(&control, &operation.id).await.contains("failed") {
            notices.recv().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_mins(1), failed)
        .await
        .unwrap();
    control.engine.cancel(&operation.id).await.unwrap();
    assert_eq!(control.ended(&operation.id).await, Outcome::Undone);
    let calls = control.machine.calls();
    assert!(!calls.contains(&"create".to_owned()), "{calls:?}");
}

async fn journal(control: &Control, id: &stratus_core::OperationId) -> String {
    let entries = control.store.journal(id, 0).await.unwrap();
    serde_json::to_string(&entries).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_second_operation_is_refused_with_the_holder_its_step_and_its_age() {
    let (control, gate) = held_at(Step::AwaitReady);
    let first = control.submit(init()).await.unwrap();
    gate.reached(1).await;
    control.clock.advance(Duration::from_secs(42));
    let refused = control.submit(Kind::Switch).await.unwrap_err();
    let expected = format!(
        "shop is held by operation {0} (init, step await_ready, for 42 s); wait for it, or stop it with operations.cancel {0}",
        first.id
    );
    assert_eq!(refused.to_string(), expected);
    gate.open(1);
    assert_eq!(control.ended(&first.id).await, Outcome::Completed);
    assert_eq!(control.run(Kind::Abort).await, Outcome::Completed);
}

#[tokio::test(start_paused = true)]
async fn the_same_request_is_the_same_operation_also_after_it_has_ended() {
    let control = Control::new();
    let shop = || environment("shop");
    let ask = || submission("once", shop(), init());
    let first = control.engine.submit(ask()).await.unwrap();
    let again = control.engine.submit(ask()).await.unwrap();
    assert_eq!(first.id, again.id);
    control.ended(&first.id).await;
    let again = control.engine.submit(ask()).await.unwrap();
    assert_eq!(first.id, again.id);
    let next = control.store.next_generation(&shop().name).await.unwrap();
    assert_eq!(next, Generation(2), "one number was used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_equal_requests_at_once_are_one_operation() {
    let control = Arc::new(Control::new());
    let barrier = Arc::new(tokio::sync::Barrier::new(64));
    let asks: Vec<_> = (0..64)
        .map(|_| {
            let (control, barrier) = (control.clone(), barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                let ask = submission("at once", environment("shop"), init());
                control.engine.submit(ask).await.unwrap().id
            })
        })
        .collect();
    let mut ids = Vec::new();
    for ask in asks {
        ids.push(ask.await.unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(control.ended(&ids[0]).await, Outcome::Completed);
    assert_eq!(control.store.operations(None, 100).await.unwrap().len(), 1);
    assert_eq!(control.machine.world().pools.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sixty_four_different_requests_at_once_one_is_admitted() {
    let (control, gate) = held_at(Step::AwaitReady);
    let control = Arc::new(control);
    let asks: Vec<_> = (0..64)
        .map(|_| {
            let control = control.clone();
            tokio::spawn(async move { control.submit(init()).await })
        })
        .collect();
    let mut admitted = Vec::new();
    for ask in asks {
        match ask.await.unwrap() {
            Ok(operation) => admitted.push(operation.id),
            Err(error) => assert!(matches!(error, SubmitError::Held { .. }), "{error}"),
        }
    }
    assert_eq!(admitted.len(), 1, "{admitted:?}");
    gate.open(1);
    assert_eq!(control.ended(&admitted[0]).await, Outcome::Completed);
}

#[tokio::test(start_paused = true)]
async fn different_environments_run_side_by_side() {
    let (control, gate) = held_at(Step::AwaitReady);
    let shop = control
        .submit_for(environment("shop"), init())
        .await
        .unwrap();
    let blog = control
        .submit_for(environment("blog"), init())
        .await
        .unwrap();
    gate.reached(2).await;
    gate.open(2);
    for id in [shop.id, blog.id] {
        assert_eq!(control.ended(&id).await, Outcome::Completed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_users_operation_waits_for_a_background_one_instead_of_being_refused() {
    let (control, gate) = held_at(Step::Reap);
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

#[tokio::test(start_paused = true)]
async fn a_background_operation_does_not_wait_for_a_users() {
    let (control, gate) = held_at(Step::AwaitReady);
    let user = control.submit(init()).await.unwrap();
    gate.reached(1).await;
    let refused = control.submit(reap(7)).await.unwrap_err();
    assert!(matches!(refused, SubmitError::Held { .. }), "{refused}");
    gate.open(1);
    control.ended(&user.id).await;
}

#[tokio::test(start_paused = true)]
async fn a_stuck_background_operation_does_not_keep_a_user_from_deploying() {
    let (control, _) = failing(Step::Reap, Fault::Permanent, FOR_EVER);
    control.deploy().await;
    let stuck = control.run(reap(7)).await;
    assert!(matches!(stuck, Outcome::Stuck { .. }), "{stuck:?}");
    assert_eq!(control.run(init()).await, Outcome::Completed);
    let unfinished = control.store.unfinished().await.unwrap();
    assert!(unfinished.is_empty(), "{unfinished:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_init_leaves_no_standby_to_switch_to() {
    let (control, failing) = failing(Step::Snapshot, Fault::Permanent, 0);
    control.deploy().await;
    assert_eq!(control.run(init()).await, Outcome::Completed);
    drop(failing);

    let Control {
        machine,
        store,
        clock,
        ..
    } = control;
    let control = Control::over(machine, store, clock, |actor| -> Actor {
        let fail = Fail {
            step: Step::Snapshot,
            direction: Direction::Forward,
            side: Side::Before,
            fault: Fault::Permanent,
            times: FOR_EVER,
        };
        Arc::new(Failing::new(actor, fail))
    });
    assert_eq!(control.run(init()).await, Outcome::Undone);
    let refused = control.submit(Kind::Switch).await.unwrap_err();
    assert!(
        matches!(refused, SubmitError::Plan(PlanError::NoStandby)),
        "{refused}"
    );
    assert_eq!(
        control.state().await.live.unwrap().generation,
        Generation(1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_switch_without_a_standby_changes_nothing() {
    let control = Control::new();
    control.deploy().await;
    let world = control.machine.world();
    let refused = control.submit(Kind::Switch).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "there is no standby to switch to; run zerodowntime.init first"
    );
    for kind in [Kind::Abort, Kind::Rollback] {
        let refused = control.submit(kind).await.unwrap_err();
        assert!(matches!(refused, SubmitError::Plan(_)), "{refused}");
    }
    assert_eq!(control.machine.world(), world);
    assert_eq!(control.store.operations(None, 100).await.unwrap().len(), 2);
    let shop = environment("shop");
    let next = control.store.next_generation(&shop.name).await.unwrap();
    assert_eq!(next, Generation(2), "no number was used up");
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
async fn reap_looks_again_and_leaves_a_release_that_was_pinned_meanwhile() {
    let (control, gate) = held_at(Step::Reap);
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
    let on_disk = control.machine.list_releases(&name).await;
    assert!(on_disk.contains(&oldest), "{on_disk:?}");
    control
        .store
        .pin(&name, &oldest, Pin::Release)
        .await
        .unwrap();
    assert_eq!(control.run(reap(1)).await, Outcome::Completed);
    let on_disk = control.machine.list_releases(&name).await;
    assert!(!on_disk.contains(&oldest), "{on_disk:?}");
    let refused = control.submit(reap(3)).await.unwrap_err();
    assert!(
        matches!(refused, SubmitError::Plan(PlanError::NotNeeded(_))),
        "{refused}"
    );
}

trait ListReleases {
    async fn list_releases(
        &self,
        of: &stratus_core::EnvironmentName,
    ) -> Vec<stratus_core::ReleaseId>;
}

impl ListReleases for stratus_core::fake::FakeMachine {
    async fn list_releases(
        &self,
        of: &stratus_core::EnvironmentName,
    ) -> Vec<stratus_core::ReleaseId> {
        let listed = Snapshots::list(self, of).await.unwrap();
        listed.into_iter().map(|release| release.release).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_stuck_operation_holds_its_environment_over_a_restart_until_it_is_helped() {
    let (control, _) = failing(Step::Drain, Fault::Permanent, FOR_EVER);
    assert_eq!(control.run(init()).await, Outcome::Completed);
    let switch = control.submit(Kind::Switch).await.unwrap();
    let stuck = control.ended(&switch.id).await;
    assert!(
        matches!(
            stuck,
            Outcome::Stuck {
                step: 3,
                direction: Direction::Forward
            }
        ),
        "{stuck:?}"
    );

    let Control {
        machine,
        store,
        clock,
        ..
    } = control;
    let control = Control::over(machine, store, clock, |actor| actor);
    control.engine.recover().await.unwrap();
    let refused = control.submit(init()).await.unwrap_err();
    let expected = format!(
        "shop is held by operation {0} (switch), which is stuck at step drain; see operations.show {0}, then operations.resume or operations.resolve",
        switch.id
    );
    assert_eq!(refused.to_string(), expected);
    control.engine.resume(&switch.id).await.unwrap();
    assert_eq!(control.ended(&switch.id).await, Outcome::Completed);
    let refused = control.engine.resume(&switch.id).await;
    assert!(
        matches!(refused, Err(ControlError::NotStuck(_))),
        "{refused:?}"
    );
    let refused = control.engine.resolve(&switch.id).await;
    assert!(
        matches!(refused, Err(ControlError::NotStuck(_))),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stuck_operation_can_be_helped_again_and_again() {
    let (control, failing) = failing(Step::Drain, Fault::Permanent, FOR_EVER);
    assert_eq!(control.run(init()).await, Outcome::Completed);
    let switch = control.submit(Kind::Switch).await.unwrap();
    for _ in 0..3 {
        let stuck = control.ended(&switch.id).await;
        assert!(matches!(stuck, Outcome::Stuck { .. }), "{stuck:?}");
        control.engine.resume(&switch.id).await.unwrap();
    }
    failing.heal();
    control.engine.stopped().await;
    let tries = journal(&control, &switch.id)
        .await
        .matches("failed on purpose")
        .count();
    assert!(tries > SETTLE_TRIES as usize, "{tries}");
}

#[tokio::test(start_paused = true)]
async fn two_who_help_at_once_do_not_start_it_twice() {
    let (control, failing) = failing(Step::Drain, Fault::Permanent, FOR_EVER);
    assert_eq!(control.run(init()).await, Outcome::Completed);
    let switch = control.submit(Kind::Switch).await.unwrap();
    control.ended(&switch.id).await;
    failing.heal();
    let (one, two) = tokio::join!(
        control.engine.resume(&switch.id),
        control.engine.resume(&switch.id)
    );
    assert!(one.is_ok() || two.is_ok(), "{one:?} {two:?}");
    assert_eq!(control.ended(&switch.id).await, Outcome::Completed);
    control.engine.stopped().await;
    let text = journal(&control, &switch.id).await;
    assert_eq!(text.matches("\"completed\"").count(), 1, "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_stops_between_steps_and_the_next_start_goes_on() {
    let (control, gate) = held_at(Step::Drain);
    assert_eq!(control.run(init()).await, Outcome::Completed);
    let switch = control.submit(Kind::Switch).await.unwrap();
    gate.reached(1).await;
    control.shutdown.cancel();
    gate.open(1);
    control.engine.stopped().await;
    let stored = control.store.operation(&switch.id).await.unwrap().unwrap();
    assert_eq!(stored.outcome, None);
    let refused = control.submit(init()).await.unwrap_err();
    assert!(matches!(refused, SubmitError::ShuttingDown), "{refused}");

    let Control {
        machine,
        store,
        clock,
        ..
    } = control;
    let control = Control::over(machine, store, clock, |actor| actor);
    control.engine.recover().await.unwrap();
    assert_eq!(control.ended(&switch.id).await, Outcome::Completed);
}
