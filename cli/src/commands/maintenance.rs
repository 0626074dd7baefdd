//! `maintenance.*`: closes a site to its visitors for a while.

pub mod disable;
pub mod enable;

use stratus_proto::v1::SetMaintenanceRequest;

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::render::pools;
use crate::session::Session;

async fn set(session: &mut Session<'_>, enabled: bool) -> Result<(), CliError> {
    let request = SetMaintenanceRequest {
        environment: session.environment(),
        enabled,
    };
    let client = session.connect().await?;
    let reply = answer(ANSWER_LIMIT, client.environments().set_maintenance(request)).await?;
    if session.globals.json {
        session.out.json(&reply);
        return Ok(());
    }
    let name = &reply.environment;
    let line = match (enabled, reply.changed) {
        (true, true) => {
            format!("{name} is in maintenance: visitors get 503 and the maintenance page")
        }
        (true, false) => format!("{name} was in maintenance already"),
        // Not open: the line below says why.
        (false, true) if reply.overdue.is_some() => {
            format!("{name} is not in maintenance any more")
        }
        (false, true) => format!("{name} is open to visitors again"),
        (false, false) => format!("{name} was not in maintenance"),
    };
    session.out.line(&line);
    if let Some(operation) = &reply.overdue {
        session
            .out
            .line(&format!("{name}: {}", pools::overdue(operation)));
    }
    Ok(())
}
