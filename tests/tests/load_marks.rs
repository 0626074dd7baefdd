//! A request is judged by the mark that was in force when it was sent, and a run can be steered while it lasts.

use std::sync::Arc;

use anyhow::Result;
use stratus_tests::load::plant::{Reply, Server};
use stratus_tests::load::{Class, Handle, Load, Mix, Plan, Request, Target, Verdict};
use tokio::sync::{Mutex, Notify, mpsc};

/// A run of one client against a server that answers only when it is told by which generation.
struct Gated {
    load: Load,
    handle: Handle,
    arrived: Arc<Notify>,
    answers: mpsc::Sender<u32>,
    _server: Server,
}

impl Gated {
    async fn start(requests: u64) -> Result<Self> {
        let (answers, waiting) = mpsc::channel(1);
        let waiting = Arc::new(Mutex::new(waiting));
        let arrived = Arc::new(Notify::new());
        let signal = Arc::clone(&arrived);
        let server = Server::start_async(move |_| {
            let (waiting, signal) = (Arc::clone(&waiting), Arc::clone(&signal));
            async move {
                signal.notify_one();
                let generation = waiting.lock().await.recv().await;
                Reply::page(generation, b"page")
            }
        })
        .await?;
        let mix = Mix::new(vec![Request::get("/")])?;
        let load = Load::start(Plan::new(Target::new(server.address())?, mix).requests(requests))?;
        let handle = load.handle();
        Ok(Self {
            load,
            handle,
            arrived,
            answers,
            _server: server,
        })
    }

    /// Returns when the server has a request that it was not told yet how to answer.
    async fn sent(&self) {
        self.arrived.notified().await;
    }

    /// Answers the request that was sent, and returns when the next one was.
    async fn answer(&self, generation: u32) -> Result<()> {
        self.answers.send(generation).await?;
        self.sent().await;
        Ok(())
    }

    fn wrong(&self) -> u64 {
        self.handle.snapshot().failed_as(Class::WrongGeneration)
    }
}

#[tokio::test]
async fn an_old_answer_is_wrong_only_where_the_request_was_sent_after_the_mark() -> Result<()> {
    let run = Gated::start(9).await?;
    run.sent().await;
    run.answer(41).await?; // nothing is marked: anything is right
    run.handle.mark(42);
    run.answer(41).await?; // was sent before the mark
    run.handle.allow(43);
    run.answer(42).await?; // was sent under 42; the switch to 43 has not happened
    run.answer(43).await?; // was sent under 42; now it has
    run.handle.mark(43);
    run.answer(42).await?; // was sent under 42, answered late: right
    assert_eq!(
        run.handle.snapshot().counts.failed,
        0,
        "{:?}",
        run.handle.snapshot()
    );
    run.answer(42).await?; // was sent under 43: old code after the switch returned
    assert_eq!(run.wrong(), 1);
    run.answer(44).await?; // was sent under 43: newer, but nobody announced it
    assert_eq!(run.wrong(), 2);
    run.handle.mark(42); // a rollback
    run.answer(43).await?; // was sent before it
    assert_eq!(run.wrong(), 2);
    run.answers.send(43).await?; // was sent under 42: a newer number is as wrong

    let report = run.load.finish().await;
    assert_eq!(
        (report.counts.requests, report.counts.failed),
        (9, 3),
        "{report:?}"
    );
    assert_eq!(
        report.counts.connections, 1,
        "a wrong answer is no reason to reconnect"
    );
    let details: Vec<_> = report.failures[0]
        .examples
        .iter()
        .map(|one| &*one.detail)
        .collect();
    assert_eq!(
        details,
        [
            "answered by 42, sent when 43 was live",
            "answered by 44, sent when 43 was live",
            "answered by 43, sent when 42 was live",
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_stop_lets_what_is_in_flight_end_and_counts_it() -> Result<()> {
    let run = Gated::start(u64::MAX).await?;
    run.sent().await;
    let snapshot = run.handle.snapshot();
    assert_eq!(
        (
            snapshot.in_flight,
            snapshot.counts.requests,
            snapshot.finished
        ),
        (1, 0, false)
    );
    run.handle.stop();
    run.answers.send(42).await?;
    let report = run.load.finish().await;
    assert_eq!(
        (report.in_flight, report.counts.requests, report.finished),
        (0, 1, true)
    );
    assert_eq!(report.verdict, Verdict::Passed);
    assert!(
        !run.handle.wait_for(|counts| counts.requests > 1).await,
        "the run is over"
    );
    Ok(())
}

#[tokio::test]
async fn a_driver_can_wait_for_counts_while_the_run_lasts() -> Result<()> {
    let run = Gated::start(u64::MAX).await?;
    run.sent().await;
    let waiting = run
        .handle
        .wait_for(|counts| counts.generations.contains_key(&43));
    let (seen, answered) = tokio::join!(waiting, async {
        run.answer(42).await?;
        run.answer(43).await
    });
    answered?;
    assert!(seen);
    drop(run.load);
    assert!(
        !run.handle.wait_for(|counts| counts.requests > 99).await,
        "the run was dropped"
    );
    Ok(())
}

#[tokio::test]
async fn a_wait_for_what_never_comes_ends_with_the_run() -> Result<()> {
    let server = Server::start(|_| Reply::page(Some(1), b"page")).await?;
    let mix = Mix::new(vec![Request::get("/")])?;
    let load = Load::start(Plan::new(Target::new(server.address())?, mix).requests(3))?;
    assert!(!load.handle().wait_for(|counts| counts.requests > 3).await);
    assert_eq!(load.finish().await.counts.requests, 3);
    Ok(())
}
