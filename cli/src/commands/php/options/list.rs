//! `php.options.list`.

use clap::Args;
use stratus_proto::v1::PhpOptionsReply;

use crate::error::CliError;
use crate::render::table;
use crate::session::Session;

/// List the options of php.ini that the environment has
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus php.options.list")]
pub struct List {}

impl List {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let options = super::known(session).await?;
        if session.globals.json {
            session.out.json(&PhpOptionsReply { options });
            return Ok(());
        }
        if options.is_empty() {
            session.out.line("no options; set one with php.options.add");
            return Ok(());
        }
        let rows = options.into_iter().map(|option| {
            let origin = if option.by_command {
                "php.options.add"
            } else {
                "configuration"
            };
            [option.name, option.value, origin.to_owned()]
        });
        table::print(session.out, ["OPTION", "VALUE", "FROM"], rows.collect());
        Ok(())
    }
}
