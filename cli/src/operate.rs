//! The way of every command that begins an operation: submit it, follow it, say what it came to.

use clap::Args;
use stratus_proto::v1::submit_request::Action;
use stratus_proto::v1::{Operation, SubmitReply, SubmitRequest};
use uuid::Uuid;

use crate::Ended;
use crate::error::CliError;
use crate::follow::{Follower, View};
use crate::render::events::{Events, Quiet};
use crate::render::steps::Steps;
use crate::render::{plan, report};
use crate::session::Session;
use crate::signals::Interrupts;

// A doc comment here would replace that of the command.
#[derive(Debug, Args)]
pub struct Run {
    /// Return at once and print the operation's id; it goes on in the server
    #[arg(long, conflicts_with = "dry_run")]
    detach: bool,
    /// Print the plan and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Begins an operation and follows it to its end.
pub async fn begin(
    session: &mut Session<'_>,
    run: &Run,
    action: Action,
) -> Result<Ended, CliError> {
    let request = SubmitRequest {
        request_id: Uuid::now_v7().to_string(),
        environment: session.environment(),
        dry_run: run.dry_run,
        action: Some(action),
    };
    let interrupts = Interrupts::listen()?;
    let submitted = {
        let mut view = Quiet(session.out);
        let globals = &session.globals;
        let mut follower = Follower::new(&globals.server, globals.reconnect, &mut view);
        tokio::select! {
            reply = follower.submit(&request) => Some(reply?),
            () = interrupts.first() => None,
        }
    };
    let Some(reply) = submitted else {
        return Ok(left(session, None));
    };
    if run.dry_run || run.detach {
        print_reply(session, run, &reply);
        return Ok(Ended::Done);
    }
    follow(session, &interrupts, &reply.operation, Form::Object).await
}

/// What `--json` prints while an operation is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One object at the end.
    Object,
    /// One object an event.
    Events,
}

/// Follows an operation to its end, which decides how the command ends.
pub async fn follow(
    session: &mut Session<'_>,
    interrupts: &Interrupts,
    operation: &str,
    form: Form,
) -> Result<Ended, CliError> {
    let globals = &session.globals;
    let events = globals.json && form == Form::Events;
    let finished = {
        let mut view: Box<dyn View + '_> = match (events, globals.json || globals.quiet) {
            (true, _) => Box::new(Events(session.out)),
            (_, true) => Box::new(Quiet(session.out)),
            _ => Box::new(Steps::new(session.out)),
        };
        let mut follower = Follower::new(&globals.server, globals.reconnect, view.as_mut());
        tokio::select! {
            finished = follower.watch(operation) => Some(finished?),
            () = interrupts.first() => None,
        }
    };
    match finished {
        None => Ok(left(session, Some(operation))),
        Some(_) if events => match finished.filter(|finished| !report::completed(finished)) {
            Some(finished) => Err(report::failure(&finished).shown()),
            None => Ok(Ended::Done),
        },
        Some(finished) => conclude(session, &finished),
    }
}

fn conclude(session: &mut Session<'_>, operation: &Operation) -> Result<Ended, CliError> {
    if session.globals.json && report::completed(operation) {
        session.out.json(operation);
    } else {
        report::conclude(session.out, operation)?;
    }
    Ok(Ended::Done)
}

fn print_reply(session: &mut Session<'_>, run: &Run, reply: &SubmitReply) {
    if session.globals.json {
        session.out.json(reply);
    } else if run.dry_run {
        plan::print(session.out, reply);
    } else if session.globals.quiet {
        session.out.line(&reply.operation);
    } else {
        session.out.line(&format!(
            "{} of {} is operation {}; follow it with: stratus operations.watch {}",
            report::name(reply.kind),
            reply.environment,
            reply.operation,
            reply.operation
        ));
    }
}

/// Says that the operation goes on without this program.
fn left(session: &mut Session<'_>, operation: Option<&str>) -> Ended {
    if session.globals.json {
        session.out.json(&serde_json::json!({
            "operation": operation, "outcome": "running", "detached": true,
        }));
        return Ended::Detached;
    }
    let line = match operation {
        Some(id) => format!(
            "detached: operation {id} goes on in the server; follow it with: \
             stratus operations.watch {id}; stop it with: stratus operations.cancel {id}"
        ),
        None => "detached before the server answered; see whether the operation began with: \
                 stratus operations.list"
            .into(),
    };
    session.out.line(&line);
    Ended::Detached
}
