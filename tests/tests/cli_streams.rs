//! The command line under scripts and people: pipes that close, merged streams, signals, and a server that goes away.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use insta::assert_snapshot;
use rustix::process::{Pid, Signal, kill_process};
use stratus_proto::v1::{Kind, Outcome, Phase};
use stratus_tests::program::{Transcript, call, end, run, run_merged};
use stratus_tests::scripted::story::{self, Story};
use stratus_tests::scripted::{Answer, Call, Line, Script, Scripted};
use tonic::Status;

fn start(server: &Scripted, words: &str) -> Child {
    let mut command = call(&server.socket(), words);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

/// A switch that waits at a gate after its first step, and then goes on.
fn gated(outcome: Outcome) -> Script {
    let operation = story::operation(Kind::Switch, outcome);
    let lines = Story::default()
        .step("await_ready", 40)
        .gate()
        .step("route", 90);
    story::script(Kind::Switch, lines.finish(operation))
}

fn watch_after(server: &Scripted) -> u64 {
    loop {
        match server.next_call() {
            Call::Watch(request) => return request.after,
            Call::Submit(_) | Call::Other(_) => {}
        }
    }
}

fn signalled(signal: Signal, words: &str) -> Transcript {
    let server = Scripted::start(gated(Outcome::Completed));
    let child = start(&server, words);
    // By the time it watches it listens for signals.
    watch_after(&server);
    let pid = Pid::from_child(&child);
    kill_process(pid, signal).expect("the program runs");
    end(&server.socket(), words, child)
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let server = Scripted::start(story::switch());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = call(&server.socket(), "zerodowntime.switch");
    let status = command.stdout(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_full_disk_behind_stdout_fails_an_answer_and_not_an_operation() {
    let full = || {
        std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    let server = Scripted::start(story::switch());
    let mut switch = call(&server.socket(), "zerodowntime.switch");
    assert_eq!(switch.stdout(full()).status().unwrap().code(), Some(0));
    let output = call(&server.socket(), "help")
        .stdout(full())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        stderr.starts_with("ERROR: Error: cannot write the answer"),
        "{stderr}"
    );
}

#[test]
fn a_pipe_that_closes_after_the_first_line_leaves_the_exit_code_of_the_operation() {
    for (outcome, code) in [(Outcome::Completed, 0), (Outcome::Undone, 1)] {
        let server = Scripted::start(gated(outcome));
        let mut child = start(&server, "zerodowntime.switch");
        let mut first = String::new();
        // The reader is dropped at the end of this statement, as `head -1` and `grep -q` do.
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut first)
            .unwrap();
        assert!(first.starts_with("await_ready"), "{first}");
        server.go_on();
        let transcript = end(&server.socket(), "zerodowntime.switch", child);
        assert_eq!(transcript.code, Some(code), "{transcript}");
        assert!(!transcript.stderr.contains("panicked"), "{transcript}");
    }
}

#[test]
fn a_script_that_merges_the_streams_finds_a_failure_once_and_no_failure_on_success() {
    let server = Scripted::start(story::switch());
    let (text, code) = run_merged(&server.socket(), "zerodowntime.switch");
    assert_eq!(code, Some(0));
    assert!(!text.contains("ERROR") && !text.contains("Error"), "{text}");
    let refused = Answer::Refused(Status::failed_precondition("there is no standby"));
    let server = Scripted::start(Script {
        submit: [refused].into(),
        ..Script::default()
    });
    let (text, code) = run_merged(&server.socket(), "zerodowntime.switch");
    assert_eq!(code, Some(1));
    assert_eq!(text, "ERROR: Error: there is no standby\n");
}

#[test]
fn nothing_from_the_server_reaches_the_terminal_raw() {
    let evil = "a\u{1b}]0;owned\u{7}b\u{9b}31m\u{202e}c\rd";
    let mut operation = story::operation(Kind::Init, Outcome::Completed);
    operation.environment = evil.into();
    operation.rewritten = vec![evil.into()];
    let lines = || {
        let story = Story::default().event(Phase::Started, evil, evil).wait(10);
        story
            .event(Phase::Succeeded, evil, evil)
            .finish(operation.clone())
    };
    for words in ["zerodowntime.init", "zerodowntime.init --json"] {
        let server = Scripted::start(story::script(Kind::Init, lines()));
        let transcript = run(&server.socket(), words);
        let printed = transcript.stdout.clone() + &transcript.stderr;
        let raw = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!printed.contains(raw), "{printed:?}");
        assert_eq!(transcript.code, Some(0));
    }
    let refused = || Answer::Refused(Status::not_found(evil));
    let server = Scripted::start(Script {
        submit: [refused()].into(),
        ..Script::default()
    });
    assert_snapshot!(run(&server.socket(), "zerodowntime.init"));
}

#[test]
fn an_interrupt_detaches_and_says_how_to_go_on() {
    assert_snapshot!(signalled(Signal::INT, "zerodowntime.switch --quiet"));
}

#[test]
fn a_termination_detaches_too() {
    let transcript = signalled(Signal::TERM, "zerodowntime.switch --quiet --json");
    assert_eq!(transcript.code, Some(130));
    let object: serde_json::Value = serde_json::from_str(&transcript.stdout).unwrap();
    assert_eq!(object["operation"], story::ID);
    assert_eq!(object["detached"], true);
}

#[test]
fn a_restarted_server_is_found_again_and_no_event_is_printed_twice() {
    let mut script = story::switch();
    let operation = story::operation(Kind::Switch, Outcome::Completed);
    let first = Story::default().step("await_ready", 40).gate();
    // The server tells event 2 again, and goes on.
    let second = Story::after(1)
        .event(Phase::Succeeded, "await_ready", "")
        .step("route", 90);
    script.watch = [first.lines(), second.finish(operation)].into();
    let mut server = Scripted::start(script);
    let mut child = start(&server, "zerodowntime.switch");
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    stdout.read_line(&mut text).unwrap();
    assert_eq!(watch_after(&server), 0);
    server.kill();
    let mut notice = String::new();
    BufReader::new(child.stderr.take().unwrap())
        .read_line(&mut notice)
        .unwrap();
    assert!(
        notice.starts_with("the connection to the server was lost"),
        "{notice}"
    );
    server.restart();
    assert_eq!(watch_after(&server), 2);
    std::io::Read::read_to_string(&mut stdout, &mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_snapshot!(text);
}

#[test]
fn a_stream_that_a_stopping_server_ends_is_opened_again() {
    let mut script = story::switch();
    let mut first = Story::default().step("await_ready", 40).lines();
    first.push(Line::End(Status::unavailable("the server stops")));
    let operation = story::operation(Kind::Switch, Outcome::Completed);
    script.watch = [first, Story::after(2).step("route", 90).finish(operation)].into();
    let server = Scripted::start(script);
    assert_snapshot!(run(&server.socket(), "zerodowntime.switch"));
    assert_eq!(watch_after(&server), 0);
    assert_eq!(watch_after(&server), 2);
}

#[test]
fn a_lost_answer_is_asked_for_again_under_the_same_request() {
    let mut script = story::switch();
    script.submit.push_front(Answer::Never);
    let mut server = Scripted::start(script);
    let child = start(&server, "zerodowntime.switch");
    let first = server.next_call();
    server.restart();
    let second = server.next_call();
    assert!(matches!(first, Call::Submit(_)));
    assert_eq!(first, second);
    let transcript = end(&server.socket(), "zerodowntime.switch", child);
    assert_eq!(transcript.code, Some(0), "{transcript}");
}

#[test]
fn a_server_that_stays_away_is_given_up_with_the_way_to_go_on() {
    let mut server = Scripted::start(gated(Outcome::Completed));
    let words = "zerodowntime.switch --quiet --reconnect 300ms";
    let child = start(&server, words);
    watch_after(&server);
    server.kill();
    assert_snapshot!(end(&server.socket(), words, child));
}

#[test]
fn watching_in_json_prints_an_event_a_line_and_ends_as_the_operation() {
    let mut script = story::undone();
    script.operations = Some(stratus_proto::v1::ListOperationsReply {
        operations: vec![story::operation(Kind::Init, Outcome::Running)],
    });
    let server = Scripted::start(script);
    let transcript = run(&server.socket(), "operations.watch --json");
    for line in transcript.stdout.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event["number"].is_u64(), "{line}");
    }
    assert!(transcript.says_failed());
    assert_eq!(transcript.code, Some(1));
    assert_snapshot!(transcript);
}

#[test]
fn watching_an_operation_by_its_id_ends_as_it_ends() {
    let server = Scripted::start(story::switch());
    let words = format!("operations.watch {}", story::ID);
    assert_snapshot!(run(&server.socket(), &words));
}

#[test]
fn watching_an_operation_that_was_helped_goes_on_past_its_older_end() {
    let stuck = Story::default()
        .event(Phase::Failed, "drain", "the engine does not answer")
        .event(Phase::Finished, "", "")
        .event(Phase::Resumed, "drain", "");
    let lines = stuck
        .step("drain", 40)
        .finish(story::operation(Kind::Switch, Outcome::Completed));
    let mut script = story::script(Kind::Switch, lines);
    script.operation = Some(Ok(story::operation(Kind::Switch, Outcome::Running)));
    let server = Scripted::start(script);
    let words = format!("operations.watch {}", story::ID);
    let transcript = run(&server.socket(), &words);
    assert_eq!(transcript.code, Some(0), "{transcript}");
    assert!(transcript.stdout.contains("switched shop"), "{transcript}");
}

#[test]
fn watching_what_does_not_exist_fails() {
    let server = Scripted::start(Script::default());
    assert_snapshot!(run(&server.socket(), "operations.watch 0190"));
}
