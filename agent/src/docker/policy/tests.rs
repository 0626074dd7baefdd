//! The predicate against what a real engine (20.10) said of a real member, then weakened in one place at a time.

use serde_json::{Value, json};
use stratus_core::{Generation, Pool};

use super::super::container::Member;
use super::{Violation, check};
use crate::fpm::sample;
use crate::layout::Layout;

/// `docker inspect` of a member, less what says nothing here.
const INSPECTED: &str = include_str!("inspect.json");

fn pool() -> Pool {
    let mut pool = sample::pool();
    pool.id.generation = Generation(1);
    pool.release = format!("{:064x}", 1).parse().unwrap();
    pool.image = inspected()["Image"].as_str().unwrap().to_owned();
    pool.members = 1;
    pool.php.workers = 2;
    pool.php.memory = 128 << 20;
    pool.php.cpus_milli = 1000;
    pool.shared.push("var".into());
    pool
}

fn inspected() -> Value {
    serde_json::from_str(INSPECTED).unwrap()
}

fn violations(inspected: Value) -> Vec<Violation> {
    let layout = Layout::new("/var/lib/stratus", "5f3a9c".parse().unwrap());
    let (pool, operation) = (pool(), "operation-1".parse().unwrap());
    let member = Member {
        layout: &layout,
        pool: &pool,
        index: 0,
        operation: &operation,
        network: "none",
        image_scan_dir: None,
    };
    check(
        &serde_json::from_value(inspected).unwrap(),
        &member.expected(),
    )
}

#[test]
fn a_real_member_violates_nothing() {
    assert_eq!(violations(inspected()), []);
}

#[test]
fn a_restart_policy_of_the_live_pool_is_no_violation() {
    let mut live = inspected();
    live["HostConfig"]["RestartPolicy"]["Name"] = json!("unless-stopped");
    assert_eq!(violations(live), []);
}

type Weakness = (&'static str, Value, &'static str);

/// What is seen of each weakness: where it is, what is there, and the rule that it breaks.
fn are_seen(weaknesses: &[Weakness]) {
    for (pointer, value, rule) in weaknesses {
        let mut weak = inspected();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        weak.pointer_mut(parent).unwrap()[key] = value.clone();
        let rules: Vec<_> = violations(weak).iter().map(|v| v.rule).collect();
        assert!(rules.contains(rule), "{pointer} = {value}: {rules:?}");
    }
}

#[test]
fn every_privilege_is_seen_by_the_rule_it_breaks() {
    are_seen(&[
        (
            "/HostConfig/CapDrop",
            json!(["NET_RAW"]),
            "dropped capabilities",
        ),
        ("/HostConfig/CapDrop", json!(null), "dropped capabilities"),
        ("/HostConfig/CapAdd", json!(["CHOWN"]), "added capabilities"),
        ("/HostConfig/Privileged", json!(true), "privileged"),
        ("/HostConfig/SecurityOpt", json!([]), "security options"),
        (
            "/HostConfig/SecurityOpt",
            json!(["no-new-privileges", "seccomp=unconfined"]),
            "security options",
        ),
        ("/HostConfig/ReadonlyRootfs", json!(false), "read-only root"),
        (
            "/HostConfig/Devices",
            json!([{"PathOnHost": "/dev/sda"}]),
            "devices",
        ),
        (
            "/HostConfig/VolumesFrom",
            json!(["other"]),
            "borrowed volumes and links",
        ),
        ("/HostConfig/MaskedPaths", json!([]), "masked paths"),
        ("/HostConfig/ReadonlyPaths", json!([]), "read-only paths"),
        ("/HostConfig/GroupAdd", json!(["docker"]), "groups"),
        (
            "/HostConfig/Sysctls",
            json!({"net.ipv4.ip_forward": "1"}),
            "kernel settings",
        ),
        ("/Config/User", json!(""), "user"),
        ("/Config/User", json!("0:0"), "user"),
        ("/Config/User", json!("1001:1000"), "user"),
        ("/Image", json!("sha256:other"), "image"),
        ("/Config/Entrypoint", json!(["entrypoint"]), "entry point"),
        ("/Config/StopSignal", json!("SIGTERM"), "stop signal"),
    ]);
}

#[test]
fn every_open_namespace_and_missing_limit_is_seen_by_the_rule_it_breaks() {
    are_seen(&[
        ("/HostConfig/NetworkMode", json!("host"), "network"),
        ("/HostConfig/NetworkMode", json!("bridge"), "network"),
        ("/HostConfig/PidMode", json!("host"), "process namespace"),
        ("/HostConfig/UTSMode", json!("host"), "host name namespace"),
        ("/HostConfig/UsernsMode", json!("host"), "user namespace"),
        (
            "/HostConfig/IpcMode",
            json!("host"),
            "memory sharing namespace",
        ),
        (
            "/HostConfig/PublishAllPorts",
            json!(true),
            "published ports",
        ),
        (
            "/HostConfig/PortBindings",
            json!({"9000/tcp": []}),
            "published ports",
        ),
        ("/HostConfig/Memory", json!(0), "memory"),
        ("/HostConfig/MemorySwap", json!(1_i64 << 40), "swap"),
        ("/HostConfig/PidsLimit", json!(0), "tasks"),
        ("/HostConfig/NanoCpus", json!(0), "cpus"),
        (
            "/HostConfig/RestartPolicy",
            json!({"Name": "always"}),
            "restart policy",
        ),
        (
            "/HostConfig/LogConfig",
            json!({"Type": "json-file", "Config": {}}),
            "bounded log",
        ),
        ("/HostConfig/Tmpfs", json!({"/tmp": "rw"}), "tmpfs"),
    ]);
}

#[test]
fn a_mount_that_nobody_asked_for_and_one_with_more_access_are_seen() {
    let mut engine = inspected();
    let socket = json!({"Type": "bind", "Source": "/run/docker.sock", "Destination": "/run/docker.sock", "RW": true});
    engine["Mounts"].as_array_mut().unwrap().push(socket);
    assert_eq!(violations(engine)[0].rule, "mounts");

    let mut writable = inspected();
    for mount in writable["Mounts"].as_array_mut().unwrap() {
        mount["RW"] = json!(true);
    }
    assert_eq!(violations(writable)[0].rule, "mounts");

    let mut named = inspected();
    let volume = json!({"Type": "volume", "Name": "database", "Destination": "/data", "RW": true});
    named["Mounts"].as_array_mut().unwrap().push(volume);
    assert_eq!(violations(named)[0].rule, "volumes");

    let mut missing = inspected();
    missing["Mounts"].as_array_mut().unwrap().pop();
    assert_eq!(violations(missing)[0].rule, "missing mounts");
}

#[test]
fn an_anonymous_volume_of_the_image_is_suffered() {
    let mut own = inspected();
    let volume =
        json!({"Type": "volume", "Name": "ab".repeat(32), "Destination": "/data", "RW": true});
    own["Mounts"].as_array_mut().unwrap().push(volume);
    assert_eq!(violations(own), []);
}
