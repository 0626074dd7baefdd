//! Judges who the server is and who may touch its folders.

use stratus_agent::host::{Folder, HostFacts};

use super::{Finding, bad, good};

/// Write permission for the group and for everybody.
const WRITE_GROUP: u32 = 0o020;
const WRITE_ALL: u32 = 0o002;
/// Set on folders that everybody uses, such as /tmp.
const STICKY: u32 = 0o1000;

pub(super) fn judge(facts: &HostFacts) -> Vec<Finding> {
    vec![
        identity(facts.uid),
        folder(
            "server.data_dir",
            &facts.data_dir,
            facts.uid,
            WRITE_GROUP | WRITE_ALL,
        ),
        folder(
            "the folder of server.socket",
            &facts.socket_dir,
            facts.uid,
            WRITE_ALL,
        ),
    ]
}

fn identity(uid: u32) -> Finding {
    if uid == 0 {
        return good("permissions", "stratusd runs as root");
    }
    bad(
        "permissions",
        format!("stratusd runs as user {uid} and cannot give releases to the members' user"),
        "run stratusd as root",
    )
}

fn folder(what: &str, folder: &Folder, uid: u32, forbidden: u32) -> Finding {
    let subject = "permissions";
    match folder {
        Folder::Missing(path) => good(
            subject,
            format!(
                "{what} ({}) is not there yet; it is made at the start",
                path.display()
            ),
        ),
        Folder::NotAFolder(path) => bad(
            subject,
            format!("{what} ({}) is not a folder", path.display()),
            "name another one, or move away what is there",
        ),
        Folder::Hidden(path, error) => bad(
            subject,
            format!("{what} ({}) cannot be looked at: {error}", path.display()),
            "let stratusd's user reach it",
        ),
        Folder::There {
            path, uid: owner, ..
        } if *owner != uid => bad(
            subject,
            format!(
                "{what} ({}) belongs to user {owner}, not to stratusd's ({uid})",
                path.display()
            ),
            format!("chown {uid} {}", path.display()),
        ),
        Folder::There { path, mode, .. } if mode & forbidden != 0 => bad(
            subject,
            format!(
                "{what} ({}) has mode {mode:04o}: others can write to it",
                path.display()
            ),
            if mode & STICKY == 0 {
                format!("chmod {:04o} {}", mode & !forbidden, path.display())
            } else {
                "name a folder of stratusd's own".to_owned()
            },
        ),
        Folder::There { path, mode, .. } => good(
            subject,
            format!("{what} ({}) has mode {mode:04o}", path.display()),
        ),
    }
}
