//! Visitors who keep their connections and post without a pause, and notice every answer that is not what it should be.
//!
//! Small on purpose: it knows the answers of [`crate::fastcgi`], and lives in a test's own process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use anyhow::Result;
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::fastcgi::{Echo, digest};
use crate::nginx::{Bench, Door, Kept};

/// The visitors, until they are asked what they saw.
pub struct Crowd {
    visitors: JoinSet<Vec<String>>,
    leave: CancellationToken,
    facts: Arc<Facts>,
}

#[derive(Default)]
struct Facts {
    answers: AtomicU64,
    oldest: AtomicU32,
}

impl Crowd {
    /// Lets `count` visitors in.
    pub fn enter(bench: &Bench, count: u32) -> Self {
        let (facts, leave) = (Arc::<Facts>::default(), CancellationToken::new());
        let mut visitors = JoinSet::new();
        for number in 0..count {
            visitors.spawn(visit(bench.door(), facts.clone(), leave.clone(), number));
        }
        Self {
            visitors,
            leave,
            facts,
        }
    }

    /// Answers so far.
    pub fn answers(&self) -> u64 {
        self.facts.answers.load(Ordering::SeqCst)
    }

    /// Waits for so many answers more, 20 s at most.
    pub async fn wait_for(&self, more: u64) {
        let goal = self.answers() + more;
        for _ in 0..4000 {
            if self.answers() >= goal {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("no {more} answers in 20 s");
    }

    /// From now on, an answer of an older generation to a request that is not sent yet is a failure.
    pub fn expect_from(&self, generation: u32) {
        self.facts.oldest.store(generation, Ordering::SeqCst);
    }

    /// Lets them go; answers how many answers they had, and everything that was wrong.
    pub async fn leave(mut self) -> (u64, Vec<String>) {
        self.leave.cancel();
        let mut wrong = Vec::new();
        while let Some(seen) = self.visitors.join_next().await {
            wrong.extend(seen.expect("a visitor does not panic"));
        }
        (self.facts.answers.load(Ordering::SeqCst), wrong)
    }
}

async fn visit(
    door: Door,
    facts: Arc<Facts>,
    leave: CancellationToken,
    number: u32,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut connection: Option<Kept> = None;
    let mut turn = 0_u64;
    while !leave.is_cancelled() {
        // nginx may have closed it in good order while it was idle.
        let idle = match connection.take() {
            Some(mut kept) => kept.is_open().await.then_some(kept),
            None => None,
        };
        let opened = match idle {
            Some(kept) => Ok(kept),
            None => door.open().await,
        };
        let mut kept = match opened {
            Ok(kept) => kept,
            Err(error) => {
                wrong.push(format!("connect: {error:#}"));
                continue;
            }
        };
        turn += 1;
        let oldest = facts.oldest.load(Ordering::SeqCst);
        let body = Bytes::from(format!("{number} {turn} ").repeat(40));
        match post(&mut kept, body, oldest).await {
            Ok(()) => connection = Some(kept),
            Err(error) => wrong.push(format!("{error:#}")),
        }
        facts.answers.fetch_add(1, Ordering::SeqCst);
    }
    wrong
}

async fn post(kept: &mut Kept, body: Bytes, oldest: u32) -> Result<()> {
    let reply = kept.post("/index.php", body.clone()).await?;
    anyhow::ensure!(reply.status == 200, "status {}", reply.status);
    let generation = reply.generation().unwrap_or(0);
    anyhow::ensure!(
        generation >= oldest,
        "generation {generation} answers after {oldest} was live"
    );
    let echo: Echo = serde_json::from_slice(&reply.body)?;
    anyhow::ensure!(echo.digest == digest(&body), "another body arrived");
    Ok(())
}
