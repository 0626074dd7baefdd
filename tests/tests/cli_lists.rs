//! Transcripts of the commands that show something or change one small thing.

use insta::assert_snapshot;
use stratus_proto::v1::Edits;
use stratus_proto::v1::{
    ApplyReply, Change, CheckReply, CronLease, DatabaseReply, EnvironmentStatus,
    EnvironmentSummary, Finding, Health, Kind, ListEnvironmentsReply, ListOperationsReply,
    ListReleasesReply, Outcome, PendingCache, PoolStatus, Release, SetMaintenanceReply,
    ShowEnvironmentReply, StatusReply, StepReport, UpdateNginxReply,
};
use stratus_tests::program::run;
use stratus_tests::scripted::story::{self, BEGAN_MS};
use stratus_tests::scripted::{Call, Script, Scripted};
use tonic::Status;

const HOUR_MS: u64 = 3_600_000;

fn hours_ago(hours: u64) -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    // Thirty seconds more, so that a slow machine shows the same text.
    u64::try_from(now.as_millis()).unwrap_or_default() - hours * HOUR_MS - 30_000
}

fn pool(generation: u32, hours: u64) -> PoolStatus {
    PoolStatus {
        generation,
        release: "1f0c9a5d7e3b4c2a8f6d".into(),
        members: 2,
        ready: 2,
        since: hours_ago(hours),
        warm_until: None,
    }
}

fn environments() -> StatusReply {
    let mut switch = story::operation(Kind::Switch, Outcome::Running);
    switch.created_ms = hours_ago(1);
    switch.steps = vec![StepReport {
        name: "drain".into(),
        outcome: Outcome::Running.into(),
        ..StepReport::default()
    }];
    let shop = EnvironmentStatus {
        name: "shop".into(),
        live: Some(pool(42, 3)),
        standby: Some(pool(43, 2)),
        previous: Some(PoolStatus {
            warm_until: Some(hours_ago(0) + 5 * HOUR_MS),
            ..pool(41, 30)
        }),
        operation: Some(switch),
        drift: Vec::new(),
        maintenance: true,
        pending: Vec::new(),
        crons_stopped: Some(CronLease {
            until: hours_ago(0) + 2 * HOUR_MS,
            since: hours_ago(0),
            owner: "crons.stop".into(),
            actor: "uid 0".into(),
        }),
        edits: Some(Edits {
            total: 12,
            files: vec!["a.php".into(), "b.php".into(), "c.php".into()],
            seen: hours_ago(0),
        }),
        overdue: Some(story::ID.into()),
    };
    let blog = EnvironmentStatus {
        name: "blog".into(),
        live: Some(PoolStatus {
            ready: 1,
            ..pool(7, 50)
        }),
        standby: None,
        previous: Some(PoolStatus {
            ready: 0,
            ..pool(6, 50)
        }),
        operation: None,
        drift: vec!["member blog-g7-1 exited: PHP Error".into()],
        maintenance: false,
        pending: vec![PendingCache {
            cache: "varnish".into(),
            since: hours_ago(2),
            tries: 3,
            error: "Varnish does not answer".into(),
            next_ms: 60_000,
        }],
        crons_stopped: None,
        edits: None,
        overdue: Some(String::new()),
    };
    let new = EnvironmentStatus {
        name: "new".into(),
        ..EnvironmentStatus::default()
    };
    StatusReply {
        environments: vec![shop, blog, new],
    }
}

fn status() -> Script {
    Script {
        status: Some(environments()),
        ..Script::default()
    }
}

#[test]
fn status_shows_every_pool_and_what_is_wrong() {
    let server = Scripted::start(status());
    let transcript = run(&server.socket(), "status");
    assert!(transcript.is_clean());
    assert_snapshot!(transcript);
    assert_snapshot!("next", run(&server.socket(), "zerodowntime.status"));
}

#[test]
fn status_in_json_has_the_fields_that_scripts_read() {
    let server = Scripted::start(status());
    let transcript = run(&server.socket(), "status --json");
    assert!(transcript.is_clean());
    let object: serde_json::Value = serde_json::from_str(&transcript.stdout).unwrap();
    let shop = &object["environments"][0];
    for field in ["name", "live", "standby", "previous", "operation", "drift"] {
        assert!(shop.get(field).is_some(), "{field}");
    }
    for field in ["generation", "release", "members", "ready", "since"] {
        assert!(shop["live"].get(field).is_some(), "{field}");
    }
    assert_eq!(
        object["environments"][1]["standby"],
        serde_json::Value::Null
    );
    assert_eq!(
        object["environments"][1]["drift"][0],
        "member blog-g7-1 exited: PHP Error"
    );
}

#[test]
fn the_environment_comes_from_the_option_or_the_variable() {
    let server = Scripted::start(status());
    run(&server.socket(), "status --env shop");
    assert_eq!(
        server.next_call(),
        Call::Other("StatusRequest { environment: \"shop\" }".into())
    );
    let mut command = stratus_tests::program::call(&server.socket(), "status");
    command.env("STRATUS_ENV", "blog").output().unwrap();
    assert_eq!(
        server.next_call(),
        Call::Other("StatusRequest { environment: \"blog\" }".into())
    );
    run(&server.socket(), "status");
    assert_eq!(
        server.next_call(),
        Call::Other("StatusRequest { environment: \"\" }".into())
    );
}

#[test]
fn operations_are_listed_and_shown() {
    let mut stuck = story::operation(Kind::Switch, Outcome::Stuck);
    stuck.finished_ms = BEGAN_MS + 90_000;
    stuck.error = "the engine does not answer\nError: connection refused".into();
    stuck.steps = vec![
        StepReport {
            name: "route".into(),
            ms: 80,
            outcome: Outcome::Completed.into(),
            ..StepReport::default()
        },
        StepReport {
            name: "drain".into(),
            ms: 89_920,
            outcome: Outcome::Stuck.into(),
            error: "the engine does not answer".into(),
        },
        StepReport {
            name: "park".into(),
            outcome: Outcome::Pending.into(),
            ..StepReport::default()
        },
    ];
    let mut init = story::operation(Kind::Init, Outcome::Completed);
    init.finished_ms = BEGAN_MS + 8_503;
    let operations = vec![stuck.clone(), init];
    let server = Scripted::start(Script {
        operations: Some(ListOperationsReply { operations }),
        operation: Some(Ok(stuck)),
        ..Script::default()
    });
    assert_snapshot!(
        "operations_list",
        run(&server.socket(), "operations.list --limit 5")
    );
    let asked = "ListOperationsRequest { environment: \"\", limit: 5, unfinished_only: false }";
    assert_eq!(server.next_call(), Call::Other(asked.into()));
    let shown = run(&server.socket(), "operations.show 0190");
    assert!(shown.is_clean());
    assert_snapshot!("operations_show", shown);
}

#[test]
fn no_operations_are_said_to_be_none() {
    let operations = Some(ListOperationsReply::default());
    let server = Scripted::start(Script {
        operations,
        ..Script::default()
    });
    assert_eq!(
        run(&server.socket(), "operations.list").stdout,
        "no operations\n"
    );
    let watched = run(&server.socket(), "operations.watch");
    assert!(
        watched.says_failed() && watched.code == Some(1),
        "{watched}"
    );
}

#[test]
fn an_operation_is_cancelled_resumed_and_resolved() {
    let operation = Some(Ok(story::operation(Kind::Init, Outcome::Running)));
    let server = Scripted::start(Script {
        operation,
        ..Script::default()
    });
    assert_snapshot!("cancel", run(&server.socket(), "operations.cancel 0190"));
    assert_snapshot!("resume", run(&server.socket(), "operations.resume 0190"));
    assert_snapshot!("resolve", run(&server.socket(), "operations.resolve 0190"));
    let asked = ["CancelRequest", "ResumeRequest", "ResolveRequest"];
    for name in asked {
        let call = Call::Other(format!("{name} {{ operation: \"0190\" }}"));
        assert_eq!(server.next_call(), call);
    }
}

#[test]
fn a_cancel_that_comes_too_late_fails() {
    let refused = Status::failed_precondition("init 0190 is past the point of no return");
    let server = Scripted::start(Script {
        operation: Some(Err(refused)),
        ..Script::default()
    });
    let transcript = run(&server.socket(), "operations.cancel 0190");
    assert!(
        transcript.says_failed() && transcript.code == Some(1),
        "{transcript}"
    );
}

#[test]
fn releases_are_listed_pinned_and_unpinned() {
    let release = Release {
        release: "1f0c9a5d7e3b4c2a8f6d".into(),
        created: BEGAN_MS,
        generation: 42,
        pinned: true,
        files: 100_000,
        bytes: 615_000_000,
        state: "live".into(),
    };
    let old = Release {
        generation: 0,
        pinned: false,
        state: "kept".into(),
        ..release.clone()
    };
    let server = Scripted::start(Script {
        releases: Some(ListReleasesReply {
            releases: vec![release.clone(), old],
        }),
        release: Some(Ok(release)),
        ..Script::default()
    });
    assert_snapshot!("releases_list", run(&server.socket(), "releases.list"));
    assert_snapshot!(
        "releases_list_json",
        run(&server.socket(), "releases.list --json")
    );
    assert_snapshot!("pin", run(&server.socket(), "releases.pin 1f0c9a;"));
    assert_snapshot!("unpin", run(&server.socket(), "releases.unpin 1f0c9a"));
    let _listed = [server.next_call(), server.next_call()];
    let asked = "PinRequest { environment: \"\", release: \"1f0c9a\" }";
    assert_eq!(server.next_call(), Call::Other(asked.into()));
}

#[test]
fn environments_are_listed_and_shown() {
    let shop = EnvironmentSummary {
        name: "shop".into(),
        hosts: vec!["shop.example.test".into(), "www.example.test".into()],
        code: "/srv/shop".into(),
        live: 42,
    };
    let yaml = "shop:\n  code: /srv/shop\n  note: \"Error\"\n  bad: \"\u{1b}[2J\"\n".into();
    let server = Scripted::start(Script {
        environments: Some(ListEnvironmentsReply {
            environments: vec![shop],
        }),
        shown: Some(ShowEnvironmentReply { yaml }),
        ..Script::default()
    });
    assert_snapshot!(
        "environments_list",
        run(&server.socket(), "environments.list")
    );
    assert_snapshot!(
        "environments_show",
        run(&server.socket(), "environments.show shop")
    );
}

#[test]
fn applying_says_what_changes_and_when() {
    let changes = vec![
        Change {
            environment: "blog".into(),
            change: "unchanged".into(),
            effect: String::new(),
        },
        Change {
            environment: "shop".into(),
            change: "changed".into(),
            effect: "with the next init".into(),
        },
    ];
    let applied = Some(Ok(ApplyReply { changes }));
    let server = Scripted::start(Script {
        applied,
        ..Script::default()
    });
    assert_snapshot!("apply", run(&server.socket(), "environments.apply"));
    assert_snapshot!(
        "apply_dry_run",
        run(&server.socket(), "environments.apply --dry-run")
    );
}

#[test]
fn a_configuration_that_is_refused_changes_nothing_and_says_where() {
    let refused = Status::invalid_argument(
        "/etc/stratus/stratus.yaml:7:5: unknown key `docrot`, the nearest is `docroot`\n  docrot: pub\n  ^",
    );
    let server = Scripted::start(Script {
        applied: Some(Err(refused)),
        ..Script::default()
    });
    assert_snapshot!(run(&server.socket(), "environments.apply"));
}

fn finding(subject: &str, health: Health, message: &str, remedy: &str) -> Finding {
    Finding {
        subject: subject.into(),
        health: health.into(),
        message: message.into(),
        remedy: remedy.into(),
    }
}

#[test]
fn the_doctor_fails_on_a_bad_finding_only() {
    let good = finding("engine", Health::Good, "20.10.24, API 1.41", "");
    let warning = finding(
        "kernel",
        Health::Warning,
        "somaxconn is 128",
        "set it to 4096",
    );
    let bad = finding(
        "nginx",
        Health::Bad,
        "1.22 loses requests",
        "install 1.28 or newer",
    );
    let healthy = Some(CheckReply {
        findings: vec![good.clone(), warning.clone()],
    });
    let server = Scripted::start(Script {
        findings: healthy,
        ..Script::default()
    });
    assert_snapshot!("doctor_good", run(&server.socket(), "doctor"));
    let ill = Some(CheckReply {
        findings: vec![good, warning, bad],
    });
    let server = Scripted::start(Script {
        findings: ill,
        ..Script::default()
    });
    assert_snapshot!("doctor_bad", run(&server.socket(), "doctor"));
    assert_snapshot!("doctor_bad_json", run(&server.socket(), "doctor --json"));
}

#[test]
fn maintenance_says_what_visitors_get() {
    for (command, enabled, changed) in [
        ("maintenance.enable", true, true),
        ("maintenance.enable", true, false),
        ("maintenance.disable", false, true),
        ("maintenance.disable", false, false),
    ] {
        let server = Scripted::start(Script {
            maintenance: Some(SetMaintenanceReply {
                environment: "shop".into(),
                enabled,
                changed,
                overdue: None,
            }),
            ..Script::default()
        });
        assert_snapshot!(
            format!("{command} {changed}"),
            run(&server.socket(), command)
        );
    }
}

#[test]
fn a_site_that_an_operation_keeps_closed_is_not_called_open() {
    for (name, changed) in [("overdue_disabled", true), ("overdue_unchanged", false)] {
        let server = Scripted::start(Script {
            maintenance: Some(SetMaintenanceReply {
                environment: "shop".into(),
                enabled: false,
                changed,
                overdue: Some(story::ID.into()),
            }),
            ..Script::default()
        });
        assert_snapshot!(name, run(&server.socket(), "maintenance.disable"));
    }
}

#[test]
fn database_config_prints_what_scripts_read_or_one_field() {
    let database = DatabaseReply {
        host: "mysql".into(),
        port: 3306,
        name: "db_ab12".into(),
        user: "user_ab12".into(),
        password: "s3cr3t".into(),
    };
    for (name, command) in [
        ("database", "database.config"),
        ("database_field", "database.config --field password"),
        ("database_json", "--json database.config"),
    ] {
        let server = Scripted::start(Script {
            database: Some(Ok(database.clone())),
            ..Script::default()
        });
        assert_snapshot!(name, run(&server.socket(), command));
    }
}

fn updated(files: &[&str], directives: u32, changed: bool, reloaded: bool) -> UpdateNginxReply {
    UpdateNginxReply {
        environment: "shop".into(),
        files: files.iter().map(ToString::to_string).collect(),
        directives,
        changed,
        reloaded,
    }
}

#[test]
fn nginx_update_says_what_it_found_and_whether_it_is_served() {
    let files = [".nginx/http_level/a.conf", ".nginx/server_level/b.conf"];
    let replies = [
        updated(&files, 12, true, true),
        updated(&files, 12, false, false),
        updated(&files[..1], 1, true, false),
        updated(&[], 0, true, true),
    ];
    let mut said = Vec::new();
    for reply in replies {
        let server = Scripted::start(Script {
            nginx: Some(Ok(reply)),
            ..Script::default()
        });
        let transcript = run(&server.socket(), "nginx.update");
        assert!(
            transcript.is_clean() && transcript.code == Some(0),
            "{transcript}"
        );
        said.push(transcript.to_string());
        let json = run(&server.socket(), "nginx.update --json");
        said.push(json.to_string());
    }
    assert_snapshot!("nginx_update", said.join("\n"));
}

#[test]
fn a_refused_nginx_file_is_told_by_file_line_and_directive_on_one_line_of_stdout() {
    let refused = Status::failed_precondition(
        "the nginx files are refused, the ones accepted last stay in force: .nginx/server_level/a.conf:3: `root`: is not \
         allowed: the live release and the shared folders are served; put files there\n.nginx/server_level/a.conf:9: \
         `include`: is not allowed: every `.conf` file of the folder is read; put the other file there",
    );
    let server = Scripted::start(Script {
        nginx: Some(Err(refused)),
        ..Script::default()
    });
    let transcript = run(&server.socket(), "nginx.update");
    assert!(transcript.says_failed() && transcript.code == Some(1));
    assert_snapshot!("nginx_update_refused", transcript);
    assert_snapshot!(
        "nginx_update_refused_json",
        run(&server.socket(), "nginx.update --json")
    );
}

#[test]
fn a_password_is_printed_as_it_is_though_it_holds_a_word_that_scripts_look_for() {
    let server = Scripted::start(Script {
        database: Some(Ok(DatabaseReply {
            password: "myErrorERROR1".into(),
            ..DatabaseReply::default()
        })),
        ..Script::default()
    });
    let line = run(&server.socket(), "database.config").stdout;
    assert!(
        line.contains(r#"\"Password\": \"myErrorERROR1\""#),
        "{line}"
    );
    let field = run(&server.socket(), "database.config --field password").stdout;
    assert_eq!(field, "myErrorERROR1\n");
}
