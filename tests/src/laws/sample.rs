//! An environment to try things with.

use std::collections::BTreeMap;
use std::time::Duration;

use stratus_core::environment::caches::{CloudFront, RedisCache, Varnish};
use stratus_core::environment::{
    Caches, Check, CodeAccess, Cron, HOLD, Hooks, Keep, Maintenance, Php, Ready, Replicas,
    Sessions, Setting, User, Worker,
};
use stratus_core::operation::{Kind, Mode};
use stratus_core::snapshots::Verify;
use stratus_core::source::{AskedBy, Source};
use stratus_core::{Environment, Generation, ReleaseId};

/// An environment of two members that keeps its previous pool warm for ten minutes.
///
/// # Panics
/// When `name` is no environment name.
pub fn environment(name: &str) -> Environment {
    Environment {
        name: name.parse().expect("a valid name"),
        hosts: vec![format!("{name}.example")],
        code: format!("/srv/{name}").into(),
        docroot: "public".into(),
        front: "index.php".to_owned(),
        shared: vec!["data".into()],
        links: Vec::new(),
        exclude: Vec::new(),
        deny: Vec::new(),
        code_access: CodeAccess::Immutable,
        autoscaling: false,
        zero_downtime: true,
        php: php(),
        replicas: Replicas { min: 2, max: 2 },
        ready: Ready {
            path: "/health.php".to_owned(),
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
        upload_limit: 64 << 20,
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

/// A cron that ends well at once.
pub fn cron(name: &str, at: &str) -> Cron {
    Cron {
        name: name.to_owned(),
        at: at.to_owned(),
        zone: "UTC".to_owned(),
        run: vec!["print".to_owned(), "tidy".to_owned()],
        timeout: Duration::from_mins(10),
    }
}

/// A worker that runs until it is stopped.
pub fn worker(name: &str) -> Worker {
    Worker {
        name: name.to_owned(),
        run: vec!["consume".to_owned()],
        grace: Duration::from_secs(10),
    }
}

/// Two databases of Redis, Varnish, and a CDN.
pub fn caches() -> Caches {
    let redis = |name: &str| RedisCache {
        name: name.to_owned(),
        url: format!("redis://{name}").as_str().into(),
        ca: None,
    };
    Caches {
        redis: vec![redis("fpc"), redis("config")],
        varnish: Some(Varnish {
            url: "http://varnish".into(),
            tags_header: "X-Magento-Tags-Pattern".to_owned(),
        }),
        cloudfront: Some(CloudFront {
            distribution: "E123".to_owned(),
            key_id: "AKIDEXAMPLE".into(),
            secret: Setting::secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            endpoint: None,
        }),
        ..Caches::default()
    }
}

fn php() -> Php {
    Php {
        image: "php:8.2".to_owned(),
        fpm: "php-fpm8.2".to_owned(),
        mount: "/app".into(),
        user: User {
            uid: 1000,
            gid: 1000,
        },
        workers: 4,
        ini: BTreeMap::from([("memory_limit".to_owned(), "128M".to_owned())]),
        env: BTreeMap::new(),
        memory: 256 << 20,
        cpus_milli: 1000,
    }
}

/// `init`, checked by metadata.
pub fn init() -> Kind {
    Kind::Init {
        verify: Verify::Metadata,
    }
}

/// Init and switch in one, checked by metadata.
pub fn reinit() -> Kind {
    Kind::Reinit {
        verify: Verify::Metadata,
        php_options: None,
    }
}

/// A change of the options of `php.ini`.
pub fn php_options() -> Kind {
    Kind::Reinit {
        verify: Verify::Metadata,
        php_options: Some([("memory_limit".to_owned(), "1G".to_owned())].into()),
    }
}

/// A whole deployment, checked by metadata.
pub fn deploy(mode: Mode) -> Kind {
    Kind::Deploy {
        verify: Verify::Metadata,
        mode,
        from: None,
    }
}

/// A whole deployment of what is not the working tree.
///
/// # Panics
/// Never.
pub fn deploy_from(mode: Mode) -> Kind {
    let from = Source::parse("/srv/build.tar.gz", AskedBy::Operator);
    Kind::Deploy {
        verify: Verify::Metadata,
        mode,
        from: Some(Box::new(from.expect("a path is a source"))),
    }
}

/// The release that the fake file tree makes of a working tree that was edited `edits` times.
///
/// # Panics
/// Never.
pub fn release(edits: u64) -> ReleaseId {
    format!("{edits:064x}")
        .parse()
        .expect("64 hexadecimal digits are a release id")
}

/// Removal of the release that `edits` edits make.
pub fn reap(edits: u64) -> Kind {
    Kind::Reap {
        release: release(edits),
    }
}

/// Stopping of the previous pool, which is of `generation`.
pub fn retire(generation: u32) -> Kind {
    Kind::Retire {
        generation: Generation(generation),
    }
}
