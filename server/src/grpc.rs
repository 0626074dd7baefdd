//! The gRPC services over the engine. Each method is three moves: read the request, call, convert the answer.
//!
//! They answer on the operator's socket, and on one of each environment (`sockets`), where they see nothing else (`bound`).

mod bound;
mod caches;
mod carried;
mod convert;
mod crons;
mod doctor;
mod environments;
mod methods;
mod nginx;
mod operations;
mod releases;
mod sockets;
pub(crate) mod status;
mod watch;

use std::error::Error;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stratus_core::store::StoreError;
use stratus_core::{Environment, EnvironmentName, OperationId};
use stratus_proto::v1::caches_server::CachesServer;
use stratus_proto::v1::crons_server::CronsServer;
use stratus_proto::v1::doctor_server::DoctorServer;
use stratus_proto::v1::environments_server::EnvironmentsServer;
use stratus_proto::v1::nginx_server::NginxServer;
use stratus_proto::v1::operations_server::OperationsServer;
use stratus_proto::v1::releases_server::ReleasesServer;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Status};
use tower::layer::util::Identity;
use tower::{Layer, Service};

use crate::control::Control;
use bound::Scope;
use carried::{Carried, Carrier};
use sockets::Sockets;

/// Largest message in, in bytes.
const MESSAGE_MAX: usize = 1 << 20;
/// How long open streams may hold up a shutdown.
const GOODBYE: Duration = Duration::from_secs(2);

/// The services, as one socket has them.
#[derive(Clone)]
pub struct Api {
    control: Arc<Control>,
    scope: Scope,
    /// Those of the environments; the operator's socket alone opens and closes them.
    sockets: Option<Arc<Sockets>>,
}

/// Serves `control` until `shutdown`: on the server's unix socket, mode 0660, and on one of each environment.
///
/// # Errors
/// When the socket cannot be made or served.
pub async fn serve(control: Arc<Control>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let config = control.config.lock().await.clone();
    let listener = listen(&config.server.socket, 0o660)?;
    let sockets = Sockets::new(control.clone(), config.server, shutdown.clone());
    let sockets = Arc::new(sockets);
    sockets.fit(&config.environments).await;
    let api = Api {
        control,
        scope: Scope::Host,
        sockets: Some(sockets.clone()),
    };
    let served = serve_api(api, Identity::new(), listener, shutdown.clone()).await;
    shutdown.cancel();
    sockets.closed().await;
    served
}

/// Serves `api` behind `gate` until `shutdown`.
async fn serve_api<G>(
    api: Api,
    gate: G,
    listener: UnixListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()>
where
    G: Layer<Carried<Routes>> + Clone,
    G::Service:
        Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    <G::Service as Service<http::Request<Body>>>::Error: Into<Box<dyn Error + Send + Sync>> + Send,
    <G::Service as Service<http::Request<Body>>>::Future: Send,
{
    let stop = shutdown.clone();
    let carrier = Carrier::new();
    let serving = Server::builder()
        .concurrency_limit_per_connection(64)
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .layer(gate)
        .layer(carrier.clone())
        .add_service(OperationsServer::new(api.clone()).max_decoding_message_size(MESSAGE_MAX))
        .add_service(EnvironmentsServer::new(api.clone()).max_decoding_message_size(MESSAGE_MAX))
        .add_service(ReleasesServer::new(api.clone()).max_decoding_message_size(MESSAGE_MAX))
        .add_service(NginxServer::new(api.clone()).max_decoding_message_size(MESSAGE_MAX))
        .add_service(CachesServer::new(api.clone()).max_decoding_message_size(MESSAGE_MAX))
        .add_service(CronsServer::new(api.clone()).max_decoding_message_size(MESSAGE_MAX))
        .add_service(DoctorServer::new(api).max_decoding_message_size(MESSAGE_MAX))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), async move {
            stop.cancelled().await;
        });
    tokio::select! {
        ended = serving => ended?,
        () = async { shutdown.cancelled().await; tokio::time::sleep(GOODBYE).await; } => {}
    }
    carrier.idle(GOODBYE).await;
    Ok(())
}

fn listen(path: &Path, mode: u32) -> anyhow::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // A server of another data folder may have been given the same socket.
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        anyhow::bail!("another server answers there; give this one a server.socket of its own");
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

/// Who calls. Shape: `uid 0 pid 4711`.
fn actor<T>(request: &Request<T>) -> String {
    let peer = request
        .extensions()
        .get::<UdsConnectInfo>()
        .and_then(|info| info.peer_cred);
    match peer {
        Some(peer) => match peer.pid() {
            Some(pid) => format!("uid {} pid {pid}", peer.uid()),
            None => format!("uid {}", peer.uid()),
        },
        None => "unknown".to_owned(),
    }
}

impl Api {
    /// The environment that is named, or the only one.
    async fn environment(&self, name: &str) -> Result<Environment, Status> {
        if let Scope::Environment(own) = &self.scope
            && !["", own.as_str()].contains(&name)
        {
            return Err(bound::other(own, name));
        }
        let environments = self.all().await?;
        let names = || {
            let names: Vec<_> = environments.iter().map(|e| e.name.as_str()).collect();
            names.join(", ")
        };
        let found = match (name, environments.as_slice()) {
            ("", [only]) => Some(only),
            ("", []) => None,
            ("", _) => {
                let message = format!("name an environment with --env: {}", names());
                return Err(Status::invalid_argument(message));
            }
            (name, all) => all.iter().find(|e| e.name.as_str() == name),
        };
        found.cloned().ok_or_else(|| {
            let known = if environments.is_empty() {
                "none".to_owned()
            } else {
                names()
            };
            Status::not_found(format!(
                "there is no environment {name:?}; configured: {known}"
            ))
        })
    }

    /// Those that this socket gives access to.
    async fn all(&self) -> Result<Vec<Environment>, Status> {
        let found = self.control.engine.store().environments().await;
        let mut all = found.map_err(|e: StoreError| status::store(&e))?;
        all.retain(|environment| self.sees(&environment.name));
        Ok(all)
    }

    fn sees(&self, environment: &EnvironmentName) -> bool {
        match &self.scope {
            Scope::Host => true,
            Scope::Environment(own) => own == environment,
        }
    }
}

fn operation_id(text: &str) -> Result<OperationId, Status> {
    text.parse()
        .map_err(|error| Status::invalid_argument(format!("{error}")))
}
