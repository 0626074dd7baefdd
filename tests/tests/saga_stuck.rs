//! Stuck is not for ever, and a stopped server goes on where it was.

use std::sync::Arc;

use stratus_core::Store;
use stratus_core::fault::Fault;
use stratus_core::operation::decide::SETTLE_TRIES;
use stratus_core::operation::{Direction, Kind, Mode, Outcome, Step};
use stratus_core::store::Operation;
use stratus_server::engine::ControlError;
use stratus_server::engine::act::Actor;
use stratus_server::engine::admission::SubmitError;
use stratus_tests::laws::control::Control;
use stratus_tests::laws::faults::{FOR_EVER, Fail, Failing};
use stratus_tests::laws::sample::{deploy, environment, init};
use stratus_tests::laws::tap::Side;

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

    let control = control.started_again();
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

    let control = control.started_again();
    control.engine.recover().await.unwrap();
    assert_eq!(control.ended(&switch.id).await, Outcome::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_leaves_nobody_waiting_for_a_pool_that_stands_still() {
    let (control, gate) = Control::held_at(Step::Drain);
    gate.open(1);
    control.deploy().await;
    control.machine.edit();
    let deploy = control.submit(deploy(Mode::Consistent)).await.unwrap();
    gate.reached(2).await;
    assert_eq!(control.machine.world().frozen.len(), 1);
    control.shutdown.cancel();
    gate.open(1);
    control.engine.stopped().await;
    assert!(
        control.machine.world().frozen.is_empty(),
        "{}",
        control.journal(&deploy.id).await
    );
    let stored = control.store.operation(&deploy.id).await.unwrap().unwrap();
    assert_eq!(stored.outcome, None, "the rest can wait");

    let control = control.started_again();
    control.engine.recover().await.unwrap();
    assert_eq!(control.ended(&deploy.id).await, Outcome::Completed);
}

/// An engine whose hooks fail, and whose traffic never counts as moved back: `side` says whether it is.
fn failing_both_ways(side: Side) -> (Control, Arc<Failing>) {
    let back = Fail {
        step: Step::Route,
        direction: Direction::Back,
        side,
        fault: Fault::Transient,
        times: FOR_EVER,
    };
    let hook = Fail {
        step: Step::BeforeSwitch,
        direction: Direction::Forward,
        fault: Fault::Permanent,
        ..back
    };
    let mut kept = None;
    let control = Control::with(|actor| -> Actor {
        let way_back = Arc::new(Failing::new(actor, back));
        kept = Some(way_back.clone());
        Arc::new(Failing::new(way_back, hook))
    });
    (control, kept.unwrap())
}

/// Begins a consistent deployment with a hook, of a shop that is live.
async fn deploy_with_a_hook(control: &Control) -> Operation {
    control.deploy().await;
    control.machine.edit();
    let mut shop = environment("shop");
    shop.hooks.before_switch = vec![vec!["print".to_owned(), "x".to_owned()]];
    let deploy = control.submit_for(shop, deploy(Mode::Consistent)).await;
    deploy.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_is_stuck_with_its_pool_frozen_shows_the_maintenance_page_until_it_is_helped()
 {
    let (control, way_back) = failing_both_ways(Side::Before);
    let deploy = deploy_with_a_hook(&control).await;
    let stuck = control.ended(&deploy.id).await;
    assert!(
        matches!(
            stuck,
            Outcome::Stuck {
                direction: Direction::Back,
                ..
            }
        ),
        "{stuck:?}"
    );
    assert_eq!(control.machine.world().closed.len(), 1);
    way_back.heal();
    control.engine.resume(&deploy.id).await.unwrap();
    assert_eq!(control.ended(&deploy.id).await, Outcome::Undone);
    assert!(control.machine.world().closed.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_is_stuck_after_traffic_went_back_leaves_the_site_open() {
    let (control, _) = failing_both_ways(Side::After);
    let deploy = deploy_with_a_hook(&control).await;
    let stuck = control.ended(&deploy.id).await;
    assert!(matches!(stuck, Outcome::Stuck { .. }), "{stuck:?}");
    assert!(control.machine.world().closed.is_empty());
    assert!(control.machine.world().frozen.is_empty());
}
