//! An engine that does not answer, or a command that ends beside it: what is known is kept, and crons go on.

use std::time::Duration;

use stratus_core::crons::{CronStore, RunEnd, RunState};
use stratus_tests::laws::control::Control;

use crate::{HOUR, MINUTE, WELL, ask, end, idle, live, name, one_runs, restarted, runs, shop};

/// No engine is away for longer.
const FOR_EVER: u32 = u32::MAX;

async fn output(control: &Control) -> String {
    let newest = control.store.cron_runs(&name(), None, 1).await.unwrap();
    match &newest[0].state {
        RunState::Over(over) => over.output.clone(),
        open => panic!("{open:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_that_is_not_removed_stops_no_cron_and_is_swept_later() {
    let control = live(&shop(&[("tidy", "* * * * *", "print x")])).await;
    control.machine.unanswer("remove_task", FOR_EVER);
    for _ in 0..2 {
        control.clock.advance(MINUTE);
        control.crons.round().await.unwrap();
        idle(&control).await;
    }
    assert_eq!(
        runs(&control).await,
        [format!("tidy {WELL}"), format!("tidy {WELL}")]
    );
    tokio::time::sleep(MINUTE).await;
    assert_eq!(control.machine.world().tasks.len(), 2);
    let attending = tokio::spawn(control.crons.clone().attend());
    tokio::time::sleep(MINUTE * 6).await;
    assert_eq!(control.machine.world().tasks.len(), 2);
    control.machine.unanswer("remove_task", 0);
    tokio::time::sleep(MINUTE * 6).await;
    assert!(control.machine.world().tasks.is_empty());
    control.shutdown.cancel();
    attending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_back_removes_what_is_left_of_runs_that_are_over() {
    let control = live(&shop(&[("tidy", "0 * * * *", "print x")])).await;
    control.machine.unanswer("remove_task", FOR_EVER);
    ask(&control).await.unwrap();
    idle(&control).await;
    control.machine.unanswer("remove_task", FOR_EVER);
    let control = restarted(control).await;
    assert_eq!(control.machine.world().tasks.len(), 1);
    control.machine.unanswer("remove_task", 0);
    let control = restarted(control).await;
    assert!(control.machine.world().tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_output_cannot_be_read_is_over_all_the_same() {
    let control = live(&shop(&[("tidy", "0 * * * *", "print x")])).await;
    control.machine.unanswer("task_output", FOR_EVER);
    ask(&control).await.unwrap();
    idle(&control).await;
    assert_eq!(runs(&control).await, [format!("tidy {WELL}")]);
    assert_eq!(output(&control).await, "");
    // An engine that is away for a moment only is waited for.
    control.machine.unanswer("task_output", 10);
    control.clock.advance(MINUTE);
    ask(&control).await.unwrap();
    idle(&control).await;
    assert_eq!(output(&control).await, "x");
}

#[tokio::test(start_paused = true)]
async fn a_cron_that_the_engine_does_not_start_says_why() {
    let control = live(&shop(&[("tidy", "0 * * * *", "print x")])).await;
    control.machine.unanswer("start_task", 1);
    control.machine.unanswer("look_task", 5);
    ask(&control).await.unwrap();
    idle(&control).await;
    let reason = "the container engine does not answer: no answer to start_task".to_owned();
    let expected = format!("tidy {:?}", RunEnd::NotStarted { reason });
    assert_eq!(runs(&control).await, [expected]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_while_a_cron_runs_is_waited_for() {
    let control = live(&shop(&[("tidy", "0 * * * *", "stay")])).await;
    control.machine.unanswer("look_task", 100);
    ask(&control).await.unwrap();
    tokio::time::sleep(MINUTE).await;
    assert_eq!(runs(&control).await, ["tidy running"]);
    end(&control);
    idle(&control).await;
    assert_eq!(runs(&control).await, [format!("tidy {WELL}")]);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_ended_before_its_limit_keeps_its_exit_code() {
    let mut shop = shop(&[("tidy", "0 * * * *", "stay")]);
    shop.crons[0].timeout = MINUTE * 3;
    let control = live(&shop).await;
    control.machine.unanswer("stop_task", 60);
    let slot = ask(&control).await.unwrap().slot;
    // The engine is away at the limit, and knows afterwards that the command had ended by itself.
    tokio::time::sleep(MINUTE * 3 + Duration::from_secs(2)).await;
    assert_eq!(runs(&control).await, ["tidy running"]);
    control.machine.end_task(&slot.task().unwrap(), 7);
    idle(&control).await;
    let ended = "tidy Exit { code: 7, out_of_memory: false }";
    assert_eq!(runs(&control).await, [ended]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_has_ten_seconds() {
    let mut shop = shop(&[("tidy", "0 * * * *", "stay")]);
    shop.crons[0].timeout = MINUTE;
    let control = live(&shop).await;
    let run = ask(&control).await.unwrap();
    control.crons.settled(&run.slot, HOUR).await.unwrap();
    let graces: Vec<_> = control.machine.graces().into_iter().map(|g| g.1).collect();
    assert_eq!(graces, [Duration::from_secs(10)]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_panics_is_followed_by_another() {
    let control = live(&shop(&[("tidy", "0 * * * *", "panic")])).await;
    ask(&control).await.unwrap();
    one_is_stored_as_running(&control).await;
    // Its run is open: the next round sends somebody.
    control.crons.round().await.unwrap();
    idle(&control).await;
    assert_eq!(runs(&control).await, ["tidy Interrupted"]);
}

async fn one_is_stored_as_running(control: &Control) {
    crate::until(control, async |control| {
        runs(control).await == ["tidy running"]
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_nobody_was_told_of_is_seen_to() {
    let shop = shop(&[("tidy", "0 0 1 1 *", "print x")]);
    for asked_again in [true, false] {
        let control = live(&shop).await;
        // The call that recorded it was dropped at this point.
        let waiting = crate::waiting("tidy", &control);
        control.store.ask_run(&waiting).await.unwrap();
        if asked_again {
            assert_eq!(ask(&control).await.unwrap(), waiting);
        } else {
            control.crons.round().await.unwrap();
        }
        idle(&control).await;
        assert_eq!(runs(&control).await, [format!("tidy {WELL}")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_moves_with_what_is_live() {
    use stratus_core::operation::{Kind, Outcome};
    use stratus_tests::laws::sample;

    let shop = shop(&[("tidy", "0 0 1 1 *", "stay")]);
    let control = live(&shop).await;
    let first = control.state().await.live.unwrap().release;
    control.machine.edit();
    let operation = control.submit_for(shop.clone(), sample::reinit()).await;
    let outcome = control.ended(&operation.unwrap().id).await;
    assert_eq!(outcome, Outcome::Completed);
    let second = control.state().await.live.unwrap().release;
    assert_ne!(first, second);
    for expected in [second, first] {
        control.clock.advance(MINUTE);
        ask(&control).await.unwrap();
        one_runs(&control).await;
        let world = control.machine.world();
        let releases: Vec<_> = world.tasks.values().map(|t| t.release.clone()).collect();
        assert_eq!(releases, [Some(expected)]);
        end(&control);
        idle(&control).await;
        if control.state().await.live.unwrap().generation.0 == 2 {
            let back = control.submit_for(shop.clone(), Kind::Rollback).await;
            let outcome = control.ended(&back.unwrap().id).await;
            assert_eq!(outcome, Outcome::Completed);
        }
    }
}
