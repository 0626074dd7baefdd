//! Caches around operations: cleared when nothing can fill them with old pages any more, and never in the way.

use stratus_core::fault::Fault;
use stratus_core::operation::{Direction, Kind, Mode, Outcome, Step};
use stratus_core::store::Operation;
use stratus_core::{Environment, Store};
use stratus_server::engine::act::Actor;
use stratus_tests::laws::control::Control;
use stratus_tests::laws::faults::{FOR_EVER, Fail, Failing};
use stratus_tests::laws::sample::{caches, deploy, environment, init};
use stratus_tests::laws::tap::Side;

fn shop() -> Environment {
    Environment {
        caches: caches(),
        ..environment("shop")
    }
}

async fn run(control: &Control, kind: Kind) -> (Operation, Outcome) {
    let specs = [shop()];
    control.store.put_environments(&specs).await.unwrap();
    let operation = control.submit_for(shop(), kind).await.unwrap();
    let outcome = control.ended(&operation.id).await;
    (operation, outcome)
}

/// The calls from `first` on that clear or drain.
fn calls(control: &Control, first: usize) -> Vec<String> {
    let calls = control.machine.calls().split_off(first);
    let wanted =
        |call: &String| call.starts_with("clear ") || ["drain", "stop"].contains(&call.as_str());
    calls.into_iter().filter(wanted).collect()
}

/// Waits until every cache is clear.
async fn settled(control: &Control) {
    let settled = async {
        while !control.store.pending_clears().await.unwrap().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let limit = std::time::Duration::from_mins(10);
    tokio::time::timeout(limit, settled).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_switch_drains_and_then_clears_from_the_inside_out_and_leaves_opcache_alone() {
    let control = Control::new();
    for _ in 0..2 {
        run(&control, init()).await;
        run(&control, Kind::Switch).await;
    }
    let first = control.machine.calls().len();
    let (_, outcome) = run(&control, Kind::Rollback).await;
    assert_eq!(outcome, Outcome::Completed);
    let mut found = calls(&control, first);
    found[1..3].sort();
    assert_eq!(
        found,
        [
            "drain",
            "clear shop redis:config: all for generation 1",
            "clear shop redis:fpc: all for generation 1",
            "clear shop varnish: all for generation 1",
            "clear shop cloudfront: all for generation 1",
        ]
    );
    assert!(control.machine.violations().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_init_clears_nothing() {
    let control = Control::new();
    run(&control, init()).await;
    assert!(calls(&control, 0).is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_undone_route_has_the_pages_of_its_moment_cleared() {
    let control = Control::new();
    run(&control, init()).await;
    run(&control, Kind::Switch).await;
    run(&control, init()).await;
    let Control {
        machine,
        store,
        clock,
        ..
    } = control;
    let control = Control::over(machine, store, clock, |actor| -> Actor {
        let fail = Fail {
            step: Step::Route,
            direction: Direction::Forward,
            side: Side::After,
            fault: Fault::Permanent,
            times: FOR_EVER,
        };
        std::sync::Arc::new(Failing::new(actor, fail))
    });
    let first = control.machine.calls().len();
    let (_, outcome) = run(&control, Kind::Switch).await;
    assert_eq!(outcome, Outcome::Undone);
    settled(&control).await;
    let found = calls(&control, first);
    assert_eq!(found[0], "drain");
    assert_eq!(found.len(), 5, "{found:?}");
    assert_eq!(found[4], "clear shop cloudfront: all for generation 1");
    assert!(control.machine.violations().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_beside_the_clear_of_a_deployment_is_stopped_and_cleared_again() {
    for mode in [Mode::BlueGreen, Mode::Rolling, Mode::Consistent] {
        let control = Control::new();
        run(&control, init()).await;
        run(&control, Kind::Switch).await;
        control.machine.never_drain();
        let first = control.machine.calls().len();
        let (_, outcome) = run(&control, deploy(mode)).await;
        assert_eq!(outcome, Outcome::Completed, "{mode:?}");
        settled(&control).await;
        let found = calls(&control, first);
        let cleared = found.iter().filter(|call| call.starts_with("clear "));
        if mode == Mode::Consistent {
            // It cuts them before it clears.
            assert_eq!(cleared.count(), 4, "{found:?}");
            continue;
        }
        assert_eq!(cleared.count(), 8, "{mode:?}: {found:?}");
        let stop = found.iter().rposition(|call| call == "stop").unwrap();
        let last = found.last().unwrap();
        assert_eq!(found.len() - stop, 5, "{mode:?}: {found:?}");
        assert_eq!(last, "clear shop cloudfront: all for generation 2");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_drained_clears_once() {
    let control = Control::new();
    run(&control, init()).await;
    run(&control, Kind::Switch).await;
    let first = control.machine.calls().len();
    run(&control, deploy(Mode::BlueGreen)).await;
    settled(&control).await;
    let found = calls(&control, first);
    let cleared = found.iter().filter(|call| call.starts_with("clear "));
    assert_eq!(cleared.count(), 4, "{found:?}");
}
