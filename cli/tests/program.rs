//! The program starts under any name. This test also makes cargo build it for the transcripts of the tests crate.

use std::os::unix::process::CommandExt;
use std::process::Command;

#[test]
fn the_program_answers_to_the_path_that_scripts_call() {
    let output = Command::new(env!("CARGO_BIN_EXE_stratus"))
        .arg0("/usr/share/stratus/cli")
        .arg("--version")
        .output()
        .expect("the program starts");
    assert!(output.status.success());
    let version = format!("stratus {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), version);
}
