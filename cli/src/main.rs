//! The program `stratus`: reads the command line, calls the server, prints the answer, and exits with a code that
//! scripts can rely on: 0 done, 1 failed, 2 wrong usage, 130 detached by a signal.

use std::process::ExitCode;

mod address;
mod args;
mod argv;
mod client;
mod commands;
mod error;
mod follow;
mod names;
mod operate;
mod output;
mod render;
mod session;
mod signals;
mod status;

use error::CliError;
use output::Out;
use session::Session;

/// How a command ended when it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// What was asked is done.
    Done,
    /// A signal came while an operation was followed; the operation goes on.
    Detached,
}

fn main() -> ExitCode {
    let words = argv::normalise(std::env::args_os().skip(1));
    // Known before the words are parsed, so that a usage failure is an object too.
    let json = words.iter().any(|word| word == "--json");
    let mut out = Out::new(json);
    let code = match run(&words, &mut out) {
        Ok(Ended::Done) => 0,
        Ok(Ended::Detached) => 130,
        Err(error) => {
            out.failure(&error);
            error.exit_code()
        }
    };
    ExitCode::from(code)
}

fn run(words: &[std::ffi::OsString], out: &mut Out) -> Result<Ended, CliError> {
    let Some(cli) = args::parse(words, out)? else {
        return Ok(Ended::Done);
    };
    // Two workers: a stdout that nobody reads must not keep signals and pings from being answered.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| CliError::output("start the runtime", source))?;
    let operation = cli.command.is_operation();
    let mut session = Session::new(cli.globals, out);
    let ended = runtime.block_on(Box::pin(commands::run(cli.command, &mut session)));
    // Tasks that are still running hold nothing worth waiting for.
    runtime.shutdown_background();
    match out.take_failure() {
        // An operation's exit code says how the operation ended, even when the log could not be written.
        Some(source) if !operation => ended.and(Err(CliError::output("write the answer", source))),
        _ => ended,
    }
}
