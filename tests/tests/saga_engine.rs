//! The engine as a user meets it: one operation per environment, the same request once, stuck is not for ever.

use std::sync::Arc;
use std::time::Duration;

use stratus_core::fault::Fault;
use stratus_core::operation::plan::PlanError;
use stratus_core::operation::{Direction, Kind, Outcome, Step};
use stratus_core::{Generation, Store};
use stratus_server::engine::ControlError;
use stratus_server::engine::act::Actor;
use stratus_server::engine::admission::SubmitError;
use stratus_tests::laws::control::{Control, submission};
use stratus_tests::laws::faults::{FOR_EVER, Fail, Failing};
use stratus_tests::laws::sample::{environment, init};
use stratus_tests::laws::tap::Side;

#[tokio::test(start_paused = true)]
async fn a_cancelled_init_is_undone_without_a_trace() {
    let (control, gate) = Control::held_at(Step::AwaitReady);
    let before = control.machine.world();
    let operation = control.submit(init()).await.unwrap();
    gate.reached(1).await;
    control.engine.cancel(&operation.id).await.unwrap();
    assert_eq!(control.ended(&operation.id).await, Outcome::Undone);
    assert_eq!(control.machine.world(), before);
}

#[tokio::test(start_paused = true)]
async fn cancel_says_why_it_comes_too_late() {
    let (control, gate) = Control::held_at(Step::Drain);
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
    let (control, _) = Control::failing(Step::Create, Fault::Transient, 1);
    let mut notices = control.engine.feed().watch();
    let operation = control.submit(init()).await.unwrap();
    let failed = async {
        while !control.journal(&operation.id).await.contains("failed") {
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

#[tokio::test(start_paused = true)]
async fn a_second_operation_is_refused_with_the_holder_its_step_and_its_age() {
    let (control, gate) = Control::held_at(Step::AwaitReady);
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
    let (control, gate) = Control::held_at(Step::AwaitReady);
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
    let (control, gate) = Control::held_at(Step::AwaitReady);
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
async fn a_failed_init_leaves_no_standby_to_switch_to() {
    let (control, failing) = Control::failing(Step::Snapshot, Fault::Permanent, 0);
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
