//! What is shown of an environment, and the examples that ship.

use super::{Place, site};
use crate::config::{environment, php, render};

const RICH: &str = "front: app.php
shared: [pub/media, var]
links: [DIR/code/pub]
exclude: [.git, node_modules]
deny: [media/private]
immutable: false
autoscaling: true
zero_downtime: false
replicas: {min: 2, max: 6}
ready: {path: /up.php, status: 204, within: 90s, successes: 1}
warm: [/, /about]
drain: 1500ms
keep: {releases: 5, warm: 0s}
upload_limit: 1500
hooks: {before_init: [[make]], before_switch: [[php, bin/console, 'migrate --now'], [php, '']], timeout: 5m}
maintenance: {page: errors/503.html, retry_after: 90s, allow: [203.0.113.7, '2001:db8::/32']}
check: {path: /health, status: 204, body: 'all: well', within: 20s}
hold: 20s";

#[test]
fn a_rendered_environment_loads_as_the_same_one() {
    let place = Place::new();
    let rich = site(RICH).replace(
        "stratus/php-fpm}",
        "a:1, user: 7:8, cpus: 1.25, ini: {a: on, b: 'no', c: '1:2'}, env: {A: '$${X}', B: '1.10', C: '', D: '~'}}",
    );
    for text in [site(""), rich] {
        let config = place.load(&text).unwrap();
        let again = place.load(&render(&config.environments[0]));
        assert_eq!(again.unwrap().environments, config.environments);
    }
}

#[test]
fn an_environment_is_rendered_with_its_defaults_and_without_secrets() {
    let place = Place::new();
    let text = site("").replace(
        "stratus/php-fpm}",
        "a, user: 7:8, env: {DB: '${DB_PASSWORD}', APP_ENV: production}}",
    );
    let config = place.load(&text).unwrap();
    let text = render(&config.environments[0]);
    insta::assert_snapshot!(text.replace(place.dir.path().to_str().unwrap(), "DIR"));
}

#[test]
fn the_example_that_ships_loads() {
    let text = include_str!("../../../../compose/stratus.example.yaml");
    let place = Place::new();
    let text = text
        .replace("/srv/shop", "DIR/code")
        .replace("/srv/assets", "DIR/code/pub");
    let config = place.load(&text).unwrap();
    assert_eq!(config.environments[0].name.as_str(), "shop");
}

#[test]
fn every_key_is_in_the_manual() {
    let manual = include_str!("../../../../docs/configuration.md");
    let php = php::KEYS.iter().map(|key| format!("php.{key}"));
    let keys = environment::KEYS.iter().map(ToString::to_string).chain(php);
    for key in keys {
        let alone = format!("| `environments.NAME.{key}` |");
        let group = format!("| `environments.NAME.{key}.");
        assert!(manual.contains(&alone) || manual.contains(&group), "{key}");
    }
    for key in environment::PLANNED {
        assert!(manual.contains(&format!("`{key}`")), "{key}");
    }
}
