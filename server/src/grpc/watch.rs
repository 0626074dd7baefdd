//! Follows an operation: its journal from any number on, then what is appended, until it is finished.

use std::time::Duration;

use stratus_core::operation::Event;
use stratus_core::store::Operation;
use stratus_proto::v1::{self as proto, WatchReply};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::engine::Engine;
use crate::engine::feed::Notice;
use crate::grpc::convert::{to_event, to_operation, to_progress};
use crate::grpc::status;

/// Replies that may wait for a slow client.
const BUFFER: usize = 64;
/// The journal is read at least this often, whatever the feed says.
const POLL: Duration = Duration::from_secs(1);

/// The events of `operation` after number `after`. The task ends with the operation, or when the client goes away.
pub fn follow(
    engine: Engine,
    operation: Operation,
    after: u64,
) -> impl Stream<Item = Result<WatchReply, Status>> + Send {
    let (replies, stream) = mpsc::channel(BUFFER);
    tokio::spawn(async move {
        if let Err(status) = send_all(&engine, &operation, after, &replies).await {
            // A client that is gone needs no error.
            let _ = replies.send(Err(status)).await;
        }
    });
    ReceiverStream::new(stream)
}

async fn send_all(
    engine: &Engine,
    operation: &Operation,
    mut after: u64,
    replies: &mpsc::Sender<Result<WatchReply, Status>>,
) -> Result<(), Status> {
    let mut notices = engine.feed().watch();
    loop {
        let store = engine.store();
        let entries = store
            .journal(&operation.id, after)
            .await
            .map_err(|e| status::store(&e))?;
        for entry in &entries {
            after = entry.number;
            let mut reply = to_event(operation, entry);
            let finished = matches!(entry.event, Event::Finished { .. });
            // A stuck operation that was resumed has an older end in its journal: only the last one counts, and only if
            // nobody helped it since.
            let mut last = finished && entries.last().is_some_and(|e| e.number == entry.number);
            if last {
                let report = report(engine, operation).await?;
                last = report.outcome() != proto::Outcome::Running;
                reply.operation = last.then_some(report);
            }
            if replies.send(Ok(reply)).await.is_err() || last {
                return Ok(());
            }
        }
        tokio::select! {
            () = replies.closed() => return Ok(()),
            notice = tokio::time::timeout(POLL, wake(&mut notices, operation)) => {
                if let Ok(Some(progress)) = notice && replies.send(Ok(progress)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// Waits for the next notice about `operation`; progress comes back as a reply.
async fn wake(
    notices: &mut tokio::sync::broadcast::Receiver<Notice>,
    operation: &Operation,
) -> Option<WatchReply> {
    loop {
        match notices.recv().await {
            Ok(Notice::Appended(id)) if id == operation.id => return None,
            Ok(Notice::Progress(id, counts)) if id == operation.id => {
                return Some(to_progress(counts, 0));
            }
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return None,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

async fn report(
    engine: &Engine,
    operation: &Operation,
) -> Result<stratus_proto::v1::Operation, Status> {
    let store = engine.store();
    let found = store
        .operation(&operation.id)
        .await
        .map_err(|e| status::store(&e))?;
    let entries = store
        .journal(&operation.id, 0)
        .await
        .map_err(|e| status::store(&e))?;
    Ok(to_operation(found.as_ref().unwrap_or(operation), &entries))
}
