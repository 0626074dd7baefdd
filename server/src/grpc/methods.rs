//! Every method of every service: how far it reaches on the socket of an environment, and whether it changes anything.

/// What is known of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Method {
    /// Its path without `/stratus.v1.`.
    path: &'static str,
    /// How far it reaches on the socket of an environment.
    pub reach: Reach,
    /// What it does.
    pub effect: Effect,
}

/// How far a method reaches on the socket of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The socket's own environment: which is also the one that is meant where none is named.
    Own,
    /// Nothing: it is the operator's, because of this.
    Operator(&'static str),
}

/// What a method does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It looks, or waits: nobody needs it whose caller is gone.
    Reads,
    /// It changes something, in several moves: begun, it is carried out to its end.
    Changes,
}

use Effect::{Changes, Reads};
use Reach::{Operator, Own};

const METHODS: [Method; 29] = [
    method("Operations/Submit", Own, Changes),
    method("Operations/Watch", Own, Reads),
    method("Operations/Cancel", Own, Changes),
    method("Operations/Get", Own, Reads),
    method("Operations/List", Own, Reads),
    method("Operations/Resume", Own, Changes),
    method(
        "Operations/Resolve",
        Operator("it vouches for the state of the host"),
        Changes,
    ),
    method("Environments/List", Own, Reads),
    method("Environments/Show", Own, Reads),
    method(
        "Environments/Apply",
        Operator("it reads the configuration of all environments"),
        Changes,
    ),
    method("Environments/Status", Own, Reads),
    method("Environments/Diff", Own, Reads),
    method("Environments/SetMaintenance", Own, Changes),
    method("Environments/Database", Own, Reads),
    method("Environments/PhpOptions", Own, Reads),
    method("Releases/List", Own, Reads),
    method("Releases/Pin", Own, Changes),
    method("Releases/Unpin", Own, Changes),
    method("Nginx/Update", Own, Changes),
    method("Caches/Clear", Own, Changes),
    method("Caches/Invalidation", Own, Reads),
    method("Crons/List", Own, Reads),
    method("Crons/Logs", Own, Reads),
    method("Crons/Run", Own, Changes),
    method("Crons/Await", Own, Reads),
    method("Crons/Stop", Own, Changes),
    method("Crons/Start", Own, Changes),
    method("Crons/Idle", Own, Reads),
    method(
        "Doctor/Check",
        Operator("it looks at the whole host"),
        Reads,
    ),
];

const fn method(path: &'static str, reach: Reach, effect: Effect) -> Method {
    Method {
        path,
        reach,
        effect,
    }
}

/// What is known of the method at the path of a request. One that is not in the table is nobody's on the socket of an
/// environment.
pub(super) fn at(path: &str) -> Method {
    let name = path.strip_prefix("/stratus.v1.").unwrap_or(path);
    let found = METHODS.iter().find(|known| known.path == name).copied();
    found.unwrap_or(method(
        "",
        Operator("it was not opened to environments"),
        Changes,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_decides_on_every_method_of_every_service() {
        let mut table: Vec<_> = METHODS
            .iter()
            .map(|method| format!("/stratus.v1.{}", method.path))
            .collect();
        let mut all: Vec<_> = stratus_proto::METHODS.to_vec();
        table.sort();
        all.sort_unstable();
        assert_eq!(table, all);
    }

    #[test]
    fn a_method_that_nobody_decided_on_is_refused() {
        for path in [
            "/stratus.v1.Secrets/All",
            "Operations/Submit/",
            "/stratus.v2.Operations/Submit",
            "",
        ] {
            assert!(matches!(at(path).reach, Operator(_)), "{path}");
        }
        assert_eq!(at("/stratus.v1.Operations/Submit").reach, Own);
    }
}
