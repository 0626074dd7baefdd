//! A run: its clients, what they share, and the handle to steer it by.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::marks::Marks;
use super::mix::Mix;
use super::outgoing::Catalogue;
use super::pace::Pace;
use super::plan::{Plan, PlanError};
use super::report::{Phase, Report};
use super::tally::{ClientKind, Counts, Ended, Tally};

/// A run under way. Dropped, it ends at once and what is in flight is not counted.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

/// Steers and observes a run; cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

/// What the clients of one run have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) address: SocketAddr,
    pub(crate) timeout: Duration,
    pub(crate) mix: Mix,
    pub(crate) catalogue: Catalogue,
    pub(crate) pace: Pace,
    pub(crate) marks: Marks,
    pub(crate) start: Instant,
    /// Tells this run's nonces from those of another.
    pub(crate) run: u32,
    begun: AtomicU64,
    tally: Mutex<Tally>,
    /// Woken at every end of a request.
    ended: Notify,
    /// Cancelled when the last client has ended, however it did.
    over: CancellationToken,
}

impl Load {
    /// Starts the clients on the current tokio runtime.
    pub fn start(plan: Plan) -> Result<Self, PlanError> {
        let plan = plan.validate()?;
        let shared = Arc::new(Shared {
            address: plan.target.address(),
            timeout: plan.timeout,
            catalogue: Catalogue::new(&plan.mix, &plan.host),
            mix: plan.mix,
            pace: Pace::new(plan.limit, plan.requests, plan.rate),
            marks: Marks::default(),
            start: Instant::now(),
            run: uuid::Uuid::new_v4().as_fields().0,
            begun: AtomicU64::new(0),
            tally: Mutex::default(),
            ended: Notify::new(),
            over: CancellationToken::new(),
        });
        let kinds = std::iter::repeat_n(ClientKind::KeepAlive, plan.keepalive)
            .chain(std::iter::repeat_n(ClientKind::OneShot, plan.oneshot));
        let mut clients = JoinSet::new();
        let going = Arc::new(shared.over.clone().drop_guard());
        for (number, kind) in kinds.enumerate() {
            let client = Client::new(Arc::clone(&shared), kind, number);
            let going = Arc::clone(&going);
            clients.spawn(async move {
                client.run().await;
                drop(going);
            });
        }
        Ok(Self { shared, clients })
    }

    /// A handle to steer the run by.
    pub fn handle(&self) -> Handle {
        Handle {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Waits until the run has ended by its limit, its number of requests, or [`Handle::stop`].
    ///
    /// Takes one request's time longer than the limit at most.
    ///
    /// # Panics
    ///
    /// Where a client panicked: a run that lost a client must not pass.
    pub async fn finish(mut self) -> Report {
        while let Some(client) = self.clients.join_next().await {
            if let Err(error) = client {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        self.shared.report(Phase::Finished)
    }

    /// Stops the run, lets what is in flight end, and reports.
    pub async fn stop(self) -> Report {
        self.shared.pace.stop();
        self.finish().await
    }
}

impl Handle {
    /// Says that a request sent from now on must be answered by `generation`, until the next
    /// [`Handle::allow`] or mark. Newer generations are as wrong as older ones.
    pub fn mark(&self, generation: u32) {
        self.shared.marks.mark(generation);
    }

    /// Says, before a switch begins, that `generation` may answer from now on. The next mark ends this.
    pub fn allow(&self, generation: u32) {
        self.shared.marks.allow(generation);
    }

    /// Lets no further request begin.
    pub fn stop(&self) {
        self.shared.pace.stop();
    }

    /// What was counted so far.
    pub fn snapshot(&self) -> Report {
        self.shared.report(Phase::Running)
    }

    /// Waits until the counts are as wanted; false where the run ended before they were, so the
    /// run's own limit bounds this.
    pub async fn wait_for(&self, mut wanted: impl FnMut(&Counts) -> bool) -> bool {
        loop {
            let ended = self.shared.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if wanted(&self.shared.tally().counts) {
                return true;
            }
            tokio::select! {
                () = ended => {}
                () = self.shared.over.cancelled() => return wanted(&self.shared.tally().counts),
            }
        }
    }
}

impl Shared {
    pub(crate) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, ended: Ended<'_>) {
        self.tally().record(ended);
        self.ended.notify_waiters();
    }

    pub(crate) fn connected(&self) {
        self.tally().counts.connections += 1;
    }

    pub(crate) fn reconnected(&self) {
        self.tally().counts.reconnects += 1;
    }

    fn report(&self, phase: Phase) -> Report {
        let tally = self.tally().clone();
        let begun = self.begun.load(Ordering::Relaxed);
        let in_flight = begun.saturating_sub(tally.counts.requests);
        Report::new(&tally, phase, self.start.elapsed(), in_flight)
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
