//! Transcripts of the commands that change what is live: what is printed, where, and the exit code.

use insta::assert_snapshot;
use stratus_proto::v1::submit_request::Action;
use stratus_proto::v1::{self, Kind, Outcome, Phase, PlannedStep, StepReport, SubmitReply};
use stratus_tests::program::{Transcript, run};
use stratus_tests::scripted::story::{self, Story};
use stratus_tests::scripted::{Answer, Call, Script, Scripted};
use tonic::Status;

/// Runs a call against a script, and checks the rule that scripts rely on.
fn check(script: Script, words: &str) -> Transcript {
    let server = Scripted::start(script);
    let transcript = run(&server.socket(), words);
    if transcript.code == Some(0) {
        assert!(transcript.is_clean(), "{transcript}");
    } else {
        assert!(transcript.says_failed(), "{transcript}");
    }
    transcript
}

fn refused(status: Status) -> Script {
    Script {
        submit: [Answer::Refused(status)].into(),
        ..Script::default()
    }
}

#[test]
fn init_prints_a_line_a_step_and_what_comes_next() {
    assert_snapshot!(check(story::init(), "zerodowntime.init"));
}

#[test]
fn init_in_json_is_one_object() {
    let transcript = check(story::init(), "--json zerodowntime.init");
    assert_eq!(transcript.stdout.lines().count(), 1);
    let object: serde_json::Value = serde_json::from_str(&transcript.stdout).unwrap();
    for field in [
        "operation",
        "generation",
        "release",
        "files",
        "bytes",
        "copied",
        "linked",
        "steps",
    ] {
        assert!(object.get(field).is_some(), "{field}");
    }
    assert_eq!(object["kind"], "init");
    assert_eq!(object["outcome"], "completed");
    assert_snapshot!(transcript);
}

#[test]
fn a_quiet_init_prints_its_result_only() {
    assert_snapshot!(check(story::init(), "--quiet zerodowntime.init"));
}

#[test]
fn init_asks_for_what_its_words_say() {
    let server = Scripted::start(story::init());
    run(&server.socket(), "zerodowntime.init --verify --env shop");
    let Call::Submit(request) = server.next_call() else {
        panic!("a submit comes first")
    };
    assert_eq!(request.environment, "shop");
    assert_eq!(
        request.action,
        Some(Action::Init(v1::Init { verify: true }))
    );
    assert!(!request.dry_run);
    assert_eq!(request.request_id.len(), 36);
    let Call::Watch(watch) = server.next_call() else {
        panic!("then a watch")
    };
    assert_eq!((watch.operation.as_str(), watch.after), (story::ID, 0));
}

#[test]
fn a_dry_run_prints_the_plan() {
    let plan = [
        ("reserve", "undo", "drop an older standby"),
        ("route", "pivot", "move traffic"),
        ("drain", "retry", "wait until the old pool holds no request"),
    ];
    let plan = plan.map(|(name, class, description)| PlannedStep {
        name: name.into(),
        class: class.into(),
        description: description.into(),
    });
    let reply = SubmitReply {
        operation: String::new(),
        plan: plan.into(),
        from: 42,
        to: 43,
        ..story::begun(Kind::Switch)
    };
    let script = || Script {
        submit: [Answer::Begun(reply.clone())].into(),
        ..Script::default()
    };
    assert_snapshot!(check(script(), "zerodowntime.switch --dry-run"));
    assert_snapshot!(
        "dry_run_json",
        check(script(), "zerodowntime.switch --dry-run --json")
    );
}

#[test]
fn a_detached_init_prints_the_operation_and_returns() {
    let script = || Script {
        submit: [Answer::Begun(story::begun(Kind::Init))].into(),
        ..Script::default()
    };
    assert_snapshot!(check(script(), "zerodowntime.init --detach"));
    let quiet = check(script(), "zerodowntime.init --detach --quiet");
    assert_eq!(quiet.stdout, format!("{}\n", story::ID));
}

#[test]
fn a_rolling_deployment_says_that_both_releases_serve() {
    let operation = story::operation(Kind::Deploy, Outcome::Completed);
    let lines = Story::default().step("roll", 2_000).finish(operation);
    let server = Scripted::start(story::script(Kind::Deploy, lines));
    let transcript = run(&server.socket(), "deploy --mode rolling");
    assert_eq!(transcript.code, Some(0), "{transcript}");
    assert!(
        transcript.stderr.contains("both releases serve"),
        "{transcript}"
    );
    assert_snapshot!(transcript);
    let Call::Submit(request) = server.next_call() else {
        panic!("a submit comes first")
    };
    let Some(Action::Deploy(deploy)) = request.action else {
        panic!("a deployment is asked for")
    };
    assert_eq!(deploy.mode(), v1::Mode::Rolling);
}

#[test]
fn switch_reports_its_figures() {
    assert_snapshot!(check(story::switch(), "zerodowntime.switch"));
}

#[test]
fn switch_in_json_keeps_unknown_figures_null() {
    let operation = story::operation(Kind::Switch, Outcome::Completed);
    let script = story::script(Kind::Switch, Story::default().finish(operation));
    let transcript = check(script, "zerodowntime.switch --json");
    let object: serde_json::Value = serde_json::from_str(&transcript.stdout).unwrap();
    for field in [
        "from",
        "to",
        "drained_ms",
        "served_old",
        "served_new",
        "lost",
        "cut",
    ] {
        assert_eq!(object.get(field), Some(&serde_json::Value::Null), "{field}");
    }
}

#[test]
fn rollback_and_abort_report_what_they_did() {
    let operation = v1::Operation {
        from: Some(43),
        to: Some(42),
        ..story::operation(Kind::Rollback, Outcome::Completed)
    };
    let lines = Story::default().step("route", 80).finish(operation);
    let rollback = check(
        story::script(Kind::Rollback, lines),
        "zerodowntime.rollback",
    );
    assert_snapshot!("rollback", rollback);
    let operation = story::operation(Kind::Abort, Outcome::Completed);
    let lines = Story::default()
        .step("unstage", 5)
        .step("discard", 350)
        .finish(operation);
    assert_snapshot!(
        "abort",
        check(story::script(Kind::Abort, lines), "zerodowntime.abort")
    );
}

#[test]
fn a_switch_without_a_standby_fails_with_exit_1_and_says_what_to_do() {
    let status = Status::failed_precondition(
        "there is no standby to switch to; run zerodowntime.init first",
    );
    assert_snapshot!(check(refused(status.clone()), "zerodowntime.switch"));
    assert_snapshot!(
        "no_standby_json",
        check(refused(status), "zerodowntime.switch --json")
    );
}

#[test]
fn a_second_operation_is_refused_with_its_holder() {
    let status = Status::aborted("init 0190 of shop holds it at step snapshot for 12 s");
    assert_snapshot!(check(refused(status), "zerodowntime.init"));
}

#[test]
fn a_missing_environment_is_refused_with_the_names() {
    let status = Status::invalid_argument("name one of the environments with --env: blog, shop");
    assert_snapshot!(check(refused(status), "zerodowntime.init"));
}

#[test]
fn an_undone_init_says_why_with_the_body_and_the_log_below() {
    assert_snapshot!(check(story::undone(), "zerodowntime.init"));
    let json = check(story::undone(), "zerodowntime.init --json");
    assert_eq!(json.stdout.lines().count(), 1);
    assert_snapshot!("undone_json", json);
}

#[test]
fn a_stuck_switch_names_both_ways_out() {
    let operation = v1::Operation {
        error: "the engine does not answer".into(),
        steps: vec![
            StepReport {
                name: "route".into(),
                outcome: Outcome::Completed.into(),
                ..StepReport::default()
            },
            StepReport {
                name: "drain".into(),
                outcome: Outcome::Stuck.into(),
                ..StepReport::default()
            },
        ],
        ..story::operation(Kind::Switch, Outcome::Stuck)
    };
    let story = Story::default()
        .step("route", 80)
        .event(Phase::Started, "drain", "");
    let story = story
        .wait(90_000)
        .event(Phase::Failed, "drain", "the engine does not answer");
    let script = story::script(Kind::Switch, story.finish(operation));
    assert_snapshot!(check(script, "zerodowntime.switch"));
}

#[test]
fn a_step_that_failed_and_was_repeated_leaves_no_failure_word_on_success() {
    let mut operation = story::operation(Kind::Switch, Outcome::Completed);
    operation.steps = vec![StepReport {
        error: "Error: ERROR".into(),
        ..StepReport::default()
    }];
    let lines = || {
        let story = Story::default()
            .event(Phase::Started, "drain", "")
            .wait(100);
        let story = story.event(Phase::Failed, "drain", "PHP Fatal Error: ERROR 500");
        story.step("drain", 100).finish(operation.clone())
    };
    assert_snapshot!(check(
        story::script(Kind::Switch, lines()),
        "zerodowntime.switch"
    ));
    let json = check(
        story::script(Kind::Switch, lines()),
        "zerodowntime.switch --json",
    );
    let object: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(object["steps"][0]["error"], "Error: ERROR");
}

#[test]
fn removing_a_release_is_an_operation() {
    let operation = story::operation(Kind::Reap, Outcome::Completed);
    let lines = Story::default().step("reap", 1_200).finish(operation);
    assert_snapshot!(check(
        story::script(Kind::Reap, lines),
        "releases.remove 1f0c9a"
    ));
}
