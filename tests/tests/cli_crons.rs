//! Transcripts of the commands for crons and workers.

use std::process::Stdio;

use insta::assert_snapshot;
use stratus_proto::v1::{
    Cron, CronLease, CronLogsReply, CronRun, IdleCronsReply, ListCronsReply, StartCronsReply,
    StopCronsReply, Worker,
};
use stratus_server::clock::{Clock as _, SystemClock};
use stratus_tests::program::{Transcript, call, end, run};
use stratus_tests::scripted::{Call, Script, Scripted};
use tonic::Status;

const HOUR_MS: u64 = 3_600_000;

fn now_ms() -> u64 {
    SystemClock.now_ms()
}

fn hour_ago() -> CronRun {
    let slot = now_ms() - HOUR_MS;
    CronRun {
        environment: "shop".into(),
        cron: "reindex".into(),
        slot,
        state: "over".into(),
        release: "ab".repeat(32),
        began: slot,
        ended: slot + 2100,
        end: "exit".into(),
        exit: Some(0),
        output: "indexed 12 products\n".into(),
        ..CronRun::default()
    }
}

fn cron(name: &str, last: Option<CronRun>) -> Cron {
    Cron {
        name: name.into(),
        at: "0 * * * *".into(),
        zone: "Europe/Berlin".into(),
        run: vec!["php".into(), "bin/cron.php".into()],
        next: now_ms() + HOUR_MS + 5_000,
        last,
    }
}

fn lease(owner: &str) -> CronLease {
    CronLease {
        until: now_ms() + HOUR_MS + 500,
        since: now_ms(),
        owner: owner.into(),
        actor: "uid 0".into(),
    }
}

fn worker(name: &str, restarting: bool) -> Worker {
    Worker {
        name: name.into(),
        run: vec!["php".into()],
        running: true,
        release: "cd".repeat(32),
        restarting,
    }
}

#[test]
fn crons_and_workers_are_listed_with_how_they_went() {
    let skipped = CronRun {
        state: "skipped".into(),
        reason: "the run before has not ended".into(),
        slots: 3,
        end: String::new(),
        ..hour_ago()
    };
    let server = Scripted::start(Script {
        crons: Some(ListCronsReply {
            environment: "shop".into(),
            crons: vec![
                cron("reindex", Some(hour_ago())),
                cron("newsletter", Some(skipped)),
                cron("never", None),
            ],
            workers: vec![worker("queue", false), worker("broken", true)],
            stopped: Some(lease("crons.stop")),
        }),
        ..Script::default()
    });
    let transcript = run(&server.socket(), "crons.list");
    assert!(transcript.is_clean());
    assert_snapshot!(transcript);
}

#[test]
fn a_stop_says_until_when_and_what_still_runs() {
    let running = CronRun {
        state: "running".into(),
        began: now_ms() - 63_000,
        slot: 0,
        ..hour_ago()
    };
    let server = Scripted::start(Script {
        crons_stopped: Some(StopCronsReply {
            environment: "shop".into(),
            lease: Some(lease("crons.stop")),
            running: vec![running],
        }),
        ..Script::default()
    });
    let transcript = run(&server.socket(), "crons.stop --wait 0s;");
    assert_eq!(transcript.code, Some(0));
    assert!(transcript.is_clean());
    assert!(
        transcript
            .stdout
            .contains("shop: crons are stopped for another 1h 0m, or until crons.start")
    );
    assert!(
        transcript
            .stdout
            .contains("s; it ends by itself, nothing new begins")
    );
}

#[test]
fn a_stop_returns_as_soon_as_nothing_runs() {
    let server = Scripted::start(Script {
        crons_stopped: Some(StopCronsReply {
            environment: "shop".into(),
            lease: Some(lease("crons.stop")),
            running: vec![hour_ago()],
        }),
        crons_idle: [IdleCronsReply::default()].into(),
        ..Script::default()
    });
    let transcript = run(&server.socket(), "crons.stop");
    assert!(transcript.is_clean());
    assert_snapshot!(transcript);
}

#[test]
fn a_start_says_what_still_holds_crons_back() {
    for (stopped, said) in [
        (None, "shop: crons run\n"),
        (
            Some(lease("0190a6d2")),
            "shop: crons are stopped by operation 0190a6d2 until it ends, for 1h 0m at most\n",
        ),
    ] {
        let server = Scripted::start(Script {
            crons_started: Some(StartCronsReply {
                environment: "shop".into(),
                stopped,
            }),
            ..Script::default()
        });
        let transcript = run(&server.socket(), "crons.start");
        assert!(transcript.is_clean());
        assert_eq!(
            (transcript.code, transcript.stdout.as_str()),
            (Some(0), said)
        );
    }
}

fn asked(last: CronRun) -> Script {
    let waiting = CronRun {
        state: "waiting".into(),
        ..hour_ago()
    };
    Script {
        cron_run: Some(Ok(waiting.clone())),
        cron_runs: [waiting, last].into(),
        ..Script::default()
    }
}

#[test]
fn a_cron_that_is_asked_for_shows_what_it_wrote() {
    let server = Scripted::start(asked(hour_ago()));
    let transcript = run(&server.socket(), "crons.run reindex --quiet");
    assert!(transcript.is_clean());
    assert_eq!(transcript.stdout, "indexed 12 products\n");
    assert_eq!(transcript.code, Some(0));
}

#[test]
fn a_cron_that_fails_is_a_failure_with_what_it_wrote() {
    let failed = CronRun {
        exit: Some(3),
        ..hour_ago()
    };
    let server = Scripted::start(asked(failed));
    let transcript = run(&server.socket(), "crons.run reindex");
    assert_eq!(transcript.code, Some(1));
    let out = &transcript.stdout;
    assert!(out.starts_with("indexed 12 products\nERROR"), "{out}");
    assert!(out.contains("ended with 3 after 2.10 s"), "{out}");
    assert!(out.contains("stratus crons.logs reindex"), "{out}");
}

#[test]
fn a_cron_that_may_not_run_says_why() {
    let refused = "crons are stopped; crons.start lets them run again";
    let server = Scripted::start(Script {
        cron_run: Some(Err(Status::failed_precondition(refused))),
        ..Script::default()
    });
    let transcript = run(&server.socket(), "crons.run reindex");
    assert_eq!(transcript.code, Some(1));
    assert!(transcript.stdout.contains(refused));
}

#[test]
fn logs_show_each_run_with_its_output() {
    let server = Scripted::start(Script {
        cron_logs: Some(CronLogsReply {
            runs: vec![
                CronRun {
                    slot: 0,
                    state: "skipped".into(),
                    reason: "the run before has not ended".into(),
                    output: String::new(),
                    ..hour_ago()
                },
                CronRun {
                    slot: 0,
                    ..hour_ago()
                },
            ],
            output: String::new(),
        }),
        ..Script::default()
    });
    let transcript = run(&server.socket(), "crons.logs reindex --runs 2");
    assert!(transcript.is_clean());
    assert_snapshot!(transcript);
}

/// Starts a call, waits until it asks how things stand, and starts the server again.
fn over_a_restart(mut server: Scripted, words: &str, question: &str) -> Transcript {
    let mut call = call(&server.socket(), words);
    let call = call.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = call.spawn().expect("the program starts");
    while !matches!(server.next_call(), Call::Other(asked) if asked.starts_with(question)) {}
    server.restart();
    end(&server.socket(), words, child)
}

#[test]
fn a_cron_that_is_waited_for_outlives_a_restart_of_the_server() {
    let mut script = asked(hour_ago());
    script.crons_wait = 1;
    let server = Scripted::start(script);
    let transcript = over_a_restart(server, "crons.run reindex", "AwaitCronRequest");
    assert_eq!(transcript.code, Some(0), "{transcript}");
    assert!(transcript.is_clean(), "{transcript}");
    let said = "the cron lives in the server and goes on";
    assert!(transcript.stderr.contains(said), "{transcript}");
    assert!(transcript.stdout.starts_with("indexed"), "{transcript}");
}

#[test]
fn a_stop_that_waits_outlives_a_restart_of_the_server() {
    let server = Scripted::start(Script {
        crons_stopped: Some(StopCronsReply {
            environment: "shop".into(),
            lease: Some(lease("crons.stop")),
            running: vec![hour_ago()],
        }),
        crons_wait: 1,
        crons_idle: [IdleCronsReply::default()].into(),
        ..Script::default()
    });
    let transcript = over_a_restart(server, "crons.stop", "IdleCronsRequest");
    assert_eq!(transcript.code, Some(0), "{transcript}");
    assert!(transcript.is_clean(), "{transcript}");
}

#[test]
fn a_server_that_does_not_come_back_is_told_of() {
    let mut script = asked(hour_ago());
    script.crons_wait = 1;
    let mut server = Scripted::start(script);
    let words = "crons.run reindex --reconnect 1s";
    let mut call = call(&server.socket(), words);
    let call = call.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = call.spawn().expect("the program starts");
    while !matches!(server.next_call(), Call::Other(asked) if asked.starts_with("Await")) {}
    server.kill();
    let transcript = end(&server.socket(), words, child);
    assert_eq!(transcript.code, Some(1), "{transcript}");
    let said = "did not come back within 1s, the cron goes on when it does";
    assert!(transcript.stdout.contains(said), "{transcript}");
}
