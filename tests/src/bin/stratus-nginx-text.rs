//! `stratus-nginx-text CONFIG`: prints what the server would have nginx read when every environment of CONFIG is live with
//! one member. For scripts that try the text around other programs, without a server.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use stratus_agent::layout::Layout;
use stratus_agent::nginx::render::render;
use stratus_core::route::{RouteTable, Site};
use stratus_server::{config, wiring};

/// Prints nginx's configuration.
#[derive(Parser)]
struct Args {
    /// The server's configuration
    config: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let config = config::load(&Args::parse().config)?;
    let table = RouteTable {
        sites: config.environments.iter().map(|e| Site::of(e, 1)).collect(),
        ..RouteTable::default()
    };
    let nobody = "000000".parse().context("six hexadecimal digits")?;
    let layout = Layout::new(&config.server.data_dir, nobody);
    let text = render(&table, 1, &wiring::nginx_settings(&config), &layout)?;
    print!("{text}");
    Ok(())
}
