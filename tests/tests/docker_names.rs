//! Containers are found by the names that they have for each other on a network.

use std::path::Path;
use std::sync::Arc;

use redis::AsyncCommands as _;
use stratus_agent::cache::{CacheClients, Names as _};
use stratus_agent::docker::{ContainerNames, Engine};
use stratus_agent::layout::Layout;
use stratus_core::Environment;
use stratus_core::cache::{Cleaner, Clear, Scope, Target};
use stratus_core::environment::Caches;
use stratus_core::environment::caches::RedisCache;
use stratus_tests::laws::sample;
use stratus_tests::pools::docker;
use stratus_tests::services::Service;

/// A network that goes with the test.
struct Network(String);

impl Network {
    fn make() -> Self {
        let name = format!("stratus-test-{}", uuid::Uuid::new_v4().simple());
        docker(&["network", "create", &name]);
        Self(name)
    }

    fn join(&self, service: &Service, alias: &str) {
        let container = service.container();
        docker(&["network", "connect", "--alias", alias, &self.0, container]);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let format = "{{range $id, $c := .Containers}}{{$c.Name}} {{end}}";
        let members = docker(&["network", "inspect", "--format", format, &self.0]);
        for member in members.split_whitespace() {
            docker(&["network", "disconnect", "-f", &self.0, member]);
        }
        docker(&["network", "rm", &self.0]);
    }
}

#[tokio::test]
async fn a_service_is_found_by_its_alias_on_the_network_and_emptied_there() {
    let engine = Engine::connect(Path::new("/var/run/docker.sock"))
        .await
        .unwrap();
    let network = Network::make();
    let services = [
        Service::redis(&[]).await.unwrap(),
        Service::redis(&[]).await.unwrap(),
    ];
    for service in &services {
        network.join(service, "redis");
        let mut connection = service.client(0).await.unwrap();
        let _: () = connection.set("page", "old").await.unwrap();
    }
    let names = ContainerNames::new(engine, network.0.clone());
    assert_eq!(names.containers("redis").await.unwrap().len(), 2);
    let own = names.containers(services[0].container()).await.unwrap();
    assert_eq!(own.len(), 1);
    assert!(names.containers("varnish").await.unwrap().is_empty());

    let fpc = RedisCache {
        name: "fpc".to_owned(),
        url: "redis://redis:6379".into(),
        ca: None,
    };
    let shop = Environment {
        caches: Caches {
            redis: vec![fpc],
            ..Caches::default()
        },
        ..sample::environment("shop")
    };
    let layout = Layout::new("/nowhere", "5f3a9c".parse().unwrap());
    let clear = Clear {
        environment: &shop,
        live: None,
        target: &Target::Redis("fpc".to_owned()),
        scope: &Scope::ALL,
        reference: "reference-1",
        sessions: &[],
    };
    CacheClients::new(layout, Arc::new(names))
        .clear(clear)
        .await
        .unwrap();
    for service in &services {
        let mut connection = service.client(0).await.unwrap();
        let left: Option<String> = connection.get("page").await.unwrap();
        assert_eq!(left, None, "every server of the name is emptied");
    }
}

#[tokio::test]
async fn a_network_that_is_not_there_has_no_names() {
    let engine = Engine::connect(Path::new("/var/run/docker.sock"))
        .await
        .unwrap();
    let names = ContainerNames::new(engine, "stratus-test-no-such-network".to_owned());
    assert!(names.containers("redis").await.unwrap().is_empty());
}
