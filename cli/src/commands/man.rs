//! `man`: the manual pages, printed or written to a folder.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::args;
use crate::error::CliError;
use crate::render::units::counted;
use crate::session::Session;

/// Print a manual page, or write all of them to a folder
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus man --dir /usr/local/share/man/man1")]
pub struct Man {
    /// The command whose page is printed; without it, the page of stratus itself
    command: Option<String>,
    /// Write one file a page to this folder
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

impl Man {
    /// Runs the command.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        // The overview replaces clap's own help, not the manual.
        let mut command = args::command();
        if let Some(name) = &self.command {
            args::known(name, &command)?;
        }
        command.build();
        if let Some(dir) = &self.dir {
            let pages = write_all(&command, dir)?;
            session.out.line(&format!(
                "wrote {} to {}",
                counted(pages, "page"),
                dir.display()
            ));
            return Ok(());
        }
        let page = match &self.command {
            Some(name) => command.find_subcommand(name).cloned().unwrap_or(command),
            None => command,
        };
        let text = render(page)?;
        session.out.raw(&String::from_utf8_lossy(&text));
        Ok(())
    }
}

fn write_all(command: &clap::Command, dir: &Path) -> Result<u64, CliError> {
    let mut pages = 0;
    let subcommands = command.get_subcommands().filter(|c| !c.is_hide_set());
    let subcommands = subcommands.cloned();
    for page in std::iter::once(command.clone()).chain(subcommands) {
        let name = match page.get_name() {
            "stratus" => "stratus.1".to_owned(),
            name => format!("stratus-{name}.1"),
        };
        let path = dir.join(name);
        let text = render(page)?;
        std::fs::write(&path, text)
            .map_err(|source| CliError::output(&format!("write {}", path.display()), source))?;
        pages += 1;
    }
    Ok(pages)
}

fn render(command: clap::Command) -> Result<Vec<u8>, CliError> {
    let name = match command.get_name() {
        "stratus" => "stratus".to_owned(),
        name => format!("stratus-{name}"),
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(command.display_name(name.clone()))
        .title(name)
        .render(&mut text)
        .map_err(|source| CliError::output("render the page", source))?;
    Ok(text)
}
