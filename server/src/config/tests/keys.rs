//! Keys, single values, hosts, the server and nginx.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use super::{Place, accepted, refused, site};

#[test]
fn a_site_of_four_keys_has_every_default() {
    let place = Place::new();
    let mut config = place.load(&site("")).unwrap();
    let owner = std::fs::metadata(place.path("code")).unwrap();
    let user = &mut config.environments[0].php.user;
    assert_eq!((user.uid, user.gid), (owner.uid(), owner.gid()));
    (user.uid, user.gid) = (1000, 1000);
    let text = format!("{config:#?}").replace(place.dir.path().to_str().unwrap(), "DIR");
    insta::assert_snapshot!(text);
}

#[test]
fn a_misspelt_key_gets_the_nearest_one() {
    refused(
        &site("drian: 10s"),
        &["7:5: environments.shop.drian: unknown key; did you mean `drain`?"],
    );
    refused(
        &site("").replace("image:", "imge:"),
        &[
            "6:10: environments.shop.php: `image` is missing; add `image: NAME:TAG`",
            "6:11: environments.shop.php.imge: unknown key; did you mean `image`?",
        ],
    );
    refused(
        &format!("sever: {{}}\n{}", site("")),
        &["1:1: sever: unknown key; did you mean `server`?"],
    );
}

#[test]
fn a_key_like_no_other_gets_the_list() {
    refused(
        &site("keep: {everything: true}"),
        &[
            "7:12: environments.shop.keep.everything: unknown key; the keys here are releases, warm, standby",
        ],
    );
}

#[test]
fn a_key_that_is_not_built_yet_says_so() {
    refused(
        &format!(
            "server: {{listen: 0.0.0.0:7443, panel: 127.0.0.1:8480, metrics: 127.0.0.1:9480}}\n{}",
            site("")
        ),
        &[
            "1:10: server.listen: is not built yet; remove it",
            "1:32: server.panel: is not built yet; remove it",
            "1:55: server.metrics: is not built yet; remove it",
        ],
    );
}

#[test]
fn an_http_pool_is_not_built_yet_and_needs_no_php_beside() {
    refused(
        &site("").replace("php:", "http:"),
        &["6:5: environments.shop.http: is not built yet; remove it"],
    );
}

#[test]
fn everything_that_is_wrong_is_reported_at_once_in_order() {
    refused(
        "server: {data_dir: var}
nginx: {http: 8000}
environments:
  Shop: {}
  shop: {drain: 2h}
",
        &[
            "1:20: server.data_dir: `var` is not absolute; begin it with /",
            "2:15: nginx.http: `8000` is not an address with a port; write it as 127.0.0.1:8000",
            "4:3: environments.Shop: is not a name for an environment; use a lower case letter, then lower case letters, digits and hyphens, 40 at most",
            "5:3: environments.shop: `hosts` is missing; add `hosts: [shop.example.test]`",
            "5:3: environments.shop: `code` is missing; add `code: /srv/shop`",
            "5:3: environments.shop: `docroot` is missing; add `docroot: pub`",
            "5:3: environments.shop: `php` is missing; add `php: {image: …}`",
            "5:17: environments.shop.drain: `2h` is out of range; write a duration from 1s to 1h",
        ],
    );
}

#[test]
fn environments_are_needed_and_keep_their_order() {
    refused(
        "server: {}\n",
        &["1:1: `environments` is missing; add it, with at least one environment under it"],
    );
    refused(
        "environments: {}\n",
        &["1:15: environments: is empty; describe at least one environment"],
    );
    let names = ["zoo", "shop", "alpha"];
    let text = names.map(|name| {
        site("")
            .replace("environments:\n", "")
            .replace("shop", name)
    });
    let config = accepted(&format!("environments:\n{}", text.concat()));
    let read = config.environments.iter().map(|e| e.name.as_str());
    assert_eq!(read.collect::<Vec<_>>(), names);
    assert!(config.environment("alpha").is_some());
    assert!(config.environment("beta").is_none());
}

#[test]
fn a_value_of_the_wrong_shape_is_refused() {
    refused(
        &site("drain: [1]\nhosts:"),
        &[
            "7:12: environments.shop.drain: is a list or a group of keys; write a single value",
            "8:5: environments.shop.hosts: is already given in line 3; keep one of the two",
        ],
    );
    refused(
        &site("drain:\nfront: ''\nwarm: /\nkeep: 3"),
        &[
            "7:10: environments.shop.drain: has no value; write one, or remove the key",
            "8:12: environments.shop.front: is empty; write a value, or remove the key",
            "9:11: environments.shop.warm: is not a list; write it as [one, two]",
            "10:11: environments.shop.keep: is not a group of keys; write `key: value` lines under it",
        ],
    );
    refused(
        &site("front: \"a\\u0007.php\""),
        &[
            "7:12: environments.shop.front: holds a control character or a line break; write it on one line",
        ],
    );
}

#[test]
fn a_variable_outside_of_php_env_is_refused() {
    refused(
        &site("front: ${FRONT}"),
        &["7:12: environments.shop.front: `${…}` is read for secrets only; write the value itself"],
    );
}

#[test]
fn durations_have_a_unit_and_a_range() {
    let of = |text: &str| accepted(&site(&format!("drain: {text}"))).environments[0].drain;
    assert_eq!(of("30s"), Duration::from_secs(30));
    assert_eq!(of("1m 30s"), Duration::from_secs(90));
    assert_eq!(of("1h"), Duration::from_hours(1));
    refused(
        &site("drain: 30"),
        &[
            "7:12: environments.shop.drain: `30` is not a duration; write a number and a unit, such as 30s or 10m",
        ],
    );
    refused(
        &site("drain: 61m"),
        &["7:12: environments.shop.drain: `61m` is out of range; write a duration from 1s to 1h"],
    );
    refused(
        &site("drain: 0"),
        &["7:12: environments.shop.drain: `0` is out of range; write a duration from 1s to 1h"],
    );
}

#[test]
fn sizes_count_in_1024() {
    let of =
        |text: &str| accepted(&site(&format!("upload_limit: {text}"))).environments[0].upload_limit;
    assert_eq!(of("512M"), 512 * 1024 * 1024);
    assert_eq!(of("1g"), 1024 * 1024 * 1024);
    assert_eq!(of("64k"), 65_536);
    assert_eq!(of("5000"), 5000);
    refused(
        &site("upload_limit: 1.5g"),
        &[
            "7:19: environments.shop.upload_limit: `1.5g` is not a size; write a number and k, m or g, such as 512m",
        ],
    );
    refused(
        &site("upload_limit: 0"),
        &["7:19: environments.shop.upload_limit: `0` is out of range; write a size from 1k to 64g"],
    );
    refused(
        &site("upload_limit: 99999999999999999999g"),
        &[
            "7:19: environments.shop.upload_limit: `99999999999999999999g` is not a size; write a number and k, m or g, such as 512m",
        ],
    );
}

#[test]
fn switches_are_true_or_false() {
    let config = accepted(&site("autoscaling: true\nzero_downtime: false"));
    assert!(config.environments[0].autoscaling && !config.environments[0].zero_downtime);
    refused(
        &site("immutable: yes"),
        &["7:16: environments.shop.immutable: `yes` is neither true nor false"],
    );
}

#[test]
fn replicas_are_a_number_or_bounds() {
    let of = |text: &str| {
        let replicas = accepted(&site(&format!("replicas: {text}"))).environments[0].replicas;
        (replicas.min, replicas.max)
    };
    assert_eq!(of("3"), (3, 3));
    assert_eq!(of("{min: 2, max: 6}"), (2, 6));
    assert_eq!(of("{min: 64}"), (64, 64));
    for (text, column) in [("0", 15), ("65", 15), ("{max: 65}", 21)] {
        let number = text.trim_matches(|c: char| !c.is_ascii_digit());
        let key = if text == number { "" } else { ".max" };
        refused(
            &site(&format!("replicas: {text}")),
            &[&format!(
                "7:{column}: environments.shop.replicas{key}: `{number}` is not a whole number from 1 to 64"
            )],
        );
    }
    refused(
        &site("replicas: {min: 3, max: 2}"),
        &["7:15: environments.shop.replicas: min is 3 and max is 2; max is at least min"],
    );
}

#[test]
fn readiness_names_a_script_and_a_status() {
    let ready = &accepted(&site("front: app.php")).environments[0].ready;
    assert_eq!(ready.path, "/app.php");
    let text = "ready: {path: '/up.php?deep=1', status: 204, within: 5s, successes: 3}";
    let ready = accepted(&site(text)).environments.remove(0).ready;
    assert_eq!((ready.path.as_str(), ready.status), ("/up.php?deep=1", 204));
    assert_eq!((ready.within.as_secs(), ready.successes), (5, 3));
    refused(
        &site("ready: {path: index.php, status: 600, within: 2h, successes: 0}"),
        &[
            "7:19: environments.shop.ready.path: `index.php` is not a path of a page; begin it with / and write spaces and other special characters as %20",
            "7:38: environments.shop.ready.status: `600` is not a whole number from 100 to 599",
            "7:51: environments.shop.ready.within: `2h` is out of range; write a duration from 1s to 1h",
            "7:66: environments.shop.ready.successes: `0` is not a whole number from 1 to 100",
        ],
    );
    for path in ["/health", "/../index.php", "/index.php/info"] {
        refused(
            &site(&format!("ready: {{path: {path}}}")),
            &[&format!(
                "7:19: environments.shop.ready.path: `{path}` is not a script under the docroot; name one, such as /index.php"
            )],
        );
    }
}

#[test]
fn warm_paths_are_paths() {
    let config = accepted(&site("warm: [/, '/about?a=1']"));
    assert_eq!(config.environments[0].warm, ["/", "/about?a=1"]);
    refused(
        &site("warm: [/, about, '/a b']"),
        &[
            "7:15: environments.shop.warm[1]: `about` is not a path of a page; begin it with / and write spaces and other special characters as %20",
            "7:22: environments.shop.warm[2]: `/a b` is not a path of a page; begin it with / and write spaces and other special characters as %20",
        ],
    );
}

#[test]
fn keep_has_ranges() {
    refused(
        &site("keep: {releases: 0, warm: 8d, standby: 5s}"),
        &[
            "7:22: environments.shop.keep.releases: `0` is not a whole number from 1 to 1000",
            "7:31: environments.shop.keep.warm: `8d` is out of range; write a duration from 0s to 7days",
            "7:44: environments.shop.keep.standby: `5s` is out of range; write a duration from 1m to 30days",
        ],
    );
    let keep = accepted(&site("keep: {releases: 1, warm: 0s}")).environments[0].keep;
    assert_eq!((keep.releases, keep.warm), (1, Duration::ZERO));
}

#[test]
fn host_names_are_lowered_and_checked() {
    let hosts = |text: &str| site("").replace("[shop.example.test]", text);
    let config = accepted(&hosts(
        "[SHOP.Example.test, xn--mnchen-3ya.example, 127.0.0.1]",
    ));
    assert_eq!(
        config.environments[0].hosts,
        ["shop.example.test", "xn--mnchen-3ya.example", "127.0.0.1"]
    );
    let wrong = |text: &str, rest: &str| {
        refused(
            &hosts(&format!("['{text}']")),
            &[&format!(
                "3:13: environments.shop.hosts[0]: `{text}` {rest}"
            )],
        );
    };
    wrong(
        "münchen.example",
        "is not ASCII; write the name's xn-- form",
    );
    wrong("*.example.test", "is a pattern; list each host name");
    for name in [
        "a..b",
        "-a.test",
        "a:80",
        "a.test.",
        "a b",
        "a;b",
        "https://a",
    ] {
        wrong(
            name,
            "is not a host name; write it without scheme, port and final dot, such as shop.example.test",
        );
    }
    refused(
        &hosts("[]"),
        &["3:12: environments.shop.hosts: is empty; name at least one host"],
    );
}

#[test]
fn two_environments_with_one_host_name_are_refused_whatever_its_case() {
    let other = site("")
        .replace("environments:\n", "")
        .replace("shop:", "other:")
        .replace("[shop.example.test]", "[other.test, Shop.Example.TEST]");
    refused(
        &format!("{}{other}", site("")),
        &[
            "9:25: environments.other.hosts[1]: `shop.example.test` already belongs to environment `shop` (line 3); a host name has one environment",
        ],
    );
}

#[test]
fn the_server_and_nginx_can_be_described() {
    let config = accepted(&format!(
        "server: {{data_dir: DIR/data//x/., socket: DIR/s.sock}}
nginx: {{container: web.1, http: '[::1]:8080', debug_header: true, user: 101:102}}
{}",
        site("")
    ));
    assert!(config.server.data_dir.ends_with("data/x"));
    assert_eq!(config.nginx.container, "web.1");
    assert_eq!(config.nginx.http.to_string(), "[::1]:8080");
    assert!(config.nginx.debug_header);
    assert_eq!((config.nginx.user.uid, config.nginx.user.gid), (101, 102));
    assert_eq!((config.nginx.https, config.nginx.varnish), (None, false));
    assert!(!config.nginx.access_log);
}

#[test]
fn tls_and_varnish_are_there_where_they_are_asked_for() {
    let text = |nginx: &str| format!("nginx: {{{nginx}}}\n{}", site(""));
    let config = accepted(&text(
        "https: 127.0.0.1:8443, varnish: true, access_log: true",
    ));
    assert!(config.nginx.access_log);
    let https = config.nginx.https.map(|address| address.to_string());
    assert_eq!(https.as_deref(), Some("127.0.0.1:8443"));
    assert!(config.nginx.varnish);
    refused(
        &text("https: 127.0.0.1:8000, varnish: beside, access_log: all"),
        &[
            "1:16: nginx.https: is the address of nginx.http; give it a port of its own",
            "1:41: nginx.varnish: `beside` is neither true nor false",
            "1:61: nginx.access_log: `all` is neither true nor false",
        ],
    );
}

#[test]
fn nginx_is_refused_a_bad_name_address_and_user() {
    refused(
        &format!(
            "nginx: {{container: a/b, http: 127.0.0.1:0, debug_header: 1, user: www-data}}\n{}",
            site("")
        ),
        &[
            "1:20: nginx.container: `a/b` is not a container name; use letters, digits, `_`, `.` and `-`",
            "1:31: nginx.http: `127.0.0.1:0` is not an address with a port; write it as 127.0.0.1:8000",
            "1:58: nginx.debug_header: `1` is neither true nor false",
            "1:67: nginx.user: `www-data` is not a numeric user and group; write them as 1000:1000 (`id -u` and `id -g` print yours)",
        ],
    );
}

#[test]
fn socket_paths_stay_under_the_kernels_limit() {
    let with = |data: usize, name: &str| {
        let data = format!("/{}", "d".repeat(data - 1));
        format!("server: {{data_dir: {data}}}\n{}", site("")).replace("shop:", name)
    };
    // <data>/env/shop/generations/4294967295/sock/65535.sock
    accepted(&with(59, "shop:"));
    refused(
        &with(60, "shop:"),
        &[
            "3:3: environments.shop: the path of a socket would be 108 bytes long, and the kernel takes 107; shorten server.data_dir or the name",
        ],
    );
    refused(
        &with(59, "shops:"),
        &[
            "3:3: environments.shops: the path of a socket would be 108 bytes long, and the kernel takes 107; shorten server.data_dir or the name",
        ],
    );
    let socket = |length: usize| {
        let path = format!("/{}", "s".repeat(length - 1));
        format!("server: {{socket: {path}}}\n{}", site(""))
    };
    accepted(&socket(107));
    refused(
        &socket(108),
        &[
            "1:18: server.socket: the path of a socket would be 108 bytes long, and the kernel takes 107; shorten it",
        ],
    );
}
