//! The demonstration's application: DokuWiki from Debian's package.

use crate::stage::{Place, command, repository};

/// Assembles release 0.
pub async fn assemble(place: &Place) -> anyhow::Result<()> {
    std::fs::create_dir_all(place.code())?;
    script(place, "dokuwiki", &[]).await
}

/// Makes the working tree release `number`.
pub async fn release(place: &Place, number: u32) -> anyhow::Result<()> {
    script(place, "release", &[&number.to_string()]).await
}

async fn script(place: &Place, name: &str, more: &[&str]) -> anyhow::Result<()> {
    let script = repository().join("compose/demo").join(name);
    let tree = place.code().join("wiki");
    let tree = tree.to_string_lossy();
    let arguments = [&[tree.as_ref()], more].concat();
    command(&script.to_string_lossy(), &arguments)
        .run()
        .await?
        .success()
        .map(drop)
}

/// Its part of the configuration.
pub fn yaml(place: &Place) -> String {
    format!(
        "  wiki:
    hosts: [wiki.example.test]
    code: {code}/wiki
    docroot: .
    front: doku.php
    shared: [data, conf]
    deny: [data, conf, inc, vendor, bin]
    php:
      image: stratus/php-fpm:8.2
      fpm: php-fpm8.2
      workers: 8
      memory: 512m
    replicas: 2
    ready: {{path: '/doku.php?id=start', within: 60s}}
    warm: ['/doku.php?id=start', '/lib/exe/css.php']
    keep: {{releases: 3, warm: 10m}}
",
        code = place.code().display()
    )
}
