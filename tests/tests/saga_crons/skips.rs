//! Why a slot is skipped, and when it is due.

use std::time::Duration;

use stratus_core::Store;
use stratus_core::crons::{CronRun, CronStore, Over, RunEnd, RunState};
use stratus_server::clock::Clock;
use stratus_server::crons::AskError;
use stratus_tests::laws::control::Control;
use stratus_tests::laws::sample;

use crate::{
    HOUR, MINUTE, WELL, ask, configure, end, idle, live, one_runs, restarted, runs, shop, stop,
    waiting,
};

/// A shop where `slow` runs, and `tidy` waits for its end.
async fn one_runs_and_one_waits() -> Control {
    let crons = [
        ("slow", "0 0 1 1 *", "stay"),
        ("tidy", "0 0 1 1 *", "print x"),
    ];
    let control = live(&shop(&crons)).await;
    let environments = control.store.environments().await.unwrap();
    let slow = control.crons.ask(&environments[0], "slow", "uid 0").await;
    slow.unwrap();
    one_runs(&control).await;
    ask(&control).await.unwrap();
    control
}

#[tokio::test(start_paused = true)]
async fn what_waits_when_crons_are_stopped_is_skipped() {
    let control = one_runs_and_one_waits().await;
    assert_eq!(stop(&control, HOUR, Duration::ZERO).await.len(), 1);
    end(&control);
    idle(&control).await;
    let found = runs(&control).await;
    let skipped = "tidy skipped 1: crons are stopped until ";
    assert!(found[1].starts_with(skipped), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_and_is_configured_no_more_is_skipped() {
    let control = one_runs_and_one_waits().await;
    configure(&control, &shop(&[])).await;
    end(&control);
    idle(&control).await;
    let skipped = "tidy skipped 1: it is no longer configured";
    assert_eq!(
        runs(&control).await,
        [format!("slow {WELL}"), skipped.into()]
    );
}

#[tokio::test(start_paused = true)]
async fn what_waits_where_nothing_is_live_is_skipped() {
    let control = Control::new();
    configure(&control, &shop(&[("tidy", "0 0 1 1 *", "print x")])).await;
    let waiting = waiting("tidy", &control);
    control.store.ask_run(&waiting).await.unwrap();
    let control = restarted(control).await;
    idle(&control).await;
    assert_eq!(runs(&control).await, ["tidy skipped 1: nothing is live"]);
}

#[tokio::test(start_paused = true)]
async fn what_waited_for_nothing_while_the_server_was_away_is_skipped() {
    let control = live(&shop(&[("tidy", "0 0 1 1 *", "print x")])).await;
    let waiting = waiting("tidy", &control);
    control.store.ask_run(&waiting).await.unwrap();
    control.clock.advance(MINUTE * 2);
    let control = restarted(control).await;
    idle(&control).await;
    let skipped = "tidy skipped 1: the server was not running";
    assert_eq!(runs(&control).await, [skipped]);
}

#[tokio::test(start_paused = true)]
async fn what_waited_for_a_run_that_has_just_ended_runs_after_a_restart() {
    for (since, expected) in [
        (Duration::from_secs(2), format!("tidy {WELL}")),
        (
            MINUTE * 2,
            "tidy skipped 1: the server was not running".to_owned(),
        ),
    ] {
        let control = one_runs_and_one_waits().await;
        control.clock.advance(HOUR);
        control.shutdown.cancel();
        control.crons.stopped().await;
        // The last thing that the server did was to store how the other one ended.
        let slow = control.store.open_runs().await.unwrap().remove(0);
        let RunState::Running(began) = slow.state.clone() else {
            panic!("{slow:?}")
        };
        let over = Over {
            began,
            ended_ms: control.clock.now_ms(),
            end: RunEnd::TimedOut,
            output: String::new(),
            cut: false,
        };
        let state = RunState::Over(over);
        let ended = control.store.end_run(&CronRun { state, ..slow }).await;
        ended.unwrap();
        control.clock.advance(since);
        let control = restarted(control).await;
        idle(&control).await;
        assert_eq!(runs(&control).await[1], expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_outlives_a_restart() {
    let control = live(&shop(&[("tidy", "* * * * *", "print x")])).await;
    stop(&control, HOUR, Duration::ZERO).await;
    let control = restarted(control).await;
    assert!(matches!(ask(&control).await, Err(AskError::Held(_))));
    control.clock.advance(MINUTE);
    control.crons.round().await.unwrap();
    let found = runs(&control).await;
    assert!(found[0].contains("crons are stopped until"), "{found:?}");
    control.clock.advance(HOUR);
    assert!(ask(&control).await.is_ok());
    idle(&control).await;
}

#[tokio::test(start_paused = true)]
async fn a_time_is_one_of_its_zone() {
    let mut shop = shop(&[("tidy", "30 4 * * *", "print x")]);
    shop.crons[0].zone = "Europe/Berlin".to_owned();
    let control = live(&shop).await;
    let half_past = |hour: u64| (hour * 60 + 30) * 60_000 + 10_000;
    for (hour, count) in [(2, 0), (3, 1), (4, 1)] {
        let ahead = half_past(hour) - control.clock.now_ms();
        control.clock.advance(Duration::from_millis(ahead));
        control.crons.round().await.unwrap();
        idle(&control).await;
        assert_eq!(runs(&control).await.len(), count, "half past {hour}, UTC");
    }
    let run = control.store.cron_runs(&crate::name(), None, 1).await;
    assert_eq!(run.unwrap()[0].slot.at_ms, half_past(3) - 10_000);
}

#[tokio::test(start_paused = true)]
async fn a_cron_that_comes_back_into_the_configuration_begins_anew() {
    let with = shop(&[
        ("tidy", "* * * * *", "print x"),
        ("other", "0 0 1 1 *", "print x"),
    ]);
    let without = shop(&[("other", "0 0 1 1 *", "print x")]);
    for without in [without, sample::environment("blog")] {
        let control = live(&with).await;
        configure(&control, &without).await;
        control.crons.round().await.unwrap();
        control.clock.advance(MINUTE * 10);
        configure(&control, &with).await;
        control.crons.round().await.unwrap();
        idle(&control).await;
        assert!(runs(&control).await.is_empty(), "it owes nothing");
    }
}
