//! What every store of crons does, in memory or on disk. Each function wants a store of its own.

use stratus_core::EnvironmentName;
use stratus_core::crons::{
    Began, Cause, CronRun, CronStore, Cursor, Lease, Over, Owner, RUNS_KEPT, RunEnd, RunState,
    Skipped, Slot, Turn,
};

use crate::laws::sample;

fn slot(environment: &str, cron: &str, at_ms: u64) -> Slot {
    Slot {
        environment: name(environment),
        cron: cron.to_owned(),
        at_ms,
    }
}

fn name(text: &str) -> EnvironmentName {
    text.parse().expect("a valid name")
}

fn waiting(slot: Slot) -> CronRun {
    CronRun {
        slot,
        cause: Cause::Schedule,
        state: RunState::Waiting,
    }
}

fn skipped(slot: Slot, slots: u32) -> CronRun {
    let last_ms = slot.at_ms;
    CronRun {
        state: RunState::Skipped(Skipped {
            reason: "because".to_owned(),
            slots,
            last_ms,
        }),
        ..waiting(slot)
    }
}

fn over(slot: Slot) -> CronRun {
    CronRun {
        state: RunState::Over(Over {
            began: began(1),
            ended_ms: 2,
            end: RunEnd::Exit {
                code: 0,
                out_of_memory: false,
            },
            output: "'; DROP TABLE cron_runs".to_owned(),
            cut: false,
        }),
        ..waiting(slot)
    }
}

fn began(at_ms: u64) -> Began {
    Began {
        at_ms,
        release: sample::release(1),
        limit_ms: 1000,
    }
}

fn cursor(at_ms: u64) -> Cursor {
    Cursor {
        times: "* * * * * UTC".to_owned(),
        at_ms,
    }
}

fn lease(owner: Owner, until_ms: u64) -> Lease {
    Lease {
        owner,
        actor: "uid 0".to_owned(),
        since_ms: 0,
        until_ms,
    }
}

/// The cursor moves with what it passed, and a slot that ran is not overwritten.
///
/// # Panics
/// When it is not so.
pub async fn a_slot_is_recorded_once(store: &dyn CronStore) {
    let shop = name("shop");
    assert_eq!(store.cron_cursor(&shop, "a").await.expect("read"), None);
    let runs = [waiting(slot("shop", "a", 10))];
    let passed = store.pass_slots(&shop, "a", &cursor(10), &runs).await;
    passed.expect("stored");
    let known = store.cron_cursor(&shop, "a").await.expect("read");
    assert_eq!(known, Some(cursor(10)));
    assert_eq!(store.cron_cursor(&shop, "b").await.expect("read"), None);
    store
        .end_run(&over(slot("shop", "a", 10)))
        .await
        .expect("stored");
    let passed = store.pass_slots(&shop, "a", &cursor(11), &runs).await;
    passed.expect("stored");
    store.ask_run(&runs[0]).await.expect("stored");
    let run = store.cron_run(&slot("shop", "a", 10)).await.expect("read");
    assert_eq!(run, Some(over(slot("shop", "a", 10))));
    assert!(store.open_runs().await.expect("read").is_empty());
}

/// Slots that are skipped one after the other may be one record that grows.
///
/// # Panics
/// When it is not so.
pub async fn a_skipped_slot_grows(store: &dyn CronStore) {
    for slots in [1, 2] {
        let runs = [skipped(slot("shop", "a", 10), slots)];
        store
            .pass_slots(&name("shop"), "a", &cursor(10), &runs)
            .await
            .expect("stored");
    }
    let runs = store.cron_runs(&name("shop"), None, 9).await.expect("read");
    assert_eq!(runs, [skipped(slot("shop", "a", 10), 2)]);
}

/// One run of an environment runs at a time; other environments do not wait for it.
///
/// # Panics
/// When it is not so.
pub async fn one_run_at_a_time(store: &dyn CronStore) {
    let all = [
        slot("shop", "a", 10),
        slot("shop", "b", 11),
        slot("blog", "a", 10),
    ];
    for slot in &all {
        store.ask_run(&waiting(slot.clone())).await.expect("stored");
    }
    let turn = async |slot: &Slot| store.begin_run(slot, &began(20)).await.expect("stored");
    assert_eq!(turn(&all[0]).await, Turn::Begun);
    assert_eq!(turn(&all[1]).await, Turn::Taken);
    assert_eq!(turn(&all[2]).await, Turn::Begun);
    let open = store.open_runs().await.expect("read");
    let names: Vec<_> = open.iter().map(|r| (&r.slot, r.state.name())).collect();
    assert_eq!(names.len(), 3);
    assert_eq!(names[2], (&all[1], "waiting"));
    store.end_run(&over(all[0].clone())).await.expect("stored");
    assert_eq!(turn(&all[0]).await, Turn::Gone);
    assert_eq!(turn(&all[1]).await, Turn::Begun);
    assert_eq!(turn(&slot("shop", "c", 1)).await, Turn::Taken);
    store.end_run(&over(all[1].clone())).await.expect("stored");
    assert_eq!(turn(&slot("shop", "c", 1)).await, Turn::Gone);
}

/// Nothing begins while a lease holds, whoever owns it; a second one of an owner never ends sooner than the first.
///
/// # Panics
/// When it is not so.
pub async fn a_lease_holds_runs_back(store: &dyn CronStore) {
    let (shop, first) = (name("shop"), slot("shop", "a", 10));
    let operation = Owner::Operation("op-1".parse().expect("an id"));
    for (owner, until_ms) in [
        (Owner::User, 30),
        (Owner::User, 20),
        (operation.clone(), 25),
    ] {
        let put = store.put_lease(&shop, &lease(owner, until_ms)).await;
        put.expect("stored");
    }
    store
        .ask_run(&waiting(first.clone()))
        .await
        .expect("stored");
    let turn = async |at_ms| {
        store
            .begin_run(&first, &began(at_ms))
            .await
            .expect("stored")
    };
    assert_eq!(turn(29).await, Turn::Held(lease(Owner::User, 30)));
    let dropped = store.drop_lease(&shop, &Owner::User).await;
    dropped.expect("stored");
    assert_eq!(turn(24).await, Turn::Held(lease(operation, 25)));
    assert!(store.leases(&name("blog")).await.expect("read").is_empty());
    assert_eq!(store.leases(&shop).await.expect("read").len(), 1);
    assert_eq!(turn(25).await, Turn::Begun);
}

/// A lease that holds for nobody, because the clock was ahead when it was made, lengthens no later one.
///
/// # Panics
/// When it is not so.
pub async fn a_lease_of_a_wrong_clock_does_not_come_back(store: &dyn CronStore) {
    let (shop, day) = (name("shop"), 86_400_000);
    let of_tomorrow = Lease {
        since_ms: day,
        ..lease(Owner::User, 2 * day)
    };
    for put in [&of_tomorrow, &lease(Owner::User, 30)] {
        store.put_lease(&shop, put).await.expect("stored");
    }
    let stored = store.leases(&shop).await.expect("read");
    assert_eq!(stored, [lease(Owner::User, 30)]);
    // Nor one that is over, of a clock that was behind.
    let later = Lease {
        since_ms: 40,
        ..lease(Owner::User, 50)
    };
    store.put_lease(&shop, &later).await.expect("stored");
    assert_eq!(store.leases(&shop).await.expect("read"), [later]);
}

/// A cron that is configured no more leaves no cursor; the others keep theirs.
///
/// # Panics
/// When it is not so.
pub async fn cursors_of_unknown_crons_are_forgotten(store: &dyn CronStore) {
    let all = [("shop", "a"), ("shop", "b"), ("blog", "a")];
    for (environment, cron) in all {
        let passed = store
            .pass_slots(&name(environment), cron, &cursor(10), &[])
            .await;
        passed.expect("stored");
    }
    let known = [(name("shop"), "a".to_owned())];
    store.keep_cursors(&known).await.expect("stored");
    for (environment, cron) in all {
        let kept = store.cron_cursor(&name(environment), cron).await;
        let is_known = (environment, cron) == ("shop", "a");
        assert_eq!(
            kept.expect("read").is_some(),
            is_known,
            "{environment} {cron}"
        );
    }
}

/// Runs of a clock that was ahead are older than what was recorded after them.
///
/// # Panics
/// When it is not so.
pub async fn runs_are_in_the_order_in_which_they_were_recorded(store: &dyn CronStore) {
    let ahead = 1_000_000;
    let kept = u64::from(RUNS_KEPT);
    for at_ms in (ahead..ahead + kept).chain(1..=kept) {
        let ended = store.end_run(&over(slot("shop", "a", at_ms))).await;
        ended.expect("stored");
        let newest = store.cron_runs(&name("shop"), Some("a"), 1).await;
        assert_eq!(newest.expect("read")[0].slot.at_ms, at_ms);
    }
    let runs = store.cron_runs(&name("shop"), None, 1000).await;
    let runs = runs.expect("read");
    assert_eq!(runs.len(), RUNS_KEPT as usize);
    assert!(runs.iter().all(|run| run.slot.at_ms < ahead), "{runs:?}");
}

/// The newest runs of each cron are kept, and those that wait or run.
///
/// # Panics
/// When it is not so.
pub async fn old_runs_are_forgotten(store: &dyn CronStore) {
    store
        .ask_run(&waiting(slot("shop", "a", 1)))
        .await
        .expect("stored");
    store
        .end_run(&over(slot("shop", "b", 2)))
        .await
        .expect("stored");
    let last = u64::from(RUNS_KEPT) + 10;
    for at_ms in 2..=last {
        let ended = store.end_run(&over(slot("shop", "a", at_ms))).await;
        ended.expect("stored");
    }
    let shop = name("shop");
    let runs = store.cron_runs(&shop, Some("a"), 1000).await.expect("read");
    assert_eq!(runs.len(), RUNS_KEPT as usize + 1);
    assert_eq!(runs[0].slot.at_ms, last);
    assert_eq!(runs.last().map(|run| run.state.name()), Some("waiting"));
    let all = store.cron_runs(&shop, None, 1000).await.expect("read");
    assert_eq!(all.len(), runs.len() + 1);
    let two = store.cron_runs(&shop, None, 2).await.expect("read");
    assert_eq!(two.len(), 2);
}
