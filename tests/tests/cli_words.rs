//! Transcripts of the words themselves: typos, stray characters, what is not built yet, help, and where the server is.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use insta::assert_snapshot;
use stratus_proto::v1::StatusReply;
use stratus_tests::program::{Transcript, call, run};
use stratus_tests::scripted::story;
use stratus_tests::scripted::{Script, Scripted};

/// Runs a call that never reaches a server.
fn alone(words: &str) -> Transcript {
    run(Path::new("/nonexistent/stratus.sock"), words)
}

#[test]
fn a_misspelt_command_fails_and_names_the_nearest() {
    let transcript = alone("zerdowntime.switch");
    assert!(transcript.says_failed());
    assert_snapshot!(transcript);
    assert_snapshot!("misspelt_json", alone("--json zerdowntime.switch ;"));
    assert_snapshot!("nonsense", alone("frobnicate"));
}

#[test]
fn a_stray_semicolon_or_space_is_harmless() {
    for word in [
        "zerodowntime.switch;",
        "zerodowntime.switch ",
        "zerodowntime.switch ;",
    ] {
        let server = Scripted::start(story::switch());
        let mut command = call(&server.socket(), "");
        assert!(
            command.arg(word).output().unwrap().status.success(),
            "{word:?}"
        );
    }
    let server = Scripted::start(story::switch());
    assert_eq!(run(&server.socket(), "zerodowntime.switch ;").code, Some(0));
}

#[test]
fn a_variable_that_is_set_and_empty_counts_as_not_set() {
    let server = Scripted::start(story::switch());
    let mut switch = call(&server.socket(), "zerodowntime.switch");
    for name in ["STRATUS_ENV", "STRATUS_RECONNECT", "STRATUS_CRONS_FOR"] {
        switch.env(name, "");
    }
    let output = switch.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");

    // Each is read by its own command; without a server that is as far as they come.
    for (name, words) in [
        ("STRATUS_CRONS_FOR", "crons.stop"),
        ("STRATUS_SERVER", "status"),
    ] {
        let mut command = call(Path::new("/nonexistent/stratus.sock"), words);
        let output = command.env(name, "").output().unwrap();
        assert_ne!(output.status.code(), Some(2), "{name}: {output:?}");
    }
}

#[test]
fn what_is_not_built_yet_says_so_and_does_nothing() {
    assert_snapshot!(alone("autoscaling.set --min 2"));
    for words in ["autoscaling.enable", "events", "logs", "top"] {
        let transcript = alone(words);
        assert!(
            transcript.says_failed() && transcript.code == Some(1),
            "{transcript}"
        );
        assert!(transcript.stdout.contains("not built yet"), "{transcript}");
    }
    let help = alone("help");
    assert!(
        !help.stdout.contains("autoscaling.enable") && !help.stdout.contains("  top"),
        "{help}"
    );
}

#[test]
fn wrong_options_are_usage_failures() {
    assert_snapshot!("wrong_option", alone("zerodowntime.init --verfy"));
    assert_snapshot!("missing_argument", alone("operations.cancel"));
    assert_snapshot!("wrong_value", alone("operations.list --limit 900"));
    assert_snapshot!("no_command", alone(""));
    assert_snapshot!("wrong_address", alone("--server https://host:7443 status"));
    assert_snapshot!("both", alone("zerodowntime.init --detach --dry-run"));
}

#[test]
fn help_lists_the_commands_in_groups() {
    let help = alone("help");
    assert!(help.is_clean());
    assert_eq!(help.stdout, alone("--help").stdout);
    assert_snapshot!(help);
}

#[test]
fn help_explains_a_command() {
    let help = alone("help zerodowntime.init");
    assert_eq!(help.stdout, alone("zerodowntime.init --help").stdout);
    assert_snapshot!(help);
    assert_snapshot!("help_typo", alone("help zerodowntime.int"));
}

#[test]
fn every_command_has_help_with_an_example() {
    let overview = alone("help").stdout;
    let listed = overview
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("  -"));
    let mut seen = 0;
    for name in listed.filter_map(|line| line.split_whitespace().next()) {
        let help = alone(&format!("{name} --help"));
        assert!(help.code == Some(0) && help.is_clean(), "{help}");
        assert!(
            help.stdout.contains(&format!("Example:\n  stratus {name}")),
            "{help}"
        );
        seen += 1;
    }
    assert!(seen > 20, "only {seen}");
}

#[test]
fn completions_know_the_dotted_names() {
    for shell in ["bash", "zsh", "fish"] {
        let transcript = alone(&format!("completions {shell}"));
        assert_eq!(transcript.code, Some(0));
        assert!(transcript.stdout.contains("zerodowntime.switch"), "{shell}");
    }
    let unknown = alone("completions tcsh");
    assert_eq!(unknown.code, Some(2));
}

#[test]
fn manual_pages_are_printed_or_written() {
    let page = alone("man zerodowntime.init");
    assert!(
        page.stdout.contains(".TH stratus-zerodowntime.init 1"),
        "{page}"
    );
    assert!(page.stdout.contains("\\-\\-verify"), "{page}");
    let folder = tempfile::tempdir().unwrap();
    let written = alone(&format!("man --dir {}", folder.path().display()));
    assert_eq!(written.code, Some(0), "{written}");
    let overview = alone("help").stdout;
    let listed = overview
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("  -"));
    // One a command, and one of the whole.
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        listed.count() + 1
    );
    let main = std::fs::read_to_string(folder.path().join("stratus.1")).unwrap();
    assert!(main.contains("stratus\\-zerodowntime.switch(1)"), "{main}");
    let missing = alone("man --dir /nonexistent/folder");
    assert!(
        missing.says_failed() && missing.code == Some(1),
        "{missing}"
    );
}

#[test]
fn a_server_that_does_not_run_is_told_with_its_socket() {
    assert_snapshot!("no_socket", alone("zerodowntime.switch"));
    let mut server = Scripted::start(Script::default());
    server.kill();
    assert_snapshot!(
        "nobody_listens",
        run(&server.socket(), "zerodowntime.switch")
    );
}

#[test]
fn a_socket_that_is_not_ours_is_told_apart() {
    let server = Scripted::start(Script::default());
    let closed = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(server.folder(), closed).unwrap();
    // Root may open everything; a process of somebody else may not.
    let mut command = call(&server.socket(), "status");
    std::os::unix::process::CommandExt::uid(&mut command, 65_534);
    let output = command.output();
    let open = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(server.folder(), open).unwrap();
    let stdout = if let Ok(output) = output {
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stdout).into_owned()
    } else {
        // Not root: this user cannot become another, and is denied as itself.
        std::fs::set_permissions(server.socket(), std::fs::Permissions::from_mode(0o000)).unwrap();
        run(&server.socket(), "status").stdout
    };
    assert!(
        stdout.starts_with("ERROR: Error: permission denied on"),
        "{stdout}"
    );
}

#[test]
fn the_server_is_found_by_path_or_by_unix_address() {
    let status = || Script {
        status: Some(StatusReply::default()),
        ..Script::default()
    };
    let server = Scripted::start(status());
    let socket = server.socket();
    for address in [
        socket.display().to_string(),
        format!("unix:{}", socket.display()),
    ] {
        let transcript = run(
            Path::new("/nonexistent"),
            &format!("status --server {address}"),
        );
        assert_eq!(transcript.code, Some(0), "{transcript}");
    }
}

#[test]
fn a_server_of_another_version_is_told() {
    let server = Scripted::start(Script::default());
    assert_snapshot!(run(&server.socket(), "status"));
}
