//! Hooks, the database, maintenance and the check.

use std::time::Duration;

use stratus_core::environment::Setting;

use super::{accepted, refused, site};

#[test]
fn hooks_are_lists_of_words_and_run_without_a_shell() {
    let text = "hooks:\n  before_switch: [[php, bin/console, migrate], [php, '']]\n  timeout: 90s";
    let config = accepted(&site(text));
    let hooks = &config.environments[0].hooks;
    assert_eq!(hooks.before_switch[0], ["php", "bin/console", "migrate"]);
    assert_eq!(hooks.before_switch[1], ["php", ""]);
    assert_eq!(hooks.timeout, Duration::from_secs(90));
    assert!(hooks.before_init.is_empty() && hooks.after_switch.is_empty());
}

#[test]
fn a_hook_that_is_a_line_for_a_shell_is_refused() {
    refused(
        &site("hooks: {before_init: ['php bin/console migrate', [], [-x], ['']]}"),
        &[
            "7:27: environments.shop.hooks.before_init[0]: is one text; write the program and each argument as an item, such as [\"php\", \"bin/task.php\"]",
            "7:54: environments.shop.hooks.before_init[1]: is empty; write the program and its arguments",
            "7:58: environments.shop.hooks.before_init[2]: `-x` is not a program; write one such as php",
            "7:64: environments.shop.hooks.before_init[3]: `` is not a program; write one such as php",
        ],
    );
}

#[test]
fn a_database_has_defaults_and_a_secret_password() {
    let text = "database: {name: db_ab12, user: user_ab12, password: '${DB_PASSWORD}'}";
    let config = accepted(&site(text));
    let database = config.environments[0].database.clone().unwrap();
    assert_eq!((database.host.as_str(), database.port), ("mysql", 3306));
    assert_eq!(database.password, Setting::secret("hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_database_that_scripts_could_not_read_is_refused() {
    refused(
        &site("database: {name: 'a b', user: 'c\"d'}"),
        &[
            "7:15: environments.shop.database: `password` is missing; add `password: file:/etc/stratus/db-password`",
            "7:22: environments.shop.database.name: `a b` holds a space, a quote, a comma or a backslash; deploy scripts cannot read that",
            "7:35: environments.shop.database.user: `c\\\"d` holds a space, a quote, a comma or a backslash; deploy scripts cannot read that",
        ],
    );
}

#[test]
fn maintenance_lets_addresses_and_networks_through() {
    let text =
        "maintenance: {page: errors/503.html, retry_after: 2m, allow: [203.0.113.7, 10.1.2.3/8]}";
    let config = accepted(&site(text));
    let maintenance = &config.environments[0].maintenance;
    assert_eq!(
        maintenance.page.as_deref(),
        Some("errors/503.html".as_ref())
    );
    assert_eq!(maintenance.allow, ["203.0.113.7", "10.0.0.0/8"]);
    refused(
        &site("maintenance: {page: ../503.html, allow: [localhost]}"),
        &[
            "7:25: environments.shop.maintenance.page: `../503.html` holds `..`; write the path without it",
            "7:46: environments.shop.maintenance.allow[0]: `localhost` is not an address; write one such as 203.0.113.7 or 2001:db8::/32",
        ],
    );
}

#[test]
fn a_check_and_the_hold_have_limits() {
    let config = accepted(&site("check: {status: 200, body: 'in stock'}\nhold: 5s"));
    let environment = &config.environments[0];
    assert_eq!(environment.check.path, "/");
    assert_eq!(environment.check.status, Some(200));
    assert_eq!(environment.check.body.as_deref(), Some("in stock"));
    assert_eq!(environment.hold, Duration::from_secs(5));
    refused(
        &site("check: {path: about, status: 99}\nhold: 11m"),
        &[
            "7:19: environments.shop.check.path: `about` is not a path of a page; begin it with / and write spaces and other special characters as %20",
            "7:34: environments.shop.check.status: `99` is not a whole number from 100 to 599",
            "8:11: environments.shop.hold: `11m` is out of range; write a duration from 1s to 10m",
        ],
    );
}

#[test]
fn a_worker_with_the_name_of_a_cron_is_refused() {
    let crons = "crons: [{name: mail, at: '* * * * *', run: [php]}]";
    refused(
        &site(&format!(
            "{crons}\nworkers: [{{name: queue, run: [php]}}, {{name: mail, run: [php]}}]"
        )),
        &["8:42: environments.shop.workers[1]: `mail` is a cron already; rename one"],
    );
}
