//! `completions`: what a shell needs to complete this program's words.

use clap::Args;
use clap_complete::Shell;

use crate::args;
use crate::session::Session;

/// Print the completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus completions bash > /etc/bash_completion.d/stratus")]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Runs the command.
    pub fn run(self, session: &mut Session<'_>) {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut args::command(), "stratus", &mut text);
        session.out.raw(&String::from_utf8_lossy(&text));
    }
}
