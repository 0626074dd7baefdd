//! The fakes keep the contracts of the traits that they stand for.

use std::time::Duration;

use stratus_core::environment::{CodeAccess, Php, Ready, Sessions, User};
use stratus_core::fake::FakeMachine;
use stratus_core::{Generation, Pool, PoolId};
use stratus_tests::contracts::runtime::{Given, holds};
use stratus_tests::contracts::tasks;

#[tokio::test]
async fn the_fake_keeps_the_contract_of_a_runtime() {
    let machine = FakeMachine::default();
    holds(&Given {
        runtime: &machine,
        pool: pool(),
        ready: Ready {
            path: "/index.php".to_owned(),
            status: 200,
            within: Duration::from_secs(1),
            successes: 1,
        },
        missing_image: "missing",
    })
    .await;
}

#[tokio::test]
async fn the_fake_keeps_the_contract_of_tasks() {
    let machine = FakeMachine::default();
    let argv = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    tasks::holds(&tasks::Given {
        tasks: &machine,
        pool: pool(),
        fails: argv(&["exit", "3"]),
        speaks: argv(&["print", "hello"]),
        stays: argv(&["stay"]),
        missing: argv(&["missing"]),
    })
    .await;
}

fn pool() -> Pool {
    Pool {
        id: PoolId::new(&"shop".parse().expect("a name"), Generation(1)),
        release: "ab".repeat(32).parse().expect("64 digits"),
        image: "sha256:0".to_owned(),
        members: 2,
        php: Php {
            image: "php".to_owned(),
            fpm: "php-fpm".to_owned(),
            mount: "/var/www/html".into(),
            user: User { uid: 1, gid: 1 },
            workers: 1,
            ini: [].into(),
            env: [].into(),
            memory: 1 << 20,
            cpus_milli: 1000,
        },
        code_access: CodeAccess::Immutable,
        code: "/srv/shop".into(),
        shared: Vec::new(),
        links: Vec::new(),
        docroot: "".into(),
        front: "index.php".to_owned(),
        upload_limit: 0,
        sessions: Sessions::Files,
    }
}
