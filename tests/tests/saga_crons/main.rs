//! Crons and workers: due once, one at a time, held back by leases, and found again by a server that starts anew.
#![expect(clippy::unwrap_used, reason = "what a test prepares must succeed")]

use std::time::Duration;

use stratus_core::crons::{CronRun, CronStore, Owner, RunEnd, RunState};
use stratus_core::environment::Cron;
use stratus_core::fake::FakeMachine;
use stratus_core::operation::{Kind, Outcome};
use stratus_core::tasks::TaskState;
use stratus_core::{Environment, EnvironmentName, Store};
use stratus_server::clock::Clock;
use stratus_server::crons::AskError;
use stratus_tests::laws::control::Control;
use stratus_tests::laws::sample::{self, environment};

mod leases;
mod workers;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// A shop whose crons say `words` each minute, or at the times that stand before them.
fn shop(crons: &[(&str, &str, &str)]) -> Environment {
    let cron = |&(name, at, words): &(&str, &str, &str)| Cron {
        run: words.split(' ').map(str::to_owned).collect(),
        ..sample::cron(name, at)
    };
    Environment {
        crons: crons.iter().map(cron).collect(),
        ..environment("shop")
    }
}

fn name() -> EnvironmentName {
    environment("shop").name
}

/// A live shop, at ten seconds past a whole minute, whose crons were looked at once.
async fn live(shop: &Environment) -> Control {
    let control = Control::new();
    control.clock.advance(Duration::from_millis(
        60_000 - control.clock.now_ms() % 60_000 + 10_000,
    ));
    configure(&control, shop).await;
    control.deploy().await;
    control.crons.round().await.unwrap();
    control
}

async fn configure(control: &Control, shop: &Environment) {
    let specs = [shop.clone()];
    control.store.put_environments(&specs).await.unwrap();
}

/// A server that starts again over what `control` left.
async fn restarted(control: Control) -> Control {
    control.shutdown.cancel();
    control.crons.stopped().await;
    let Control {
        machine,
        store,
        clock,
        ..
    } = control;
    let control = Control::over(machine, store, clock, |actor| actor);
    control.crons.recover().await.unwrap();
    control
}

/// All runs, the oldest first, as `cron state`.
async fn runs(control: &Control) -> Vec<String> {
    let runs = control.store.cron_runs(&name(), None, 1000).await.unwrap();
    let text = |run: &CronRun| match &run.state {
        RunState::Skipped(skipped) => {
            format!(
                "{} skipped {}: {}",
                run.slot.cron, skipped.slots, skipped.reason
            )
        }
        RunState::Over(over) => format!("{} {:?}", run.slot.cron, over.end),
        open => format!("{} {}", run.slot.cron, open.name()),
    };
    runs.iter().rev().map(text).collect()
}

const WELL: &str = "Exit { code: 0, out_of_memory: false }";

/// Waits until `done` says so; nothing here takes longer than an hour.
async fn until(control: &Control, done: impl AsyncFn(&Control) -> bool) {
    let waited = async {
        while !done(control).await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_hours(1), waited)
        .await
        .unwrap();
}

async fn idle(control: &Control) {
    let nothing_open =
        async |control: &Control| control.store.open_runs().await.unwrap().is_empty();
    until(control, nothing_open).await;
}

fn running(machine: &FakeMachine) -> Vec<String> {
    let world = machine.world();
    let running = world
        .tasks
        .iter()
        .filter(|(_, task)| task.state == TaskState::Running);
    running.map(|(id, _)| id.name.to_string()).collect()
}

async fn one_runs(control: &Control) {
    until(control, async |control| {
        !running(&control.machine).is_empty()
    })
    .await;
}

/// Ends what runs.
fn end(control: &Control) {
    let world = control.machine.world();
    for id in world.tasks.keys() {
        control.machine.end_task(id, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_runs_once_however_often_it_is_looked_at() {
    let control = live(&shop(&[("tidy", "* * * * *", "print hello")])).await;
    assert!(runs(&control).await.is_empty(), "a new cron owes nothing");
    control.clock.advance(MINUTE);
    for _ in 0..3 {
        control.crons.round().await.unwrap();
        idle(&control).await;
    }
    assert_eq!(runs(&control).await, [format!("tidy {WELL}")]);
    let run = &control.store.cron_runs(&name(), None, 1).await.unwrap()[0];
    assert_eq!(run.slot.at_ms % 60_000, 0, "it is due at the whole minute");
    let RunState::Over(over) = &run.state else {
        panic!("{run:?}")
    };
    assert_eq!(over.output, "hello");
    assert!(
        control.machine.world().tasks.is_empty(),
        "nothing is left of it"
    );
}

#[tokio::test(start_paused = true)]
async fn runs_of_an_environment_wait_for_each_other() {
    let each = "* * * * *";
    let control = live(&shop(&[("a", each, "stay"), ("b", each, "stay")])).await;
    control.clock.advance(MINUTE);
    control.crons.round().await.unwrap();
    one_runs(&control).await;
    assert_eq!(running(&control.machine).len(), 1);
    assert_eq!(runs(&control).await, ["a running", "b waiting"]);
    control.clock.advance(MINUTE);
    control.crons.round().await.unwrap();
    let skipped = |name| format!("{name} skipped 1: the run before has not ended");
    let expected = [
        "a running".to_owned(),
        "b waiting".to_owned(),
        skipped("a"),
        skipped("b"),
    ];
    assert_eq!(runs(&control).await, expected);
    end(&control);
    until(&control, async |control| {
        runs(control).await[1] == "b running"
    })
    .await;
    one_runs(&control).await;
    assert_eq!(running(&control.machine).len(), 1);
    end(&control);
    idle(&control).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_server_was_not_there_for_is_one_record_and_the_newest_slot_runs() {
    let control = live(&shop(&[("tidy", "* * * * *", "print x")])).await;
    control.clock.advance(MINUTE * 5);
    let control = restarted(control).await;
    control.crons.round().await.unwrap();
    idle(&control).await;
    let missed = "tidy skipped 4: missed: the server was not running, or the clock was set";
    assert_eq!(runs(&control).await, [missed, &format!("tidy {WELL}")]);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_is_more_than_a_minute_late_does_not_run() {
    let control = live(&shop(&[("nightly", "0 * * * *", "print x")])).await;
    control.clock.advance(MINUTE * 90);
    control.crons.round().await.unwrap();
    idle(&control).await;
    let missed = "nightly skipped 1: missed: the server was not running, or the clock was set";
    assert_eq!(runs(&control).await, [missed]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_goes_back_makes_nothing_due_twice() {
    let control = live(&shop(&[("tidy", "* * * * *", "print x")])).await;
    control.clock.advance(MINUTE * 2);
    control.crons.round().await.unwrap();
    idle(&control).await;
    let known = runs(&control).await;
    control.clock.back(MINUTE * 2);
    for _ in 0..2 {
        control.clock.advance(MINUTE);
        control.crons.round().await.unwrap();
        idle(&control).await;
    }
    assert_eq!(runs(&control).await, known);
}

#[tokio::test(start_paused = true)]
async fn other_times_begin_anew() {
    let control = live(&shop(&[("tidy", "0 0 * * *", "print x")])).await;
    control.clock.advance(MINUTE * 30);
    configure(&control, &shop(&[("tidy", "* * * * *", "print x")])).await;
    control.crons.round().await.unwrap();
    assert!(runs(&control).await.is_empty());
}

/// Asks for the cron `tidy`.
async fn ask(control: &Control) -> Result<CronRun, AskError> {
    let environments = control.store.environments().await.unwrap();
    control.crons.ask(&environments[0], "tidy", "uid 0").await
}

/// A user's `crons.stop`; answers what still runs.
async fn stop(control: &Control, time: Duration, wait: Duration) -> Vec<CronRun> {
    let (name, crons) = (name(), &control.crons);
    let stopped = crons.stop(&name, &Owner::User, "uid 0", time, wait).await;
    stopped.unwrap().running
}

#[tokio::test(start_paused = true)]
async fn a_run_that_spans_a_restart_is_waited_for_and_not_begun_again() {
    let control = live(&shop(&[("tidy", "0 * * * *", "stay")])).await;
    ask(&control).await.unwrap();
    one_runs(&control).await;
    let begun = starts(&control);
    let control = restarted(control).await;
    tokio::time::sleep(MINUTE).await;
    assert_eq!(runs(&control).await, ["tidy running"]);
    end(&control);
    idle(&control).await;
    assert_eq!(runs(&control).await, [format!("tidy {WELL}")]);
    assert_eq!(starts(&control), begun);
}

fn starts(control: &Control) -> usize {
    let calls = control.machine.calls();
    calls.iter().filter(|call| *call == "start_task").count()
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_run_outlives_a_restart_and_is_asked_for_once() {
    let control = live(&shop(&[
        ("slow", "0 * * * *", "stay"),
        ("tidy", "0 * * * *", "print x"),
    ]))
    .await;
    let environments = control.store.environments().await.unwrap();
    let slow = control.crons.ask(&environments[0], "slow", "uid 0").await;
    slow.unwrap();
    one_runs(&control).await;
    let first = ask(&control).await.unwrap();
    control.clock.advance(MINUTE * 10);
    assert_eq!(ask(&control).await.unwrap(), first);
    let control = restarted(control).await;
    assert_eq!(runs(&control).await, ["slow running", "tidy waiting"]);
    end(&control);
    idle(&control).await;
    assert_eq!(runs(&control).await[1], format!("tidy {WELL}"));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ended_while_the_server_was_away_keeps_its_exit_code() {
    let control = live(&shop(&[("tidy", "0 * * * *", "stay")])).await;
    let slot = ask(&control).await.unwrap().slot;
    one_runs(&control).await;
    control.shutdown.cancel();
    control.crons.stopped().await;
    control.machine.end_task(&slot.task().unwrap(), 7);
    control.clock.advance(Duration::from_hours(5));
    let control = restarted(control).await;
    idle(&control).await;
    let ended = "tidy Exit { code: 7, out_of_memory: false }";
    assert_eq!(runs(&control).await, [ended]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_stored_and_never_started_is_interrupted_and_not_begun() {
    let control = live(&shop(&[("tidy", "0 * * * *", "print x")])).await;
    let slot = stratus_core::crons::Slot {
        environment: name(),
        cron: "tidy".to_owned(),
        at_ms: control.clock.now_ms(),
    };
    let waiting = CronRun {
        slot: slot.clone(),
        cause: stratus_core::crons::Cause::Schedule,
        state: RunState::Waiting,
    };
    control.store.ask_run(&waiting).await.unwrap();
    let began = stratus_core::crons::Began {
        at_ms: control.clock.now_ms(),
        release: sample::release(1),
        limit_ms: 60_000,
    };
    control.store.begin_run(&slot, &began).await.unwrap();
    let control = restarted(control).await;
    idle(&control).await;
    assert_eq!(runs(&control).await, ["tidy Interrupted"]);
    assert_eq!(starts(&control), 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_is_stopped_at_its_limit() {
    let mut shop = shop(&[("tidy", "0 * * * *", "stay")]);
    shop.crons[0].timeout = MINUTE * 3;
    let control = live(&shop).await;
    let began = tokio::time::Instant::now();
    let run = ask(&control).await.unwrap();
    let over = control.crons.settled(&run.slot, MINUTE * 10).await.unwrap();
    let state = over.map(|run| run.state);
    let timed_out =
        |state: &RunState| matches!(state, RunState::Over(over) if over.end == RunEnd::TimedOut);
    assert!(state.as_ref().is_some_and(timed_out), "{state:?}");
    assert!((MINUTE * 3..MINUTE * 4).contains(&began.elapsed()));
    assert!(control.machine.world().tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_before_something_is_live_and_an_unknown_cron_is_named() {
    let shop = shop(&[("tidy", "* * * * *", "print x")]);
    let control = Control::new();
    configure(&control, &shop).await;
    control.crons.round().await.unwrap();
    control.clock.advance(MINUTE);
    control.crons.round().await.unwrap();
    let found = runs(&control).await;
    assert!(found[0].contains("nothing is live yet"), "{found:?}");
    let refused = control.crons.ask(&shop, "tody", "uid 0").await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "shop has no cron \"tody\"; it has tidy"
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_that_spans_a_switch_keeps_its_release_and_the_next_one_has_the_new() {
    let shop = shop(&[("tidy", "0 * * * *", "stay")]);
    let control = live(&shop).await;
    let old = control.state().await.live.unwrap().release;
    ask(&control).await.unwrap();
    one_runs(&control).await;
    control.deploy().await;
    let releases = |control: &Control| -> Vec<_> {
        let world = control.machine.world();
        world
            .tasks
            .values()
            .filter_map(|t| t.release.clone())
            .collect()
    };
    assert_eq!(releases(&control), std::slice::from_ref(&old));
    end(&control);
    idle(&control).await;
    control.clock.advance(MINUTE);
    ask(&control).await.unwrap();
    one_runs(&control).await;
    let new = control.state().await.live.unwrap().release;
    assert_ne!(new, old);
    assert_eq!(releases(&control), [new]);
    end(&control);
    idle(&control).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_that_a_cron_runs_is_not_reaped() {
    let shop = shop(&[("tidy", "0 0 1 1 *", "stay")]);
    let control = live(&shop).await;
    let old = control.state().await.live.unwrap().release;
    ask(&control).await.unwrap();
    one_runs(&control).await;
    for _ in 0..3 {
        control.deploy().await;
    }
    let reap = Kind::Reap {
        release: old.clone(),
    };
    assert_eq!(control.run(reap.clone()).await, Outcome::Completed);
    let on_disk = |control: &Control| {
        control
            .machine
            .world()
            .releases
            .keys()
            .any(|(_, release)| release == &old)
    };
    assert!(on_disk(&control));
    end(&control);
    idle(&control).await;
    assert_eq!(control.run(reap).await, Outcome::Completed);
    assert!(!on_disk(&control));
}
