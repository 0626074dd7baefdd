//! A small pool for the tests of this folder.

use std::collections::BTreeMap;

use stratus_core::environment::{CodeAccess, Php, Sessions, User};
use stratus_core::{Generation, Pool, PoolId};

/// `shop-g42`: two members of three workers.
pub fn pool() -> Pool {
    Pool {
        id: PoolId {
            environment: "shop".parse().expect("a name"),
            generation: Generation(42),
        },
        release: "ab".repeat(32).parse().expect("64 hexadecimal digits"),
        image: format!("sha256:{}", "0".repeat(64)),
        members: 2,
        php: Php {
            image: "stratus/php-fpm:8.2".to_owned(),
            fpm: "php-fpm8.2".to_owned(),
            mount: "/var/www/html".into(),
            user: User {
                uid: 1000,
                gid: 1000,
            },
            workers: 3,
            ini: BTreeMap::new(),
            env: BTreeMap::new(),
            memory: 256 << 20,
            cpus_milli: 500,
        },
        code_access: CodeAccess::Immutable,
        code: "/srv/shop".into(),
        shared: Vec::new(),
        links: Vec::new(),
        docroot: "pub".into(),
        front: "index.php".to_owned(),
        upload_limit: 64 << 20,
        sessions: Sessions::Files,
    }
}
