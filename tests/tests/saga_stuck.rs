//! Stuck is not for ever, and a stopped server goes on where it was.

use stratus_core::Store;
use stratus_core::fault::Fault;
use stratus_core::operation::decide::SETTLE_TRIES;
use stratus_core::operation::{Direction, Kind, Outcome, Step};
use stratus_server::engine::ControlError;
use stratus_server::engine::admission::SubmitError;
use stratus_tests::laws::control::Control;
use stratus_tests::laws::faults::FOR_EVER;
use stratus_tests::laws::sample::init;

#[tokio::test(start_paused = true)]
async fn a_stuck_operation_holds_its_environment_over_a_restart_until_it_is_helped() {
    let (control, _) = Control::failing(Step::Drain, Fault::Permanent, FOR_EVER);
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
    let (control, failing) = Control::failing(Step::Drain, Fault::Permanent, FOR_EVER);
    assert_eq!(control.run(init()).await, Outcome::Completed);
    let switch = control.submit(Kind::Switch).await.unwrap();
    for _ in 0..3 {
        let stuck = control.ended(&switch.id).await;
        assert!(matches!(stuck, Outcome::Stuck { .. }), "{stuck:?}");
        control.engine.resume(&switch.id).await.unwrap();
    }
    failing.heal();
    control.engine.stopped().await;
    let tries = control
        .journal(&switch.id)
        .await
        .matches("failed on purpose")
        .count();
    assert!(tries > SETTLE_TRIES as usize, "{tries}");
}

#[tokio::test(start_paused = true)]
async fn two_who_help_at_once_do_not_start_it_twice() {
    let (control, failing) = Control::failing(Step::Drain, Fault::Permanent, FOR_EVER);
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
    let text = control.journal(&switch.id).await;
    assert_eq!(text.matches("\"completed\"").count(), 1, "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_stops_between_steps_and_the_next_start_goes_on() {
    let (control, gate) = Control::held_at(Step::Drain);
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
