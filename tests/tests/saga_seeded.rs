//! The checkers checked: each law notices the fault that it is there for.

use std::time::Duration;

use stratus_core::operation::Kind;
use stratus_tests::laws::bench::Past::Edit;
use stratus_tests::laws::bench::{init, switch};
use stratus_tests::laws::{Scenario, Seeded, sample};

fn second_switch() -> Scenario {
    Scenario::of(Kind::Switch).after([Edit, init(), switch(), Edit, init()])
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "failure left a trace")]
async fn a_failing_step_that_is_not_undone_is_noticed() {
    Scenario::of(sample::init())
        .seeded(Seeded::FailingStepNotUndone)
        .failure_leaves_no_trace()
        .await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "was signalled while traffic points at it")]
async fn a_pool_parked_before_traffic_has_left_it_is_noticed() {
    second_switch()
        .shaped(|environment| environment.keep.warm = Duration::ZERO)
        .seeded(Seeded::ParkBeforeRoute)
        .twice_is_once()
        .await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "twice is not once")]
async fn a_promotion_that_is_not_idempotent_is_noticed() {
    second_switch()
        .seeded(Seeded::PromoteNotIdempotent)
        .twice_is_once()
        .await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "cancel after a crash left a trace")]
async fn an_effect_before_its_started_event_is_noticed() {
    Scenario::of(sample::init())
        .seeded(Seeded::EffectBeforeStarted)
        .cancel_after_a_crash_is_clean()
        .await;
}
