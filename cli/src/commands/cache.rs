//! The commands that clear caches. Each succeeds where its cache is not configured, and waits for no operation.

pub mod all;
pub mod cdn;
pub mod cloudfront;
pub mod opcache;
pub mod redis;
pub mod varnish;

use stratus_proto::v1::{CacheKind, ClearReply, ClearRequest};

use crate::client::{SLOW_ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::render::caches;
use crate::session::Session;

/// Asks for a clear.
async fn ask(session: &Session<'_>, request: ClearRequest) -> Result<ClearReply, CliError> {
    let request = ClearRequest {
        environment: session.environment(),
        ..request
    };
    let client = session.connect().await?;
    answer(SLOW_ANSWER_LIMIT, client.caches().clear(request)).await
}

/// Prints how each cache fared; one that is not clear yet is a failure.
fn conclude(session: &mut Session<'_>, reply: &ClearReply, what: &str) -> Result<(), CliError> {
    if let Some(error) = caches::failure(reply) {
        if !session.globals.json {
            caches::print(session.out, reply, what);
        }
        return Err(error);
    }
    if session.globals.json {
        session.out.json(reply);
    } else {
        caches::print(session.out, reply, what);
    }
    Ok(())
}

/// Clears all of one kind.
async fn whole(session: &mut Session<'_>, kind: CacheKind, what: &str) -> Result<(), CliError> {
    let request = ClearRequest {
        kind: kind.into(),
        ..ClearRequest::default()
    };
    let reply = ask(session, request).await?;
    conclude(session, &reply, what)
}
