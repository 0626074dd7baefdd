//! A real nginx in a container, as `compose/single.yaml` runs it, in front of stand-ins for PHP-FPM.

mod varnish;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use stratus_agent::docker::Engine;
use stratus_agent::layout::Layout;
use stratus_agent::nginx::{AccessLog, DebugHeader, NginxRouter, Settings, Tls, Varnish};
use stratus_core::environment::{Maintenance, User};
use stratus_core::route::{Links, PageCache, RouteTable, Share, Site};
use stratus_core::{EnvironmentName, Generation, PoolId, Router as _};
use tokio::net::TcpStream;

use crate::fastcgi::Member;
use crate::stage::repository;

pub use varnish::Cache;

/// The image that `compose/images/build` makes.
pub const IMAGE: &str = "stratus/nginx:stable";

/// A data folder, an nginx for it, and its router.
pub struct Bench {
    folder: tempfile::TempDir,
    /// Where everything is.
    pub layout: Layout,
    /// How nginx runs.
    pub settings: Settings,
    /// What is tested.
    pub router: NginxRouter,
    /// nginx's port on 127.0.0.1, once it runs.
    pub port: u16,
}

/// An answer of nginx.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Where visitors come in.
#[derive(Debug, Clone, Copy)]
pub struct Door(u16);

impl Door {
    /// At this port of 127.0.0.1.
    pub fn at(port: u16) -> Self {
        Self(port)
    }

    /// Opens a connection that is kept.
    pub async fn open(self) -> Result<Kept> {
        let stream = TcpStream::connect(("127.0.0.1", self.0)).await?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Kept(sender))
    }
}

/// A connection that is kept.
pub struct Kept(SendRequest<Full<Bytes>>);

impl Bench {
    /// A bench with folders and a router; nginx does not run yet.
    ///
    /// # Errors
    /// When there is no engine.
    pub async fn new() -> Result<Self> {
        let engine = Engine::connect(Path::new("/var/run/docker.sock"))
            .await
            .context("these tests need a Docker engine; `make test` installs one")?;
        let folder = tempfile::tempdir()?;
        let id = format!("{:06x}", std::process::id() & 0xff_ffff);
        let layout = Layout::new(folder.path().join("data"), id.parse()?);
        let number = folder
            .path()
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let settings = Settings {
            container: format!("stratus-test-nginx-{}", number.trim_start_matches('.')),
            image: IMAGE.to_owned(),
            user: User { uid: 33, gid: 33 },
            http: ([127, 0, 0, 1], 80).into(),
            ports: vec![80],
            workers: 2,
            shutdown_timeout: Duration::from_secs(20),
            confirm_within: Duration::from_secs(5),
            debug_header: DebugHeader::Shown,
            tls: Tls::Absent,
            varnish: Varnish::Absent,
            access_log: AccessLog::Absent,
        };
        std::fs::create_dir_all(folder.path().join("code"))?;
        let router = NginxRouter::new(layout.clone(), settings.clone(), engine);
        Ok(Self {
            folder,
            layout,
            settings,
            router,
            port: 0,
        })
    }

    /// A bench whose nginx serves `table`.
    pub async fn serving(table: &RouteTable) -> Result<Self> {
        let mut bench = Self::new().await?;
        bench.router.prepare(table).await?;
        bench.start().await?;
        Ok(bench)
    }

    /// A bench whose nginx serves `shop` with pool 1 live, and its members.
    pub async fn with_shop(members: u16) -> Result<(Self, Vec<Member>)> {
        let mut bench = Self::new().await?;
        let table = bench.table(members);
        bench.router.prepare(&table).await?;
        let running = bench.pool(1, members)?;
        bench.go_live(1, None).await?;
        bench.start().await?;
        Ok((bench, running))
    }

    /// The environment's name.
    pub fn shop() -> EnvironmentName {
        "shop".parse().expect("it is a name")
    }

    /// The site `shop` with so many members.
    pub fn site(&self, members: u16) -> Site {
        let page_cache = match self.settings.varnish {
            Varnish::Absent => PageCache::Absent,
            Varnish::Beside => PageCache::Varnish,
        };
        Site {
            environment: Self::shop(),
            hosts: vec!["shop.example.test".to_owned()],
            members,
            code: self.code(),
            docroot: "pub".into(),
            front: "index.php".to_owned(),
            mount: "/var/www/html".into(),
            shared: vec!["pub/media".into(), "var".into()],
            deny: vec!["setup".into()],
            upload_limit: 64 << 20,
            maintenance: Maintenance::default(),
            health: None,
            page_cache,
        }
    }

    /// A table of that site alone.
    pub fn table(&self, members: u16) -> RouteTable {
        RouteTable {
            sites: vec![self.site(members)],
            ..RouteTable::default()
        }
    }

    /// The working tree.
    pub fn code(&self) -> PathBuf {
        self.folder.path().join("code")
    }

    /// Makes the folder of generation `number`, with `pub/index.php`, and starts its members.
    pub fn pool(&self, number: u32, members: u16) -> Result<Vec<Member>> {
        let pool = PoolId::new(&Self::shop(), Generation(number));
        let folder = self.layout.generation(&pool);
        std::fs::create_dir_all(self.layout.sockets(&pool))?;
        std::fs::write(folder.join("generation"), number.to_string())?;
        self.file(number, "pub/index.php", "<?php // secret")?;
        let release = Path::new("../../releases").join(number.to_string());
        if !folder.join("code").exists() {
            std::os::unix::fs::symlink(release, folder.join("code"))?;
        }
        let start = |index| Member::start(&self.layout.socket(&pool, index), pool.generation);
        (0..members).map(start).collect()
    }

    /// Writes a file of a generation's release.
    pub fn file(&self, number: u32, path: &str, text: &str) -> Result<PathBuf> {
        let release = self.layout.releases(&Self::shop()).join(number.to_string());
        write(&release.join(path), text)
    }

    /// Writes a file of the working tree.
    pub fn working_file(&self, path: &str, text: &str) -> Result<PathBuf> {
        write(&self.code().join(path), text)
    }

    /// Points the links.
    pub async fn go_live(&self, live: u32, previous: Option<u32>) -> Result<()> {
        let links = Links {
            live: Some(Generation(live)),
            previous: previous.map(Generation),
            share: Share::All,
        };
        Ok(self.router.flip(&Self::shop(), links).await?)
    }

    /// Starts nginx and waits until it listens; where it speaks TLS, as the compose file has it, with a certificate.
    pub async fn start(&mut self) -> Result<()> {
        let path = |path: PathBuf| path.to_string_lossy().into_owned();
        let nginx = path(self.layout.nginx());
        let file = path(self.layout.nginx_configuration());
        let starter = repository().join("compose/nginx-start");
        let mut volumes = vec![
            format!("{nginx}:{nginx}:ro"),
            format!("{0}:{0}", path(self.layout.nginx_run())),
            format!("{0}:{0}:ro", path(self.layout.environments())),
            format!("{0}:{0}:ro", path(self.code())),
            format!("{}:/usr/local/bin/nginx-start:ro", starter.display()),
        ];
        if self.settings.access_log == AccessLog::Written {
            volumes.push(format!("{0}:{0}", path(self.layout.nginx_log())));
        }
        if self.settings.varnish == Varnish::Beside {
            volumes.push(format!("{0}:{0}", path(self.layout.nginx_varnish())));
        }
        let mut argv = vec!["run", "-d", "--name", &self.settings.container];
        argv.extend(["--user", "33:33", "--read-only", "--cap-drop", "ALL"]);
        argv.extend(["--security-opt", "no-new-privileges", "--tmpfs", "/tmp"]);
        argv.extend(["--stop-signal", "SIGQUIT"]);
        argv.extend(["-p", "127.0.0.1::80", "-p", "127.0.0.1::443"]);
        argv.extend(volumes.iter().flat_map(|volume| ["-v", volume.as_str()]));
        argv.push(IMAGE);
        if self.settings.tls == Tls::Offered {
            argv.extend(["/usr/local/bin/nginx-start", &nginx]);
        }
        argv.extend(["nginx", "-e", "stderr", "-c", &file, "-g", "daemon off;"]);
        docker(&argv)?;
        self.find_port().await
    }

    /// Learns nginx's port and waits until it listens.
    pub async fn find_port(&mut self) -> Result<()> {
        let address = docker(&["port", &self.settings.container, "80/tcp"])?;
        let port = address
            .lines()
            .next()
            .and_then(|line| line.rsplit_once(':'));
        self.port = port.context("no port")?.1.trim().parse()?;
        for _ in 0..200 {
            if self.control("/.stratus/revision").await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        anyhow::bail!("nginx does not start: {}", self.log())
    }

    /// A second router for the same nginx, with other settings.
    pub async fn another_router(&self, settings: &Settings) -> Result<NginxRouter> {
        let engine = Engine::connect(Path::new("/var/run/docker.sock")).await?;
        Ok(NginxRouter::new(
            self.layout.clone(),
            settings.clone(),
            engine,
        ))
    }

    /// What nginx wrote.
    pub fn log(&self) -> String {
        let found = Command::new("docker")
            .args(["logs", &self.settings.container])
            .output();
        found.map_or_else(
            |e| e.to_string(),
            |out| String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned(),
        )
    }

    /// Asks nginx's private socket.
    pub async fn control(&self, path: &str) -> Result<Reply> {
        let stream = tokio::net::UnixStream::connect(self.layout.control_socket()).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::get(path)
            .header("host", "control")
            .body(Full::<Bytes>::default())?;
        reply(sender.send_request(request).await?).await
    }

    /// Asks for `path` of the shop, on a connection of its own.
    pub async fn get(&self, path: &str) -> Result<Reply> {
        self.kept().await?.get(path).await
    }

    /// Opens a connection that is kept.
    pub async fn kept(&self) -> Result<Kept> {
        self.door().open().await
    }

    /// Where visitors come in.
    pub fn door(&self) -> Door {
        Door(self.port)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = docker(&["rm", "-f", "-v", &self.settings.container]);
    }
}

impl Kept {
    /// Whether a request may be sent on it.
    pub async fn is_open(&mut self) -> bool {
        self.0.ready().await.is_ok()
    }

    /// Asks for `path` of the shop.
    pub async fn get(&mut self, path: &str) -> Result<Reply> {
        self.send(Request::get(path), Bytes::new()).await
    }

    /// Posts `body`.
    pub async fn post(&mut self, path: &str, body: Bytes) -> Result<Reply> {
        self.send(Request::post(path), body).await
    }

    /// Sends a request, with the shop's host name where it has none.
    pub async fn send(
        &mut self,
        request: hyper::http::request::Builder,
        body: Bytes,
    ) -> Result<Reply> {
        let mut request = request.body(Full::new(body))?;
        let host = hyper::header::HeaderValue::from_static("shop.example.test");
        request.headers_mut().entry("host").or_insert(host);
        self.0.ready().await?;
        let sent = self.0.send_request(request);
        reply(tokio::time::timeout(Duration::from_secs(30), sent).await??).await
    }
}

impl Reply {
    /// Its body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The generation it names.
    pub fn generation(&self) -> Option<u32> {
        let value = self.headers.get(stratus_core::pool::GENERATION_HEADER)?;
        value.to_str().ok()?.parse().ok()
    }
}

async fn reply(answer: hyper::Response<hyper::body::Incoming>) -> Result<Reply> {
    let (head, body) = answer.into_parts();
    Ok(Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
    })
}

/// Runs the docker client.
pub fn docker(argv: &[&str]) -> Result<String> {
    let out = Command::new("docker")
        .args(argv)
        .output()
        .context("run the docker client")?;
    ensure!(
        out.status.success(),
        "docker {argv:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

fn write(file: &Path, text: &str) -> Result<PathBuf> {
    std::fs::create_dir_all(file.parent().context("a file in a folder")?)?;
    std::fs::write(file, text)?;
    Ok(file.to_owned())
}
