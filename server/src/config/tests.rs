//! One test a rule, with the whole message an operator gets.

mod caches;
mod document;
mod keys;
mod php;
mod render;
mod secrets;
mod tasks;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Config, ConfigError};

/// A folder with a working tree in `code` and, once written, a configuration.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = Self { dir };
        fs::create_dir_all(place.path("code/pub/media")).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(place.path("code"), Some(1000), Some(1000)).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Loads `text`, in which `DIR` stands for the folder.
    fn load(&self, text: &str) -> Result<Config, ConfigError> {
        let text = text.replace("DIR", self.dir.path().to_str().unwrap());
        self.load_bytes(text.as_bytes())
    }

    fn load_bytes(&self, bytes: &[u8]) -> Result<Config, ConfigError> {
        fs::write(self.path("stratus.yaml"), bytes).unwrap();
        load_file(&self.path("stratus.yaml"))
    }

    /// The whole message, in which `DIR` stands for the folder.
    fn message(&self, result: Result<Config, ConfigError>) -> String {
        let text = result.expect_err("the configuration is wrong").to_string();
        text.replace(self.dir.path().to_str().unwrap(), "DIR")
    }
}

fn load_file(path: &Path) -> Result<Config, ConfigError> {
    super::load_with(path, &|name| match name {
        "DB_PASSWORD" => Some("hunter2".into()),
        "TWO_LINES" => Some("a\nb".into()),
        _ => None,
    })
}

/// A site of four keys and `more`, which begins in line 7, column 5.
fn site(more: &str) -> String {
    format!(
        "environments:
  shop:
    hosts: [shop.example.test]
    code: DIR/code
    docroot: pub
    php: {{image: stratus/php-fpm}}
    {}
",
        more.replace('\n', "\n    ")
    )
}

#[track_caller]
fn accepted(text: &str) -> Config {
    Place::new().load(text).unwrap_or_else(|e| panic!("{e}"))
}

/// `expected`: one line a problem, without the name of the file.
#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    let place = Place::new();
    let message = place.message(place.load(text));
    let lines: Vec<_> = message
        .lines()
        .map(|line| line.strip_prefix("DIR/stratus.yaml:").unwrap_or(line))
        .collect();
    assert_eq!(lines, expected);
}
