//! Leases: who holds crons back, and how they come back.

use std::time::Duration;

use stratus_core::crons::{CronStore, Owner};
use stratus_core::environment::Hooks;
use stratus_core::fault::Fault;
use stratus_core::operation::{Mode, Outcome, Step};
use stratus_server::crons::AskError;
use stratus_tests::laws::control::Control;
use stratus_tests::laws::faults::FOR_EVER;
use stratus_tests::laws::sample::deploy;

use crate::{
    HOUR, MINUTE, WELL, ask, configure, end, idle, live, name, one_runs, restarted, running, runs,
    shop, stop, until,
};

#[tokio::test(start_paused = true)]
async fn nothing_runs_while_crons_are_stopped_and_the_skipped_slots_are_one_record() {
    let control = live(&shop(&[("tidy", "* * * * *", "print x")])).await;
    assert!(stop(&control, MINUTE * 4, Duration::ZERO).await.is_empty());
    for _ in 0..3 {
        control.clock.advance(MINUTE);
        control.crons.round().await.unwrap();
    }
    let found = runs(&control).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("tidy skipped 3: crons are stopped until "),
        "{found:?}"
    );
    let refused = ask(&control).await;
    assert!(matches!(refused, Err(AskError::Held(_))));
    // Nobody starts them: the lease ends by itself.
    control.clock.advance(MINUTE);
    control.crons.round().await.unwrap();
    idle(&control).await;
    assert_eq!(runs(&control).await[1], format!("tidy {WELL}"));
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_what_runs_or_names_it() {
    let control = live(&shop(&[("tidy", "* * * * *", "stay")])).await;
    control.clock.advance(MINUTE);
    control.crons.round().await.unwrap();
    one_runs(&control).await;
    let still = stop(&control, HOUR, Duration::from_secs(5)).await;
    assert_eq!(still.len(), 1);
    assert_eq!(still[0].slot.cron, "tidy");
    let waiting = stop(&control, HOUR, HOUR);
    let ending = async {
        tokio::time::sleep(MINUTE).await;
        end(&control);
    };
    let began = tokio::time::Instant::now();
    assert!(tokio::join!(waiting, ending).0.is_empty());
    assert!((MINUTE..MINUTE * 2).contains(&began.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn a_start_ends_a_users_lease_and_no_operations() {
    let control = live(&shop(&[("tidy", "* * * * *", "print x")])).await;
    let operation = Owner::Operation("0190a6d2-7c00-7000-8000-000000000001".parse().unwrap());
    for owner in [&Owner::User, &operation] {
        control
            .crons
            .stop(&name(), owner, "uid 0", MINUTE * 60, Duration::ZERO)
            .await
            .unwrap();
    }
    for _ in 0..2 {
        let still = control.crons.start(&name(), &Owner::User).await.unwrap();
        assert_eq!(still.map(|lease| lease.owner), Some(operation.clone()));
    }
    // That operation has ended, or was never there: it holds nothing back.
    control.crons.release(&name()).await.unwrap();
    assert_eq!(control.crons.lease(&name()).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_holds_crons_back_and_gives_them_back_as_they_were() {
    for held_before in [false, true] {
        let mut shop = shop(&[("tidy", "* * * * *", "print x")]);
        shop.hooks = Hooks {
            before_switch: vec![vec!["stay".to_owned()]],
            ..Hooks::default()
        };
        let control = live(&shop).await;
        if held_before {
            stop(&control, HOUR, MINUTE).await;
        }
        control.machine.edit();
        let deploy = control.submit_for(shop, deploy(Mode::BlueGreen));
        let operation = deploy.await.unwrap();
        one_runs(&control).await;
        let leases = control.store.leases(&name()).await.unwrap();
        let owner = Owner::Operation(operation.id.clone());
        assert!(
            leases.iter().any(|lease| lease.owner == owner),
            "{leases:?}"
        );
        end(&control);
        assert_eq!(control.ended(&operation.id).await, Outcome::Completed);
        let left = control.store.leases(&name()).await.unwrap();
        assert_eq!(left.len(), usize::from(held_before), "{left:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_deployment_gives_crons_back_too() {
    let mut shop = shop(&[("tidy", "* * * * *", "print x")]);
    shop.hooks = Hooks {
        before_switch: vec![vec!["exit".to_owned(), "1".to_owned()]],
        ..Hooks::default()
    };
    let control = live(&shop).await;
    let operation = control.submit_for(shop, deploy(Mode::Consistent)).await;
    let operation = operation.unwrap();
    assert_eq!(control.ended(&operation.id).await, Outcome::Undone);
    assert_eq!(control.crons.lease(&name()).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn only_a_consistent_deployment_insists_that_no_cron_runs() {
    for (mode, outcome) in [
        (Mode::BlueGreen, Outcome::Completed),
        (Mode::Consistent, Outcome::Undone),
    ] {
        let shop = shop(&[("tidy", "0 0 1 1 *", "stay")]);
        let control = live(&shop).await;
        ask(&control).await.unwrap();
        one_runs(&control).await;
        let operation = control.submit_for(shop, deploy(mode)).await.unwrap();
        assert_eq!(control.ended(&operation.id).await, outcome);
        let journal = control.journal(&operation.id).await;
        let said = match mode {
            Mode::BlueGreen | Mode::Rolling => "\"still_running\":[\"tidy\"]",
            Mode::Consistent => "the cron tidy still runs after 5m",
        };
        assert!(journal.contains(said), "{journal}");
        assert_eq!(running(&control.machine).len(), 1, "it goes on");
        end(&control);
        idle(&control).await;
    }
}

#[tokio::test(start_paused = true)]
async fn crons_run_again_after_an_operation_that_was_declared_done() {
    let shop = shop(&[("tidy", "* * * * *", "print x")]);
    let (control, _) = Control::failing(Step::StartCrons, Fault::Permanent, FOR_EVER);
    configure(&control, &shop).await;
    let operation = control.submit_for(shop, deploy(Mode::BlueGreen)).await;
    let operation = operation.unwrap();
    let stuck = control.ended(&operation.id).await;
    assert!(matches!(stuck, Outcome::Stuck { .. }), "{stuck:?}");
    control.crons.round().await.unwrap();
    let held = control.crons.lease(&name()).await.unwrap();
    assert!(held.is_some(), "what is stuck may still need them stopped");
    control.engine.resolve(&operation.id).await.unwrap();
    assert_eq!(control.ended(&operation.id).await, Outcome::Completed);
    control.crons.round().await.unwrap();
    assert_eq!(control.crons.lease(&name()).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_waits_for_a_cron_waits_on_after_a_restart() {
    for mode in [Mode::BlueGreen, Mode::Consistent] {
        let shop = shop(&[("tidy", "0 0 1 1 *", "stay")]);
        let control = live(&shop).await;
        ask(&control).await.unwrap();
        one_runs(&control).await;
        control.machine.edit();
        let operation = control.submit_for(shop, deploy(mode)).await.unwrap();
        let waits = async |control: &Control| {
            let lease = control.crons.lease(&name()).await.unwrap();
            lease.is_some()
        };
        until(&control, waits).await;
        let control = restarted(control).await;
        tokio::time::sleep(MINUTE).await;
        let journal = control.journal(&operation.id).await;
        assert!(
            journal.contains("the server stops; it goes on"),
            "{journal}"
        );
        assert!(!journal.contains("still_running"), "{journal}");
        assert_eq!(running(&control.machine).len(), 1);
        end(&control);
        assert_eq!(control.ended(&operation.id).await, Outcome::Completed);
        let journal = control.journal(&operation.id).await;
        assert!(
            !journal.contains("\"still_running\":[\"tidy\"]"),
            "{journal}"
        );
        assert_eq!(control.crons.lease(&name()).await.unwrap(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_consistent_deployment_waits_for_a_cron_that_is_configured_no_more() {
    let shop = shop(&[("tidy", "0 0 1 1 *", "stay")]);
    let control = live(&shop).await;
    ask(&control).await.unwrap();
    one_runs(&control).await;
    let bare = crate::shop(&[]);
    configure(&control, &bare).await;
    let operation = control.submit_for(bare, deploy(Mode::Consistent)).await;
    let operation = operation.unwrap();
    assert_eq!(control.ended(&operation.id).await, Outcome::Undone);
    let journal = control.journal(&operation.id).await;
    assert!(
        journal.contains("the cron tidy still runs after 5m"),
        "{journal}"
    );
    end(&control);
    idle(&control).await;
}
