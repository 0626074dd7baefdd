//! The rules of a tenant, as they were accepted: the form that is stored, and rendered again whenever nginx's text is.
//!
//! Stored as JSON. A field that is added needs a default; a variant is never renamed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pattern::{Case, Pattern};
use super::text::Text;

/// Everything that a tenant's files say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rules {
    /// Variables that are looked up in a table.
    pub maps: Vec<Map>,
    /// What holds for the whole site.
    pub server: Vec<Rule>,
    /// What holds for some paths.
    pub locations: Vec<Location>,
    /// Password files, by the name that they are given on disk.
    pub passwords: BTreeMap<String, String>,
}

/// A variable that is looked up in a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// Its name.
    pub variable: String,
    /// What is looked up.
    pub source: Text,
    /// Whether keys are host names with wildcards.
    pub hostnames: bool,
    /// The table.
    pub entries: Vec<Entry>,
}

/// A line of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What must be found.
    pub key: Key,
    /// What it stands for.
    pub value: Text,
}

/// What must be found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// Nothing else was.
    Default,
    /// This very text.
    Text(String),
    /// A text that matches.
    Pattern(Pattern, Case),
}

/// Rules for some paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// Which.
    pub place: Place,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// Which paths a location is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// This one.
    Exact(String),
    /// Those that begin so, unless a pattern matches.
    Prefix(String),
    /// Those that begin so, whatever patterns there are.
    First(String),
    /// Those that match.
    Pattern(String, Case),
    /// None: it is named by other rules. Shape: `fallback`.
    Named(String),
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A directive that is what its words say.
    Line {
        /// Its name.
        name: String,
        /// Its words.
        words: Vec<Text>,
    },
    /// `client_max_body_size`, in bytes.
    BodySize(u64),
    /// `gzip_disable`.
    GzipDisable(Vec<Pattern>),
    /// `auth_basic_user_file`, by the name that the file is given on disk.
    Passwords(String),
    /// `error_page`.
    ErrorPage {
        /// Statuses that are answered otherwise.
        codes: Vec<u16>,
        /// The status instead.
        becomes: Becomes,
        /// Where the answer is found.
        target: Target,
    },
    /// `try_files`.
    TryFiles {
        /// Files that are looked for.
        candidates: Vec<Candidate>,
        /// What happens where there is none.
        otherwise: Target,
    },
    /// `set`.
    Set {
        /// The variable.
        variable: String,
        /// Its value.
        value: Text,
    },
    /// `return`.
    Return {
        /// The status; none for a plain redirect.
        status: Option<u16>,
        /// The body, or where a redirect leads.
        text: Option<Text>,
    },
    /// `rewrite`.
    Rewrite {
        /// Which paths.
        pattern: Pattern,
        /// What they become.
        replacement: Text,
        /// `last`, `break`, `redirect`, `permanent`.
        flag: Option<String>,
    },
    /// `if`.
    If {
        /// When.
        condition: Condition,
        /// What happens then.
        then: Vec<Rule>,
    },
    /// `limit_except`.
    LimitExcept {
        /// The methods that the rules are not for.
        methods: Vec<String>,
        /// The rules.
        rules: Vec<Rule>,
    },
}

/// The status of an answer that is given instead of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Becomes {
    /// The one that it was.
    Same,
    /// The one of the page that is found.
    Found,
    /// This one.
    Status(u16),
}

/// Where a request goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// At a path of the site, which is looked up anew, or at an address elsewhere.
    Path(Text),
    /// At a named location.
    Named(String),
    /// Nowhere: it is answered with this status.
    Status(u16),
}

/// A file that may be looked for. These forms and no others: what is found is sent as it is, so none of them may lead to
/// a script, to what is hidden, or out of the served folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Candidate {
    /// `$uri`.
    File,
    /// `$uri/`.
    Folder,
    /// `$uri.html`, by its extension.
    Extended(String),
    /// A path that is written out.
    Path(String),
}

/// When the rules of an `if` hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// What is looked at: one variable.
    pub variable: Text,
    /// How.
    pub test: Test,
}

/// How a variable is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// It is neither empty nor `0`.
    Holds,
    /// It is, or is not, this text.
    Equals(Text, Truth),
    /// It matches, or does not.
    Matches(Pattern, Case, Truth),
}

/// Whether something must be so or must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// It must.
    Is,
    /// It must not.
    IsNot,
}

impl Rule {
    /// The name of its directive.
    pub fn name(&self) -> &str {
        match self {
            Self::Line { name, .. } => name,
            Self::BodySize(_) => "client_max_body_size",
            Self::GzipDisable(_) => "gzip_disable",
            Self::Passwords(_) => "auth_basic_user_file",
            Self::ErrorPage { .. } => "error_page",
            Self::TryFiles { .. } => "try_files",
            Self::Set { .. } => "set",
            Self::Return { .. } => "return",
            Self::Rewrite { .. } => "rewrite",
            Self::If { .. } => "if",
            Self::LimitExcept { .. } => "limit_except",
        }
    }

    /// Whether nginx hands it down to a location inside. What it does not must be repeated there.
    pub fn is_inherited(&self) -> bool {
        !matches!(
            self,
            Self::Set { .. }
                | Self::Return { .. }
                | Self::Rewrite { .. }
                | Self::If { .. }
                | Self::LimitExcept { .. }
                | Self::TryFiles { .. }
        )
    }

    /// Whether it decides who may read an answer, so that what one visitor gets is not for all.
    pub fn narrows_readers(&self) -> bool {
        match self {
            Self::LimitExcept { methods, .. } => !methods.iter().any(|method| method == "GET"),
            Self::If { condition, .. } => ["remote_addr", "remote_user"]
                .iter()
                .any(|who| condition.variable.reads(who)),
            rule => ["allow", "deny", "auth_basic"].contains(&rule.name()),
        }
    }

    /// What is inherited together: one of them here hides those of outside.
    pub fn family(&self) -> &str {
        match self.name() {
            "deny" => "allow",
            name => name,
        }
    }
}

impl Place {
    /// The path that it is about; none for patterns and names.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Exact(path) | Self::Prefix(path) | Self::First(path) => Some(path),
            Self::Pattern(..) | Self::Named(_) => None,
        }
    }
}
