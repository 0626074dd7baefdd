//! Least privilege, checked on what the engine really created: a predicate over its own words.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bollard::models::{ContainerInspectResponse, HostConfig, RestartPolicyNameEnum};
use stratus_core::environment::User;

use super::body::Bind;
use super::container::SOMAXCONN;

#[cfg(test)]
mod tests;

/// One way in which a container may do more than it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule. Shape: `capabilities`.
    pub rule: &'static str,
    /// What was found.
    pub found: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.rule, self.found)
    }
}

/// What a container must be, and may not be more than.
#[derive(Debug, Clone)]
pub struct Expected {
    /// By digest.
    pub image: String,
    /// Not root.
    pub user: User,
    /// The program.
    pub entry_point: String,
    /// Shape: `SIGQUIT`.
    pub stop_signal: &'static str,
    /// Name of its network; `none` for none.
    pub network: String,
    /// In bytes.
    pub memory: u64,
    /// In thousandths of a CPU.
    pub cpus_milli: u32,
    /// Everything it sees of the host.
    pub binds: Vec<Bind>,
    /// The volume of its code and where that is mounted, where the code is writable.
    pub code: Option<(String, PathBuf)>,
}

/// Everything that a container may do and should not; empty when all is well.
pub fn check(found: &ContainerInspectResponse, expected: &Expected) -> Vec<Violation> {
    let none = HostConfig::default();
    let host = found.host_config.as_ref().unwrap_or(&none);
    let mut seen = Seen(Vec::new());
    privileges(&mut seen, host);
    defaults(&mut seen, host);
    identity(&mut seen, found, expected);
    namespaces(&mut seen, host, &expected.network);
    limits(&mut seen, host, expected);
    mounts(&mut seen, found, expected);
    seen.0
}

struct Seen(Vec<Violation>);

impl Seen {
    /// Notes a violation unless the rule holds.
    fn rule(&mut self, rule: &'static str, holds: bool, found: impl FnOnce() -> String) {
        if !holds {
            let found = found();
            self.0.push(Violation { rule, found });
        }
    }
}

fn privileges(seen: &mut Seen, host: &HostConfig) {
    let is_empty = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
    let dropped = host.cap_drop.as_ref();
    let all = dropped.is_some_and(|d| d.iter().any(|c| c.eq_ignore_ascii_case("ALL")));
    seen.rule("dropped capabilities", all, || format!("{dropped:?}"));
    let added = &host.cap_add;
    seen.rule("added capabilities", is_empty(added), || {
        format!("{added:?}")
    });
    let privileged = host.privileged.unwrap_or(false);
    seen.rule("privileged", !privileged, || "true".to_owned());
    let options = host.security_opt.clone().unwrap_or_default();
    let kept = options.iter().any(|o| o.starts_with("no-new-privileges"))
        && !options.iter().any(|o| o.contains("unconfined"));
    seen.rule("security options", kept, || format!("{options:?}"));
    let read_only = host.readonly_rootfs.unwrap_or(false);
    seen.rule("read-only root", read_only, || "writable".to_owned());
    let devices = host.devices.as_ref().is_none_or(Vec::is_empty)
        && host.device_requests.as_ref().is_none_or(Vec::is_empty)
        && is_empty(&host.device_cgroup_rules);
    seen.rule("devices", devices, || format!("{:?}", host.devices));
    let borrowed = is_empty(&host.volumes_from) && is_empty(&host.links);
    seen.rule("borrowed volumes and links", borrowed, || {
        format!("{:?} {:?}", host.volumes_from, host.links)
    });
}

/// What the engine's defaults hide and forbid must still be hidden and forbidden.
fn defaults(seen: &mut Seen, host: &HostConfig) {
    for (rule, paths) in [
        ("masked paths", &host.masked_paths),
        ("read-only paths", &host.readonly_paths),
    ] {
        let emptied = paths.as_ref().is_some_and(Vec::is_empty);
        seen.rule(rule, !emptied, || "none".to_owned());
    }
    let groups = host.group_add.as_ref();
    seen.rule("groups", groups.is_none_or(Vec::is_empty), || {
        format!("{groups:?}")
    });
    let kernel = host.sysctls.iter().flatten();
    let other: Vec<_> = kernel.filter(|(name, _)| *name != SOMAXCONN).collect();
    seen.rule("kernel settings", other.is_empty(), || format!("{other:?}"));
}

fn identity(seen: &mut Seen, found: &ContainerInspectResponse, expected: &Expected) {
    let config = found.config.as_ref();
    let user = config.and_then(|c| c.user.clone()).unwrap_or_default();
    let asked = format!("{}:{}", expected.user.uid, expected.user.gid);
    let is_root = user.is_empty() || user.starts_with("0:") || user == "0" || user == "root";
    seen.rule("user", user == asked && !is_root, || user.clone());
    let image = found.image.clone().unwrap_or_default();
    seen.rule("image", image == expected.image, || image.clone());
    let entry = config
        .and_then(|c| c.entrypoint.clone())
        .unwrap_or_default();
    seen.rule(
        "entry point",
        entry == [expected.entry_point.clone()],
        || format!("{entry:?}"),
    );
    let signal = config
        .and_then(|c| c.stop_signal.clone())
        .unwrap_or_default();
    seen.rule("stop signal", signal == expected.stop_signal, || {
        signal.clone()
    });
}

fn namespaces(seen: &mut Seen, host: &HostConfig, network: &str) {
    let mode = host.network_mode.clone().unwrap_or_default();
    let other = mode == "host" || mode.starts_with("container:");
    seen.rule("network", mode == network && !other, || mode.clone());
    for (rule, mode, allowed) in [
        ("process namespace", &host.pid_mode, ""),
        ("host name namespace", &host.uts_mode, ""),
        ("user namespace", &host.userns_mode, ""),
        ("memory sharing namespace", &host.ipc_mode, "private"),
    ] {
        let mode = mode.clone().unwrap_or_default();
        seen.rule(rule, mode == allowed, || mode.clone());
    }
    let published = host.publish_all_ports.unwrap_or(false)
        || host.port_bindings.as_ref().is_some_and(|p| !p.is_empty());
    seen.rule("published ports", !published, || {
        format!("{:?}", host.port_bindings)
    });
}

fn limits(seen: &mut Seen, host: &HostConfig, expected: &Expected) {
    let memory = i64::try_from(expected.memory).ok();
    seen.rule("memory", host.memory == memory, || {
        format!("{:?}", host.memory)
    });
    let swap = host.memory_swap;
    // Where the kernel counts no swap, the engine answers that there is no limit of it.
    seen.rule("swap", swap == memory || swap == Some(-1), || {
        format!("{swap:?}")
    });
    let tasks = host.pids_limit.unwrap_or(0);
    seen.rule("tasks", tasks > 0, || tasks.to_string());
    let cpus = Some(i64::from(expected.cpus_milli) * 1_000_000);
    seen.rule("cpus", host.nano_cpus == cpus, || {
        format!("{:?}", host.nano_cpus)
    });
    let policy = host.restart_policy.as_ref().and_then(|r| r.name);
    let known = matches!(
        policy,
        None | Some(
            RestartPolicyNameEnum::EMPTY
                | RestartPolicyNameEnum::NO
                | RestartPolicyNameEnum::UNLESS_STOPPED
        )
    );
    seen.rule("restart policy", known, || format!("{policy:?}"));
    let rotated = host.log_config.as_ref().is_some_and(|log| {
        let config = log.config.as_ref();
        config.is_some_and(|c| c.contains_key("max-size"))
    });
    seen.rule("bounded log", rotated, || format!("{:?}", host.log_config));
    for (folder, options) in host.tmpfs.iter().flatten() {
        let bounded = ["nosuid", "nodev", "size="]
            .iter()
            .all(|o| options.contains(o));
        seen.rule("tmpfs", bounded, || format!("{folder} {options}"));
    }
}

/// Every mount must be one we asked for, with the access we asked for; an image's own anonymous volume, which goes
/// with the container, is suffered.
fn mounts(seen: &mut Seen, found: &ContainerInspectResponse, expected: &Expected) {
    let mut asked: BTreeSet<(String, String, bool)> = expected
        .binds
        .iter()
        .map(|b| {
            let text = |p: &std::path::Path| p.to_string_lossy().into_owned();
            (text(&b.source), text(&b.target), !b.read_only)
        })
        .collect();
    let code = expected.code.as_ref().map(|(volume, _)| volume.clone());
    let mount = expected
        .code
        .iter()
        .map(|(_, mount)| mount.to_string_lossy());
    let mount = mount.collect::<String>();
    let mut has_code = code.is_none();
    for point in found.mounts.iter().flatten() {
        let target = point.destination.clone().unwrap_or_default();
        let source = point.source.clone().unwrap_or_default();
        let writable = point.rw.unwrap_or(true);
        match point.typ.as_deref() {
            Some("bind") => {
                let known = asked.remove(&(source.clone(), target.clone(), writable));
                seen.rule("mounts", known, || {
                    format!("{source} at {target}, writable: {writable}")
                });
            }
            Some("volume") if code.is_some() && point.name == code => {
                has_code |= target == mount;
            }
            Some("volume") => {
                let anonymous = point.name.as_deref().is_some_and(is_anonymous);
                seen.rule("volumes", anonymous, || {
                    format!("{:?} at {target}", point.name)
                });
            }
            Some("tmpfs") => {}
            other => seen.rule("mounts", false, || format!("{other:?} at {target}")),
        }
    }
    seen.rule("missing mounts", asked.is_empty() && has_code, || {
        format!("{asked:?}")
    });
}

/// The engine names an image's own volume by 64 hexadecimal digits.
fn is_anonymous(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())
}
