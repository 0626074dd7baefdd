//! How a new text reaches a real nginx, and every way in which it does not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use stratus_agent::docker::{EngineError, Finished};
use stratus_agent::nginx::master::{Master, State, Workers};
use stratus_agent::nginx::render::render;
use stratus_agent::nginx::{AccessRecords, NginxRouter};
use stratus_core::fake::{FakeMachine, FakePool};
use stratus_core::router::RouterError;
use stratus_core::{Faulty as _, Generation, PoolId, Router as _};
use stratus_tests::contracts;
use stratus_tests::nginx::{Bench, IMAGE, docker};

fn on_disk(bench: &Bench) -> String {
    std::fs::read_to_string(bench.layout.nginx_configuration()).unwrap()
}

#[tokio::test]
async fn nginx_keeps_the_contract_of_a_router() -> Result<()> {
    let mut bench = Bench::new().await?;
    bench.router.prepare(&bench.table(0)).await?;
    bench.start().await?;
    let _pools = [bench.pool(1, 2)?, bench.pool(2, 2)?];
    contracts::router::holds(&bench.router, &bench.site(2)).await;
    Ok(())
}

#[tokio::test]
async fn the_fake_keeps_the_contract_of_a_router() -> Result<()> {
    let site = Bench::new().await?.site(2);
    let fake = FakeMachine::default();
    fake.meddle(|world| {
        for generation in [1, 2].map(Generation) {
            let pool = FakePool {
                running: true,
                ..FakePool::created(site.members)
            };
            let id = PoolId::new(&site.environment, generation);
            world.pools.insert(id, pool);
        }
    });
    contracts::router::holds(&fake, &site).await;
    Ok(())
}

#[tokio::test]
async fn a_table_that_is_served_already_is_not_loaded_again() -> Result<()> {
    let (bench, _members) = Bench::with_shop(1).await?;
    let before = on_disk(&bench);
    for _ in 0..3 {
        let loaded = bench.router.load(&bench.table(1)).await?;
        assert_eq!((loaded.revision, loaded.reloaded), (1, false));
    }
    assert_eq!(on_disk(&bench), before);
    Ok(())
}

#[tokio::test]
async fn a_text_that_nginx_refuses_is_never_put_in_place() -> Result<()> {
    let (bench, _members) = Bench::with_shop(1).await?;
    let before = on_disk(&bench);
    let mut twice = bench.settings.clone();
    twice.ports = vec![80, 80];
    let error = bench
        .another_router(&twice)
        .await?
        .load(&bench.table(1))
        .await
        .unwrap_err();
    assert!(matches!(error, RouterError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("duplicate"), "{error}");
    assert_eq!(on_disk(&bench), before);
    assert_eq!(bench.control("/.stratus/revision").await?.text(), "1");
    Ok(())
}

#[tokio::test]
async fn a_text_that_nginx_takes_and_does_not_serve_is_put_back() -> Result<()> {
    let (bench, _members) = Bench::with_shop(1).await?;
    // As in real life; without it, nginx fills its log with records that nobody takes.
    let _records = AccessRecords::listen(&bench.layout, bench.settings.user)?;
    let before = on_disk(&bench);
    // Something else listens on a port of the new text: nginx's own test cannot see that.
    let squatter = format!("{}-squatter", bench.settings.container);
    let network = format!("container:{}", bench.settings.container);
    let conf = bench.working_file(
        "squatter.conf",
        "pid /tmp/pid; events {} http { client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; \
         fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s; access_log off; \
         server { listen 8099; } }",
    )?;
    let (volume, conf) = (
        format!("{0}:{0}:ro", bench.code().display()),
        conf.to_string_lossy().into_owned(),
    );
    docker(&[
        "run",
        "-d",
        "--rm",
        "--name",
        &squatter,
        "--network",
        &network,
        "-v",
        &volume,
        IMAGE,
        "nginx",
        "-e",
        "stderr",
        "-c",
        &conf,
        "-g",
        "daemon off;",
    ])?;
    let mut busy = bench.settings.clone();
    busy.ports = vec![80, 8099];
    let result = bench
        .another_router(&busy)
        .await?
        .load(&bench.table(1))
        .await;
    docker(&["rm", "-f", &squatter])?;
    let error = result.unwrap_err();
    assert!(matches!(error, RouterError::NotConfirmed { .. }), "{error}");
    let said = error.to_string();
    assert!(
        said.contains("the old configuration is back") && said.contains("Address already in use"),
        "{said}"
    );
    assert_eq!(on_disk(&bench), before);
    assert!(
        !bench.router.load(&bench.table(1)).await?.reloaded,
        "as if nothing had been asked"
    );
    assert_eq!(bench.get("/index.php").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_crash_between_rename_and_reload_is_healed_by_the_next_load() -> Result<()> {
    let (bench, _members) = Bench::with_shop(1).await?;
    let mut table = bench.table(1);
    table.sites[0].hosts.push("new.example.test".to_owned());
    let text = render(&table, 2, &bench.settings, &bench.layout)?;
    std::fs::write(bench.layout.nginx_configuration(), text)?;
    let loaded = bench.router.load(&table).await?;
    assert_eq!((loaded.revision, loaded.reloaded), (2, true));
    assert_eq!(bench.control("/.stratus/revision").await?.text(), "2");
    // And one before the rename leaves a candidate that nobody misses.
    std::fs::write(
        bench.layout.nginx().join("candidate/nginx.conf"),
        "half a te",
    )?;
    assert!(!bench.router.load(&table).await?.reloaded);
    assert!(bench.router.load(&bench.table(1)).await?.reloaded);
    Ok(())
}

#[tokio::test]
async fn without_a_container_the_error_says_how_to_start_one_and_the_file_is_there() -> Result<()> {
    let bench = Bench::new().await?;
    let error = bench.router.load(&bench.table(0)).await.unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains(&bench.settings.container) && said.contains("compose/single.yaml"),
        "{said}"
    );
    assert_eq!(error.fault(), stratus_core::Fault::Transient);
    assert!(on_disk(&bench).contains("return 503"));
    Ok(())
}

#[tokio::test]
async fn a_killed_nginx_starts_again_although_it_left_its_socket_behind() -> Result<()> {
    let (mut bench, _members) = Bench::with_shop(1).await?;
    docker(&["kill", "-s", "KILL", &bench.settings.container])?;
    docker(&["wait", &bench.settings.container])?;
    assert!(bench.layout.control_socket().exists());
    let error = bench
        .router
        .load(&bench.table(1))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("docker start"), "{error}");
    assert!(!bench.layout.control_socket().exists());
    docker(&["start", &bench.settings.container])?;
    bench.find_port().await?;
    assert!(!bench.router.load(&bench.table(1)).await?.reloaded);
    assert_eq!(bench.get("/index.php").await?.status, 200);
    Ok(())
}

/// An nginx of the last Debian, which does not run.
struct Old;

#[async_trait]
impl Master for Old {
    async fn state(&self) -> Result<State, EngineError> {
        Ok(State::Missing)
    }
    async fn version(&self, _: &str) -> Result<Finished, EngineError> {
        let output = "nginx version: nginx/1.22.1\n".to_owned();
        Ok(Finished { exit: 0, output })
    }
    async fn test(&self, _: &str, _: &Path) -> Result<Finished, EngineError> {
        unreachable!("an old nginx is not asked")
    }
    async fn reload(&self) -> Result<(), EngineError> {
        unreachable!("an old nginx is not reloaded")
    }
    async fn reopen(&self) -> Result<(), EngineError> {
        unreachable!("an old nginx is not asked")
    }
    async fn workers(&self) -> Result<Workers, EngineError> {
        Ok(Workers::default())
    }
    async fn log_tail(&self) -> Result<String, EngineError> {
        Ok(String::new())
    }
}

#[tokio::test]
async fn an_nginx_that_is_too_old_is_refused_by_name() -> Result<()> {
    let bench = Bench::new().await?;
    let router =
        NginxRouter::with_master(bench.layout.clone(), bench.settings.clone(), Arc::new(Old));
    let error = router.load(&bench.table(0)).await.unwrap_err().to_string();
    assert!(
        error.contains("1.22.1") && error.contains("1.27.4") && error.contains(IMAGE),
        "{error}"
    );
    assert!(!bench.layout.nginx_configuration().exists());
    Ok(())
}

#[tokio::test]
async fn old_workers_that_a_visitor_holds_are_waited_for() -> Result<()> {
    let (bench, _members) = Bench::with_shop(1).await?;
    let door = bench.door();
    let slow = tokio::spawn(async move { door.open().await?.get("/index.php?slow=3000").await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut table = bench.table(1);
    table.sites[0].hosts.push("new.example.test".to_owned());
    bench.router.load(&table).await?;
    assert!(!slow.is_finished(), "the load does not wait for it");
    bench.router.settle().await?;
    let answered = tokio::time::timeout(Duration::from_millis(200), slow).await;
    assert_eq!(
        answered.expect("the old worker was still there")??.status,
        200
    );
    Ok(())
}
