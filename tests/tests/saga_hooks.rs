//! Hooks of a deployment: around what they are named after, each at most once, whatever happens.
#![expect(clippy::unwrap_used, reason = "what a test prepares must succeed")]

use std::time::Duration;

use stratus_core::environment::Hooks;
use stratus_core::fake::FakeMachine;
use stratus_core::fault::Fault;
use stratus_core::operation::{Mode, Outcome, Step};
use stratus_core::tasks::TaskState;
use stratus_core::{Environment, Store};
use stratus_tests::laws::control::Control;
use stratus_tests::laws::sample::{deploy, environment};

fn with_hooks(hooks: Hooks) -> Environment {
    let mut shop = environment("shop");
    shop.hooks = hooks;
    shop
}

fn before_switch(words: &[&str]) -> Environment {
    with_hooks(Hooks {
        before_switch: vec![words.iter().map(|word| (*word).to_owned()).collect()],
        ..Hooks::default()
    })
}

async fn deployed(control: &Control, environment: Environment, mode: Mode) -> (Outcome, String) {
    control.machine.edit();
    let operation = control.submit_for(environment, deploy(mode)).await.unwrap();
    let outcome = control.ended(&operation.id).await;
    (outcome, control.journal(&operation.id).await)
}

/// Waits until a command runs on `machine`.
async fn running(machine: &FakeMachine) {
    let runs = || {
        let world = machine.world();
        world
            .tasks
            .values()
            .any(|task| task.state == TaskState::Running)
    };
    while !runs() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn hooks_run_in_order_and_nothing_of_them_is_left() {
    for mode in [Mode::BlueGreen, Mode::Consistent] {
        let control = Control::new();
        control.deploy().await;
        let print = |text: &str| vec![vec!["print".to_owned(), text.to_owned()]];
        let hooks = Hooks {
            before_init: print("one"),
            before_switch: print("two"),
            after_switch: print("three"),
            ..Hooks::default()
        };
        let (outcome, journal) = deployed(&control, with_hooks(hooks), mode).await;
        assert_eq!(outcome, Outcome::Completed, "{journal}");
        let places: Vec<_> = ["one", "two", "three"]
            .map(|text| journal.find(&format!("\"output\":\"{text}\"")))
            .into();
        assert!(
            places.is_sorted() && places.iter().all(Option::is_some),
            "{places:?}"
        );
        assert!(control.machine.world().tasks.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_leaves_the_live_site_as_it_was() {
    for mode in [Mode::BlueGreen, Mode::Consistent] {
        let control = Control::new();
        control.deploy().await;
        let (world, state) = (control.machine.world(), control.state().await);
        let (outcome, journal) = deployed(&control, before_switch(&["exit", "3"]), mode).await;
        assert_eq!(outcome, Outcome::Undone, "{journal}");
        assert!(
            journal.contains("the hook \\\"exit 3\\\" ended with 3"),
            "{journal}"
        );
        assert_eq!(control.machine.world(), world);
        assert_eq!(control.state().await, state);
        assert!(
            control.machine.violations().is_empty(),
            "{:?}",
            control.machine.violations()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_after_the_switch_moves_traffic_back() {
    let control = Control::new();
    control.deploy().await;
    let (world, state) = (control.machine.world(), control.state().await);
    let hooks = Hooks {
        after_switch: vec![vec!["missing".to_owned()]],
        ..Hooks::default()
    };
    let (outcome, journal) = deployed(&control, with_hooks(hooks), Mode::BlueGreen).await;
    assert_eq!(outcome, Outcome::Undone, "{journal}");
    assert_eq!(control.machine.world().links, world.links);
    assert_eq!(control.machine.world().pools, world.pools);
    assert_eq!(control.state().await, state);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_hangs_is_stopped_at_its_limit() {
    let control = Control::new();
    let mut shop = before_switch(&["hang"]);
    shop.hooks.timeout = Duration::from_mins(5);
    let (outcome, journal) = deployed(&control, shop, Mode::BlueGreen).await;
    assert_eq!(outcome, Outcome::Undone, "{journal}");
    assert!(journal.contains("was stopped after 5m"), "{journal}");
    assert!(control.machine.world().tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hook_is_stopped_by_a_cancel() {
    let control = Control::new();
    let shop = before_switch(&["hang"]);
    let operation = control
        .submit_for(shop, deploy(Mode::BlueGreen))
        .await
        .unwrap();
    running(&control.machine).await;
    control.engine.cancel(&operation.id).await.unwrap();
    assert_eq!(control.ended(&operation.id).await, Outcome::Undone);
    assert!(control.machine.world().tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_was_interrupted_has_failed_and_is_not_run_again() {
    let first = Control::new();
    let shop = before_switch(&["hang"]);
    let operation = first
        .submit_for(shop, deploy(Mode::BlueGreen))
        .await
        .unwrap();
    running(&first.machine).await;
    // The process dies here: its executor never goes on. Another takes over what is on disk and on the engine.
    let (machine, store) = (first.machine.clone(), first.store.clone());
    let second = Control::over(machine, store, first.clock.clone(), |actor| actor);
    second.engine.recover().await.unwrap();
    assert_eq!(second.ended(&operation.id).await, Outcome::Undone);
    let journal = second.journal(&operation.id).await;
    assert!(
        journal.contains("the server stopped while the before_switch hooks ran"),
        "{journal}"
    );
    let starts = second
        .machine
        .calls()
        .iter()
        .filter(|call| *call == "start_task")
        .count();
    assert_eq!(starts, 1);
    assert!(second.machine.world().tasks.is_empty());
    assert_eq!(second.store.unfinished().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_try_that_ran_no_command_is_followed_by_another() {
    let (control, _) = Control::failing(Step::BeforeSwitch, Fault::Transient, 2);
    let (outcome, journal) =
        deployed(&control, before_switch(&["print", "x"]), Mode::BlueGreen).await;
    assert_eq!(outcome, Outcome::Completed, "{journal}");
    assert!(journal.contains("\"output\":\"x\""), "{journal}");
}
