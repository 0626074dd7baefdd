//! Tasks in real containers: what they see, what they may do, and how they end.

use std::time::{Duration, Instant};

use stratus_core::environment::{Argv, CodeAccess};
use stratus_core::tasks::{Begun, Task, TaskCode, TaskEnd, TaskId, TaskRestart, TaskState, Tasks};
use stratus_core::{Pool, Runtime};
use stratus_tests::contracts;
use stratus_tests::pools::{IMAGE, Pools, docker, inspect, write};

const GRACE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn docker_keeps_the_contract_of_tasks() {
    let pools = Pools::new().await;
    let pool = pool(&pools, &[("a.php", "")]).await;
    let tasks = pools.runtime.tasks();
    contracts::tasks::holds(&contracts::tasks::Given {
        tasks: &tasks,
        pool,
        fails: php("exit(3);"),
        speaks: php("echo 'hello';"),
        stays: php("while (true) sleep(1);"),
        missing: vec!["no-such-program".to_owned()],
    })
    .await;
    let left = pools.data().join("env/shop/tasks");
    assert_eq!(std::fs::read_dir(left).unwrap().count(), 0);
}

#[tokio::test]
async fn a_task_has_what_a_member_has_and_may_do_no_more() {
    let pools = Pools::new().await;
    let script = "<?php
        echo json_encode([ini_get('memory_limit'), getenv('APP_ENV'), posix_getuid(), getcwd(),
            @file_put_contents('a.php', 'x'), @file_put_contents('/etc/x', 'x'),
            file_put_contents('var/shared', 'x'), file_put_contents('/tmp/x', 'x'), php_sapi_name()]), \"\\n\";
        echo file_get_contents('/proc/self/status');";
    let mut pool = pool(&pools, &[("a.php", script), ("var/", "")]).await;
    pool.shared.push("var".into());
    pool.php.ini.insert("memory_limit".into(), "77M".into());
    pool.php.env.insert("APP_ENV".into(), "production".into());
    let task = task(&pool, &["php", "a.php"]);
    let (end, output) = run(&pools, &task).await;
    assert_eq!(end.exit, 0, "{output}");
    let expected = r#"["77M","production",1000,"\/var\/www\/html",false,false,1,1,"cli"]"#;
    assert_eq!(output.lines().next(), Some(expected), "{output}");
    for line in ["CapEff:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(output.contains(line), "{output}");
    }
    assert!(pools.code.path().join("var/shared").exists());
    let container = task.id.container(pools.layout.installation());
    for (path, expected) in [
        (".HostConfig.CapDrop", r#"["ALL"]"#),
        (".HostConfig.ReadonlyRootfs", "true"),
        (".HostConfig.Memory", "134217728"),
        (".HostConfig.PidsLimit", "256"),
        (".HostConfig.NetworkMode", r#""none""#),
        (".HostConfig.RestartPolicy.Name", r#""no""#),
        (".Config.User", r#""1000:1000""#),
    ] {
        assert_eq!(inspect(&container, path), expected, "{path}");
    }
}

#[tokio::test]
async fn a_hook_before_the_init_writes_to_the_working_tree() {
    let pools = Pools::new().await;
    let mut pool = pool(&pools, &[]).await;
    write(
        pools.code.path(),
        "a.php",
        "<?php file_put_contents('b.php', 'made');",
    );
    // It needs no release: there may be none yet.
    pool.release = "ee".repeat(32).parse().unwrap();
    let mut task = task(&pool, &["php", "a.php"]);
    task.code = TaskCode::WorkingTree;
    let (end, output) = run(&pools, &task).await;
    assert_eq!(end.exit, 0, "{output}");
    let made = std::fs::read_to_string(pools.code.path().join("b.php")).unwrap();
    assert_eq!(made, "made");
}

#[tokio::test]
async fn a_writable_release_is_written_to_by_this_task_alone() {
    let pools = Pools::new().await;
    let script = "<?php echo file_exists('made') ? 'seen' : 'new'; file_put_contents('made', 'x');";
    let mut pool = pool(&pools, &[("a.php", script)]).await;
    pool.code_access = CodeAccess::Overlay;
    for name in ["task.one", "task.two"] {
        let mut task = task(&pool, &["php", "a.php"]);
        task.id.name = name.parse().unwrap();
        let (end, output) = run(&pools, &task).await;
        assert_eq!((end.exit, output.as_str()), (0, "new"));
        pools.runtime.tasks().remove(&task.id).await.unwrap();
    }
    assert_eq!(
        docker(&["volume", "ls", "-q", "--filter", &label(&pools)]),
        ""
    );
}

#[tokio::test]
async fn a_task_started_before_a_crash_is_adopted_and_not_run_again() {
    let pools = Pools::new().await;
    let script = "<?php file_put_contents('var/runs', 'x', FILE_APPEND); sleep(2);";
    let mut pool = pool(&pools, &[("a.php", script), ("var/", "")]).await;
    pool.shared.push("var".into());
    let task = task(&pool, &["php", "a.php"]);
    pools.runtime.tasks().start(&task).await.unwrap();
    let after = pools.restarted().await.tasks();
    assert_eq!(after.start(&task).await.unwrap(), Begun::Known);
    let TaskState::Ended(end) = wait(&after, &task.id).await else {
        panic!("it did not end");
    };
    assert_eq!(end.exit, 0);
    assert_eq!(after.start(&task).await.unwrap(), Begun::Known);
    let runs = std::fs::read_to_string(pools.code.path().join("var/runs")).unwrap();
    assert_eq!(runs, "x");
}

#[tokio::test]
async fn two_starts_at_once_are_one() {
    let pools = Pools::new().await;
    let pool = pool(&pools, &[("a.php", "<?php sleep(1);")]).await;
    let task = task(&pool, &["php", "a.php"]);
    let tasks = pools.runtime.tasks();
    let (one, two) = tokio::join!(tasks.start(&task), tasks.start(&task));
    let news = [one.unwrap(), two.unwrap()].map(|begun| begun == Begun::New);
    assert_eq!(news.iter().filter(|new| **new).count(), 1, "{news:?}");
}

#[tokio::test]
async fn a_task_that_ignores_sigterm_is_killed_after_its_grace_and_not_before() {
    let pools = Pools::new().await;
    let deaf =
        "<?php pcntl_async_signals(true); pcntl_signal(SIGTERM, function () { echo \"heard\\n\"; });
        echo \"ready\\n\"; while (true) usleep(10000);";
    let pool = pool(&pools, &[("a.php", deaf)]).await;
    let task = task(&pool, &["php", "a.php"]);
    let tasks = pools.runtime.tasks();
    tasks.start(&task).await.unwrap();
    spoke(&tasks, &task.id, "ready").await;
    let before = Instant::now();
    tasks.stop(&task.id, Duration::from_secs(1)).await.unwrap();
    assert!(
        before.elapsed() >= Duration::from_secs(1),
        "{:?}",
        before.elapsed()
    );
    let TaskState::Ended(end) = tasks.look(&task.id).await.unwrap() else {
        panic!("it still runs");
    };
    assert_eq!((end.exit, end.out_of_memory), (137, false));
    assert_eq!(
        tasks.output(&task.id, 100).await.unwrap().text,
        "ready\nheard\n"
    );
}

#[tokio::test]
async fn what_a_task_forked_ends_with_it_and_a_fork_bomb_stays_inside() {
    let pools = Pools::new().await;
    let bomb = "<?php $forks = 0;
        for ($i = 0; $i < 2000; $i++) { $pid = @pcntl_fork();
            if ($pid === -1) { break; } if ($pid === 0) { sleep(600); exit; } $forks++; }
        echo $forks;";
    let pool = pool(&pools, &[("a.php", bomb)]).await;
    let task = task(&pool, &["php", "a.php"]);
    let (end, output) = run(&pools, &task).await;
    assert_eq!(end.exit, 0, "{output}");
    let forks: u32 = output.trim().parse().unwrap_or_else(|_| panic!("{output}"));
    assert!((50..256).contains(&forks), "{forks}");
    let container = task.id.container(pools.layout.installation());
    assert_eq!(inspect(&container, ".State.Running"), "false");
}

#[tokio::test]
async fn a_task_that_writes_a_gigabyte_keeps_its_last_words_and_little_else() {
    let pools = Pools::new().await;
    let writer = "<?php $line = str_repeat('x', 65535) . \"\\n\";
        for ($i = 0; $i < 16384; $i++) { echo $line; } echo 'the end';";
    let pool = pool(&pools, &[("a.php", writer)]).await;
    let task = task(&pool, &["php", "a.php"]);
    let tasks = pools.runtime.tasks();
    tasks.start(&task).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_mins(4), tasks.wait(&task.id)).await;
    let TaskState::Ended(end) = waited.expect("it ends").unwrap() else {
        panic!("it did not end");
    };
    assert_eq!(end.exit, 0);
    let output = tasks.output(&task.id, 16 * 1024).await.unwrap();
    assert!(
        output.cut && output.text.ends_with("the end"),
        "{}",
        output.text.len()
    );
    assert!(output.text.len() <= 16 * 1024);
    let container = task.id.container(pools.layout.installation());
    let id = inspect(&container, ".Id").replace('"', "");
    let logs = format!("/var/lib/docker/containers/{id}/local-logs");
    let kept: u64 = std::fs::read_dir(&logs)
        .unwrap_or_else(|error| panic!("{logs}: {error}"))
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(kept < 32 << 20, "{kept} bytes of log");
}

#[tokio::test]
async fn a_task_that_takes_too_much_memory_is_killed_and_says_why() {
    let pools = Pools::new().await;
    let hungry = "<?php ini_set('memory_limit', -1); $a = []; while (true) { $a[] = str_repeat('x', 1 << 20); }";
    let pool = pool(&pools, &[("a.php", hungry)]).await;
    let (end, _) = run(&pools, &task(&pool, &["php", "a.php"])).await;
    assert_eq!((end.exit, end.out_of_memory), (137, true));
}

#[tokio::test]
async fn a_worker_that_ends_is_started_again_by_the_engine() {
    let pools = Pools::new().await;
    let script = "<?php file_put_contents('var/runs', 'x', FILE_APPEND);";
    let mut pool = pool(&pools, &[("a.php", script), ("var/", "")]).await;
    pool.shared.push("var".into());
    let mut task = task(&pool, &["php", "a.php"]);
    task.restart = TaskRestart::Always;
    let tasks = pools.runtime.tasks();
    tasks.start(&task).await.unwrap();
    let runs = pools.code.path().join("var/runs");
    let patience = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(&runs).is_ok_and(|runs| runs.len() >= 3) {
        assert!(Instant::now() < patience, "it was not started again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // It ends at once whenever it is started: the engine waits longer and longer in between, and it is told apart from one
    // that does its work.
    while !tasks.list().await.unwrap()[0].restarting {
        assert!(Instant::now() < patience, "it never waited for a start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(tasks.list().await.unwrap()[0].running);
    tasks.stop(&task.id, GRACE).await.unwrap();
    assert!(matches!(
        tasks.look(&task.id).await.unwrap(),
        TaskState::Ended(_)
    ));
}

#[tokio::test]
async fn a_foreign_container_of_the_same_name_is_named_and_left_alone() {
    let pools = Pools::new().await;
    let pool = pool(&pools, &[]).await;
    let task = task(&pool, &["php", "-v"]);
    let name = task.id.container(pools.layout.installation());
    let id = docker(&["create", "--name", &name, IMAGE, "true"]);
    let tasks = pools.runtime.tasks();
    let started = tasks.start(&task).await;
    let removed = tasks.remove(&task.id).await;
    let there = inspect(&name, ".Id");
    docker(&["rm", "-f", &id]);
    for error in [started.map(drop).unwrap_err(), removed.unwrap_err()] {
        assert!(error.to_string().contains("not ours"), "{error}");
    }
    assert_eq!(there, format!("{id:?}"));
}

#[tokio::test]
async fn a_pool_and_its_tasks_do_not_take_each_other_away() {
    let pools = Pools::new().await;
    let release = pools.release(&[("index.php", "<?php echo 'hello';")]);
    let pool = pools.serve(pools.pool(1, &release)).await;
    let task = task(&pool, &["php", "-r", "while (true) sleep(1);"]);
    let tasks = pools.runtime.tasks();
    tasks.start(&task).await.unwrap();
    assert_eq!(pools.runtime.list().await.unwrap().len(), 1);
    pools.runtime.remove(&pool.id).await.unwrap();
    assert_eq!(tasks.look(&task.id).await.unwrap(), TaskState::Running);
    assert_eq!(pools.runtime.list().await.unwrap(), []);
}

/// A pool of a release of these files, by digest; none of its members is there.
async fn pool(pools: &Pools, files: &[(&str, &str)]) -> Pool {
    let release = pools.release(files);
    let mut pool = pools.pool(1, &release);
    pool.image = pools.runtime.image(IMAGE, "php-fpm8.2").await.unwrap();
    pool
}

fn task(pool: &Pool, argv: &[&str]) -> Task {
    Task {
        id: TaskId::new(&pool.id.environment, "task.one".parse().unwrap()),
        pool: pool.clone(),
        code: TaskCode::Release,
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        restart: TaskRestart::Never,
        grace: GRACE,
    }
}

fn php(code: &str) -> Argv {
    ["php", "-r", code].map(str::to_owned).into()
}

async fn wait(tasks: &dyn Tasks, id: &TaskId) -> TaskState {
    let waited = tokio::time::timeout(PATIENCE, tasks.wait(id)).await;
    waited.expect("it ends").unwrap()
}

/// Runs a task to its end.
async fn run(pools: &Pools, task: &Task) -> (TaskEnd, String) {
    let tasks = pools.runtime.tasks();
    tasks.start(task).await.unwrap();
    let TaskState::Ended(end) = wait(&tasks, &task.id).await else {
        panic!("it did not end");
    };
    (end, tasks.output(&task.id, 16 * 1024).await.unwrap().text)
}

/// Waits until a task has written `words`.
async fn spoke(tasks: &dyn Tasks, id: &TaskId, words: &str) {
    let patience = Instant::now() + PATIENCE;
    while !tasks.output(id, 1000).await.unwrap().text.contains(words) {
        assert!(Instant::now() < patience, "{words} was never written");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn label(pools: &Pools) -> String {
    format!(
        "label=org.stratus.installation={}",
        pools.layout.installation()
    )
}
