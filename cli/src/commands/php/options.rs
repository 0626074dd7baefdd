//! `php.options.*`: the options of `php.ini`.

pub mod add;
pub mod list;
pub mod remove;

use stratus_proto::v1::{PhpOption, PhpOptionsRequest};

use crate::client::{ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::session::Session;

/// The options that the environment has.
async fn known(session: &mut Session<'_>) -> Result<Vec<PhpOption>, CliError> {
    let request = PhpOptionsRequest {
        environment: session.environment(),
    };
    let client = session.connect().await?;
    let reply = answer(ANSWER_LIMIT, client.environments().php_options(request)).await?;
    Ok(reply.options)
}

/// Says that there is nothing to do.
fn unchanged(session: &mut Session<'_>) {
    if session.globals.json {
        session.out.json(&serde_json::json!({ "changed": false }));
    } else {
        session.out.line("it is so already; nothing was changed");
    }
}
