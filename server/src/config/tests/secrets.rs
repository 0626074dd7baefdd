//! Secrets: read from variables and files, never shown.

use std::fs;

use super::{Place, accepted, refused, site};
use crate::config::render;

fn env(value: &str) -> String {
    site("").replace("stratus/php-fpm}", &format!("a, env: {{DB: '{value}'}}}}"))
}

#[test]
fn a_secret_from_a_variable_is_used_and_never_shown() {
    let config = accepted(&env("redis://:${DB_PASSWORD}@redis"));
    let value = &config.environments[0].php.env["DB"];
    assert_eq!(value.expose(), "redis://:hunter2@redis");
    for text in [format!("{config:?}"), render(&config.environments[0])] {
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("<secret>"), "{text}");
    }
}

#[test]
fn a_secret_from_a_file_loses_its_last_line_break_only() {
    for (written, read) in [("p w ", "p w "), ("pw\n", "pw"), ("pw\r\n", "pw")] {
        let place = Place::new();
        fs::write(place.path("secret"), written).unwrap();
        let config = place.load(&env("file:DIR/secret")).unwrap();
        let value = &config.environments[0].php.env["DB"];
        assert!(value.is_secret());
        assert_eq!(value.expose(), read);
    }
}

#[test]
fn a_dollar_is_a_dollar() {
    for (written, read) in [
        ("$2y$10$abc", "$2y$10$abc"),
        ("$${X}", "${X}"),
        ("a$$b", "a$$b"),
        ("$", "$"),
    ] {
        let config = accepted(&env(written));
        let value = &config.environments[0].php.env["DB"];
        assert_eq!((value.expose(), value.is_secret()), (read, false));
    }
}

#[test]
fn a_variable_that_is_missing_or_malformed_is_refused() {
    refused(
        &env("${DB_PASWORD}"),
        &[
            "6:27: environments.shop.php.env.DB: the server's environment has no variable `DB_PASWORD`; set it where stratusd is started",
        ],
    );
    for text in ["${", "${A", "${}", "${1A}", "${A-b}"] {
        refused(
            &env(text),
            &[
                "6:27: environments.shop.php.env.DB: `${` begins a variable such as `${DB_PASSWORD}`; write a literal `${` as `$${`",
            ],
        );
    }
    refused(
        &env("${TWO_LINES}"),
        &[
            "6:27: environments.shop.php.env.DB: the variable `TWO_LINES` holds a control character or a line break, which PHP-FPM cannot take; encode it, for example as base64",
        ],
    );
}

#[test]
fn a_secret_file_that_cannot_be_used_is_named() {
    for (name, contents, message) in [
        (
            "DIR/none",
            None,
            "the secret file DIR/none cannot be read (No such file or directory (os error 2)); create it, readable for stratusd",
        ),
        (
            "DIR/code",
            None,
            "the secret file DIR/code is not a regular file; name one",
        ),
        (
            "secret",
            None,
            "names a secret file without its absolute path; write file:/etc/stratus/NAME",
        ),
        (
            "DIR/s",
            Some(vec![]),
            "the secret file DIR/s is empty; write the secret into it",
        ),
        (
            "DIR/s",
            Some(b"a\nb\n".to_vec()),
            "the secret file DIR/s holds a control character or a line break, which PHP-FPM cannot take; encode it, for example as base64",
        ),
        (
            "DIR/s",
            Some(vec![0xff]),
            "the secret file DIR/s is not UTF-8; write the secret as text",
        ),
        (
            "DIR/s",
            Some(vec![b'a'; 65_537]),
            "the secret file DIR/s is larger than 65536 bytes; name the right one",
        ),
    ] {
        let place = Place::new();
        if let Some(contents) = contents {
            fs::write(place.path("s"), contents).unwrap();
        }
        assert_eq!(
            place.message(place.load(&env(&format!("file:{name}")))),
            format!("DIR/stratus.yaml:6:27: environments.shop.php.env.DB: {message}")
        );
    }
}
