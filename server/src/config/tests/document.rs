//! The file and its YAML.

use std::fmt::Write as _;

use super::{Place, accepted, load_file, refused, site};
use crate::config::{FILE_MAX, find};

#[test]
fn a_missing_file_is_named() {
    let place = Place::new();
    let result = load_file(&place.path("none.yaml"));
    assert_eq!(
        place.message(result),
        "DIR/none.yaml: there is no such file; create it, or name another one with --config"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_its_error_kept() {
    let place = Place::new();
    std::fs::write(place.path("file"), "").unwrap();
    let error = load_file(&place.path("file/below")).unwrap_err();
    assert_eq!(
        stratus_core::fault::chain(&error).replace(place.dir.path().to_str().unwrap(), "DIR"),
        "DIR/file/below: cannot be read; see to it that this user may read it: Not a directory (os error 20)"
    );
}

#[test]
fn a_folder_and_a_pipe_are_no_configuration() {
    let place = Place::new();
    let pipe = place.path("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    for name in ["code", "pipe"] {
        assert_eq!(
            place.message(load_file(&place.path(name))),
            format!("DIR/{name}: is not a regular file; name the file itself with --config")
        );
    }
}

#[test]
fn a_file_of_256_kib_is_read_and_one_byte_more_is_not() {
    let place = Place::new();
    let text = site("").replace("DIR", place.dir.path().to_str().unwrap());
    let mut bytes = text.into_bytes();
    bytes.resize(FILE_MAX, b'\n');
    place.load_bytes(&bytes).unwrap();
    bytes.push(b'\n');
    assert_eq!(
        place.message(place.load_bytes(&bytes)),
        "DIR/stratus.yaml: is larger than 262144 bytes; a configuration is not, is it the right file?"
    );
}

#[test]
fn a_byte_that_is_not_utf8_is_placed() {
    let place = Place::new();
    assert_eq!(
        place.message(place.load_bytes(b"a: 1\n\xc3\xa4: \xff\n")),
        "DIR/stratus.yaml:2:4: byte 0xff is not UTF-8; save the file as UTF-8"
    );
}

#[test]
fn an_empty_file_says_what_it_needs() {
    for text in ["", "# nothing\n", "---\n"] {
        let place = Place::new();
        let message = place.message(place.load(text));
        assert!(
            message.ends_with(
                ": the file is empty; it needs at least `environments:` with one environment"
            ),
            "{message}"
        );
    }
}

#[test]
fn a_list_is_no_configuration() {
    refused(
        "[a, b]\n",
        &["1:1: is not a group of keys; write `key: value` lines under it"],
    );
}

#[test]
fn a_tab_is_placed() {
    refused(
        "environments:\n\tshop: {}\n",
        &["2:2: is not valid YAML: tabs disallowed within this context (block indentation)"],
    );
}

#[test]
fn an_open_bracket_is_placed() {
    refused(
        "environments: [1\n",
        &["1:15: is not valid YAML: unclosed bracket '['"],
    );
}

#[test]
fn a_second_document_is_refused() {
    refused(
        "server: {}\n---\nserver: {}\n",
        &["3:1: a second document begins here; put everything into one"],
    );
}

#[test]
fn a_key_without_a_name_is_refused() {
    refused("~: 1\n", &["1:1: a key has no name; give it one"]);
}

#[test]
fn an_unknown_tag_is_refused() {
    refused(
        "server: !run x\n",
        &["1:14: is not valid YAML: unsupported tag `!run`"],
    );
}

const TOO_MUCH: &str = "is nested deeper than 32 levels or holds more than 10000 values; make it smaller, and see what its aliases repeat";

#[test]
fn an_alias_bomb_ends_at_the_limit_of_values() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, below) in ["b", "c", "d", "e", "f", "g", "h"].into_iter().zip('a'..) {
        let list = vec![format!("*{below}"); 9].join(", ");
        writeln!(text, "{name}: &{name} [{list}]").unwrap();
    }
    let begun = std::time::Instant::now();
    let place = Place::new();
    let message = place.message(place.load(&text));
    assert!(message.ends_with(TOO_MUCH), "{message}");
    assert!(begun.elapsed().as_secs() < 5);
}

#[test]
fn thirty_two_levels_are_read_and_one_more_is_not() {
    let nested = |levels: usize| format!("{}{}\n", "[".repeat(levels), "]".repeat(levels));
    refused(
        &nested(32),
        &["1:1: is not a group of keys; write `key: value` lines under it"],
    );
    refused(&nested(33), &[&format!("1:33: {TOO_MUCH}")]);
}

#[test]
fn a_duplicate_key_names_both_lines() {
    refused(
        &site("drain: 10s\ndrain: 20s"),
        &["8:5: environments.shop.drain: is already given in line 7; keep one of the two"],
    );
    refused(
        &format!("{}  shop: {{}}\n", site("")),
        &["8:3: environments.shop: is already given in line 2; keep one of the two"],
    );
}

#[test]
fn anchors_and_merges_are_followed() {
    let config = accepted(
        "environments:
  shop: &base
    hosts: [shop.example.test]
    code: DIR/code
    docroot: pub
    drain: 45s
    php: {image: stratus/php-fpm, user: \"7:8\"}
  shop2:
    <<: *base
    hosts: [two.example.test]
",
    );
    assert_eq!(config.environments[1].drain.as_secs(), 45);
    assert_eq!(config.environments[1].hosts, ["two.example.test"]);
}

#[test]
fn the_flag_wins_over_the_variable_and_the_variable_over_the_default() {
    let variable = || Some("/v".into());
    assert_eq!(find(Some("/f".as_ref()), variable()).to_str(), Some("/f"));
    assert_eq!(find(None, variable()).to_str(), Some("/v"));
    assert_eq!(
        find(None, Some("".into())).to_str(),
        Some("/etc/stratus/stratus.yaml")
    );
    assert_eq!(find(None, None).to_str(), Some("/etc/stratus/stratus.yaml"));
}
