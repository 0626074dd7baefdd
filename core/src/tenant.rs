//! What the owner of a working tree adds to how its site is served: the files that he wrote, as the router accepted them.
//!
//! The domain keeps them and hands them back; only the router that accepted them knows what they say.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Rules that a router accepted.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TenantRules {
    /// The files that they were read from. Shape: `.nginx/server_level/shop.conf`.
    pub files: Vec<String>,
    /// How many directives there are.
    pub directives: u32,
    /// The rules themselves, in the router's own form.
    pub accepted: serde_json::Value,
}

/// Password files are among the rules: what was accepted is never shown.
impl fmt::Debug for TenantRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantRules")
            .field("files", &self.files)
            .field("directives", &self.directives)
            .finish_non_exhaustive()
    }
}

/// A directive that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its file. Shape: `.nginx/server_level/shop.conf`.
    pub file: String,
    /// Its line, counted from 1; 0 for the file as a whole.
    pub line: u32,
    /// Its name; empty where there is none.
    pub directive: String,
    /// What is wrong and what to do.
    pub why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        f.write_str(": ")?;
        if !self.directive.is_empty() {
            write!(f, "`{}`: ", self.directive)?;
        }
        f.write_str(&self.why)
    }
}

/// Why rules were not accepted. Those that were accepted before stay in force.
#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    /// Some directives are not allowed.
    #[error("{}", list(.0))]
    Refused(Vec<Refusal>),
    /// The files could not be read.
    #[error("{detail}")]
    Unreadable {
        /// What was tried and what to do.
        detail: String,
        /// What came back.
        #[source]
        source: std::io::Error,
    },
}

/// Bytes after which no more refusals are told: they travel in a header.
const TOLD_MAX: usize = 3000;

fn list(refusals: &[Refusal]) -> String {
    let mut told = String::new();
    for (index, refusal) in refusals.iter().enumerate() {
        let line = refusal.to_string();
        if index > 0 && told.len() + line.len() > TOLD_MAX {
            let more = refusals.len() - index;
            return format!("{told}\n{more} more; mend these first");
        }
        if index > 0 {
            told.push('\n');
        }
        told.push_str(&line);
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_file_line_and_directive() {
        let refusal = |line, directive: &str| Refusal {
            file: "a.conf".to_owned(),
            line,
            directive: directive.to_owned(),
            why: "is not allowed; take it out".to_owned(),
        };
        let both = TenantError::Refused(vec![refusal(3, "root"), refusal(0, "")]);
        assert_eq!(
            both.to_string(),
            "a.conf:3: `root`: is not allowed; take it out\na.conf: is not allowed; take it out"
        );
    }

    #[test]
    fn many_refusals_are_told_in_part() {
        let refusal = Refusal {
            file: "a".repeat(255),
            line: 1,
            directive: "root".to_owned(),
            why: "is not allowed; take it out".to_owned(),
        };
        let told = TenantError::Refused(vec![refusal; 100]).to_string();
        assert!(
            told.len() < 3100 && told.ends_with(" more; mend these first"),
            "{told}"
        );
    }

    #[test]
    fn accepted_rules_are_not_shown() {
        let rules = TenantRules {
            accepted: serde_json::json!("hunter2"),
            ..TenantRules::default()
        };
        assert!(!format!("{rules:?}").contains("hunter2"));
    }
}
