//! What texts name, and for whom.

use super::*;

fn operator(text: &str) -> Result<Place, String> {
    let source = Source::parse(text, AskedBy::Operator);
    source.map(|s| s.place).map_err(|e| e.to_string())
}

fn environment(text: &str) -> Result<Place, String> {
    let source = Source::parse(text, AskedBy::Environment);
    source.map(|s| s.place).map_err(|e| e.to_string())
}

fn git_of(url: &str, reference: Option<&str>) -> Place {
    Place::Git {
        url: url.to_owned(),
        reference: reference.map(str::to_owned),
    }
}

#[test]
fn a_text_names_a_path_an_archive_or_a_repository() {
    assert_eq!(operator("/srv/build"), Ok(Place::Path("/srv/build".into())));
    for text in [
        "https://a.test/x.tar.gz",
        "http://a.test/x.zip?key=1",
        "https://a.test/x.tar.zst",
    ] {
        assert_eq!(operator(text), Ok(Place::Download(text.to_owned())));
    }
    let repository = "https://a.test/shop.git";
    assert_eq!(operator(repository), Ok(git_of(repository, None)));
    for reference in [
        "v1.2",
        "feature/x",
        "1b2c3d4e5f60718293a4b5c6d7e8f90112233445",
    ] {
        let text = format!("{repository}#{reference}");
        assert_eq!(operator(&text), Ok(git_of(repository, Some(reference))));
    }
    for url in [
        "ssh://git@a.test/shop",
        "git@a.test:shop.git",
        "git://a.test/x",
        "file:///srv/shop.git",
    ] {
        let text = format!("{url}#main");
        assert_eq!(operator(&text), Ok(git_of(url, Some("main"))), "{text}");
    }
}

#[test]
fn what_git_or_ssh_would_take_for_an_option_is_no_source() {
    for text in [
        "https://a.test/x#--upload-pack=id",
        "https://a.test/x#a..b",
        "https://a.test/x#a:b",
        "https://a.test/x#+main",
        "https://a.test/x#",
        "https://a.test/x#a b",
        "ssh://-oProxyCommand=id/x",
        "ext://sh -c id",
        "ftp://a.test/x.zip",
        "https:///x.zip",
        "https://a.test/x.zip#main",
        "-oProxyCommand=id@a:b",
        "a\nb",
        "",
    ] {
        assert!(operator(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_password_is_not_kept_and_a_query_not_shown() {
    for text in [
        "https://user:secret@a.test/x.zip",
        "https://token@a.test/x",
        "ssh://u:p@a.test/x",
    ] {
        assert!(operator(text).unwrap_err().contains("password"), "{text}");
    }
    let shown = |text| Source::parse(text, AskedBy::Operator).unwrap().to_string();
    assert_eq!(
        shown("https://a.test/x.zip?key=secret"),
        "https://a.test/x.zip"
    );
    let of_git = operator("https://a.test/x?key=secret#main").unwrap_err();
    assert!(
        of_git.contains("has no ?") && !of_git.contains("secret"),
        "{of_git}"
    );
}

#[test]
fn an_environment_names_what_is_in_its_tree_or_in_the_web() {
    assert_eq!(
        environment("build/./out.zip"),
        Ok(Place::Path("build/out.zip".into()))
    );
    assert_eq!(environment("./build"), Ok(Place::Path("build".into())));
    assert!(environment("https://a.test/x.zip").is_ok());
    assert!(environment("https://a.test/x#main").is_ok());
    for text in [
        "/etc/shadow",
        "../blog",
        "build/../../blog",
        ".",
        "file:///etc/x",
        "ssh://git@a.test/x",
        "git@a.test:x",
        "git://a.test/x",
    ] {
        assert!(environment(text).is_err(), "{text}");
    }
    assert!(operator("build").unwrap_err().contains("from / on"));
}
