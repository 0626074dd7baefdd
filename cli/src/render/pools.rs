//! The state of environments: who is live, what stands by, what is under way, what drifted.

use stratus_proto::v1::{Edits, EnvironmentStatus, PoolStatus};

use super::units::{age, counted, now_ms, short};
use super::{caches, crons, operations, table};
use crate::output::Out;

/// Prints a line a pool, then a line for each thing to know.
pub fn print(out: &mut Out, environments: &[EnvironmentStatus]) {
    if environments.is_empty() {
        out.line("no environments; name one in /etc/stratus/stratus.yaml");
        return;
    }
    let rows = environments.iter().flat_map(rows).collect();
    let heading = [
        "ENVIRONMENT",
        "POOL",
        "GENERATION",
        "RELEASE",
        "READY",
        "SINCE",
        "",
    ];
    table::print(out, heading, rows);
    for environment in environments {
        let name = &environment.name;
        if let Some(operation) = &environment.operation {
            out.line(&format!("{name}: {}", operations::under_way(operation)));
        }
        if environment.maintenance {
            out.line(&format!(
                "{name}: in maintenance; open it with maintenance.disable"
            ));
        }
        if let Some(operation) = &environment.overdue {
            out.line(&format!("{name}: {}", overdue(operation)));
        }
        if let Some(lease) = &environment.crons_stopped {
            out.line(&format!("{name}: {}", crons::stopped(lease)));
        }
        for pending in &environment.pending {
            out.line(&format!("{name}: {}", caches::waiting(pending)));
        }
        if let Some(edits) = &environment.edits {
            out.line(&format!("{name}: {}", edited(edits)));
        }
        for drift in &environment.drift {
            out.line(&format!("{name}: drift: {drift}"));
        }
    }
}

/// Why visitors get the maintenance page though nobody enabled it.
pub fn overdue(operation: &str) -> String {
    match operation {
        "" => "visitors get the maintenance page since an operation that is over; \
               open it with maintenance.disable"
            .to_owned(),
        id => format!(
            "visitors get the maintenance page: operation {id} holds requests for longer than they may; \
             the site opens when it is done, or undone with operations.cancel {id}"
        ),
    }
}

/// Shape: `12 files of the working tree are not live (a.php, b.php, …): deploy makes them live, environments.diff names them`.
fn edited(edits: &Edits) -> String {
    let mut files = edits.files.join(", ");
    if edits.total > edits.files.len() as u64 {
        files.push_str(", …");
    }
    let are = if edits.total == 1 { "is" } else { "are" };
    format!(
        "{} of the working tree {are} not live ({files}): deploy makes them live, environments.diff names them",
        counted(edits.total, "change")
    )
}

fn rows(environment: &EnvironmentStatus) -> Vec<[String; 7]> {
    let pools = [
        ("live", environment.live.as_ref()),
        ("standby", environment.standby.as_ref()),
        ("previous", environment.previous.as_ref()),
    ];
    let present = pools
        .into_iter()
        .filter_map(|(role, pool)| pool.map(|pool| (role, pool)));
    let mut rows: Vec<_> = present
        .map(|(role, pool)| row(&environment.name, role, pool))
        .collect();
    if rows.is_empty() {
        let mut empty = ["-"; 7].map(str::to_owned);
        empty[0].clone_from(&environment.name);
        empty[6] = "nothing deployed yet".into();
        rows.push(empty);
    }
    rows
}

fn row(environment: &str, role: &str, pool: &PoolStatus) -> [String; 7] {
    let note = match pool.warm_until {
        Some(until) => format!("warm for {}", age(until.saturating_sub(now_ms()))),
        None if role == "previous" => "cold".into(),
        None => String::new(),
    };
    let since = match pool.since {
        0 => "-".into(),
        since => age(now_ms().saturating_sub(since)),
    };
    [
        environment.into(),
        role.into(),
        pool.generation.to_string(),
        short(&pool.release),
        format!("{}/{}", pool.ready, pool.members),
        since,
        note,
    ]
}
