//! Connections to the server: one unix socket, the services, and a limit for every answer.

use std::error::Error;
use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use stratus_proto::v1::caches_client::CachesClient;
use stratus_proto::v1::crons_client::CronsClient;
use stratus_proto::v1::doctor_client::DoctorClient;
use stratus_proto::v1::environments_client::EnvironmentsClient;
use stratus_proto::v1::nginx_client::NginxClient;
use stratus_proto::v1::operations_client::OperationsClient;
use stratus_proto::v1::releases_client::ReleasesClient;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

use crate::address::Address;
use crate::error::CliError;
use crate::status;

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long the server may take to answer a question.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How long it may take where it tests nginx or looks at the host first.
pub const SLOW_ANSWER_LIMIT: Duration = Duration::from_mins(2);
/// A server that does not answer pings for this long is gone.
const PING_LIMIT: Duration = Duration::from_secs(20);
/// How often a server is pinged while nothing else comes.
const PING_EVERY: Duration = Duration::from_secs(10);
/// The largest answer: a list of operations with everything their snapshots rewrote.
const ANSWER_BYTES: usize = 64 << 20;

/// A connection to a server.
#[derive(Debug, Clone)]
pub struct Client(Channel);

impl Client {
    /// Connects; a socket that does not take the connection is told apart by why.
    pub async fn connect(address: &Address) -> Result<Self, CliError> {
        let path = address.path().to_owned();
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://stratus")
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_LIMIT)
            .keep_alive_while_idle(true);
        let connecting = endpoint.connect_with_connector(connector);
        match tokio::time::timeout(CONNECT_LIMIT, connecting).await {
            Ok(Ok(channel)) => Ok(Self(channel)),
            Ok(Err(refused)) => Err(CliError::connect(address.path(), &io_cause(&refused))),
            Err(_) => Err(CliError::connect(
                address.path(),
                &io::Error::from(io::ErrorKind::TimedOut),
            )),
        }
    }

    /// Operations.
    pub fn operations(&self) -> OperationsClient<Channel> {
        OperationsClient::new(self.0.clone()).max_decoding_message_size(ANSWER_BYTES)
    }

    /// Environments.
    pub fn environments(&self) -> EnvironmentsClient<Channel> {
        EnvironmentsClient::new(self.0.clone()).max_decoding_message_size(ANSWER_BYTES)
    }

    /// Releases.
    pub fn releases(&self) -> ReleasesClient<Channel> {
        ReleasesClient::new(self.0.clone()).max_decoding_message_size(ANSWER_BYTES)
    }

    /// nginx.
    pub fn nginx(&self) -> NginxClient<Channel> {
        NginxClient::new(self.0.clone())
    }

    /// Caches.
    pub fn caches(&self) -> CachesClient<Channel> {
        CachesClient::new(self.0.clone())
    }

    /// Crons and workers.
    pub fn crons(&self) -> CronsClient<Channel> {
        CronsClient::new(self.0.clone()).max_decoding_message_size(ANSWER_BYTES)
    }

    /// The doctor.
    pub fn doctor(&self) -> DoctorClient<Channel> {
        DoctorClient::new(self.0.clone())
    }
}

/// Awaits an answer, at most `limit` long.
pub async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map(Response::into_inner),
        Err(_) => Err(Status::new(Code::DeadlineExceeded, "")),
    }
}

/// Awaits an answer, at most `limit` long; a failure is in human words.
pub async fn answer<T>(
    limit: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, CliError> {
    within(limit, call)
        .await
        .map_err(|status| status::to_error(&status))
}

/// The I/O error at the root of a refused connection.
fn io_cause(refused: &tonic::transport::Error) -> io::Error {
    let mut cause: Option<&(dyn Error + 'static)> = Some(refused);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return match io.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(io.kind(), io.to_string()),
            };
        }
        cause = error.source();
    }
    io::Error::other(refused.to_string())
}
