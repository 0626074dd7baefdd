//! Each judgement with facts made up for it, and the real host once.

use std::path::PathBuf;

use stratus_agent::host::{DiskFacts, Folder, HostFacts, KernelFacts};

use super::*;

const GIB: u64 = 1024 * 1024 * 1024;

/// A machine that answers what it was made with.
struct Fake {
    engine: Result<EngineFacts, String>,
    nginx: Result<Option<NginxFacts>, String>,
    image: Result<Option<String>, String>,
}

#[async_trait]
impl Machine for Fake {
    async fn engine(&self) -> Result<EngineFacts, String> {
        self.engine.clone()
    }
    async fn nginx(&self) -> Result<Option<NginxFacts>, String> {
        self.nginx.clone()
    }
    async fn image(&self, _: &str) -> Result<Option<String>, String> {
        self.image.clone()
    }
}

fn disk_facts() -> DiskFacts {
    DiskFacts {
        folder: "/var/lib".into(),
        free_bytes: 20 * GIB,
        total_bytes: 100 * GIB,
        free_inodes: 1_000_000,
        total_inodes: 6_000_000,
        filesystem: "ext4".into(),
        reflinks: Some(false),
    }
}

fn host_facts() -> HostFacts {
    HostFacts {
        disk: Ok(disk_facts()),
        kernel: KernelFacts {
            release: "6.1.0".into(),
            openat2: true,
            somaxconn: Some(4096),
            max_dgram_qlen: Some(10),
        },
        uid: 0,
        data_dir: Folder::Missing("/var/lib/stratus".into()),
        socket_dir: there(0, 0o755),
    }
}

fn there(uid: u32, mode: u32) -> Folder {
    Folder::There {
        path: "/run/stratus".into(),
        uid,
        mode,
    }
}

fn engine_facts() -> EngineFacts {
    EngineFacts {
        version: "20.10.24".into(),
        api: "1.41".into(),
        storage_driver: "overlay2".into(),
        live_restore: true,
        swarm: false,
    }
}

fn nginx_facts() -> NginxFacts {
    NginxFacts {
        running: true,
        version: Some("1.30.6".into()),
        user: Some(User { uid: 33, gid: 33 }),
        answers: true,
        mounts: ["/data/env", "/data/nginx", "/usr"]
            .map(PathBuf::from)
            .into(),
        network: Network::Published(vec!["127.0.0.1:8000".parse().unwrap()]),
        cpu_limited: false,
    }
}

fn config() -> Config {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stratus.yaml");
    let text = "server: {data_dir: /data, socket: /run/stratus/stratus.sock}
environments:
  shop: &shop
    hosts: [shop.example.test]
    code: /usr/share
    docroot: .
    shared: [media]
    php: {image: stratus/php-fpm, user: '1000:1000'}
  twin:
    <<: *shop
    hosts: [twin.example.test]
";
    std::fs::write(&file, text).unwrap();
    crate::config::load(&file).unwrap()
}

fn text(findings: &[Finding]) -> Vec<String> {
    let line = |f: &Finding| {
        format!(
            "{:?} {}: {} -> {}",
            f.health, f.subject, f.message, f.remedy
        )
    };
    findings.iter().map(line).collect()
}

/// What is not good.
fn complaints(findings: &[Finding]) -> Vec<String> {
    let wrong = findings.iter().filter(|f| f.health != Health::Good);
    text(&wrong.cloned().collect::<Vec<_>>())
}

#[test]
fn a_host_as_it_should_be_has_no_complaint_and_no_remedy() {
    let config = config();
    let mut findings = judge_host(&host_facts());
    findings.extend(engine::judge(Ok(engine_facts())));
    findings.extend(nginx::judge(Ok(Some(nginx_facts())), &config));
    assert!(findings.iter().all(|f| f.remedy.is_empty()));
    insta::assert_snapshot!(text(&findings).join("\n"));
}

#[test]
fn little_space_is_a_warning_and_less_is_bad() {
    let health = |free_bytes, free_inodes| {
        let facts = DiskFacts {
            free_bytes,
            free_inodes,
            ..disk_facts()
        };
        let findings = disk::judge(&Ok(facts));
        (findings[0].health, findings[1].health)
    };
    assert_eq!(health(2 * GIB, 80_000), (Health::Good, Health::Good));
    assert_eq!(
        health(2 * GIB - 1, 79_999),
        (Health::Warning, Health::Warning)
    );
    assert_eq!(health(GIB / 2, 20_000), (Health::Warning, Health::Warning));
    assert_eq!(health(GIB / 2 - 1, 19_999), (Health::Bad, Health::Bad));
}

#[test]
fn a_file_system_without_fixed_inodes_never_runs_out_of_them() {
    let facts = DiskFacts {
        free_inodes: 0,
        total_inodes: 0,
        ..disk_facts()
    };
    assert_eq!(complaints(&disk::judge(&Ok(facts))), Vec::<String>::new());
}

#[test]
fn a_network_file_system_is_a_warning() {
    let facts = DiskFacts {
        filesystem: "nfs4".into(),
        ..disk_facts()
    };
    assert_eq!(
        complaints(&disk::judge(&Ok(facts))),
        [
            "Warning disk: the file system is nfs4, on which hard links, sockets or durable writes are not certain -> put server.data_dir on a local ext4, XFS or btrfs"
        ]
    );
}

#[test]
fn a_disk_that_cannot_be_looked_at_is_bad() {
    assert_eq!(
        complaints(&disk::judge(&Err("stale".into()))),
        [
            "Bad disk: the data folder's disk cannot be looked at: stale -> see to it that stratusd may read server.data_dir"
        ]
    );
}

#[test]
fn a_kernel_without_openat2_is_bad_and_a_short_queue_a_warning() {
    let facts = KernelFacts {
        release: "5.4.0".into(),
        openat2: false,
        somaxconn: Some(128),
        max_dgram_qlen: None,
    };
    insta::assert_snapshot!(complaints(&kernel::judge(&facts)).join("\n"));
}

#[test]
fn folders_that_others_can_write_to_or_own_are_bad() {
    let judge = |data_dir: Folder, socket_dir: Folder| {
        complaints(&permissions::judge(&HostFacts {
            data_dir,
            socket_dir,
            ..host_facts()
        }))
    };
    assert_eq!(
        judge(there(0, 0o755), there(0, 0o775)),
        Vec::<String>::new()
    );
    let found = [
        judge(there(0, 0o775), there(0, 0o777)),
        judge(there(1000, 0o755), there(1000, 0o755)),
        judge(
            Folder::NotAFolder("/d".into()),
            Folder::Hidden("/s".into(), "denied".into()),
        ),
    ];
    insta::assert_snapshot!(found.concat().join("\n"));
}

#[test]
fn a_folder_that_everybody_uses_is_not_changed_but_left() {
    let facts = HostFacts {
        socket_dir: there(0, 0o1777),
        ..host_facts()
    };
    assert_eq!(
        complaints(&permissions::judge(&facts)),
        [
            "Bad permissions: the folder of server.socket (/run/stratus) has mode 1777: others can write to it -> name a folder of stratusd's own"
        ]
    );
}

#[test]
fn a_server_that_is_not_root_is_bad() {
    let facts = HostFacts {
        uid: 1000,
        socket_dir: there(1000, 0o755),
        ..host_facts()
    };
    assert_eq!(
        complaints(&permissions::judge(&facts)),
        [
            "Bad permissions: stratusd runs as user 1000 and cannot give releases to the members' user -> run stratusd as root"
        ]
    );
}

#[test]
fn an_engine_that_is_silent_old_slow_or_forgetful_is_named() {
    let found = [
        engine::judge(Err("connection refused".into())),
        engine::judge(Ok(EngineFacts {
            api: "1.40".into(),
            version: "19.03".into(),
            ..engine_facts()
        })),
        engine::judge(Ok(EngineFacts {
            api: "new".into(),
            ..engine_facts()
        })),
        engine::judge(Ok(EngineFacts {
            storage_driver: "vfs".into(),
            ..engine_facts()
        })),
        engine::judge(Ok(EngineFacts {
            live_restore: false,
            ..engine_facts()
        })),
    ];
    insta::assert_snapshot!(complaints(&found.concat()).join("\n"));
}

#[test]
fn a_swarm_is_not_told_to_use_live_restore() {
    let facts = EngineFacts {
        live_restore: false,
        swarm: true,
        ..engine_facts()
    };
    assert_eq!(complaints(&engine::judge(Ok(facts))), Vec::<String>::new());
}

#[test]
fn a_newer_api_is_good() {
    for api in ["1.41", "1.100", "2.0"] {
        let facts = EngineFacts {
            api: api.into(),
            ..engine_facts()
        };
        assert_eq!(
            complaints(&engine::judge(Ok(facts))),
            Vec::<String>::new(),
            "{api}"
        );
    }
}

#[test]
fn an_nginx_that_is_absent_or_stopped_gets_one_complaint() {
    let config = config();
    let stopped = NginxFacts {
        running: false,
        version: None,
        ..nginx_facts()
    };
    let found = [Ok(None), Err("no route".to_owned()), Ok(Some(stopped))];
    let found = found.map(|facts| nginx::judge(facts, &config)).concat();
    assert_eq!(found.len(), 3);
    insta::assert_snapshot!(complaints(&found).join("\n"));
}

#[test]
fn each_fault_of_a_running_nginx_is_named() {
    let facts = NginxFacts {
        running: true,
        version: Some("1.27.3".into()),
        user: Some(User { uid: 101, gid: 101 }),
        answers: false,
        mounts: vec!["/data/nginx".into()],
        network: Network::Published(vec![
            "127.0.0.1:80".parse().unwrap(),
            "10.0.0.1:8000".parse().unwrap(),
        ]),
        cpu_limited: true,
    };
    insta::assert_snapshot!(complaints(&nginx::judge(Ok(Some(facts)), &config())).join("\n"));
}

#[test]
fn nginx_is_new_enough_from_1_27_4_on() {
    let health = |version: &str| {
        let facts = NginxFacts {
            version: Some(version.into()),
            ..nginx_facts()
        };
        nginx::judge(Ok(Some(facts)), &config())[0].health
    };
    for version in ["1.27.4", "1.28.0", "2.0.0"] {
        assert_eq!(health(version), Health::Good, "{version}");
    }
    for version in ["1.27.3", "1.22.1", "0.99.99", "1.28", "new"] {
        assert_eq!(health(version), Health::Bad, "{version}");
    }
}

#[test]
fn tls_needs_its_port_and_varnish_and_logs_folders_that_nginx_may_write_to() {
    let mut config = config();
    config.nginx.https = Some("127.0.0.1:8443".parse().unwrap());
    config.nginx.varnish = true;
    config.nginx.access_log = true;
    let mut facts = nginx_facts();
    let found = complaints(&nginx::judge(Ok(Some(facts.clone())), &config));
    insta::assert_snapshot!(found.join("\n"));
    facts.mounts.push("/data/nginx/varnish".into());
    facts.mounts.push("/data/nginx/log".into());
    let ports = ["127.0.0.1:8000", "127.0.0.1:8443"].map(|port| port.parse().unwrap());
    facts.network = Network::Published(ports.into());
    let found = complaints(&nginx::judge(Ok(Some(facts)), &config));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_port_on_every_address_or_the_hosts_own_network_lead_to_nginx() {
    let config = config();
    for facts in [
        NginxFacts {
            network: Network::Published(vec!["0.0.0.0:8000".parse().unwrap()]),
            ..nginx_facts()
        },
        NginxFacts {
            network: Network::Host,
            ..nginx_facts()
        },
    ] {
        assert_eq!(
            complaints(&nginx::judge(Ok(Some(facts)), &config)),
            Vec::<String>::new()
        );
    }
}

#[tokio::test]
async fn everything_is_examined_and_each_image_once() {
    let machine = Fake {
        engine: Ok(engine_facts()),
        nginx: Ok(Some(nginx_facts())),
        image: Ok(None),
    };
    let findings = examine(&config(), &machine).await;
    for subject in ["disk", "kernel", "permissions", "engine", "nginx", "image"] {
        assert!(findings.iter().any(|f| f.subject == subject), "{subject}");
    }
    let images = findings.iter().filter(|f| f.subject == "image").cloned();
    assert_eq!(
        text(&images.collect::<Vec<_>>()),
        [
            "Bad image: the engine has no image stratus/php-fpm, which shop needs -> pull or build it, or correct php.image"
        ]
    );
}

#[tokio::test]
async fn a_machine_that_never_answers_is_not_waited_for_for_ever() {
    struct Silent;
    #[async_trait]
    impl Machine for Silent {
        async fn engine(&self) -> Result<EngineFacts, String> {
            std::future::pending().await
        }
        async fn nginx(&self) -> Result<Option<NginxFacts>, String> {
            std::future::pending().await
        }
        async fn image(&self, _: &str) -> Result<Option<String>, String> {
            std::future::pending().await
        }
    }
    let limit = Duration::from_millis(300);
    let findings = examine_within(limit, &config(), &Silent).await;
    let silent = findings
        .iter()
        .filter(|f| f.message.contains("no answer within 300ms"));
    assert_eq!(silent.count(), 3);
}

#[test]
fn this_host_has_facts() {
    let dir = tempfile::tempdir().unwrap();
    let facts = host::look(&dir.path().join("data"), &dir.path().join("s.sock"));
    let disk = facts.disk.unwrap();
    assert_eq!(disk.folder, dir.path());
    assert!(disk.total_bytes > 0 && disk.free_bytes <= disk.total_bytes);
    assert_ne!(disk.filesystem, "unknown");
    assert!(disk.reflinks.is_some());
    assert!(facts.kernel.openat2);
    assert!(facts.kernel.somaxconn.is_some() && facts.kernel.max_dgram_qlen.is_some());
    assert_eq!(facts.data_dir, Folder::Missing(dir.path().join("data")));
    assert!(matches!(facts.socket_dir, Folder::There { mode, .. } if mode & 0o700 == 0o700));
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        0,
        "nothing is left behind"
    );
}
