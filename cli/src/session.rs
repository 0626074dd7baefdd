//! What every command is given: the options of the call, the way out, and the way to the server.

use crate::args::Globals;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Out;

/// One call of `stratus`.
pub struct Session<'a> {
    /// The options of every command.
    pub globals: Globals,
    /// Where answers go.
    pub out: &'a mut Out,
}

impl<'a> Session<'a> {
    /// A session that answers to `out`.
    pub fn new(globals: Globals, out: &'a mut Out) -> Self {
        Self { globals, out }
    }

    /// Connects to the server.
    pub async fn connect(&self) -> Result<Client, CliError> {
        Client::connect(&self.globals.server).await
    }

    /// The environment of the call; empty where the server shall find the only one.
    pub fn environment(&self) -> String {
        self.globals.env.clone()
    }
}
