//! `stratus-demo run` and `stratus-demo down`: what `make demo` and `make demo-down` do.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stratus_tests::demo::{self, App};

/// Deploys an application under load and counts what was lost.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run it and leave it running
    Run {
        /// What is deployed
        #[arg(value_enum, default_value_t = App::Dokuwiki)]
        app: App,
    },
    /// Remove everything it made
    Down,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let ended = async {
        let place = demo::place()?;
        match args.command {
            Command::Run { app } => demo::run(&place, app).await,
            Command::Down => demo::down(&place).await,
        }
    };
    match ended.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
