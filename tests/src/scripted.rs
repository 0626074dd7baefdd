//! A server that plays scripted answers over a unix socket, breaks off when told to, and tells what it was asked.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::stream;
use stratus_proto::v1::caches_server::CachesServer;
use stratus_proto::v1::crons_server::CronsServer;
use stratus_proto::v1::doctor_server::DoctorServer;
use stratus_proto::v1::environments_server::EnvironmentsServer;
use stratus_proto::v1::nginx_server::NginxServer;
use stratus_proto::v1::operations_server::OperationsServer;
use stratus_proto::v1::releases_server::ReleasesServer;
use stratus_proto::v1::{self, Operation, SubmitReply, WatchReply};
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

mod services;
pub mod story;

/// How long a test waits for a call.
const CALL_LIMIT: Duration = Duration::from_secs(20);

/// What the server answers. What is not scripted is answered `UNIMPLEMENTED`.
#[derive(Default)]
pub struct Script {
    /// One answer a submit, in turn.
    pub submit: VecDeque<Answer>,
    /// One stream a watch, in turn.
    pub watch: VecDeque<Vec<Line>>,
    /// The answer to get, cancel, resume and resolve.
    pub operation: Option<Result<Operation, Status>>,
    /// The answer to the list of operations.
    pub operations: Option<v1::ListOperationsReply>,
    /// The answer to the list of environments.
    pub environments: Option<v1::ListEnvironmentsReply>,
    /// The answer to show.
    pub shown: Option<v1::ShowEnvironmentReply>,
    /// The answer to apply.
    pub applied: Option<Result<v1::ApplyReply, Status>>,
    /// The answer to the difference of the working tree.
    pub diff: Option<v1::DiffReply>,
    /// The answer to maintenance.
    pub maintenance: Option<v1::SetMaintenanceReply>,
    /// The answer to the database's credentials.
    pub database: Option<Result<v1::DatabaseReply, Status>>,
    /// The answer to the options of php.ini.
    pub php_options: Option<v1::PhpOptionsReply>,
    /// The answer to status.
    pub status: Option<v1::StatusReply>,
    /// The answer to the list of releases.
    pub releases: Option<v1::ListReleasesReply>,
    /// The answer to pin and unpin.
    pub release: Option<Result<v1::Release, Status>>,
    /// The answer to the update of nginx's files.
    pub nginx: Option<Result<v1::UpdateNginxReply, Status>>,
    /// One answer a clear of caches, in turn.
    pub cleared: VecDeque<Result<v1::ClearReply, Status>>,
    /// Whether an invalidation is done, one answer a question, in turn.
    pub invalidations: VecDeque<Result<bool, Status>>,
    /// The answer to the list of crons.
    pub crons: Option<v1::ListCronsReply>,
    /// The answer to what crons and workers wrote.
    pub cron_logs: Option<v1::CronLogsReply>,
    /// The answer to a cron that is asked for.
    pub cron_run: Option<Result<v1::CronRun, Status>>,
    /// How that run stands, one answer a question, in turn.
    pub cron_runs: VecDeque<v1::CronRun>,
    /// The answer to a stop of crons.
    pub crons_stopped: Option<v1::StopCronsReply>,
    /// The answer to their start.
    pub crons_started: Option<v1::StartCronsReply>,
    /// How many questions about runs are not answered before the first that is.
    pub crons_wait: u32,
    /// What runs, one answer a question, in turn.
    pub crons_idle: VecDeque<v1::IdleCronsReply>,
    /// The answer to the doctor's check.
    pub findings: Option<v1::CheckReply>,
}

/// The answer to a submit.
pub enum Answer {
    /// The operation begins.
    Begun(SubmitReply),
    /// It is refused.
    Refused(Status),
    /// It arrives, and no answer ever comes.
    Never,
}

/// A part of the answer to a watch. After the last one the stream ends.
pub enum Line {
    /// An event.
    Event(Box<WatchReply>),
    /// Nothing more before `Scripted::go_on`.
    Gate,
    /// The server ends the stream with this status.
    End(Status),
}

/// What a client asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// A submit.
    Submit(v1::SubmitRequest),
    /// A watch.
    Watch(v1::WatchRequest),
    /// Anything else, as its request prints itself.
    Other(String),
}

/// A running scripted server.
pub struct Scripted {
    folder: tempfile::TempDir,
    play: Play,
    calls: Receiver<Call>,
    runtime: Option<Runtime>,
}

/// What the services share.
#[derive(Clone)]
struct Play {
    script: Arc<Mutex<Script>>,
    calls: Sender<Call>,
    gate: Arc<Semaphore>,
}

// === impl Scripted ===

impl Scripted {
    /// Starts a server that plays `script`.
    ///
    /// # Panics
    /// When the machine gives no folder, socket or thread.
    pub fn start(script: Script) -> Self {
        let (sender, calls) = channel();
        let play = Play {
            script: Arc::new(Mutex::new(script)),
            calls: sender,
            gate: Arc::new(Semaphore::new(0)),
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut server = Self {
            folder,
            play,
            calls,
            runtime: None,
        };
        server.restart();
        server
    }

    /// The socket it listens on.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("stratus.sock")
    }

    /// Stops at once, as killed: connections break, the socket stays and refuses.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }

    /// Starts again on the same socket and goes on with the script.
    ///
    /// # Panics
    /// When the socket cannot be bound.
    pub fn restart(&mut self) {
        self.kill();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let socket = self.socket();
        if socket.exists() {
            std::fs::remove_file(&socket).expect("the old socket is ours");
        }
        let listener = {
            let _entered = runtime.enter();
            UnixListener::bind(&socket).expect("a socket in our own folder")
        };
        runtime.spawn(serve(listener, self.play.clone()));
        self.runtime = Some(runtime);
    }

    /// The next call that came.
    ///
    /// # Panics
    /// When none comes.
    pub fn next_call(&self) -> Call {
        self.calls
            .recv_timeout(CALL_LIMIT)
            .expect("a call within the limit")
    }

    /// Lets one stream pass its gate.
    pub fn go_on(&self) {
        self.play.gate.add_permits(1);
    }

    /// The folder that the socket is in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.kill();
    }
}

// === impl Play ===

impl Play {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script
            .lock()
            .expect("no service panics while it holds the script")
    }

    fn note(&self, call: Call) {
        // A test that has ended does not care.
        let _ = self.calls.send(call);
    }

    fn note_other<T: std::fmt::Debug>(&self, request: Request<T>) {
        self.note(Call::Other(format!("{:?}", request.into_inner())));
    }
}

fn scripted<T>(answer: Option<T>) -> Result<Response<T>, Status> {
    answer
        .map(Response::new)
        .ok_or_else(|| Status::unimplemented("not in the script"))
}

async fn serve(listener: UnixListener, play: Play) {
    let connections = stream::unfold(listener, |listener| async {
        let connection = listener.accept().await.map(|(connection, _)| connection);
        Some((connection, listener))
    });
    let served = Server::builder()
        .add_service(OperationsServer::new(play.clone()))
        .add_service(EnvironmentsServer::new(play.clone()))
        .add_service(ReleasesServer::new(play.clone()))
        .add_service(NginxServer::new(play.clone()))
        .add_service(CachesServer::new(play.clone()))
        .add_service(CronsServer::new(play.clone()))
        .add_service(DoctorServer::new(play))
        .serve_with_incoming(connections);
    // Ends only with its runtime.
    let _ = served.await;
}
