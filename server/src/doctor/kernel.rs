//! Judges the kernel and its settings.

use stratus_agent::host::KernelFacts;

use super::{Finding, bad, good, warning};

/// FPM's `listen.backlog`: with less, a burst is answered 502.
const SOMAXCONN_MIN: u64 = 4096;

pub(super) fn judge(kernel: &KernelFacts) -> Vec<Finding> {
    vec![
        openat2(kernel),
        somaxconn(kernel.somaxconn),
        datagrams(kernel.max_dgram_qlen),
    ]
}

fn openat2(kernel: &KernelFacts) -> Finding {
    if kernel.openat2 {
        return good("kernel", format!("Linux {} has openat2", kernel.release));
    }
    bad(
        "kernel",
        format!(
            "Linux {} does not let stratusd use openat2, without which trees cannot be read safely",
            kernel.release
        ),
        "use Linux 5.6 or newer; in a container, allow openat2 in its seccomp profile",
    )
}

fn somaxconn(value: Option<u64>) -> Finding {
    match value {
        Some(value) if value >= SOMAXCONN_MIN => {
            good("kernel", format!("net.core.somaxconn is {value}"))
        }
        Some(value) => warning(
            "kernel",
            format!(
                "net.core.somaxconn is {value}: bursts of more connections than that are refused"
            ),
            format!("sysctl -w net.core.somaxconn={SOMAXCONN_MIN}, and keep it in /etc/sysctl.d/"),
        ),
        None => warning(
            "kernel",
            "net.core.somaxconn cannot be read",
            "mount /proc where stratusd runs",
        ),
    }
}

/// A low value needs no remedy: the server raises it for the one socket that cares.
fn datagrams(value: Option<u64>) -> Finding {
    match value {
        Some(value) => good(
            "kernel",
            format!(
                "net.unix.max_dgram_qlen is {value}; stratusd raises it where its own socket needs more"
            ),
        ),
        None => warning(
            "kernel",
            "net.unix.max_dgram_qlen cannot be read",
            "mount /proc where stratusd runs",
        ),
    }
}
