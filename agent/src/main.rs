//! `stratus-agent`: says what this host offers. It serves nobody yet; on one host the server links its library.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use stratus_agent::probe::probe;

/// The part of Stratus that lives on a host.
///
/// On one host it is not needed: stratusd does its work itself. Serving a remote stratusd comes with several hosts;
/// this version only says what a host offers.
#[derive(Parser)]
#[command(version, after_help = "Example: stratus-agent probe")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print what this host offers, as JSON: engine, kernel, disk. Changes nothing
    ///
    /// Exit codes: 0 when everything could be looked at, 1 when not (the JSON says why).
    Probe {
        /// The container engine's unix socket
        #[arg(long, value_name = "SOCKET", default_value = "/var/run/docker.sock")]
        docker: PathBuf,
        /// The folder that releases would lie in; it need not exist
        #[arg(long, value_name = "DIR", default_value = "/var/lib/stratus")]
        data: PathBuf,
    },
}

fn main() -> ExitCode {
    let Args { command } = Args::parse();
    match run(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("stratus-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    let Command::Probe { docker, data } = command;
    let offer = runtime.block_on(probe(&docker, &data));
    let text = serde_json::to_string_pretty(&offer).context("the offer is no JSON")?;
    writeln!(std::io::stdout(), "{text}").context("the offer cannot be printed")?;
    Ok(if offer.is_complete() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
