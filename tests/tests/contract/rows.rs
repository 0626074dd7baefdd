//! Every row of the contract's table, every rule and every further promise, with the tests that hold it. A test here is a
//! function `NAME` of `FILE`, below `tests/tests`, or a check of a script below `tests`.

use std::fs;

use stratus_tests::stage::repository;

/// What the contract promises, and `FILE NAME` of the tests that hold it.
const HELD: [(&str, &[&str]); 34] = [
    (
        "row help",
        &[
            "contract/commands.rs every_command_of_the_table_ends_with_0_and_holds_neither_word",
            "cli_words.rs help_lists_the_commands_in_groups",
            "cli_words.rs every_command_has_help_with_an_example",
        ],
    ),
    (
        "row zerodowntime.init",
        &[
            "contract/commands.rs the_next_line_of_a_script_may_switch_and_the_next_see_the_new_code",
            "cli_deploy.rs a_detached_init_prints_the_operation_and_returns",
            "host_bad_input.rs a_pool_that_cannot_work_is_never_offered_and_its_error_says_why",
        ],
    ),
    (
        "row zerodowntime.switch",
        &[
            "contract/commands.rs a_recipe_that_greps_for_the_word_and_tries_again_gets_its_switch",
            "host_soak.rs switches_in_a_row_lose_nothing_and_answer_nothing_old",
            "host_bad_host.rs without_an_nginx_that_can_be_used_nothing_moves",
        ],
    ),
    (
        "row autoscaling.reinit",
        &[
            "contract/commands.rs the_next_line_of_a_script_may_switch_and_the_next_see_the_new_code",
            "host_deploy.rs deploying_in_one_command_loses_nothing_in_any_mode",
        ],
    ),
    (
        "row crons.stop, crons.start",
        &[
            "contract/rules.rs several_callers_of_crons_and_nginx_are_never_refused_during_any_deployment",
            "host_crons.rs a_stop_waits_for_what_runs_and_ends_by_itself",
        ],
    ),
    (
        "row cache.all.clear",
        &[
            "cli_caches.rs all_caches_in_one_report",
            "saga_caches.rs a_switch_drains_and_then_clears_from_the_inside_out_and_leaves_opcache_alone",
            "host_caches.rs a_cache_that_is_down_leaves_a_switch_done_and_is_shown_and_cleared_when_it_is_back",
        ],
    ),
    (
        "row cache.opcache.flush",
        &["docker_opcache.rs every_member_forgets_its_scripts_and_the_docroot_stays_as_it_is"],
    ),
    (
        "row cache.cloudfront.invalidate",
        &[
            "cache_clouds.rs an_invalidation_has_the_signature_that_amazon_computes_and_a_batch_that_it_reads",
            "cli_caches.rs an_invalidation_is_waited_for_where_that_is_asked",
        ],
    ),
    (
        "row cache.varnish.clear",
        &[
            "host_caches.rs no_page_of_the_old_code_is_left_in_varnish_or_redis_when_a_switch_has_returned",
            "cli_caches.rs parts_are_asked_for_as_they_are_named",
            "../scripts/stack purges_are_for_the_network",
        ],
    ),
    (
        "row cache.redis.clear",
        &["docker_redis.rs the_named_database_is_emptied_and_no_other"],
    ),
    (
        "row database.config",
        &[
            "contract/commands.rs both_parsers_in_the_field_read_the_first_line_of_the_database",
            "cli_lists.rs database_config_prints_what_scripts_read_or_one_field",
        ],
    ),
    (
        "row nginx.update",
        &[
            "host_tenant.rs updates_by_two_callers_during_deployments_are_never_refused_and_lose_nothing",
            "host_tenant.rs a_refused_file_changes_nothing_over_a_restart_and_a_switch",
            "cli_lists.rs a_refused_nginx_file_is_told_by_file_line_and_directive_on_one_line_of_stdout",
        ],
    ),
    (
        "row php.options.list/add/remove",
        &[
            "host_deploy.rs options_of_php_are_applied_by_a_new_pool_and_dropped_when_it_does_not_come_up",
        ],
    ),
    (
        "row unknown command",
        &[
            "contract/commands.rs the_typo_of_the_vendors_example_stops_a_script_and_names_the_command",
            "cli_words.rs a_misspelt_command_fails_and_names_the_nearest",
        ],
    ),
    (
        "rule 1: exit codes",
        &[
            "contract/commands.rs every_command_of_the_table_ends_with_0_and_holds_neither_word",
            "contract/commands.rs every_command_of_the_table_that_fails_ends_with_1_and_says_so_in_one_line",
        ],
    ),
    (
        "rule 2: ERROR and Error",
        &[
            "contract/commands.rs every_command_of_the_table_ends_with_0_and_holds_neither_word",
            "contract/commands.rs every_command_of_the_table_that_fails_ends_with_1_and_says_so_in_one_line",
            "cli_streams.rs a_script_that_merges_the_streams_finds_a_failure_once_and_no_failure_on_success",
            "cli_deploy.rs a_step_that_failed_and_was_repeated_leaves_no_failure_word_on_success",
        ],
    ),
    (
        "rule 3: closed pipes and killed jobs",
        &[
            "contract/rules.rs a_grep_that_closes_the_pipe_leaves_the_init_running_and_blocking",
            "contract/rules.rs an_init_and_a_switch_go_on_when_their_job_is_killed",
            "cli_streams.rs a_pipe_that_closes_after_the_first_line_leaves_the_exit_code_of_the_operation",
            "cli_streams.rs a_closed_pipe_is_no_failure",
        ],
    ),
    (
        "rule 4: no terminal, stray words",
        &[
            "contract/rules.rs stray_words_an_empty_environment_and_no_terminal_are_harmless",
            "cli_words.rs a_stray_semicolon_or_space_is_harmless",
        ],
    ),
    (
        "rule 5: caches that are off, and sessions",
        &[
            "contract/rules.rs caches_are_cleared_as_no_ops_before_anything_is_live",
            "host_caches.rs every_command_is_done_where_its_cache_is_not_configured",
            "host_caches.rs no_verb_says_a_word_to_the_session_store",
            "docker_redis.rs a_database_that_holds_the_sessions_is_never_emptied_whatever_it_is_called",
        ],
    ),
    (
        "rule 6: callers at the same time",
        &[
            "contract/rules.rs several_callers_of_crons_and_nginx_are_never_refused_during_any_deployment",
            "host_tenant.rs updates_by_two_callers_during_deployments_are_never_refused_and_lose_nothing",
        ],
    ),
    (
        "rule 7: the lease of crons.stop",
        &[
            "contract/rules.rs crons_come_back_by_themselves_after_a_script_that_died_and_a_server_that_was_killed",
            "saga_crons/leases.rs a_start_ends_a_users_lease_and_no_operations",
        ],
    ),
    (
        "section database.config",
        &["contract/commands.rs both_parsers_in_the_field_read_the_first_line_of_the_database"],
    ),
    (
        "names: hosts and ports",
        &[
            "../scripts/stack names_resolve",
            "../scripts/stack redis_is_three_stores",
            "../scripts/stack purges_are_for_the_network",
            "../scripts/stack the_certificate_is_made_once",
        ],
    ),
    (
        "names: the shell and its paths",
        &[
            "../scripts/stack the_shell_is_as_scripts_expect",
            "nginx_log.rs each_request_of_a_visitor_is_a_line_and_no_question_of_the_servers",
        ],
    ),
    (
        "names: a socket bound to one environment",
        &[
            "../scripts/stack the_shell_reaches_its_environment",
            "host_bound.rs on_the_socket_of_an_environment_no_name_is_needed_and_no_other_is_reached",
        ],
    ),
    (
        "semantics 1: the tree is not what is served",
        &[
            "contract/semantics.rs each_line_of_a_deployment_changes_what_it_says_and_nothing_else",
            "host_deploy.rs an_edit_that_is_not_live_is_told",
        ],
    ),
    (
        "semantics 2: shared folders are live at once",
        &[
            "contract/semantics.rs each_line_of_a_deployment_changes_what_it_says_and_nothing_else",
            "docker_code.rs a_shared_folder_is_live_in_both_directions_also_over_an_overlay",
        ],
    ),
    (
        "semantics 3: the tree at the moment of init",
        &["contract/semantics.rs each_line_of_a_deployment_changes_what_it_says_and_nothing_else"],
    ),
    (
        "semantics 4: requests finish where they began, one switch per init",
        &[
            "contract/semantics.rs each_line_of_a_deployment_changes_what_it_says_and_nothing_else",
            "docker_drain.rs a_drain_waits_for_the_running_and_for_the_queued_request",
        ],
    ),
    (
        "semantics 5: switch without init, a second init, a standby never switched",
        &[
            "host_outlives.rs only_what_was_prepared_and_confirmed_ever_serves",
            "saga_engine.rs a_switch_without_a_standby_changes_nothing",
            "saga_background.rs a_standby_that_nobody_switches_to_is_removed_by_age_and_not_before",
        ],
    ),
    (
        "semantics 5: concurrent operations",
        &[
            "saga_engine.rs a_second_operation_is_refused_with_the_holder_its_step_and_its_age",
            "cli_deploy.rs a_second_operation_is_refused_with_its_holder",
        ],
    ),
    (
        "semantics 5: members that come in between run A",
        &["host_outlives.rs a_live_site_outlives_its_server_and_its_containers_come_back"],
    ),
    (
        "semantics 5: rollback while A is warm",
        &["host_outlives.rs the_previous_release_answers_after_a_rollback_warm_or_cold"],
    ),
    (
        "the seed's example script, unchanged",
        &[
            "host_example.rs the_example_script_deploys_under_load_and_its_failures_and_its_death_leave_the_shop_well",
        ],
    ),
];

/// The contract's table of commands, by its first column.
const ROWS: [&str; 14] = [
    "help",
    "zerodowntime.init",
    "zerodowntime.switch",
    "autoscaling.reinit",
    "crons.stop, crons.start",
    "cache.all.clear",
    "cache.opcache.flush",
    "cache.cloudfront.invalidate",
    "cache.varnish.clear",
    "cache.redis.clear",
    "database.config",
    "nginx.update",
    "php.options.list/add/remove",
    "unknown command",
];
/// How many rules the contract has, from 1 on, and how many paragraphs say what init and switch mean.
const RULES: usize = 7;
const SEMANTICS: usize = 5;
/// What else it promises.
const FURTHER: [&str; 5] = [
    "section database.config",
    "names: hosts and ports",
    "names: the shell and its paths",
    "names: a socket bound to one environment",
    "the seed's example script, unchanged",
];

/// Nothing is left out of the list by a slip.
#[test]
fn every_promise_of_the_contract_is_in_the_list() {
    let rows = ROWS.iter().map(|row| format!("row {row}"));
    let rules = (1..=RULES).map(|rule| format!("rule {rule}: "));
    let semantics = (1..=SEMANTICS).map(|number| format!("semantics {number}: "));
    let further = FURTHER.iter().map(ToString::to_string);
    let promises: Vec<String> = rows.chain(rules).chain(semantics).chain(further).collect();
    let is = |held: &str, promise: &str| {
        let is_begun = promise.ends_with(": ") && held.starts_with(promise);
        is_begun || held == promise
    };
    let names = HELD.map(|(name, _)| name);
    for promise in &promises {
        assert!(names.iter().any(|name| is(name, promise)), "{promise}");
    }
    for name in names {
        assert!(promises.iter().any(|promise| is(name, promise)), "{name}");
    }
}

#[test]
fn every_test_that_holds_a_promise_exists_and_is_run() {
    let mut missing = Vec::new();
    for (promise, tests) in HELD {
        assert!(!tests.is_empty(), "nothing holds {promise}");
        for test in tests {
            let (file, name) = test.split_once(' ').unwrap();
            let text = fs::read_to_string(repository().join("tests/tests").join(file));
            if !is_run(&text.unwrap_or_default(), name) {
                missing.push(format!("{promise}: {test}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Whether a text has that test, as Rust's own, as a part of one or as a check of a script, and nothing keeps it from being
/// run.
fn is_run(text: &str, name: &str) -> bool {
    let is_check =
        text.contains(&format!("\n{name}() {{")) && text.contains(&format!("  {name}\n"));
    let lines: Vec<&str> = text.lines().collect();
    let Some(at) = lines.iter().position(|line| begins(line) == Some(name)) else {
        return is_check;
    };
    let call = format!("    {name}(");
    let place = lines.iter().position(|line| line.starts_with(&call));
    let caller = place.and_then(|at| lines[..at].iter().rposition(|line| begins(line).is_some()));
    is_test(&lines[..at]) || caller.is_some_and(|at| is_test(&lines[..at]))
}

/// The name of the function that begins in a line.
fn begins(line: &str) -> Option<&str> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    Some(line.strip_prefix("fn ")?.split_once('(')?.0)
}

/// Whether what stands above a function makes it a test, and one that is run.
fn is_test(above: &[&str]) -> bool {
    let attributes: Vec<_> = above
        .iter()
        .rev()
        .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
        .filter(|line| line.starts_with("#["))
        .collect();
    let is_test = attributes
        .iter()
        .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
    let is_left_out = attributes
        .iter()
        .any(|line| line.contains("ignore") || line.contains("cfg"));
    is_test && !is_left_out
}

#[test]
fn a_test_that_is_ignored_or_no_test_holds_nothing() {
    let run = "\n/// Why.\n#[tokio::test(flavor = \"multi_thread\")]\nasync fn it_holds() {\n";
    assert!(is_run(run, "it_holds"));
    assert!(is_run("#[test]\nfn it_holds() {", "it_holds"));
    let part = "fn one() {\n    it_holds(1);\n}\n\nfn it_holds(number: u32) {";
    assert!(is_run(&format!("#[test]\n{part}"), "it_holds"));
    assert!(!is_run(&format!("#[ignore]\n#[test]\n{part}"), "it_holds"));
    for text in [
        "fn it_holds() {",
        "#[test]\n#[ignore = \"slow\"]\nfn it_holds() {",
        "#[ignore]\n/// Why.\n#[test]\nfn it_holds() {",
        "#[test]\nfn another() {}\n\nfn it_holds() {",
        "// fn it_holds() {",
    ] {
        assert!(!is_run(text, "it_holds"), "{text}");
    }
}
