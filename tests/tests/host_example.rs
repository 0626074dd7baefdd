//! The vendor's short example of a deployment script, as it is printed but for its missing `fi` and its host name, in the shell
//! of the whole stack, against `WordPress` under load. `tests/scripts/example-files` has it, as `deploy`.
//!
//! The shop's own tools are stubs that note how they are called; the command, PHP, composer, Redis, nginx and curl are real.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use stratus_tests::demo::shop;
use stratus_tests::load::{Check, Load, Mix, Plan, Request, Target};
use stratus_tests::stage::{Output, Place, Server, Stack, command, free_port, repository};

/// Longest wait for what comes by itself: a cron's next minute, a lease.
const LIMIT: Duration = Duration::from_secs(100);

/// How the shop's own tools are called by the script, in this order.
const CALLS: [&str; 6] = [
    "magento setup:upgrade memory=8000M in=/srv",
    "magento setup:di:compile memory=8000M in=/srv",
    "magento setup:static-content:deploy --jobs=N memory=8000M in=/srv",
    "magento cache:flush memory=8000M in=/srv",
    "n98-magerun2 sys:cron:run indexer_reindex_all_invalid",
    "n98-magerun2 sys:cron:run indexer_update_all_views",
];

/// A live `WordPress` with everything around it, and a server; removed at the end.
struct Example {
    place: Place,
    shell: String,
    /// Dropped before its folder, whatever happens.
    server: Option<Server>,
    _folder: tempfile::TempDir,
}

impl Example {
    async fn open() -> Self {
        let mut folder = tempfile::Builder::new();
        let folder = folder.prefix("stratus-").tempdir_in("/var/tmp").unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let place = Place {
            root: folder.path().to_owned(),
            http: free_port().unwrap(),
            project: format!("stratus-example-{}", std::process::id()),
        };
        let mut example = Self {
            place,
            shell: String::new(),
            server: None,
            _folder: folder,
        };
        let place = &example.place;
        let stack = Stack {
            https: free_port().unwrap(),
            environment: "shop",
            tree: place.code().join("shop"),
        };
        shop::assemble(place).await.unwrap();
        furnish(&stack.tree);
        place.prepare_stack("shop").await.unwrap();
        let crons =
            "    crons: [{name: tidy, at: '* * * * *', run: [php, -r, 'echo \"tidied\";']}]\n";
        let text = shop::yaml(place, &stack) + crons;
        // A pool that cannot work is given up sooner.
        let text = text.replace("within: 60s", "within: 15s");
        std::fs::write(place.config(), text).unwrap();
        example.server = Some(Server::start(place).await.unwrap());
        place.stack_up(&stack).await.unwrap();
        shop::install(place).await.unwrap();
        place.done(&["deploy"]).await.unwrap();
        example.shell = place.container_of("shell").await.unwrap();
        example
    }

    /// Runs a command in the shell of the environment, without a terminal.
    async fn shell(&self, variables: &[&str], words: &[&str]) -> Output {
        let variables = variables.iter().flat_map(|variable| ["-e", *variable]);
        let mut all = vec!["exec"];
        all.extend(variables);
        all.push(&self.shell);
        all.extend(words);
        command("docker", &all).run().await.unwrap()
    }

    /// Runs a line of bash there.
    async fn bash(&self, line: &str) -> Output {
        self.shell(&[], &["bash", "-c", line]).await
    }

    async fn status(&self) -> Value {
        let status = self.place.done(&["status"]).await.unwrap();
        status["environments"][0].clone()
    }

    async fn until(&self, what: &str, done: impl AsyncFn() -> bool) {
        let waited = async {
            while !done().await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let waited = tokio::time::timeout(LIMIT, waited).await;
        waited.unwrap_or_else(|_| panic!("not in time: {what}"));
    }

    /// Which release visitors see, and the deployed asset that goes with it.
    async fn serves(&self, release: u32) {
        let page = self.place.visit("/stratus/session").await.unwrap();
        assert_eq!(page.status, 200, "{page:?}");
        let mark = format!("release={release}");
        assert!(page.body.contains(&mark), "{page:?}");
        let asset = self.place.visit("/deployed.css").await.unwrap();
        let mark = format!("/* release {release} */");
        assert!(asset.body.contains(&mark), "{asset:?}");
    }

    /// Waits for a run of the cron that nobody asked for, and that began after `since_ms`.
    async fn cron_runs(&self, since_ms: u64) {
        let ran = async || {
            let logs = self.place.done(&["crons.logs", "tidy"]).await.unwrap();
            let run = &logs["runs"][0];
            run["began"].as_u64() > Some(since_ms) && run["exit"] == 0
        };
        self.until("a cron runs", ran).await;
    }

    fn load(&self) -> Load {
        let mix = Mix::new(vec![
            Request::get("/").weight(4),
            Request::get("/stratus/session").weight(3),
            Request::get("/wp-content/mu-plugins/stratus/release.css").weight(2),
            Request::post("/stratus-post.php")
                .check(Check::Echo)
                .weight(3),
        ])
        .unwrap();
        let plan = Plan::new(Target::new(self.place.http).unwrap(), mix)
            .host("shop.example.test")
            .keepalive(6)
            .oneshot(2)
            .rate(40)
            .limit(Duration::from_mins(10));
        Load::start(plan).unwrap()
    }
}

impl Drop for Example {
    /// Runs after a failed test too, hence without compose.
    fn drop(&mut self) {
        drop(self.server.take());
        let docker = |arguments: &[&str]| {
            let output = std::process::Command::new("docker")
                .args(arguments)
                .output();
            output.map_or_else(
                |_| String::new(),
                |output| String::from_utf8_lossy(&output.stdout).into_owned(),
            )
        };
        let id = std::fs::read_to_string(self.place.data().join("installation"));
        let labels = [
            format!("label=com.docker.compose.project={}", self.place.project),
            format!(
                "label=org.stratus.installation={}",
                id.unwrap_or_default().trim()
            ),
        ];
        for (list, remove) in [
            (&["ps", "-aq"][..], &["rm", "-f", "-v"][..]),
            (&["volume", "ls", "-q"], &["volume", "rm"]),
            (&["network", "ls", "-q"], &["network", "rm"]),
        ] {
            for label in &labels {
                let found = docker(&[list, &["--filter", label]].concat());
                let names: Vec<&str> = found.split_whitespace().collect();
                if !names.is_empty() {
                    docker(&[remove, &names].concat());
                }
            }
        }
    }
}

/// Puts the script and what it calls into the tree.
fn furnish(tree: &Path) {
    let files = repository().join("tests/scripts/example-files");
    for (name, to) in [
        ("deploy", "deploy"),
        ("magento", "bin/magento"),
        ("n98-magerun2", "bin/n98-magerun2"),
    ] {
        std::fs::copy(files.join(name), tree.join(to)).unwrap();
    }
    let composer =
        "{\"name\": \"example/shop\", \"autoload\": {\"psr-4\": {\"Shop\\\\\": \"src/\"}}}\n";
    std::fs::write(tree.join("composer.json"), composer).unwrap();
    std::fs::write(tree.join("public_html/deployed.css"), "/* release 0 */\n").unwrap();
    for name in [
        "deploy",
        "bin/magento",
        "bin/n98-magerun2",
        "composer.json",
        "public_html/deployed.css",
    ] {
        chown(tree.join(name), Some(1000), Some(1000)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_script_deploys_under_load_and_its_failures_and_its_death_leave_the_shop_well()
{
    let example = Example::open().await;
    scripts_read_the_database_where_they_run(&example).await;
    let load = example.load();
    it_deploys(&example).await;
    its_failed_init_leaves_the_live_site(&example).await;
    crons_come_back_after_its_death(&example).await;
    let report = load.stop().await;
    assert_eq!(report.counts.failed, 0, "{}", report.table());
    assert!(report.counts.requests > 500, "{}", report.table());
    println!("{}", report.table());
}

/// Section `database.config`: what both parsers read opens the database. Rule 4: nothing in the environment, no options.
async fn scripts_read_the_database_where_they_run(example: &Example) {
    let awk = r#"
        field() { env -i /usr/share/stratus/cli database.config 2>&1 | grep Username | awk "{print \$$1}" | cut -c3- | rev | cut -c4- | rev; }
        mysql -h mysql -u "$(field 3)" "-p$(field 14)" -Ne 'SELECT DATABASE()' "$(field 7)""#;
    let json = r#"
        read -r user name password < <(/usr/share/stratus/cli database.config 2>&1 | head -n 1 | php -r '
            $line = json_decode(stream_get_contents(STDIN), true)["args"][0];
            $found = json_decode(substr($line, strlen("Result:")), true);
            echo "$found[Username] $found[Name] $found[Password]\n";')
        mysql -h mysql -u "$user" "-p$password" -Ne 'SELECT DATABASE()' "$name""#;
    for parser in [awk, json] {
        let output = example.bash(parser).await;
        assert_eq!(output.stdout, "shop\n", "{output}");
    }
}

/// 0 lost, status 200, crons running at the end.
async fn it_deploys(example: &Example) {
    for words in [
        "-h redis set page old",
        "-h redis-config-cache -p 6381 set page old",
        "-h redis-session -p 6380 set kept yes",
    ] {
        let output = example.bash(&format!("redis-cli {words}")).await;
        assert_eq!(output.stdout, "OK\n", "{output}");
    }
    shop::release(&example.place, 1).await.unwrap();
    // As CI shows it: both streams in one, with the values of its variables.
    let output = example.bash("bash -x deploy 2>&1").await;
    assert_eq!(output.code, 0, "{output}");
    let said = &output.stdout;
    for failure in [
        "ERROR",
        "Error",
        "Site not active",
        "command not found",
        "syntax error",
    ] {
        assert!(!said.contains(failure), "{output}");
    }
    assert!(said.contains("+ status_code=200\n"), "{output}");
    assert_eq!(said.matches("\nOK\n").count(), 2, "flushall: {output}");
    example.serves(1).await;
    assert_eq!(example.status().await["live"]["generation"], 2);

    let calls = example.bash("cat /tmp/calls").await.stdout;
    let jobs = example.bash("nproc").await.stdout;
    let calls = calls.replace(&format!("--jobs={}", jobs.trim()), "--jobs=N");
    assert_eq!(calls.lines().collect::<Vec<_>>(), CALLS, "{output}");
    let made = example.bash("grep -c -i apcu vendor/composer/autoload_real.php");
    assert_ne!(
        made.await.stdout.trim(),
        "0",
        "composer was called otherwise"
    );
    for (words, left) in [
        ("-h redis get page", ""),
        ("-h redis-config-cache -p 6381 get page", ""),
        ("-h redis-session -p 6380 get kept", "yes"),
    ] {
        let output = example.bash(&format!("redis-cli {words}")).await;
        assert_eq!(output.stdout.trim(), left, "{words}: {output}");
    }
    let status = example.status().await;
    assert_eq!(status["crons_stopped"], Value::Null, "{status}");
    let ran = example.bash("stratus crons.run tidy").await;
    assert_eq!(ran.code, 0, "{ran}");
}

/// A script of PHP that does not parse: the pool is never ready, and the script goes on to its next line, as it is written.
async fn its_failed_init_leaves_the_live_site(example: &Example) {
    let login = example.place.code().join("shop/public_html/wp-login.php");
    let whole = std::fs::read_to_string(&login).unwrap();
    std::fs::write(&login, "<?php this does not parse").unwrap();
    shop::release(&example.place, 2).await.unwrap();
    let output = example.bash("bash -x deploy 2>&1").await;
    let failures = |words: &str| {
        let both = |line: &&str| line.contains("ERROR: Error: ") && line.contains(words);
        output.stdout.lines().filter(both).count()
    };
    assert_eq!(failures("init"), 2, "one of each command: {output}");
    assert_eq!(failures("run zerodowntime.init first"), 1, "{output}");
    assert!(output.stdout.contains("+ status_code=200\n"), "{output}");
    example.serves(1).await;
    let status = example.status().await;
    assert_eq!(status["live"]["generation"], 2, "{status}");
    assert_eq!(status["standby"], Value::Null, "{status}");
    assert_eq!(status["crons_stopped"], Value::Null, "{status}");
    std::fs::write(&login, whole).unwrap();
}

/// Killed right after `crons.stop`: with the time that the contract has they come back within the hour, with a shorter one
/// they are seen to come back.
async fn crons_come_back_after_its_death(example: &Example) {
    for (variables, longest) in [
        (&[][..], Duration::from_hours(1)),
        (&["STRATUS_CRONS_FOR=15s"], Duration::from_secs(15)),
    ] {
        let started = example.bash("/usr/share/stratus/cli crons.start").await;
        assert_eq!(started.code, 0, "{started}");
        // Its next line waits there, so that it is killed nowhere else.
        let script = "rm -f /tmp/calls; touch /tmp/hold; bash deploy >/tmp/said 2>&1 & job=$!
            until grep -qs upgrade /tmp/calls; do sleep 0.05; done
            kill -KILL $job; wait $job; echo $?; rm /tmp/hold";
        let killed = example.shell(variables, &["bash", "-c", script]).await;
        assert_eq!(killed.stdout, "137\n", "{killed}");
        let lease = example.status().await["crons_stopped"].clone();
        let of = |name: &str| lease[name].as_u64().unwrap_or_default();
        let time = Duration::from_millis(of("until") - of("since"));
        assert_eq!(time, longest, "{lease}");
        let held = example.bash("stratus crons.run tidy").await;
        assert_eq!(held.code, 1, "{held}");
        if longest < LIMIT {
            let ended = async || example.status().await["crons_stopped"].is_null();
            example.until("the lease ends", ended).await;
            example.cron_runs(of("until")).await;
        }
    }
    example.serves(1).await;
}
