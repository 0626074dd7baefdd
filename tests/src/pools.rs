//! Pools on a real engine, for tests: a data folder and a working tree of their own, and nothing left afterwards.
#![expect(
    clippy::missing_panics_doc,
    reason = "a test that cannot be set up fails by a panic"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use stratus_agent::docker::{DockerRuntime, Engine, Network, Options};
use stratus_agent::fpm::answer::Answer;
use stratus_agent::fpm::fastcgi::{self, FastCgiError};
use stratus_agent::fpm::request;
use stratus_agent::layout::Layout;
use stratus_core::environment::{CodeAccess, Php, Ready, Sessions, User};
use stratus_core::{Generation, OperationId, Pool, PoolId, ReleaseId, Runtime};
use tempfile::TempDir;

/// The image of the project's own recipe.
pub const IMAGE: &str = "stratus/php-fpm:8.2";
/// The host that requests name.
pub const HOST: &str = "shop.test";
/// Who owns the code and runs the members.
pub const USER: User = User {
    uid: 1000,
    gid: 1000,
};
const SOCKET: &str = "/var/run/docker.sock";
const ENVIRONMENT: &str = "shop";

/// A data folder, a working tree and an installation's worth of containers; all of it goes with the value.
pub struct Pools {
    /// Under test.
    pub runtime: DockerRuntime,
    /// Where everything lies.
    pub layout: Layout,
    /// The working tree, of which only shared folders are seen by members.
    pub code: TempDir,
    data: TempDir,
    releases: std::cell::Cell<u64>,
}

impl Pools {
    /// An installation on the engine of this machine.
    pub async fn new() -> Self {
        Self::on(Network::None).await
    }

    /// The same, with members in `network`.
    pub async fn on(network: Network) -> Self {
        let engine = Engine::connect(Path::new(SOCKET))
            .await
            .expect("these tests need a Docker engine; `make test` installs one");
        let data = tempfile::tempdir().expect("a temporary folder");
        let code = tempfile::tempdir().expect("a temporary folder");
        own(code.path());
        let id = uuid::Uuid::new_v4().simple().to_string();
        let installation = id[..6].parse().expect("six hexadecimal digits");
        let layout = Layout::new(data.path(), installation);
        let options = Options {
            network,
            nginx_gid: 33,
        };
        Self {
            runtime: DockerRuntime::new(engine, layout.clone(), options),
            layout,
            code,
            data,
            releases: std::cell::Cell::new(0),
        }
    }

    /// A second runtime on the same installation, as after a crash of the server.
    pub async fn restarted(&self) -> DockerRuntime {
        let engine = Engine::connect(Path::new(SOCKET)).await.expect("an engine");
        let options = Options {
            network: Network::None,
            nginx_gid: 33,
        };
        DockerRuntime::new(engine, self.layout.clone(), options)
    }

    /// Puts a release of these files in place; a name that ends with a slash is a folder.
    pub fn release(&self, files: &[(&str, &str)]) -> ReleaseId {
        let number = self.releases.get() + 1;
        self.releases.set(number);
        let id: ReleaseId = format!("{number:064x}").parse().expect("64 digits");
        let environment = ENVIRONMENT.parse().expect("a name");
        let root = self.layout.releases(&environment).join(id.as_str());
        fs::create_dir_all(&root).expect("a release's folder");
        own(&root);
        for (name, text) in files {
            write(&root, name, text);
        }
        id
    }

    /// One member of two workers that serves `release` in `generation`.
    pub fn pool(&self, generation: u32, release: &ReleaseId) -> Pool {
        Pool {
            id: PoolId {
                environment: ENVIRONMENT.parse().expect("a name"),
                generation: Generation(generation),
            },
            release: release.clone(),
            image: IMAGE.to_owned(),
            members: 1,
            php: Php {
                image: IMAGE.to_owned(),
                fpm: "php-fpm8.2".to_owned(),
                mount: "/var/www/html".into(),
                user: USER,
                workers: 2,
                ini: BTreeMap::new(),
                env: BTreeMap::new(),
                memory: 128 << 20,
                cpus_milli: 1000,
            },
            code_access: CodeAccess::Immutable,
            code: self.code.path().to_owned(),
            shared: Vec::new(),
            links: Vec::new(),
            docroot: PathBuf::new(),
            front: "index.php".to_owned(),
            upload_limit: 8 << 20,
            sessions: Sessions::Files,
        }
    }

    /// Creates and starts a pool, by digest, and waits until it is ready; answers the pool as it was created.
    pub async fn serve(&self, mut pool: Pool) -> Pool {
        pool.image = self
            .runtime
            .image(&pool.php.image, &pool.php.fpm)
            .await
            .expect("the image is there");
        self.runtime
            .create(&pool, &operation())
            .await
            .expect("created");
        self.runtime.start(&pool).await.expect("started");
        let ready = check("/index.php");
        self.runtime
            .ready(&pool, HOST, &ready)
            .await
            .expect("ready");
        pool
    }

    /// Fetches a page from member 0.
    pub async fn get(&self, pool: &Pool, path: &str) -> Answer {
        self.try_get(pool, path).await.expect("an answer")
    }

    /// Fetches a page from member 0, or says why there is none.
    pub async fn try_get(&self, pool: &Pool, path: &str) -> Result<Answer, FastCgiError> {
        self.asking(pool, path).await
    }

    /// The same as a future that borrows nothing, for requests beside others.
    pub fn asking(
        &self,
        pool: &Pool,
        path: &str,
    ) -> impl Future<Output = Result<Answer, FastCgiError>> + Send + 'static {
        let socket = self.layout.socket(&pool.id, 0);
        let params = request::page(pool, HOST, path).expect("a path");
        let limit = Duration::from_secs(30);
        async move { fastcgi::call(&socket, &params, b"", limit).await }
    }

    /// The name of a member's container.
    pub fn container(&self, pool: &Pool, index: u16) -> String {
        pool.id.member(index, self.layout.installation())
    }

    /// The folder of all data.
    pub fn data(&self) -> &Path {
        self.data.path()
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        let label = format!(
            "label=org.stratus.installation={}",
            self.layout.installation()
        );
        for (list, remove) in [
            (["ps", "-aq", "--filter"], ["rm", "-f", "-v"].as_slice()),
            (["volume", "ls", "-q"], &["volume", "rm"]),
            (["network", "ls", "-q"], &["network", "rm"]),
        ] {
            let mut list = list.to_vec();
            if !list.contains(&"--filter") {
                list.push("--filter");
            }
            list.push(&label);
            for found in docker(&list).lines() {
                docker(&[remove, &[found]].concat());
            }
        }
    }
}

/// A check of `path`: 200, once, within ten seconds.
pub fn check(path: &str) -> Ready {
    Ready {
        path: path.to_owned(),
        status: 200,
        within: Duration::from_secs(10),
        successes: 1,
    }
}

/// An operation's id.
pub fn operation() -> OperationId {
    "operation-1".parse().expect("an operation id")
}

/// What the docker client says; the client is not the code under test.
pub fn docker(arguments: &[&str]) -> String {
    let ran = Command::new("docker")
        .args(arguments)
        .output()
        .expect("the docker client runs");
    String::from_utf8_lossy(&ran.stdout).trim().to_owned()
}

/// What the engine knows of a container, at `path` of its JSON. Shape of `path`: `.HostConfig.CapDrop`.
pub fn inspect(container: &str, path: &str) -> String {
    let format = format!("{{{{json {path}}}}}");
    docker(&["inspect", "--format", &format, container])
}

/// Writes a file, or a folder where the name ends with a slash, owned by [`USER`].
pub fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    let folder = if name.ends_with('/') {
        &path
    } else {
        path.parent().expect("a file is in a folder")
    };
    fs::create_dir_all(folder).expect("a folder");
    own(folder);
    if !name.ends_with('/') {
        fs::write(&path, text).expect("a file");
        chown(&path, Some(USER.uid), Some(USER.gid)).expect("root may give files away");
    }
}

fn own(folder: &Path) {
    fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).expect("a mode");
    chown(folder, Some(USER.uid), Some(USER.gid)).expect("root may give folders away");
}
