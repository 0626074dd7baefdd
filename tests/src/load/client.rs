//! One client: takes the next request, sends it, judges the answer, counts it, for as long as the run lasts.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::{Answer, Keep};
use super::connection::{Connection, Idle};
use super::failure::{Class, Failure};
use super::marks::Mark;
use super::mix::Check;
use super::outgoing::{Outgoing, Prepared};
use super::run::Shared;
use super::tally::{ClientKind, Ended};

/// How long a client waits after nobody listened, so as not to spend the CPU that the server needs to start.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(20);

/// A client and what it keeps between two requests.
#[derive(Debug)]
pub(crate) struct Client {
    shared: Arc<Shared>,
    kind: ClientKind,
    number: usize,
    sent: usize,
    connection: Option<Connection>,
    outgoing: Outgoing,
    moment: Moment,
}

/// Where in an exchange a client is, for the detail of a timeout.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Connecting,
    Exchanging { reused: bool },
}

impl Client {
    pub(crate) fn new(shared: Arc<Shared>, kind: ClientKind, number: usize) -> Self {
        Self {
            shared,
            kind,
            number,
            sent: 0,
            connection: None,
            outgoing: Outgoing::default(),
            moment: Moment::Connecting,
        }
    }

    /// Sends until the run is over.
    pub(crate) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        while shared.pace.admit().await {
            let turn = shared.mix.turn(self.number + self.sent);
            let refused = self.one(&shared.catalogue.prepared[turn], &shared).await;
            if refused && !shared.pace.pause(PAUSE_AFTER_REFUSAL).await {
                return;
            }
        }
    }

    /// Sends one request and counts what became of it; true where nobody listened.
    async fn one(&mut self, prepared: &Prepared, shared: &Shared) -> bool {
        self.sent += 1;
        let nonce = format!("{:08x}{:04x}{:012x}", shared.run, self.number, self.sent);
        prepared.write(&nonce, self.kind == ClientKind::OneShot, &mut self.outgoing);
        shared.begin();
        let began = Instant::now();
        self.moment = Moment::Connecting;
        let attempt = self.attempt(prepared, shared);
        let attempted = tokio::time::timeout(shared.timeout, attempt).await;
        let reused = matches!(self.moment, Moment::Exchanging { reused: true });
        let arrived = match attempted {
            Ok(arrived) => arrived,
            Err(_) => Err(self.timed_out(shared.timeout)),
        };
        let (mut raced, mut nobody) = (false, false);
        if let Err(failure) = &arrived {
            raced = self
                .connection
                .as_ref()
                .is_some_and(|kept| kept.raced(failure));
            nobody = failure.class == Class::Refused;
            self.connection = None;
        }
        // a whole answer leaves the connection as it is, right or wrong: so do browsers
        let outcome = arrived.and_then(|(mark, answer)| {
            judge(prepared, &nonce, shared, mark, &answer).map(|()| answer.generation)
        });
        shared.end(Ended {
            client: self.kind,
            kind: prepared.request.kind,
            path: &prepared.request.path,
            nonce: &nonce,
            reused,
            raced,
            since_start: began.duration_since(shared.start),
            began,
            outcome,
        });
        nobody
    }

    /// One exchange, on the kept connection where that still stands. Returns the mark in force when it was sent.
    async fn attempt(
        &mut self,
        prepared: &Prepared,
        shared: &Shared,
    ) -> Result<(Option<Mark>, Answer), Failure> {
        match self.connection.as_ref().map(Connection::look) {
            None | Some(Idle::Open) => {}
            Some(Idle::Closed) => {
                self.connection = None;
                shared.reconnected();
            }
            Some(Idle::Unasked) => {
                return Err(Failure::new(
                    Class::Malformed,
                    "bytes that no request had asked for",
                ));
            }
        }
        let connection = if let Some(connection) = self.connection.take() {
            connection
        } else {
            let connection = Connection::open(shared.address).await?;
            shared.connected();
            connection
        };
        self.moment = Moment::Exchanging {
            reused: connection.reused(),
        };
        let connection = self.connection.insert(connection);
        let keep = match prepared.request.check {
            Check::Nothing => Keep::Nothing,
            Check::Echo | Check::Digest => Keep::Text,
        };
        let mark = shared.marks.in_force();
        let block = &shared.catalogue.block;
        let answer = connection.exchange(&self.outgoing, block, keep).await?;
        if self.kind == ClientKind::OneShot || !answer.reusable {
            self.connection = None;
        }
        Ok((mark, answer))
    }

    fn timed_out(&self, timeout: Duration) -> Failure {
        let state = match (&self.moment, &self.connection) {
            (Moment::Exchanging { .. }, Some(connection)) => connection.progress(),
            _ => "while connecting".to_owned(),
        };
        Failure::new(
            Class::Timeout,
            format!("after {} ms, {state}", timeout.as_millis()),
        )
    }
}

/// Whether an answer that arrived whole is the one that was due.
fn judge(
    prepared: &Prepared,
    nonce: &str,
    shared: &Shared,
    mark: Option<Mark>,
    answer: &Answer,
) -> Result<(), Failure> {
    let (status, expected) = (answer.status, &prepared.request.status);
    if !expected.contains(&status) {
        let class = match status {
            500.. => Class::ServerError(status),
            _ => Class::UnexpectedStatus(status),
        };
        let by = answer
            .generation
            .map_or("without a generation".to_owned(), |generation| {
                format!("by generation {generation}")
            });
        return Err(Failure::new(class, format!("{status} {by}")));
    }
    if let (Some(generation), Some(mark)) = (answer.generation, mark)
        && !shared.marks.permits(Some(mark), generation)
    {
        let live = mark.generation();
        let detail = format!("answered by {generation}, sent when {live} was live");
        return Err(Failure::new(Class::WrongGeneration, detail));
    }
    if let Some(needle) = prepared.needle(nonce)
        && !answer
            .text
            .windows(needle.len())
            .any(|window| window == needle.as_bytes())
    {
        let detail = format!("{needle} is not in the answer");
        return Err(Failure::new(Class::WrongContent, detail));
    }
    Ok(())
}
