//! The text as a whole, as a snapshot, and what cannot be written.

mod behind;

use std::path::PathBuf;

use stratus_core::environment::{Maintenance, User};
use stratus_core::route::PageCache;

use super::tenant::Tenant;
use super::*;
use crate::nginx::place::Places;
use crate::nginx::tenant::{Location, read};

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
        tls: Tls::Absent,
        varnish: Varnish::Absent,
        access_log: AccessLog::Absent,
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
        page_cache: PageCache::Absent,
    }
}

fn table(sites: impl IntoIterator<Item = Site>) -> RouteTable {
    RouteTable {
        sites: sites.into_iter().collect(),
        ..RouteTable::default()
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

/// Rules as they are printed, without what the site adds to them.
pub(in crate::nginx) fn tenant_text(rules: &Rules) -> String {
    let (site, layout) = (site("shop", 1), layout());
    let places = Places::of(&site).unwrap();
    let tenant = Tenant {
        site: &site,
        places: &places,
        layout: &layout,
        rules,
        waiting: 1,
        debug_header: DebugHeader::Shown,
    };
    let mut all = tenant.maps().unwrap();
    all.extend(tenant.directives(&rules.server).unwrap());
    for Location { rules, .. } in &rules.locations {
        let block = tenant.directives(rules).unwrap();
        all.push(Directive::block("location", ["/".into()], block));
    }
    print(&all)
}

/// A table of `shop`, whose tenant wrote these files.
fn with_files(http: &str, server: &str) -> RouteTable {
    let folder = tempfile::tempdir().unwrap();
    let nginx = folder.path().join(".nginx");
    for (level, text) in [("http_level", http), ("server_level", server)] {
        std::fs::create_dir_all(nginx.join(level)).unwrap();
        std::fs::write(nginx.join(level).join("a.conf"), text).unwrap();
    }
    std::fs::write(nginx.join("users"), "anna:{SHA}x\n").unwrap();
    let mut shop = site("shop", 1);
    shop.code = folder.path().to_owned();
    let accepted = read(&shop).unwrap();
    let mut table = table([site("shop", 1)]);
    table.put_rules(&shop.environment, accepted);
    table
}

fn samples() -> RouteTable {
    with_files(
        include_str!("../tenant/samples/http_level.conf"),
        include_str!("../tenant/samples/server_level.conf"),
    )
}

#[test]
fn the_rules_of_a_tenant() {
    let text = rendered(&samples()).unwrap();
    let begin = text.find("    map $http_accept_language").unwrap();
    insta::assert_snapshot!(text[begin..]);
}

#[test]
fn rules_are_kept_for_a_site_that_is_not_live_and_not_served() {
    let mut table = samples();
    table.sites[0].members = 0;
    let text = rendered(&table).unwrap();
    assert!(
        !text.contains("tenant") && !text.contains("X-Lang"),
        "{text}"
    );
}

#[test]
fn a_site_that_changed_since_its_rules_were_accepted_keeps_its_own_protection() {
    let files = "client_max_body_size 8m; location /admin/x { expires 1h; } location = /admin/y.php { expires 1h; } \
                 location /a { try_files /admin/z.txt $uri =404; } location = /var/y.php { expires 1h; } \
                 location /var/cache/ { expires 1h; }";
    let mut table = with_files("", files);
    let before = rendered(&table).unwrap();
    assert!(
        before.contains("location /admin/x {") && before.contains("client_max_body_size 8388608;"),
        "{before}"
    );
    let shop = &mut table.sites[0];
    shop.upload_limit = 1000;
    shop.deny = vec!["admin".into()];
    shop.shared = vec!["pub/var".into()];
    let after = rendered(&table).unwrap();
    assert!(after.contains("client_max_body_size 1000;"), "{after}");
    for gone in [
        "/admin/x",
        "/admin/y.php",
        "/admin/z.txt",
        "location = /var/y.php",
    ] {
        assert!(!after.contains(gone), "{gone}: {after}");
    }
    assert!(
        after.contains("            location /var/cache/ {"),
        "it moved into the shared folder: {after}"
    );
}

#[test]
fn rules_of_another_version_are_refused_by_environment() {
    let mut table = samples();
    let rules = table.tenants.values_mut().next().unwrap();
    rules.accepted = serde_json::json!({"server": "?"});
    let error = rendered(&table).unwrap_err().to_string();
    assert!(
        error.contains("environment shop") && error.contains("nginx.update"),
        "{error}"
    );
}

#[test]
fn visitors_are_written_down_where_they_come_in_and_nowhere_else() {
    let mut written = settings();
    written.access_log = AccessLog::Written;
    written.varnish = Varnish::Beside;
    let mut cached = site("shop", 1);
    cached.page_cache = PageCache::Varnish;
    let text = render(&table([cached, site("blog", 0)]), 7, &written, &layout()).unwrap();
    let logs: Vec<&str> = text.lines().map(str::trim).collect();
    let of = |name: &str| {
        let file = layout().access_log(&name.parse().unwrap());
        let line = format!(
            "access_log {} combined buffer=32k flush=1s;",
            file.display()
        );
        logs.iter().filter(|l| **l == line).count()
    };
    assert_eq!((of("shop"), of("blog")), (1, 1), "{text}");
    // The records go on beside them: in general, of each side of Varnish, and of the only server of the other site.
    let records = |format: &str| text.matches(&format!("tag=stratus {format};")).count();
    let all = ["stratus_record", "stratus_front", "stratus_origin"].map(records);
    assert_eq!(all, [2, 1, 1], "{text}");
    assert!(
        !rendered(&table([site("shop", 1)]))
            .unwrap()
            .contains("combined")
    );
}
