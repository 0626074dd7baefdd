//! The structure that docs/architecture.md promises: who may know whom, and how large a file may be.
//!
//! A rule is a function from a file to what is wrong with it; the last test seeds a fault for each.

use std::fs;
use std::path::Path;

use stratus_tests::stage::repository;

/// Longest file, in lines, without its inline tests.
const LINES_MAX: usize = 600;
const CRATES: [&str; 6] = ["core", "proto", "agent", "server", "cli", "tests"];
/// All that the domain may depend on: nothing that does I/O.
const CORE_MAY_USE: [&str; 4] = ["async-trait", "serde", "serde_json", "thiserror"];
/// A crate, and the only places that may name it. Tests may name all.
const DOORS: [(&str, &[&str]); 3] = [
    ("bollard", &["agent/src/docker"]),
    ("rusqlite", &["server/src/store"]),
    ("tonic", &["proto/", "server/src/grpc", "cli/"]),
];
/// Programs that would take a string for a command line.
const SHELLS: [&str; 5] = [
    "\"sh\"",
    "\"/bin/sh\"",
    "\"bash\"",
    "\"/bin/bash\"",
    "\"dash\"",
];

/// A file of the repository.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Whether it is no part of what is installed.
    fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
    }

    /// Without its inline tests, which stand last.
    fn product(&self) -> &str {
        let end = self.text.find("#[cfg(test)]\nmod tests {");
        &self.text[..end.unwrap_or(self.text.len())]
    }

    /// Its lines of code with their numbers, comments and inline tests left out.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.product().lines().enumerate();
        lines
            .map(|(index, line)| (index + 1, line.trim_start()))
            .filter(|(_, line)| !line.starts_with("//"))
    }

    fn lines_with<'a>(&'a self, words: &'a str) -> impl Iterator<Item = String> + 'a {
        let found = self.code().filter(move |(_, line)| line.contains(words));
        found.map(move |(number, line)| format!("{}:{number}: {line}", self.path))
    }
}

type Rule = fn(&Source) -> Vec<String>;

fn doors(source: &Source) -> Vec<String> {
    let closed = |places: &[&str]| !places.iter().any(|place| source.path.starts_with(place));
    DOORS
        .iter()
        .filter(|(_, places)| !source.is_test() && closed(places))
        .flat_map(|(name, _)| source.lines_with(name))
        .collect()
}

fn size(source: &Source) -> Vec<String> {
    let lines = source.product().lines().count();
    let complaint = format!("{}: {lines} lines, {LINES_MAX} are the most", source.path);
    (lines > LINES_MAX)
        .then_some(complaint)
        .into_iter()
        .collect()
}

fn header(source: &Source) -> Vec<String> {
    let missing = !source.text.starts_with("//! ");
    let complaint = format!("{}: does not begin with what it is for", source.path);
    missing.then_some(complaint).into_iter().collect()
}

fn no_mod_rs(source: &Source) -> Vec<String> {
    let found = source.path.ends_with("/mod.rs");
    found.then(|| source.path.clone()).into_iter().collect()
}

fn no_shell(source: &Source) -> Vec<String> {
    if source.is_test() {
        return Vec::new();
    }
    let found = SHELLS.iter().flat_map(|shell| source.lines_with(shell));
    found.collect()
}

fn no_unwrap(source: &Source) -> Vec<String> {
    if source.is_test() {
        return Vec::new();
    }
    source.lines_with(".unwrap()").collect()
}

/// `expect` says why, and complains when the reason is gone.
fn no_allow(source: &Source) -> Vec<String> {
    ["#[allow(", "#![allow("]
        .iter()
        .flat_map(|words| {
            source
                .code()
                .filter(move |(_, line)| line.starts_with(words))
        })
        .map(|(number, line)| format!("{}:{number}: {line}", source.path))
        .collect()
}

/// Names under `[dependencies]`, features and the rest left out.
fn dependencies(manifest: &str) -> Vec<&str> {
    let section = manifest
        .split("\n[")
        .find(|s| s.starts_with("dependencies]"));
    let lines = section.unwrap_or_default().lines().skip(1);
    lines
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .collect()
}

fn sources() -> Vec<Source> {
    let root = repository();
    let mut found = Vec::new();
    for name in CRATES {
        collect(&root, &root.join(name), &mut found);
    }
    assert!(found.len() > 100, "only {} files were found", found.len());
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("its entry").path();
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).expect("it lies below the root");
            found.push(Source {
                path: name.to_string_lossy().into_owned(),
                text: fs::read_to_string(&path).expect("a source file"),
            });
        }
    }
}

fn check(rule: Rule) {
    let complaints: Vec<String> = sources().iter().flat_map(rule).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn the_domain_depends_on_nothing_that_does_io() {
    let manifest = fs::read_to_string(repository().join("core/Cargo.toml")).unwrap();
    assert_eq!(dependencies(&manifest), CORE_MAY_USE);
}

#[test]
fn the_engine_the_database_and_grpc_are_named_behind_their_doors_only() {
    check(doors);
}

#[test]
fn no_file_is_too_long() {
    check(size);
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    check(header);
}

#[test]
fn no_module_hides_in_a_mod_rs() {
    check(no_mod_rs);
}

#[test]
fn no_shell_is_started() {
    check(no_shell);
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    check(no_unwrap);
}

#[test]
fn no_lint_is_silenced_without_a_reason() {
    check(no_allow);
}

#[test]
fn each_rule_finds_the_fault_that_it_is_for() {
    let source = |path: &str, text: &str| Source {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let long = "//! Long.\n".repeat(LINES_MAX + 1);
    let faults: [(Rule, &str, &str); 9] = [
        (doors, "server/src/engine.rs", "use bollard::Docker;"),
        (
            doors,
            "agent/src/fpm.rs",
            "fn f(c: &rusqlite::Connection) {}",
        ),
        (doors, "server/src/control.rs", "    use tonic::Status;"),
        (size, "core/src/id.rs", &long),
        (header, "core/src/id.rs", "use std::fmt;"),
        (no_mod_rs, "core/src/operation/mod.rs", "//! Operations."),
        (
            no_shell,
            "agent/src/fpm.rs",
            "Command::new(\"sh\").arg(\"-c\")",
        ),
        (
            no_unwrap,
            "cli/src/main.rs",
            "run().unwrap();\n#[cfg(test)]\nmod tests {",
        ),
        (no_allow, "core/src/id.rs", "    #[allow(dead_code)]"),
    ];
    for (rule, path, text) in faults {
        assert_eq!(rule(&source(path, text)).len(), 1, "{path}: {text}");
    }
    let fine = "//! About bollard.\n// tonic\n#[cfg(test)]\nmod tests {\n run().unwrap();\n}\n";
    let fine = source("server/src/engine.rs", fine);
    for rule in [
        doors, size, header, no_mod_rs, no_shell, no_unwrap, no_allow,
    ] {
        assert_eq!(rule(&fine), [""; 0]);
    }
    let manifest =
        "[dependencies]\nserde.workspace = true\ntokio = \"1\"\n\n[features]\nfake = []\n";
    assert_eq!(
        dependencies(&format!("[package]\n{manifest}")),
        ["serde", "tokio"]
    );
}
