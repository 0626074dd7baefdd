//! `database`, `maintenance` and `check` as configuration.

use std::path::PathBuf;

use serde::Serialize;
use stratus_core::environment;

use super::{duration, value};

#[derive(Serialize)]
pub(super) struct Database<'a> {
    host: &'a str,
    port: u16,
    name: &'a str,
    user: &'a str,
    password: String,
}

pub(super) fn database(database: &environment::Database) -> Database<'_> {
    Database {
        host: &database.host,
        port: database.port,
        name: &database.name,
        user: &database.user,
        password: value(&database.password),
    }
}

#[derive(Serialize)]
pub(super) struct Maintenance<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'a PathBuf>,
    retry_after: String,
    allow: &'a [String],
}

pub(super) fn maintenance(maintenance: &environment::Maintenance) -> Maintenance<'_> {
    Maintenance {
        page: maintenance.page.as_ref(),
        retry_after: duration(maintenance.retry_after),
        allow: &maintenance.allow,
    }
}

#[derive(Serialize)]
pub(super) struct Check<'a> {
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    within: String,
}

pub(super) fn check(check: &environment::Check) -> Check<'_> {
    Check {
        path: &check.path,
        status: check.status,
        body: check.body.as_deref(),
        within: duration(check.within),
    }
}
