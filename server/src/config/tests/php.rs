//! How members run PHP-FPM.

use super::{accepted, refused, site};

fn php(more: &str) -> String {
    site("").replace("php: {image: stratus/php-fpm}", &format!("php: {{{more}}}"))
}

#[test]
fn every_key_of_php_is_read_as_it_was_written() {
    let config = accepted(&php(
        "image: 'r.test:5000/php@sha256:ab', fpm: php-fpm8.2, mount: /srv/app/, user: 1000:1001, workers: 12, memory: 512m, cpus: 0.5, ini: {memory_limit: -1, display_errors: on, precision: 017, opcache.jit: ''}, env: {VERSION: 1.10, DEBUG: true, EMPTY: '', URL: 'file:///x'}",
    ));
    let php = &config.environments[0].php;
    assert_eq!(php.image, "r.test:5000/php@sha256:ab");
    assert_eq!(php.fpm, "php-fpm8.2");
    assert_eq!(php.mount.to_str(), Some("/srv/app"));
    assert_eq!((php.user.uid, php.user.gid), (1000, 1001));
    assert_eq!((php.workers, php.cpus_milli), (12, 500));
    assert_eq!(php.memory, 512 * 1024 * 1024);
    let ini: Vec<_> = php.ini.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(
        ini,
        [
            "display_errors=on",
            "memory_limit=-1",
            "opcache.jit=",
            "precision=017"
        ]
    );
    let env: Vec<_> = php.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(
        env,
        ["DEBUG=true", "EMPTY=", "URL=file:///x", "VERSION=1.10"]
    );
}

#[test]
fn a_user_of_two_numbers_is_not_read_as_one() {
    let user = |text: &str| {
        accepted(&php(&format!("image: a, user: {text}"))).environments[0]
            .php
            .user
    };
    for text in ["12:34", "'12:34'", "\"12:34\""] {
        assert_eq!((user(text).uid, user(text).gid), (12, 34), "{text}");
    }
}

#[test]
fn root_and_names_are_no_users() {
    refused(
        &php("image: a, user: 0:0"),
        &[
            "6:27: environments.shop.php.user: nothing here runs as root; name another user, such as 1000:1000",
        ],
    );
    for user in [
        "www-data",
        "1000",
        "1000:",
        ":1",
        "+1:1",
        "4294967295:1",
        "1:2:3",
    ] {
        refused(
            &php(&format!("image: a, user: '{user}'")),
            &[&format!(
                "6:27: environments.shop.php.user: `{user}` is not a numeric user and group; write them as 1000:1000 (`id -u` and `id -g` print yours)"
            )],
        );
    }
}

#[test]
fn code_that_belongs_to_root_needs_a_user() {
    let text = site("")
        .replace("DIR/code", "/usr/share")
        .replace("docroot: pub", "docroot: .");
    refused(
        &text,
        &[
            "6:10: environments.shop.php: `/usr/share` belongs to root, and nothing here runs as root; name another user, such as `user: 1000:1000`",
        ],
    );
    accepted(&text.replace("image:", "user: 1000:1000, image:"));
}

#[test]
fn image_and_program_are_plain_names() {
    refused(
        &php("image: 'a b', fpm: ./php-fpm"),
        &[
            "6:18: environments.shop.php.image: `a b` is not the name of an image; write it as NAME:TAG",
            "6:30: environments.shop.php.fpm: `./php-fpm` is not a program; write its name, such as php-fpm8.2, or its absolute path",
        ],
    );
}

#[test]
fn the_mount_point_is_not_the_systems() {
    for mount in ["/", "/usr", "/proc/x", "/dev/shm", "/tmp/"] {
        let shown = mount.trim_end_matches('/');
        let message = if shown.is_empty() {
            "is the root folder itself; name a folder in it".to_owned()
        } else {
            format!(
                "`{shown}` belongs to the container's system; use another folder, such as /var/www/html or one under /srv"
            )
        };
        refused(
            &php(&format!("image: a, mount: {mount}")),
            &[&format!("6:28: environments.shop.php.mount: {message}")],
        );
    }
    accepted(&php("image: a, mount: /usr/share/nginx/html"));
}

#[test]
fn workers_memory_and_cpus_have_ranges() {
    refused(
        &php("image: a, workers: 0, memory: 1m, cpus: 0"),
        &[
            "6:30: environments.shop.php.workers: `0` is not a whole number from 1 to 4096",
            "6:41: environments.shop.php.memory: `1m` is out of range; write a size from 16m to 1024g",
            "6:51: environments.shop.php.cpus: `0` is not a number of CPUs; write one from 0.01 to 512, such as 1.5",
        ],
    );
    let cpus = |text: &str| {
        accepted(&php(&format!("image: a, cpus: {text}"))).environments[0]
            .php
            .cpus_milli
    };
    assert_eq!(
        [cpus("2"), cpus("1.0"), cpus("0.01"), cpus("1.125")],
        [2000, 1000, 10, 1125]
    );
    for text in ["1.", ".5", "1e3", "-1", "0.1234", "513"] {
        refused(
            &php(&format!("image: a, cpus: '{text}'")),
            &[&format!(
                "6:27: environments.shop.php.cpus: `{text}` is not a number of CPUs; write one from 0.01 to 512, such as 1.5"
            )],
        );
    }
}

#[test]
fn ini_settings_are_plain_and_on_one_line() {
    refused(
        &php("image: a, ini: {'a]': 1, b: \"1\\n2\", c: [1], d: '${X}', e: }"),
        &[
            "6:27: environments.shop.php.ini.a]: is not the name of a php.ini setting; write one such as memory_limit",
            "6:36: environments.shop.php.ini.b: holds a control character or a line break; write it on one line",
            "6:47: environments.shop.php.ini.c: is a list or a group of keys; write a single value",
            "6:55: environments.shop.php.ini.d: `${…}` is read for secrets only; write the value itself",
            "6:66: environments.shop.php.ini.e: has no value; write one, or remove the key",
        ],
    );
}

#[test]
fn variables_have_names_and_stay_on_one_line() {
    refused(
        &php("image: a, env: {A-B: 1, 1A: 2, C: \"a\\tb\"}"),
        &[
            "6:27: environments.shop.php.env.A-B: is not the name of a variable; use letters, digits and `_`",
            "6:35: environments.shop.php.env.1A: is not the name of a variable; use letters, digits and `_`",
            "6:42: environments.shop.php.env.C: holds a control character or a line break; write it on one line",
        ],
    );
}
