//! What the socket of one environment answers: a table that decides on every method, and the gate that holds requests
//! against it. What is not in the table is refused.
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

/// What a socket gives access to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of this host: the operator's socket.
    Host,
    /// This environment alone.
    Environment(EnvironmentName),
}

/// How far a method reaches on the socket of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// The socket's own environment: which is also the one that is meant where none is named.
    Own,
    /// Nothing: it is the operator's, because of this.
    Operator(&'static str),
}

/// Every method, by its path without `/stratus.v1.`.
const METHODS: [(&str, Reach); 29] = [
    ("Operations/Submit", Reach::Own),
    ("Operations/Watch", Reach::Own),
    ("Operations/Cancel", Reach::Own),
    ("Operations/Get", Reach::Own),
    ("Operations/List", Reach::Own),
    ("Operations/Resume", Reach::Own),
    (
        "Operations/Resolve",
        Reach::Operator("it vouches for the state of the host"),
    ),
    ("Environments/List", Reach::Own),
    ("Environments/Show", Reach::Own),
    (
        "Environments/Apply",
        Reach::Operator("it reads the configuration of all environments"),
    ),
    ("Environments/Status", Reach::Own),
    ("Environments/Diff", Reach::Own),
    ("Environments/SetMaintenance", Reach::Own),
    ("Environments/Database", Reach::Own),
    ("Environments/PhpOptions", Reach::Own),
    ("Releases/List", Reach::Own),
    ("Releases/Pin", Reach::Own),
    ("Releases/Unpin", Reach::Own),
    ("Nginx/Update", Reach::Own),
    ("Caches/Clear", Reach::Own),
    ("Caches/Invalidation", Reach::Own),
    ("Crons/List", Reach::Own),
    ("Crons/Logs", Reach::Own),
    ("Crons/Run", Reach::Own),
    ("Crons/Await", Reach::Own),
    ("Crons/Stop", Reach::Own),
    ("Crons/Start", Reach::Own),
    ("Crons/Idle", Reach::Own),
    (
        "Doctor/Check",
        Reach::Operator("it looks at the whole host"),
    ),
];

fn reach(path: &str) -> Reach {
    let method = path.strip_prefix("/stratus.v1.").unwrap_or(path);
    let found = METHODS.iter().find(|(known, _)| *known == method);
    found.map_or(Reach::Operator("it was not opened to environments"), |f| {
        f.1
    })
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
        match reach(request.uri().path()) {
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
    fn the_table_decides_on_every_method_of_every_service() {
        let mut table: Vec<_> = METHODS
            .iter()
            .map(|(method, _)| format!("/stratus.v1.{method}"))
            .collect();
        let mut all: Vec<_> = stratus_proto::METHODS.to_vec();
        table.sort();
        all.sort_unstable();
        assert_eq!(table, all);
    }

    #[test]
    fn a_method_that_nobody_decided_on_is_refused() {
        for path in [
            "/stratus.v1.Secrets/All",
            "Operations/Submit/",
            "/stratus.v2.Operations/Submit",
            "",
        ] {
            assert!(matches!(reach(path), Reach::Operator(_)), "{path}");
        }
        assert_eq!(reach("/stratus.v1.Operations/Submit"), Reach::Own);
    }

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
