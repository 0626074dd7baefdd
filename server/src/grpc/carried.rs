//! Requests that change something are carried out to their end, whoever still waits: a client that is killed takes its
//! connection with it, and with that the future that answers it. What was half done would hold its environment for ever.

use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::codegen::http::{Request, Response};
use tower::{Layer, Service};

use super::methods::{self, Effect};

/// Requests that one socket carries out at once: those whose clients are gone count as well.
const AT_ONCE: usize = 256;

/// Carries out the requests of one socket.
#[derive(Debug, Clone)]
pub(super) struct Carrier {
    room: Arc<Semaphore>,
    tracker: TaskTracker,
}

impl Carrier {
    /// Nothing is under way.
    pub(super) fn new() -> Self {
        Self {
            room: Arc::new(Semaphore::new(AT_ONCE)),
            tracker: TaskTracker::new(),
        }
    }

    /// Waits until nothing is under way, `limit` at most.
    pub(super) async fn idle(&self, limit: Duration) {
        self.tracker.close();
        if tokio::time::timeout(limit, self.tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!(?limit, "requests are still being carried out");
        }
    }
}

impl<S> Layer<S> for Carrier {
    type Service = Carried<S>;

    fn layer(&self, inner: S) -> Carried<S> {
        Carried {
            carrier: self.clone(),
            inner,
        }
    }
}

/// Services whose requests are carried out to their end.
#[derive(Debug, Clone)]
pub(super) struct Carried<S> {
    carrier: Carrier,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Carried<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Default + Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<R>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let effect = methods::at(request.uri().path()).effect;
        let answer = self.inner.call(request);
        if effect == Effect::Reads {
            return answer.boxed();
        }
        let Ok(place) = self.carrier.room.clone().try_acquire_owned() else {
            let full = Status::resource_exhausted("the server has too much to do; try again");
            return ready(Ok(full.into_http())).boxed();
        };
        let carried = self.carrier.tracker.spawn(async move {
            let _place = place;
            answer.await
        });
        let answered = async move {
            carried.await.unwrap_or_else(|ended| {
                tracing::error!(%ended, "a request was not carried out");
                Ok(Status::internal("the server failed; its log says why").into_http())
            })
        };
        answered.boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;
    use tower::service_fn;

    use super::*;

    const SUBMIT: &str = "/stratus.v1.Operations/Submit";

    fn asked(path: &str) -> Request<()> {
        Request::builder().uri(path).body(()).unwrap()
    }

    /// A service that answers when `go` is told, and counts what it finished.
    fn slow(
        carrier: &Carrier,
        go: &Arc<Notify>,
        done: &Arc<AtomicUsize>,
    ) -> impl Service<Request<()>, Response = Response<String>, Error = Infallible> {
        let (go, done) = (go.clone(), done.clone());
        carrier.layer(service_fn(move |_: Request<()>| {
            let (go, done) = (go.clone(), done.clone());
            async move {
                go.notified().await;
                done.fetch_add(1, Ordering::Relaxed);
                Ok(Response::new(String::new()))
            }
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn what_changes_something_is_carried_out_though_its_client_is_gone() {
        for (path, expected) in [(SUBMIT, 1), ("/stratus.v1.Operations/Watch", 0)] {
            let (carrier, go, done) = (Carrier::new(), Arc::default(), Arc::default());
            let mut service = slow(&carrier, &go, &done);
            let answer = service.call(asked(path));
            assert!(
                tokio::time::timeout(Duration::from_secs(1), answer)
                    .await
                    .is_err()
            );
            go.notify_one();
            carrier.idle(Duration::from_secs(1)).await;
            assert_eq!(done.load(Ordering::Relaxed), expected, "{path}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn abandoned_requests_have_a_bound() {
        let (carrier, go, done) = (Carrier::new(), Arc::default(), Arc::default());
        let mut service = slow(&carrier, &go, &done);
        for _ in 0..AT_ONCE {
            drop(service.call(asked(SUBMIT)));
        }
        let refused = service.call(asked(SUBMIT)).await.unwrap();
        let status = refused.headers().get("grpc-status").unwrap();
        assert_eq!(status, "8", "resource exhausted");
    }
}
