//! Workers: of the live release and of no other.

use std::time::Duration;

use stratus_core::operation::{Kind, Mode, Outcome};
use stratus_tests::laws::control::Control;
use stratus_tests::laws::sample::{self, deploy, environment};

use crate::{running, until};

#[tokio::test(start_paused = true)]
async fn workers_move_with_a_switch_and_go_back_with_a_rollback() {
    let mut shop = environment("shop");
    shop.workers = vec![sample::worker("queue"), sample::worker("mail")];
    let control = Control::new();
    for generation in [1, 2] {
        control.machine.edit();
        for kind in [sample::init(), Kind::Switch] {
            let operation = control.submit_for(shop.clone(), kind).await.unwrap();
            assert_eq!(control.ended(&operation.id).await, Outcome::Completed);
        }
        let expected = ["mail", "queue"].map(|name| format!("worker.{name}.g{generation}"));
        assert_eq!(running(&control.machine), expected);
        assert_eq!(control.machine.world().tasks.len(), 2);
    }
    let back = control.submit_for(shop, Kind::Rollback).await.unwrap();
    assert_eq!(control.ended(&back.id).await, Outcome::Completed);
    let expected = ["mail", "queue"].map(|name| format!("worker.{name}.g1"));
    assert_eq!(running(&control.machine), expected);
}

#[tokio::test(start_paused = true)]
async fn no_worker_runs_beside_the_hooks_of_a_consistent_deployment() {
    let mut shop = environment("shop");
    shop.workers = vec![sample::worker("queue")];
    shop.hooks.before_switch = vec![vec!["stay".to_owned()]];
    let control = Control::new();
    control.machine.edit();
    for (mode, beside) in [(Mode::BlueGreen, None), (Mode::Consistent, Some(1))] {
        let operation = control
            .submit_for(shop.clone(), deploy(mode))
            .await
            .unwrap();
        let hook = async |control: &Control| {
            running(&control.machine)
                .iter()
                .any(|task| task.starts_with("hook."))
        };
        until(&control, hook).await;
        let tasks = running(&control.machine);
        if let Some(only) = beside {
            assert_eq!(tasks.len(), only, "{tasks:?}");
        }
        let world = control.machine.world();
        let hook = world.tasks.keys().find(|id| id.name.purpose() == "hook");
        control.machine.end_task(hook.unwrap(), 0);
        assert_eq!(control.ended(&operation.id).await, Outcome::Completed);
        control.machine.edit();
    }
    assert_eq!(running(&control.machine), ["worker.queue.g2"]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_configured_no_more_runs_beside_no_hooks_of_a_consistent_deployment() {
    let mut shop = environment("shop");
    shop.workers = vec![sample::worker("queue")];
    let control = Control::new();
    control.machine.edit();
    let first = control.submit_for(shop.clone(), deploy(Mode::BlueGreen));
    let first = first.await.unwrap();
    assert_eq!(control.ended(&first.id).await, Outcome::Completed);
    assert_eq!(running(&control.machine), ["worker.queue.g1"]);
    shop.workers.clear();
    shop.hooks.before_switch = vec![vec!["stay".to_owned()]];
    control.machine.edit();
    let second = control.submit_for(shop, deploy(Mode::Consistent));
    let second = second.await.unwrap();
    let hook = async |control: &Control| {
        let tasks = running(&control.machine);
        tasks.iter().any(|task| task.starts_with("hook."))
    };
    until(&control, hook).await;
    let tasks = running(&control.machine);
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    crate::end(&control);
    assert_eq!(control.ended(&second.id).await, Outcome::Completed);
    assert!(control.machine.world().tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_worker_has_the_time_that_is_configured_for_it() {
    let mut shop = environment("shop");
    shop.workers = vec![sample::worker("queue")];
    shop.workers[0].grace = Duration::from_secs(42);
    let control = Control::new();
    for _ in 0..2 {
        control.machine.edit();
        let deploy = control.submit_for(shop.clone(), deploy(Mode::BlueGreen));
        let deploy = deploy.await.unwrap();
        assert_eq!(control.ended(&deploy.id).await, Outcome::Completed);
    }
    let graces: Vec<_> = control.machine.graces();
    let expected = [("worker.queue.g1".to_owned(), Duration::from_secs(42))];
    let graces = graces
        .into_iter()
        .map(|(id, grace)| (id.name.to_string(), grace));
    assert_eq!(graces.collect::<Vec<_>>(), expected);
}
