//! Files of a working tree: what is read, what is left alone, and what is refused as a whole.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use stratus_core::route::PageCache;

use super::*;

struct Tree {
    _folder: tempfile::TempDir,
    root: PathBuf,
}

fn tree() -> Tree {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("code");
    fs::create_dir_all(root.join(".nginx/http_level")).unwrap();
    fs::create_dir_all(root.join(".nginx/server_level")).unwrap();
    Tree {
        root,
        _folder: folder,
    }
}

impl Tree {
    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        fs::write(self.root.join(".nginx").join(path), text).unwrap();
    }

    fn read(&self) -> Result<TenantRules, TenantError> {
        read(&site(&self.root))
    }

    fn refusal(&self) -> String {
        self.read().unwrap_err().to_string()
    }
}

pub(super) fn site(code: &Path) -> Site {
    Site {
        environment: "shop".parse().unwrap(),
        hosts: vec!["shop.example.test".to_owned()],
        members: 1,
        code: code.to_owned(),
        docroot: "pub".into(),
        front: "index.php".to_owned(),
        mount: "/var/www/html".into(),
        shared: vec!["pub/media".into()],
        deny: vec!["setup".into()],
        upload_limit: 64 << 20,
        maintenance: stratus_core::environment::Maintenance::default(),
        health: None,
        page_cache: PageCache::Absent,
    }
}

#[test]
fn the_conf_files_of_both_folders_are_read_in_order_and_nothing_else() {
    let tree = tree();
    tree.write("server_level/b.conf", "gzip on;");
    tree.write("server_level/a.conf", "# nothing\nexpires 1h;");
    tree.write("http_level/m.conf", "map $uri $x { default 1; }");
    for other in [
        "server_level/.#a.conf",
        "server_level/a.conf~",
        "server_level/a.txt",
        "loose.conf",
    ] {
        tree.write(other, "root /;");
    }
    let read = tree.read().unwrap();
    assert_eq!(
        read.files,
        [
            ".nginx/http_level/m.conf",
            ".nginx/server_level/a.conf",
            ".nginx/server_level/b.conf"
        ]
    );
    assert_eq!(read.directives, 4);
    assert_eq!(stored(&read).unwrap().server.len(), 2);
}

#[test]
fn without_files_there_are_no_rules() {
    let tree = tree();
    assert_eq!(tree.read().unwrap(), TenantRules::default());
    fs::remove_dir_all(tree.root.join(".nginx")).unwrap();
    assert_eq!(tree.read().unwrap(), TenantRules::default());
    fs::remove_dir_all(&tree.root).unwrap();
    assert!(matches!(tree.read(), Err(TenantError::Unreadable { .. })));
}

#[test]
fn a_file_that_leads_out_of_the_tree_is_refused_by_name() {
    let tree = tree();
    fs::write(tree.root.join("../foreign.conf"), "gzip on;").unwrap();
    symlink(
        "../../../foreign.conf",
        tree.root.join(".nginx/server_level/a.conf"),
    )
    .unwrap();
    assert!(
        tree.refusal()
            .starts_with(".nginx/server_level/a.conf: it is a symlink"),
        "{}",
        tree.refusal()
    );
    fs::remove_file(tree.root.join(".nginx/server_level/a.conf")).unwrap();
    fs::remove_dir(tree.root.join(".nginx/server_level")).unwrap();
    symlink("/etc", tree.root.join(".nginx/server_level")).unwrap();
    assert!(
        tree.refusal()
            .starts_with(".nginx/server_level: it is a symlink"),
        "{}",
        tree.refusal()
    );
}

#[test]
fn a_file_of_10_mb_is_refused_at_once() {
    let tree = tree();
    tree.write("server_level/a.conf", vec![b'#'; 10 << 20]);
    let began = std::time::Instant::now();
    assert!(
        tree.refusal()
            .contains("a.conf: the file is larger than the 262144 bytes"),
        "{}",
        tree.refusal()
    );
    assert!(began.elapsed().as_millis() < 500, "{:?}", began.elapsed());
}

#[test]
fn a_file_of_as_many_braces_as_fit_is_refused_at_once() {
    let tree = tree();
    for braces in ["location / {", "{", "}", "a{}", "{}", "if ($uri) {}"] {
        tree.write(
            "server_level/a.conf",
            braces.repeat((256 << 10) / braces.len()),
        );
        let began = std::time::Instant::now();
        assert!(
            tree.refusal().starts_with(".nginx/server_level/a.conf:"),
            "{}",
            tree.refusal()
        );
        assert!(
            began.elapsed().as_millis() < 1000,
            "{braces}: {:?}",
            began.elapsed()
        );
    }
}

#[test]
fn too_many_files_and_texts_that_are_not_utf_8_are_refused() {
    let tree = tree();
    tree.write("server_level/a.conf", b"gzip on;\n# caf\xe9\n");
    assert_eq!(
        tree.refusal(),
        ".nginx/server_level/a.conf:2: the text is not UTF-8 here; save it as UTF-8"
    );
    for number in 0..65 {
        tree.write(&format!("server_level/{number:02}.conf"), "");
    }
    assert!(
        tree.refusal().contains("more than 64 files"),
        "{}",
        tree.refusal()
    );
}

#[test]
fn a_password_file_is_taken_from_the_tree_however_it_is_named() {
    let tree = tree();
    tree.write("users", "anna:$apr1$x$SECRET\n");
    let inside = tree.root.join(".nginx/users");
    let inside = inside.to_str().unwrap();
    let mut all = Vec::new();
    for path in [".nginx/users", "/srv/.nginx/users", inside] {
        tree.write(
            "server_level/a.conf",
            format!("auth_basic_user_file {path};"),
        );
        all.push(tree.read().unwrap().accepted);
    }
    assert!(all[0] == all[1] && all[1] == all[2]);
    let accepted = tree.read().unwrap();
    assert!(!format!("{accepted:?}").contains("SECRET"));
}

#[test]
fn a_password_file_elsewhere_is_refused_and_none_is_quoted() {
    let tree = tree();
    fs::write(tree.root.join("../shadow"), "root:SECRET").unwrap();
    symlink("../../shadow", tree.root.join(".nginx/link")).unwrap();
    tree.write("bad", "SECRET");
    for (path, said) in [
        ("/etc/shadow", "not in the working tree"),
        ("../shadow", "symlink"),
        (".nginx/../../shadow", "symlink"),
        (".nginx/link", "symlink"),
        (".nginx/none", "no such file"),
        (".nginx/bad", "line 1 is not `name:hash`"),
        (".nginx", "no regular file"),
    ] {
        tree.write(
            "server_level/a.conf",
            format!("auth_basic_user_file {path};"),
        );
        let refusal = tree.refusal();
        assert!(
            refusal.contains("a.conf:1: `auth_basic_user_file`: "),
            "{refusal}"
        );
        assert!(
            refusal.contains(said) && !refusal.contains("SECRET"),
            "{path}: {refusal}"
        );
    }
}

#[test]
fn a_password_file_has_a_largest_size() {
    let tree = tree();
    tree.write("server_level/a.conf", "auth_basic_user_file .nginx/users;");
    let line = "anna:{SHA}x\n";
    let most = usize::try_from(PASSWORD_BYTES_MAX).unwrap();
    let comment = |size: usize| format!("{line}#{}", "x".repeat(size - line.len() - 1));
    tree.write("users", comment(most));
    tree.read().unwrap();
    tree.write("users", comment(most + 1));
    let refusal = tree.refusal();
    assert!(refusal.contains("larger than the 65536 bytes"), "{refusal}");
}

#[test]
fn what_was_accepted_is_the_same_after_it_was_stored() {
    let tree = tree();
    tree.write("http_level/a.conf", include_str!("samples/http_level.conf"));
    tree.write(
        "server_level/a.conf",
        include_str!("samples/server_level.conf"),
    );
    tree.write("users", "anna:$apr1$x$y\n");
    let rules = tree.read().unwrap();
    let text = serde_json::to_string(&rules).unwrap();
    let again: TenantRules = serde_json::from_str(&text).unwrap();
    assert_eq!(again, rules);
    assert_eq!(store(&stored(&again).unwrap()), rules.accepted);
}
