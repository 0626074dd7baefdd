//! `cache.cloudfront.invalidate`: the distribution, or parts of it; returns when the invalidation has begun.

use std::time::Duration;

use clap::Args;
use stratus_proto::v1::{CacheKind, ClearReply, ClearRequest, InvalidationRequest};
use tokio::time::{Instant, sleep};

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::session::Session;

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
        if self.wait {
            wait(session, &reply).await?;
        }
        super::conclude(session, &reply, "CloudFront")
    }
}

/// Waits until every invalidation of the reply is done.
async fn wait(session: &Session<'_>, reply: &ClearReply) -> Result<(), CliError> {
    let deadline = Instant::now() + WAIT_MAX;
    let client = session.connect().await?;
    for report in reply.caches.iter().filter(|r| !r.receipt.is_empty()) {
        loop {
            let request = InvalidationRequest {
                environment: reply.environment.clone(),
                receipt: report.receipt.clone(),
            };
            let mut caches = client.caches();
            if answer(ANSWER_LIMIT, caches.invalidation(request))
                .await?
                .done
            {
                break;
            }
            if Instant::now() + ROUND > deadline {
                return Err(CliError::failed(format!(
                    "invalidation {} has begun and is not done after {} minutes",
                    report.receipt,
                    WAIT_MAX.as_secs() / 60
                ))
                .hint("look at it in the console of CloudFront"));
            }
            sleep(ROUND).await;
        }
    }
    Ok(())
}
