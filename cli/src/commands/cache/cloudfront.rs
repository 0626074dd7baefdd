//! `cache.cloudfront.invalidate`: the distribution, or parts of it; returns when the invalidation has begun.

use std::time::Duration;

use clap::Args;
use stratus_proto::v1::{CacheKind, ClearReply, ClearRequest, InvalidationRequest};
use tokio::time::{Instant, sleep};
use tonic::Status;

use crate::client::{ANSWER_LIMIT, within};
use crate::error::CliError;
use crate::render::caches;
use crate::session::Session;
use crate::status;

const WHAT: &str = "CloudFront";
const LOOK: &str = "look at it in the console of CloudFront";
/// How often the provider is asked.
const ROUND: Duration = Duration::from_secs(3);
/// It says that an invalidation takes up to a quarter of an hour.
const WAIT_MAX: Duration = Duration::from_mins(20);

/// Invalidate the distribution of the CDN of AWS, or parts of it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus cache.cloudfront.invalidate --path '/media/*' --wait")]
pub struct Invalidate {
    /// Only this path, with * at its end for all below; may be given again
    #[arg(long, value_name = "PATH")]
    path: Vec<String>,
    /// Wait until the edges have heard of it, which can take minutes
    #[arg(long)]
    wait: bool,
}

impl Invalidate {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let request = ClearRequest {
            kind: CacheKind::Cloudfront.into(),
            paths: self.path,
            ..ClearRequest::default()
        };
        let reply = super::ask(session, request).await?;
        if self.wait
            && let Err(error) = wait(session, &reply).await
        {
            // What was begun is told, however the wait for it ended.
            if !session.globals.json {
                caches::print(session.out, &reply, WHAT);
            }
            return Err(error.report(serde_json::to_value(&reply).unwrap_or_default()));
        }
        super::conclude(session, &reply, WHAT)
    }
}

/// Waits until every invalidation of the reply is done.
async fn wait(session: &Session<'_>, reply: &ClearReply) -> Result<(), CliError> {
    let deadline = Instant::now() + WAIT_MAX;
    let client = session.connect().await?;
    for report in reply.caches.iter().filter(|r| !r.receipt.is_empty()) {
        let receipt = &report.receipt;
        loop {
            let request = InvalidationRequest {
                environment: reply.environment.clone(),
                receipt: receipt.clone(),
            };
            let last = match within(ANSWER_LIMIT, client.caches().invalidation(request)).await {
                Ok(answer) if answer.done => break,
                Ok(_) => None,
                // The provider is busy, or the server is being restarted: the invalidation goes on.
                Err(status) if status::resumable(&status) => Some(status),
                Err(status) => return Err(unknown(receipt, &status)),
            };
            if Instant::now() + ROUND > deadline {
                return Err(match last {
                    Some(status) => unknown(receipt, &status),
                    None => CliError::failed(format!(
                        "invalidation {receipt} has begun and is not done after {} minutes",
                        WAIT_MAX.as_secs() / 60
                    ))
                    .hint(LOOK),
                });
            }
            sleep(ROUND).await;
        }
    }
    Ok(())
}

/// That nobody says how an invalidation fares.
fn unknown(receipt: &str, status: &Status) -> CliError {
    let why = status::to_error(status).line();
    let why = why.trim_start_matches("ERROR: Error: ");
    CliError::failed(format!(
        "invalidation {receipt} has begun, and it is not known whether it is done: {why}"
    ))
    .hint(LOOK)
}
