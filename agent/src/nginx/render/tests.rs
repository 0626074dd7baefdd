//! The text as a whole, as a snapshot, and what cannot be written.

use std::path::PathBuf;

use stratus_core::environment::{Maintenance, User};

use super::*;

fn layout() -> Layout {
    Layout::new("/var/lib/stratus", "5f3a9c".parse().unwrap())
}

fn settings() -> Settings {
    Settings {
        container: "stratus-nginx".to_owned(),
        image: "stratus/nginx:stable".to_owned(),
        user: User { uid: 33, gid: 33 },
        http: ([127, 0, 0, 1], 8000).into(),
        ports: vec![80],
        workers: 2,
        shutdown_timeout: Duration::from_mins(1),
        confirm_within: Duration::from_secs(10),
        debug_header: DebugHeader::Hidden,
    }
}

fn site(name: &str, members: u16) -> Site {
    Site {
        environment: name.parse().unwrap(),
        hosts: vec![format!("{name}.example.test")],
        members,
        code: PathBuf::from("/srv").join(name),
        docroot: "pub".into(),
        front: "index.php".to_owned(),
        mount: "/var/www/html".into(),
        shared: vec!["pub/media".into(), "var".into()],
        deny: vec!["setup".into()],
        upload_limit: 64 << 20,
        maintenance: Maintenance::default(),
        health: None,
    }
}

fn table(sites: impl IntoIterator<Item = Site>) -> RouteTable {
    RouteTable {
        sites: sites.into_iter().collect(),
    }
}

fn rendered(table: &RouteTable) -> Result<String, RenderError> {
    render(table, 7, &settings(), &layout())
}

fn refusal(change: impl FnOnce(&mut Site)) -> String {
    let mut bad = site("shop", 2);
    change(&mut bad);
    rendered(&table([bad])).unwrap_err().to_string()
}

#[test]
fn the_whole_text() {
    let text = rendered(&table([site("shop", 2), site("blog", 0)])).unwrap();
    insta::assert_snapshot!(text);
}

#[test]
fn a_table_without_sites_answers_503() {
    let text = rendered(&table([])).unwrap();
    assert!(text.contains("listen 80 default_server"), "{text}");
    assert!(text.contains("return 503"), "{text}");
}

#[test]
fn a_text_says_its_revision_and_foreign_texts_say_none() {
    assert_eq!(revision(&rendered(&table([])).unwrap()), Some(7));
    for foreign in ["", "# revision 7\n", "user nobody;\n# revision 7\n"] {
        assert_eq!(revision(foreign), None, "{foreign:?}");
    }
}

#[test]
fn the_debug_header_is_hidden_unless_asked_for() {
    let mut shown = settings();
    shown.debug_header = DebugHeader::Shown;
    let text = render(&table([]), 7, &shown, &layout()).unwrap();
    assert!(!text.contains("fastcgi_hide_header"), "{text}");
}

#[test]
fn what_nginx_cannot_be_given_is_an_error_that_names_the_environment() {
    let dollar = refusal(|site| site.docroot = "pub$x".into());
    assert!(dollar.starts_with("environment shop: "), "{dollar}");
    for text in [
        refusal(|site| site.hosts = vec!["a;b".to_owned()]),
        refusal(|site| site.mount = "/srv/\n}".into()),
        refusal(|site| site.code = "relative".into()),
        refusal(|site| site.shared = vec!["pub/a\0b".into()]),
    ] {
        assert!(
            text.contains("cannot stand in nginx's configuration"),
            "{text}"
        );
    }
}

#[test]
fn a_site_that_cannot_be_served_as_described_is_an_error_that_says_why() {
    for (text, why) in [
        (refusal(|site| site.hosts.clear()), "no host name"),
        (
            refusal(|site| site.hosts.push("shop.example.test".to_owned())),
            "given twice",
        ),
        (
            refusal(|site| site.front = "index.html".to_owned()),
            "not a path of a .php script",
        ),
        (
            refusal(|site| site.front = "a.php?x.php".to_owned()),
            "not a path of a .php script",
        ),
        (
            refusal(|site| site.docroot = "../x".into()),
            "leads out of the tree",
        ),
        (refusal(|site| site.deny = vec![".".into()]), "everything"),
        (
            refusal(|site| site.shared = vec![".".into()]),
            "docroot is inside the shared folder",
        ),
        (
            refusal(|site| site.shared = vec!["pub".into()]),
            "docroot is inside the shared folder",
        ),
    ] {
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn a_shared_folder_that_is_denied_is_not_served() {
    let mut denied = site("shop", 1);
    denied.docroot = ".".into();
    denied.shared = vec!["data".into(), "data/media".into(), "pub".into()];
    denied.deny = vec!["data".into()];
    let text = rendered(&table([denied])).unwrap();
    assert!(
        text.contains("location ^~ /data/ {\n            return 404;"),
        "{text}"
    );
    assert!(!text.contains("location ^~ /data/media/"), "{text}");
    assert!(
        text.contains("location ^~ /pub/ {\n            root /srv/shop;"),
        "{text}"
    );
}

#[test]
fn a_server_name_that_map_would_read_as_a_word_of_its_own_is_escaped() {
    let mut odd = site("shop", 1);
    odd.hosts = vec!["default".to_owned()];
    let text = rendered(&table([odd])).unwrap();
    assert!(text.contains(r#""\\default" shop;"#), "{text}");
}
