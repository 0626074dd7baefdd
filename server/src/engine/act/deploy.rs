//! The step that ends a deployment: a look at the site as its visitors see it.

use std::time::Duration;

use stratus_core::environment::Check;
use stratus_core::operation::{Output, Plan};
use stratus_core::route::Closed;
use stratus_core::router::Visit;
use tokio::time::Instant;

use crate::engine::act::{ActError, Machine, Situation, host};

/// How long to wait before a site that does not answer as it should is asked again.
const AGAIN: Duration = Duration::from_millis(250);
/// How nginx answers for a site that is closed.
const TURNED_AWAY: u16 = 503;
/// Why a site was not looked at.
const MAINTENANCE: &str = "in maintenance";
/// How much of a wrong answer is shown, in characters.
const SHOWN: usize = 300;

impl Machine {
    /// Asks the site through nginx until it answers as it should, at most as long as the check says. During maintenance
    /// it may be answered all the same: a file, the path of the readiness check, a sender who is exempt.
    pub(super) async fn check(&self, situation: &Situation<'_>) -> Result<Output, ActError> {
        let plan = situation.plan;
        let (check, host) = (&plan.environment.check, host(plan));
        let deadline = Instant::now() + check.within;
        loop {
            let visit = tokio::time::timeout_at(deadline, self.router.visit(host, &check.path));
            let visit = visit.await;
            let is_turned_away = matches!(&visit, Ok(Ok(visit)) if visit.status == TURNED_AWAY);
            let wrong = match visit {
                Ok(Ok(visit)) => wrong(check, &visit),
                Ok(Err(error)) => Some(stratus_core::fault::chain(&error)),
                Err(_) => Some("there was no answer in time".to_owned()),
            };
            let Some(wrong) = wrong else {
                return Ok(Output::None);
            };
            if is_turned_away && self.is_in_maintenance(plan).await? {
                return Ok(Output::NotLookedAt(MAINTENANCE.to_owned()));
            }
            let next = Instant::now() + AGAIN;
            if next >= deadline {
                let within = humantime::format_duration(check.within);
                return Err(ActError::Site(format!(
                    "http://{host}{} is not as it should be within {within}: {wrong}",
                    check.path
                )));
            }
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = situation.cancel.cancelled() => return Err(ActError::Cancelled),
            }
        }
    }

    /// Visitors get the maintenance page, and it tells nothing of the site.
    async fn is_in_maintenance(&self, plan: &Plan) -> Result<bool, ActError> {
        let environment = &plan.environment.name;
        let closed = self
            .router
            .is_closed(environment, Closed::Maintenance)
            .await?;
        if closed {
            tracing::warn!(operation = %plan.operation, %environment, "in maintenance: the site is not looked at");
        }
        Ok(closed)
    }
}

/// What is wrong with an answer, if anything is.
fn wrong(check: &Check, visit: &Visit) -> Option<String> {
    let is_wanted = |wanted: u16| visit.status == wanted;
    if !check.status.map_or(visit.status < 500, is_wanted) {
        let wanted = check
            .status
            .map_or("below 500".to_owned(), |s| s.to_string());
        let status = visit.status;
        return Some(format!(
            "status {status} instead of {wanted}, {}",
            shown(visit)
        ));
    }
    let text = check.body.as_ref()?;
    let found = visit
        .body
        .windows(text.len())
        .any(|part| part == text.as_bytes());
    (!found).then(|| format!("{text:?} is not in the body, {}", shown(visit)))
}

fn shown(visit: &Visit) -> String {
    let text = String::from_utf8_lossy(&visit.body);
    let text: String = text.chars().take(SHOWN).collect();
    format!("which begins {text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(status: u16, body: &str) -> Visit {
        Visit {
            status,
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn anything_below_500_will_do_where_no_status_is_named() {
        let check = Check::default();
        for status in [200, 302, 404, 499] {
            assert_eq!(wrong(&check, &visit(status, "")), None, "{status}");
        }
        assert!(wrong(&check, &visit(500, "oops")).is_some());
    }

    #[test]
    fn a_status_and_a_text_must_both_be_there() {
        let check = Check {
            status: Some(200),
            body: Some("in stock".to_owned()),
            ..Check::default()
        };
        assert_eq!(wrong(&check, &visit(200, "12 in stock.")), None);
        let refused = wrong(&check, &visit(302, "in stock"));
        assert_eq!(
            refused.as_deref(),
            Some("status 302 instead of 200, which begins \"in stock\"")
        );
        let refused = wrong(&check, &visit(200, "sold out"));
        assert_eq!(
            refused.as_deref(),
            Some("\"in stock\" is not in the body, which begins \"sold out\"")
        );
    }
}
