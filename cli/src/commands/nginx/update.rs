//! `nginx.update`: makes nginx serve by the tenant's own files.

use clap::Args;
use stratus_proto::v1::{UpdateNginxReply, UpdateNginxRequest};

use crate::client::{SLOW_ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::render::units::counted;
use crate::session::Session;

/// Read the environment's own nginx files again
///
/// The files are `.nginx/http_level/*.conf` and `.nginx/server_level/*.conf` of the working tree; docs/nginx.md lists the
/// directives that they may hold. They are checked, tested and loaded without losing a request. When one of them is
/// refused, its line is named and nothing changes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus nginx.update")]
pub struct Update {}

impl Update {
    /// Runs the command.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let request = UpdateNginxRequest {
            environment: session.environment(),
        };
        let client = session.connect().await?;
        let reply = answer(SLOW_ANSWER_LIMIT, client.nginx().update(request)).await?;
        if session.globals.json {
            session.out.json(&reply);
        } else {
            session.out.line(&line(&reply));
        }
        Ok(())
    }
}

fn line(reply: &UpdateNginxReply) -> String {
    let name = &reply.environment;
    let found = match reply.files.len() {
        0 => "no nginx files".to_owned(),
        files => format!(
            "{} with {}",
            counted(files as u64, "nginx file"),
            counted(u64::from(reply.directives), "directive")
        ),
    };
    let done = match (reply.changed, reply.reloaded) {
        (false, _) => "nothing changed",
        (true, true) if reply.files.is_empty() => "nginx serves without any now",
        (true, true) => "nginx serves by them now",
        (true, false) if reply.files.is_empty() => "those of before are forgotten",
        (true, false) => "nginx serves by them from the first switch on",
    };
    format!("{name}: {found}, {done}")
}
