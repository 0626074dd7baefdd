//! A live shop, and scripts that are run against it by a real shell.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use stratus_tests::load::{Check, Load, Mix, Plan, Request, Target};
use stratus_tests::stage::{Output, Running, Server, binary, command};

/// Longest wait for what comes by itself.
const LIMIT: Duration = Duration::from_mins(1);

/// Where scripts expect the command.
const CLI: &str = "usr/share/stratus/cli";

/// A live shop and a shell that finds the command as `$CLI` and as `stratus`.
pub struct Scene {
    /// The shop, its server and its nginx.
    pub stage: Running,
}

impl Scene {
    /// Generation 1, which is release 0, is live.
    pub async fn open(name: &str, more: &str) -> Self {
        Self::of(Running::open(name, 1, more).await.unwrap())
    }

    /// A server for a shop of which nothing was ever live, and no nginx.
    pub async fn before_all(name: &str) -> Self {
        let mut stage = Running::make(name, 1, "").unwrap();
        stage.server = Some(Server::start(&stage.place).await.unwrap());
        Self::of(stage)
    }

    fn of(stage: Running) -> Self {
        let scene = Self { stage };
        for link in [CLI, "bin/stratus"] {
            let link = scene.stage.place.root.join(link);
            std::fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(binary("stratus").unwrap(), link).unwrap();
        }
        scene
    }

    /// Runs a script in bash, in a folder of its own, without a terminal.
    pub async fn bash(&self, script: &str) -> Output {
        let place = &self.stage.place;
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", place.root.join("bin").display());
        let script = format!("cd '{}' || exit 90\n{script}", self.notes("").display());
        command("bash", &["-c", &script])
            .env("PATH", &path)
            .env("CLI", &place.root.join(CLI))
            .env(
                "STRATUS_SERVER",
                &format!("unix:{}", place.socket().display()),
            )
            .run()
            .await
            .unwrap()
    }

    /// Runs `$CLI COMMAND` with stdout and stderr in one pipe, as a script that keeps what is said; that and the exit code.
    pub async fn merged(&self, words: &str) -> (String, i32) {
        let script = format!("said=$(\"$CLI\" {words} 2>&1); code=$?; echo \"$said\"; exit $code");
        let output = self.bash(&script).await;
        assert_eq!(output.stderr, "", "{output}");
        (output.stdout, output.code)
    }

    /// A file in the folder in which scripts run.
    pub fn notes(&self, name: &str) -> PathBuf {
        let folder = self.stage.place.root.join("notes");
        std::fs::create_dir_all(&folder).unwrap();
        folder.join(name)
    }

    /// What `status` tells of the shop.
    pub async fn status(&self) -> Value {
        let status = self.stage.place.done(&["status"]).await.unwrap();
        status["environments"][0].clone()
    }

    /// Waits until the status of the shop is as wanted.
    pub async fn becomes(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + LIMIT;
        loop {
            let found = self.status().await;
            if wanted(&found) {
                return found;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "not {what}: {found}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Which release a visitor sees.
    pub async fn release(&self) -> String {
        let page = self.stage.place.visit("/index.php").await.unwrap();
        assert_eq!(page.status, 200, "{page:?}");
        page.body.lines().next().unwrap_or_default().to_owned()
    }

    /// Visitors who notice every request that is not answered.
    pub fn load(&self) -> Load {
        let mix = Mix::new(vec![
            Request::get("/index.php").weight(4),
            Request::post("/post.php").check(Check::Echo).weight(2),
            Request::get("/app.css"),
        ])
        .unwrap();
        let plan = Plan::new(Target::new(self.stage.place.http).unwrap(), mix)
            .host("shop.example.test")
            .keepalive(4)
            .oneshot(1)
            .rate(60)
            .limit(Duration::from_mins(5));
        Load::start(plan).unwrap()
    }
}

/// Ends the load; none of its requests may have failed, and there were some.
pub async fn none_lost(load: Load) {
    let report = load.stop().await;
    assert_eq!(report.counts.failed, 0, "{}", report.table());
    assert!(report.counts.requests > 100, "{}", report.table());
}

/// Whether a text holds neither of the words that scripts take for a failure.
pub fn is_clean(text: &str) -> bool {
    !text.contains("ERROR") && !text.contains("Error")
}

/// How many lines hold both of them.
pub fn failures(text: &str) -> usize {
    let both = |line: &&str| line.contains("ERROR") && line.contains("Error");
    text.lines().filter(both).count()
}
