//! The working tree and what is shared, linked, left out and never served.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{Place, accepted, refused, site};

#[test]
fn the_code_folder_must_exist() {
    refused(
        &site("").replace("DIR/code", "DIR/none"),
        &["4:11: environments.shop.code: there is no folder `DIR/none`; name the working tree"],
    );
    refused(
        &site("").replace("DIR/code", "DIR/stratus.yaml"),
        &[
            "4:11: environments.shop.code: `DIR/stratus.yaml` is not a folder; name the working tree",
        ],
    );
}

#[test]
fn the_code_folder_is_absolute_and_plain() {
    for (path, message) in [
        ("srv/shop", "`srv/shop` is not absolute; begin it with /"),
        (
            "/srv/../shop",
            "`/srv/../shop` holds `..`; write the path without it",
        ),
        ("//", "is the root folder itself; name a folder in it"),
    ] {
        refused(
            &site("").replace("DIR/code", path),
            &[&format!("4:11: environments.shop.code: {message}")],
        );
    }
}

#[test]
fn code_and_data_folder_stay_apart_even_behind_a_symlink() {
    let both = |data: &str| format!("server: {{data_dir: {data}}}\n{}", site(""));
    for data in ["DIR", "DIR/code", "DIR/code/data"] {
        refused(
            &both(data),
            &[&format!(
                "5:11: environments.shop.code: `DIR/code` and server.data_dir ({data}) lie one in the other; keep them apart"
            )],
        );
    }
    let place = Place::new();
    symlink(place.path("code"), place.path("link")).unwrap();
    let message = place.message(place.load(&both("DIR/link/data")));
    assert!(message.contains("keep them apart"), "{message}");
}

#[test]
fn the_docroot_is_an_existing_folder_inside_the_code() {
    let with = |docroot: &str| site("").replace("docroot: pub", &format!("docroot: {docroot}"));
    let dot = accepted(&with("."));
    assert_eq!(dot.environments[0].docroot, Path::new(""));
    let below = accepted(&with("./pub/media/"));
    assert_eq!(below.environments[0].docroot, Path::new("pub/media"));
    for (docroot, message) in [
        (
            "none",
            "there is no folder `DIR/code/none`; name the served folder inside the code",
        ),
        (
            "/srv",
            "`/srv` is absolute; write it relative to the code folder",
        ),
        ("../x", "`../x` holds `..`; write the path without it"),
    ] {
        refused(
            &with(docroot),
            &[&format!("5:14: environments.shop.docroot: {message}")],
        );
    }
}

#[test]
fn a_docroot_that_leads_outside_the_code_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path("elsewhere")).unwrap();
    symlink(place.path("elsewhere"), place.path("code/out")).unwrap();
    let text = site("").replace("docroot: pub", "docroot: out");
    assert_eq!(
        place.message(place.load(&text)),
        "DIR/stratus.yaml:5:14: environments.shop.docroot: `out` leads outside the code folder; name a folder in it"
    );
}

#[test]
fn the_front_controller_is_a_script_under_the_docroot() {
    assert_eq!(
        accepted(&site("front: app/front.php")).environments[0].front,
        "app/front.php"
    );
    for (front, message) in [
        (
            "/index.php",
            "`/index.php` is absolute; write it relative to the docroot",
        ),
        (
            "../index.php",
            "`../index.php` holds `..`; write the path without it",
        ),
        (
            "index.html",
            "`index.html` does not end in .php, and FPM runs nothing else; name the front controller",
        ),
        (".", "is the docroot itself; name something in it"),
    ] {
        refused(
            &site(&format!("front: {front}")),
            &[&format!("7:12: environments.shop.front: {message}")],
        );
    }
}

#[test]
fn lists_of_paths_are_relative_and_hold_nothing_twice() {
    for (key, base) in [
        ("shared", "the code folder"),
        ("exclude", "the code folder"),
        ("deny", "the docroot"),
    ] {
        refused(
            &site(&format!("{key}: [/a, ../b, ., '*.log', c, c/]")),
            &[
                &format!(
                    "7:{}: environments.shop.{key}[0]: `/a` is absolute; write it relative to {base}",
                    8 + key.len()
                ),
                &format!(
                    "7:{}: environments.shop.{key}[1]: `../b` holds `..`; write the path without it",
                    12 + key.len()
                ),
                &format!(
                    "7:{}: environments.shop.{key}[2]: is {base} itself; name something in it",
                    18 + key.len()
                ),
                &format!(
                    "7:{}: environments.shop.{key}[3]: `*.log` is a pattern; names are taken as they stand",
                    21 + key.len()
                ),
                &format!(
                    "7:{}: environments.shop.{key}[5]: `c` stands here twice; remove one",
                    33 + key.len()
                ),
            ],
        );
    }
}

#[test]
fn shared_folders_do_not_lie_in_each_other() {
    accepted(&site("shared: [var, pub/media, variable]"));
    refused(
        &site("shared: [var/cache, var]"),
        &[
            "7:25: environments.shop.shared[1]: `var` and `var/cache` lie one in the other; keep the outer one",
        ],
    );
}

#[test]
fn a_shared_folder_does_not_hold_the_docroot() {
    refused(
        &site("shared: [pub]"),
        &[
            "7:14: environments.shop.shared[0]: `pub` holds the docroot, whose code would change without a release; share folders in it",
        ],
    );
}

#[test]
fn nothing_is_left_out_that_is_shared_or_served() {
    accepted(&site("shared: [var]\nexclude: [.git, node_modules, var2]"));
    refused(
        &site("shared: [app/var]\nexclude: [var, pub]"),
        &[
            "8:15: environments.shop.exclude[0]: `var` leaves out a shared folder, `app/var`; remove one of the two",
            "8:20: environments.shop.exclude[1]: `pub` leaves out the docroot, `pub`; remove one of the two",
        ],
    );
}

#[test]
fn links_are_existing_folders_that_members_may_see() {
    let config = accepted(&site("links: [DIR]").replace("DIR]", "DIR/code/pub]"));
    assert!(config.environments[0].links[0].ends_with("code/pub"));
    refused(
        &format!(
            "server: {{data_dir: DIR/data}}\n{}",
            site("links:\n- assets\n- /etc\n- /proc/self\n- DIR/none\n- DIR")
        ),
        &[
            "9:7: environments.shop.links[0]: `assets` is not absolute; begin it with /",
            "10:7: environments.shop.links[1]: `/etc` belongs to the container's system; use another folder, such as /var/www/html or one under /srv",
            "11:7: environments.shop.links[2]: `/proc/self` belongs to the container's system; use another folder, such as /var/www/html or one under /srv",
            "12:7: environments.shop.links[3]: there is no folder `DIR/none`; create it, or remove it from the list",
            "13:7: environments.shop.links[4]: `DIR` and server.data_dir (DIR/data) lie one in the other; members must not see the data folder",
        ],
    );
}
