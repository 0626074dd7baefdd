//! `doctor`: checks of the host, each with a remedy.

use clap::Args;
use stratus_proto::v1::{CheckRequest, Finding, Health};

use crate::client::{SLOW_ANSWER_LIMIT, answer};
use crate::error::CliError;
use crate::render::units::counted;
use crate::session::Session;

/// Check the engine, nginx, disk, kernel and permissions, with a remedy for each finding
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stratus doctor")]
pub struct Doctor {}

impl Doctor {
    /// Runs the command; a bad finding is a failure.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), CliError> {
        let client = session.connect().await?;
        let reply = answer(SLOW_ANSWER_LIMIT, client.doctor().check(CheckRequest {})).await?;
        let bad = reply
            .findings
            .iter()
            .filter(|finding| finding.health() == Health::Bad)
            .count();
        if bad > 0 {
            let report = serde_json::to_value(&reply).unwrap_or_default();
            if !session.globals.json {
                reply
                    .findings
                    .iter()
                    .for_each(|finding| print(session, finding));
            }
            let found = counted(bad as u64, "bad finding");
            return Err(CliError::failed(format!("the doctor has {found}"))
                .hint("do what the remedies say")
                .report(report));
        }
        if session.globals.json {
            session.out.json(&reply);
        } else {
            reply
                .findings
                .iter()
                .for_each(|finding| print(session, finding));
        }
        Ok(())
    }
}

fn print(session: &mut Session<'_>, finding: &Finding) {
    let health = match finding.health() {
        Health::Good if session.globals.quiet => return,
        Health::Good => "good",
        Health::Warning => "warning",
        Health::Bad => "bad",
        Health::Unspecified => "unknown",
    };
    session.out.line(&format!(
        "{health:<8} {:<12} {}",
        finding.subject, finding.message
    ));
    if !finding.remedy.is_empty() {
        session
            .out
            .line(&format!("{:<8} {:<12} remedy: {}", "", "", finding.remedy));
    }
}
