//! The keys `database`, `maintenance` and `check`.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use stratus_core::environment::{Check, Database, Maintenance};

use super::section::{Section, shown};
use super::{Variables, environment, path, scalar};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);
/// Longest text that a check looks for, in bytes.
const BODY_MAX: usize = 1000;

/// Reads `database`.
pub(super) fn database(environment: &Section<'_>, variables: Variables<'_>) -> Option<Database> {
    let known = ["host", "port", "name", "user", "password"];
    let section = environment.get("database")?.section(&known, &[])?;
    let name = section.need("name", "db_ab12").and_then(|v| v.parse(word));
    let user = section
        .need("user", "user_ab12")
        .and_then(|v| v.parse(word));
    let password = section
        .need("password", "file:/etc/stratus/db-password")
        .and_then(|v| v.secret(variables));
    Some(Database {
        host: section.or("host", "mysql".to_owned(), word),
        port: section.or("port", 3306, scalar::whole(1..=u16::MAX)),
        name: name?,
        user: user?,
        password: password?,
    })
}

/// What scripts split at spaces and quotes must hold neither.
fn word(text: &str) -> Result<String, String> {
    let good = text.len() <= 255
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"\"'\\,".contains(&b));
    good.then(|| text.to_owned()).ok_or_else(|| {
        format!(
            "`{}` holds a space, a quote, a comma or a backslash; deploy scripts cannot read that",
            shown(text)
        )
    })
}

/// Reads `maintenance`.
pub(super) fn maintenance(environment: &Section<'_>) -> Maintenance {
    let default = Maintenance::default();
    let value = environment.get("maintenance");
    let known = ["page", "retry_after", "allow"];
    let Some(section) = value.and_then(|value| value.section(&known, &[])) else {
        return default;
    };
    let allow = section.get("allow").and_then(|value| value.items());
    Maintenance {
        page: section
            .get("page")
            .and_then(|value| value.parse(path::relative("the docroot"))),
        retry_after: section.or(
            "retry_after",
            default.retry_after,
            scalar::duration(SECOND..=DAY),
        ),
        allow: allow
            .unwrap_or_default()
            .iter()
            .filter_map(|item| item.parse(network))
            .collect(),
    }
}

/// An address or a network.
fn network(text: &str) -> Result<String, String> {
    let address = text.parse::<IpAddr>().map(|a| a.to_string());
    address
        .or_else(|_| text.parse::<IpNet>().map(|n| n.trunc().to_string()))
        .map_err(|_| {
            format!(
                "`{}` is not an address; write one such as 203.0.113.7 or 2001:db8::/32",
                shown(text)
            )
        })
}

/// Reads `check`.
pub(super) fn check(section: &Section<'_>) -> Check {
    let default = Check::default();
    let value = section.get("check");
    let known = ["path", "status", "body", "within"];
    let Some(section) = value.and_then(|value| value.section(&known, &[])) else {
        return default;
    };
    Check {
        path: section.or("path", default.path, environment::fetched),
        status: section
            .get("status")
            .and_then(|v| v.parse(scalar::whole(100..=599))),
        body: section.get("body").and_then(|v| v.parse(body)),
        within: section.or(
            "within",
            default.within,
            scalar::duration(SECOND..=600 * SECOND),
        ),
    }
}

fn body(text: &str) -> Result<String, String> {
    if text.len() <= BODY_MAX {
        return Ok(text.to_owned());
    }
    Err(format!(
        "is longer than {BODY_MAX} bytes; a few words are enough"
    ))
}
