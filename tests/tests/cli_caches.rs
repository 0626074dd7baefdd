//! Transcripts of the commands that clear caches.

use insta::assert_snapshot;
use stratus_proto::v1::{CacheReport, ClearReply, Kind, Operation, Outcome};
use stratus_tests::program::{run, run_merged};
use stratus_tests::scripted::story::{self, Story};
use stratus_tests::scripted::{Call, Script, Scripted};
use tonic::Status;

fn cleared(cache: &str, ms: u64) -> CacheReport {
    CacheReport {
        cache: cache.into(),
        state: "cleared".into(),
        ms,
        ..CacheReport::default()
    }
}

fn pending(cache: &str, error: &str) -> CacheReport {
    CacheReport {
        state: "pending".into(),
        error: error.into(),
        ..cleared(cache, 10_000)
    }
}

fn reply(caches: Vec<CacheReport>) -> ClearReply {
    ClearReply {
        environment: "shop".into(),
        caches,
    }
}

fn script(reply: ClearReply) -> Script {
    Script {
        cleared: [Ok(reply)].into(),
        ..Script::default()
    }
}

fn all() -> Vec<CacheReport> {
    let invalidation = CacheReport {
        receipt: "I2J0I21PCUYOIK".into(),
        ..cleared("cloudfront", 310)
    };
    vec![
        cleared("opcache", 4),
        cleared("redis:fpc", 2),
        cleared("varnish", 305),
        invalidation,
    ]
}

#[test]
fn all_caches_in_one_report() {
    let server = Scripted::start(script(reply(all())));
    let transcript = run(&server.socket(), "cache.all.clear");
    assert!(transcript.is_clean());
    assert_snapshot!(transcript);
}

#[test]
fn a_cache_that_is_not_configured_is_done() {
    for command in [
        "cache.redis.clear",
        "cache.varnish.clear;",
        "cache.cloudfront.invalidate",
        "cache.cdn.purge",
    ] {
        let server = Scripted::start(script(reply(Vec::new())));
        let transcript = run(&server.socket(), command);
        assert!(transcript.is_clean(), "{transcript}");
        assert_eq!(transcript.code, Some(0));
        assert!(
            transcript.stdout.contains("nothing to clear"),
            "{transcript}"
        );
    }
}

#[test]
fn a_cache_that_is_not_clear_is_a_failure_that_scripts_see_and_the_others_are_told() {
    let mut caches = all();
    caches[2] = pending(
        "varnish",
        "Varnish answered 405; let its VCL take PURGE from this host",
    );
    let server = Scripted::start(script(reply(caches.clone())));
    let transcript = run(&server.socket(), "cache.all.clear");
    assert!(transcript.says_failed());
    assert_eq!(transcript.code, Some(1));
    assert_snapshot!(transcript);

    let server = Scripted::start(script(reply(caches)));
    let (text, code) = run_merged(&server.socket(), "cache.all.clear --json");
    let object: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(
        (code, &object["caches"][2]["state"]),
        (Some(1), &"pending".into())
    );
    assert!(
        object["error"].as_str().unwrap().contains("ERROR: Error: "),
        "{object}"
    );
}

#[test]
fn parts_are_asked_for_as_they_are_named() {
    let server = Scripted::start(script(reply(vec![cleared("varnish", 2)])));
    let words = "cache.varnish.clear --url https://a.test/1 --url https://a.test/2 --tag p1";
    assert_eq!(run(&server.socket(), words).code, Some(0));
    let Call::Other(asked) = server.next_call() else {
        panic!("a clear was asked for");
    };
    for part in [
        "kind: Varnish",
        "https://a.test/1",
        "https://a.test/2",
        "p1",
    ] {
        assert!(asked.contains(part), "{part}: {asked}");
    }
}

#[test]
fn an_invalidation_is_waited_for_where_that_is_asked() {
    let mut script = script(reply(all()[3..].to_vec()));
    script.invalidations = [Ok(false), Ok(true)].into();
    let server = Scripted::start(script);
    let words = "cache.cloudfront.invalidate --path /media/* --wait";
    let transcript = run(&server.socket(), words);
    assert_eq!(transcript.code, Some(0), "{transcript}");
    assert!(transcript.stdout.contains("I2J0I21PCUYOIK"), "{transcript}");
    let calls = [server.next_call(), server.next_call(), server.next_call()];
    let asked = |call: &Call| format!("{call:?}").contains("I2J0I21PCUYOIK");
    assert!(calls[1..].iter().all(asked), "{calls:?}");
}

#[test]
fn a_question_that_fails_for_a_moment_does_not_end_the_wait_and_one_that_is_refused_names_the_invalidation()
 {
    let words = "cache.cloudfront.invalidate --wait";
    let mut passing = script(reply(all()[3..].to_vec()));
    let busy = || Err(Status::unavailable("CloudFront answered 503"));
    passing.invalidations = [busy(), Ok(true)].into();
    let server = Scripted::start(passing);
    let transcript = run(&server.socket(), words);
    assert_eq!(transcript.code, Some(0), "{transcript}");

    for json in ["", " --json"] {
        let mut refused = script(reply(all()[3..].to_vec()));
        let denied = Status::failed_precondition("CloudFront answered 403");
        refused.invalidations = [Err(denied)].into();
        let server = Scripted::start(refused);
        let transcript = run(&server.socket(), &format!("{words}{json}"));
        assert_eq!(transcript.code, Some(1), "{transcript}");
        assert!(transcript.says_failed(), "{transcript}");
        let said = &transcript.stdout;
        assert!(
            said.contains("invalidation I2J0I21PCUYOIK has begun"),
            "{said}"
        );
        assert!(said.contains("answered 403"), "{said}");
        if json.is_empty() {
            assert!(said.contains("cleared cloudfront in 310 ms"), "{said}");
        } else {
            let object: serde_json::Value = serde_json::from_str(said.trim()).unwrap();
            assert_eq!(object["caches"][0]["receipt"], "I2J0I21PCUYOIK");
        }
    }
}

#[test]
fn what_the_server_refuses_is_a_failure() {
    let script = Script {
        cleared: [Err(Status::invalid_argument(
            "\"about\" is no address of a page",
        ))]
        .into(),
        ..Script::default()
    };
    let server = Scripted::start(script);
    let transcript = run(&server.socket(), "cache.cdn.purge --url about");
    assert!(transcript.says_failed(), "{transcript}");
    assert_eq!(transcript.code, Some(1));
}

#[test]
fn a_switch_tells_how_its_caches_fared() {
    let lines = Story::default().step("drain", 260).step("clear", 320);
    let lines = lines.finish(Operation {
        from: Some(42),
        to: Some(43),
        drained_ms: Some(260),
        caches: vec![cleared("redis:fpc", 2), pending("varnish", "no route")],
        ..story::operation(Kind::Switch, Outcome::Completed)
    });
    let server = Scripted::start(story::script(Kind::Switch, lines));
    let transcript = run(&server.socket(), "zerodowntime.switch");
    assert!(transcript.is_clean(), "{transcript}");
    assert_snapshot!(transcript);
}
