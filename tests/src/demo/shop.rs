//! The demonstration's shop: `WordPress` with `MariaDB`, three Redis, Varnish and TLS.

use anyhow::{Context, ensure};

use crate::stage::{Place, Stack, command, repository};

/// The account `admin` of the demonstration, on a loopback address: no secret.
pub const PASSWORD: &str = "stratus-demo";

/// What is around it.
///
/// # Errors
/// When `STRATUS_DEMO_HTTPS` is no address.
pub fn stack(place: &Place) -> anyhow::Result<Stack> {
    let https = std::env::var("STRATUS_DEMO_HTTPS").unwrap_or_else(|_| "127.0.0.1:8443".to_owned());
    Ok(Stack {
        https: https
            .parse()
            .context("STRATUS_DEMO_HTTPS is no address like 127.0.0.1:8443")?,
        environment: "shop",
        tree: place.code().join("shop"),
    })
}

/// Assembles release 0.
pub async fn assemble(place: &Place) -> anyhow::Result<()> {
    std::fs::create_dir_all(place.code())?;
    script(place, "wordpress", &[]).await
}

/// Makes the working tree release `number`.
pub async fn release(place: &Place, number: u32) -> anyhow::Result<()> {
    script(place, "release", &[&number.to_string()]).await
}

async fn script(place: &Place, name: &str, more: &[&str]) -> anyhow::Result<()> {
    let script = repository().join("compose/demo").join(name);
    let tree = place.code().join("shop");
    let tree = tree.to_string_lossy();
    let arguments = [&[tree.as_ref()], more].concat();
    let script = command(&script.to_string_lossy(), &arguments);
    script.run().await?.success().map(drop)
}

/// Fills the database, in a container like a member's.
pub async fn install(place: &Place) -> anyhow::Result<()> {
    let tree = format!("{}:/var/www/html:ro", place.code().join("shop").display());
    let password = std::fs::read_to_string(place.databases().join("shop"))?;
    let variables = [
        ("WORDPRESS_DB_HOST", "mysql"),
        ("WORDPRESS_DB_NAME", "shop"),
        ("WORDPRESS_DB_USER", "shop"),
        ("WORDPRESS_DB_PASSWORD", &password),
        ("WORDPRESS_ADMIN_PASSWORD", PASSWORD),
    ];
    let mut all = vec!["run", "--rm", "--network", &place.project];
    all.extend(["--user", "1000:1000", "--read-only", "--cap-drop", "ALL"]);
    all.extend(["--tmpfs", "/tmp", "-v", &tree]);
    // By name only: what an argument holds, every user of the host can read.
    all.extend(variables.iter().flat_map(|(name, _)| ["-e", *name]));
    all.extend([
        "stratus/php-fpm:8.2",
        "php",
        "/var/www/html/bin/install.php",
    ]);
    let docker = command("docker", &all);
    let docker = variables
        .iter()
        .fold(docker, |docker, (name, value)| docker.env(name, value));
    let said = docker.run().await?.success()?.stdout;
    ensure!(
        said.trim_end().ends_with("is installed"),
        "install.php said: {said}"
    );
    Ok(())
}

/// The whole configuration.
pub fn yaml(place: &Place, stack: &Stack) -> String {
    format!(
        "server:
  data_dir: {data}
  socket: {socket}
  network: {network}
nginx:
  container: {nginx}
  http: {http}
  https: {https}
  varnish: true
  access_log: true
  debug_header: true
environments:
  shop:
    hosts: [shop.example.test]
    code: {code}/shop
    docroot: public_html
    shared: [public_html/wp-content/uploads]
    php:
      image: stratus/php-fpm:8.2
      fpm: php-fpm8.2
      workers: 8
      memory: 512m
      env:
        WORDPRESS_DB_HOST: mysql
        WORDPRESS_DB_NAME: shop
        WORDPRESS_DB_USER: shop
        WORDPRESS_DB_PASSWORD: file:{databases}/shop
      ini:
        redis.session.locking_enabled: '1'
        redis.session.lock_retries: '200'
    replicas: 2
    ready: {{path: /wp-login.php, within: 60s}}
    warm: [/, /wp-login.php]
    check: {{path: /, status: 200, body: stratus-release}}
    keep: {{releases: 3, warm: 10m}}
    sessions: {{redis: 'redis://redis-session:6380'}}
    database: {{host: mysql, name: shop, user: shop, password: 'file:{databases}/shop'}}
    caches:
      redis: [{{name: fpc, url: 'redis://redis:6379'}}, {{name: config, url: 'redis://redis-config-cache:6381'}}]
      varnish: {{url: 'http://varnish:80'}}
",
        data = place.data().display(),
        socket = place.socket().display(),
        network = place.project,
        nginx = place.nginx(),
        http = place.http,
        https = stack.https,
        code = place.code().display(),
        databases = place.databases().display(),
    )
}
