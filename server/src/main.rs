//! `stratusd`: reads the command line, sets up the log, serves until it is told to stop.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stratus_core::fault::chain;
use stratus_server::config::{self, Config};
use stratus_server::serve;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// The control server of Stratus.
#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "Example: stratusd --config /etc/stratus/stratus.yaml"
)]
struct Args {
    /// The configuration [default: `STRATUS_CONFIG`, or /etc/stratus/stratus.yaml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Run on fakes, to try the interfaces without Docker and nginx
    #[arg(long)]
    demo: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Validate the configuration and exit
    Check,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let file = Config::find(args.config.as_deref());
    if args.demo {
        return run(serve::demo);
    }
    let config = match config::load(&file) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{}", chain(&error));
            return ExitCode::FAILURE;
        }
    };
    if let Some(Command::Check) = args.command {
        eprintln!(
            "{}: good, {} environments",
            file.display(),
            config.environments.len()
        );
        return ExitCode::SUCCESS;
    }
    run(|shutdown| serve::serve(config, Some(file), shutdown))
}

fn run<F>(serve: impl FnOnce(CancellationToken) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    start_log();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let served = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        stop_on_signal(&shutdown)?;
        serve(shutdown).await
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stratusd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Plain lines on a terminal, JSON elsewhere; `STRATUS_LOG` filters.
fn start_log() {
    let filter = EnvFilter::try_from_env("STRATUS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().init();
    }
}

fn stop_on_signal(shutdown: &CancellationToken) -> std::io::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut stream = signal(kind)?;
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            stream.recv().await;
            tracing::info!("stopping between steps");
            shutdown.cancel();
        });
    }
    Ok(())
}
