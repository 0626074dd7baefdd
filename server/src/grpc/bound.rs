//! What the socket of one environment answers: the gate that holds requests against the table of all methods. What is not
//! in the table is refused.
//!
//! ```text
//! request ──► gate: may this process call this method? ──► service, which sees the one environment only
//! ```
//!
//! That a service sees no other environment is the business of `Api::environment`, `Api::all` and `Api::stored`.

use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use stratus_core::EnvironmentName;
use tonic::Status;
use tonic::codegen::http::{Request, Response};
use tonic::transport::server::UdsConnectInfo;
use tower::{Layer, Service};

use super::methods::{self, Reach};

/// What a socket gives access to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of this host: the operator's socket.
    Host,
    /// This environment alone.
    Environment(EnvironmentName),
}

/// That a request named another environment than the socket's.
pub(super) fn other(own: &EnvironmentName, named: &str) -> Status {
    Status::permission_denied(format!(
        "this socket is bound to the environment {own}: {named:?} cannot be reached through it; call stratus on the host"
    ))
}

/// The gate of one environment's socket.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    /// The environment.
    pub environment: EnvironmentName,
    /// Who may call besides root, as a number: the owner of its code.
    pub owner: u32,
}

impl Bound {
    /// Why `request` does not pass; none where it does.
    fn refusal<B>(&self, request: &Request<B>) -> Option<Status> {
        let peer = request.extensions().get::<UdsConnectInfo>();
        let uid = peer.and_then(|info| info.peer_cred).map(|peer| peer.uid());
        // The socket's mode says the same; a mode can be changed by hand.
        if uid.is_none_or(|uid| uid != 0 && uid != self.owner) {
            return Some(Status::permission_denied(format!(
                "the socket of {} is for user {} and root",
                self.environment, self.owner
            )));
        }
        match methods::at(request.uri().path()).reach {
            Reach::Own => None,
            Reach::Operator(why) => Some(Status::permission_denied(format!(
                "this socket is bound to the environment {}, and this is for the operator: {why}; call stratus on the host",
                self.environment
            ))),
        }
    }
}

impl<S> Layer<S> for Bound {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate {
            bound: self.clone(),
            inner,
        }
    }
}

/// The services behind a gate.
#[derive(Debug, Clone)]
pub(super) struct Gate<S> {
    bound: Bound,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Gate<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Either<Ready<Result<Response<R>, S::Error>>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.bound.refusal(&request) {
            Some(status) => Either::Left(ready(Ok(status.into_http()))),
            None => Either::Right(self.inner.call(request)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_known_does_not_pass() {
        let bound = Bound {
            environment: "shop".parse().unwrap(),
            owner: 1000,
        };
        let request = Request::builder().uri("/stratus.v1.Operations/List");
        let refused = bound.refusal(&request.body(()).unwrap()).unwrap();
        assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    }
}
