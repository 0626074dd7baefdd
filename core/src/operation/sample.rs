//! An environment for the tests beside this.

use std::time::Duration;

use crate::Environment;
use crate::environment::{
    Caches, Check, CodeAccess, HOLD, Hooks, Keep, Maintenance, Php, Ready, Replicas, Sessions, User,
};

pub fn environment() -> Environment {
    Environment {
        name: "shop".parse().expect("a name"),
        hosts: vec!["shop.example".to_owned()],
        code: "/srv/shop".into(),
        docroot: "public".into(),
        front: "index.php".to_owned(),
        shared: Vec::new(),
        links: Vec::new(),
        exclude: Vec::new(),
        deny: Vec::new(),
        code_access: CodeAccess::Immutable,
        autoscaling: false,
        zero_downtime: true,
        php: Php {
            image: "php:8.2".to_owned(),
            fpm: "php-fpm".to_owned(),
            mount: "/app".into(),
            user: User { uid: 1, gid: 1 },
            workers: 4,
            ini: [].into(),
            env: [].into(),
            memory: 1 << 28,
            cpus_milli: 1000,
        },
        replicas: Replicas { min: 2, max: 4 },
        ready: Ready {
            path: "/".to_owned(),
            status: 200,
            within: Duration::from_secs(30),
            successes: 3,
        },
        warm: Vec::new(),
        drain: Duration::from_secs(30),
        keep: Keep {
            releases: 3,
            warm: Duration::from_mins(10),
            standby: Duration::from_hours(24),
        },
        upload_limit: 1 << 20,
        hooks: Hooks::default(),
        crons: Vec::new(),
        workers: Vec::new(),
        caches: Caches::default(),
        database: None,
        sessions: Sessions::default(),
        maintenance: Maintenance::default(),
        check: Check::default(),
        hold: HOLD,
    }
}
