//! Submits an operation and follows it to its end, over lost answers, broken connections and restarts of the server.

use std::time::Duration;

use stratus_proto::v1::{
    GetOperationRequest, Operation, Outcome, Phase, SubmitReply, SubmitRequest, WatchReply,
    WatchRequest,
};
use tokio::time::Instant;
use tonic::{Response, Status};

use crate::address::Address;
use crate::client::{ANSWER_LIMIT, Client, answer, within};
use crate::error::CliError;
use crate::status;

/// The first pause before a connection is tried again; it doubles up to `LONGEST_PAUSE`.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Where the events of an operation go.
pub trait View {
    /// Something happened to the operation.
    fn event(&mut self, event: &WatchReply);
    /// Something happened to the connection.
    fn notice(&mut self, text: &str);
}

/// Follows operations of one server.
pub struct Follower<'a> {
    address: &'a Address,
    limit: Duration,
    view: &'a mut dyn View,
    goes_on: &'static str,
    lost_since: Option<Instant>,
    pause: Duration,
}

/// Why a conversation ended early.
enum Broken {
    /// The connection broke, or the server is not there.
    Lost,
    /// The server refused.
    Refused(CliError),
}

// === impl Follower ===

impl<'a> Follower<'a> {
    /// Waits up to `limit` for a server that went away.
    pub fn new(address: &'a Address, limit: Duration, view: &'a mut dyn View) -> Self {
        Self {
            address,
            limit,
            view,
            goes_on: "the operation",
            lost_since: None,
            pause: FIRST_PAUSE,
        }
    }

    /// A follower of what is no operation. Shape: `the cron`.
    #[must_use]
    pub fn of(mut self, what: &'static str) -> Self {
        self.goes_on = what;
        self
    }

    /// Asks how something stands that lives in the server, once more for each answer that is lost.
    pub async fn ask<T>(
        &mut self,
        question: impl AsyncFn(Client) -> Result<Response<T>, Status>,
    ) -> Result<T, CliError> {
        loop {
            let attempt = match Client::connect(self.address).await {
                Ok(client) => within(ANSWER_LIMIT, question(client)).await,
                Err(_) => Err(Status::unavailable("")),
            };
            match attempt.map_err(|status| ended(&status)) {
                Ok(reply) => {
                    self.found();
                    return Ok(reply);
                }
                Err(Broken::Refused(error)) => return Err(error),
                Err(Broken::Lost) if self.wait().await => {}
                Err(Broken::Lost) => {
                    let limit = humantime::format_duration(self.limit);
                    return Err(CliError::failed(format!(
                        "the server did not come back within {limit}, {} goes on when it does",
                        self.goes_on
                    ))
                    .hint("start it with: systemctl start stratusd"));
                }
            }
        }
    }

    /// Submits an operation; when the answer is lost the same request is submitted again.
    pub async fn submit(&mut self, request: &SubmitRequest) -> Result<SubmitReply, CliError> {
        // A server that is not there in the first place is a failure at once.
        let mut client = Some(Client::connect(self.address).await?);
        loop {
            let attempt = match client.take() {
                Some(client) => submit_once(&client, request).await,
                None => match Client::connect(self.address).await {
                    Ok(client) => submit_once(&client, request).await,
                    Err(_) => Err(Broken::Lost),
                },
            };
            match attempt {
                Ok(reply) => {
                    self.found();
                    return Ok(reply);
                }
                Err(Broken::Refused(error)) => return Err(error),
                Err(Broken::Lost) if self.wait().await => {}
                Err(Broken::Lost) => {
                    return Err(CliError::failed(
                        "the server went away before it answered and did not come back",
                    )
                    .hint("start it with: systemctl start stratusd")
                    .hint("then see what was begun with: stratus operations.list"));
                }
            }
        }
    }

    /// Follows an operation until it is finished.
    pub async fn watch(&mut self, operation: &str) -> Result<Operation, CliError> {
        let mut after = 0;
        loop {
            match self.watch_once(operation, &mut after).await {
                Ok(finished) => return Ok(finished),
                Err(Broken::Refused(error)) => return Err(error),
                Err(Broken::Lost) if self.wait().await => {}
                Err(Broken::Lost) => return Err(CliError::lost(operation, self.limit)),
            }
        }
    }

    async fn watch_once(&mut self, id: &str, after: &mut u64) -> Result<Operation, Broken> {
        let client = Client::connect(self.address)
            .await
            .map_err(|_| Broken::Lost)?;
        let request = WatchRequest {
            operation: id.into(),
            after: *after,
        };
        let mut operations = client.operations();
        let opening = within(ANSWER_LIMIT, operations.watch(request)).await;
        let mut events = opening.map_err(|status| ended(&status))?;
        self.found();
        loop {
            let next = events.message().await.map_err(|status| ended(&status))?;
            let event = next.ok_or(Broken::Lost)?;
            // Told again after a reconnect.
            if event.number > 0 && event.number <= *after {
                continue;
            }
            *after = event.number.max(*after);
            self.pause = FIRST_PAUSE;
            self.view.event(&event);
            if event.phase() == Phase::Finished {
                let got = if let Some(operation) = event.operation {
                    operation
                } else {
                    let request = GetOperationRequest {
                        operation: id.into(),
                    };
                    let got = answer(ANSWER_LIMIT, operations.get(request)).await;
                    got.map_err(Broken::Refused)?
                };
                // One that was stuck and is helped goes on: the end of before is not its end.
                if got.outcome() != Outcome::Running {
                    return Ok(got);
                }
            }
        }
    }

    /// Waits a little before the next attempt; false when the time is over.
    async fn wait(&mut self) -> bool {
        let since = *self.lost_since.get_or_insert_with(|| {
            let limit = humantime::format_duration(self.limit);
            self.view.notice(&format!(
                "the connection to the server was lost, waiting up to {limit} for it; \
                 {} lives in the server and goes on",
                self.goes_on
            ));
            Instant::now()
        });
        let left = self.limit.saturating_sub(since.elapsed());
        if left.is_zero() {
            return false;
        }
        tokio::time::sleep(self.pause.min(left)).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }

    fn found(&mut self) {
        if self.lost_since.take().is_some() {
            self.view.notice("connected again");
        }
    }
}

async fn submit_once(client: &Client, request: &SubmitRequest) -> Result<SubmitReply, Broken> {
    let mut operations = client.operations();
    let answer = within(ANSWER_LIMIT, operations.submit(request.clone())).await;
    answer.map_err(|status| match status.code() {
        _ if status::broken(&status) => Broken::Lost,
        // Nobody knows whether it arrived; submitted again it is the same operation.
        tonic::Code::DeadlineExceeded => Broken::Lost,
        _ => Broken::Refused(status::to_error(&status)),
    })
}

fn ended(status: &tonic::Status) -> Broken {
    if status::resumable(status) {
        Broken::Lost
    } else {
        Broken::Refused(status::to_error(status))
    }
}
